"""The accuracy that noise costs, as a function of its size."""

from __future__ import annotations

import numpy as np

from querytax.sites import Site
from querytax.statistics import ModelStatistics
from querytax.theory import accuracy as law

__all__ = ["Price"]


class Price:
    """Accuracy lost at one site, interpolated from what was measured.

    Raw noise on a known answer, and nowhere else, needs no sampling: there the loss is
    the exact multi-class law over the measured answers.
    """

    def __init__(self, stats: ModelStatistics, site: str) -> None:
        self.stats = stats
        self.site = Site.parse(site)
        self.measured = stats.site(site)
        share, error = self.measured.accuracy()
        loss = share[0] - share
        # More noise cannot be trusted to cost less: flips that mend as many answers
        # as they spoil are luck of this sample.
        self.monotone = bool((np.diff(loss) >= -2 * error[1:] - 1e-12).all())
        self._loss = np.maximum.accumulate(np.maximum(loss, 0.0))
        self._error = np.maximum.accumulate(error)

    def at(self, sigma: float) -> tuple[float, float, float]:
        """Accuracy loss (lower, estimate, upper), two standard errors to a side.

        With noise the upper end is three images' share above the estimate at least:
        flips that were never seen may be so many.
        """
        low, loss, high = self._measured(sigma)
        if sigma > 0:
            n = self.measured.correct.shape[1]
            high = min(1.0, max(high, loss + 3.0 / n))
        return low, loss, high

    def _measured(self, sigma: float) -> tuple[float, float, float]:
        """Two standard errors to a side, as far as flips were seen."""
        grid = self.measured.sigmas
        error = 2.0 * float(np.interp(sigma, grid, self._error))
        if self.site.kind == "output" and self.site.form == "raw" and sigma > 0:
            on = self.stats.logits
            if self.site.on == "probabilities":
                on = self.stats.probabilities
            loss = max(0.0, float(law.accuracy_loss(on, sigma, self.stats.labels)))
        else:
            loss = float(np.interp(sigma, grid, self._loss))
        return max(0.0, loss - error), loss, min(1.0, loss + error)

    def largest(self, allowed: float, errors: float = 0.0) -> float:
        """Largest probed sigma up to which no more than ``allowed`` is lost.

        By the estimate and so many standard errors; the lower end for negative ones.
        """
        grid = self.measured.sigmas
        over = [self._with(float(s), errors) > allowed for s in grid]
        if not any(over):
            return float(grid[-1])
        first = over.index(True)
        low, high = float(grid[first - 1]), float(grid[first])
        for _ in range(40):
            middle = 0.5 * (low + high)
            low, high = (
                (middle, high)
                if self._with(middle, errors) <= allowed
                else (low, middle)
            )
        return low

    def _with(self, sigma: float, errors: float) -> float:
        low, loss, high = self._measured(sigma)
        return loss + errors / 2.0 * (high - loss if errors > 0 else loss - low)
