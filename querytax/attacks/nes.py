"""NES: gradient estimation by antithetic pairs, then projected steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.oracle import Model
from querytax.attacks.outcome import AttackResult
from querytax.attacks.run import attack
from querytax.attacks.table import Attack
from querytax.plans import NESPlan

__all__ = ["ATTACK", "directions", "engine", "nes", "stepped"]


def engine(plan: NESPlan, block: Block) -> Questions:
    """Questions of NES: pairs around the iterate, then the new iterate."""
    x = block.origin.clone()
    memory = torch.zeros_like(x)
    step = 0
    while len(rows := block.rows()):
        u = directions(block, "nes", step, plan.pairs, plan.block, rows)
        offset, at = plan.probe * u, x[rows][:, None]
        questions = torch.stack((at + offset, at - offset), 1).flatten(0, 2)
        answers = yield Ask(questions, rows, 2 * plan.pairs, then=1)
        loss = block.loss(answers, rows, 2 * plan.pairs).view(len(rows), -1)
        change = (loss[:, : plan.pairs] - loss[:, plan.pairs :]).to(u.dtype)
        change = change / (2.0 * plan.probe * plan.pairs)
        gradient = torch.bmm(change[:, None], u.flatten(2)).view_as(x[rows])
        if plan.momentum:
            gradient += plan.momentum * memory[rows]
            memory[rows] = gradient
        x[rows] = block.project(stepped(plan, x[rows], gradient), rows)
        yield Ask(x[rows], rows, submit=True)
        step += 1


def directions(
    block: Block, name: str, step: int, count: int, side: int, rows: Tensor
) -> Tensor:
    """Normal directions ``(R, count, *shape)``, constant on squares of ``side``."""
    if side == 1:
        return block.normals(name, step, (count, *block.shape), rows)
    *channels, height, width = block.shape
    coarse = (-(-height // side), -(-width // side))
    u = block.normals(name, step, (count, *channels, *coarse), rows)
    fine = functional.interpolate(u.flatten(1, -3), scale_factor=float(side))
    return fine[..., :height, :width].reshape(len(rows), count, *block.shape)


def stepped(plan: Any, x: Tensor, gradient: Tensor) -> Tensor:
    """Where a step of the plan's rule leads, before the projection."""
    if plan.step_rule == "sign":
        move = gradient.sign()
    elif plan.step_rule == "unit":
        move = gradient / ball.shaped(ball.lengths(gradient), gradient)
    else:
        move = gradient
    return x + plan.step * move


def nes(
    model: Model,
    images: Tensor,
    labels: Tensor,
    plan: NESPlan,
    *,
    budget: int = 10_000,
    **options: Any,
) -> AttackResult:
    """Attack a model with NES; :func:`querytax.attack` says what everything means.

    Parameters
    ----------
    model, images, labels
        As in :func:`querytax.attack`.
    plan : NESPlan
        What the attacker does.
    budget : int
        Queries an image.
    **options
        Other arguments of :func:`querytax.attack`.

    Returns
    -------
    AttackResult

    Examples
    --------
    >>> w = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> result = nes(lambda x: x @ w, torch.tensor([[0.6, 0.4]]), torch.tensor([0]),
    ...              NESPlan(eps=0.3, step=0.1, pairs=4), budget=200)
    >>> bool(result.confirmed.success[0])
    True
    """
    return attack(model, images, labels, plan, n_queries=budget, **options)


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    rule = {"Linf": ("sign", 0.01), "L2": ("unit", eps / 10.0)}
    step_rule, step = rule[norm]
    return {"step_rule": step_rule, "step": min(step, eps)}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Noise is overcome by a wide probe and by few dimensions, not by averages.
    side = max(1, min(shape[-2:]) // 14) if len(shape) == 3 else 1
    return {
        "loss": "margin",
        "probe": 0.5 * eps if norm == "Linf" else 0.05,
        "step_rule": "sign" if norm == "Linf" else "unit",
        "step": 0.25 * eps,
        "block": max(side, 2) if len(shape) == 3 else 1,
        "momentum": 0.75,
    }


ATTACK = Attack(
    name="nes",
    engine=engine,
    plan=NESPlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Ilyas, Engstrom, Athalye & Lin 2018, Black-box Adversarial Attacks with "
        "Limited Queries and Information"
    ),
    about="gradient by antithetic pairs, then projected steps",
    published=_published,
    adaptive=_adaptive,
)
