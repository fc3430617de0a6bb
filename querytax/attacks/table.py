"""The table of attacks: what each needs, what it can do, and where it comes from."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from querytax import expect
from querytax.attacks.block import ACCESS, Questions
from querytax.plans import NORMS, Plan

__all__ = ["ATTACKS", "RECIPES", "Attack", "find", "plan_of"]

RECIPES = ("published", "adaptive")

# Word -> the module that holds its plan, its generator and its entry `ATTACK`.
ATTACKS: Mapping[str, str] = MappingProxyType(
    {
        "nes": "querytax.attacks.nes",
        "nestop1": "querytax.attacks.nestop1",
        "zosignsgd": "querytax.attacks.zosignsgd",
        "spsa": "querytax.attacks.spsa",
        "nattack": "querytax.attacks.nattack",
        "bandits": "querytax.attacks.bandits",
        "zoo": "querytax.attacks.zoo",
        "autozoom": "querytax.attacks.autozoom",
        "simba": "querytax.attacks.simba",
        "simbadct": "querytax.attacks.simba",
        "square": "querytax.attacks.square",
        "signhunter": "querytax.attacks.signhunter",
        "genattack": "querytax.attacks.genattack",
        "eco": "querytax.attacks.eco",
        "prgf": "querytax.attacks.prgf",
        "subspace": "querytax.attacks.subspace",
        "boundary": "querytax.attacks.boundary",
        "opt": "querytax.attacks.opt",
        "signopt": "querytax.attacks.signopt",
        "hopskipjump": "querytax.attacks.hopskipjump",
        "popskipjump": "querytax.attacks.popskipjump",
        "geoda": "querytax.attacks.geoda",
        "cgba": "querytax.attacks.cgba",
        "rays": "querytax.attacks.rays",
        "signflip": "querytax.attacks.signflip",
        "neslabels": "querytax.attacks.neslabels",
        "patterns": "querytax.attacks.patterns",
        "uniform": "querytax.attacks.uniform",
        "transfer": "querytax.attacks.transfer",
        "resubmit": "querytax.attacks.resubmit",
    }
)


@dataclass(frozen=True)
class Attack:
    """An entry of the table.

    Attributes
    ----------
    name : str
        One lower-case word.
    engine : callable
        ``engine(plan, block)`` is the attack's generator.
    plan : type of Plan
        Its defaults are the published settings, where these do not depend on the
        budget.
    access : {"scores", "top1", "labels"}
        The least that it must be told.
    norms : tuple of str
    targeted : bool
        Whether it can be sent for a class.
    source : str
        Authors, year, title.
    about : str
        What it does, in a line of at most 60 characters.
    published, adaptive : callable
        ``(eps, norm, shape)`` to the settings of a recipe that differ from the plan's
        defaults; ``shape`` is that of one image.
    surrogate : bool
        Whether it needs a network of the attacker's own.
    """

    name: str
    engine: Callable[..., Questions]
    plan: type[Plan]
    access: str
    norms: tuple[str, ...]
    targeted: bool
    source: str
    about: str
    published: Callable[..., dict[str, Any]] = field(default=lambda *_: {})
    adaptive: Callable[..., dict[str, Any]] = field(default=lambda *_: {})
    surrogate: bool = False

    def __post_init__(self) -> None:
        expect.one_of(ACCESS, access=self.access)
        for norm in self.norms:
            expect.one_of(NORMS, norm=norm)

    @property
    def norm(self) -> str:
        """The norm that it runs in unless told otherwise."""
        return "Linf" if "Linf" in self.norms else self.norms[0]

    def recipe(
        self, recipe: str, eps: float, norm: str, shape: tuple[int, ...], **changes: Any
    ) -> Plan:
        """A plan by one of the named recipes, with some settings changed.

        Raises
        ------
        DomainError
            For a recipe, norm or setting that this attack does not have.
        """
        expect.one_of(RECIPES, recipe=recipe)
        if norm not in self.norms:
            raise expect.DomainError(
                f"expected norm of {self.name} to be {' or '.join(self.norms)}, "
                f"got {norm!r}"
            )
        own = (self.published if recipe == "published" else self.adaptive)(
            eps, norm, tuple(shape)
        )
        plan = self.plan(eps=eps, norm=norm, name=recipe)
        return plan.replace(**{**own, **changes})


def find(name: str) -> Attack:
    """The attack of this name.

    Raises
    ------
    DomainError
        For an unknown one, with the nearest names.
    """
    if ":" in name:
        raise expect.DomainError(
            f"expected an attack of this house, got {name!r}; foreign_attack runs "
            "those of libraries"
        )
    expect.one_of(ATTACKS, attack=name)
    entry = importlib.import_module(ATTACKS[name]).ATTACK
    # A module may hold several attacks, by name.
    found: Attack = entry[name] if isinstance(entry, dict) else entry
    return found


def plan_of(
    name: str,
    eps: float,
    norm: str | None = None,
    *,
    recipe: str = "published",
    shape: tuple[int, ...],
    **changes: Any,
) -> Plan:
    """A plan of the named attack, by a recipe and with some settings changed.

    Parameters
    ----------
    name : str
        One of ``ATTACKS``.
    eps : float
        Radius of the perturbation budget, [0, 1] pixel units.
    norm : {"Linf", "L2"}, optional
        Linf where the attack knows it.
    recipe : {"published", "adaptive"}
    shape : tuple of int
        Of one image, ``(C, H, W)``.
    **changes
        Settings of the attack's plan.

    Returns
    -------
    Plan

    Raises
    ------
    DomainError
        For an attack, recipe, norm or setting that there is not.

    Examples
    --------
    >>> plan_of("square", 0.1, shape=(1, 28, 28), p=0.3).p
    0.3
    """
    entry = find(name)
    return entry.recipe(recipe, eps, norm or entry.norm, shape, **changes)
