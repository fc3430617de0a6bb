"""What patterns without feedback do to the clean model, image by image."""

from __future__ import annotations

import torch
from torch import Tensor

from querytax.attacks.oracle import Model, answer_in_batches
from querytax.attacks.patterns import MIXED, PatternsPlan, patterned
from querytax.probes.proposals import margins_of
from querytax.probes.questions import answers_in_turn, block_of

__all__ = ["TURN", "TURNED", "blind_outcomes"]

# Mixed patterns come in turns of so many kinds, the best of them first.
TURN = len(MIXED)
TURNED = tuple(f"{kind} {size}" for kind, size, _ in MIXED)


def blind_outcomes(
    model: Model,
    images: Tensor,
    goals: Tensor,
    keys: Tensor,
    *,
    eps: float,
    norm: str,
    n_patterns: int,
    seed: int,
    answered: str,
    targeted: bool,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """Whether an image's first ``n_patterns`` mixed patterns are adversarial.

    The patterns are those of the attack of this name, under a seed of their own.

    Returns
    -------
    outcomes : Tensor
        ``(n, n_patterns)`` bool.
    changes : Tensor
        ``(2, n, n_patterns)`` float32, of the margin loss: on the scale of the answers,
        and on that of probabilities.
    """
    plan = PatternsPlan(eps=eps, norm=norm)
    block = block_of(
        plan,
        images,
        goals,
        keys,
        seed=seed,
        answered=answered,
        targeted=targeted,
    )
    rows = block.rows()
    asked = (patterned(block, plan.kind, step, rows) for step in range(n_patterns))
    found = rows.new_empty(len(rows), n_patterns, dtype=torch.bool)
    changes = torch.empty(2, len(rows), n_patterns, device=images.device)
    before = margins_of(block, answer_in_batches(model, images, batch_size))
    for step, answers in enumerate(answers_in_turn(model, asked, batch_size)):
        found[:, step] = block.fooled(answers, rows)
        changes[:, :, step] = (margins_of(block, answers) - before).float()
    return found, changes
