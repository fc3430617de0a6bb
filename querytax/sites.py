"""Where a defence puts its noise, as one word: input, output, or a layer's name.

``input``; ``output`` (probabilities, reflected), or in full
``output:probabilities:clip``, ``output:logits:raw``; anything else is the dotted name
of a module of the network, as in ``layer3`` or ``features.4``.
"""

from __future__ import annotations

from dataclasses import dataclass

from querytax import expect

__all__ = ["Site"]

_OUTPUTS = (
    "output:probabilities:reflect",
    "output:probabilities:clip",
    "output:probabilities:raw",
    "output:logits:raw",
)


@dataclass(frozen=True)
class Site:
    """A place for noise.

    Attributes
    ----------
    kind : {"input", "output", "feature"}
    name : str
        The word it was parsed from, in full: it parses to the same site.
    on : {"probabilities", "logits"}
        What output noise is added to.
    form : {"raw", "reflect", "clip"}
        How a noisy probability is put back into [0, 1]: not at all, by absolute value
        and a cut at 1, or by cuts at 0 and 1.

    Examples
    --------
    >>> Site.parse("output").name
    'output:probabilities:reflect'
    >>> Site.parse("layer3").kind
    'feature'
    """

    kind: str
    name: str
    on: str = "probabilities"
    form: str = "raw"

    @staticmethod
    def parse(site: str | Site) -> Site:
        """Read a site's word.

        Raises
        ------
        DomainError
            If an output site names no such answer or form.
        """
        if isinstance(site, Site):
            return site
        if not isinstance(site, str) or not site:
            raise expect.DomainError(f"expected site to be a word, got {site!r}")
        if site == "input":
            return Site("input", "input")
        if site.split(":")[0] != "output":
            return Site("feature", site)
        _, on, form = (*site.split(":", 2), "", "")[:3]
        on = on or "probabilities"
        form = form or ("raw" if on == "logits" else "reflect")
        name = f"output:{on}:{form}"
        if name not in _OUTPUTS:
            expect.one_of(("output", *_OUTPUTS), site=site)
        return Site("output", name, on, form)
