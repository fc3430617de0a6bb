"""The demo's network and some of its images, and models that lie beside the tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shown():
    """Images and labels that an audit is given."""
    from querytax import demo

    return tuple(part[:128] for part in demo.digits().probe)


@pytest.fixture
def few_generators(monkeypatch):
    """Fewer seeds to try: to try them all takes a second of each audit."""
    from querytax.audits import generators

    monkeypatch.setattr(generators, "_WRITTEN", 12)
    monkeypatch.setattr(generators, "_RECENT", 2)
