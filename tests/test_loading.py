"""Models and data by name: what loads, and one line for what does not."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from querytax.evidence import Contender
from querytax.expect import DomainError
from querytax.files import writable
from querytax.loading import load_attack, load_data, load_model
from querytax.recommend import recommend_sigma
from querytax.recommend.portfolio import tuned

SOURCE = """
import torch
NUMBER = 3
MODEL = torch.nn.Linear(4, 2)
def load(): return torch.nn.Linear(4, 2)
def plain(): return lambda x: x
def nothing(): return None
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of its own name, in the current folder."""
    name = f"their_model_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


def test_a_function_that_returns_a_model_a_class_and_a_model(module):
    assert isinstance(load_model(f"{module}:load"), torch.nn.Linear)
    assert isinstance(load_model(f"{module}:MODEL"), torch.nn.Linear)
    assert load_model(f"{module}:plain")(3) == 3
    assert isinstance(load_model("torch.nn:Identity"), torch.nn.Identity)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nocolon", "expected model as package.module:function, got 'nocolon'"),
        (":f", "expected model as package.module:function"),
        ("m:", "expected model as package.module:function"),
        ("no_such_module:f", "model to be importable, got 'no_such_module:f': No mod"),
        (".relative:f", "model to be importable, got '.relative:f'"),
        ("{module}:absent", "has no attribute 'absent'"),
        ("{module}:NUMBER", "expected '{module}:NUMBER' to be a function, got 3"),
        ("{module}:nothing", "expected '{module}:nothing' to return a model, got None"),
    ],
)
def test_a_bad_name_is_one_line(module, name, says):
    with pytest.raises(DomainError) as caught:
        load_model(name.format(module=module))
    assert says.format(module=module) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["gpu", "nonsense:9", "cuda:99"])
def test_a_device_that_is_not_there(module, device):
    with pytest.raises(DomainError, match=f"device to be available, got '{device}'"):
        load_model(f"{module}:load", device)


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "d.npz", **arrays)
    return str(tmp_path / "d.npz")


def test_floats_as_they_are_and_bytes_channels_last(tmp_path):
    x = np.random.default_rng(0).random((5, 3, 4, 4))
    images, labels = load_data(saved(tmp_path, x=x, y=np.arange(5, dtype=np.int8)))
    assert images.dtype == torch.float32
    np.testing.assert_array_equal(images.numpy(), x.astype(np.float32))
    assert labels.tolist() == [0, 1, 2, 3, 4]
    assert labels.dtype == torch.int64
    raw = (x * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    images, _ = load_data(saved(tmp_path, x=raw, y=np.arange(5)))
    assert images.shape == (5, 3, 4, 4)
    assert images.max() <= 1.0
    np.testing.assert_allclose(images.numpy(), x, atol=1 / 255)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.zeros(3)}, "expected arrays x and y in .*, got x"),
        (
            {"x": np.zeros(3), "y": np.array([0.5, 1, 2])},
            "labels to be 3 whole numbers, one an image, got torch.float64 .*in '",
        ),
        (
            {"x": np.zeros(3), "y": np.array(["a"] * 3)},
            "labels to be 3 whole numbers, one an image, got words .*in '",
        ),
        (
            {"x": np.array(["a"]), "y": np.zeros(1, int)},
            "images to be numbers, got <U1 .*in '",
        ),
        ({"x": np.array([None]), "y": np.zeros(1, int)}, "d.npz': not plain arrays"),
    ],
)
def test_arrays_of_the_wrong_kind(tmp_path, arrays, says):
    with pytest.raises(DomainError, match=says) as caught:
        load_data(saved(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


def test_files_that_hold_no_arrays(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_text("hello")
    path = saved(tmp_path, x=np.zeros(100), y=np.zeros(100, int))
    raw = Path(path).read_bytes()
    (tmp_path / "half.npz").write_bytes(raw[: len(raw) // 2])
    (tmp_path / "hurt.npz").write_bytes(raw[:200] + b"????" + raw[204:])
    with pytest.raises(
        DomainError, match=r"labels with .*one.npy', got none: name both"
    ):
        load_data(str(tmp_path / "one.npy"))
    for name in ("empty.npz", "text.npz", "half.npz", "hurt.npz"):
        with pytest.raises(DomainError, match=r"to be a readable \.npz") as caught:
            load_data(str(tmp_path / name))
        assert name in str(caught.value)
    with pytest.raises(DomainError, match="No such file"):
        load_data(str(tmp_path / "absent.npz"))
    with pytest.raises(DomainError, match=r"a folder a class, or labels\.csv"):
        load_data(str(tmp_path))


def test_writable_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writable("out.npz")
    writable(str(tmp_path / "out.npz"))
    assert os.listdir(tmp_path) == []
    with pytest.raises(DomainError, match=r"absent/out\.npz': No such file"):
        writable("absent/out.npz")
    with pytest.raises(DomainError, match="Is a directory"):
        writable(str(tmp_path))


def test_bytes_in_another_layout(tmp_path):
    raw = np.full((2, 1, 8, 8), 51, np.uint8)
    images, _ = load_data(saved(tmp_path, x=raw, y=np.arange(2)))
    assert images.shape == (2, 1, 8, 8)
    torch.testing.assert_close(images, torch.full_like(images, 0.2))
    raw = np.full((2, 5, 8, 8), 51, np.uint8)
    with pytest.raises(
        DomainError, match=r"got \(2, 5, 8, 8\): give layout as NCHW or"
    ):
        load_data(saved(tmp_path, x=raw, y=np.arange(2)))


def test_the_attack_of_a_recommendation_is_read_from_its_file(tmp_path, demo_stats):
    rec = recommend_sigma(demo_stats, 1e4, site="input", max_accuracy_loss=0.01)
    path = tmp_path / "rec.json"
    for shown in (Contender("square", "adaptive", (("p", 0.3),)), None):
        named = dataclasses.replace(rec, attack=shown)
        path.write_text(json.dumps({"recommendations": [named.to_json()]}))
        found = load_attack(str(path))
        wanted = shown or tuned(rec.plan)
        assert (found["attack"], found["recipe"]) == (wanted.attack, wanted.recipe)
        both = {"eps": rec.plan.eps, "norm": rec.plan.norm}
        assert found["settings"] == {**both, **dict(wanted.changes)}
        assert (found["site"], found["sigma"]) == (rec.site, rec.sigma)
        assert (found["access"], found["n_queries"]) == ("scores", 10_000)


@pytest.mark.parametrize(
    "text", ["{}", '{"recommendations": []}', '{"recommendations": [{"plan": 1}]}', "["]
)
def test_a_file_without_a_recommendation_is_named(tmp_path, text):
    path = tmp_path / "rec.json"
    path.write_text(text)
    with pytest.raises(DomainError, match="expected plan to be the JSON of recommend"):
        load_attack(str(path))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"plan": {"eps": 8}}, r"expected eps <= 1 for Linf, .* got 8; do you mean 8/"),
        ({"plan": {"norm": "L7"}}, r"expected norm to be one of .*got 'L7'"),
        ({"plan": {"pairs": 0}}, "expected pairs a whole number >= 1"),
    ],
)
def test_a_plan_file_says_what_is_wrong_in_it(change, says, demo_stats, tmp_path):
    told = recommend_sigma(demo_stats, 1e4, site="input").to_json()
    told["plan"].update(change["plan"])
    path = tmp_path / "rec.json"
    path.write_text(json.dumps({"recommendations": [told]}))
    with pytest.raises(DomainError, match=says) as caught:
        load_attack(str(path))
    assert "no recommendation in it" not in str(caught.value)
    assert "\n" not in str(caught.value)
