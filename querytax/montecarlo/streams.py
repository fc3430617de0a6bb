"""Random streams that no thread, batch or order can change.

A draw is a function of the seed, of what it is for, and of its sample, step and lane
alone (Philox4x32-10). Two streams of one seed share nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._philox import normal_pair, philox, uniform_pair
from querytax.seeds import seed_of

__all__ = ["Stream"]


@kernel
def _normals(out, first, step, lane, k0, k1):  # type: ignore[no-untyped-def]
    even, odd = out[0], out[1]
    for i in range(even.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), step, lane, k0, k1)
        even[i], odd[i] = normal_pair(w0, w1, w2, w3)


@kernel
def _uniforms(out, first, step, lane, k0, k1):  # type: ignore[no-untyped-def]
    even, odd = out[0], out[1]
    for i in range(even.size):
        w0, w1, w2, w3 = philox(first + np.uint64(i), step, lane, k0, k1)
        even[i], odd[i] = uniform_pair(w0, w1, w2, w3)


@kernel
def _words(out, first, step, lane, k0, k1):  # type: ignore[no-untyped-def]
    for i in range(out.shape[1]):
        w0, w1, w2, w3 = philox(first + np.uint64(i), step, lane, k0, k1)
        out[0, i], out[1, i], out[2, i], out[3, i] = w0, w1, w2, w3


@dataclass(frozen=True)
class Stream:
    """A stream of random numbers, keyed by a seed and by what it is for.

    Attributes
    ----------
    key : tuple of int
        The two 32-bit words of its Philox key.

    Examples
    --------
    >>> stream = Stream.of(7, "misstep", 0.01)
    >>> whole = stream.normals(0, 1000)
    >>> bool((stream.normals(600, 400) == whole[600:]).all())
    True
    """

    key: tuple[int, int]

    @classmethod
    def of(cls, rng: Any, *meaning: str | float) -> Stream:
        """The stream of a seed or generator for one meaning.

        Parameters
        ----------
        rng : int, numpy.random.Generator or None
            As in :func:`querytax.seeds.seed_of`.
        *meaning : str or float
            What the draws are for; streams of other words are independent.
        """
        words = (w if isinstance(w, str) else float(w).hex() for w in meaning)
        text = "|".join((str(seed_of(rng)), *words))
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        first, second = np.frombuffer(digest, dtype="<u4")
        return cls((int(first), int(second)))

    def _fill(self, fill: Any, out: Any, first: int, step: int, lane: int) -> Any:
        expect.integer(0, first=first)
        expect.integer(0, step=step)
        expect.integer(0, lane=lane)
        k0, k1 = (np.uint64(word) for word in self.key)
        fill(out, np.uint64(first), np.uint64(step), np.uint64(lane), k0, k1)
        return out.T

    def normals(
        self, first: int, count: int, step: int = 0, lane: int = 0
    ) -> npt.NDArray[np.float64]:
        """Standard normals of samples ``first, first + 1, ...``, in double precision.

        Returns
        -------
        ndarray, shape (count, 2)
            Two a sample; the tail is that of a normal to beyond 8 sigma.
        """
        expect.integer(0, count=count)
        return self._fill(_normals, np.empty((2, count)), first, step, lane)

    def uniforms(
        self, first: int, count: int, step: int = 0, lane: int = 0
    ) -> npt.NDArray[np.float64]:
        """Uniforms in (0, 1), on the midpoints of 2**-53; shape (count, 2)."""
        expect.integer(0, count=count)
        return self._fill(_uniforms, np.empty((2, count)), first, step, lane)

    def words(
        self, first: int, count: int, step: int = 0, lane: int = 0
    ) -> npt.NDArray[np.uint64]:
        """The raw words, 32 bits each; shape (count, 4)."""
        expect.integer(0, count=count)
        out = np.empty((4, count), dtype=np.uint64)
        return self._fill(_words, out, first, step, lane)
