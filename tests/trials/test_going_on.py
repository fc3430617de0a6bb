"""Runs that go on where they were, steps that end beyond a budget, several workers."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from trial_setting import Planes, numbers, parts, several, trial

from querytax.attacks import attack_all, memory
from querytax.attacks.memory import Memory
from querytax.attacks.workers import may_fork
from querytax.trials import Bench
from querytax.trials import bench as room
from querytax.trials.store import ImageRow

FORKS = may_fork([torch.device("cpu")])
needs_fork = pytest.mark.skipif(not FORKS, reason="no processes are forked here")
# Lockstep, searches with looks of their own, votes, pairs, and bisections.
WORDS = ("square", "signhunter", "nes", "rays", "eco", "simba", "patterns")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stored(bench):
    return {run: bench.store.rows(run) for run in bench.store.runs()}


def asked(bench, trials):
    """What trials find, and the rows that the network answered for them."""
    network = bench.ground.networks[""]
    before = network.rows
    return numbers(bench.run(trials)), network.rows - before


# -- memory -----------------------------------------------------------------------


@pytest.mark.parametrize("site", ["input", "last"])
@pytest.mark.parametrize("recipe", ["published", "adaptive"])
@pytest.mark.parametrize("word", WORDS)
def test_a_run_that_goes_on_is_the_run_and_asks_no_question_twice(word, recipe, site):
    where = {"site": site, "sigma": 0.3, "eps": 0.02, "recipe": recipe}
    stages = [
        trial(word, images=4, n_queries=60, **where),
        trial(word, images=12, n_queries=90, **where),
        trial(word, images=16, n_queries=130, rest=64, **where),
    ]
    bench, rows = Bench(Planes(), parts()), []
    for stage in stages:
        found, n = asked(bench, [stage])
        alone = Bench(Planes(), parts())
        alone.images("calibration")
        expected, whole = asked(alone, [stage])
        assert found == expected
        rows.append((n, whole))
    # From the second stage on fewer rows: those of the stages before are known.
    assert sum(n for n, _ in rows) < sum(whole for _, whole in rows)
    for n, whole in rows[1:]:
        assert n < whole


def test_what_is_known_counts_for_nobody(monkeypatch):
    results = []

    def spy(runs, **options):
        results.extend(found := attack_all(runs, **options))
        return found

    monkeypatch.setattr(room, "attack_all", spy)
    model = Planes()
    bench = Bench(model, parts())
    bench.images("calibration")
    for n in (40, 80):
        before = model.rows
        bench.run([trial("square", eps=0.02, images=8, n_queries=n)])
        result = results[-1]
        # At the output the network's own answer judges, and is no row of its own.
        assert result.total_queries + len(result.status) == model.rows - before
    assert result.total_queries < sum(sum(rows) for rows in result.spent.values())


def test_answers_that_take_too_much_room_are_not_kept(monkeypatch):
    monkeypatch.setattr(memory, "_MOST", 1000)
    one = [trial(images=8, n_queries=n) for n in (40, 80)]
    bench = Bench(Planes(), parts())
    found = [numbers(bench.run([t])) for t in one]
    assert found == [numbers(Bench(Planes(), parts()).run([t])) for t in one]


def test_a_memory_knows_what_it_was_told_and_no_more():
    places = np.array([3, 1])
    first = Memory(places, 4)
    assert first.open(2, torch.float32)
    at, queries = np.array([0, 0, 1]), np.array([0, 1, 0])
    told = torch.arange(6.0).view(3, 2)
    judged = np.array([True, False, True])
    assert not first.knows(at, queries, judged).any()
    first.keep(at, queries, told, judged, np.array([1, 0]))
    assert first.knows(at, queries, judged).all()
    # The second question was not judged; the third of image 3 was not asked.
    assert first.knows(at, queries, ~judged).tolist() == [True, False, True]
    assert not first.knows(np.array([0]), np.array([2]), None).any()
    later = Memory(np.array([1, 2, 3]), 9, older=first)
    assert later.open(2, torch.float32)
    answers, said = later.recall(np.array([2, 0]), np.array([1, 0]))
    assert answers.tolist() == told[[1, 2]].tolist()
    assert said.tolist() == [-1, 0]
    # Answers of another type are not the same answers.
    other = Memory(places, 4, older=first)
    assert other.open(2, torch.float64)
    assert not other.heard.any()
    assert not Memory(places, 4).open(2, torch.bfloat16)


# -- the rest of a step -----------------------------------------------------------


@pytest.mark.parametrize("word", WORDS)
def test_the_rest_shows_what_was_handed_in_within_the_budget(word):
    """As a budget larger by the rest, cut: for fewer rows."""
    where = {"eps": 0.05, "images": 16, "site": "input"}
    for n in (30, 45, 60):
        bench, larger = Bench(Planes(), parts()), Bench(Planes(), parts())
        (short,) = bench.run([trial(word, n_queries=n, rest=64, **where)])
        (long,) = larger.run([trial(word, n_queries=n + 64, **where)])
        for name in ("confirmed", "clean"):
            few, many = getattr(short, name), getattr(long, name)
            within = many.success & (many.queries <= n)
            assert few.success.tolist() == within.tolist()
            assert (few.queries[within] == many.queries[within]).all()
        # The store has it either way, and a plain trial reads it too.
        (again,) = larger.run([trial(word, n_queries=n, rest=64, **where)])
        assert numbers([again]) == numbers([short])
        model = bench.ground.networks[""]
        before = model.rows
        bench.run([trial(word, n_queries=n, **where)])
        assert model.rows == before


def test_a_budget_ends_the_steps_and_the_rest_the_last_of_them():
    bench = Bench(Planes(), parts())
    bench.run([trial("patterns", eps=0.001, n_queries=40, rest=64)])
    (rows,) = stored(bench).values()
    # A pattern is asked as long as one can begin: its nine votes lie beyond.
    spent = [row.asked for row in rows.values()]
    assert min(spent) == 40
    assert max(spent) < 40 + 10
    assert {(row.n_queries, row.rest) for row in rows.values()} == {(40, 64)}


def test_what_covers_what():
    def row(n, rest=0, status="open"):
        return ImageRow("i", 0, n, 1, 1, status, rest)

    assert row(300, 64).covers(300, 64)
    assert row(300, 64).covers(300)
    assert row(364).covers(300, 64)
    assert row(350, 32).covers(300, 64)
    assert not row(320).covers(300, 64)
    assert not row(300, 64).covers(301)
    assert row(10, status="broken").covers(300, 64)
    pairs = [(100, 0), (100, 64), (120, 0), (164, 0), (150, 32)]
    for n, rest in pairs:
        for m, other in pairs:
            a, b = trial(n_queries=n, rest=rest), trial(n_queries=m, rest=other)
            assert a.covers(b) == row(n, rest).covers(m, other)


def test_a_larger_budget_without_the_rest_is_not_forgotten_for_it():
    bench = Bench(Planes(), parts())
    where = {"eps": 0.02, "images": 8}
    bench.run([trial(n_queries=60, **where)])
    (found,) = bench.run([trial(n_queries=40, rest=64, **where)])
    fresh = Bench(Planes(), parts())
    assert numbers([found]) == numbers(
        fresh.run([trial(n_queries=40, rest=64, **where)])
    )
    known = bench.evidence("output:logits:raw")
    for one in (trial(n_queries=60, **where), trial(n_queries=40, rest=64, **where)):
        assert numbers([known.find(one)]) == numbers(bench.run([one]))


# -- workers ----------------------------------------------------------------------


@needs_fork
@pytest.mark.parametrize("site", ["input", "last"])
def test_workers_change_nothing(site):
    trials = [
        trial(word, site=site, images=n, n_queries=80, eps=0.03, recipe="adaptive")
        for word in WORDS
        for n in (8, 20)
    ]
    alone, beside = Bench(Planes(), parts()), Bench(Planes(), parts(), jobs=3)
    assert numbers(beside.run(trials)) == numbers(alone.run(trials))
    assert stored(beside) == stored(alone)
    # And what one of them heard, another goes on from.
    more = [
        trial(
            t.contender.attack,
            site=site,
            images=20,
            n_queries=150,
            eps=0.03,
            recipe="adaptive",
        )
        for t in trials[::2]
    ]
    assert numbers(beside.run(more)) == numbers(alone.run(more))


@needs_fork
def test_a_large_run_is_divided():
    alone, beside = (
        Bench(Planes(), parts(200), jobs=jobs, batch_size=512) for jobs in (1, 2)
    )
    one = [trial("square", images=190, n_queries=40)]
    assert numbers(beside.run(one)) == numbers(alone.run(one))


@needs_fork
def test_a_model_that_fails_in_a_worker_fails_here(monkeypatch):
    class Failing(Planes):
        def forward(self, x):
            if os.getpid() != home and self.rows > 300:
                raise ValueError("no more")
            return super().forward(x)

    home = os.getpid()
    bench = Bench(Failing(), parts(), jobs=2)
    with pytest.raises(ValueError, match="no more") as caught:
        bench.run(several())
    assert "in forward" in caught.value.__notes__[0]


@needs_fork
def test_a_worker_that_dies_is_noticed():
    class Dying(Planes):
        def forward(self, x):
            if os.getpid() != home and self.rows > 300:
                os._exit(7)
            return super().forward(x)

    home = os.getpid()
    with pytest.raises(RuntimeError, match="exit code 7"):
        Bench(Dying(), parts(), jobs=2).run(several())


@needs_fork
def children():
    """Python processes that this one began and that live."""
    shown = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in shown.stdout.splitlines()]
    return {line[0] for line in lines if sys.executable in line[1:]}


def test_an_interrupt_ends_the_workers_and_keeps_what_has_ended():
    slow, before = Planes(pause=0.003), children()
    bench = Bench(slow, parts(), jobs=2, batch_size=16)
    begun = time.monotonic()

    def ring():
        while not len(bench_rows) and time.monotonic() - begun < 60:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    bench_rows = []
    put = bench.store.put

    def noted(run, rows):
        put(run, rows)
        bench_rows.append(run)

    bench.store.put = noted
    threading.Thread(target=ring, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        bench.run(several())
    assert 12 <= len(bench.store) < 12 * len(several())
    assert children() <= before
