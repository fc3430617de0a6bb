"""Defences that rewrite the scores of an answer, and leave images and network alone."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from querytax.defenses.defense import Defense, Keys

__all__ = ["Rewriting"]


class Rewriting(Defense):
    """Answer with logits that are made of the model's own.

    Where the model answers probabilities, their logarithms are its logits, up to a
    constant that no rewriting here sees, and what is made of them goes through a
    softmax: it answers what the model answers.

    Subclasses say what becomes of float64 logits, in `rewritten`.
    """

    # Whether the top class stays what it is, whatever is drawn.
    keeps_class: ClassVar[bool] = True

    @property
    def acts(self) -> bool:
        """Whether anything is rewritten; if not, the answer is the model's own."""
        raise NotImplementedError

    def rewritten(self, logits: Tensor, rows: Keys, queries: Keys) -> Tensor:
        """What is answered in place of ``logits``, (N, C, ...) float64."""
        raise NotImplementedError

    def before(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        return x

    def after(self, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        if not isinstance(self.model, Defense):
            self._listen(answer)
        if not self.acts:
            # The model may have handed out its input or a tensor that it keeps.
            return answer.clone()
        wide = answer.double()
        if self.answers == "probabilities":
            # Noise behind this layer may have made some negative.
            least = torch.finfo(answer.dtype).tiny
            said = self.rewritten(wide.abs().clamp_min(least).log(), rows, queries)
            said = said.softmax(dim=1)
        else:
            said = self.rewritten(wide, rows, queries)
        # Rounded once, from far more digits than are answered.
        said = said.to(answer.dtype)
        if not self.keeps_class:
            return said
        # Two classes may be one when rounded: such a row is answered as it is.
        kept = said.argmax(dim=1, keepdim=True) == answer.argmax(dim=1, keepdim=True)
        return torch.where(kept, said, answer)

    before.__doc__ = Defense.before.__doc__
    after.__doc__ = Defense.after.__doc__


def lead(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where each row's top class is, its logit, and the runner-up's: (N, 1, ...)."""
    at = logits.argmax(dim=1, keepdim=True)
    runner = logits.scatter(1, at, -torch.inf).amax(dim=1, keepdim=True)
    return at, logits.gather(1, at), runner
