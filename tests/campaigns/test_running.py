"""Running: the same bytes whatever stopped it, nothing done twice, nothing lost."""

import dataclasses
import importlib.util
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
import torch
from tiny_network import PLAN, planned

from querytax.attacks.workers import may_fork
from querytax.campaigns import Record, export, read_plan, run, select, standing
from querytax.campaigns import running as room
from querytax.campaigns.jobs import trial_of
from querytax.campaigns.laboratory import Laboratory
from querytax.expect import DomainError
from querytax.trials import Bench, Store
from querytax.trials.store import VERSION

FORKS = may_fork([torch.device("cpu")])
needs_fork = pytest.mark.skipif(not FORKS, reason="no processes are forked here")
CODE = "import sys; from querytax.campaigns import run; run(*sys.argv[1:3], jobs=2)"


def exported(store, name=""):
    """All that a campaign found, as bytes."""
    out = f"{store}.csv"
    with Record(store) as record:
        export(select(record, name), out)
    with open(out, "rb") as stream:
        return stream.read()


@pytest.fixture
def performed(monkeypatch):
    """Every job that is done in this process."""
    seen, perform = [], Laboratory.perform

    def spy(self, job, identity=None):
        seen.append(job)
        return perform(self, job, identity)

    monkeypatch.setattr(Laboratory, "perform", spy)
    monkeypatch.setattr(room, "may_fork", lambda devices: False)
    return seen


# -- the same numbers ---------------------------------------------------------------


@needs_fork
def test_workers_and_pieces_change_no_byte(folder, performed, monkeypatch):
    plan = planned(folder)
    assert run(plan, "alone.db").whole
    jobs = len(performed)
    with monkeypatch.context() as patch:
        patch.setattr(room, "may_fork", lambda devices: True)
        assert run(plan, "two.db", jobs=2).whole
    assert exported("two.db") == exported("alone.db")
    performed.clear()
    while not run(plan, "pieces.db", minutes=0.002).whole:
        pass
    assert len(performed) == jobs
    assert exported("pieces.db") == exported("alone.db")


def test_a_job_alone_is_the_job_in_a_campaign(folder):
    plan = read_plan(planned(folder))
    laboratory = Laboratory(plan)
    jobs = room.all_jobs(room.resolved(laboratory)[0])
    some = random.Random(0).sample(list(jobs), 4)
    before = {job: laboratory.perform(job) for job in some}
    for job in reversed(some):
        assert Laboratory(laboratory.campaign).perform(job) == before[job]


def test_a_job_is_its_trial_on_a_bench(folder):
    """The store is the race's: a campaign's rows are found there, and the other way."""
    plan = read_plan(planned(folder, images=5, block=5))
    assert run(plan, "both.db").whole
    laboratory = Laboratory(plan)
    ground = laboratory.ground("mine")
    whole, _ = room.resolved(laboratory)
    parts = {"held_out": ground.parts["held_out"]}
    bench = Bench(ground.networks[""], parts, store="both.db", votes=plan.votes)
    alone = Bench(ground.networks[""], parts, votes=plan.votes)
    trials = [trial_of(job, whole) for job in room.all_jobs(whole)]
    assert bench.estimate(trials) == 0.0
    for one, other in zip(bench.run(trials), alone.run(trials), strict=True):
        assert one.broken.queries.tolist() == other.broken.queries.tolist()
        assert one.broken.success.tolist() == other.broken.success.tolist()
    with Record("both.db") as record:
        asked = select(record)
    assert len(asked.jobs) == len(trials)


def test_what_a_race_knows_is_not_attacked_again(folder, performed):
    plan = read_plan(planned(folder))
    laboratory = Laboratory(plan)
    whole, _ = room.resolved(laboratory)
    ground = laboratory.ground("mine")
    parts = {"held_out": ground.parts["held_out"]}
    bench = Bench(ground.networks[""], parts, store="race.db", votes=plan.votes)
    first = next(room.all_jobs(whole))
    # More images and a larger budget than the campaign asks for.
    bench.run([room_trial(first, whole)])
    assert run(plan, "race.db").whole
    same = {(first.contender, first.site, first.strength, first.eps, first.seed)}
    done = {(j.contender, j.site, j.strength, j.eps, j.seed) for j in performed}
    assert not same & done
    assert run(plan, "alone.db").whole
    assert exported("race.db") == exported("alone.db")


def room_trial(job, whole):
    return dataclasses.replace(trial_of(job, whole), images=20, n_queries=300)


def test_a_network_that_draws_by_itself_draws_by_the_job(folder):
    text = PLAN.replace(":load", ":drawing").replace(
        "strengths = [0, 0.3]", "strengths = 0"
    )
    text = text.replace('[[defences]]\nsite = "rls"\n', "")
    text = text.replace('\n[[attacks]]\nattack = "breaker"\n', "")
    plan = planned(folder, text, images=8, block=4, seeds=1)
    with pytest.warns(UserWarning, match="answers the same image differently"):
        laboratory = Laboratory(read_plan(plan))
    whole, _ = room.resolved(laboratory)
    jobs = list(room.all_jobs(whole))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    with pytest.warns(UserWarning, match="answers the same image differently"):
        once = [laboratory.perform(job) for job in jobs[:2]]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    with pytest.warns(UserWarning, match="answers the same image differently"):
        again = [laboratory.perform(job) for job in jobs[:2]]
    assert again == once


# -- nothing twice ------------------------------------------------------------------


def test_what_is_done_is_not_done_again(folder, performed):
    plan = planned(folder)
    first = run(plan, "s.db")
    assert first.whole
    assert first.done == len(performed) == len(set(performed))
    assert first.images == 5 * 2 * 10
    performed.clear()
    assert run(plan, "s.db") == first
    assert performed == []


def test_a_plan_that_grows_keeps_what_is_done(folder, performed):
    run(planned(folder, seeds=0, images=4), "s.db")
    few, before = len(performed), set(performed)
    run(planned(folder, seeds="[0, 7]", images=4), "s.db")
    assert len(performed) == 2 * few
    # One block more, and another attack.
    text = PLAN.replace('["square", "rays"]', '["square", "rays", "simba"]')
    assert run(planned(folder, text, images=5), "s.db").whole
    assert before < set(performed)
    assert len(performed) == len(set(performed))
    assert run(planned(folder, text, images=5), "alone.db").whole
    assert exported("s.db") == exported("alone.db")
    # And back: nothing is forgotten.
    performed.clear()
    assert run(planned(folder, seeds=7, images=4), "s.db").whole
    assert performed == []
    run(planned(folder, seeds=7, images=4), "fresh.db")
    assert exported("s.db") == exported("fresh.db")


def test_smaller_budgets_are_read_off_the_largest(folder, performed):
    run(planned(folder, n_queries="[20, 45]"), "both.db")
    performed.clear()
    # Their runs are known; a budget of its own is no other job.
    assert run(planned(folder, n_queries="20"), "both.db").whole
    assert performed == []
    run(planned(folder, n_queries="20"), "small.db")
    assert exported("both.db") == exported("small.db")


def test_a_larger_budget_is_asked(folder, performed):
    run(planned(folder, n_queries="20"), "s.db")
    few = len(performed)
    assert run(planned(folder, n_queries="45"), "s.db").whole
    assert few < len(performed)
    run(planned(folder, n_queries="45"), "alone.db")
    assert exported("s.db") == exported("alone.db")


def test_another_code_is_another_job(folder, performed, monkeypatch):
    plan = planned(folder)
    run(plan, "s.db")
    count = len(performed)
    with monkeypatch.context() as patch:
        patch.setattr("querytax.trials.identity.code_of", lambda engine, model: "new")
        assert run(plan, "s.db").whole
    assert len(performed) == 2 * count
    run(plan, "s.db")
    assert len(performed) == 2 * count


def test_several_campaigns_share_a_store(folder, performed):
    run(planned(folder), "s.db")
    count = len(performed)
    found = run(planned(folder, name='"second"', seeds=7), "s.db")
    assert found.whole
    assert len(performed) == count
    with Record("s.db") as record:
        assert record.names() == ["second", "tiny"]
        assert standing(record, "tiny").whole
        with pytest.raises(DomainError, match="expected a name of a campaign"):
            standing(record)
        with pytest.raises(DomainError, match="did you mean 'tiny'"):
            standing(record, "tinny")


# -- nothing lost -------------------------------------------------------------------


def start(plan, store):
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(plan), store],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def done(store):
    with Record(store) as record:
        return len(record.pages("tiny"))


@needs_fork
def test_a_killed_campaign_loses_nothing(folder):
    plan = planned(folder, PLAN.replace(":load", ":slow"))
    chance, there = random.Random(3), 0
    for i in range(4):
        process = start(plan, "killed.db")
        until = time.monotonic() + 120
        # As soon as a few more are done, and then at any moment of the next ones.
        while time.monotonic() < until and process.poll() is None:
            if os.path.exists("killed.db") and done("killed.db") > there + 2:
                break
            time.sleep(0.05)
        time.sleep(chance.random() * 0.3)
        # With its workers, or alone: these end by themselves.
        if i % 2:
            os.kill(process.pid, signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        now = done("killed.db")
        assert now > there
        there = now
    assert run(plan, "killed.db", jobs=2).whole
    assert run(plan, "whole.db", jobs=2).whole
    assert exported("killed.db") == exported("whole.db")


@needs_fork
def test_an_interrupt_ends_the_workers_and_keeps_what_is_done(folder):
    plan = planned(folder, PLAN.replace(":load", ":slow"))

    def ring():
        until = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(0.02)
            if os.path.exists("s.db") and done("s.db") > 2:
                break
        os.kill(os.getpid(), signal.SIGINT)

    before = children()
    threading.Thread(target=ring, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run(plan, "s.db", jobs=2)
    assert 2 < done("s.db") < 60
    assert children() == before


def children():
    shown = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in shown.stdout.splitlines()]
    return {line[0] for line in lines if sys.executable in line[1:]}


@needs_fork
def test_a_worker_that_dies_is_replaced_and_its_job_done_again(folder):
    text = PLAN.replace(":load", ":deadly")
    (folder / "deadly").touch()
    (folder / "once").touch()
    assert run(planned(folder, text), "s.db", jobs=2).whole
    assert not (folder / "deadly").exists()
    run(planned(folder), "alone.db")
    assert exported("s.db") == exported("alone.db")


@needs_fork
def test_a_job_that_kills_every_worker_ends_the_campaign(folder):
    text = PLAN.replace(":load", ":deadly")
    (folder / "deadly").touch()
    # The first jobs die of it again and again.
    with pytest.raises(DomainError, match=r"a job that a worker survives.*code -9"):
        run(planned(folder, text, n_queries=600, eps=0.0001), "s.db")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_network_that_fails_ends_the_campaign_and_what_is_done_stays(folder, jobs):
    plan = planned(folder, PLAN.replace(":load", ":failing"))
    with pytest.raises(DomainError, match="got RuntimeError: out of memory"):
        run(plan, "s.db", jobs=jobs)
    assert 0 < done("s.db") < 60


def test_a_full_disk_is_one_line_and_the_store_stays_sound(folder, monkeypatch):
    plan = planned(folder)
    opened = Record._prepare

    def small(self):
        opened(self)
        self._db.execute("PRAGMA max_page_count = 18")

    with monkeypatch.context() as patch:
        patch.setattr(Record, "_prepare", small)
        with pytest.raises(DomainError, match="database or disk is full"):
            run(plan, "s.db")
    assert 0 < done("s.db") < 60
    assert run(plan, "s.db").whole
    run(plan, "alone.db")
    assert exported("s.db") == exported("alone.db")


# -- stores -------------------------------------------------------------------------


def test_a_store_in_use_is_one_line(folder):
    plan = planned(folder)
    with Record("s.db") as record, record.alone():
        with pytest.raises(DomainError, match="in use by another campaign"):
            run(plan, "s.db")
        # To look is allowed.
        with Record("s.db") as other:
            assert other.names() == []
    assert run(plan, "s.db").whole


def test_strange_stores_are_one_line_and_left_alone(folder):
    plan = planned(folder)
    (folder / "a.txt").write_text(
        "no database, but long enough to be taken for one" * 99
    )
    with pytest.raises(DomainError, match="not a database"):
        run(plan, "a.txt")
    with Record("later.db"):
        pass
    with sqlite3.connect("later.db") as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(DomainError, match=f"version {VERSION + 1}"):
        run(plan, "later.db")
    run(plan, "form.db")
    with sqlite3.connect("form.db") as db:
        db.execute("UPDATE campaigns SET form = 99")
    db.close()
    with pytest.raises(DomainError, match="form 99"):
        run(plan, "form.db")
    with pytest.raises(DomainError, match="unable to open"):
        run(plan, "absent/s.db")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE campaign_jobs SET numbers = zeroblob(length(numbers)) WHERE place = 3",
        "UPDATE campaign_jobs SET texts = '[1]' WHERE place = 3",
        "UPDATE campaigns SET plan = replace(plan, 'square', 'nes')",
    ],
)
def test_damage_is_noticed(folder, change):
    run(planned(folder), "s.db")
    with sqlite3.connect("s.db") as db:
        db.execute(change)
    db.close()
    with pytest.raises(DomainError, match="damaged"):
        exported("s.db")


def test_a_store_of_trials_becomes_one_of_campaigns(folder):
    """One that races have made, and that knows no campaign."""
    Store("s.db").close()
    with Record("s.db") as record:
        assert record.names() == []
    Store("s.db").close()


@pytest.mark.parametrize("what", ["foolbox:boundary", "torchattacks:square"])
def test_an_attack_of_a_library_is_a_job_like_any_other(folder, performed, what):
    pytest.importorskip(what.partition(":")[0])
    text = PLAN.replace('["square", "rays"]\nrecipe = "adaptive"', f'"{what}"')
    plan = planned(folder, text, images=3, seeds=0, n_queries="[20, 60]")
    assert run(plan, "s.db").whole
    assert {job.contender.recipe for job in performed} > {"library"}
    count = len(performed)
    assert run(plan, "s.db").whole
    assert len(performed) == count
    assert run(plan, "two.db", minutes=0.001).done < count
    assert run(plan, "two.db").whole
    assert exported("two.db") == exported("s.db")
    # A race does not know them, and is not confused by them.
    ground = Laboratory(read_plan(plan)).ground("mine")
    parts = {"held_out": ground.parts["held_out"]}
    bench = Bench(ground.networks[""], parts, store="s.db", votes=5)
    known = {one.trial.contender.attack for one in bench.evidence("input")}
    assert known == {"nes"}


def test_a_library_that_is_missing_is_one_line(folder):
    text = PLAN.replace('["square", "rays"]\nrecipe = "adaptive"', '"art:square"')
    if importlib.util.find_spec("art"):
        pytest.skip("it is there")
    with pytest.raises(DomainError, match=r"not installed.*plan\.toml, line 20"):
        run(planned(folder, text), None)
