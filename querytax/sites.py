"""Where a defence puts its noise, as one word: input, output, a layer's name, or a sum.

``input``; ``output`` (probabilities, reflected), or in full
``output:probabilities:clip``, ``output:logits:raw``; anything else is the dotted name
of a module of the network, as in ``layer3`` or ``features.4``: the noise is added to
what it returns, or with ``features.4:before`` to what it is given. Several places are
joined by ``+``, each with a weight if it is not 1, as in ``input*0.5+layer3*2``. A
weight ``?`` is to be found first, by ``recommend.mixtures``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from querytax import expect

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
    """A place for noise, or several.

    Attributes
    ----------
    kind : {"input", "output", "feature", "several"}
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


def _one(word: str) -> Site:
    """One place without a weight."""
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
