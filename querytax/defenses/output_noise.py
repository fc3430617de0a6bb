"""Gaussian noise on the answer: output noise perturbation and output randomisation."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from querytax import expect
from querytax.defenses.defense import Defense, Keys, Model, standard_deviation
from querytax.expect import DomainError

__all__ = ["OutputNoise"]


class OutputNoise(Defense):
    """Answer F(x) + sigma z with fresh standard normal z for every row of every query.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C). Where it has an attribute ``answers``
        that says ``"probabilities"``, they are taken as they are; logits go through
        a softmax first.
    sigma : float
        Standard deviation in units of the answer. At 0 the answer is exact.
    on : {"probabilities", "logits"}
        What the noise is added to, and what is answered.
    form : {"raw", "reflect", "clip"}
        ``raw``: F + v, which may leave [0, 1]; ``reflect``: min(|F + v|, 1);
        ``clip``: F + v clipped to [0, 1]. None is renormalised: that would tie the
        noise of one class to the noise of the others. On logits only ``raw``.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        None, for deployment: noise that nobody can predict or repeat. A whole number,
        or a generator to draw one from, is for experiments alone: whoever knows or
        finds it can subtract the noise.

    Raises
    ------
    DomainError
        For a sigma that is negative or not finite, for an unknown ``on`` or ``form``,
        for reflected or clipped logits, and for noise on the logits of a model that
        answers probabilities.
    """

    def __init__(
        self,
        model: Model,
        sigma: float,
        *,
        on: str = "probabilities",
        form: str = "raw",
        experiment_seed: Any = None,
    ) -> None:
        super().__init__(model, experiment_seed=experiment_seed)
        self.sigma = standard_deviation(sigma=sigma)
        self.on = expect.one_of(["probabilities", "logits"], on=on)
        self.form = expect.one_of(["raw", "reflect", "clip"], form=form)
        if on == "logits" and form != "raw":
            raise DomainError(
                f"expected form 'raw' on logits, which have no bounds, got {form!r}"
            )
        self._softmax = on == "probabilities" and self.answers == "logits"
        if on == "logits" and self.answers == "probabilities":
            raise DomainError(
                "expected on='probabilities' for a model that answers probabilities, "
                "got 'logits'"
            )
        self.answers = on

    def _settings(self) -> str:
        return f"sigma={self.sigma:g}, on={self.on}, form={self.form}"

    def before(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        return x

    def after(self, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        if not isinstance(self.model, Defense):
            self._listen(answer)
        if self._softmax and answer.shape[1] < 2:
            # One class would be answered with 1, whatever it is.
            raise DomainError(
                f"expected model to answer two classes or more on axis 1, got "
                f"{tuple(answer.shape)}: of other axes, qt.as_model(model, pick=...)"
            )
        exact = answer.softmax(dim=1) if self._softmax else answer
        noisy = self._add_noise(exact, self.sigma, "output", rows, queries)
        if self.form == "reflect":
            noisy = noisy.abs().clamp(max=1)
        elif self.form == "clip":
            noisy = noisy.clamp(0, 1)
        # The model may have handed out its input or a tensor that it keeps.
        return noisy.clone() if noisy is answer else noisy

    before.__doc__ = Defense.before.__doc__
    after.__doc__ = Defense.after.__doc__
