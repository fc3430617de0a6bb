"""Evaluations that fool themselves, one by one; and ours, which do not."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from planted_faults import Guard

import querytax as qt
from querytax.audits import ResultTable, read_table
from querytax.expect import DomainError

N = 40


@pytest.fixture(scope="module")
def honest(shown):
    """A table without a fault: half of the runs succeed."""
    rng = np.random.default_rng(0)
    originals = shown[0][:N].numpy().astype(float)
    success = np.arange(N) % 2 == 0
    queries = np.where(success, rng.integers(10, 400, N), 500)
    move = 0.1 * rng.choice([-1, 1], originals.shape)
    return {
        "queries": queries,
        "success": success,
        "budget": 500,
        "eps": 0.1,
        "norm": "Linf",
        "status": ["broken" if s else "open" for s in success],
        "correct": np.ones(N, bool),
        "confirmed": success,
        "images": (originals + move).clip(0, 1),
        "originals": originals,
        "labels": shown[1][:N].numpy(),
        "rows": int(queries.sum()),
        "rows_by_image": queries,
        "distinct": queries,
        "mean_queries": float(queries.mean()),
        "success_rate": 0.5,
        "seed": 0,
    }


def test_an_honest_table_raises_nothing(honest):
    found = qt.audit_result(honest)
    assert not found.findings
    assert len(found.passed) >= 9


def change(table, **more):
    return {**table, **more}


def crashed(t, count):
    status = [
        "crashed: ValueError" if i < 2 * count and i % 2 else s
        for i, s in enumerate(t["status"])
    ]
    return change(t, status=status)


CASES = {
    "rows thrice the queries": (
        lambda t: change(t, rows=3 * t["rows"], rows_by_image=None),
        ("result/miscounted", "undoes"),
    ),
    "rows do not add up": (
        lambda t: change(t, rows=t["rows"] + 7),
        ("result/miscounted", "undoes"),
    ),
    "more queries than rows": (
        lambda t: change(t, rows_by_image=t["rows_by_image"] - 1, rows=None),
        ("result/miscounted", "undoes"),
    ),
    "another success rate": (
        lambda t: change(t, success_rate=0.9),
        ("result/miscounted", "undoes"),
    ),
    "averages over successes": (
        lambda t: change(t, mean_queries=float(t["queries"][t["success"]].mean())),
        ("result/successes-only", "undoes"),
    ),
    "over budget, as successes": (
        lambda t: change(
            t,
            queries=np.where(t["success"], 600, 500),
            rows=None,
            rows_by_image=None,
            mean_queries=None,
        ),
        ("result/over-budget", "undoes"),
    ),
    "over budget, as failures": (
        lambda t: change(
            t,
            queries=np.where(t["success"], 50, 600),
            rows=None,
            rows_by_image=None,
            mean_queries=None,
        ),
        ("result/over-budget", "weakens"),
    ),
    "outside the ball": (
        lambda t: change(t, eps=0.05),
        ("result/outside-ball", "undoes"),
    ),
    "outside the L2 ball": (
        lambda t: change(t, norm="L2"),
        ("result/outside-ball", "undoes"),
    ),
    "outside [0, 1]": (
        lambda t: change(t, images=t["images"] + 0.5, eps=None, originals=None),
        ("result/outside-ball", "undoes"),
    ),
    "never moved": (
        lambda t: change(
            t,
            images=t["originals"],
            success=np.zeros(N, bool),
            confirmed=None,
            success_rate=0.0,
            status=["open"] * N,
        ),
        ("result/never-moved", "undoes"),
    ),
    "failures that never moved": (
        lambda t: change(
            t,
            images=np.where(
                t["success"][:, None, None, None], t["images"], t["originals"]
            ),
        ),
        ("result/never-moved", "weakens"),
    ),
    "no start, as robust": (
        lambda t: change(
            t, status=[s if s == "broken" else "no start found" for s in t["status"]]
        ),
        ("result/broken-start", "undoes"),
    ),
    "crashed, as robust": (
        lambda t: crashed(t, 8) | {"rows_by_image": None},
        ("result/crashed", "undoes"),
    ),
    "one crashed": (
        lambda t: crashed(t, 1) | {"rows_by_image": None},
        ("result/crashed", "weakens"),
    ),
    "wrong from the start": (
        lambda t: change(t, correct=np.arange(N) % 4 != 0),
        ("result/misclassified-at-start", "undoes"),
    ),
    "won by no question": (
        lambda t: change(
            t,
            queries=np.where(t["success"], 0, 500),
            correct=None,
            status=None,
            rows=None,
            rows_by_image=None,
            mean_queries=None,
        ),
        ("result/misclassified-at-start", "undoes"),
    ),
    "nothing confirmed": (
        lambda t: change(t, confirmed=None),
        ("result/unconfirmed", "weakens"),
    ),
    "duplicates of a deterministic model": (
        lambda t: change(t, distinct=t["queries"] // 2, deterministic=True),
        ("result/duplicates", "weakens"),
    ),
    "no seed": (lambda t: change(t, seed=None), ("result/no-seed", "note")),
    "few runs": (
        lambda t: (
            {
                k: (v[:9] if hasattr(v, "__len__") and len(v) == N else v)
                for k, v in change(t, rows=None, mean_queries=None).items()
            }
            | {"success_rate": None}
        ),
        ("result/few-runs", "note"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_found_alone(name, honest):
    make, (rule, severity) = CASES[name]
    found = qt.audit_result(make(dict(honest)))
    assert [(f.rule, f.severity) for f in found.findings] == [(rule, severity)]


@pytest.mark.parametrize("kind", ["json", "npz"])
def test_files_say_the_same(kind, honest, tmp_path):
    table = change(honest, eps=0.05)
    path = tmp_path / f"result.{kind}"
    if kind == "npz":
        np.savez(path, **table)
    else:
        plain = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in table.items()}
        path.write_text(json.dumps(plain))
    assert qt.audit_result(str(path)).rules == ("result/outside-ball",)
    (read,) = read_table(path)
    assert read.budget == 500
    np.testing.assert_allclose(read.images, honest["images"])


# -- asked again ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def noisy(demo_model):
    return Guard(demo_model, 2.5).eval()


def test_a_lucky_answer_is_found_out(noisy, honest):
    """Successes that are the originals: one answer in many is wrong by noise."""
    answers = np.zeros((N, 10))
    answers[np.arange(N), (honest["labels"] + 1) % 10] = 9.0
    table = change(
        honest,
        images=honest["originals"],
        answers=answers,
        confirmed=None,
        deterministic=True,
    )
    found = qt.audit_result(table, model=noisy)
    worst = {f.rule: f for f in found.findings}
    assert worst["result/noisy-success"].severity == "undoes"
    assert worst["result/noisy-success"].evidence["lost"] > 15
    assert worst["result/stale-incumbent"].evidence["better"] == 20
    assert "result/own-noise" in worst
    assert found.n_queries >= 49 * 20


def test_successes_that_hold_are_borne_out(noisy, demo_model, honest):
    """White noise images are what the network calls wrong, mostly."""
    model = demo_model
    rng = np.random.default_rng(1)
    images = rng.random((400, 1, 8, 8))
    said = model(torch.from_numpy(images).float()).detach()
    top = said.topk(2, 1).values
    strong = ((top[:, 0] - top[:, 1]) > 3).numpy()
    images, said = images[strong][:N], said.argmax(1).numpy()[strong][:N]
    assert len(images) == N
    table = ResultTable(
        np.full(N, 50), np.ones(N, bool), images=images, labels=(said + 1) % 10, seed=0
    )
    for model in (demo_model, Guard(demo_model, 1.0)):
        found = qt.audit_result(table, model=model)
        assert not found.findings


# -- ours, and libraries' -------------------------------------------------------------


@pytest.fixture(scope="module")
def ours(demo_model, shown):
    guarded = qt.defend(demo_model, "input", 0.1, experiment_seed=1)
    images, labels = (part[:30] for part in shown)
    plan = qt.plan_of("square", shape=(1, 8, 8), eps=0.3)
    run = qt.attack(
        guarded, images, labels, plan, n_queries=300, keep_images=True, rng=0
    )
    return run, guarded, images, labels


def test_our_own_result_says_what_it_says(ours):
    run, guarded, images, labels = ours
    for more in ({}, {"model": guarded, "images": images, "labels": labels}):
        found = qt.audit_result(run, **more)
        assert found.sound, found.findings
    assert found.measures["rate, noisy"] >= found.measures["rate, confirmed"]


def test_our_own_summary(ours, tmp_path):
    facts = ours[0].to_json()
    assert qt.audit_result(facts).sound
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"site": "input", "results": [facts, facts]}))
    found = qt.audit_result(str(path))
    assert found.sound
    assert found.about == "summary of square, square"
    facts["total_queries"] += 1
    assert "result/miscounted" in qt.audit_result(facts).rules


def test_our_own_result_with_a_miscount(ours):
    wrong = dataclasses.replace(ours[0], total_queries=ours[0].total_queries + 1)
    assert "result/miscounted" in qt.audit_result(wrong).rules
    wrong = dataclasses.replace(ours[0], own_noise=True)
    assert "result/own-noise" in qt.audit_result(wrong).rules


def test_an_attack_of_one_s_own(demo_model, shown):
    """A library's result comes by the same meter; one that crashes shows no defence."""

    def breaks(model, image, label):
        model(image)
        raise RuntimeError("no")

    images, labels = (part[:30] for part in shown)
    run = qt.foreign_attack(demo_model, images, labels, breaks, eps=0.3, n_queries=50)
    found = qt.audit_result(run)
    assert [f.severity for f in found.findings if f.rule == "result/crashed"] == [
        "undoes"
    ]


LIBRARIES = {
    "art": ("art", "art:square"),
    "foolbox": ("foolbox", "foolbox:boundary"),
    "torchattacks": ("torchattacks", "torchattacks:square"),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_on_the_guarded_demo(library, demo_model, shown):
    """Needs the extras of the same names; see docs/audit.md for what was said."""
    module, what = LIBRARIES[library]
    pytest.importorskip(module, exc_type=ImportError)
    guarded = qt.defend(demo_model, "output:logits", 0.3)
    images, labels = (part[:20] for part in shown)
    norm = "L2" if library == "foolbox" else "Linf"
    run = qt.foreign_attack(
        guarded,
        images,
        labels,
        what,
        eps=0.3,
        norm=norm,
        n_queries=200,
        keep_images=True,
    )
    found = qt.audit_result(run, model=guarded, images=images, labels=labels)
    assert "result/miscounted" not in found.rules
    assert "result/outside-ball" not in found.rules


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({}, "queries and success"),
        ({"queries": [1], "success": [2]}, "success to be true or false"),
        ({"queries": [1], "success": [1], "colour": 3}, "'colour'"),
        ({"queries": [], "success": []}, "N >= 1"),
        ({"queries": [1, 2], "success": [1]}, "success of 2"),
        ({"queries": [1], "success": [1], "norm": "L7"}, "norm"),
        ({"queries": [-1], "success": [1]}, ">= 0"),
        ({"queries": ["x"], "success": [1]}, "queries to be numbers"),
        ({"confirmed": 1, "total_queries": 2}, "querytax attack --json"),
        (3, "AttackResult"),
        ("no-such-file.json", "no-such-file"),
    ],
)
def test_bad_results_are_named(result, message):
    with pytest.raises(DomainError, match=message):
        qt.audit_result(result)
