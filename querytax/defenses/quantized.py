"""Answers rounded to multiples of a step, with or without dither."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from querytax import expect
from querytax.defenses.defense import Defense, Keys, Model, standard_deviation
from querytax.expect import DomainError

__all__ = ["Quantized"]


class Quantized(Defense):
    """Answer the multiple of ``step`` that is nearest to each score.

    With ``dither`` a fresh uniform number of one step's width is added to each score
    first: the answer is then right in the mean, and rounds each score up or down by
    chance.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C). Logits go through a softmax first,
        unless it is they that are rounded.
    step : float
        In units of the answer. At 0 the answer is exact.
    dither : bool
    on : {"probabilities", "logits"}
        What is rounded, and answered. Rounded probabilities need not sum to 1.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        As for `Defense`; of use with dither alone.

    Raises
    ------
    DomainError
        For a step that is negative or not finite, of probabilities one above 1, and
        for the logits of a model that answers probabilities.

    Notes
    -----
    Two classes that are rounded to one number are a tie, which most readers give to the
    first of them. Gradients pass the rounding unchanged.
    """

    def __init__(
        self,
        model: Model,
        step: float,
        *,
        dither: bool = False,
        on: str = "probabilities",
        experiment_seed: Any = None,
    ) -> None:
        super().__init__(model, experiment_seed=experiment_seed)
        self.step = standard_deviation(step=step)
        self.dither = bool(dither)
        self.on = expect.one_of(["probabilities", "logits"], on=on)
        if on == "probabilities" and self.step > 1.0:
            raise DomainError(f"expected step <= 1 of probabilities, got {step:g}")
        if on == "logits" and self.answers == "probabilities":
            raise DomainError(
                "expected on='probabilities' for a model that answers probabilities, "
                "got 'logits'"
            )
        self._softmax = on == "probabilities" and self.answers == "logits"
        self.answers = on

    def _settings(self) -> str:
        return f"step={self.step:g}, dither={self.dither}, on={self.on}"

    def before(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        return x

    def after(self, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        if not isinstance(self.model, Defense):
            self._listen(answer)
        exact = answer.softmax(dim=1) if self._softmax else answer
        if self.step == 0:
            # The model may have handed out its input or a tensor that it keeps.
            return exact.clone()
        steps = exact.detach().double() / self.step
        if self.dither:
            u = self._uniforms(exact.shape[1:], "dither", exact, rows, queries)
            rounded = (steps + u).floor_().mul_(self.step).to(exact.dtype)
        else:
            rounded = steps.round_().mul_(self.step).to(exact.dtype)
        return rounded + (exact - exact.detach()) if exact.requires_grad else rounded

    before.__doc__ = Defense.before.__doc__
    after.__doc__ = Defense.after.__doc__
