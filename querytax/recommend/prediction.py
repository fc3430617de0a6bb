"""From measured statistics and a plan to the queries that an attack will need.

The attack has to cover a displacement towards the boundary, a share of its budget that
does not depend on the noise. Its steps point there with a cosine that does: it follows
from the measured signal-to-noise ratio and alignment at each stage of the way. The law
of the reflected walk turns cosine, step and displacement into a number of steps.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from querytax import expect
from querytax.expect import DomainError
from querytax.plans import LOSSES, NESPlan
from querytax.recommend.grains import Grain, Reading, grain_of, sides, widened
from querytax.statistics import ModelStatistics
from querytax.theory import drift
from querytax.theory.law import RegimeWarning
from querytax.theory.walks import Walk

__all__ = ["PLACES", "Predictor", "published_plan"]

# How the two places of a stage are read. "lower" believes the better signal of the two
# and so predicts the fewest queries: it is what decisions rest on.
PLACES = ("lower", "estimate", "upper")

_NEVER = np.inf
# Drifts and steps whose squares are floats.
_LEAST = 1e-100
# Signal-to-noise ratio without noise: finite, as every law expects.
_NOISELESS = 1e300


def published_plan(stats: ModelStatistics, **changes: object) -> NESPlan:
    """NES as published (Ilyas et al. 2018), in the budget of the statistics.

    Linf: probe 0.01, 10 pairs, sign steps of 0.01 (a quarter of eps if that is less).
    L2: the same probe and pairs, unit steps of a twentieth of eps.

    Parameters
    ----------
    stats : ModelStatistics
    **changes
        Values of :class:`querytax.plans.NESPlan` to replace.

    Returns
    -------
    NESPlan
    """
    if stats.norm == "Linf":
        plan = NESPlan(eps=stats.eps, step=min(0.01, stats.eps / 4))
    else:
        plan = NESPlan(eps=stats.eps, norm="L2", step=stats.eps / 20, step_rule="unit")
    return plan.replace(**changes)


class Predictor:
    """Queries that a plan needs against noise at one site, image by image.

    Parameters
    ----------
    stats : ModelStatistics
    site : str
        One of the probed sites.
    plan : NESPlan
        The published attack: what ``base_queries`` counts the queries of.
    base_queries : float, array_like or None
        Its queries without noise: the median over images, or one count an image
        (infinite where it fails). None, and where it fails: predicted from the
        white-box path, since another attack may succeed.

    Raises
    ------
    DomainError
        If a count is not positive, or there is neither a path nor a count.
    """

    def __init__(
        self,
        stats: ModelStatistics,
        site: str,
        plan: NESPlan,
        base_queries: float | np.ndarray | None = None,
    ) -> None:
        self.stats, self.plan = stats, plan
        self.measured = stats.site(site)
        self.notes: list[str] = []
        # The last sigma that was read: its places are read one after the other.
        self._read: tuple[Any, ...] = (None,)
        self.grains = {side: grain_of(stats, side) for side in sides(stats)}
        self.displacement = self._displacement(base_queries)
        # By the mean path, as the displacement was found.
        noiseless = self.at_probe(self.reading(0.0), plan)
        self.base = self._walk(noiseless, plan, self.way(plan.block))

    # -- what was measured -------------------------------------------------------

    def reading(self, sigma: float, place: str = "lower") -> Reading:
        """Interpolate the measurement, in logarithms of everything.

        Below the least positive noise level the signal is taken between that of no
        noise and that level's, and the noise variance falls with sigma squared.
        """
        m = self.measured
        if sigma == 0.0:
            shape = m.signal[:, 0, :, 0].shape
            return Reading(
                np.full(shape, _NOISELESS),
                m.alignment[:, 0, :, 0],
                self._slope(m.signal[:, 0, :, 0]),
            )
        if sigma != self._read[0]:
            self._read = (sigma, *self._interpolated(sigma))
        _, snr, alignment, slope = self._read
        # Axes are now (loss, probe, place, stage, image).
        path, wander = snr[:, :, 0], snr[:, :, 1]
        best = np.maximum(path, wander)
        chosen = {
            "lower": lambda: best,
            "estimate": lambda: np.sqrt(path) * np.sqrt(best),
            "upper": lambda: path,
        }[expect.one_of(PLACES, place=place)]()
        return Reading(chosen, alignment, slope)

    def _interpolated(self, sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Signal-to-noise ratio at both places, alignment and slope on the path."""
        m = self.measured
        grid = np.log(m.sigmas[1:])
        x = np.log(sigma)
        if x > grid[-1] + 1e-9:
            raise DomainError(
                f"expected sigma <= {m.sigmas[-1]:g}, the largest probed, got {sigma:g}"
            )
        if x <= grid[0]:
            share = sigma / m.sigmas[1]
            signal = (1 - share) * m.signal[:, 0] + share * m.signal[:, 1]
            noise = m.noise[:, 1] * share**2
            alignment = (1 - share) * m.alignment[:, 0] + share * m.alignment[:, 1]
        else:
            i = min(int(np.searchsorted(grid, x)), len(grid) - 1)
            w = float((x - grid[i - 1]) / (grid[i] - grid[i - 1]))

            def between(a: np.ndarray) -> np.ndarray:
                low = np.log(np.maximum(a[:, i], 1e-300))
                high = np.log(np.maximum(a[:, i + 1], 1e-300))
                return np.exp((1 - w) * low + w * high)

            signal, noise = between(m.signal), between(m.noise)
            alignment = (1 - w) * m.alignment[:, i] + w * m.alignment[:, i + 1]
        with np.errstate(divide="ignore", over="ignore"):
            snr = np.minimum(signal / np.maximum(noise, 1e-300), _NOISELESS)
        return snr, alignment[:, :, 0], self._slope(signal[:, :, 0])

    def _slope(self, signal: np.ndarray) -> np.ndarray:
        """Gradient norm that the attacker's estimate has on average."""
        betas = self.stats.betas[:, None, None]
        return np.sqrt(signal) / (2.0 * betas)

    def at_probe(self, reading: Reading, plan: NESPlan) -> Reading:
        """The reading of one loss at one probe size: ``(T, n)``."""
        betas = self.stats.betas
        if not betas[0] * (1 - 1e-9) <= plan.probe <= betas[-1] * (1 + 1e-9):
            raise DomainError(
                f"expected probe in [{betas[0]:g}, {betas[-1]:g}], the probed sizes, "
                f"got {plan.probe:g}"
            )
        loss = LOSSES.index(plan.loss)
        reading = widened(reading, self.grain(plan.block), betas)
        i = int(np.clip(np.searchsorted(betas, plan.probe), 1, len(betas) - 1))
        if len(betas) == 1:
            return Reading(*(a[loss, 0] for a in vars(reading).values()))
        w = np.log(plan.probe / betas[i - 1]) / np.log(betas[i] / betas[i - 1])
        w = float(np.clip(w, 0.0, 1.0))

        def between(a: np.ndarray) -> np.ndarray:
            low, high = a[loss, i - 1], a[loss, i]
            if w in (0.0, 1.0):
                return high if w else low
            with np.errstate(divide="ignore"):
                value = np.exp((1 - w) * np.log(low) + w * np.log(high))
            return np.asarray(value)

        return Reading(
            between(reading.snr),
            (1 - w) * reading.alignment[loss, i - 1] + w * reading.alignment[loss, i],
            between(reading.slope),
        )

    # -- what follows ------------------------------------------------------------

    def queries(self, plan: NESPlan, sigma: float, place: str = "lower") -> np.ndarray:
        """Queries until success, ``(n,)``.

        A walk that stalls short of the boundary fluctuates about its plateau. Readings
        "lower" and "estimate" count its first passage; "upper" is the mean path's, and
        infinite where that stalls.
        """
        reading = self.at_probe(self.reading(sigma, place), plan)
        way = self.way(plan.block)
        return self._walk(reading, plan, way, place, place != "upper")

    def way(self, side: int) -> np.ndarray:
        """How far each image's boundary is by steps on squares of a side, ``(n,)``.

        The displacement is stretched as the white-box way is; where that ends inside
        the budget by such steps alone, it is theirs.
        """
        grain = self.grain(side)
        if grain.side == 1:
            return self.displacement
        stats = self.stats
        assert stats.block_sides is not None
        assert stats.block_length is not None
        own = stats.block_length[stats.block_sides.index(side)]
        with np.errstate(invalid="ignore", divide="ignore"):
            stretched = self.displacement * (own / stats.path_length)
        known = np.isfinite(self.displacement) & np.isfinite(stats.path_length)
        return np.where(known & (stats.path_length > 0), stretched, own)

    def grain(self, side: int) -> Grain:
        """Directions of a side.

        Raises
        ------
        DomainError
            If it was not measured.
        """
        if side not in self.grains:
            known = ", ".join(map(str, self.grains))
            raise DomainError(f"expected block among {known}, as probed, got {side}")
        return self.grains[side]

    def _walk(
        self,
        reading: Reading,
        plan: NESPlan,
        displacement: np.ndarray,
        place: str = "lower",
        fluctuates: bool = False,
    ) -> np.ndarray:
        drift = self.drift(
            reading.snr, reading.alignment, plan.pairs, plan.step_rule, plan.block
        )
        step = self.step_share(reading, plan, drift)
        steps = self.steps(displacement, drift, step, place, fluctuates, plan.block)
        with np.errstate(over="ignore"):
            return np.maximum(np.ceil(steps), 1.0) * (plan.queries_per_step + 1)

    def drift(
        self,
        snr: np.ndarray,
        alignment: np.ndarray,
        pairs: int,
        rule: str,
        side: int = 1,
    ) -> np.ndarray:
        """Share of a step that leads to the boundary; images on the last axis."""
        grain = self.grain(side)
        dimension = grain.dimension
        if rule == "plain":
            return np.asarray(drift.plain(snr, dimension, pairs, alignment))
        cosine = drift.cosine(snr, dimension, pairs, alignment)
        if rule == "sign":
            if grain.entries is not None:
                return np.asarray(drift.sign_of(grain.entries, cosine))
            with warnings.catch_warnings():
                # Of the gradients only a gain is stored, at any cosine.
                warnings.simplefilter("ignore", RegimeWarning)
                cosine = drift.sign(cosine, grain.gain)
        return np.asarray(cosine)

    def step_share(
        self, reading: Reading, plan: NESPlan, drift: np.ndarray
    ) -> np.ndarray | float:
        """Length of a step over eps; a plain step is as long as its estimate."""
        if plan.step_rule != "plain":
            scale = np.sqrt(self.stats.dimension)
            if plan.step_rule == "sign" and plan.norm == "L2":
                return plan.step * scale / plan.eps
            if plan.step_rule == "unit" and plan.norm == "Linf":
                return plan.step / scale / plan.eps
            return plan.step / plan.eps
        if plan.block > 1:
            raise DomainError(
                "expected step_rule sign or unit for a prediction by blocks, got plain"
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            length = plan.step * reading.slope * reading.alignment / drift
        if plan.norm == "Linf":
            length = length / np.sqrt(self.stats.dimension)
        return np.clip(np.nan_to_num(length / plan.eps, nan=1e-300), 1e-300, 1e300)

    def steps(
        self,
        displacement: np.ndarray,
        drift: np.ndarray,
        step: np.ndarray | float,
        place: str = "lower",
        fluctuates: bool = False,
        side: int = 1,
    ) -> np.ndarray:
        """Steps to cover the way; ``drift`` is ``(..., T, n)``, stages of equal share.

        An attack that diffuses is nearer to the boundary for it, on average: the way
        is shortened by the measured share, as far as the walk has spread by then.
        Reading "upper" leaves that out. ``fluctuates``: the first passage of the walk
        about its mean path, where that comes sooner.
        """
        reachable = np.isfinite(displacement)
        way = np.where(reachable, displacement, 1.0)
        walks = _Walks(self, self.grain(side), drift, step, fluctuates)
        if saved := self.saved(place, side):
            first, pace = np.minimum(way, 1.0), walks.pace.mean(-2)
            # Who has surely spread as far as he can need not be followed for it.
            done = self._spread(walks.at_least(first), pace) >= 1.0
            taken = walks.arrived(np.where(done, 0.0, first))
            spread = np.where(done, 1.0, self._spread(taken, pace))
            way = way * (1.0 - spread * saved)
        taken = walks.arrived(np.minimum(way, 1.0))
        return np.where(reachable, taken, _NEVER)

    def saved(self, place: str, side: int) -> float:
        """Share of the way that full diffusion saves, by a reading."""
        return 0.0 if place == "upper" else self.grain(side).saved

    def ends(self, way: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each stage of the ways ``(..., n)`` ends and begins: (..., T, n)."""
        shares = np.concatenate([[0.0], np.cumsum(self.stats.stage_weights)])
        shares = np.minimum(shares, 1.0)[:, None]
        return way[..., None, :] * shares[1:], way[..., None, :] * shares[:-1]

    def _spread(self, steps: np.ndarray, step: np.ndarray) -> np.ndarray:
        """How far the walk has diffused, of how far it can: in the box to a variance
        of a third a coordinate, in the ball to its surface."""
        room = 3.0 if self.stats.norm == "Linf" else 1.0
        with np.errstate(over="ignore"):
            return np.minimum(1.0, step * np.sqrt(room * steps))

    # -- how far the attack has to go --------------------------------------------

    def _displacement(self, base: float | np.ndarray | None) -> np.ndarray:
        path = self.stats.path_length
        if self.stats.blind_hits is not None:
            # Descent may miss what a blind pattern at the budget's edge hits.
            path = np.where(np.isinf(path) & (self.stats.blind_hits > 0), 1.0, path)
        known = not np.isnan(path).any()
        if base is not None and self.plan.block > 1:
            raise DomainError(
                f"expected block 1 of a plan with base_queries, got {self.plan.block}"
            )
        if base is None:
            if not known:
                raise DomainError(
                    "expected base_queries for a model without gradients, got None"
                )
            return path
        counts = np.asarray(base, dtype=float)
        if np.isnan(counts).any() or (counts <= 0).any():
            raise DomainError(f"expected base_queries > 0, got {np.nanmin(counts):g}")
        if counts.ndim and counts.shape != path.shape:
            raise DomainError(
                f"expected base_queries to be one number or {path.shape[0]}, one a "
                f"probed image, got shape {counts.shape}"
            )
        if counts.ndim == 0 and known and np.isfinite(counts):
            return self._scaled(path, float(counts))
        return self._covered(np.broadcast_to(counts, path.shape))

    def _covered(self, counts: np.ndarray) -> np.ndarray:
        """Displacement at which the noiseless attack takes as many queries."""
        reading = self.at_probe(self.reading(0.0), self.plan)
        drift = self.drift(
            reading.snr, reading.alignment, self.plan.pairs, self.plan.step_rule
        )
        step = self.step_share(reading, self.plan, drift)
        # Rounded up to whole steps, the prediction is the count again.
        wanted = counts / (self.plan.queries_per_step + 1) * (1.0 - 1e-9)
        low = np.zeros_like(counts)
        high = np.full_like(counts, 1.0 / max(1.0 - self.grain(1).saved, 1e-3))
        for _ in range(50):
            middle = 0.5 * (low + high)
            short = self.steps(middle, drift, step) <= wanted
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        path = np.where(
            np.isnan(self.stats.path_length), _NEVER, self.stats.path_length
        )
        return np.where(np.isfinite(counts), low, path)

    def _scaled(self, path: np.ndarray, base: float) -> np.ndarray:
        """The white-box path, scaled so that the median count is ``base``."""
        reading = self.at_probe(self.reading(0.0), self.plan)

        def median(scale: float) -> float:
            queries = self._walk(reading, self.plan, np.minimum(path * scale, 1.0))
            return float(np.median(np.where(np.isfinite(path), queries, _NEVER)))

        finite = path[np.isfinite(path)]
        if not finite.size or not np.isfinite(median(1e-9)):
            self.notes.append(
                "white-box descent breaks fewer than half of the images; base_queries "
                "cannot be matched and was not used"
            )
            return path
        least = finite[finite > 0.0].min(initial=1.0)
        low, high = 1e-9, 1.0 / max(least, 1e-300)
        for _ in range(60):
            middle = np.sqrt(low) * np.sqrt(high)
            low, high = (middle, high) if median(middle) <= base else (low, middle)
        if median(low) < 0.9 * base:
            self.notes.append(
                f"base_queries {base:g} are more than steps of {self.plan.step:g} can "
                f"spend inside the budget; {median(low):g} were used"
            )
        return np.where(np.isfinite(path), np.minimum(path * low, 1.0), _NEVER)


class _Walks:
    """Walks by stages, asked for several ways."""

    def __init__(
        self,
        predictor: Predictor,
        grain: Grain,
        drift: np.ndarray,
        step: np.ndarray | float,
        fluctuates: bool,
    ) -> None:
        self.ends, self.grain = predictor.ends, grain
        drift, self.pace = np.broadcast_arrays(drift, step)
        norm = predictor.stats.norm
        self.mean = self.moving = Walk(drift, self.pace, norm)
        # Those about whose fluctuations something can be said.
        self.some = (np.minimum(drift, self.pace) > _LEAST).all(axis=-2) & fluctuates
        if fluctuates and not self.some.all():
            some = self.some
            self.moving = Walk(drift[..., some], self.pace[..., some], norm)

    def at_least(self, way: np.ndarray) -> np.ndarray:
        """A number of steps below :meth:`arrived`; 0 where none is known."""
        if not self.some.all() and self.mean is not self.moving:
            return np.zeros(np.broadcast_shapes(way.shape, self.some.shape))
        end, start = self.ends(way)
        grain = self.grain
        least = self.mean.at_least(end, grain.dimension, grain.gain, start)
        return np.asarray(least.sum(-2))

    def arrived(self, way: np.ndarray) -> np.ndarray:
        """Steps of the mean path, or of its fluctuations where those come sooner."""
        end, start = self.ends(way)
        taken = np.asarray(self.mean.steps(end, start).sum(-2))
        if self.some.any():
            # Of few coordinates it is an order of magnitude.
            grain, some = self.grain, self.some
            end, start = self.ends(np.broadcast_to(way, some.shape)[some])
            passed = self.moving.first_passage(end, grain.dimension, grain.gain, start)
            taken[some] = np.minimum(taken[some], passed.sum(-2))
        return taken
