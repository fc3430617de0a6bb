"""Every defence by its word, as plain data: what it draws, costs, and what breaks it.

Noise at a place (``input``, ``output``, a layer) is described beside its rivals, which
take a word of their own, settings by name, and one number that says how strong they
are: ``rls``, ``rls:low=0.25``, ``quantize:dither=true``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from querytax import expect
from querytax.catalogue.entries import Defence, Setting
from querytax.catalogue.places import PLACES
from querytax.catalogue.rewriting import NOT_BUILT, REWRITING
from querytax.catalogue.trained import TRAINED
from querytax.catalogue.transforms import TRANSFORMS

__all__ = ["DEFENCES", "NOT_BUILT", "Defence", "Setting", "find", "usual_strength"]

DEFENCES: Mapping[str, Defence] = MappingProxyType(
    {defence.word: defence for defence in (*PLACES, *REWRITING, *TRANSFORMS, *TRAINED)}
)


def find(word: str) -> Defence:
    """The defence of this word.

    Raises
    ------
    DomainError
        For an unknown one, with the nearest words.
    """
    expect.one_of(DEFENCES, defence=word)
    return DEFENCES[word]


def usual_strength(word: str) -> float:
    """The published strength of a rival of noise; no noise at a place."""
    entry = DEFENCES.get(word.partition(":")[0])
    return entry.usual if entry is not None and entry.made else 0.0
