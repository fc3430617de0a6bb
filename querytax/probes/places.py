"""What a site is made of, and what is answered behind it."""

from __future__ import annotations

from querytax.sites import Site

__all__ = ["answered_at", "outside", "parts_of"]


def parts_of(site: Site) -> tuple[tuple[Site, float], ...]:
    """Single places with their weights; one place has the weight 1."""
    return site.parts or ((site, 1.0),)


def outside(site: Site) -> bool:
    """Whether all noise acts on answers of the network, whose draws cost no pass."""
    return all(part.kind == "output" for part, _ in parts_of(site))


def answered_at(site: Site, answered: str) -> str:
    """What is answered behind the site's noise by a model that answers ``answered``."""
    on = {part.on for part, _ in parts_of(site) if part.kind == "output"}
    # A softmax has no way back: noise on the logits comes first.
    return "probabilities" if "probabilities" in on else max(on, default=answered)
