"""What arrays of statistics must look like before they are believed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from querytax.plans import NORMS
from querytax.words import percent

if TYPE_CHECKING:
    from querytax.statistics import ModelStatistics

__all__ = ["in_doubt", "unsound"]


# Images of a class that tell how it is called.
_TELLING = 5


class _Range(NamedTuple):
    """Axes by letter, and what an element may be.

    Letters: S noise levels, B probe sizes, P places, T stages, N images, n probed, C
    classes, O offsets, K kinds of moves, G sides of squares, t patterns; a digit is
    that size, and what is written small elsewhere is free.
    """

    axes: str
    low: float = -np.inf
    high: float = np.inf
    nan: bool = False
    endless: bool = False


_SITE = {
    "sigmas": _Range("S", low=0.0),
    "signal": _Range("2SBPTn", low=0.0),
    "signal_error": _Range("2SBPTn", low=0.0, nan=True),
    "noise": _Range("2SBPTn", low=0.0),
    "alignment": _Range("2SBPTn", 0.0, 1.0 + 1e-6, nan=True),
    "flips": _Range("SN", 0.0, 1.0),
    "correct": _Range("SN", 0.0, 1.0),
    "loss_noise": _Range("2SN", low=0.0),
    "gradient_norm": _Range("N", low=0.0, nan=True, endless=True),
    "label_share": _Range("SOn", 0.0, 1.0, nan=True),
}
_MODEL = {
    "betas": _Range("B", low=0.0),
    "probed": _Range("n", low=0.0),
    "path_length": _Range("n", low=0.0, nan=True, endless=True),
    "wander_length": _Range("n", low=0.0, nan=True, endless=True),
    "stages": _Range("T", 0.0, 1.0),
    "stage_weights": _Range("T", 0.0, 1.0),
    "logits": _Range("NC"),
    "labels": _Range("N", low=0.0),
    "gradient_norm": _Range("N", low=0.0, nan=True, endless=True),
    "sign_gain": _Range("g", low=0.0, nan=True),
    "blind_hits": _Range("n", low=0.0),
    "blind_outcomes": _Range("nt", 0.0, 1.0),
    "blind_changes": _Range("nt"),
    "probability_blind_changes": _Range("nt"),
    "proposals": _Range("KPTnm", nan=True),
    "probability_proposals": _Range("KPTnm", nan=True),
    "gaps": _Range("n", nan=True, endless=True),
    "probability_gaps": _Range("n", nan=True, endless=True),
    "label_offsets": _Range("O"),
    "boundary_norm": _Range("n", low=0.0, nan=True, endless=True),
    "gradient_profile": _Range("nq", low=0.0, nan=True),
    "rim_gains": _Range("n2d", nan=True),
    "block_length": _Range("Gn", low=0.0, nan=True, endless=True),
    "block_wander": _Range("Gn", low=0.0, nan=True, endless=True),
    "block_width": _Range("GTn", low=0.0, nan=True, endless=True),
    "block_profile": _Range("Gnq", low=0.0, nan=True, endless=True),
}


def unsound(stats: ModelStatistics) -> str:
    """What is wrong with statistics that were read, in words; nothing if all is well.

    Shapes must fit each other, numbers lie in their ranges, levels ascend, and labels
    and probed images be among those that there are.
    """
    sizes: dict[str, int] = {"P": 2}
    for key, rule in _MODEL.items():
        if wrong := _array(key, getattr(stats, key), rule, sizes):
            return wrong
    for name, site in stats.sites.items():
        own = {k: v for k, v in sizes.items() if k != "S"}
        for key, rule in _SITE.items():
            if wrong := _array(key, getattr(site, key), rule, own):
                return f"{wrong} at {name!r}"
        if site.sigmas[0] != 0.0 or not (np.diff(site.sigmas) > 0.0).all():
            return f"sigmas that do not ascend from 0 at {name!r}"
        if not isinstance(site.n_draws, int) or site.n_draws < 1:
            return f"n_draws {site.n_draws!r} at {name!r}"
    return _whole(stats, sizes)


def in_doubt(stats: ModelStatistics) -> tuple[str, bool]:
    """What speaks against a model that is hardly ever right, and whether it guesses.

    Of shifted labels or an untrained model the few images that are right by chance
    would be all that an answer is about.

    Returns
    -------
    note : str
        Empty where nothing does.
    guesses : bool
        Whether it is no better than a guess, as far as can be told: by two standard
        errors.
    """
    n, right = len(stats.labels), stats.accuracy
    commonest = float(np.bincount(stats.labels.astype(int)).max()) / n
    chance = max(1.0 / stats.logits.shape[1], commonest if commonest < 1.0 else 0.0)
    if right >= 0.5 and right > chance:
        return _mixed(stats), False
    note = (
        f"the model is right on {percent(right)} of {n} images, where guessing gives "
        f"{percent(chance)}: are the labels those of its classes, and the images "
        "scaled as it was trained? All shares are of the images that it gets right"
    )
    return note, right - 2.0 * math.sqrt(right * (1.0 - right) / n) <= chance


def _mixed(stats: ModelStatistics) -> str:
    """A word on a class that the model calls by another name, if there is one."""
    labels, said = stats.labels.astype(int), stats.logits.argmax(1)
    for label in np.unique(labels):
        own = said[labels == label]
        most = int(np.bincount(own).argmax())
        times = int((own == most).sum())
        if len(own) >= _TELLING and most != label and times > 0.5 * len(own):
            return (
                f"of {len(own)} images labelled {label} the model calls "
                f"{times} {most}: are these labels those of its classes? All shares "
                "are of the images that it gets right"
            )
    return ""


def _whole(stats: ModelStatistics, sizes: dict[str, int]) -> str:
    """What no array tells alone."""
    if not stats.sites or not sizes["N"] or not sizes["n"]:
        return "no site or no image"
    if not (np.diff(stats.betas) > 0.0).all() or not stats.betas[0] > 0.0:
        return "probe sizes that do not ascend"
    if stats.norm not in NORMS or not 0.0 < stats.eps < np.inf:
        return f"a budget of {stats.norm!r} {stats.eps!r}"
    if not isinstance(stats.dimension, int) or stats.dimension < 1:
        return f"dimension {stats.dimension!r}"
    widest = 1.0 if stats.norm == "Linf" else stats.dimension**0.5
    if stats.eps > widest * (1 + 1e-9):
        return f"a budget of {stats.norm} {stats.eps:g}, above {widest:g}"
    if stats.shape is not None and np.prod(stats.shape) != stats.dimension:
        return f"shape {stats.shape!r} for dimension {stats.dimension}"
    if len(np.unique(stats.probed)) != sizes["n"] or stats.probed.max() >= sizes["N"]:
        return "probed images that are not there"
    if stats.labels.max() >= sizes["C"]:
        return "labels beyond the classes"
    tried, hits = stats.blind_tried, stats.blind_hits
    if not isinstance(tried, int) or (hits is not None and hits.max() > tried):
        return "more hits than patterns"
    return ""


def _array(
    key: str, value: np.ndarray | None, rule: _Range, sizes: dict[str, int]
) -> str:
    if value is None:
        return ""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return f"{key} that is no array of numbers"
    if value.ndim != len(rule.axes):
        return f"{key} of shape {value.shape}"
    # Without planes there are no squares.
    if 0 in value.shape and rule.axes[0] != "G":
        return f"{key} of shape {value.shape}, which is empty"
    for axis, size in zip(rule.axes, value.shape, strict=True):
        wanted = int(axis) if axis.isdigit() else size
        if axis.isupper() or axis == "n":
            wanted = sizes.setdefault(axis, size)
        if size != wanted:
            return f"{key} of shape {value.shape}, which fits nothing"
    with np.errstate(invalid="ignore"):
        inside = (value >= rule.low) & (value <= rule.high)
        known = np.isfinite(value) | (rule.endless & np.isposinf(value))
        fine = (inside & known) | (rule.nan & np.isnan(value))
    return "" if fine.all() else f"{key} out of its range"
