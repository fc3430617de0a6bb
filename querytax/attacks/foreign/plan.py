"""What a library's attack is told to do, as a plan of ours."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

from querytax import expect
from querytax.attacks.block import ACCESS
from querytax.attacks.foreign.meter import PROBABILITIES
from querytax.attacks.foreign.table import Foreign, find, load
from querytax.plans import Plan

__all__ = ["ForeignPlan", "foreign_plan", "library_of"]

# Arguments of the libraries' classes that are ours to give.
_OURS = (
    *("model", "estimator", "classifier", "args", "kwargs"),
    *("eps", "norm", "constraint", "targeted", "verbose", "batch_size"),
)


@dataclass(frozen=True)
class ForeignPlan(Plan):
    """What a library's attack was told to do.

    Attributes
    ----------
    eps, norm, name
        As in :class:`querytax.plans.Plan`. What a library cannot be told stands at its
        default and has no effect: ``loss``, ``repeats`` and ``sequential``.
    what : str
        Library and attack, as in ``"art:square"``.
    settings : tuple of (str, value)
        All that the attack's class was given beside these, sorted.
    version : str
        Of the library.
    probabilities : {"answered", "renormalised", "logarithm"}
        What it was told where the model answers probabilities.
    restarts : int
        How often it was begun again, at most.
    seconds : float or None
        What one image might take.
    """

    attack: ClassVar[str] = "foreign"

    name: str = "library"
    what: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    version: str = ""
    probabilities: str = "answered"
    restarts: int = 0
    seconds: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.one_of(PROBABILITIES, probabilities=self.probabilities)
        restarts = int(expect.count(minimum=0, restarts=self.restarts))
        object.__setattr__(self, "restarts", restarts)
        object.__setattr__(self, "settings", tuple(sorted(self.settings)))
        if self.seconds is not None:
            expect.positive(seconds=self.seconds)

    def describe(self) -> str:
        """One line for a person."""
        said = [f"{self.what}{self.version and f' of {self.version}'}"]
        said.append(f"{self.norm} eps {self.eps:.4g}")
        said += [f"{name} {value}" for name, value in self.settings]
        if self.probabilities == "renormalised":
            said.append("probabilities clipped at 0 and renormalised")
        elif self.probabilities == "logarithm":
            said.append("logarithms of probabilities")
        if self.restarts:
            said.append(f"begun again up to {self.restarts} times")
        if self.seconds is not None:
            said.append(f"{self.seconds:g} s an image")
        return ", ".join(said)


def foreign_plan(
    what: str,
    *,
    eps: float,
    norm: str = "Linf",
    n_queries: int = 10_000,
    access: str = "scores",
    shape: tuple[int, ...],
    targets: bool = False,
    starts: bool = False,
    probabilities: str = "answered",
    restarts: int = 0,
    seconds: float | None = None,
    **settings: Any,
) -> ForeignPlan:
    """What :func:`foreign_attack` would tell a library's attack to do.

    Parameters
    ----------
    what : str
        Library and attack, such as ``"art:square"``.
    eps, norm, n_queries, access, probabilities, restarts, seconds, **settings
        As in :func:`foreign_attack`.
    shape : tuple of int
        Of one image.
    targets, starts : bool
        Whether it is given some.

    Raises
    ------
    DomainError
        If there is no such attack or setting, it cannot do what is asked, or its
        library is not installed.
    """
    entry = find(what)
    expect.one_of(entry.norms, **{f"norm of {what}": norm})
    expect.one_of(ACCESS, access=access)
    if ACCESS.index(access) > ACCESS.index(entry.access):
        raise expect.DomainError(
            f"expected access {entry.access!r} or more for {what}, got {access!r}"
        )
    if starts and not entry.starts:
        raise expect.DomainError(f"expected no starts, {what} makes its own")
    if entry.targeted == "only" and not targets:
        raise expect.DomainError(f"expected targets for {what}, got None")
    if entry.targeted == "start" and targets and not starts:
        raise expect.DomainError(f"expected starts with targets for {what}, got None")
    given = inspect.signature(load(what)).parameters
    for setting in settings:
        expect.one_of([n for n in given if n not in _OURS], setting=setting)
    own = library_of(entry).settings(what, n_queries, shape)
    return ForeignPlan(
        eps=eps,
        norm=norm,
        what=what,
        settings=tuple({**own, **settings}.items()),
        version=f"{entry.package} {importlib.metadata.version(entry.package)}",
        probabilities=probabilities,
        restarts=restarts,
        seconds=seconds,
    )


def library_of(entry: Foreign) -> Any:
    """The module of ours that speaks to a library."""
    return importlib.import_module(f"querytax.attacks.foreign.{entry.library}")
