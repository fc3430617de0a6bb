"""Runs: the same bits with any threads and portions, saved, resumed and interrupted."""

import json
import math

import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.files import read_json, write_json
from querytax.montecarlo import misstep
from querytax.montecarlo.runs import Experiment, Run, estimate
from querytax.montecarlo.streams import Stream

EVENT = misstep.random_direction(0.5)


def exponentials(mean):
    """Draws of an exponential variable: no event, and unbounded."""

    def block(first, count, centre, k0, k1):
        u = Stream((int(k0), int(k1))).uniforms(first, count)[:, 0]
        x = -mean * np.log(u) - centre
        return float(x.sum()), float(np.square(x).sum())

    return Experiment(
        "test.exponential",
        {"mean": mean},
        block,
        high=math.inf,
        event=False,
        cost=64.0,
    )


@pytest.mark.parametrize("experiment", [EVENT, exponentials(3.0)])
def test_threads_and_portions_change_nothing(experiment):
    first = Run(experiment, seed=5).advance(40)
    portions = Run(experiment, seed=5)
    for blocks in (1, 7, 2, 30):
        portions = portions.advance(blocks)
    assert portions == first
    limit = 39 * experiment.size
    results = [
        estimate(experiment, rng=5, max_samples=limit, threads=t) for t in (1, 4)
    ]
    assert results[0] == results[1]
    assert estimate(experiment, rng=6, max_samples=limit).value != results[0].value


def test_the_estimate_is_near_the_truth():
    found = estimate(EVENT, rng=1, max_samples=1e7)
    # Straight from numbers: share of normal pairs of the wrong sign.
    rng = np.random.default_rng(0)
    change, noise = rng.standard_normal((2, 4_000_000))
    share = ((change > 0) != (change + np.sqrt(2) * noise > 0)).mean()
    assert found.value == pytest.approx(share, abs=2e-3)
    mean = estimate(exponentials(3.0), rng=1, max_samples=1e6)
    assert mean.low < 3.0 < mean.high
    assert mean.asymptotic
    assert mean.value == pytest.approx(3.0, abs=5 * 3 / 1e3)


def test_a_run_stops_when_it_knows_enough():
    wide = estimate(EVENT, width=0.01)
    assert wide.stopped == "width"
    assert wide.high - wide.low <= 0.01
    sharp = estimate(EVENT, relative=0.01)
    assert sharp.high - sharp.low <= 0.01 * sharp.value
    decided = estimate(EVENT, verdict=lambda low, high: low > 0.29 or high < 0.29)
    assert decided.stopped == "verdict"
    assert decided.excludes(0.29)
    assert not decided.excludes(decided.value)
    assert decided.samples < sharp.samples
    assert estimate(EVENT, max_samples=1).stopped == "budget"
    assert estimate(EVENT, max_samples=1e12, budget_seconds=0.2).stopped == "budget"
    assert sharp.within(sharp.value, 0.01)
    assert not sharp.within(sharp.value, 1e-6)


@pytest.mark.parametrize("experiment", [EVENT, exponentials(3.0)])
def test_a_resumed_run_is_the_whole_run(experiment, tmp_path):
    path = tmp_path / "run.json"
    whole = estimate(experiment, rng=2, max_samples=50 * experiment.size)
    for samples in (3, 20, 50):
        last = estimate(
            experiment, rng=2, max_samples=samples * experiment.size, resume=path
        )
    assert last == whole
    # Nothing is left to draw, and the file stays as it is.
    text = path.read_text()
    again = estimate(experiment, rng=2, max_samples=50 * experiment.size, resume=path)
    assert (again, path.read_text()) == (whole, text)


def test_ctrl_c_saves(tmp_path):
    calls = []

    def block(first, count, centre, k0, k1):
        calls.append(first)
        if len(calls) > 9:
            raise KeyboardInterrupt
        return count / 2.0, 0.0

    path = tmp_path / "run.json"
    broken = Experiment("test.interrupted", {}, block)
    found = estimate(broken, max_samples=1e9, threads=1, resume=path)
    assert found.stopped == "interrupted"
    assert found.samples > 0
    saved = json.loads(path.read_text())
    assert saved["count"] == found.samples


def test_a_file_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.json"
    estimate(EVENT, rng=2, max_samples=1e5, resume=path)
    text = path.read_text()
    with pytest.raises(DomainError, match="expected a run with seed 3, got 2"):
        estimate(EVENT, rng=3, resume=path)
    with pytest.raises(DomainError, match="expected a run with arguments"):
        estimate(misstep.random_direction(0.6), rng=2, resume=path)
    write_json(path, {**read_json(path, ""), "version": "0.0.0"})
    with pytest.raises(DomainError, match="expected a run with version"):
        estimate(EVENT, rng=2, resume=path)
    for damage in (text[:-20], "", "[1]", text.replace('"total"', '"sum"')):
        path.write_text(damage)
        with pytest.raises(DomainError, match="expected a saved run"):
            estimate(EVENT, rng=2, resume=path)
        assert path.read_text() == damage


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_samples": 0}, "expected max_samples > 0"),
        ({"max_samples": float("nan")}, "expected max_samples > 0"),
        ({"width": -1}, "expected width > 0"),
        ({"alpha": 1}, "expected alpha in"),
        ({"threads": 0}, "expected threads a whole number >= 1"),
        ({"budget_seconds": 0}, "expected budget_seconds > 0"),
        ({"rng": "x"}, "expected rng to be"),
    ],
)
def test_bad_input_is_named(options, says):
    with pytest.raises(DomainError, match=says):
        estimate(EVENT, **options)
    with pytest.raises(DomainError, match="expected snr > 0"):
        misstep.random_direction(0)
