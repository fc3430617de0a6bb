"""The embedded default: the same network each time, good, and cached if it can be."""

import os
import time

import pytest
import torch

from querytax import demo
from querytax.files import cache_folder


def weights(model):
    return [p.detach().clone() for p in model.parameters()]


def same(one, other):
    return all(
        torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True)
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("QUERYTAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def quick(demo_model, monkeypatch):
    """Training that counts itself and takes no time."""
    calls = []

    def train():
        calls.append(1)
        model = demo._network()
        model.load_state_dict(demo_model.state_dict())
        return model.eval()

    monkeypatch.setattr(demo, "train", train)
    return calls


def test_splits_are_disjoint_and_cover_all_digits():
    split = demo.digits()
    parts = [split.train, split.probe, split.held_out]
    assert [len(x) for x, _ in parts] == [len(y) for _, y in parts] == [1197, 300, 300]
    every = torch.cat([x for x, _ in parts])
    assert every.shape == (1797, 1, 8, 8)
    assert every.min() == 0.0
    assert every.max() == 1.0
    # The digits hold no two equal images, so equal rows would be shared ones.
    assert len(torch.unique(every.flatten(1), dim=0)) == 1797
    for _, y in parts:
        assert y.unique().tolist() == list(range(10))
    again = demo.digits()
    assert torch.equal(again.train[0], split.train[0])


def test_training_is_deterministic_bit_for_bit(demo_model):
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    model = demo.train()
    assert same(model, demo_model)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not model.training


def test_accuracy_on_the_600_that_it_has_not_seen(demo_model):
    split = demo.digits()
    with torch.no_grad():
        right = torch.cat(
            [demo_model(x).argmax(1) == y for x, y in (split.probe, split.held_out)]
        )
    assert len(right) == 600
    assert right.double().mean() >= 0.97


def test_the_second_load_is_from_the_cache(cache, quick, demo_model):
    assert same(demo.load_model(), demo_model)
    assert len(quick) == 1
    assert [p.suffix for p in cache.iterdir()] == [".pt"]
    start = time.perf_counter()
    model = demo.load_model()
    assert time.perf_counter() - start < 5
    assert same(model, demo_model)
    assert not model.training
    assert len(quick) == 1


@pytest.mark.parametrize("content", [b"", b"no network", b"PK\x03\x04 half"])
def test_an_unreadable_cache_is_written_again(cache, quick, demo_model, content):
    demo.load_model()
    (file,) = cache.iterdir()
    file.write_bytes(content)
    assert same(demo.load_model(), demo_model)
    assert len(quick) == 2
    demo.load_model()
    assert len(quick) == 2


def test_a_cache_of_another_network_is_not_used(cache, quick, demo_model):
    demo.load_model()
    (file,) = cache.iterdir()
    torch.save(torch.nn.Linear(2, 2).state_dict(), file)
    assert same(demo.load_model(), demo_model)
    assert len(quick) == 2


def test_an_unwritable_cache_is_no_error(tmp_path, monkeypatch, quick, demo_model):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder would be")
    monkeypatch.setenv("QUERYTAX_CACHE", str(blocked))
    assert same(demo.load_model(), demo_model)
    assert blocked.read_text().startswith("a file")
    assert os.listdir(tmp_path) == ["file"]


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("QUERYTAX_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("QUERYTAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "querytax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "querytax"
