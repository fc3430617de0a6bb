"""Noise of a deployed defence: its law, what cannot be read off it, where it lies."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from querytax.defenses import FeatureNoise, InputNoise, OutputNoise, defend, fresh

MILLION = 10**6


@pytest.fixture(params=["compiled", "float32", "float64"])
def way(request, monkeypatch):
    """How draws are made: many at once, in float32, by compiled code."""
    few = 0 if request.param == "compiled" else 2 * MILLION
    monkeypatch.setattr(fresh, "_MANY", few)
    return request.param


def kind_of(way):
    return np.float64 if way == "float64" else np.float32


def test_draws_are_standard_normal(way):
    """False alarm 1e-6 each; sees 0.003 in the distribution, 0.006 in the variance."""
    z = fresh.normals(MILLION, kind_of(way))
    assert z.dtype == kind_of(way)
    assert z.shape == (MILLION,)
    half = fresh._CHUNK // (8 if way == "compiled" else z.itemsize) // 2
    z = z.astype(np.float64)
    assert scipy.stats.kstest(z, "norm").pvalue > 1e-6
    assert abs(z.mean()) < 5 / math.sqrt(MILLION)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / MILLION)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / MILLION)
    # Of one radius and angle, and neighbours.
    for lag in (1, half):
        for f in (np.array, np.square):
            a, b = f(z[:-lag]), f(z[lag:])
            assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(MILLION)


def test_the_tail_ends_where_it_is_said(way, monkeypatch):
    kind = kind_of(way)
    end = math.sqrt((64 if kind == np.float32 else 108) * math.log(2))
    most = 0.0
    for word in (0, -1, 1, 2**30, -(2**30)):
        monkeypatch.setattr(fresh, "_words", lambda n, d, w=word: np.full(n, w, d))
        z = fresh.normals(10, kind)
        assert np.isfinite(z).all()
        most = max(most, float(np.abs(z).max()))
    assert most == pytest.approx(end, rel=1e-3)


@pytest.mark.parametrize("count", [0, 1, 2, 7, fresh._CHUNK // 4, fresh._CHUNK + 3])
def test_any_number_of_draws(count, way):
    z = fresh.normals(count, kind_of(way))
    assert z.shape == (count,)
    assert len(np.unique(z)) >= count * 0.99


def test_compiled_code_makes_the_same_of_the_same_bits(monkeypatch):
    """Random words, and those at which it turns, takes a logarithm of 1, or ends."""
    corners = [
        0,
        1,
        -1,
        *(s * 2**k + d for k in (29, 30) for s in (1, -1) for d in (-1, 0, 1)),
    ]
    corners += [3 * 2**29, -3 * 2**29, 2**31 - 1, -(2**31), -(2**31) + 1]
    pairs = np.array([(a, b) for a in corners for b in corners]).T
    many = np.frombuffer(os.urandom(8 * MILLION), np.int32).reshape(2, -1)
    words = np.concatenate([pairs, many], axis=1).astype(np.int32)
    count = words.shape[1]
    given = iter([*words, words.ravel()])
    monkeypatch.setattr(fresh, "_words", lambda n, kind: next(given))
    plain, quick = np.empty((2, 2 * count), np.float32)
    fresh._narrow(plain)
    fresh._compiled()(quick)
    # Exactly, from the words of either.
    u = (words[0] & 0x7FFFFFFF).astype(np.float32) * np.float32(2.0**-31)
    u = (u + np.float32(2.0**-32)).astype(np.float64)
    turn = words[1] * (math.pi * 2.0**-31)
    exact = np.sqrt(-2 * np.log(u)) * np.stack([np.cos(turn), np.sin(turn)])
    for made in (plain, quick):
        assert np.abs(made - exact.ravel()).max() < 2e-6


def test_who_wants_no_compiler_has_none(monkeypatch):
    from numba.core import config

    fresh._compiled.cache_clear()
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    try:
        assert fresh._compiled() is None
        assert fresh.normals(fresh._MANY, np.float32).std() > 0.9
    finally:
        fresh._compiled.cache_clear()


def test_small_images_load_no_compiler():
    """It takes half a second; whole photographs are worth that."""
    code = (
        "import sys, torch; from querytax.defenses import defend; "
        "ask = defend(torch.nn.Flatten(), 'input+output:logits', 0.1); "
        "ask(torch.rand({0}, 3, 32, 32)); print('numba' in sys.modules)"
    )
    for rows, loaded in ((20, "False"), (64, "True")):
        words = [sys.executable, "-c", code.format(rows)]
        said = subprocess.run(words, capture_output=True, text=True, check=True)
        assert said.stdout.strip() == loaded


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3,), (2000,), (200, 300)])
def test_noise_is_added_in_the_values_own_type(kind, shape):
    value = torch.full((50, *shape), 2.0, dtype=kind)
    for inside in (False, True):
        noisy = fresh.add_noise(value, 0.25, inside=inside)
        assert noisy.dtype == kind
        off = noisy.double() - 2
        n = off.numel()
        assert abs(float(off.mean())) < 5 * 0.25 / math.sqrt(n) + 0.01 * (
            kind == torch.bfloat16
        )
        assert abs(float(off.var()) / 0.0625 - 1) < 5 * math.sqrt(2 / n) + 0.01


@pytest.mark.parametrize("sigma", [5e-324, 1e-200, 1e-30, 1e-3, 1e30, 1e200])
def test_no_level_of_noise_spoils_a_finite_value(sigma):
    for value in (0.0, 1.0, -1e5):
        said = fresh.add_noise(torch.full((4, 3), value, dtype=torch.float64), sigma)
        assert said.isfinite().all()
        if sigma < 1e-20:
            assert torch.allclose(said, torch.tensor(value, dtype=torch.float64))


def reachable(y: Tensor, sigma: float, of: torch.dtype) -> Tensor:
    """Whether some float z gives fl(sigma z) = y."""
    near = (y.double() / sigma).to(of)
    found = torch.zeros_like(y, dtype=torch.bool)
    for way in (-torch.inf, torch.inf):
        z = near
        for _ in range(3):
            found |= z * sigma == y
            z = torch.nextafter(z, torch.tensor(way, dtype=of))
    return found


class Zero(nn.Module):
    """Logits of 0 in a type."""

    def __init__(self, kind: torch.dtype) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.zeros(len(x), 10, dtype=self.kind))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("site", ["output:logits", "layer"])
def test_an_answers_last_bits_do_not_tell_the_exact_value(site, kind):
    """Noise with the gaps of its own type shows which value it was added to."""
    sigma, x = 0.3, torch.zeros(20_000, 1)
    kept = defend(Zero(kind), site, sigma, experiment_seed=0)(x)
    # Every answer is one that the value 0 can give, and no other value always can.
    assert reachable(kept, sigma, kind).all()
    said = defend(Zero(kind), site, sigma)(x)
    share = float(reachable(said, sigma, kind).double().mean())
    assert share < 0.98
    if kind == torch.float64:
        grid = 2.0 ** (math.frexp(sigma)[1] - 21)
        assert torch.equal((said / grid).round() * grid, said)


def test_nothing_is_drawn_twice_and_nothing_is_kept():
    defence = InputNoise(nn.Flatten(), 1.0)
    x = torch.zeros(1, 7)
    said = torch.cat([defence(x) for _ in range(5000)])
    assert len(said.unique()) > 0.99 * said.numel()
    # Memory of the stock would hold the noise that comes next.
    for answer in (
        defence(x),
        fresh.add_noise(x, 0.1),
        fresh.add_noise(x, 0.1, inside=True),
    ):
        storage = answer.untyped_storage().nbytes()
        assert storage == answer.numel() * answer.element_size()
    taken = []
    take = fresh._stock.take

    def watched(*args):
        taken.append(take(*args))
        assert taken[-1].any()
        return taken[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fresh._stock, "take", watched)
        defence(x)
    assert not taken[0].any()


def test_the_stock_is_of_few_shapes():
    for n in range(1, 200):
        fresh.add_noise(torch.zeros(n, 2), 0.1)
    assert len(fresh._stock.ready) <= fresh._SHAPES


def test_noise_made_in_inference_mode_serves_outside_of_it():
    x = torch.zeros(1, 3, 5, 7)
    with torch.inference_mode():
        fresh.add_noise(x, 1.0)
    y = x.clone().requires_grad_()
    for value in (y, y.double(), torch.zeros(1, 40, 60, 70, requires_grad=True)):
        value.retain_grad()
        fresh.add_noise(value, 1.0).sum().backward()
        assert torch.equal(value.grad, torch.ones_like(value))


def test_a_fork_that_python_was_not_told_of(monkeypatch):
    fresh.add_noise(torch.zeros(1, 4), 1.0)
    before = fresh._stock.ready
    real = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: real + 1)
    fresh.add_noise(torch.zeros(1, 4), 1.0)
    assert fresh._stock.ready is not before


@pytest.mark.parametrize("site", ["input", "stem", "output", "input+stem+output"])
def test_threads_that_serve_one_model(model, images, site):
    defence = defend(model, site, 0.3)
    answers: list[Tensor] = []
    errors: list[Exception] = []

    def work():
        try:
            answers.extend(defence(images[:2]) for _ in range(50))
        except Exception as error:
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
    assert defence.n_queries == 400
    assert len(torch.cat(answers).unique(dim=0)) == 400
    # What the clean model answers is answered to nobody.
    assert not (torch.stack(answers) == model(images[:2])).all(-1).any()


def test_keys_are_no_way_to_ask_twice(model, images):
    keys = torch.zeros(7, dtype=torch.int64), torch.arange(7)
    for defence in (
        InputNoise(model, 0.3),
        FeatureNoise(model, 0.3, "stem"),
        OutputNoise(model, 0.3, form="raw"),
    ):
        assert (defence(images, *keys) != defence(images, *keys)).all()
        defence.reset()
        assert (defence(images) != defence(images)).all()
        assert defence.n_queries == 14


def test_an_experiment_inside_a_deployed_defence_counts_for_itself(model, images):
    inner = InputNoise(model, 0.3, experiment_seed=0)
    outer = OutputNoise(inner, 0.0)
    first, second = outer(images), outer(images)
    assert (first != second).all()
    inner.reset()
    assert torch.equal(outer(images), first)


def test_torchs_generator_is_left_alone(model, images):
    state = torch.random.get_rng_state()
    old = np.random.get_state()[1].copy()  # noqa: NPY002
    defend(model, "input+output", 0.3)(images)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (np.random.get_state()[1] == old).all()  # noqa: NPY002
