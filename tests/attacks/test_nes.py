"""The NES attack and its meter, on models where every number is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from querytax.attacks import MeteredOracle, clean_model, nes, work
from querytax.defenses import InputNoise, OutputNoise
from querytax.expect import DomainError
from querytax.noise import normals
from querytax.plans import NESPlan
from querytax.theory import drift, query_ratio, snr

PLAN = NESPlan(
    eps=0.1, norm="L2", probe=0.01, pairs=3, step=0.01, step_rule="unit", loss="margin"
)


def start(n, dimension=20):
    return torch.full((n, dimension), 0.5), torch.zeros(n, dtype=torch.int64)


def same(left, right):
    for name in ("confirmed", "clean"):
        a, b = getattr(left, name), getattr(right, name)
        np.testing.assert_array_equal(a.queries, b.queries)
        np.testing.assert_array_equal(a.success, b.success)
    assert left.total_queries == right.total_queries
    assert torch.equal(left.images, right.images)


# The meter


def test_the_oracle_counts_every_row(halfspace):
    model = halfspace(4)
    oracle = MeteredOracle(model, 3, batch_size=2)
    oracle.ask(torch.zeros(2, 4), torch.tensor([0, 2]))
    oracle.ask(torch.zeros(6, 4), torch.tensor([2, 1]), 3)
    assert oracle.asked.tolist() == [1, 3, 4]
    assert model.rows == 8


def test_each_question_has_a_key_of_its_own():
    """Answers of pure noise: no two equal, whatever the order of the asking."""
    noise = OutputNoise(
        lambda x: torch.zeros(len(x), 2), 1.0, on="logits", experiment_seed=0
    )
    first = MeteredOracle(noise, 2, batch_size=1)
    one = [first.ask(torch.zeros(4, 1), torch.tensor([0, 1]), 2) for _ in range(2)]
    second = MeteredOracle(noise, 2, batch_size=100)
    two = [second.ask(torch.zeros(4, 1), torch.tensor([1, 0]), 2) for _ in range(2)]
    assert len(torch.cat(one).unique()) == 16
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a, b.view(2, 2, 2).flip(0).view(4, 2))


def test_the_clean_model_is_behind_all_defences():
    inner = nn.Linear(2, 2)
    assert clean_model(OutputNoise(InputNoise(inner, 0.1), 0.1)) is inner
    assert clean_model(inner) is inner


@pytest.mark.parametrize("margin", [0.03, 10.0])
@pytest.mark.parametrize("sigma", [0.0, 0.02])
def test_total_queries_are_the_rows_that_the_defence_answered(halfspace, margin, sigma):
    model = halfspace(20, margin=margin)
    guarded = InputNoise(model, sigma, experiment_seed=0)
    images, labels = start(5)
    result = nes(guarded, images, labels, PLAN, budget=300)
    assert result.total_queries == guarded.n_queries
    # Without noise, an answer is its own judgement.
    judged = model.rows - guarded.n_queries
    assert judged == result.judged
    if margin == 10.0:  # Hopeless: every image spends what it can, 7 queries a step.
        steps = (300 - 7 - 9) // 7 + 1
        assert not result.confirmed.success.any()
        # None within the budget, although a last step could not be paid.
        assert result.confirmed.queries.tolist() == [300] * 5
        assert result.total_queries == 35 * steps
        assert judged == (5 + 5 * steps if sigma else 5)
    else:
        assert result.confirmed.success.all()
        assert result.clean.success.all()
        assert result.confirmed.queries.sum() <= result.total_queries
    if sigma == 0.0 and margin == 0.03:
        # Without noise the first adversarial answer is confirmed by nine more.
        np.testing.assert_array_equal(
            result.confirmed.queries, result.clean.queries + 9
        )
        assert (result.clean.queries % 7 == 0).all()


@pytest.mark.parametrize("budget", [16, 17, 100, 101, 333])
def test_no_image_passes_its_budget(halfspace, budget):
    guarded = OutputNoise(
        halfspace(20, margin=0.06), 0.05, on="logits", experiment_seed=0
    )
    images, labels = start(9)
    result = nes(guarded, images, labels, PLAN, budget=budget)
    for found in (result.confirmed, result.clean):
        assert (found.queries <= budget).all()
        assert (found.queries > 0).all()
    # Who was censored could not afford another step.
    open_ = ~(result.confirmed.success & result.clean.success)
    spent = sum(result.spent.values())
    assert (spent[open_] + 7 + 9 > budget).all()
    assert (spent <= budget).all()
    assert result.total_queries <= 9 * budget


def test_images_that_are_wrong_already_are_not_attacked(halfspace):
    images, labels = start(3)
    labels[1] = 1
    result = nes(halfspace(20), images, labels, PLAN, budget=16)
    assert result.attacked.tolist() == [True, False, True]
    assert result.confirmed.queries.shape == (2,)
    nobody = nes(halfspace(20), images, 1 - 0 * labels, PLAN, budget=16)
    assert nobody.total_queries == 0
    assert nobody.to_json()["confirmed"]["success_rate"] is None


# What a result depends on


@pytest.mark.parametrize("rule", ["sign", "unit", "plain"])
def test_batch_size_does_not_change_the_result(halfspace, rule):
    guarded = InputNoise(halfspace(20, margin=0.05), 0.02, experiment_seed=0)
    plan, (images, labels) = PLAN.replace(step_rule=rule), start(6)

    def run(batch_size):
        return nes(
            guarded,
            images,
            labels,
            plan,
            budget=150,
            batch_size=batch_size,
            keep_images=True,
        )

    for batch_size in (1, 7, 1000):
        same(run(256), run(batch_size))


def test_images_that_come_after_do_not_change_the_result(halfspace, monkeypatch):
    """Keyed by place: a prefix of the batch runs as in the batch, in blocks or not."""
    guarded = InputNoise(halfspace(20, margin=0.05), 0.02, experiment_seed=0)
    images, labels = start(6)
    whole = nes(guarded, images, labels, PLAN, budget=150, keep_images=True)
    part = nes(guarded, images[:2], labels[:2], PLAN, budget=150, keep_images=True)
    np.testing.assert_array_equal(whole.clean.queries[:2], part.clean.queries)
    assert torch.equal(whole.images[:2], part.images)
    # At another place, another draw.
    assert whole.images.unique(dim=0).shape[0] == 6
    monkeypatch.setattr(work, "_BLOCK_ELEMENTS", 1)
    same(whole, nes(guarded, images, labels, PLAN, budget=150, keep_images=True))


def test_the_global_generator_is_neither_moved_nor_heard(halfspace):
    guarded = InputNoise(halfspace(20, margin=0.05), 0.02, experiment_seed=0)
    images, labels = start(3)
    runs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        runs.append(nes(guarded, images, labels, PLAN, budget=100, keep_images=True))
        assert torch.equal(state, torch.get_rng_state())
    same(*runs)
    other = nes(guarded, images, labels, PLAN, budget=100, rng=1, keep_images=True)
    assert other.seed == 1
    assert not torch.equal(other.images, runs[0].images)


def test_images_are_not_written_to_and_the_mode_is_kept(halfspace):
    net = nn.Sequential(nn.Linear(20, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    net.train()
    net[1].eval()
    images, _ = start(2)
    labels = net.eval()(images).argmax(1)
    net.train()
    net[1].eval()
    before = images.clone()
    result = nes(net, images, labels, PLAN, budget=100)
    assert torch.equal(images, before)
    assert result.attacked.all()
    assert [m.training for m in net] == [True, False, True]
    assert result.images is None


# Steps


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("rule", ["sign", "unit", "plain"])
@pytest.mark.parametrize("where", [0.0, 0.02, 0.5, 1.0])
def test_iterates_stay_in_the_budget_and_in_the_image(halfspace, norm, rule, where):
    model = halfspace(20, margin=50.0)
    images = torch.full((4, 20), where)
    plan = PLAN.replace(norm=norm, step_rule=rule, step=0.07, eps=0.1)
    labels = model(images).argmax(1)
    result = nes(model, images, labels, plan, budget=200, keep_images=True)
    away = (result.images - images).double()
    size = away.abs().amax(1) if norm == "Linf" else away.norm(dim=1)
    assert (size <= 0.1 * (1 + 1e-6)).all()
    assert size.max() > 0.05
    assert result.images.min() >= 0
    assert result.images.max() <= 1


def one_step(model, images, labels, plan, **more):
    price = plan.queries_per_step + 10
    return nes(model, images, labels, plan, budget=price, keep_images=True, **more)


def test_the_three_rules_move_as_they_say(halfspace):
    """One step from the same directions: the sign, the unit vector, the estimate."""
    model = halfspace(20, margin=10.0)
    images, labels = start(3)
    moves = {}
    for rule in ("sign", "unit", "plain"):
        plan = PLAN.replace(step_rule=rule, step=1e-3, eps=0.4, norm="Linf")
        result = one_step(model, images, labels, plan)
        moves[rule] = (result.images - images).double() / 1e-3
    torch.testing.assert_close(moves["sign"], moves["plain"].sign(), atol=1e-4, rtol=0)
    unit = moves["plain"] / moves["plain"].norm(dim=1, keepdim=True)
    torch.testing.assert_close(moves["unit"], unit, atol=1e-3, rtol=0)


def test_probes_may_leave_the_budget_and_the_image():
    seen = []

    def model(x):
        seen.append(x)
        return torch.stack((torch.ones(len(x)), torch.zeros(len(x))), 1) * 2

    images, labels = start(1)
    one_step(model, images, labels, PLAN.replace(probe=3.0))
    assert max(x.max() for x in seen) > 1.5
    assert min(x.min() for x in seen) < -0.5


def three_corners(x):
    """Three classes: the plane of the first two pixels, cut in three."""
    a, b = x[:, 0] - 0.5, x[:, 1] - 0.5
    return 20 * torch.stack((-a - b, 2 * a - b, 2 * b - a), 1).double()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("rule", ["sign", "unit", "plain"])
@pytest.mark.parametrize("loss", ["ce", "margin"])
def test_a_target_is_reached(norm, rule, loss):
    images = torch.full((4, 3), 0.45)
    images[3, 0] = 0.55
    labels = torch.zeros(4, dtype=torch.int64)
    targets = torch.tensor([1, 2, 1, 1])
    step = 0.002 if rule == "plain" else 0.02
    plan = PLAN.replace(
        norm=norm, step_rule=rule, loss=loss, eps=0.3, step=step, pairs=8
    )
    found = nes(
        three_corners,
        images,
        labels,
        plan,
        targets=targets,
        budget=3000,
        keep_images=True,
    )
    # The last gives the target already: there is nothing to attack.
    assert found.attacked.tolist() == [True, True, True, False]
    assert found.status == ("broken", "broken", "broken", "target already")
    assert found.confirmed.success.all()
    said = three_corners(found.images).argmax(1)
    assert (said[:3] == targets[:3]).all()
    free = nes(three_corners, images, labels, plan, budget=3000, keep_images=True)
    assert free.confirmed.success.all()
    assert (three_corners(free.images).argmax(1) != 0).all()


# Success


def test_one_lucky_answer_is_no_success(halfspace):
    """Answers flip in 1 of 6 draws: single answers succeed at once, majorities do not.

    Nine votes with error rate 1/6 are wrong with probability 0.011, and are held only
    after a first wrong answer; over 40 images and 11 steps 0.8 false confirmations
    are expected, and 8 or more have a probability below 1e-5.
    """
    flat = halfspace(20, margin=0.97)  # Noise of sigma 1 on w·x: Phi(-0.97) = 1/6.
    guarded = InputNoise(flat, 1.0, experiment_seed=0)
    images, labels = start(40)
    plan = PLAN.replace(eps=1e-6, step=1e-6)
    result = nes(guarded, images, labels, plan, budget=120)
    assert result.confirmed.success.sum() < 8
    assert not result.clean.success.any()
    lucky = nes(guarded, images, labels, plan, budget=120, votes=1)
    assert lucky.confirmed.success.sum() > result.confirmed.success.sum()


def test_success_with_noise_and_without_are_reported_apart(halfspace):
    """Noise flips half of the answers at the boundary; the iterate crosses it once."""
    guarded = InputNoise(halfspace(20, margin=0.05), 0.02, experiment_seed=0)
    images, labels = start(20)
    result = nes(guarded, images, labels, PLAN, budget=2000)
    assert result.clean.success.all()
    assert result.confirmed.success.all()
    assert (result.confirmed.queries != result.clean.queries).any()


# Against the theory


@pytest.mark.parametrize("sigma", [0.0, 0.01, 0.02])
def test_the_cosine_of_the_estimate(halfspace, sigma):
    """Mean over 300 images of the cosine of one unit step with the gradient.

    False alarm 6e-5 (4 standard errors); an error of 16 % is seen.
    """
    dimension, pairs, probe = 400, 30, 0.01
    model = halfspace(dimension, margin=100.0)
    images, labels = start(300, dimension)
    plan = PLAN.replace(pairs=pairs, probe=probe, step=0.01, eps=1.0)
    guarded = InputNoise(model, sigma, experiment_seed=1)
    result = one_step(guarded, images, labels, plan)
    move = (result.images - images).double()
    cosine = (move @ model.weight.double() / 0.01).numpy()
    share = np.inf if sigma == 0 else snr.antithetic(1.0, probe, sigma)
    law = drift.cosine(min(share, 1e300), dimension, pairs)
    band = 4 * cosine.std() / np.sqrt(300)
    assert band < 0.08 * law
    assert abs(cosine.mean() - law) < band


def test_noise_costs_steps_of_fixed_length_a_square_root(halfspace):
    """Steps to the boundary with noise over steps without: fixed_length_step.

    60 images; half a step of overshoot is taken off both. 4 standard errors (6e-5)
    make the band, 8 % wide; the plain step's ratio is three times as large.
    """
    dimension, pairs, probe, norm, sigma = 200, 20, 0.0025, 20.0, 0.011
    model = halfspace(dimension, norm=norm, margin=5.0)
    images, labels = start(60, dimension)
    plan = PLAN.replace(pairs=pairs, probe=probe, step=0.04, eps=10.0)
    steps = []
    for noise in (0.0, sigma):
        result = nes(
            InputNoise(model, noise, experiment_seed=2),
            images,
            labels,
            plan,
            budget=20_000,
            votes=1,
        )
        assert result.clean.success.all()
        steps.append(result.clean.queries / (2 * pairs + 1) - 0.5)
    share = snr.antithetic(norm, probe, norm * sigma)
    law = query_ratio.fixed_length_step(share, dimension, pairs)
    measured = steps[1].mean() / steps[0].mean()
    error = np.hypot(*(s.std() / s.mean() / np.sqrt(60) for s in steps))
    assert law > 2.5
    assert 4 * error < 0.08
    assert abs(measured / law - 1) < 4 * error


# Bad input


def uniform(x):
    return torch.full((len(x), 2), 0.5)


def not_a_number(x):
    return torch.full((len(x), 2), float("nan"))


def bad_outside(x):
    """Answers NaN where a probe leaves the image, as a root or a logarithm does."""
    root = x.sqrt().sum(1)
    return torch.stack((root, -root), 1)


IMAGES, LABELS = start(2)
BAD = {
    "NaN": (not_a_number, {}, "model to return finite numbers, got NaN"),
    "NaN outside": (bad_outside, {}, "model to return finite numbers, got NaN"),
    "probabilities": (uniform, {}, "model to return logits, got probabilities"),
    "tuple": (
        lambda x: (x, x),
        {},
        r"model to answer one tensor .*pick=0",
    ),
    "no column": (lambda x: x[:, :0], {}, r"model to answer \(2, C\) with C >= 2"),
    "one row": (lambda x: x[:1], {}, r"model to answer \(2, C\).*got \(1, 20\)"),
    "label": (None, {"labels": LABELS + 20}, r"labels in 0\.\.19, .*got 20"),
    "below": (None, {"labels": LABELS - 1}, r"labels in 0\.\.19, .*got -1"),
    "float label": (None, {"labels": LABELS + 0.5}, "labels to be 2 whole numbers"),
    "word label": (None, {"labels": ["a", "b"]}, "labels to be 2 whole .*got words"),
    "more labels": (
        None,
        {"labels": LABELS.repeat(2)},
        r"labels to be 2 .*torch.int64.*\(4,\)",
    ),
    "target": (None, {"targets": LABELS + 20}, r"targets in 0\.\.19, .*got 20"),
    "target as label": (
        None,
        {"targets": LABELS},
        "targets other than the labels, got 0 for image 0",
    ),
    "too bright": (None, {"images": IMAGES * 4}, r"images in \[0, 1\].*\[2, 2\]"),
    "NaN image": (None, {"images": IMAGES * float("nan")}, r"images in \[0, 1\]"),
    "bytes": (None, {"images": IMAGES.byte()}, "images to be a float .*uint8"),
    "numpy": (None, {"images": IMAGES.numpy()}, "images to be .*got ndarray"),
    "empty": (
        None,
        {"images": IMAGES[:0]},
        r"images to be a batch.*N >= 1, got shape \(0, 20\)",
    ),
    "votes": (None, {"votes": 4}, "votes odd, got 4"),
    "no votes": (None, {"votes": 0}, "votes a whole number >= 1, got 0"),
    "budget": (None, {"budget": 15}, "n_queries >= 16, the first step of nes .*got 15"),
    "batch": (None, {"batch_size": 0}, "batch_size a whole number >= 1, got 0"),
    "rng": (None, {"rng": "x"}, "rng to be a whole number"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name):
    model, change, says = BAD[name]
    arguments = {"images": IMAGES, "labels": LABELS, "plan": PLAN, "budget": 50}
    if name == "NaN outside":
        change = {"plan": PLAN.replace(probe=1.0)}
    with pytest.raises(DomainError, match=f"expected {says}") as caught:
        nes(model or (lambda x: 3 * x), **{**arguments, **change})
    assert "\n" not in str(caught.value)


def test_probabilities_are_fine_where_they_are_promised(halfspace):
    class Released:
        answers = "probabilities"

        def __init__(self, model):
            self.model = model

        def __call__(self, x):
            return self.model(x).softmax(1)

    images, labels = start(3)
    for loss in ("ce", "margin"):
        result = nes(
            Released(halfspace(20, margin=0.05)),
            images,
            labels,
            PLAN.replace(loss=loss),
            budget=2000,
        )
        assert result.confirmed.success.all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    net = nn.Linear(20, 3, device="cuda")
    images, _ = start(3)
    labels = net(images.cuda()).argmax(1)
    for guarded in (net, InputNoise(net, 0.01), OutputNoise(net, 0.01)):
        result = nes(guarded, images.cuda(), labels.cpu(), PLAN, budget=100)
        assert result.attacked.all()


@pytest.mark.parametrize("rule", ["sign", "unit", "plain"])
def test_its_first_steps_by_hand(asked, halfspace, rule):
    """Pairs, their mean, a step and a projection, for one image and in plain loops."""
    model = halfspace(6, margin=10.0)
    plan = PLAN.replace(norm="Linf", step_rule=rule, step=0.07, momentum=0.5)
    origin = torch.full((6,), 0.95)
    x, memory, wanted = origin.clone(), torch.zeros(6), []
    weight = model.weight.double()
    for step in range(3):
        key, at = torch.tensor([0]), torch.tensor([step])
        u = normals(4, "attack/nes", key, at, (plan.pairs, 6))[0]
        plus = [x + plan.probe * v for v in u]
        minus = [x - plan.probe * v for v in u]
        estimate = torch.zeros(6)
        for a, b, v in zip(plus, minus, u, strict=True):
            # Of a half-space the margin loss is w·x less a constant.
            change = float(weight @ a.double() - weight @ b.double())
            estimate += change / (2 * plan.probe * plan.pairs) * v
        memory = estimate + 0.5 * memory
        move = {
            "sign": memory.sign(),
            "unit": memory / memory.norm(),
            "plain": memory,
        }[rule]
        x = torch.clamp(x + plan.step * move, origin - plan.eps, origin + plan.eps)
        x = x.clamp(0.0, 1.0)
        wanted += [*plus, *minus, x]
    label = model(origin[None]).argmax(1)
    got = asked(model, origin[None], label, plan, len(wanted), rng=4)
    torch.testing.assert_close(got, torch.stack(wanted), rtol=0, atol=1e-5)
