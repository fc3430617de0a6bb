"""Where a defence puts its noise, as one word: input, output, a layer's name, or a sum.

``input``; ``output`` (probabilities, reflected), or in full
``output:probabilities:clip``, ``output:logits:raw``; anything else is the dotted name
of a module of the network, as in ``layer3`` or ``features.4``: the noise is added to
what it returns, or with ``features.4:before`` to what it is given. Several places are
joined by ``+``, each with a weight if it is not 1, as in ``input*0.5+layer3*2``. A
weight ``?`` is to be found first, by ``recommend.mixtures``.

A rival of noise is one word of the `catalogue` with its settings, as in ``rls`` or
``rls:low=0.25``; its strength stands where noise has its sigma.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from querytax import expect
from querytax.catalogue import DEFENCES

__all__ = ["Site"]

_OUTPUTS = (
    "output:probabilities:reflect",
    "output:probabilities:clip",
    "output:probabilities:raw",
    "output:logits:raw",
)

_BEFORE = ":before"


@dataclass(frozen=True)
class Site:
    """A place for noise, or several; or a rival of noise.

    Attributes
    ----------
    kind : {"input", "output", "feature", "several", "rival"}
    name : str
        The word it was parsed from, in full: it parses to the same site.
    on : {"probabilities", "logits"}
        What output noise is added to.
    form : {"raw", "reflect", "clip"}
        How a noisy probability is put back into [0, 1]: not at all, by absolute value
        and a cut at 1, or by cuts at 0 and 1.
    parts : tuple of (Site, float)
        Of several places each with its weight, in the order of the word: the noise
        there has the standard deviation sigma times the weight. Empty for one place.
    settings : tuple of (str, value)
        Of a rival, those that differ from the catalogue's.

    Examples
    --------
    >>> Site.parse("output").name
    'output:probabilities:reflect'
    >>> Site.parse("layer3").kind
    'feature'
    >>> both = Site.parse("input*0.50 + output")
    >>> both.name
    'input*0.5+output:probabilities:reflect'
    >>> [(site.kind, weight) for site, weight in both.parts]
    [('input', 0.5), ('output', 1.0)]
    """

    kind: str
    name: str
    on: str = "probabilities"
    form: str = "raw"
    parts: tuple[tuple[Site, float], ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def word(self) -> str:
        """A rival's word in the catalogue; empty for noise at a place."""
        return self.name.partition(":")[0] if self.kind == "rival" else ""

    @property
    def strength(self) -> str:
        """What the number is called that says how strong it is."""
        return DEFENCES[self.word].strength if self.word else "sigma"

    def knowing(
        self, changes: Iterable[tuple[str, Any]], strength: float
    ) -> dict[str, Any]:
        """Settings of an attacker who knows the defence, its numbers put in.

        Where a rival's breaker is told ``{period!r}``, the strength or setting of that
        name stands there.

        Examples
        --------
        >>> Site.parse("aaa").knowing([("loss", "unfold:{period!r}")], 6.0)
        {'loss': 'unfold:6.0'}
        """
        if not self.word:
            return dict(changes)
        entry = DEFENCES[self.word]
        known = {name: s.default for name, s in entry.settings.items()}
        known |= {**dict(self.settings), entry.strength: strength}
        return {
            name: value.format(**known) if isinstance(value, str) else value
            for name, value in changes
        }

    @property
    def module(self) -> str:
        """The dotted name of a feature site's module; empty for another site."""
        return self.name.removesuffix(_BEFORE) if self.kind == "feature" else ""

    @property
    def where(self) -> str:
        """Noise on what the module is given, ``input``, or returns, ``output``."""
        before = self.kind == "feature" and self.name.endswith(_BEFORE)
        return "input" if before else "output"

    @staticmethod
    def parse(site: str | Site) -> Site:
        """Read a site's word.

        A layer whose own name holds ``+`` or ``*`` has no word.

        Raises
        ------
        DomainError
            If an output site names no such answer or form; of several places, for an
            empty one, the same one twice, and a weight that is not finite and above 0.
        """
        if isinstance(site, Site):
            return site
        if not isinstance(site, str) or not site:
            raise expect.DomainError(f"expected site to be a word, got {site!r}")
        if _is_rival(site):
            return _rival(site)
        if "+" not in site and "*" not in site:
            return _one(site)
        parts = tuple(_weighted(part, site) for part in site.split("+"))
        if len(parts) == 1:
            ((only, weight),) = parts
            if weight != 1.0:
                raise expect.DomainError(
                    f"expected site to weigh one place against another, got {site!r}: "
                    f"for {only.name!r} alone change sigma"
                )
            return only
        places = [_place(part) for part, _ in parts]
        for i, place in enumerate(places):
            if place in places[:i]:
                raise expect.DomainError(
                    f"expected site to name every place once, got {place} twice "
                    f"in {site!r}"
                )
        name = "+".join(_word(part, weight) for part, weight in parts)
        return Site("several", name, parts=parts)

    @staticmethod
    def of(site: str | Site, settings: Mapping[str, Any]) -> Site:
        """A site's word with settings of a rival beside it.

        Raises
        ------
        DomainError
            As `parse`; and for settings of noise at a place, which has none.
        """
        site = Site.parse(site)
        if not settings:
            return site
        if not site.word:
            raise expect.DomainError(
                f"expected no settings of noise at {site.name!r} but sigma, "
                f"got {', '.join(settings)}"
            )
        return _with(site.word, {**dict(site.settings), **settings})


def _is_rival(word: str) -> bool:
    known = DEFENCES.get(word.partition(":")[0])
    return known is not None and bool(known.made)


def _rival(word: str) -> Site:
    """A rival, from its word and ``name=value`` settings."""
    name, *given = word.split(":")
    settings = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not (key and equals and value):
            raise expect.DomainError(
                f"expected a setting of {name} as name=value, got {each!r} in {word!r}"
            )
        if key in settings:
            raise expect.DomainError(f"expected {key} once, got it twice in {word!r}")
        settings[key] = value
    return _with(name, settings)


def _with(word: str, settings: Mapping[str, Any]) -> Site:
    read = DEFENCES[word].read(settings)
    said = [f"{name}={_plain(value)}" for name, value in read]
    return Site("rival", ":".join([word, *said]), settings=read)


def _plain(value: Any) -> str:
    """A setting's value as it is read back."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _one(word: str) -> Site:
    """One place without a weight."""
    if _is_rival(word):
        raise expect.DomainError(
            f"expected site to join places of noise by '+', got {word!r}: put one "
            "defence around the other, defend(defend(model, ...), ...)"
        )
    if word == "input":
        return Site("input", "input")
    if word.split(":")[0] != "output":
        if word == _BEFORE:
            raise expect.DomainError(
                f"expected site to name a layer before '{_BEFORE}', got {word!r}"
            )
        return Site("feature", word)
    _, on, form = (*word.split(":", 2), "", "")[:3]
    on = on or "probabilities"
    form = form or ("raw" if on == "logits" else "reflect")
    name = f"output:{on}:{form}"
    if name not in _OUTPUTS:
        expect.one_of(("output", *_OUTPUTS), site=word)
    return Site("output", name, on, form)


def _weighted(part: str, whole: str) -> tuple[Site, float]:
    """One place among several, and its weight."""
    word, star, number = (each.strip() for each in part.partition("*"))
    if number == "?":
        raise expect.DomainError(
            f"expected site to give {word!r} a number for its weight, got '?' in "
            f"{whole!r}, which certify, recommend and the shell's probe find"
        )
    if not word:
        raise expect.DomainError(
            f"expected site to be places joined by '+', got an empty one in {whole!r}"
        )
    if not star:
        return _one(word), 1.0
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0.0 < weight < math.inf:
        raise expect.DomainError(
            f"expected site to give {word!r} a weight > 0 and finite, "
            f"got {number!r} in {whole!r}"
        )
    return _one(word), weight


def _place(site: Site) -> str:
    """What no two parts may share: one answer takes noise in one form."""
    return f"output:{site.on}" if site.kind == "output" else site.name


def _word(site: Site, weight: float) -> str:
    if weight == 1.0:
        return site.name
    # The shortest digits that give the same number back; a plus would end the part.
    number = repr(weight).removesuffix(".0").replace("e+", "e")
    return f"{site.name}*{number}"
