"""What else could be done where noise does not suffice, with numbers from races."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from querytax.evidence import Contender, Evidence, Trial
from querytax.recommend.race import Effort, Race, Wanted, race
from querytax.words import count, percent

__all__ = ["limit", "otherwise"]

# Radii of the perturbation budget, as shares of the one asked about.
_SMALLER = (0.5, 0.25)


def otherwise(
    start: Trial,
    favourites: Sequence[Contender],
    hard_label: Sequence[Contender],
    networks: Mapping[str, int],
    effort: Effort,
    evidence: Evidence,
    exposed: float,
    images: int,
) -> tuple[str, ...]:
    """What the same noise would do under other circumstances.

    Parameters
    ----------
    start : Trial
        Any trial at the level that fell.
    favourites : sequence of Contender
        The best there: they are tried under the other circumstances.
    hard_label : sequence of Contender
        Attacks that need labels alone; none where the API gives no more already.
    networks : mapping of str to int
        Other networks that the noise could guard, and the images each gets right.
    effort, evidence, exposed, images
        As in :func:`querytax.recommend.race.race`.

    Returns
    -------
    tuple of str
        A sentence each, without its full stop.

    Raises
    ------
    Wanted
        With all trials that are missing.
    """
    missing: list[Trial] = []
    found: list[str] = []

    def raced(
        entries: Sequence[Contender], some: int = images, **changes: object
    ) -> Race | None:
        try:
            return race(
                dataclasses.replace(start, **changes),  # type: ignore[arg-type]
                entries,
                effort,
                evidence,
                exposed,
                images=some,
            )
        except Wanted as wanted:
            missing.extend(wanted.trials)
            return None

    def tried(what: str, result: Race | None) -> bool:
        """Say how it went; whether it held."""
        if result is None:
            return False
        found.append(f"{what}: {_told(result)}")
        return result.holds(exposed)

    if hard_label:
        tried("answering labels alone", raced(hard_label, access="labels"))
    for network, right in networks.items():
        if right:
            found_there = raced(favourites, min(images, right), network=network)
            tried(f"the same noise on {network}", found_there)
    for share in _SMALLER:
        eps = start.eps * share
        held = tried(f"a perturbation budget of {eps:.3g}", raced(favourites, eps=eps))
        if held or missing:
            break
    if missing:
        raise Wanted(missing)
    return tuple(found)


def limit(queries: float, exposed: float) -> str:
    """A query limit an account, from what the best attack takes."""
    if math.isinf(queries):
        return "a limit of queries an account: what would do was not seen"
    return (
        f"a limit of {count(max(math.floor(queries) - 1, 0))} queries an account, "
        f"below what the best attack takes for {percent(exposed)} of the images"
    )


def _told(result: Race) -> str:
    best = result.best
    low, share, high = best.share
    cost = (
        f"{count(best.queries[1])} queries"
        if math.isfinite(best.queries[1])
        else f"more than {count(best.n_queries)} queries"
    )
    return (
        f"{best.contender.name}, needs {cost}, and breaks {percent(share)} "
        f"({percent(low)} to {percent(high)}) within {count(best.n_queries)}"
    )
