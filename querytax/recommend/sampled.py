"""Fewer images, evenly taken: laws cost time an image, and say the same of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from querytax.statistics import ModelStatistics

__all__ = ["sampled"]

# Probed images that laws are evaluated on.
_SAMPLE = 128


def sampled(stats: ModelStatistics) -> tuple[ModelStatistics, np.ndarray]:
    """Statistics of an even sample of the probed images, and which these are."""
    n = len(stats.probed)
    index = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(int))
    if len(index) == n:
        return stats, index

    def taken(data: Any, axis: int, *names: str) -> dict[str, Any]:
        given = {name: getattr(data, name) for name in names}
        return {k: v.take(index, axis) for k, v in given.items() if v is not None}

    sites = {
        name: dataclasses.replace(
            site,
            **taken(site, -1, "signal", "signal_error", "noise", "alignment"),
            **taken(site, -1, "label_share"),
        )
        for name, site in stats.sites.items()
    }
    fewer = {
        **taken(stats, 0, "probed", "path_length", "wander_length", "blind_hits"),
        **taken(stats, 0, "blind_outcomes", "gaps", "probability_gaps"),
        **taken(stats, 0, "boundary_norm", "gradient_profile"),
        **taken(stats, 3, "proposals", "probability_proposals"),
        **taken(stats, 1, "block_length", "block_wander", "block_profile"),
        **taken(stats, 0, "blind_changes", "probability_blind_changes"),
        **taken(stats, -1, "block_width"),
    }
    if len(stats.sign_gain) == n:
        fewer["sign_gain"] = stats.sign_gain[index]
    return dataclasses.replace(stats, sites=sites, **fewer), index
