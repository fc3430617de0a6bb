"""A bar that moves while long calls run; a line before a long wait."""

import contextlib
import io
import re
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

import querytax as qt
from querytax import progress as bars
from querytax.attacks.oracle import even_parts
from querytax.probes import forecast, measure
from querytax.progress import Pace, Progress, progress


class Recorded(Progress):
    """A bar that keeps what it shows, and when."""

    def __init__(self):
        super().__init__()
        self.moves, self.lines = [], []

    shown = True

    def add(self, name, total):
        self.moves.append((time.monotonic(), 0.0, total))
        return 0

    def update(self, task, completed, total=None):
        self.moves.append((time.monotonic(), completed, total))

    def say(self, line):
        self.lines.append(line)


@pytest.fixture
def bar(monkeypatch):
    recorded = Recorded()

    @contextlib.contextmanager
    def instead(verbose):
        yield recorded if verbose else Progress()

    monkeypatch.setattr(measure, "progress", instead)
    return recorded


class Slow(nn.Module):
    """A model that takes its time, and counts rows by hand."""

    # Untrained, its answers might all lie in [0, 1].
    answers = "logits"

    def __init__(self, each=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.each, self.rows, self.sizes = each, 0.0, []
        self.flat = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))

    def forward(self, x):
        time.sleep(self.each * len(x))
        self.rows += len(x) * (3 if torch.is_grad_enabled() else 1)
        self.sizes.append(len(x))
        return self.flat(x)


def asked(model, sites=("input",), **more):
    x = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = model(x).argmax(1)
    settings = {
        "n_directions": 3,
        "n_patterns": 4,
        "n_proposals": 2,
        "n_flips": 3,
        "betas": (0.01, 0.1),
        "sigmas": dict.fromkeys(sites, (0.05,)),
        **more,
    }
    return qt.probe(model, x, y, sites=list(sites), eps=0.1, **settings)


def test_a_pace_fills_up_what_is_under_way():
    pace = Pace(Progress(), "work", 100.0)
    assert pace.shown(pace._start + 5) == 0.0  # Nothing is known yet.
    pace._start, pace._since = 0.0, 10.0
    pace.done, pace._running = 20.0, 40.0
    assert pace.shown(10.0) == 20.0
    assert pace.shown(15.0) == 30.0  # At two a second.
    assert pace.shown(99.0) == 20.0 + 0.95 * 40.0  # Not before it is true.
    pace.end(40.0)
    assert pace.shown(99.0) == 60.0


def test_the_bar_moves_every_second_while_the_model_thinks(bar, monkeypatch):
    monkeypatch.setattr(bars, "_TICK", 0.02)
    asked(Slow(each=1e-4), verbose=True)
    moves = [m for m in bar.moves if m[1] > 0]
    assert len(moves) > 10
    times = [at for at, *_ in moves]
    assert max(np.diff(times)) < 1.0
    shown = [done for _, done, _ in moves]
    assert shown == sorted(shown)
    assert len(set(shown)) > 0.9 * len(shown)


@pytest.mark.parametrize(
    ("sites", "plain"),
    [
        (("input",), False),
        (("flat.1", "output"), False),
        (("input*2+flat.0",), False),
        (("input", "output"), True),  # A plain function has no layers.
    ],
)
def test_what_is_foretold_is_what_comes(bar, monkeypatch, sites, plain):
    """By the settings within a factor of two, by the first block within a tenth."""
    monkeypatch.setattr("querytax.probes.walk._BLOCK", 3)
    kept = []
    real = forecast.Forecast.of
    monkeypatch.setattr(
        measure.Forecast, "of", lambda *a: kept.append(real(*a)) or kept[-1]
    )
    model = Slow()
    before = model.rows
    asked((lambda x: model(x)) if plain else model, sites, verbose=True)
    total = bar.moves[-1][1]
    assert 0 < total <= model.rows - before
    (told,) = kept
    assert 0.5 < (12 * told.each + told.after) / total < 2.0
    # What the bar is full at, in the end, is what was done.
    assert bar.moves[-1][2] == pytest.approx(total, rel=0.1)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_numbers_are_the_same_with_a_bar_and_without(bar):
    torch.manual_seed(0)
    model = Slow()
    one, other = asked(model, verbose=True), asked(model)
    np.testing.assert_array_equal(one.path_length, other.path_length)
    for name, site in one.sites.items():
        np.testing.assert_array_equal(site.signal, other.sites[name].signal)
        np.testing.assert_array_equal(site.flips, other.sites[name].flips)


def test_time_and_memory_are_said_before_a_long_probe(bar, monkeypatch):
    asked(Slow(), verbose=True)
    assert bar.lines == []
    monkeypatch.setattr(forecast, "_SHORT", 0.0)
    asked(Slow(), verbose=True)
    (line,) = bar.lines
    assert re.fullmatch(
        r"probing 12 images at one site: about \d+ s, and \S+ GB of memory beside the "
        "model",
        line,
    )
    asked(Slow())
    assert len(bar.lines) == 1


def test_what_a_call_costs_by_itself_is_not_foretold_for_every_row(bar, monkeypatch):
    """By a clock on which each call takes a second, however many rows it has."""
    model, kept = Slow(), []
    monkeypatch.setattr(forecast, "perf_counter", lambda: float(len(model.sizes)))
    monkeypatch.setattr(forecast, "_WAIT", np.inf)
    real = forecast.Forecast.of
    monkeypatch.setattr(
        measure.Forecast, "of", lambda *a: kept.append(real(*a)) or kept[-1]
    )
    asked(model, verbose=True)
    # Rows of the images alone foretold several times as much, full batches a tenth.
    assert 0.3 < kept[0].seconds / len(model.sizes) < 2.0


@pytest.mark.parametrize(
    ("seconds", "says"), [(44.4, "44 s"), (300.0, "5 min"), (9000.0, "2.5 h")]
)
def test_a_wait_in_words(seconds, says):
    told = forecast.Forecast(1.0, 1.0, seconds, 0.25).told(64, [None, None])
    assert told == (
        f"probing 64 images at 2 sites: about {says}, and 0.2 GB of memory beside the "
        "model"
    )


def test_in_a_pipe_a_line_and_no_bar(monkeypatch):
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with progress(True) as quiet:
        assert not quiet.shown
        quiet.update(quiet.add("work", 3), 1, 2)
        quiet.say("about an hour")
    with progress(False) as silent:
        silent.say("nothing")
    assert pipe.getvalue() == "about an hour\n"


def test_no_batch_is_a_small_rest():
    for count in (*range(0, 70), 255, 256, 257, 1000):
        for most in (1, 7, 32, 256):
            sizes = even_parts(count, most)
            assert sum(sizes) == count
            assert max(sizes) <= most
            assert max(sizes) - min(sizes) <= 1
            assert len(sizes) == max(1, -(-count // most))


def test_a_probe_asks_in_no_small_rests():
    """Below a dozen rows a product rounds otherwise: only where no more are asked."""
    found = {}
    for batch_size in (32, 50, 256):
        model = Slow()
        asked(model, n_directions=8, batch_size=batch_size)
        found[batch_size] = {size for size in model.sizes if size < 12}
    assert found[32] == found[50] == found[256]
