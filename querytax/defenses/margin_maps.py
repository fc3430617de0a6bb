"""The margin of an answer rewritten by a fixed map: AAA, and Dashed Line Defense.

Both are deterministic, and both keep the top class. An attacker who knows the map reads
the true margin off the answer where it is one-to-one, as two of the three are; `losses`
does that.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from querytax import expect
from querytax.defenses.defense import Keys, Model, standard_deviation
from querytax.defenses.rewriting import Rewriting, lead

__all__ = ["AttackOnAttackers", "DashedLine", "SineAttackOnAttackers"]

# A hundred steps of Adam at rate 0.1 move a logit no further.
_REACH = 10.0

# Chen et al. 2022: share of the period by which the sine moves a margin.
_SINE = 0.7


class AttackOnAttackers(Rewriting):
    """Answer with a margin that grows where the model's own falls, in intervals.

    With m the top logit minus the runner-up's and a the middle of its interval of
    length ``period``, the answer's margin is a - reverse (m - a).

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C).
    period : float
        Length of an interval, in logits; at 0 the answer is the model's own. Published
        4.
    reverse : float
        How far the margin turns, in [0, 1]. Published 1.
    temperature : float
        The top probability shall be that of the model's logits over this.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        As for `Defense`; nothing is drawn here.

    Raises
    ------
    DomainError
        For a setting out of its range.

    Notes
    -----
    The publication finds the logits by 100 steps of Adam on |margin - target| + 5 |top
    probability - calibrated|. They are solved for here: the two top logits move by as
    much towards or from each other, to where the margin is the target, exactly, and all
    classes behind them move together to where the top probability is the calibrated
    one, as far as they stay behind and move by 10 at most, which is what the steps
    could reach.

    References
    ----------
    Chen, Huang, Tao, Ye, Xie & Huang 2022, "Adversarial Attack on Attackers:
    Post-Process to Mitigate Black-Box Score-Based Query Attacks", NeurIPS.
    """

    def __init__(
        self,
        model: Model,
        period: float,
        *,
        reverse: float = 1.0,
        temperature: float = 1.0,
        experiment_seed: Any = None,
    ) -> None:
        super().__init__(model, experiment_seed=experiment_seed)
        self.period = standard_deviation(period=period)
        expect.that(0.0 <= reverse <= 1.0, "in [0, 1]", reverse=reverse)
        self.reverse = float(reverse)
        self.temperature = float(expect.positive(temperature=temperature))

    def _settings(self) -> str:
        return (
            f"period={self.period:g}, reverse={self.reverse:g}, "
            f"temperature={self.temperature:g}"
        )

    @property
    def acts(self) -> bool:
        """Whether any margin is rewritten."""
        return self.period > 0

    def target(self, margin: Tensor) -> Tensor:
        """The margin that is answered in place of each ``margin``, >= 0."""
        middle = self._middle(margin)
        return middle - self.reverse * (margin - middle)

    def _middle(self, margin: Tensor) -> Tensor:
        return (torch.floor(margin / self.period) + 0.5) * self.period

    def rewritten(self, logits: Tensor, rows: Keys, queries: Keys) -> Tensor:
        """Logits with the target margin, and the calibrated top probability."""
        at, top, runner = lead(logits)
        second = logits.scatter(1, at, -torch.inf).argmax(dim=1, keepdim=True)
        target = self.target(top - runner)
        middle = 0.5 * (top + runner)
        first, next_ = middle + 0.5 * target, middle - 0.5 * target
        rest = logits.scatter(1, at, -torch.inf).scatter(1, second, -torch.inf)
        if logits.shape[1] > 2:
            # One over the calibrated top probability, minus 1: the odds against it.
            ratio = ((logits - top) / self.temperature).scatter(1, at, -torch.inf)
            odds = ratio.logsumexp(dim=1, keepdim=True).exp()
            wanted = (odds - (-target).exp()).clamp_min(torch.finfo(odds.dtype).tiny)
            shift = first + wanted.log() - rest.logsumexp(dim=1, keepdim=True)
            most = next_ - rest.amax(dim=1, keepdim=True)
            rest = rest + torch.minimum(shift.clamp(-_REACH, _REACH), most)
        return rest.scatter(1, at, first).scatter(1, second, next_)


class SineAttackOnAttackers(AttackOnAttackers):
    """Adversarial Attack on Attackers with a smooth map of the margin.

    With m and a as for `AttackOnAttackers`, the answer's margin is
    m - 0.7 reverse period sin(2 pi (m - a) / period). It falls on less than half of an
    interval, and nearly every answer has three margins behind it.

    Parameters
    ----------
    model, period, reverse, temperature, experiment_seed
        As for `AttackOnAttackers`; the published period is 6.

    Raises
    ------
    DomainError
        For a setting out of its range.
    """

    def target(self, margin: Tensor) -> Tensor:
        """The margin that is answered in place of each ``margin``, >= 0."""
        angle = (2.0 * math.pi / self.period) * (margin - self._middle(margin))
        return margin - _SINE * self.reverse * self.period * angle.sin()


class DashedLine(Rewriting):
    """Answer with a margin that jumps between a rising and a falling line.

    With u in [0, 1) the place of the margin in its interval of length ``period``, which
    begins at b, the answer's margin is b + period (h - h u), or on the dashes, the last
    ``share`` of each piece of length ``dash`` of u, b + period (h + (1 - h) u). The top
    logit alone moves.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C).
    period : float
        Length of an interval, in logits; at 0 the answer is the model's own.
    h : float
        Where both lines begin, as a share of the interval, in (0, 1).
    share : float
        Share of the dashes, in [0, 1].
    dash : float
        Length of a piece, as a share of the interval, in (0, 1].
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        As for `Defense`; nothing is drawn here: answers drawn of both lines would
        show both to whoever asks again.

    Raises
    ------
    DomainError
        For a setting out of its range.

    References
    ----------
    Fu, Guo & Luo 2026, "Dashed Line Defense: Plug-And-Play Defense Against Adaptive
    Score-Based Query Attacks", AISTATS; the map is that of the authors' released code,
    with its period 6, h 0.3, share 0.5 and dash 0.04.
    """

    def __init__(
        self,
        model: Model,
        period: float,
        *,
        h: float = 0.3,
        share: float = 0.5,
        dash: float = 0.04,
        experiment_seed: Any = None,
    ) -> None:
        super().__init__(model, experiment_seed=experiment_seed)
        self.period = standard_deviation(period=period)
        expect.that(0.0 < h < 1.0, "in (0, 1)", h=h)
        expect.that(0.0 <= share <= 1.0, "in [0, 1]", share=share)
        expect.that(0.0 < dash <= 1.0, "in (0, 1]", dash=dash)
        self.h, self.share, self.dash = float(h), float(share), float(dash)

    def _settings(self) -> str:
        return (
            f"period={self.period:g}, h={self.h:g}, share={self.share:g}, "
            f"dash={self.dash:g}"
        )

    @property
    def acts(self) -> bool:
        """Whether any margin is rewritten."""
        return self.period > 0

    def target(self, margin: Tensor) -> Tensor:
        """The margin that is answered in place of each ``margin``, > 0."""
        cell = torch.floor(margin / self.period)
        u = margin / self.period - cell
        pieces = u / self.dash
        high = pieces - torch.floor(pieces) > 1.0 - self.share
        slope = high.to(u.dtype) - self.h
        return self.period * (cell + self.h + slope * u)

    def rewritten(self, logits: Tensor, rows: Keys, queries: Keys) -> Tensor:
        """Logits whose top one leads by the target."""
        at, top, runner = lead(logits)
        target = self.target(top - runner)
        return logits.scatter(1, at, runner + target)
