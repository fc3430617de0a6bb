"""What an attacker does, as frozen data: attacks run it, predictions read it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from querytax import expect

__all__ = ["LOSSES", "NORMS", "NESPlan"]

NORMS = ("Linf", "L2")
LOSSES = ("ce", "margin")


@dataclass(frozen=True)
class NESPlan:
    """Gradient estimation by antithetic pairs of queries, followed by projected steps.

    A step asks ``2 * pairs`` questions at ``x ± probe * u`` with ``u ~ N(0, I)``,
    averages ``(loss_plus - loss_minus) u / (2 probe)``, and moves by ``step``.

    Attributes
    ----------
    eps : float
        Radius of the perturbation budget, [0, 1] pixel units.
    norm : {"Linf", "L2"}
        Its norm.
    probe : float
        Standard deviation of a probe per pixel (beta). Probes may leave the budget;
        only the final image is bound by it.
    pairs : int
        Antithetic pairs a step.
    step : float
        Length of a step in the units of ``eps``; a learning rate for ``plain``.
    step_rule : {"sign", "unit", "plain"}
        ``sign``: ``step * sign(g)``; ``unit``: ``step * g / |g|_2``; both of fixed
        length. ``plain``: ``step * g``, a learning rate.
    loss : {"ce", "margin"}
        What the attacker makes of an answer, see :mod:`querytax.losses`.
    name : str
        How results refer to it.

    Raises
    ------
    DomainError
        If a value is outside its range.

    References
    ----------
    Ilyas, Engstrom, Athalye & Lin 2018, "Black-box Adversarial Attacks with Limited
    Queries and Information".

    Examples
    --------
    >>> NESPlan(eps=8 / 255).replace(probe=0.1).probe
    0.1
    """

    eps: float
    norm: str = "Linf"
    probe: float = 0.01
    pairs: int = 10
    step: float = 0.01
    step_rule: str = "sign"
    loss: str = "ce"
    name: str = "published"

    def __post_init__(self) -> None:
        expect.positive(eps=self.eps)
        expect.one_of(NORMS, norm=self.norm)
        expect.positive(probe=self.probe)
        object.__setattr__(self, "pairs", int(expect.integer(pairs=self.pairs)))
        expect.positive(step=self.step)
        expect.one_of(("sign", "unit", "plain"), step_rule=self.step_rule)
        expect.one_of(LOSSES, loss=self.loss)

    @property
    def queries_per_step(self) -> int:
        """Questions that one gradient estimate costs."""
        return 2 * self.pairs

    def replace(self, **changes: Any) -> NESPlan:
        """The same plan with some values changed."""
        return dataclasses.replace(self, **changes)

    def describe(self) -> str:
        """One line for a person."""
        return (
            f"NES, {self.norm} eps {self.eps:.4g}, probe {self.probe:.3g}, "
            f"{self.pairs} pair{'s' if self.pairs > 1 else ''} a step, "
            f"{self.step_rule} step {self.step:.3g}, {self.loss} loss"
        )
