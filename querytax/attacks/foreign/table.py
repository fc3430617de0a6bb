"""The table of other people's attacks; reading it imports none of their libraries."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from querytax import expect
from querytax.plans import NORMS

__all__ = ["BARRED", "FOREIGN", "Foreign", "find", "load"]

# Library -> the name that it is installed by.
PACKAGES = {
    "art": "adversarial-robustness-toolbox",
    "foolbox": "foolbox",
    "torchattacks": "torchattacks",
}


@dataclass(frozen=True)
class Foreign:
    """An entry of the table.

    Attributes
    ----------
    library : {"art", "foolbox", "torchattacks"}
        Also the extra that installs it.
    kind : str
        The attack's class, in the module ``home``.
    home : str
    access : {"scores", "labels"}
        The least that it must be told.
    norms : tuple of str
        Balls that it can be held against.
    targeted : {"no", "yes", "start", "only"}
        Whether it can be sent for a class; ``start``: with ``starts``; ``only``: not
        without.
    bound : {"eps", "distance", "none"}
        What it does about the budget of perturbation: keeps to it, makes its distance
        small, or knows nothing of it. Only its questions inside the budget count.
    expects : {"either", "logits", "probabilities"}
        What it takes scores for.
    starts : bool
        Whether it can begin from an adversarial image.
    about : str
        What a user should know, in one line.
    """

    library: str
    kind: str
    home: str
    access: str
    norms: tuple[str, ...] = NORMS
    targeted: str = "yes"
    bound: str = "eps"
    expects: str = "either"
    starts: bool = False
    about: str = ""

    @property
    def package(self) -> str:
        """The name that the library is installed by."""
        return PACKAGES[self.library]


_ART = "art.attacks.evasion"
_FOOLBOX = "foolbox.attacks"

FOREIGN: Mapping[str, Foreign] = MappingProxyType(
    {
        "art:square": Foreign(
            "art",
            "SquareAttack",
            _ART,
            "scores",
            targeted="no",
            about="three predictions an iteration; L2 needs images of 10 pixels a side",
        ),
        "art:simba": Foreign(
            "art",
            "SimBA",
            _ART,
            "scores",
            bound="none",
            expects="probabilities",
            about="refuses answers that do not sum to one; attack='px' or 'dct'",
        ),
        "art:hopskipjump": Foreign(
            "art",
            "HopSkipJump",
            _ART,
            "labels",
            bound="distance",
            starts=True,
            about="begins with the model's one noisy answer as the label",
        ),
        "art:boundary": Foreign(
            "art",
            "BoundaryAttack",
            _ART,
            "labels",
            bound="distance",
            starts=True,
            about="25 trials of 20 samples a step",
        ),
        "art:signopt": Foreign(
            "art",
            "SignOPTAttack",
            _ART,
            "labels",
            targeted="start",
            bound="distance",
            starts=True,
            about="tries 100 directions, then 200 a gradient; its targets need starts",
        ),
        "art:zoo": Foreign(
            "art",
            "ZooAttack",
            _ART,
            "scores",
            bound="distance",
            about="two questions a coordinate; probes of 1e-4 drown in noise",
        ),
        "foolbox:boundary": Foreign(
            "foolbox",
            "BoundaryAttack",
            _FOOLBOX,
            "labels",
            bound="distance",
            starts=True,
            about="fails where its start is not adversarial when asked again",
        ),
        "foolbox:hopskipjump": Foreign(
            "foolbox",
            "HopSkipJumpAttack",
            _FOOLBOX,
            "labels",
            bound="distance",
            starts=True,
            about="asserts that the end of a bisection is adversarial",
        ),
        "foolbox:pointwise": Foreign(
            "foolbox",
            "PointwiseAttack",
            _FOOLBOX,
            "labels",
            bound="distance",
            starts=True,
            about="asserts that its start is adversarial when asked again",
        ),
        "foolbox:genattack": Foreign(
            "foolbox",
            "GenAttack",
            _FOOLBOX,
            "scores",
            ("Linf",),
            targeted="only",
            expects="logits",
            about="targeted alone",
        ),
        "torchattacks:square": Foreign(
            "torchattacks",
            "Square",
            "torchattacks",
            "scores",
            expects="logits",
            about="ends at its first adversarial answer",
        ),
        "torchattacks:pixle": Foreign(
            "torchattacks",
            "Pixle",
            "torchattacks",
            "scores",
            bound="none",
            expects="logits",
            about="moves pixels about: seldom inside a small budget",
        ),
        "torchattacks:onepixel": Foreign(
            "torchattacks",
            "OnePixel",
            "torchattacks",
            "scores",
            bound="none",
            expects="logits",
            about="sets single pixels: inside an L2 budget of 1, outside most of Linf",
        ),
        "torchattacks:spsa": Foreign(
            "torchattacks",
            "SPSA",
            "torchattacks",
            "scores",
            ("Linf",),
            expects="logits",
            about="never asks about its iterates: handed in once, at the end",
        ),
    }
)

# Attacks that people will look for, and why they do not run.
BARRED: Mapping[str, str] = MappingProxyType(
    {
        "art:geoda": "it calls numpy.mat, which NumPy 2 has not got",
        "torchattacks:autoattack": "most of it needs gradients; ask for "
        "'torchattacks:square', its part that does not",
        "art:autoattack": "most of it needs gradients; ask for 'art:square', its part "
        "that does not",
        "foolbox:brendelbethge": "it needs gradients",
        "art:brendelbethge": "it needs gradients",
    }
)


def find(what: str) -> Foreign:
    """The attack of this name.

    Raises
    ------
    DomainError
        For an unknown one, with the nearest names; for one that does not run, with
        the reason.
    """
    if what in BARRED:
        raise expect.DomainError(
            f"expected an attack that runs, {what!r}: {BARRED[what]}"
        )
    expect.one_of(FOREIGN, attack=what)
    return FOREIGN[what]


def load(what: str) -> type[Any]:
    """The attack's class, its library imported.

    Raises
    ------
    DomainError
        Where the library is not installed, with what installs it.
    """
    entry = find(what)
    try:
        importlib.import_module(entry.library)
        kind: type[Any] = getattr(importlib.import_module(entry.home), entry.kind)
    except ImportError as error:
        missing = error.name or entry.library
        first = missing.partition(".")[0]
        why = "" if first == entry.library else f" ({error})"
        raise expect.DomainError(
            f"expected {entry.package} for {what!r}, not installed{why}: "
            f'pip install "querytax[{entry.library}]"'
        ) from None
    return kind
