"""The bench: the same numbers whatever the pieces, and nothing attacked twice."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from trial_setting import Planes, numbers, parts, several, trial

from querytax.attacks import attack, attack_all
from querytax.attacks.table import plan_of
from querytax.defenses import InputNoise, defend
from querytax.expect import DomainError
from querytax.trials import (
    Bench,
    Store,
    attacker_seed,
    network_fingerprint,
    noise_seed,
)
from querytax.trials import bench as room

SITES = ("input", "output", "output:logits:raw", "last", "input*0.2+last")


def make(**options):
    model = options.pop("model", None) or Planes()
    return Bench(model, options.pop("parts", None) or parts(), **options)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors here are tiny: on a busy machine threads would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def begun(monkeypatch):
    """Every (plan, key, budget) that is attacked."""
    seen = []

    def spy(runs, **options):
        for run in runs:
            seen.extend((run.plan, int(key), options["n_queries"]) for key in run.keys)
        return attack_all(runs, **options)

    monkeypatch.setattr(room, "attack_all", spy)
    return seen


# -- against one plain attack -----------------------------------------------------


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("sigma", [0.0, 0.3])
@pytest.mark.parametrize("word", ["square", "rays"])
def test_a_trial_is_the_plain_attack(site, sigma, word):
    images, labels = parts()["held_out"]
    bench = make()
    asked = trial(word, site=site, sigma=sigma, part="held_out")
    (tried,) = bench.run([asked])
    keys = bench.keys("held_out")[:12]
    at = keys - 2**31
    assert not {1, 5} & set(at.tolist())
    found = attack(
        defend(Planes(), site, sigma, experiment_seed=noise_seed(5)),
        images[at],
        labels[at],
        plan_of(word, 0.05, "Linf", shape=(1, 8, 8)),
        n_queries=120,
        keys=keys,
        rng=attacker_seed(5),
    )
    for mine, plain in ((tried.confirmed, found.confirmed), (tried.clean, found.clean)):
        assert mine.queries.tolist() == plain.queries.tolist()
        assert mine.success.tolist() == plain.success.tolist()
        assert mine.cut.tolist() == plain.cut.tolist()
    spent = sum(found.spent.values())
    over = np.array([word != "open" for word in found.status])
    assert (tried.asked[over] == spent[over]).all()
    assert (tried.asked[~over] == 120).all()
    assert tried.trial == asked
    assert sigma or found.confirmed.success.any()


def test_each_network_is_attacked_on_what_it_gets_right():
    bench = make(model={"": Planes(), "other": Planes(seed=3)})
    assert bench.images("calibration") == 22
    few = bench.images("calibration", "other")
    assert 3 <= few < 22
    right = set(bench.keys("calibration", "other").tolist())
    images, labels = parts()["calibration"]
    said = Planes(seed=3)(images).argmax(1)
    assert right == set((said == labels).nonzero()[:, 0].tolist())
    here, there = bench.run(
        [trial(images=few), trial(images=few, network="other")],
    )
    assert len(here.asked) == len(there.asked) == few


# -- pieces, order, the store -----------------------------------------------------


def test_pieces_and_order_change_nothing(tmp_path, begun):
    small = [trial(w, images=8, n_queries=50) for w in ("square", "rays")]
    more = [trial(w, images=16, n_queries=50) for w in ("square", "rays")]
    most = [trial("square", images=16, n_queries=120)]
    everything = [*small, *more, *most]
    once = numbers(make().run(everything))
    pieces = make(store=tmp_path / "a.db", batch_size=7)
    parted = [numbers(pieces.run([one]))[0] for one in everything]
    assert parted == once
    backwards = make(store=Store(tmp_path / "b.db"))
    assert numbers(backwards.run(everything[::-1]))[::-1] == once
    del begun[:]
    model = Planes()
    again = make(model=model, store=tmp_path / "a.db")
    again.images("calibration")
    looked = model.rows
    assert numbers(again.run(everything)) == once
    assert model.rows == looked
    assert begun == []
    assert again.estimate(everything) == 0.0


def test_only_what_is_missing_is_attacked(begun):
    bench = make()
    (first,) = bench.run([trial(images=8, n_queries=60)])
    del begun[:]
    bench.run([trial(images=16, n_queries=60)])
    keys = bench.keys("calibration").tolist()
    assert [key for _, key, _ in begun] == keys[8:16]
    del begun[:]
    (longer,) = bench.run([trial(images=8, n_queries=150)])
    still = ~first.broken.success
    assert 0 < still.sum() < 8
    assert [key for _, key, _ in begun] == np.array(keys[:8])[still].tolist()
    assert {n for *_, n in begun} == {150}
    was = first.broken.success
    assert (longer.broken.queries[was] == first.broken.queries[was]).all()


@pytest.mark.parametrize("word", ["square", "nes", "signhunter", "rays", "hopskipjump"])
def test_a_smaller_budget_is_read_off_a_larger_one_exactly(word, begun):
    """Votes and pairs must be paid for before they are asked; cutting would miss it."""
    bench = make()
    norm = "L2" if word == "hopskipjump" else "Linf"
    eps = 1.0 if norm == "L2" else 0.05
    ask = [
        trial(word, norm=norm, eps=eps, images=16, n_queries=n)
        for n in (160, *range(80, 140, 6))
    ]
    bench.run(ask[:1])
    del begun[:]
    read = numbers(bench.run(ask))
    assert begun == []
    assert read[1::3] == [numbers(make().run([one]))[0] for one in ask[1::3]]


def test_a_cut_alone_would_be_wrong():
    """Some budget ends between a step and its votes: what the exact reading is for."""
    bench = make()
    (large,) = bench.run([trial("square", images=16, n_queries=80)])
    differ = 0
    for n in range(12, 60):
        (exact,) = bench.run([trial("square", images=16, n_queries=n)])
        differ += int((large.upto(16, n).clean.success != exact.clean.success).sum())
    assert differ > 0


def test_what_does_not_matter_is_shared(begun):
    """Access beyond need, and the place of no noise."""
    bench = make()
    bench.run([trial("rays", access="labels", sigma=0.0, site="input")])
    first = list(begun)
    bench.run([trial("rays", access="scores", sigma=0.0, site="last")])
    assert begun == first
    bench.run([trial("rays", access="scores", sigma=0.0, site="output")])
    assert len(begun) == 2 * len(first)
    bench.run([trial("rays", sigma=0.0, site="output:probabilities:clip")])
    assert len(begun) == 2 * len(first)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"sigma": 0.31},
        {"eps": 0.06},
        {"recipe": "adaptive"},
        {"settings": {"p": 0.3}},
        {"part": "held_out"},
    ],
)
def test_another_trial_is_not_taken_for_this_one(change, begun):
    bench = make()
    bench.run([trial()])
    done = len(begun)
    bench.run([trial(**change)])
    assert len(begun) == 2 * done


def test_another_network_or_votes_or_image_is_not_known(tmp_path, begun):
    make(store=tmp_path / "s.db").run([trial()])
    for options in (
        {"model": Planes(seed=3)},
        {"votes": 3},
        {"parts": parts(seed=2)},
    ):
        del begun[:]
        bench = make(store=tmp_path / "s.db", **options)
        bench.run([trial(images=3)])
        assert len(begun) == 3


def test_settings_that_say_the_recipe_are_the_recipe_s(begun):
    bench = make()
    bench.run([trial()])
    done = len(begun)
    own = plan_of("square", 0.05, shape=(1, 8, 8))
    bench.run([trial(settings={"p": own.p})])
    assert len(begun) == done


# -- killed, and beside another ---------------------------------------------------


def start(path, pause):
    here = Path(__file__).resolve()
    known = {**os.environ, "PYTHONPATH": str(here.parents[2]), "OMP_NUM_THREADS": "1"}
    script = here.with_name("trial_setting.py")
    return subprocess.Popen([sys.executable, script, str(path), str(pause)], env=known)


def test_killed_and_resumed(tmp_path, begun):
    path, total = tmp_path / "s.db", 12 * len(several())
    child = start(path, 0.005)
    try:
        until = time.monotonic() + 60
        while True:
            assert time.monotonic() < until
            assert child.poll() is None
            if path.exists():
                with Store(path) as store:
                    if len(store):
                        break
            time.sleep(0.005)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    with Store(path) as store:
        kept = {run: store.rows(run) for run in store.runs()}
    # Runs are stored whole.
    assert {len(rows) for rows in kept.values()} == {12}
    assert 0 < sum(map(len, kept.values())) < total

    model = Planes()
    bench = Bench(model, parts(), store=path, batch_size=16)
    bench.images("calibration")
    looked = model.rows
    resumed = bench.run(several())
    assert len(begun) == total - sum(map(len, kept.values()))
    # Rows that were asked of those images, and a look at them for each run at most.
    asked = 0
    for run in bench.store.runs():
        if run not in kept:
            asked += sum(row.asked for row in bench.store.rows(run).values())
    assert asked <= model.rows - looked <= asked + (12 + 8) * len(several())
    assert numbers(resumed) == numbers(make().run(several()))


def test_two_processes_on_one_store(tmp_path):
    path = tmp_path / "s.db"
    both = [start(path, 0.0) for _ in range(2)]
    assert [child.wait(60) for child in both] == [0, 0]
    with Store(path) as store:
        assert len(store) == 12 * len(several())
    model = Planes()
    bench = Bench(model, parts(), store=path)
    bench.images("calibration")
    looked = model.rows
    assert numbers(bench.run(several())) == numbers(make().run(several()))
    assert model.rows == looked


def test_an_interrupt_keeps_the_runs_that_ended(monkeypatch):
    class Impatient(Planes):
        def forward(self, x):
            if len(bench.store):
                raise KeyboardInterrupt
            return super().forward(x)

    bench = Bench(Impatient(), parts(), batch_size=16)
    with pytest.raises(KeyboardInterrupt):
        bench.run(several())
    assert 12 <= len(bench.store) < 12 * len(several())


# -- failures ---------------------------------------------------------------------


def test_a_crash_is_kept_and_not_tried_again(monkeypatch, begun):
    from querytax.attacks import square

    kept = square.ATTACK.engine

    def broken(plan, block):
        questions = kept(plan, block)
        answers = None
        for step in range(10**9):
            ask = questions.send(answers)
            if step > 20 and bool((block.keys[ask.rows] == 3).any()):
                raise RuntimeError("boom")
            answers = yield ask

    entry = type(square.ATTACK)(**{**vars(square.ATTACK), "engine": broken})
    monkeypatch.setattr(square, "ATTACK", entry)
    bench = make()
    (found,) = bench.run([trial(sigma=0.1, eps=0.005)])
    place = bench.keys("calibration").tolist().index(3)
    assert np.flatnonzero(found.confirmed.cut).tolist() == [place]
    assert found.confirmed.queries[place] == found.asked[place] < 120
    del begun[:]
    (again,) = bench.run([trial(sigma=0.1, eps=0.005, n_queries=200)])
    assert place not in [
        bench.keys("calibration").tolist().index(k) for _, k, _ in begun
    ]
    assert again.confirmed.queries[place] == found.asked[place]
    # A budget that ended before the crash does not see it.
    (short,) = bench.run([trial(sigma=0.1, eps=0.005, n_queries=15)])
    assert not short.confirmed.cut.any()


def test_a_surrogate_is_lent_to_whom_needs_one(begun):
    class Lender(nn.Module):
        def __init__(self, seed):
            super().__init__()
            self.inner = Planes(seed)

        def forward(self, x):
            return self.inner(x)

    with pytest.raises(DomainError, match="expected surrogate for transfer"):
        make().run([trial("transfer")])
    store = Store()
    lent = make(surrogate=Lender(0), store=store)
    (found,) = lent.run([trial("transfer", sigma=0.0, eps=0.2)])
    assert found.broken.success.all()
    done = len(begun)
    make(surrogate=Lender(4), store=store).run([trial("transfer", sigma=0.0, eps=0.2)])
    assert len(begun) == 2 * done
    # Others are the same with and without.
    lent.run([trial()])
    done = len(begun)
    make(store=store).run([trial()])
    assert len(begun) == done


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 23}, "expected images <= 22"),
        ({"network": "x"}, "expected network to be one of"),
        ({"access": "labels"}, "expected access 'scores' or more for square"),
        ({"attack": "nothing"}, "expected attack to be a known one|one of"),
        ({"attack": "rays", "norm": "L2"}, "expected norm of rays to be"),
        ({"settings": {"q": 1}}, "expected setting"),
        ({"settings": {"name": "x"}}, "expected changes to be settings"),
        ({"site": "nowhere"}, "expected sites to name modules"),
        ({"site": "nowhere", "sigma": 0.0}, "expected sites to name modules"),
        ({"seed": -1}, "expected seed"),
        ({"seed": 2**63}, "expected seed"),
    ],
)
def test_what_cannot_be_tried_is_said_before_anything_is(change, message, begun):
    bench = make()
    with pytest.raises(DomainError, match=message) as caught:
        bench.run([trial(), trial(**change)])
    assert "\n" not in str(caught.value)
    assert begun == []


def test_a_budget_below_the_first_step_breaks_nothing(begun):
    """Its votes cannot be paid for, so nothing is asked."""
    bench = make()
    (short,) = bench.run([trial(n_queries=9)])
    assert begun == []
    for count in (short.confirmed, short.clean, short.broken, short.fell):
        assert not count.success.any()
        assert (count.queries == 9).all()
        assert not count.cut.any()
    assert short.asked.tolist() == [0] * 12
    assert len(bench.store) == 0
    assert bench.estimate([trial(n_queries=9)]) == 0.0
    # Beside others it stays in its place, and a larger budget is attacked.
    none, some = bench.run([trial(n_queries=9), trial()])
    assert numbers([none]) == numbers([short])
    assert numbers([some]) == numbers(make().run([trial()]))
    assert len(begun) == 2 * 12


def test_a_bench_wants_a_plain_network_and_a_known_part():
    images = parts()
    with pytest.raises(DomainError, match="without a defence"):
        Bench(InputNoise(Planes(), 0.1), images)
    with pytest.raises(DomainError, match="empty word"):
        Bench({"a": Planes()}, images)
    with pytest.raises(DomainError, match="expected part"):
        Bench(Planes(), {"training": images["calibration"]})
    with pytest.raises(DomainError, match="expected parts"):
        Bench(Planes(), {})
    with pytest.raises(DomainError, match="votes odd"):
        Bench(Planes(), images, votes=2)


def test_own_noise_is_said_once():
    class Restless(Planes):
        def forward(self, x):
            return super().forward(x) + torch.randn(len(x), 3)

    bench = Bench(Restless(), parts())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count = bench.images("calibration")
        bench.run([trial(images=min(count, 4)), trial("rays", images=4, sigma=0.0)])
    assert [str(w.message)[:50] for w in said] == [
        "the model answers the same image differently: its "
    ]


# -- fingerprints -----------------------------------------------------------------


def test_a_fingerprint_is_of_what_the_network_holds():
    images = parts()["calibration"][0]
    own = network_fingerprint(Planes(), images)
    assert own == network_fingerprint(Planes(pause=1e-9), images[:3])
    other = Planes()
    other.weight[0, 0] = other.weight[0, 0] * (1 + 1e-15)
    assert own != network_fingerprint(other, images)
    deep, flat = nn.Sequential(nn.Flatten(), nn.ReLU()), nn.Sequential(nn.Flatten())
    assert network_fingerprint(deep, images) == network_fingerprint(deep, images)
    assert network_fingerprint(deep, images) != network_fingerprint(flat, images)


def test_a_fingerprint_of_a_function_is_of_its_answers():
    images, planes = parts()["calibration"][0], Planes()
    own = network_fingerprint(lambda x: planes(x), images)
    assert own == network_fingerprint(lambda x: planes(x) * (1 + 1e-7), images)
    assert own != network_fingerprint(lambda x: planes(x) * 1.1, images)
    other = Planes(seed=3)
    assert own != network_fingerprint(lambda x: other(x), images)


# -- time, and what is known ------------------------------------------------------


def test_the_estimate_grows_with_what_is_missing():
    bench = make()
    few, many = [trial(images=4)], [trial(images=12), trial("rays")]
    least = 4 * 120 * bench.OVERHEAD
    assert bench.estimate(few) > least
    assert bench.estimate(many) == pytest.approx(6 * bench.estimate(few))
    before = bench.estimate(many)
    bench.run(few)
    assert bench.estimate(few) < before
    slow = make(model=Planes(pause=0.02), batch_size=32)
    assert slow.estimate(few) > 4 * 120 * 0.02 / 32


def test_evidence_finds_what_was_tried(tmp_path):
    first = make(store=tmp_path / "s.db")
    asked = [
        trial("square", images=10, n_queries=60),
        trial("square", images=4, n_queries=150, settings={"p": 0.3}),
        trial("rays", sigma=0.0, recipe="adaptive"),
        trial("square", part="held_out", images=3),
    ]
    tried = first.run(asked)
    again = make(store=tmp_path / "s.db")
    known = again.evidence("output:logits:raw")
    assert numbers(known.find(one) for one in asked) == numbers(tried)
    assert known.find(trial("square", images=11, n_queries=60)) is None
    assert known.find(trial("square", images=10, n_queries=61)) is None
    labels = again.evidence("output:logits:raw", access="labels")
    assert [one.trial.contender.attack for one in labels] == ["rays"]
    assert len(make(model=Planes(seed=3), store=again.store).evidence("input")) == 0


def test_evidence_has_more_images_for_a_smaller_budget():
    bench = make()
    hard = {"eps": 0.004, "sigma": 1.0}
    bench.run([trial(images=10, n_queries=40, **hard)])
    bench.run([trial(images=4, n_queries=90, **hard)])
    known = bench.evidence("output:logits:raw")
    assert {(t.trial.images, t.trial.n_queries) for t in known} == {(4, 90), (10, 40)}
