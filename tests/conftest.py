"""One thread for all, a cache of our own, and the demo network measured once."""

from __future__ import annotations

import os
import signal

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def interrupts_are_heard():
    """A run in the background begins deaf to Ctrl-C, and so would what it starts."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def one_thread_for_all():
    """Tensors here are tiny: on a busy machine threads would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def cache_of_our_own(tmp_path_factory):
    """The demo network is trained once a session, and nobody's cache is touched."""
    before = os.environ.get("QUERYTAX_CACHE")
    folder = tmp_path_factory.mktemp("cache")
    os.environ["QUERYTAX_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["QUERYTAX_CACHE"]
    else:
        os.environ["QUERYTAX_CACHE"] = before


@pytest.fixture(scope="session")
def demo_model(cache_of_our_own):
    """The demo network."""
    from querytax import demo

    return demo.load_model()


@pytest.fixture(scope="session")
def demo_stats(demo_model):
    """Statistics of the demo network, cheaply: few images, directions and levels."""
    from querytax import demo
    from querytax.probes import probe

    x, y = (part[:60] for part in demo.digits().probe)
    return probe(
        demo_model,
        x,
        y,
        sites=["output", "input"],
        eps=demo.PLAN.eps,
        betas=(1e-3, 0.01, 0.1, 0.4),
        sigmas={"output": (1e-4, 1e-3, 0.03, 0.3), "input": (0.01, 0.1, 0.4)},
        n_probe=10,
        n_directions=6,
        rng=0,
    )


@pytest.fixture(scope="session")
def demo_file(demo_stats, tmp_path_factory):
    """The same in a file."""
    path = tmp_path_factory.mktemp("demo") / "stats.npz"
    demo_stats.save(path)
    return path
