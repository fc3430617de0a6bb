"""What a search meets: how random candidate moves change the attacker's loss."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from querytax.attacks.block import Block
from querytax.attacks.oracle import Model, answer_in_batches
from querytax.attacks.simba import SimBAPlan
from querytax.attacks.square import SquarePlan, moves
from querytax.losses import attacker_loss
from querytax.probes.questions import answers_in_turn, block_of

__all__ = ["KINDS", "kinds_of", "margins_of", "propose", "proposed"]

KINDS = ("square", "coarse", "pixel")
_SHARE = 0.1


def kinds_of(shape: tuple[int, ...]) -> tuple[str, ...]:
    """The kinds of move that there are on images of a shape: squares want planes."""
    return KINDS if len(shape) == 3 else KINDS[1:]


def propose(
    model: Model,
    x: Tensor,
    origin: Tensor,
    goals: Tensor,
    keys: Tensor,
    *,
    eps: float,
    norm: str,
    n_proposals: int,
    seed: int,
    answered: str,
    targeted: bool,
    batch_size: int,
) -> Tensor:
    """Changes of the margin loss by random moves from points inside the budget.

    Parameters
    ----------
    x, origin : Tensor
        ``(M, ...)`` points, and the images whose budget they lie in.
    goals, keys : Tensor
        ``(M,)`` labels or targets, and what the draws of each point are keyed by.
    eps, norm
        The budget; moves are projected onto it.
    n_proposals : int
        Candidates a point and kind.

    Returns
    -------
    Tensor
        ``(2, K, M, n_proposals)`` float32, above 0 where the attacker's loss grows:
        on the scale of the model's own answers, and on that of probabilities. Exactly
        0 where a move changes nothing.
    """
    block = block_of(
        SquarePlan(eps=eps, norm=norm, p=_SHARE),
        origin,
        goals,
        keys,
        seed=seed,
        answered=answered,
        targeted=targeted,
    )
    kinds = kinds_of(tuple(block.shape))
    still: list[Tensor] = []

    def asked() -> Iterator[Tensor]:
        for kind in kinds:
            for candidate in proposed(block, kind, x, n_proposals):
                still.append((candidate == x).flatten(1).all(1))
                yield candidate

    before = margins_of(block, answer_in_batches(model, x, batch_size))
    changes = torch.stack(
        [
            margins_of(block, answers) - before
            for answers in answers_in_turn(model, asked(), batch_size)
        ]
    )
    # Of a move that changes nothing, another batch would answer by rounding.
    changes = changes.masked_fill(torch.stack(still)[:, None], 0.0)
    shaped = changes.view(len(kinds), n_proposals, 2, len(x)).permute(2, 0, 3, 1)
    return shaped.to(torch.float32)


def proposed(block: Block, kind: str, x: Tensor, count: int) -> Iterator[Tensor]:
    """Candidates ``(M, ...)`` of one kind from the points ``x``, one after another.

    ``square``: Square's own, on a tenth of the pixels. ``coarse``: one cell of one
    channel, of a grid of four a side, is set to one face of the budget, as by SimBA on
    blocks; images without planes are cut into 16 runs, as by SignHunter. ``pixel``:
    one number is set so, as by SimBA. In L2 a cell moves by half the budget and a
    pixel by SimBA's published step, and what leaves the budget is cut off.
    """
    if kind == "square":
        assert isinstance(block.plan, SquarePlan)
        squares, rows = moves(block), block.rows()
        height, width = block.shape[-2:]
        side = round((block.plan.p * height * width) ** 0.5)
        for step in range(count):
            yield squares.proposal(rows, x, side, step)
        return
    cell_of = _cells(block) if kind == "coarse" else torch.arange(block.dimension)
    yield from _faces(block, kind, x, cell_of.to(x.device), count)


def _faces(
    block: Block, kind: str, x: Tensor, cell_of: Tensor, count: int
) -> Iterator[Tensor]:
    """One cell a candidate moves up or down."""
    rows, eps = block.rows(), block.plan.eps
    cells = int(cell_of.max()) + 1
    if block.plan.norm == "Linf":
        # From one face to the other: the budget cuts off the rest.
        step = 2.0 * eps
    elif kind == "pixel":
        step = SimBAPlan.step
    else:
        step = 0.5 * eps / int(cell_of.bincount().max()) ** 0.5
    for turn in range(count):
        u = block.uniforms(f"probe/{kind}", turn, (1,), rows)[:, 0].double()
        which = (u * cells).long().clamp_max(cells - 1)
        sign = block.signs(f"probe/{kind}", turn, (1,), rows)
        move = step * sign * (cell_of == which[:, None]).to(x.dtype)
        yield block.project(x + move.view_as(x), rows)


def _cells(block: Block) -> Tensor:
    """``(D,)`` the number of each pixel's cell."""
    if len(block.shape) != 3:
        return torch.arange(block.dimension) // -(-block.dimension // 16)
    channels, height, width = block.shape
    side = max(2, min(height, width) // 4)
    down, across = -(-height // side), -(-width // side)
    cell = torch.arange(height)[:, None] // side * across + torch.arange(width) // side
    cell = cell + down * across * torch.arange(channels)[:, None, None]
    return cell.flatten()


def margins_of(block: Block, answers: Tensor) -> Tensor:
    """``(2, M)`` margin loss of the answers, and of the probabilities behind them."""
    own = block.margin(answers, block.rows())
    if block.answered == "probabilities":
        return torch.stack((own, own))
    goals = block.labels if block.targets is None else block.targets
    chances = attacker_loss(
        answers.double().softmax(1),
        goals,
        loss="margin",
        answered="probabilities",
        targeted=block.targets is not None,
    )
    return torch.stack((own, chances))
