"""What an array's numbers are: where its channels stand, and what white is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax import expect
from querytax.expect import DomainError

__all__ = [
    "LAYOUTS",
    "WHITE",
    "channels_first",
    "check_room",
    "numbers",
    "resized",
    "scaled",
    "wanted_size",
]

LAYOUTS = ("NCHW", "NHWC", "NHW", "as is")
# White, in bytes.
WHITE = 255.0
# Floats up to here or above, and up to white, are bytes that were converted.
_BRIGHT = 128.0
_CHANNELS = (1, 3, 4)


def numbers(value: Any) -> Tensor:
    """As a tensor on the CPU, of the type that it has."""
    if isinstance(value, Tensor):
        if value.is_meta:
            raise DomainError("expected images to hold numbers, got no data (meta)")
        value = value.detach().cpu()
        if value.is_quantized:
            value = value.dequantize()
        if value.layout is not torch.strided:
            value = value.to_dense()
        if value.is_complex():
            raise DomainError(f"expected images to be numbers, got {value.dtype}")
        return value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise DomainError(
            "expected images to be numbers, got arrays of several shapes"
        ) from None
    if array.dtype.kind not in "fiub":
        what = array.dtype if array.ndim else type(value).__name__
        raise DomainError(f"expected images to be numbers, got {what}")
    kind, width = array.dtype.kind, array.dtype.itemsize
    if kind == "f" and width > 8:
        array = array.astype(np.float64)
    elif kind == "u" and width > 1:
        array = array.astype(np.int64)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    # What may not be written to is no tensor's memory.
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def channels_first(x: Tensor, layout: str | None) -> Tensor:
    """``(N, C, H, W)`` from a batch in any layout."""
    if layout is not None and layout != "as is" and x.ndim != len(layout):
        raise DomainError(f"expected images as {layout}, got shape {tuple(x.shape)}")
    layout = layout or _layout(x)
    if layout == "NHWC":
        return x.movedim(-1, 1)
    return x[:, None] if layout == "NHW" else x


def _layout(x: Tensor) -> str:
    """Where the channels stand, if that is certain."""
    floats, shape = x.is_floating_point(), tuple(x.shape)
    if x.ndim == 3:
        return "NHW" if not floats or shape[1] == shape[2] else "as is"
    if x.ndim != 4:
        return "as is"
    either = shape[1] in _CHANNELS and shape[3] in _CHANNELS
    if either and shape[1:] != (1, 1, 1):
        first, last = shape[2] == shape[3], shape[1] == shape[2]
    else:
        first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
        # Floats of many channels stand as everything here takes them.
        first = first or (floats and not last)
    if first != last or shape[1:] == (1, 1, 1):
        return "NCHW" if first else "NHWC"
    raise DomainError(
        "expected images (N, C, H, W) or (N, H, W, C) with C of 1, 3 or 4, got "
        f"{shape}{', which could be both' if either else ''}: give layout as NCHW or "
        "NHWC"
    )


def scaled(x: Tensor, white: float | None, scale: float | None) -> Tensor:
    """Float32 in [0, 1]; the scale is asked for where the values do not tell it."""
    if not x.numel():
        raise DomainError(
            f"expected images of at least one pixel, got shape {tuple(x.shape)}"
        )
    if scale is None:
        scale = white or _scale(x)
    found = x.to(torch.float32).contiguous()
    if scale != 1.0:
        # In place where the memory is ours.
        found = found / scale if found is x else found.div_(scale)
    low, high = found.amin().item(), found.amax().item()
    if not (low >= 0.0 and high <= 1.0):
        raise DomainError(
            f"expected images in [0, 1] after division by {scale:g}, "
            f"got values in [{low:g}, {high:g}]"
        )
    return found


def _scale(x: Tensor) -> float:
    low, high = float(x.amin()), float(x.amax())
    if x.dtype == torch.bool:
        return 1.0
    if x.dtype == torch.uint8:
        if high == 1:
            raise DomainError(
                "expected bytes between 0 and 255, got none above 1: give scale as 1 "
                "or 255"
            )
        return WHITE
    if not (low >= 0.0 and high < np.inf):
        standard = "; of standardised ones give those before, and let the model do it"
        raise DomainError(
            f"expected images in [0, 1] or [0, 255], got values in [{low:g}, {high:g}]"
            + (standard if low < 0.0 else "")
        )
    if x.is_floating_point() and high <= 1.0:
        return 1.0
    if _BRIGHT <= high <= WHITE:
        return WHITE
    raise DomainError(
        f"expected images in [0, 1] or [0, 255], got {x.dtype} in [{low:g}, {high:g}]: "
        "give scale, the value of white"
    )


# -- sizes -----------------------------------------------------------------------


def wanted_size(size: int | Sequence[int] | None) -> tuple[int, int] | int | None:
    if size is None:
        return None
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool):
        return int(expect.count(size=int(size)))
    sides = tuple(size) if isinstance(size, Sequence) else ()
    if len(sides) != 2 or isinstance(size, str):
        raise DomainError(f"expected size to be a number or two, got {size!r}")
    height, width = (int(expect.count(size=side)) for side in sides)
    return height, width


def resized(x: Tensor, size: tuple[int, int] | int) -> Tensor:
    """``(C, H, W)`` float32 of the wanted size, in the units that it had."""
    if x.ndim != 3 or not x.numel():
        raise DomainError(f"expected images to resize, got shape {tuple(x.shape)}")
    height, width = x.shape[1:]
    if isinstance(size, int):
        ratio = size / min(height, width)
        to = max(size, round(height * ratio)), max(size, round(width * ratio))
        cut = size, size
    else:
        to = cut = size
    check_room(4 * len(x) * to[0] * to[1])
    x = x.to(torch.float32)
    if to != (height, width):
        low, high = float(x.amin()), float(x.amax())
        x = torch.nn.functional.interpolate(
            x[None], to, mode="bilinear", antialias=True, align_corners=False
        )[0].clamp_(low, high)  # By rounding alone it passes them.
    top, left = (to[0] - cut[0]) // 2, (to[1] - cut[1]) // 2
    return x[:, top : top + cut[0], left : left + cut[1]]


def check_room(n_bytes: float) -> None:
    """Refuse what the free memory cannot hold."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            lines = dict(line.split(":", 1) for line in stream)
        free = 1024.0 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return  # Nobody says.
    if n_bytes > free:
        raise DomainError(
            f"expected images that fit into {free / 1e9:.3g} GB of free memory, got "
            f"{n_bytes / 1e9:.3g} GB: give limit"
        )
