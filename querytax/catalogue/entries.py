"""What a defence is, as plain data: settings by name, and one number for strength."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from querytax import expect
from querytax.expect import DomainError

__all__ = ["Defence", "Setting"]


@dataclass(frozen=True)
class Setting:
    """One setting of a defence.

    Attributes
    ----------
    default : bool, int, float or str
        Its kind is the setting's kind.
    about : str
        A few words, with the unit.
    low, high : float
        A number lies between them, ends included.
    words : tuple of str
        What a word may be; empty for any.
    """

    default: bool | int | float | str
    about: str
    low: float = -math.inf
    high: float = math.inf
    words: tuple[str, ...] = ()

    def read(self, name: str, value: Any) -> Any:
        """A value given in Python or written in a word, as the setting's kind.

        Raises
        ------
        DomainError
            For another kind, or a value out of range.
        """
        if isinstance(self.default, bool):
            given = {"true": True, "false": False}.get(str(value).lower())
            if given is None:
                raise DomainError(f"expected {name} to be true or false, got {value!r}")
            return given
        if isinstance(self.default, str):
            if not isinstance(value, str):
                raise DomainError(f"expected {name} to be a word, got {value!r}")
            return expect.one_of(self.words, **{name: value}) if self.words else value
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        whole = isinstance(self.default, int)
        if not self.low <= number <= self.high or (whole and number % 1):
            kind = "a whole number" if whole else "a number"
            raise DomainError(
                f"expected {name} to be {kind} in [{self.low:g}, {self.high:g}], "
                f"got {value!r}"
            )
        return int(number) if whole else number


@dataclass(frozen=True)
class Defence:
    """An entry of the catalogue.

    Attributes
    ----------
    word : str
    about : str
        What it does, in a line of at most 60 characters.
    random : str
        What is drawn afresh at every query; empty where nothing is.
    strength : str
        The number that says how strong it is; at 0 the model answers as without it.
    usual : float
        The published strength, or ours.
    most : float
        The largest strength that means something.
    levels : tuple of float
        Strengths that a probe measures.
    source : str
        Authors, year, title.
    comparison : str
        What becomes of S, the signal-to-noise ratio of a comparison; or why there is
        none, and what there is instead.
    breaker : str
        How an attacker who knows of it goes about it.
    attack : tuple of (str, mapping)
        That attacker's word and the settings that he changes; the defence's own
        numbers are put in where their names stand, as in ``unfold:{period!r}``.
    settings : mapping of str to Setting
    made : str
        ``module:class`` of the torch module; empty for noise at a place.
    trained : bool
        Whether the network is trained for it, and data are needed.
    decides : bool
        Whether it can change the class that the model without randomness answers.
    """

    word: str
    about: str
    random: str
    strength: str
    usual: float
    levels: tuple[float, ...]
    source: str
    comparison: str
    breaker: str
    attack: tuple[str, Mapping[str, Any]]
    most: float = math.inf
    settings: Mapping[str, Setting] = field(default_factory=dict)
    made: str = ""
    trained: bool = False
    decides: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    def read(self, given: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        """Settings that differ from their defaults, in the catalogue's order.

        Raises
        ------
        DomainError
            For a setting that this defence does not have, and one out of range.
        """
        for name in given:
            if name not in self.settings:
                known = ", ".join(self.settings) or "none"
                raise DomainError(
                    f"expected a setting of {self.word} ({known}), got {name!r}"
                )
        read = {name: s.read(name, given[name]) for name, s in self._given(given)}
        return tuple(
            (name, value)
            for name, value in read.items()
            if value != self.settings[name].default
        )

    def _given(self, given: Mapping[str, Any]) -> list[tuple[str, Setting]]:
        return [(name, s) for name, s in self.settings.items() if name in given]
