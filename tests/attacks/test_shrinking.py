"""NES on a top class and on labels: a ball that shrinks around the original."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from querytax import noise
from querytax.attacks import attack
from querytax.attacks.neslabels import NESLabelsPlan
from querytax.attacks.nestop1 import NESTop1Plan
from querytax.expect import DomainError
from querytax.losses import FLOOR

D = 20
LABEL, TARGET = torch.tensor([0]), torch.tensor([1])


def draws(kind, stream, step, shape):
    draw = getattr(noise, kind)
    at = torch.tensor([0]), torch.tensor([step])
    return draw(0, f"attack/{stream}", *at, shape)[0].double().numpy()


def origin():
    return np.full(D, 0.5)


def reference(model, plan, start, stream, turns, norm):
    """The search about one image, question by question."""

    def answer(point):
        return model(torch.tensor(point)[None].float())[0].numpy()

    def fooled(point):
        return answer(point).argmax() == 1

    def top1(point):
        share = np.exp(answer(point)) / np.exp(answer(point)).sum()
        sign = 1 if share.argmax() == 1 else -1
        worth = sign * (np.log(share.max()) - np.log(FLOOR))
        return worth, share.max() if sign > 0 else 0.0

    def size(away):
        return np.abs(away).max() if norm == "Linf" else np.linalg.norm(away)

    asked, x = [], np.array(start, dtype=float)
    begun = size(x - origin())
    reach, fall, memory = max(begun, plan.eps), plan.fall * begun, 0.0
    for step in range(turns):
        u = draws("normals", stream, step, (plan.pairs, D))
        points = [*(x + plan.probe * u), *(x - plan.probe * u)]
        if stream == "nestop1":
            asked += points
            worth, sure = zip(*(top1(p) for p in points), strict=True)
        else:
            m = plan.samples
            kind = "uniforms" if norm == "Linf" else "normals"
            around = draws(kind, "neslabels/copies", step, (len(points), m, D))
            if norm == "Linf":
                around = 2 * around - 1
            else:
                around *= D**0.5 / np.linalg.norm(around, axis=2, keepdims=True)
            worth = []
            for point, offsets in zip(points, around, strict=True):
                copies = list(point + plan.spread * offsets)
                asked += copies
                worth.append(np.mean([fooled(c) for c in copies]))
            sure = worth
        worth = np.array(worth)
        g = (worth[: plan.pairs] - worth[plan.pairs :]) @ u + plan.momentum * memory
        memory = g
        move = np.sign(g)
        if plan.step_rule == "unit":
            move = g / max(np.linalg.norm(g), 1e-30)
        lengths = [plan.step]
        while lengths[-1] / 2 >= plan.step_least:
            lengths.append(lengths[-1] / 2)
        if not g.any():
            lengths = lengths[:1]
        drop = fall if np.mean(sure) >= plan.sure and reach > plan.eps else 0.0
        while True:
            won = False
            for length in lengths:
                away = np.clip(x + length * move, 0, 1) - origin()
                bound = max(reach - drop, plan.eps)
                if norm == "Linf":
                    away = np.clip(away, -bound, bound)
                else:
                    away = away * min(1.0, bound / max(np.linalg.norm(away), 1e-30))
                asked.append(origin() + away)
                won = fooled(asked[-1])
                if won:
                    break
            if won:
                x = asked[-1]
                reach = max(reach - drop / 2, plan.eps)
                if drop > 0:
                    fall = max(drop, 0.1 * begun)
                break
            if drop == 0.0:
                break
            drop /= 2
            if drop < 2e-3 * begun:
                drop = 0.0
    return asked


def started():
    away = np.sin(np.arange(D) + 0.3) + np.linspace(-0.6, 0.8, D)
    return 0.5 + 0.45 * away / np.abs(away).max()


def plan_of(kind, norm, **more):
    settings = {
        "norm": norm,
        "step_rule": "sign" if norm == "Linf" else "unit",
        "pairs": 3,
        "probe": 0.02,
        "step": 0.05,
        "step_least": 0.01,
        "eps": 0.02,
        **more,
    }
    return kind(**settings)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("word", ["nestop1", "neslabels"])
def test_the_questions_are_those_of_the_reference(
    asked, halfspace, word, norm, momentum
):
    model = halfspace(D, 8.0, 0.9)
    kind = {"nestop1": NESTop1Plan, "neslabels": NESLabelsPlan}[word]
    more = {"sure": 0.3, "momentum": momentum}
    if word == "neslabels":
        more.update(samples=2, spread=0.05)
    plan = plan_of(kind, norm, **more)
    wanted = reference(model, plan, started(), word, 12, norm)
    # Both kinds of search are there: radii that fell, and some that did not.
    rows = asked(
        model,
        torch.tensor(origin())[None].float(),
        LABEL,
        plan,
        len(wanted),
        targets=TARGET,
        starts=torch.tensor(started())[None].float(),
    )
    want = torch.tensor(np.array(wanted)).float()
    assert len(rows) == len(want)
    torch.testing.assert_close(rows, want, rtol=0, atol=2e-6)


@pytest.mark.parametrize("word", ["nestop1", "neslabels"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_start_of_the_class_is_brought_into_the_budget(halfspace, word, norm):
    model = halfspace(D, 8.0, 0.9)
    # The budget has a quarter more than the boundary is away.
    across = model.weight.abs().sum() if norm == "Linf" else model.weight.norm()
    eps = 1.25 * 0.9 / float(across)
    result = attack(
        model,
        torch.tensor(origin())[None].float(),
        LABEL,
        word,
        eps=eps,
        norm=norm,
        recipe="adaptive",
        n_queries=4000,
        targets=TARGET,
        starts=torch.tensor(started())[None].float(),
        keep_images=True,
    )
    assert result.status == ("broken",)
    away = (result.images - 0.5).flatten()
    assert float(away.abs().max() if norm == "Linf" else away.norm()) <= eps * 1.0001


def test_untargeted_labels_begin_with_noise(asked, halfspace):
    model = halfspace(D, 3.0, 0.2)
    x = torch.tensor(origin())[None].float()
    rows = asked(model, x, LABEL, plan_of(NESLabelsPlan, "Linf"), 1)
    want = draws("uniforms", "neslabels/start", 0, (D,))
    torch.testing.assert_close(rows[0].double().numpy(), want)


def test_an_untargeted_top_class_is_nes_on_its_score(asked, halfspace):
    model = halfspace(D, 3.0, 0.2)
    x = torch.tensor(origin())[None].float()
    plan = plan_of(NESTop1Plan, "Linf", step=0.01)
    rows = asked(model, x, LABEL, plan, 7).double().numpy()
    u = draws("normals", "nes", 0, (3, D))
    points = np.array([*(0.5 + 0.02 * u), *(0.5 - 0.02 * u)])
    np.testing.assert_allclose(rows[:6], points, atol=1e-6)
    answers = model(torch.tensor(points).float()).numpy()
    share = np.exp(answers) / np.exp(answers).sum(1, keepdims=True)
    told = np.where(answers.argmax(1) == 0, -1, 1) * (
        np.log(share.max(1)) - np.log(FLOOR)
    )
    g = (told[:3] - told[3:]) @ u
    np.testing.assert_allclose(rows[6], 0.5 + 0.01 * np.sign(g), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (NESTop1Plan, {"step_rule": "plain"}),
        (NESTop1Plan, {"step_least": 0.0}),
        (NESTop1Plan, {"fall": 0.0}),
        (NESTop1Plan, {"sure": 1.5}),
        (NESLabelsPlan, {"samples": 0}),
        (NESLabelsPlan, {"spread": 0.0}),
        (NESLabelsPlan, {"fall": 2.0}),
    ],
)
def test_a_setting_outside_its_range_is_refused(kind, wrong):
    with pytest.raises(DomainError, match="expected"):
        kind(eps=0.1, **wrong)
