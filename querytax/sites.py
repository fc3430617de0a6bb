"""Where a defence puts its noise, as one word: input, output, or a layer's name.

``input``; ``output`` (probabilities, reflected), or in full
``output:probabilities:clip``, ``output:logits:raw``; anything else is the dotted name
of a module of the network, as in ``layer3`` or ``features.4``.
"""

from __future__ import annotations

from dataclasses import dataclass

from querytax import expect

__all__ = ["Site"]


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
        parts = site.split(":")[1:]
        if len(parts) > 2:
            raise expect.DomainError(
                f"expected site as output:ANSWER:FORM, got {site!r}"
            )
        on = expect.one_of(
            ("probabilities", "logits"), on=parts[0] if parts else "probabilities"
        )
        default = "reflect" if on == "probabilities" else "raw"
        form = parts[1] if len(parts) > 1 else default
        forms = ("raw", "reflect", "clip") if on == "probabilities" else ("raw",)
        expect.one_of(forms, form=form)
        return Site("output", f"output:{on}:{form}", on, form)
