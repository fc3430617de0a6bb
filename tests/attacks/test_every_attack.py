"""What every attack in the table must do, whatever it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from querytax import demo
from querytax.attacks import ATTACKS, attack, find
from querytax.defenses import InputNoise, OutputNoise
from querytax.expect import DomainError

# Queries an image within which an undefended digits network is broken, and the share
# of images for which this holds (Linf 0.3, L2 2).
BUDGETS = {**dict.fromkeys(ATTACKS, 2000), "spsa": 4000, "zoo": 3000, "nattack": 12_000}
SHARES = {
    # The image itself: no noise, no success.
    ("resubmit", "published"): 0.0,
    ("resubmit", "adaptive"): 0.2,
    ("uniform", "published"): 0.3,
    ("transfer", "published"): 0.5,
    # They settle in local minima of the Linf distance.
    ("opt", "published"): 0.5,
    ("signopt", "published"): 0.5,
    ("opt", "adaptive"): 0.6,
    # One gradient takes 2,500 queries; with 30,000 it breaks two of five.
    ("neslabels", "published"): 0.0,
}


def digits(n=12):
    x, y = demo.digits().held_out
    return demo.load_model(), x[:n], y[:n]


def options(name):
    """What this attack wants besides: a network of its own."""
    entry = find(name)
    return {"surrogate": surrogate()} if entry.surrogate else {}


def surrogate():
    """Linear, by ridge regression on the training digits: not the demo network."""
    x, y = demo.digits().train
    flat = torch.cat([x.flatten(1), torch.ones(len(x), 1)], 1)
    hot = torch.nn.functional.one_hot(y, 10).float()
    weight = torch.linalg.solve(flat.T @ flat + torch.eye(65), flat.T @ hot)

    def model(x):
        return 8.0 * (x.flatten(1) @ weight[:-1] + weight[-1])

    return model


def run(name, model, x, y, recipe="published", **more):
    entry = find(name)
    norm = more.pop("norm", entry.norms[0])
    eps = {"Linf": 0.3, "L2": 2.0}[norm]
    given = {"n_queries": BUDGETS[name], "keep_images": True, **options(name), **more}
    return attack(model, x, y, name, eps=eps, norm=norm, recipe=recipe, **given)


def same(left, right):
    for name in ("noisy", "submitted", "confirmed", "clean"):
        a, b = getattr(left, name), getattr(right, name)
        np.testing.assert_array_equal(a.queries, b.queries)
        np.testing.assert_array_equal(a.success, b.success)
    assert left.status == right.status


class Exact:
    """The digits network in double precision, a row at a time: no batch changes it."""

    def __init__(self):
        self.model = demo.load_model().double()
        self.rows = 0

    def __call__(self, x):
        self.rows += len(x)
        return torch.cat([self.model(row[None].double()) for row in x])


@pytest.mark.parametrize("recipe", ["published", "adaptive"])
@pytest.mark.parametrize("name", ATTACKS)
def test_it_breaks_the_undefended_digits_inside_its_ball(name, recipe):
    model, x, y = digits()
    for norm in find(name).norms:
        result = run(name, model, x, y, recipe, norm=norm)
        eps = result.plan.eps
        away = (result.images - x).flatten(1).double()
        size = away.abs().amax(1) if norm == "Linf" else away.norm(dim=1)
        assert (size <= eps * (1 + 1e-5)).all()
        assert result.images.min() >= 0
        assert result.images.max() <= 1
        assert result.broken.rate() >= SHARES.get((name, recipe), 0.9)
        # What is called broken is adversarial, the final image itself.
        broken = np.array([s == "broken" for s in result.status])
        assert (model(result.images[broken]).argmax(1) != y[broken]).all()


@pytest.mark.parametrize("name", ATTACKS)
def test_its_counts_are_the_rows_that_were_answered(name):
    model, x, y = digits()
    guarded = InputNoise(model, 0.05, experiment_seed=0)
    result = run(name, guarded, x, y, n_queries=150)
    assert result.total_queries == guarded.n_queries
    spent = np.sum(list(result.spent.values()), axis=0)
    assert spent.sum() == guarded.n_queries
    assert (spent <= 150).all()
    for found in (result.noisy, result.submitted, result.confirmed, result.clean):
        assert (found.queries <= np.where(found.success, spent, 150)).all()
    counting = Exact()
    bare = run(name, counting, x[:4], y[:4], n_queries=150)
    assert bare.total_queries + bare.judged == counting.rows


@pytest.mark.parametrize("recipe", ["published", "adaptive"])
@pytest.mark.parametrize("name", ATTACKS)
def test_the_least_budget_is_enough_to_begin(name, recipe):
    model, x, y = digits(2)
    entry = find(name)
    plan = entry.recipe(recipe, 0.3, entry.norms[0], (1, 8, 8))
    least = plan.least * plan.repeats + 9
    result = attack(model, x, y, plan, n_queries=least, **options(name))
    assert result.total_queries > 0
    with pytest.raises(DomainError, match=f"n_queries >= {least}, the first step of"):
        attack(model, x, y, plan, n_queries=least - 1, **options(name))


@pytest.mark.parametrize("recipe", ["published", "adaptive"])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_run_does_not_depend_on_batches_order_or_company(name, recipe):
    model, x, y = Exact(), *digits(6)[1:]
    guarded = OutputNoise(
        InputNoise(model, 0.02, experiment_seed=3), 0.05, experiment_seed=3
    )
    whole = run(name, guarded, x, y, recipe, n_queries=150)
    small = run(name, guarded, x, y, recipe, n_queries=150, batch_size=7, in_flight=1)
    same(whole, small)
    back = torch.arange(5, -1, -1)
    turned = run(name, guarded, x[back], y[back], recipe, n_queries=150, keys=back)
    for key in ("noisy", "confirmed", "clean"):
        a, b = getattr(whole, key), getattr(turned, key)
        np.testing.assert_array_equal(a.queries, b.queries[::-1])
    assert whole.status == turned.status[::-1]
    alone = run(name, guarded, x[4:5], y[4:5], recipe, n_queries=150, keys=back[1:2])
    assert alone.confirmed.queries[0] == whole.confirmed.queries[4]
    assert torch.equal(alone.images[0], whole.images[4])


@pytest.mark.parametrize("name", ATTACKS)
def test_a_target_is_reached_or_refused(name):
    model, x, y = digits(8)
    targets = (y + 1) % 10
    # A start of each target's class, from other images that the model gets right.
    pool, of = demo.digits().probe
    right = model(pool).argmax(1) == of
    starts = torch.stack([pool[right][of[right] == t][0] for t in targets])
    if not find(name).targeted:
        with pytest.raises(DomainError, match="untargeted"):
            run(name, model, x, y, targets=targets)
        return
    result = run(name, model, x, y, targets=targets, starts=starts)
    broken = np.array([s == "broken" for s in result.status])
    said = model(result.images[broken]).argmax(1)
    assert torch.equal(said, targets[broken])
