"""What an attack hears: answers to repeated questions, and to those it can pay for."""

from __future__ import annotations

import torch
from torch import Tensor

from querytax.attacks.block import Answers, Block, Top1, seen

__all__ = ["LEAST", "Heard", "widened"]

# A repeated question is settled when its answers' mean margin is this many standard
# errors from zero, or its labels lead by so many; from so many answers on.
_ERRORS, _LEAD, LEAST = 3.0, 3, 3


class Heard:
    """Answers to repeated questions, as they come in."""

    def __init__(self, block: Block, n: int, like: Tensor) -> None:
        self.block = block
        self.sums = like.new_zeros((n, block.n_classes), dtype=torch.float64)
        self.counts = torch.zeros_like(self.sums)
        # Of the margins: how many, their sum, their squares' sum.
        self.moments = like.new_zeros((3, n), dtype=torch.float64)

    def add(self, index: Tensor, answers: Tensor, rows: Tensor) -> None:
        """Answers to the questions ``index``, about the images ``rows``."""
        block = self.block
        label = answers.argmax(1)
        one = torch.ones(len(index), 1, dtype=torch.float64, device=index.device)
        # Where labels tie, the first of them decides, not the smaller number.
        first = self.moments[0, index] == 0
        first[1:] &= index[1:] != index[:-1]
        one[first] += 0.5
        hot = torch.zeros_like(answers, dtype=torch.float64)
        hot.scatter_(1, label[:, None], one)
        self.counts.index_add_(0, index, hot)
        fooled = block.fooled(answers, rows)
        margin = fooled.double().mul_(2.0).sub_(1.0)
        if block.access == "scores":
            self.sums.index_add_(0, index, answers.double())
            margin = block.margin(answers, rows)
        elif block.access == "top1":
            score = seen(answers, block).score  # type: ignore[union-attr]
            self.sums.index_add_(0, index, (hot > 0) * score[:, None])
        parts = torch.stack((torch.ones_like(margin), margin, margin.square()))
        self.moments.index_add_(1, index, parts)

    def sure(self, index: Tensor) -> Tensor:
        """Which of these questions are settled."""
        n, total, squares = self.moments[:, index]
        if self.block.access != "scores":
            return total.abs() >= _LEAD
        spread_ = (squares - total.square() / n).clamp_min(0.0) / (n - 1).clamp_min(1.0)
        return (n >= LEAST) & (total.abs() > _ERRORS * (spread_ * n).sqrt())

    def told(self) -> Answers:
        """Mean scores, or the majority's label, with its mean score."""
        if self.block.access == "scores":
            return self.sums / self.moments[0][:, None]
        label = self.counts.argmax(1)
        if self.block.access == "labels":
            return label
        mean = self.sums / self.counts.floor().clamp_min(1.0)
        return Top1(label, mean.gather(1, label[:, None])[:, 0])


def widened(answers: Answers | None, kept: Tensor, block: Block) -> Answers:
    """Answers to some questions, among all: NaN, or label -1, for the others."""
    n, device = len(kept), kept.device
    label = torch.full((n,), -1, dtype=torch.int64, device=device)
    score = torch.full((n,), torch.nan, dtype=torch.float64, device=device)
    if block.access == "scores":
        wide = score[:, None].repeat(1, block.n_classes)
        if isinstance(answers, Tensor):
            wide = wide.to(answers.dtype)
            wide[kept] = answers
        return wide
    if isinstance(answers, Top1):
        label[kept], score[kept] = answers.label, answers.score.double()
    elif answers is not None:
        label[kept] = answers
    return label if block.access == "labels" else Top1(label, score)
