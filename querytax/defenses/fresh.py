"""Gaussian noise that nobody can predict: what a deployed defence adds.

The bits come from the generator of OpenSSL that Python's `ssl` asks: AES-256 in counter
mode as NIST SP 800-90A's CTR_DRBG, seeded by the operating system. To compute a bit of
it, earlier or later, from all the others is to break AES; Philox, which experiments
use, was never meant to withstand that. After each request the generator replaces its
key, so that whoever reads the memory later does not find what was drawn before. Each
thread has a generator of its own, and a process that was forked seeds its own anew.

No defence holds any of its state: a copy, a pickle or a file has nothing to replay.

A row of 3 x 224 x 224 takes 0.1 ms of bits and 0.1 ms of Box-Muller on one core, a
third of what `torch.randn` takes. The operating system's generator gives bits as strong
in 1.5 ms, and AES through any other library is a dependency more. The noise of a model
on a GPU is drawn on the host and copied.
"""

from __future__ import annotations

import functools
import math
import os
import ssl
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["add_noise", "normals", "uniforms"]

# What puts draws into an array.
_Fill: TypeAlias = Callable[[NDArray[Any]], None]

# Bytes of draws made at once: their scratch stays in a core's cache, and each of its
# arrays below the 128 KiB from which the system gives and takes back memory.
_CHUNK = 1 << 17

# Draws this small come from a stock of so many, made for at most so many shapes: to
# draw ten values takes as many operations as to draw a thousand.
_SMALL, _STOCK, _SHAPES = 1 << 10, 1 << 13, 32

# From so many draws on, whole images, compiled code makes them in a third of the time.
# It takes half a second of each process to load, and two more where it was never kept.
_MANY = 1 << 16

# Answers, and features that are nearly answers: 53 bits cost them little.
_FEW = 1 << 15

# From here on float32 cannot hold the noise.
_LARGE = 1e37


def add_noise(value: Tensor, sigma: float, *, inside: bool = False) -> Tensor:
    """``value`` plus fresh noise, in memory of its own and of its own dtype.

    Parameters
    ----------
    value : Tensor
        Real floating, of shape (N, ...).
    sigma : float
        Standard deviation, > 0.
    inside : bool
        Whether a whole model stands between this value and whoever asks. Then float32
        noise is enough.

    Notes
    -----
    float32 noise has gaps: no draw gives the numbers between two floats. What is added
    to it shifts the gaps, and whoever sees the sum to the last bit can read the exact
    value off them in some dozens of questions, as Mironov (CCS 2012) did with Laplacian
    noise. Noise that is answered is therefore drawn in float64 and rounded once, to
    what a narrower model answers or, where it answers float64, to a grid of about
    ``sigma / 2**20``: every point of it collects many draws, whatever the value.
    """
    kind, count = value.dtype, value.numel()
    if (inside or count > _FEW * len(value)) and sigma < _LARGE:
        wide = kind if kind == torch.float64 else torch.float32
    else:
        wide = torch.float64
    if wide != kind:
        value = value.to(wide)
    if count <= _SMALL and value.device.type == "cpu" and not _observed():
        drawn = _stock.take(value.shape, wide)
        noisy = torch.add(value, drawn, alpha=sigma)
        # Nobody finds in the stock what has been answered.
        drawn.zero_()
    else:
        drawn = torch.from_numpy(normals(count, _NUMPY[wide])).view(value.shape)
        drawn = drawn.to(value.device)
        # New memory costs as much as the noise that goes into it.
        out = None if torch.is_grad_enabled() else drawn
        noisy = torch.add(value, drawn, alpha=sigma, out=out)
    if kind == torch.float64:
        # Adding and taking away a large number rounds to multiples of its last place.
        large = math.ldexp(1.5, max(min(math.frexp(sigma)[1] + 31, 1000), -1000))
        noisy = (noisy + large) - large
    return noisy if kind == wide else noisy.to(kind)


def _observed() -> bool:
    """Whether torch is put to another use, in which its tensors are not what they seem.

    Made then, they would be worth nothing afterwards.
    """
    return bool(
        torch._C._len_torch_dispatch_stack()
        or torch._C._functorch.maybe_current_level() is not None
    )


def normals(count: int, dtype: Any = np.float64) -> NDArray[Any]:
    """Independent standard normal draws that nobody can predict.

    Parameters
    ----------
    count : int
    dtype : numpy.float32 or numpy.float64

    Returns
    -------
    ndarray, shape (count,)

    Notes
    -----
    Box-Muller. In float32 the radius takes 31 bits and the angle 32, and the tail ends
    at sqrt(64 ln 2) = 6.66 standard deviations; in float64 they take 53 and more, and
    it ends at sqrt(108 ln 2) = 8.65. Beyond lie probabilities of 3e-11 and 5e-18.
    """
    fill: _Fill = _wide if dtype == np.float64 else _narrow
    step = _CHUNK // np.dtype(dtype).itemsize
    if fill is _narrow and count >= _MANY and (quick := _compiled()):
        fill, step = quick, _CHUNK // 8
    out = np.empty(count + count % 2, dtype)
    for start in range(0, count, step):
        fill(out[start : start + step])
    return out[:count]


def uniforms(count: int) -> NDArray[np.float64]:
    """Independent draws in [0, 1), of 53 bits, that nobody can predict."""
    whole = (_words(count, np.uint64) >> np.uint64(11)).astype(np.float64)
    return whole * 2.0**-53


class _Stock(threading.local):
    """Draws made ahead, for one thread of one process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.ready: dict[Any, list[Tensor]] = {}

    def take(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        # A fork that Python was not told of shows in the number of the process.
        if self.owner != os.getpid():
            self.owner, self.ready = os.getpid(), {}
        try:
            # One step, which nothing can interrupt: no draw is taken twice.
            return self.ready[shape, dtype].pop()
        except (KeyError, IndexError):
            self._make(shape, dtype)
            return self.take(shape, dtype)

    def _make(self, shape: torch.Size, dtype: torch.dtype) -> None:
        if len(self.ready) >= _SHAPES:
            self.ready = {}
        each = max(shape.numel(), 1)
        turns = _STOCK // each
        # What inference mode makes could not be wiped outside of it.
        with torch.inference_mode(False):
            draws = torch.from_numpy(normals(turns * shape.numel(), _NUMPY[dtype]))
            self.ready[shape, dtype] = list(draws.view(turns, *shape).unbind())


_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}
_stock = _Stock()


def _narrow(out: NDArray[Any]) -> None:
    half = len(out) // 2
    # Near 0, where the tail is made, u keeps all of its 31 bits.
    u = (_words(half, np.int32) & 0x7FFFFFFF).astype(np.float32)
    u *= 2.0**-31
    u += 2.0**-32
    angle = _words(half, np.int32).astype(np.float32)
    angle *= math.pi * 2.0**-31
    _box_muller(u, angle, out)


@functools.cache
def _compiled() -> _Fill | None:
    """`_narrow`, compiled; nothing where the user wants no compiler."""
    from numba.core import config

    settings: Any = config
    if settings.DISABLE_JIT:
        return None
    from querytax.defenses._box_muller import box_muller

    def quick(out: NDArray[Any]) -> None:
        box_muller(_words(len(out), np.int32), out)

    return quick


def _wide(out: NDArray[Any]) -> None:
    half = len(out) // 2
    u = ((_words(half, np.int64) >> 11) & (2**53 - 1)).astype(np.float64)
    u += 0.5
    u *= 2.0**-53
    _box_muller(u, _words(half, np.int64) * (math.pi * 2.0**-63), out)


def _words(count: int, dtype: Any) -> NDArray[Any]:
    return np.frombuffer(ssl.RAND_bytes(count * np.dtype(dtype).itemsize), dtype)


def _box_muller(u: NDArray[Any], angle: NDArray[Any], out: NDArray[Any]) -> None:
    """Two draws for each uniform in (0, 1] and its angle; both are overwritten."""
    np.log(u, out=u)
    u *= -2.0
    np.sqrt(u, out=u)
    first, second = out[: len(u)], out[len(u) :]
    # In float64 torch's sine is three times as fast, in float32 NumPy's twice.
    if out.dtype == np.float64:
        turn = torch.from_numpy(angle)
        torch.cos(turn, out=torch.from_numpy(first))
        torch.sin(turn, out=torch.from_numpy(second))
    else:
        np.cos(angle, out=first)
        np.sin(angle, out=second)
    first *= u
    second *= u
