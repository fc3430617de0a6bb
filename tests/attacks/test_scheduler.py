"""The scheduler: who is charged, verified, ended, and what an attack is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from querytax.attacks import Run, attack, attack_all, run, table, work
from querytax.attacks.block import Ask
from querytax.attacks.table import Attack
from querytax.defenses import FeatureNoise, InputNoise, OutputNoise
from querytax.expect import DomainError
from querytax.plans import NESPlan, Plan

EPS = 0.1


@dataclass(frozen=True)
class ScriptPlan(Plan):
    attack: ClassVar[str] = "script"


@pytest.fixture
def script(monkeypatch):
    """``script(engine, access=...)``: attacks with a generator of the test's own."""

    def install(engine, access="scores", **more):
        entry = Attack(
            name="script",
            engine=engine,
            plan=ScriptPlan,
            access=access,
            norms=("Linf", "L2"),
            targeted=True,
            source="this test",
            about="what the test says",
            **more,
        )
        for place in (table, run, work):
            known = table.find
            monkeypatch.setattr(
                place,
                "find",
                lambda name, known=known: entry if name == "script" else known(name),
            )
        return ScriptPlan(eps=EPS)

    return install


def walk(plan, block):
    """Towards the boundary of `line`, a hundredth a question."""
    x = block.origin.clone()
    while len(rows := block.rows()):
        x[rows] = block.project(x[rows] + 0.01, rows)
        yield Ask(x[rows], rows, submit=True)


def line(x):
    """Class 1 where the mean pixel is above 0.535; exact row by row."""
    score = x.double().flatten(1).mean(1) - 0.535
    return torch.stack((-10 * score, 10 * score), 1)


def start(n):
    return torch.full((n, 4), 0.5), torch.zeros(n, dtype=torch.int64)


def test_votes_and_columns(script):
    plan = script(walk)
    images, labels = start(3)
    result = attack(line, images, labels, plan, n_queries=50)
    # 0.54 at the fourth question, then nine votes.
    assert result.noisy.queries.tolist() == [4] * 3
    assert result.clean.queries.tolist() == [4] * 3
    assert result.submitted.queries.tolist() == [13] * 3
    assert result.confirmed.queries.tolist() == [13] * 3
    assert result.broken.queries.tolist() == [13] * 3
    assert {k: v.tolist() for k, v in result.spent.items()} == {
        "start": [0] * 3,
        "search": [4] * 3,
        "line": [0] * 3,
        "votes": [9] * 3,
    }
    assert result.status == ("broken",) * 3
    assert result.total_queries == 39


@pytest.mark.parametrize("budget", range(10, 16))
def test_a_budget_holds_to_the_row(script, budget):
    plan = script(walk)
    images, labels = start(2)
    result = attack(line, images, labels, plan, n_queries=budget)
    spent = sum(result.spent.values())
    assert (spent <= budget).all()
    # A question is asked only if its votes can be paid.
    assert spent.tolist() == [13 if budget >= 13 else budget - 9] * 2
    assert result.confirmed.success.all() == (budget >= 13)


def test_questions_that_need_others_are_not_wasted(script):
    def engine(plan, block):
        while len(rows := block.rows()):
            yield Ask(block.origin[rows], rows, then=3)
            yield Ask(block.origin[rows].repeat_interleave(3, 0), rows, 3)

    plan = script(engine)
    images, labels = start(1)
    # 9 votes are kept ready beside the three that follow.
    spent = [
        attack(line, images, labels, plan, n_queries=n).total_queries
        for n in (12, 13, 16, 17)
    ]
    assert spent == [0, 4, 4, 8]


def test_repeats_average_scores_and_take_the_labels_majority(script):
    heard = []

    def engine(plan, block):
        rows = block.rows()
        heard.append((yield Ask(block.origin[rows], rows)))

    for access in ("scores", "top1", "labels"):
        plan = script(engine, access).replace(repeats=5)
        images, labels = start(2)
        noise = OutputNoise(line, 1.0, on="logits", experiment_seed=7)
        result = attack(noise, images, labels, plan, n_queries=20)
        assert result.total_queries == 10
        rows = torch.arange(2).repeat_interleave(5)
        raw = noise(images.repeat_interleave(5, 0), rows, torch.arange(5).repeat(2))
        raw = raw.view(2, 5, 2).double()
        votes = raw.argmax(2)
        label = (votes.sum(1) > 2).long()
        if access == "scores":
            torch.testing.assert_close(heard[-1], raw.mean(1))
        elif access == "labels":
            assert torch.equal(heard[-1], label)
        else:
            assert torch.equal(heard[-1].label, label)
            chance = raw.softmax(2).amax(2)
            agreed = votes == label[:, None]
            mean = (chance * agreed).sum(1) / agreed.sum(1)
            torch.testing.assert_close(heard[-1].score, mean)


@pytest.mark.parametrize("access", ["scores", "labels"])
def test_sequential_repeats_stop_when_sure(script, access):
    def engine(plan, block):
        rows = block.rows()
        yield Ask(block.origin[rows], rows)

    plan = script(engine, access).replace(repeats=40, sequential=True)
    images, labels = start(400)
    near = torch.full((400, 4), 0.533)

    def asked(x, sigma):
        noise = OutputNoise(line, sigma, on="logits", experiment_seed=1)
        result = attack(noise, x, labels, plan, n_queries=100)
        return sum(result.spent.values())

    clear, doubtful = asked(images, 0.05), asked(near, 1.0)
    # Three answers of one mind settle it; 0.7 away at noise 0.07 they always are.
    assert (clear == 3).all()
    assert doubtful.min() >= 3
    assert doubtful.max() <= 40
    assert doubtful.mean() > 5


def test_one_crash_ends_one_run(script):
    """The third question about image 2 fails; the others never learn of it."""

    def engine(plan, block):
        x, turn = block.origin.clone(), 0
        while len(rows := block.rows()):
            if turn == 2 and 2 in block.keys[rows]:
                raise ZeroDivisionError("of its own")
            x[rows] = block.project(x[rows] + 0.01, rows)
            yield Ask(x[rows], rows, submit=True)
            turn += 1

    plan = script(engine)
    images, labels = start(5)
    rows = []

    def counted(x):
        rows.append(len(x))
        return line(x)

    result = attack(counted, images, labels, plan, n_queries=50)
    assert [word.partition(":")[0] for word in result.status] == [
        *("broken", "broken", "crashed", "broken", "broken")
    ]
    assert "of its own" in result.status[2]
    assert result.confirmed.queries.tolist() == [13, 13, 2, 13, 13]
    assert result.confirmed.success.tolist() == [True, True, False, True, True]
    # What was asked before the crash and asked again is counted as well.
    assert result.total_queries == sum(rows) - result.judged
    assert result.to_json()["crashes"] == [result.status[2]]


def test_after_a_crash_the_others_runs_end_as_they_would(script):
    """Image 2 fails; the others never succeed, and that is known to the budget."""

    def engine(plan, block):
        turn = 0
        while len(rows := block.rows()):
            if turn == 2 and 2 in block.keys[rows]:
                raise ZeroDivisionError
            yield Ask(block.origin[rows], rows, submit=True)
            turn += 1

    images, labels = start(4)
    result = attack(line, images, labels, script(engine), n_queries=30)
    assert result.status == ("open", "open", "crashed: ZeroDivisionError", "open")
    assert result.confirmed.queries.tolist() == [30, 30, 2, 30]
    assert result.confirmed.cut.tolist() == [False, False, True, False]
    assert result.to_json()["crashes"] == ["crashed: ZeroDivisionError"]


def test_attacks_that_ask_nothing_do_not_end_those_that_wait(script):
    def engine(plan, block):
        block.drop(block.rows(), "no idea")
        return
        yield

    images, labels = start(5)
    mixed = [Run(line, images, labels, NESPlan(eps=EPS, loss="margin", pairs=2))]
    plan = script(engine)
    none, nes = attack_all(
        [Run(line, images, labels, plan), *mixed], n_queries=300, in_flight=5
    )
    assert none.status == ("no idea",) * 5
    assert nes.status == ("broken",) * 5


def test_nothing_asked_about_nobody(script):
    def engine(plan, block):
        rows = block.rows()
        answers = yield Ask(block.origin[:0], rows[:0], submit=True)
        assert answers.shape == (0, 2)
        yield from walk(plan, block)

    images, labels = start(2)
    assert attack(line, images, labels, script(engine)).status == ("broken",) * 2
    wrong = attack(line, images, 1 - labels, "patterns", eps=0.1)
    assert wrong.status == ("misclassified",) * 2
    assert wrong.total_queries == 0


def test_who_is_confirmed_needs_no_more_votes(script):
    """Confirmed by noise at once; all of the budget then goes to the clean success."""

    def always(x):
        return torch.stack((x.new_zeros(len(x)), x.new_ones(len(x))), 1)

    class Lying(OutputNoise):
        def after(self, answer, rows, queries):
            return always(answer)

    def engine(plan, block):
        while len(rows := block.rows()):
            yield Ask(block.origin[rows], rows, submit=True)

    images, labels = start(1)
    lying = Lying(line, 0.1, on="logits")
    result = attack(lying, images, labels, script(engine), n_queries=30)
    assert result.confirmed.queries.tolist() == [10]
    assert sum(result.spent.values()).tolist() == [30]
    assert not result.clean.success.any()


def test_a_tie_of_labels_goes_to_the_first_answer(script):
    told = []

    class Turns(OutputNoise):
        """Label 1, then 0, then 1 and so on."""

        def after(self, answer, rows, queries):
            even = (queries % 2 == 0).double()
            return torch.stack((1 - even, even), 1)

    def engine(plan, block):
        rows = block.rows()
        told.append((yield Ask(block.origin[rows], rows)))

    plan = script(engine, "labels").replace(repeats=4)
    images, labels = start(3)
    attack(Turns(line, 0.1, on="logits"), images, labels, plan, n_queries=20)
    assert told[-1].tolist() == [1, 1, 1]


def test_a_model_s_failure_is_no_crash_of_the_attack(script):
    def broken(x):
        if len(x) == 2:
            raise RuntimeError("out of memory")
        return line(x)

    plan = script(walk)
    images, labels = start(3)
    images[0] += 0.02
    with pytest.raises(RuntimeError, match="out of memory"):
        attack(broken, images, labels, plan, n_queries=50)


def test_an_image_may_be_given_up(script):
    def engine(plan, block):
        block.drop(block.rows()[:1], "no start")
        yield from walk(plan, block)

    plan = script(engine)
    images, labels = start(3)
    result = attack(line, images, labels, plan, n_queries=50)
    assert result.status == ("no start", "broken", "broken")
    assert result.total_queries == 26
    # No query of the budget would have broken it.
    assert result.confirmed.queries.tolist() == [50, 13, 13]


def test_an_attack_may_have_nothing_more_to_ask(script):
    def engine(plan, block):
        rows = block.rows()
        yield Ask(block.origin[rows], rows, submit=True)

    images, labels = start(2)
    result = attack(line, images, labels, script(engine), n_queries=50)
    assert result.status == ("ended", "ended")
    assert result.total_queries == 2
    assert result.noisy.queries.tolist() == [50, 50]


def test_an_attack_is_told_no_more_than_it_needs(script):
    told = []

    def engine(plan, block):
        rows = block.rows()
        told.append((yield Ask(block.origin[rows], rows)))

    images, labels = start(2)
    attack(line, images, labels, script(engine, "labels"), n_queries=20)
    assert told[-1].tolist() == [0, 0]
    attack(line, images, labels, script(engine, "top1"), n_queries=20)
    assert told[-1].label.tolist() == [0, 0]
    torch.testing.assert_close(told[-1].score, line(images).softmax(1)[:, 0])
    attack(line, images, labels, script(engine), n_queries=20)
    assert told[-1].shape == (2, 2)
    with pytest.raises(DomainError, match="expected access 'top1' or more for script"):
        attack(
            line, images, labels, script(engine, "top1"), access="labels", n_queries=20
        )


def test_uneven_questions_have_keys_of_their_own(script):
    """Ragged asks: every (image, query) once, in order."""
    seen = []

    class Keyed(OutputNoise):
        def after(self, answer, rows, queries):
            seen.extend(zip(rows.tolist(), queries.tolist(), strict=True))
            return super().after(answer, rows, queries)

    def engine(plan, block):
        rows = block.rows()
        each = torch.tensor([2, 1, 3])
        yield Ask(block.origin.repeat_interleave(each, 0), rows, each)
        yield Ask(block.origin[rows[1:]], rows[1:])

    images, labels = start(3)
    attack(Keyed(line, 0.1, on="logits"), images, labels, script(engine), n_queries=99)
    assert seen == [*((0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2), (1, 1), (2, 3))]


# Judged without noise


@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_output_noise_is_judged_for_nothing(script, sigma):
    rows = []

    def counted(x):
        rows.append(len(x))
        return line(x)

    images, labels = start(4)
    plan = script(walk)
    guarded = OutputNoise(counted, sigma, on="logits", experiment_seed=2)
    result = attack(guarded, images, labels, plan, n_queries=60)
    assert result.judged == 4
    assert sum(rows) == result.total_queries + 4
    # The fourth image of the walk is the first that fools it, whatever was answered.
    assert result.clean.queries.min() >= 4
    rows.clear()
    guarded = InputNoise(counted, sigma, experiment_seed=2)
    result = attack(guarded, images, labels, plan, n_queries=60)
    assert sum(rows) == result.total_queries + result.judged
    assert (result.judged > 4) == (sigma > 0)


def test_a_model_s_own_noise_is_found_out(script):
    drawn = torch.Generator().manual_seed(0)

    def noisy(x):
        return line(x) + 0.1 * torch.randn(len(x), 2, generator=drawn)

    images, labels = start(3)
    with pytest.warns(UserWarning, match="its noise cannot be taken off"):
        result = attack(noisy, images - 0.2, labels, script(walk), n_queries=30)
    assert result.own_noise
    assert result.to_json()["own_noise"]
    assert not attack(line, images, labels, script(walk), n_queries=30).own_noise
    # Of several runs on the same images all say so, though the model is asked once.
    runs = [Run(noisy, images - 0.2, labels, script(walk))] * 2
    with pytest.warns(UserWarning, match="its noise cannot be taken off"):
        assert all(found.own_noise for found in attack_all(runs, n_queries=30))
    # One of ours inside a model is known without asking, which would move its count.
    inner = torch.nn.Sequential(
        InputNoise(torch.nn.Linear(4, 2).double(), 0.1, experiment_seed=0)
    )
    labels = inner(images).argmax(1)
    inner[0].reset()
    result = attack(inner, images, labels, script(walk), n_queries=30)
    assert result.own_noise
    assert inner[0].n_queries == result.total_queries + 3


# Many runs at once


def test_runs_beside_each_other_are_the_runs_alone(script):
    """Noise levels, seeds and attacks in common batches."""
    net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)).double()
    images = torch.rand(
        (7, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    labels = net(images).argmax(1)
    nes = NESPlan(eps=0.3, pairs=2, loss="margin")
    batches = []

    class Counted(torch.nn.Module):
        """In double precision: what a batch changes is far below any decision."""

        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            batches.append(len(x))
            return self.net(x)

    model = Counted()
    runs = [
        Run(InputNoise(model, 0.1, experiment_seed=0), images, labels, nes, rng=5),
        Run(OutputNoise(model, 0.3, experiment_seed=1), images, labels, nes, rng=6),
        Run(
            InputNoise(model, 0.2, experiment_seed=0),
            images,
            labels,
            nes.replace(pairs=1),
            rng=7,
        ),
        Run(
            FeatureNoise(model, 0.1, "net.0", experiment_seed=0),
            images,
            labels,
            nes,
            rng=5,
        ),
    ]
    together = attack_all(runs, n_queries=60, in_flight=100)
    shared = len(batches)
    batches.clear()
    alone = [attack_all([one], n_queries=60)[0] for one in runs]
    assert shared < 0.6 * len(batches)
    for a, b in zip(together, alone, strict=True):
        for name in ("noisy", "submitted", "confirmed", "clean"):
            left, right = getattr(a, name), getattr(b, name)
            np.testing.assert_array_equal(left.queries, right.queries)
            np.testing.assert_array_equal(left.success, right.success)
        assert a.total_queries == b.total_queries


# Bad input


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"plan": "squares"}, "did you mean 'square'"),
        ({"plan": "nes"}, "expected eps with the attack 'nes', got None"),
        ({"plan": "nes", "eps": 0.1, "recipe": "best"}, "recipe to be one of"),
        ({"plan": "rays", "eps": 0.1, "norm": "L2"}, "norm of rays to be Linf, got"),
        (
            {"plan": "nes", "eps": 0.1, "pears": 3},
            "setting to be a known one, got 'pears'",
        ),
        ({"access": "label"}, "access to be one of"),
        ({"access": "labels"}, "access 'scores' or more for nes"),
        ({"keys": torch.zeros(2)}, "keys to be 3 whole numbers"),
        ({"keys": torch.tensor([0, 1, 1])}, "keys to be different whole numbers"),
        ({"keys": torch.tensor([0, 1, -1])}, "keys to be different whole numbers"),
        ({"recipe": "adaptive"}, "no recipe with a plan, which is one"),
        ({"sequential": "no"}, "sequential to be true or false, got 'no'"),
        ({"repeats": [2, 3]}, r"repeats to be one number, got \[2, 3\]"),
        ({"plan": "square", "eps": 0.1}, r"images \(C, H, W\) for square, got"),
        ({"block": 2}, r"images \(C, H, W\) for nes on a coarse grid"),
        ({"starts": torch.full((3, 4), 0.5)}, "starts that fool the model .* image 0"),
        ({"plan": "art:square", "eps": 0.1}, "foreign_attack runs those of libraries"),
        ({"plan": "square", "eps": 0.1, "p": "x"}, "p to be one number, got 'x'"),
        ({"starts": torch.zeros(3, 5)}, r"starts of the images' shape \(3, 4\)"),
        ({"n_queries": 0}, "n_queries a whole number >= 1"),
        ({"in_flight": 0}, "in_flight a whole number >= 1"),
        ({"plan": "transfer", "eps": 0.1}, "surrogate for transfer, a network"),
        (
            {"plan": "transfer", "eps": 0.1, "surrogate": lambda x: x[:, :3]},
            r"with 2 classes, got \(3, 3\)",
        ),
        (
            {"surrogate": lambda x: x.view(-1, 3, 32, 32)},
            "with 2 classes, got RuntimeError",
        ),
    ],
)
def test_bad_input_is_one_line(change, says):
    images, labels = start(3)
    given = {"images": images, "plan": NESPlan(eps=0.1), **change}
    with pytest.raises(DomainError, match=f"expected .*{says}|{says}") as caught:
        attack(line, labels=labels, **given)
    assert "\n" not in str(caught.value)
