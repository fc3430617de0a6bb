"""The best image so far, and what an attacker believes of it under noise."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from querytax.attacks.block import Answers, Ask, Block

__all__ = ["Incumbent"]

# Fu, Guo & Luo 2026, released code: proposals that fail in a row before the attacker
# turns round.
_PATIENCE = 23


class Incumbent:
    """The best image so far of each run in a block.

    Parameters
    ----------
    block : Block
    x : Tensor
        ``(n, ...)`` the images to begin with.
    policy : {"stale", "requery", "mean", "turning"}
        What a proposal is held against: the one answer that made the incumbent, which
        under noise was a lucky one; a fresh answer, asked beside each proposal; or the
        mean of all answers about it, one more with each proposal. ``turning`` is
        ``stale``, but for an answer that may be led astray on purpose: after more than
        23 failures in a row the next proposal wins whatever it is answered, and the
        loss is climbed the other way from there.

    Attributes
    ----------
    x : Tensor
    loss : Tensor
        ``(n,)`` what is believed; minus infinity before the first answer.
    """

    def __init__(self, block: Block, x: Tensor, policy: str = "stale") -> None:
        self.block, self.policy, self.x = block, policy, x.clone()
        self.loss = torch.full(
            (len(x),), -torch.inf, dtype=torch.float64, device=x.device
        )
        self._count = torch.zeros_like(self.loss)
        self._way = torch.ones_like(self.loss)
        self._failed = torch.zeros_like(self.loss)

    def first(self, rows: Tensor) -> Generator[Ask, Answers, None]:
        """Ask about the images to begin with."""
        known = self._count[rows] > 0
        answers = yield Ask(self.x[rows], rows, submit=True, again=known)
        self.loss[rows] = self.block.loss(answers, rows)
        self._count[rows] = 1.0

    def challenge(
        self, rows: Tensor, x: Tensor, *, ties: bool = False
    ) -> Generator[Ask, Answers, Tensor]:
        """Ask about proposals, and let the better ones become incumbents.

        Parameters
        ----------
        rows : Tensor
            ``(R,)`` images of the block.
        x : Tensor
            ``(R, ...)`` proposals, inside the budget.
        ties : bool
            Whether an equal loss is good enough.

        Returns
        -------
        Tensor
            ``(R,)`` bool: which of them won.
        """
        block = self.block
        if self.policy in ("stale", "turning"):
            answers = yield Ask(x, rows, submit=True)
            new, old = block.loss(answers, rows), self.loss[rows]
        else:
            both = torch.stack((x, self.x[rows]), 1).flatten(0, 1)
            known = self._count[rows] > 0
            again = torch.stack((torch.zeros_like(known), known), 1).flatten()
            answers = yield Ask(both, rows, 2, submit=True, again=again)
            new, old = block.loss(answers, rows, 2).view(-1, 2).unbind(1)
            if self.policy == "mean":
                # The first answer chose this incumbent and is biased: it counts for
                # no more than any other.
                count = self._count[rows]
                known = torch.where(count > 0, self.loss[rows], 0.0)
                old = (known * count + old) / (count + 1.0)
                self._count[rows] = count + 1.0
            self.loss[rows] = old
        if self.policy == "turning":
            won = self._turned(rows, new, old, ties)
        else:
            won = new >= old if ties else new > old
        winners = rows[won]
        self.x[winners], self.loss[winners] = x[won], new[won]
        self._count[winners] = 1.0
        return won

    def _turned(self, rows: Tensor, new: Tensor, old: Tensor, ties: bool) -> Tensor:
        """Which proposals win, up the loss or down it, as each image goes."""
        way = self._way[rows]
        rise = (new - old) * way
        won = rise >= 0.0 if ties else rise > 0.0
        failed = torch.where(won, 0.0, self._failed[rows] + 1.0)
        turns = failed > _PATIENCE
        self._way[rows] = torch.where(turns, -way, way)
        self._failed[rows] = torch.where(turns, 0.0, failed)
        return won | turns
