"""A statistics file, and a folder with a model and data."""

import sys

import numpy as np
import pytest
from shell import LOSS
from synthetic_statistics import synthetic

MODEL = """
import torch

def load():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))

def interrupted():
    raise KeyboardInterrupt
"""


@pytest.fixture(scope="session")
def stats_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("stats") / "stats.npz"
    synthetic(loss=LOSS).save(path)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a model and data, to be stood in."""
    rng = np.random.default_rng(0)
    x = rng.random((12, 1, 4, 4)).astype(np.float32)
    (tmp_path / "tiny_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sys.modules.pop("tiny_model", None)
    import tiny_model
    import torch

    y = tiny_model.load()(torch.from_numpy(x)).argmax(1).numpy()
    np.savez(tmp_path / "val.npz", x=x, y=y)
    yield tmp_path
    sys.modules.pop("tiny_model", None)
