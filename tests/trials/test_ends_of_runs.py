"""What an attack tells of its end: when a run is done, and what it needed."""

import pytest
import torch
from trial_setting import Planes, parts

from querytax.attacks import Run, attack, attack_all, plan_of
from querytax.defenses import defend


def run(word="square", n=6, wrong=False, model=None):
    images, labels = parts()["calibration"]
    if wrong:
        labels = (labels + 1) % 3
    model = model or defend(Planes(), "output", 0.02, experiment_seed=3)
    plan = plan_of(word, 0.05, shape=(1, 8, 8))
    keep = [0, 2, 3, 4, 6, 7, 8, 9][:n]
    return Run(model, images[keep], labels[keep], plan, keys=torch.tensor(keep))


def test_each_run_is_told_of_once_as_it_ends():
    told = []
    runs = [run(), run("rays"), run(wrong=True), run("patterns")]
    results = attack_all(
        runs, n_queries=90, in_flight=1, done=lambda i, result: told.append((i, result))
    )
    assert sorted(i for i, _ in told) == [0, 1, 2, 3]
    # Without an image to attack a run has ended before any is begun; the others come
    # one after another.
    assert [i for i, _ in told] == [2, 0, 1, 3]
    assert all(results[i] is result for i, result in told)


def test_a_run_is_told_of_before_the_next_is_begun():
    class Counted(Planes):
        pass

    model, rows = Counted(), []
    runs = [run(model=model), run("rays", model=model)]
    results = attack_all(
        runs, n_queries=60, in_flight=1, done=lambda *_: rows.append(model.rows)
    )
    assert rows[1] - rows[0] == results[1].total_queries


@pytest.mark.parametrize("word", ["square", "nes", "rays"])
def test_what_an_event_needs_is_the_least_budget_that_shows_it(word):
    one = run(word, 8)
    result = attack(
        one.model, one.images, one.labels, one.plan, keys=one.keys, n_queries=150
    )
    seen = 0
    for name in ("noisy", "submitted", "confirmed", "clean"):
        happened, needs = getattr(result, name), result.needs[name]
        assert (needs[~happened.success] == 0).all()
        for i in happened.success.nonzero()[0][:2].tolist():
            need = int(needs[i])
            assert happened.queries[i] <= need <= result.needs["end"][i] <= 150
            for budget, shown in ((need, True), (need - 1, False)):
                if budget < one.plan.least + 9:
                    continue
                again = attack(
                    one.model,
                    one.images[i : i + 1],
                    one.labels[i : i + 1],
                    one.plan,
                    keys=one.keys[i : i + 1],
                    n_queries=budget,
                )
                count = getattr(again, name)
                assert count.success.tolist() == [shown], (name, i, budget)
                seen += 1
                if shown:
                    assert count.queries[0] == happened.queries[i]
    assert seen >= 6
