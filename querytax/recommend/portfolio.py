"""Who attacks: every attack that an access allows, each with its choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from querytax import expect
from querytax.catalogue import DEFENCES
from querytax.evidence import Contender
from querytax.plans import NESPlan
from querytax.sites import Site

__all__ = ["ATTACKERS", "Entrant", "breakers", "entrant", "portfolio", "tuned"]

_BOTH = ("Linf", "L2")
# What the API gives away, the most first: who needs less may attack who tells more.
_ACCESS = ("scores", "top1", "labels")


@dataclass(frozen=True)
class Entrant:
    """What must be known of an attack before it is loaded.

    Attributes
    ----------
    access : {"scores", "top1", "labels"}
        The least that it must be told.
    norms : tuple of str
    planar : bool
        Whether it wants images (C, H, W).
    surrogate : bool
        Whether it needs a network of the attacker's own.
    choices : tuple of dict
        Settings that are raced beside those of its adaptive recipe.
    """

    access: str
    norms: tuple[str, ...] = _BOTH
    planar: bool = False
    surrogate: bool = False
    choices: tuple[dict[str, Any], ...] = ()


# The choices are those that decided a race somewhere: how coarse a direction is, how
# large a square, how many pairs, and what is believed of the best so far.
_FIELD = {
    "patterns": Entrant("labels"),
    "signhunter": Entrant("scores"),
    "square": Entrant(
        "scores",
        planar=True,
        choices=(
            {"p": 0.05},
            {"p": 0.3},
            {"p": 0.05, "incumbent": "stale"},
            {"p": 0.3, "incumbent": "stale"},
        ),
    ),
    "nes": Entrant(
        "scores",
        choices=(
            {"block": 1, "pairs": 25, "momentum": 0.5},
            {"block": 1, "pairs": 10},
            {"block": 4},
            {"block": 1, "pairs": 16, "probe": 0.2, "momentum": 0.0},
        ),
    ),
    "rays": Entrant("labels", ("Linf",)),
    "eco": Entrant("scores", ("Linf",), planar=True),
    "simbadct": Entrant("scores", planar=True),
    "simba": Entrant("scores", choices=({"block": 1},)),
    "zosignsgd": Entrant("scores", choices=({"block": 1},)),
    "spsa": Entrant("scores", choices=({"block": 1},)),
    "nattack": Entrant("scores"),
    "bandits": Entrant("scores"),
    "genattack": Entrant("scores", ("Linf",)),
    "hopskipjump": Entrant("labels", choices=({"block": 1},)),
    "popskipjump": Entrant("labels"),
    "geoda": Entrant("labels"),
    "signflip": Entrant("labels", ("Linf",), planar=True),
    "neslabels": Entrant("labels"),
    "nestop1": Entrant("top1"),
    "signopt": Entrant("labels"),
    "opt": Entrant("labels"),
    "cgba": Entrant("labels", ("L2",)),
    "boundary": Entrant("labels", ("L2",)),
    "zoo": Entrant("scores"),
    "autozoom": Entrant("scores"),
    "uniform": Entrant("labels"),
    "resubmit": Entrant("labels"),
    "transfer": Entrant("labels", surrogate=True),
    "prgf": Entrant("scores", surrogate=True),
    "subspace": Entrant("scores", surrogate=True),
}

# Attacks whose two recipes are the same.
_ONE_RECIPE = ("patterns",)

# An attack with its published settings, as the papers assume; all of an attack's
# settings; all attacks.
ATTACKERS = ("best", "published", *_FIELD)


def entrant(attack: str) -> Entrant:
    """What is known of an attack.

    Raises
    ------
    DomainError
        For an unknown one.
    """
    expect.one_of(_FIELD, attacker=attack)
    return _FIELD[attack]


def portfolio(
    attacker: str,
    *,
    access: str = "scores",
    norm: str = "Linf",
    planar: bool = True,
    surrogate: bool = False,
) -> tuple[Contender, ...]:
    """The contenders that an attacker may be: recipes and choices of each attack.

    Parameters
    ----------
    attacker : str
        ``best``: all attacks; an attack's word: its recipes and choices;
        ``published``: NES with its published settings; ``published:WORD`` another.
    access : {"scores", "top1", "labels"}
        What the API gives away.
    norm : {"Linf", "L2"}
    planar : bool
        Whether the images are (C, H, W).
    surrogate : bool
        Whether the attacker has a network of his own.

    Raises
    ------
    DomainError
        For an unknown word, or an attack that the access, norm or images forbid.
    """
    expect.one_of(_ACCESS, access=access)
    expect.one_of(_BOTH, norm=norm)
    word, _, rest = attacker.partition(":")
    if word == "published":
        name = rest or "nes"
        _allowed(name, access, norm, planar, surrogate)
        return (Contender(name, "published"),)
    expect.one_of(ATTACKERS, attacker=attacker)
    if attacker != "best":
        _allowed(attacker, access, norm, planar, surrogate)
        return tuple(_entries(attacker, norm, planar))
    return tuple(
        contender
        for name in _FIELD
        if not _forbidden(name, access, norm, planar, surrogate)
        for contender in _entries(name, norm, planar)
    )


def tuned(plan: NESPlan) -> Contender:
    """NES with the settings that a prediction chose."""
    names = ("loss", "probe", "pairs", "step", "step_rule", "block")
    own = {k: getattr(plan, k) for k in names if k != "block" or plan.block > 1}
    return Contender("nes", "published", tuple(own.items()))


def breakers(site: str) -> tuple[Contender, ...]:
    """Who knows of a rival of noise and goes about it; nobody for noise itself."""
    word = Site.parse(site).word
    if not word:
        return ()
    attack, changes = DEFENCES[word].attack
    own = dict(changes)
    return (Contender(attack, own.pop("recipe", "adaptive"), tuple(own.items())),)


def _entries(name: str, norm: str, planar: bool) -> list[Contender]:
    """An attack's adaptive recipe, its choices, and the published settings.

    Against little noise or none the published ones may be the strongest.
    """
    found = [Contender(name)]
    for choice in _FIELD[name].choices:
        own = dict(choice)
        # Flat images have no blocks: what is left may be the recipe itself.
        if not planar and (own.pop("block", 1) > 1 or own == {"pairs": 10}):
            continue
        if norm == "L2" and own == {"p": 0.3}:
            own = {}
        found.append(Contender(name, "adaptive", tuple(own.items())))
    if name not in _ONE_RECIPE:
        found.append(Contender(name, "published"))
    return list(dict.fromkeys(found))


def _forbidden(name: str, access: str, norm: str, planar: bool, surrogate: bool) -> str:
    """Why an attack is out, or nothing."""
    one = entrant(name)
    if _ACCESS.index(one.access) < _ACCESS.index(access):
        return f"access of {name} to be {one.access}, got {access!r}"
    if norm not in one.norms:
        return f"norm of {name} to be {' or '.join(one.norms)}, got {norm!r}"
    if one.planar and not planar:
        return f"images (C, H, W) for {name}, got others"
    if one.surrogate and not surrogate:
        return f"surrogate for {name}, a network of the attacker's own, got None"
    return ""


def _allowed(name: str, access: str, norm: str, planar: bool, surrogate: bool) -> None:
    reason = _forbidden(name, access, norm, planar, surrogate)
    if reason:
        raise expect.DomainError(f"expected {reason}")
