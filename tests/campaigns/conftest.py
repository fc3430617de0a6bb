"""A folder with a plan, its data, and the network on the path."""

import os

import pytest
import tiny_network


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # For processes that are started from here.
    paths = [str(tiny_network.HERE), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    tiny_network.data(tmp_path / "tiny.npz")
    return tmp_path
