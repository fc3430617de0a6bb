"""An attack's own moves, asked of the clean model in full batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from querytax.attacks.block import Block
from querytax.attacks.oracle import Model, answer_in_batches
from querytax.plans import Plan

__all__ = ["answers_in_turn", "apart", "block_of"]


def apart(seed: int) -> int:
    """A seed that no attack has, for draws under an attack's own names.

    A probe and the attack that it foretells often share a seed; with the same draws
    about the same images the forecast would know what it is to foretell.
    """
    digest = hashlib.blake2b(f"probe:{seed}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")


def block_of(
    plan: Plan,
    origin: Tensor,
    goals: Tensor,
    keys: Tensor,
    *,
    seed: int,
    answered: str,
    targeted: bool,
) -> Block:
    """What an attack with this plan would be given; ``goals`` are labels or targets."""
    return Block(
        plan,
        origin,
        goals,
        keys,
        seed=apart(seed),
        targets=goals if targeted else None,
        answered=answered,
    )


def answers_in_turn(
    model: Model, asked: Iterable[Tensor], batch_size: int
) -> Iterator[Tensor]:
    """Answers to each tensor of questions, in order; short ones share a forward pass.

    Raises
    ------
    DomainError
        If an answer is no tensor, or holds NaN or infinity.
    """
    held: list[Tensor] = []
    for x in asked:
        if held and sum(map(len, held)) + len(x) > batch_size:
            yield from _together(model, held, batch_size)
            held = []
        held.append(x)
    if held:
        yield from _together(model, held, batch_size)


def _together(model: Model, held: list[Tensor], batch_size: int) -> Iterator[Tensor]:
    answers = answer_in_batches(model, torch.cat(held), batch_size)
    yield from answers.split([len(x) for x in held])
