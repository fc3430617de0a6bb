"""Counter-based randomness in torch: a draw is a function of its address alone.

An address is (seed, stream, row, query, element). Philox4x32-10 (Salmon, Moraes,
Dror & Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011) turns it into
bits, so a draw does not depend on the batch that it came in, on the order or the
number of calls, on threads, or on torch's global generators; nor does it move them.

The layout, fixed for ever:

- key: the 8-byte BLAKE2b hash of ``"{kind}:{seed}:{stream}"``, low word first, where
  the kind names the distribution and its width (``normal32``, ``sign``, ...). Two kinds
  or two streams under one seed share no bits;
- counter: (element block, low half of the query, row, high half of the query);
- a block is four 32-bit words: four 32-bit draws or two 64-bit ones, in order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from querytax.expect import DomainError

__all__ = ["normals", "philox", "signs", "uniforms"]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 0xFFFFFFFF

_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

# Blocks a thread works on at once: three buffers of 16 bytes a block stay in a cache of
# 1.5 MiB, while the dispatches of some 80 operations spread over 128 Ki draws.
_CPU_BLOCKS = 1 << 15
# An accelerator wants long kernels; this bounds the scratch to 200 MiB.
_DEVICE_BLOCKS = 1 << 22


def normals(
    seed: int,
    stream: str,
    rows: Tensor,
    queries: Tensor,
    shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Standard normal draws, one array of ``shape`` for each (row, query).

    Parameters
    ----------
    seed : int
        Any whole number.
    stream : str
        Names the use; different streams are independent.
    rows, queries : whole-number Tensors, shape (N,)
        Rows in [0, 2**32), queries in [0, 2**63).
    shape : sequence of int
        Shape of the draw of one (row, query).
    dtype : torch.dtype
        float32 and float64 are different draws; float16 and bfloat16 are the float32
        draws, rounded.
    device : torch.device, optional
        Where the draws appear; by default where ``rows`` lies.

    Returns
    -------
    Tensor, shape (N, *shape)

    Raises
    ------
    DomainError
        For keys of the wrong shape, type or range, and for a dtype that is not real
        floating.

    Notes
    -----
    Box-Muller. In float32 the radius and the angle take a 32-bit word each, and the
    tail ends at sqrt(66 ln 2) = 6.76 standard deviations; in float64 they take 53
    bits each, and it ends at sqrt(108 ln 2) = 8.65. Beyond lies probability 1.4e-11
    and 5e-18: add noise with these, estimate no rarer events. An element's draw does
    not depend on ``shape``: draws of fewer elements are a prefix. Devices agree to
    the last digits of their log, sine and cosine.
    """
    if dtype == torch.float64:
        how = ("normal64", _normals64, 2, dtype)
    else:
        how = ("normal32", _normals32, 4, _narrow(dtype))
    return _draw(*how, seed, stream, rows, queries, shape, device).to(dtype)


def uniforms(
    seed: int,
    stream: str,
    rows: Tensor,
    queries: Tensor,
    shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Uniform draws in [0, 1) on the grid of 24 (float32) or 53 bits (float64).

    Parameters, errors and guarantees are those of `normals`; the draws are equal on
    every device, bit for bit. float16 and bfloat16 round, and so may reach 1.
    """
    if dtype == torch.float64:
        how = ("uniform64", _uniforms64, 2, dtype)
    else:
        how = ("uniform32", _uniforms32, 4, _narrow(dtype))
    return _draw(*how, seed, stream, rows, queries, shape, device).to(dtype)


def signs(
    seed: int,
    stream: str,
    rows: Tensor,
    queries: Tensor,
    shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Fair draws of -1 and +1, the same in every dtype and on every device.

    Parameters, errors and guarantees are those of `normals`.
    """
    if dtype != torch.float64:
        _narrow(dtype)
    return _draw("sign", _signs, 4, dtype, seed, stream, rows, queries, shape, device)


def _narrow(dtype: torch.dtype) -> torch.dtype:
    """The dtype that narrower floating dtypes are drawn in."""
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise DomainError(f"expected dtype to be a real floating one, got {dtype}")
    return torch.float32


def philox(counter: Sequence[Tensor], key: int) -> tuple[Tensor, Tensor]:
    """Philox4x32-10 of many counters under one key.

    Parameters
    ----------
    counter : four int64 Tensors
        The words, each in [0, 2**32), of shapes that broadcast together to S.
    key : int
        64 bits, low word first.

    Returns
    -------
    even, odd : Tensor of int64, shape (2, *S)
        Words 0 and 2, and words 1 and 3. In ``odd`` only the low 32 bits count: those
        above are left over from the last product.
    """
    c0, c1, c2, c3 = counter
    device = c0.device
    size = torch.broadcast_tensors(c0, c1, c2, c3)[0].shape
    m0, m1 = _MULTIPLIERS
    low, high = key & _WORD, key >> 32
    keys = [
        [(low + i * _WEYL[0]) & _WORD, (high + i * _WEYL[1]) & _WORD]
        for i in range(_ROUNDS)
    ]

    # Both multiplications of a round run as one operation over a stacked pair of lanes.
    # The round exchanges the lanes; instead of moving them, odd rounds find the pair
    # reversed, so multipliers and keys alternate in order.
    column = (2,) + (1,) * len(size)
    table = torch.tensor(
        [[m0, m1], [m1, m0]]
        + [pair if i % 2 else pair[::-1] for i, pair in enumerate(keys)],
        dtype=torch.int64,
        device=device,
    ).view(-1, *column)
    forward, backward, *round_keys = table.unbind()
    # As tensors: a Python number is wrapped anew at every call.
    half = torch.tensor(32, dtype=torch.int64, device=device)
    mask = torch.tensor(_WORD, dtype=torch.int64, device=device)

    even = torch.empty((2, *size), dtype=torch.int64, device=device)
    odd = torch.empty_like(even)
    product = torch.empty_like(even)
    # Taken once: at small sizes a view costs as much as the arithmetic.
    even0, even1 = even.unbind()
    odd0, odd1 = odd.unbind()
    product0, product1 = product.unbind()

    # The first round is computed before broadcasting: its inputs are few.
    first, second = c0 * m0, c2 * m1
    odd0.copy_(first)
    odd1.copy_(second)
    k0, k1 = keys[0]
    left, right = (first >> 32).bitwise_and_(_WORD), (second >> 32).bitwise_and_(_WORD)
    torch.bitwise_xor(left, (c3 ^ k1).expand(size), out=even0)
    torch.bitwise_xor(right, (c1 ^ k0).expand(size), out=even1)

    for i in range(1, _ROUNDS):
        torch.mul(even, backward if i % 2 else forward, out=product)
        # The shift is arithmetic and `odd` keeps its high half: one mask mends both.
        torch.bitwise_right_shift(product, half, out=even)
        even0.bitwise_xor_(odd1)
        even1.bitwise_xor_(odd0)
        even.bitwise_xor_(round_keys[i]).bitwise_and_(mask)
        odd, product = product, odd
        odd0, odd1, product0, product1 = product0, product1, odd0, odd1
    return even, odd


Fill = Callable[[Tensor, Tensor, Tensor], None]


def _draw(
    kind: str,
    fill: Fill,
    per_block: int,
    dtype: torch.dtype,
    seed: int,
    stream: str,
    rows: Tensor,
    queries: Tensor,
    shape: Sequence[int],
    device: torch.device | str | None,
) -> Tensor:
    """Run ``fill`` over cache-sized tiles of the (row, block) plane."""
    rows, queries = _keys(rows, queries)
    place = rows.device if device is None else torch.device(device)
    shape = tuple(shape)
    n, elements = len(rows), math.prod(shape)
    blocks = -(-elements // per_block)
    if not n or not elements:
        return torch.empty((n, *shape), dtype=dtype, device=place)
    out = torch.empty((n, blocks, per_block), dtype=dtype, device=place)

    digest = hashlib.blake2b(f"{kind}:{seed}:{stream}".encode(), digest_size=8).digest()
    key = int.from_bytes(digest, "little")
    rows = rows.to(place).unsqueeze(1)
    queries = queries.to(place).unsqueeze(1)
    low, high = queries & _WORD, queries >> 32
    block = torch.arange(blocks, dtype=torch.int64, device=place).unsqueeze(0)

    if place.type == "cpu":
        tile = _CPU_BLOCKS * torch.get_num_threads()
    else:
        tile = _DEVICE_BLOCKS
    wide = min(blocks, tile)
    tall = tile // wide
    for top in range(0, n, tall):
        r = slice(top, top + tall)
        for left in range(0, blocks, wide):
            b = slice(left, left + wide)
            even, odd = philox((block[:, b], low[r], rows[r], high[r]), key)
            fill(even, odd, out[r, b])
    return out.view(n, -1)[:, :elements].reshape(n, *shape)


def _keys(rows: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """The keys, checked, as int64."""
    for name, keys in (("rows", rows), ("queries", queries)):
        if not isinstance(keys, Tensor):
            got = type(keys).__name__
            raise DomainError(f"expected {name} to be a Tensor, got {got}")
        if keys.dtype not in _WHOLE or keys.dim() != 1:
            got = f"{keys.dtype} of shape {tuple(keys.shape)}"
            raise DomainError(
                f"expected {name} to be whole numbers of shape (N,), got {got}"
            )
    if rows.shape != queries.shape:
        raise DomainError(
            f"expected queries of the shape of rows {tuple(rows.shape)}, "
            f"got {tuple(queries.shape)}"
        )
    rows, queries = rows.to(torch.int64), queries.to(torch.int64)
    if bool((rows >> 32).any()):
        bad = rows[(rows >> 32) != 0][0]
        raise DomainError(f"expected rows in [0, 2**32), got {int(bad)}")
    if bool((queries < 0).any()):
        raise DomainError(f"expected queries >= 0, got {int(queries.min())}")
    return rows, queries


# A fill turns words (2, rows, blocks) into draws, one cell (rows, blocks, per_block).
# log, sine and cosine run on contiguous memory only: there torch's vector code treats
# every element alike, while strided memory would meet another libm.


def _box_muller(square: Tensor, angle: Tensor, cells: Tensor) -> None:
    radius = square.sqrt_()
    torch.mul(radius, angle.cos(), out=cells[..., 0])
    torch.mul(radius, angle.sin_(), out=cells[..., 1])


def _normals32(even: Tensor, odd: Tensor, cells: Tensor) -> None:
    # Near 0, where the tail is made, u keeps all of its 32 bits.
    u = even.to(torch.float32).mul_(2.0**-32).add_(2.0**-33)
    # Shifted to the top, the low word reads as a signed fraction of a half turn.
    angle = odd.bitwise_left_shift_(32).to(torch.float32).mul_(math.pi * 2.0**-63)
    pairs = cells.unflatten(-1, (2, 2)).movedim(-2, 0)
    _box_muller(u.log_().mul_(-2.0), angle, pairs)


def _fraction53(even: Tensor, odd: Tensor) -> Tensor:
    """53-bit whole numbers as float64: 32 bits of the even word, 21 of the odd."""
    odd.bitwise_right_shift_(11).bitwise_and_(0x1FFFFF)
    return even.bitwise_left_shift_(21).bitwise_or_(odd).to(torch.float64)


def _normals64(even: Tensor, odd: Tensor, cells: Tensor) -> None:
    first, second = _fraction53(even, odd).unbind()
    u = first.add_(0.5).mul_(2.0**-53)
    _box_muller(u.log_().mul_(-2.0), second.mul_(2.0 * math.pi * 2.0**-53), cells)


def _words(even: Tensor, odd: Tensor) -> Tensor:
    """The four words of each block in order: (rows, blocks, 4)."""
    return torch.stack((even, odd), dim=-1).movedim(0, -2).flatten(-2)


def _uniforms32(even: Tensor, odd: Tensor, cells: Tensor) -> None:
    top = (_words(even, odd) >> 8).bitwise_and_(0xFFFFFF)
    torch.mul(top.to(torch.float32), 2.0**-24, out=cells)


def _uniforms64(even: Tensor, odd: Tensor, cells: Tensor) -> None:
    cells.copy_(_fraction53(even, odd).mul_(2.0**-53).movedim(0, -1))


def _signs(even: Tensor, odd: Tensor, cells: Tensor) -> None:
    top = (_words(even, odd) >> 31).bitwise_and_(1)
    cells.copy_(top.mul_(2).sub_(1))
