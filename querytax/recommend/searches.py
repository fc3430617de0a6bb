"""Searches that accept and reject, from measured changes: queries, image by image."""

from __future__ import annotations

import functools
import warnings

import numpy as np

from querytax.plans import LOSSES
from querytax.sites import Site
from querytax.statistics import ModelStatistics
from querytax.theory import passage, search
from querytax.theory.law import RegimeWarning

__all__ = ["LUCK", "Searches", "luck"]

# A run of each image by equal shares of luck: so many.
LUCK = 8
_SHARES = (np.arange(LUCK) + 0.5) / LUCK
# Squared coefficients of variation that the laws of luck are tabulated at.
_SPREADS = np.geomspace(1e-4, 1e3, 57)
_MARGIN = LOSSES.index("margin")
# Noise that decides nothing, over the largest change.
_NO_NOISE = 1e-9
# Ways beyond are walked by nobody.
_LONGEST = 1e300
# Share of the pixels in a measured square.
_SQUARE = 0.1

Walked = tuple[np.ndarray, np.ndarray]


class Searches:
    """Queries of searches against noise at one site.

    Changes of the loss were measured on the clean model. Against noise their size is
    that of the expected noisy loss, as far as the probe's signal of their length has
    changed with it.

    Parameters
    ----------
    stats : ModelStatistics
    site : str
        One of the probed sites.
    """

    def __init__(self, stats: ModelStatistics, site: str) -> None:
        self.stats, self.measured = stats, stats.site(site)
        where = Site.parse(site)
        places = [part for part, _ in where.parts] or [where]
        # What the attacker reads where a defence answers probabilities.
        chances = any(p.kind == "output" and p.on == "probabilities" for p in places)
        moves = stats.probability_proposals if chances else stats.proposals
        gaps = stats.probability_gaps if chances else stats.gaps
        known = moves is not None and gaps is not None
        self.moves = moves if known else None
        self.gaps = gaps if known else None
        self.guesses = (
            stats.probability_blind_changes if chances else stats.blind_changes
        )

    def knows(self, kind: str) -> bool:
        """Whether moves of a kind were measured."""
        return self.moves is not None and kind in (self.stats.proposal_kinds or ())

    @functools.lru_cache(maxsize=256)  # noqa: B019 - lives as long as one question
    def queries(
        self, kind: str, mode: str, sigma: float, fresh: bool = False, start: str = ""
    ) -> Walked:
        """Queries by the moves of each place, and whether the law knows them.

        Parameters
        ----------
        kind : str
            One of the kinds measured.
        mode : {"stale", "requery", "mean"}
            What is believed of the incumbent.
        sigma : float
        fresh : bool
            Whether the search moves nothing twice. On the way to the boundary all
            numbers have gone a part of the budget already, and what is left for a move
            is less than for one from the image.
        start : str
            Kind of the blind pattern that the search begins at; the image if none.

        Returns
        -------
        queries : ndarray, shape (places, n, LUCK)
            By shares of luck. Where the law does not hold, those against as much
            noise as it does hold for: more noise does not make a search faster.
        known : ndarray of bool, shape (n,)
            False where a stale incumbent meets more noise than its candidates spread.
        """
        assert self.moves is not None
        assert self.gaps is not None
        at = (self.stats.proposal_kinds or ()).index(kind)
        # Places, images, stages, candidates; the laws want losses that fall.
        deltas = -np.moveaxis(self.moves[at].astype(float), 1, 2)
        if fresh:
            deltas = np.where(deltas < 0.0, deltas / self._left, deltas)
        noise, kept = self._noise(sigma, kind)
        deltas = deltas * kept[..., None]
        # The gap shrinks with the changes that have to cover it.
        ways = self._gap(start)[:, None] * self._stages * kept
        known = np.ones(noise.shape[:2], dtype=bool)
        if sigma > 0.0:
            size = np.maximum(deltas.std(axis=-1), 1e-300)
            if mode == "stale":
                with np.errstate(over="ignore"):
                    most = (noise / size).max(axis=-1)
                known = most <= 1.0
                noise = noise / np.maximum(most, 1.0 + 1e-9)[..., None]
            # In units of each stage's noise, so that one sigma serves all stages; where
            # there is none it is as good as none beside the changes.
            unit = np.maximum(noise, _NO_NOISE * np.abs(deltas).max(axis=-1))
            unit = np.where(unit > 0.0, unit, 1.0)
            deltas = deltas / unit[..., None]
            with np.errstate(over="ignore"):
                ways = np.minimum(ways / unit, _LONGEST)
        one = 1.0 if sigma > 0.0 else 0.0
        return _walked(ways, deltas, one, mode), np.asarray(known.all(axis=0))

    def _gap(self, start: str) -> np.ndarray:
        """What is left to gain where a search begins, in the median of its draws."""
        assert self.gaps is not None
        of = self.stats.blind_are(start) if start else np.zeros(0, dtype=bool)
        if self.guesses is None or not of.any():
            return self.gaps
        left = self.gaps - np.median(self.guesses[:, of], axis=1)
        return np.maximum(left, 1e-9 * self.gaps)

    @functools.cached_property
    def _stages(self) -> np.ndarray:
        """Share of the gap that each stage covers, ``(n, T)``.

        The loss falls by its slope there times the way: of probabilities, least where
        the model is sure.
        """
        slope = np.sqrt(self.measured.signal[_MARGIN, 0, 0, 0])
        fall = slope.T * self.stats.stage_weights
        total = fall.sum(axis=1, keepdims=True)
        even = np.broadcast_to(self.stats.stage_weights, fall.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((total > 0.0) & np.isfinite(total), fall / total, even)

    @functools.cached_property
    def _left(self) -> np.ndarray:
        """What the way leaves of a move to the face ahead: (places, n, stages, 1)."""
        left = np.ones((2, len(self.stats.probed), len(self.stats.stages), 1))
        length = self.stats.path_length
        if self.stats.norm == "Linf":
            gone = np.where(np.isfinite(length), length, 0.0)[:, None]
            left[0, :, :, 0] -= np.minimum(gone * self.stats.stages, 0.99)
        return left

    def _noise(self, sigma: float, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Deviation of one answer, and what noise leaves of a change: (P, n, T)."""
        m = self.measured
        shape = np.moveaxis(m.noise[_MARGIN, 0, 0], 1, 2).shape
        if sigma == 0.0:
            return np.zeros(shape), np.ones(shape)
        # Variance of two answers, at the smallest probe.
        variance = self._at(m.noise[_MARGIN, :, 0], sigma)
        betas, d = self.stats.betas, self.stats.dimension
        wanted = self._length(kind) / np.sqrt(d)
        near = int(np.abs(np.log(betas / wanted)).argmin())
        signal = m.signal[_MARGIN, :, near]
        now = self._at(signal, sigma, still=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = np.sqrt(now / signal[0])
        kept = np.where(np.isfinite(kept) & (kept > 0.0), kept, 1.0)
        return (
            np.moveaxis(np.sqrt(0.5 * variance), 1, 2),
            np.moveaxis(kept, 1, 2),
        )

    def _at(self, table: np.ndarray, sigma: float, still: bool = False) -> np.ndarray:
        """A row of a table by noise level, in logarithms; ``still``: finite at 0."""
        grid = self.measured.sigmas
        if sigma <= grid[1]:
            share = sigma / grid[1]
            if still:
                return np.asarray((1.0 - share) * table[0] + share * table[1])
            return np.asarray(share**2 * table[1])
        i = int(np.clip(np.searchsorted(grid, sigma), 2, len(grid) - 1))
        w = np.log(sigma / grid[i - 1]) / np.log(grid[i] / grid[i - 1])
        low, high = (np.log(np.maximum(table[j], 1e-300)) for j in (i - 1, i))
        return np.asarray(np.exp((1.0 - w) * low + w * high))

    def _length(self, kind: str) -> float:
        """L2 length of a move, about."""
        eps, d = self.stats.eps, self.stats.dimension
        if self.stats.norm == "L2":
            return {"square": eps, "coarse": 0.5 * eps, "pixel": 0.2}[kind]
        share = {"square": _SQUARE, "coarse": 1.0 / 16.0, "pixel": 1.0 / d}[kind]
        return float(2.0 * eps * np.sqrt(share * d))


def _walked(
    ways: np.ndarray, deltas: np.ndarray, sigma: float, mode: str
) -> np.ndarray:
    """Queries to walk all ways, by shares of luck; the first is about the start."""
    gap = np.maximum(ways.sum(axis=-1), 1e-300)
    shares = ways / gap[..., None]
    shares[..., -1] += 1.0 - shares.sum(axis=-1)
    with warnings.catch_warnings():
        # Kept inside the regime by the caller, but for rounding.
        warnings.simplefilter("ignore", RegimeWarning)
        shares = np.clip(shares, 0.0, 1.0)
        mean = search.queries(gap, deltas, shares, sigma, incumbent=mode)
    times = luck(_variation(ways, deltas))
    return np.asarray(np.ceil(1.0 + np.maximum(mean, 0.0)[..., None] * times))


def _variation(ways: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Squared coefficient of variation of a search's queries, by the luck of its draws.

    Stages are walks of drift g and variance v a candidate: each adds v w/g^3 to the
    variance of the time w/g. Of a search without noise: what noise wins or loses by
    chance it soon takes back, since the moves are few and can be undone.
    """
    better = np.maximum(-deltas, 0.0)
    g = better.mean(axis=-1)
    v = np.square(better).mean(axis=-1) - np.square(g)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        time = (ways / g).sum(axis=-1)
        spread = (v * ways / g**3).sum(axis=-1) / np.square(time)
    return np.where(np.isfinite(spread), spread, _SPREADS[-1])


def luck(spread: np.ndarray) -> np.ndarray:
    """Times of arrival over their mean, by equal shares of luck: ``(..., LUCK)``.

    Of a Brownian path with drift, whose times have this squared coefficient of
    variation.
    """
    level = np.log(np.clip(spread, _SPREADS[0], _SPREADS[-1]))
    table = _lucky()
    return np.stack(
        [np.exp(np.interp(level, np.log(_SPREADS), row)) for row in table], axis=-1
    )


@functools.cache
def _lucky() -> np.ndarray:
    """Logarithms of those times at ``_SPREADS``, a row a share."""
    # In units of one step's noise, with drift 1: the way is the mean time.
    way = 1.0 / _SPREADS
    low = np.full((LUCK, way.size), -60.0)
    high = np.full_like(low, 60.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        early = passage.arrived(1.0, way, np.exp(middle) * way) < _SHARES[:, None]
        low, high = np.where(early, middle, low), np.where(early, high, middle)
    return 0.5 * (low + high)
