"""The image as JPEG leaves it (Das et al., KDD 2018; Guo et al., ICLR 2018)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax import expect
from querytax.defenses.deciding import Deciding, check_maps
from querytax.defenses.defense import Defense, Keys, Model, standard_deviation
from querytax.expect import DomainError
from querytax.models import ask

__all__ = ["JPEG", "MOST_COARSENESS"]

MOST_COARSENESS = 99.0
_MODES = {1: "L", 3: "RGB"}


class JPEG(Deciding):
    """Answer about the image after a JPEG codec has packed and unpacked it.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, C, H, W) in [0, 1], grey or RGB, to answers (N, classes).
    coarseness : float
        100 less the quality, which is rounded to a whole number; at most 99. At 0 the
        answer is the model's own, without the codec and without its eight bits.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        Nothing is drawn; a defence behind it may.

    Raises
    ------
    DomainError
        For a coarseness out of range; when asked, for images of another shape.

    Notes
    -----
    Pixels are cut to [0, 1] and rounded to eight bits; the codec is Pillow's, with its
    own tables and, for RGB, its own halving of the colours. It is deterministic.

    The answer is a staircase: its true slope is 0, or nothing. The gradient passes the
    codec unchanged, as an attacker with the weights would let it pass (BPDA; Athalye et
    al. 2018). It foretells what steps do that are wider than the codec's, and nothing
    of narrower ones: the probe compares both, and believes it at usual qualities only.
    """

    def __init__(
        self, model: Model, coarseness: float, *, experiment_seed: Any = None
    ) -> None:
        super().__init__(model, experiment_seed=experiment_seed)
        one = standard_deviation(coarseness=coarseness)
        most = MOST_COARSENESS
        self.coarseness = expect.that(one <= most, f"<= {most:g}", coarseness=one)

    def _settings(self) -> str:
        return f"coarseness={self.coarseness:g}"

    @property
    def quality(self) -> int:
        """The codec's, 1 to 100."""
        return round(100.0 - self.coarseness)

    @property
    def touches_input(self) -> bool:
        return self.coarseness > 0

    def before(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        if not self.coarseness or not len(x):
            return x
        if check_maps(x).shape[1] not in _MODES:
            raise DomainError(
                "expected images of 1 or 3 channels, which JPEG knows, "
                f"got shape {tuple(x.shape)}"
            )
        packed: Tensor = _Codec.apply(x, self.quality)
        return packed

    def after(self, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        # A model may hand out its input or a tensor that it keeps.
        return answer.clone()

    def decide(self, model: Model, x: Tensor) -> Tensor:
        return ask(model, self.before(x, None, None))

    before.__doc__ = Defense.before.__doc__
    after.__doc__ = Defense.after.__doc__
    decide.__doc__ = Deciding.decide.__doc__


class _Codec(torch.autograd.Function):
    """The codec row by row; backwards, nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quality: int) -> Tensor:
        from PIL import Image

        wide = x.detach().to("cpu", torch.float64).clamp(0.0, 1.0)
        pixels = (255.0 * wide).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        mode = _MODES[x.shape[1]]
        out = np.empty(pixels.shape, dtype=np.uint8)
        for row, image in enumerate(pixels):
            grey = image[..., 0] if mode == "L" else image
            file = io.BytesIO()
            Image.fromarray(grey).save(file, "JPEG", quality=quality)
            out[row] = np.asarray(Image.open(file)).reshape(image.shape)
        unpacked = torch.from_numpy(out).permute(0, 3, 1, 2).to(x.device)
        return (unpacked.double() / 255.0).to(x.dtype).contiguous()

    @staticmethod
    def backward(ctx: Any, *given: Any) -> Any:
        return given[0], None
