"""What an attacker does, as frozen data: attacks run it, predictions read it."""

from __future__ import annotations

import dataclasses
import math
import numbers
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from querytax import expect

__all__ = [
    "INCUMBENTS",
    "LOSSES",
    "NORMS",
    "POLICIES",
    "READINGS",
    "NESPlan",
    "Plan",
    "check_budget",
    "reading",
]

NORMS = ("Linf", "L2")
# What probes measure, and what else an attacker may make of an answer: what does not
# see a scale of the logits, and what takes off a map of their margin, with its period.
LOSSES = ("ce", "margin")
READINGS = (*LOSSES, "ratio", "unfold", "undash")
_PERIODS = {"unfold": 4.0, "undash": 6.0}
INCUMBENTS = ("stale", "requery", "mean")
# Of searches that may be led astray on purpose.
POLICIES = (*INCUMBENTS, "turning")


@dataclass(frozen=True)
class Plan:
    """What every attack's plan has: its budget of perturbation, and how often it asks.

    Attributes
    ----------
    eps : float
        Radius of the perturbation budget, [0, 1] pixel units.
    norm : {"Linf", "L2"}
        Its norm.
    loss : str
        What the attacker makes of an answer: ``ce``, ``margin``, or what undoes a
        defence, ``ratio``, ``unfold:PERIOD`` and ``undash:PERIOD``, see
        :func:`querytax.losses.attacker_loss`. Attacks that see labels alone do not
        use it.
    repeats : int
        How often each question is asked. Scores are averaged before the loss, labels
        go by majority.
    sequential : bool
        Whether asking a question again ends as soon as it is clear that the answer is
        adversarial or is not, after ``repeats`` at the latest.
    name : str
        How results refer to it.

    Raises
    ------
    DomainError
        If a value is outside its range.
    """

    attack: ClassVar[str] = ""
    # Whether the attack wants images (C, H, W), not just any shape.
    planar: ClassVar[bool] = False

    eps: float
    norm: str = "Linf"
    loss: str = "margin"
    repeats: int = 1
    sequential: bool = False
    name: str = "published"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _single(field.name, getattr(self, field.name), field.default)
        check_budget(self.eps, self.norm)
        reading(self.loss)
        object.__setattr__(self, "repeats", int(expect.count(repeats=self.repeats)))

    @property
    def width(self) -> int:
        """Most questions about one image in one turn; bounds memory."""
        return 1

    @property
    def least(self) -> int:
        """Questions about an image until the first that can succeed, that included."""
        return 1

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Whether images of this shape can be attacked so.

        Raises
        ------
        DomainError
            If they cannot, or the budget is larger than they are.
        """
        check_budget(self.eps, self.norm, math.prod(shape))
        coarse = getattr(self, "block", 1) > 1 or getattr(self, "side", 0) > 0
        if len(shape) != 3 and (self.planar or coarse):
            raise expect.DomainError(
                f"expected images (C, H, W) for {self.attack}"
                f"{'' if self.planar else ' on a coarse grid'}, got shape {shape}"
            )

    def replace(self, **changes: Any) -> Self:
        """The same plan with some values changed.

        Raises
        ------
        DomainError
            For a name that this plan does not have, with those that it has.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            expect.one_of(known, setting=name)
        return dataclasses.replace(self, **changes)

    def describe(self) -> str:
        """One line for a person: every setting that is not at its default."""
        said = [f"{self.attack}, {self.norm} eps {self.eps:.4g}"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in ("eps", "norm", "name") and value != field.default:
                shown = f"{value:.3g}" if isinstance(value, float) else f"{value}"
                said.append(f"{field.name} {shown}")
        return ", ".join(said)


def reading(loss: str) -> tuple[str, float]:
    """A word of ``READINGS``, and its period: what is written behind a colon, or usual.

    A map of period 0 maps nothing, and leaves a margin.

    Raises
    ------
    DomainError
        For an unknown word, or a period that is negative or has no use.

    Examples
    --------
    >>> reading("unfold:6")
    ('unfold', 6.0)
    """
    word, colon, number = loss.partition(":")
    expect.one_of(READINGS, loss=word)
    if not colon:
        return word, _PERIODS.get(word, 0.0)
    try:
        period = float(number) if word in _PERIODS else math.nan
    except ValueError:
        period = math.nan
    if not 0.0 <= period < math.inf:
        raise expect.DomainError(
            "expected loss to be a word, or with a period >= 0 as in unfold:4, "
            f"got {loss!r}"
        )
    return (word if period else "margin"), period


def check_budget(eps: float, norm: str, dimension: int | None = None) -> None:
    """Fail on a perturbation budget that no image in [0, 1] has.

    Parameters
    ----------
    eps, norm
    dimension : int, optional
        Numbers in an image, where that is known.

    Raises
    ------
    DomainError
        For an unknown norm, or a radius that is not above 0; of Linf one above 1,
        which is mostly one in 255ths; of L2 one above the distance of black and white.
    """
    expect.positive(eps=eps)
    expect.one_of(NORMS, norm=norm)
    if norm == "L2" and dimension is not None and eps > math.sqrt(dimension):
        raise expect.DomainError(
            f"expected eps <= {math.sqrt(dimension):.4g} for L2, the largest distance "
            f"of two images of {dimension} numbers in [0, 1], got {eps:g}"
        )
    if norm == "Linf" and eps > 1.0:
        hint = f"; do you mean {eps:g}/255?" if eps <= 255 else ""
        raise expect.DomainError(
            f"expected eps <= 1 for Linf, of pixels in [0, 1], got {eps:g}{hint}"
        )


def _single(name: str, value: Any, default: Any) -> None:
    """A setting is one number or word; a switch is true or false, nothing else."""
    if isinstance(default, bool):
        right, words = isinstance(value, bool), "true or false"
    elif isinstance(default, str):
        right, words = isinstance(value, str), "a word"
    elif isinstance(default, numbers.Real):
        right = isinstance(value, numbers.Real) and not isinstance(value, bool)
        words = "one number"
    else:
        return
    if not right:
        raise expect.DomainError(f"expected {name} to be {words}, got {value!r}")


@dataclass(frozen=True)
class NESPlan(Plan):
    """Gradient estimation by antithetic pairs of queries, followed by projected steps.

    A step asks ``2 * pairs`` questions at ``x ± probe * u`` with ``u ~ N(0, I)``,
    averages ``(loss_plus - loss_minus) u / (2 probe)``, and moves by ``step``. Then one
    question is about the new iterate itself.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`Plan`; the loss is ``ce`` unless told otherwise.
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
    block : int
        Side of the squares of pixels that a direction moves together; 1 is white
        noise. Coarse directions have fewer dimensions to get lost in.
    momentum : float
        Share of the last step's estimate that is added to this one's, in [0, 1).

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

    attack: ClassVar[str] = "nes"

    loss: str = "ce"
    probe: float = 0.01
    pairs: int = 10
    step: float = 0.01
    step_rule: str = "sign"
    block: int = 1
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.positive(probe=self.probe)
        object.__setattr__(self, "pairs", int(expect.count(pairs=self.pairs)))
        expect.positive(step=self.step)
        expect.one_of(("sign", "unit", "plain"), step_rule=self.step_rule)
        object.__setattr__(self, "block", int(expect.count(block=self.block)))
        expect.fraction(momentum=self.momentum)

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return self.queries_per_step

    @property
    def queries_per_step(self) -> int:
        """Questions that one gradient estimate costs."""
        return 2 * self.pairs

    @property
    def least(self) -> int:
        """A gradient and the first new iterate."""
        return self.queries_per_step + 1

    def describe(self) -> str:
        """One line for a person."""
        more = ""
        if self.block > 1:
            more += f", blocks of {self.block}"
        if self.momentum:
            more += f", momentum {self.momentum:.3g}"
        if self.repeats > 1:
            more += f", each asked {self.repeats} times"
        return (
            f"NES, {self.norm} eps {self.eps:.4g}, probe {self.probe:.3g}, "
            f"{self.pairs} pair{'s' if self.pairs > 1 else ''} a step, "
            f"{self.step_rule} step {self.step:.3g}, {self.loss} loss{more}"
        )
