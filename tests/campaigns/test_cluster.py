"""A Dask cluster of this machine's own: workers that join, die and are refused."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from tiny_network import PLAN, planned

from querytax.campaigns import Record, export, read_plan, run, select, worker
from querytax.campaigns.jobs import all_jobs
from querytax.campaigns.laboratory import Laboratory
from querytax.campaigns.resolving import resolved

pytest.importorskip("distributed")

RUN = (
    "import sys; from querytax.campaigns import run; "
    "print(run(sys.argv[1], sys.argv[2], scheduler=sys.argv[3], verbose=True).done)"
)
OLD = "import querytax; querytax.__version__ = '0.0.9'"


def exported(store):
    with Record(store) as record:
        export(select(record), f"{store}.csv")
    with open(f"{store}.csv", "rb") as stream:
        return stream.read()


class Dask:
    """A scheduler and its workers, each a process."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self._start("scheduler", "--port", str(port), "--host", "127.0.0.1")

    def _start(self, kind, *words, **env):
        # Files, and no pipes that would fill.
        log = open(self.folder / f"{kind}{len(self.processes)}.log", "w")  # noqa: SIM115
        module = f"distributed.cli.dask_{kind}"
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words, "--no-dashboard"],
            stdout=log,
            stderr=log,
            env={**os.environ, **env},
            cwd=self.folder,
        )
        log.close()
        self.processes.append(process)
        return process

    def worker(self, *words, **env):
        return self._start(
            "worker", self.address, "--nthreads", "2", "--no-nanny", *words, **env
        )

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def dask(folder):
    cluster = Dask(folder)
    with contextlib.closing(cluster):
        yield cluster


def begin(plan, store, address):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(plan), store, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(store, jobs):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if os.path.exists(store):
            with Record(store) as record:
                if len(record.pages("tiny")) >= jobs:
                    return
        time.sleep(0.05)
    raise AssertionError("nothing happens")


def test_workers_that_die_and_join_change_no_byte(folder, dask):
    plan = planned(folder, PLAN.replace(":load", ":slow"))
    first, _ = dask.worker(), dask.worker()
    running = begin(plan, "s.db", dask.address)
    wait_for("s.db", 5)
    first.send_signal(signal.SIGKILL)
    second = dask.worker()
    wait_for("s.db", 20)
    second.send_signal(signal.SIGKILL)
    dask.worker()
    out, err = running.communicate(timeout=240)
    assert running.returncode == 0, err
    assert out.strip() == "60"
    assert run(plan, "alone.db").whole
    assert exported("s.db") == exported("alone.db")


def test_workers_with_another_package_or_network_are_refused(folder, dask):
    plan = planned(folder)
    (folder / "old.py").write_text(OLD)
    dask.worker("--preload", "old.py")
    dask.worker(TINY_SEED="5")
    running = begin(plan, "s.db", dask.address)
    out, err = running.communicate(timeout=240)
    # Nobody is left: that is an error, and the store is sound.
    assert running.returncode == 1
    last = err.strip().splitlines()[-1]
    assert "expected a worker of tcp://" in last
    assert "2 refused" in last
    assert "expected querytax 0.1.0, got 0.0.9" in err
    assert "expected the network 'mine' and its images to have the digest" in err
    dask.worker()
    running = begin(plan, "s.db", dask.address)
    out, err = running.communicate(timeout=240)
    assert running.returncode == 0, err
    assert out.strip() == "60"
    assert len([s for s in err.splitlines() if s.startswith("refused tcp")]) == 2
    assert run(plan, "alone.db").whole
    assert exported("s.db") == exported("alone.db")


def test_a_worker_that_rounds_otherwise_is_told_of(folder, monkeypatch):
    monkeypatch.setattr(worker, "_KNOWN", {})
    laboratory = Laboratory(read_plan(planned(folder)))
    resolved(laboratory)
    order = worker.Order.of(laboratory)
    assert worker.greet(order) == ""
    monkeypatch.setenv("TINY_ROUNDING", "1e-13")
    assert "rounds otherwise" in worker.greet(order)
    job = next(all_jobs(laboratory.campaign))
    assert len(worker.work(order.name, job).rows) == 2
    with pytest.raises(worker.Stranger):
        worker.work("another", job)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "absent.invalid:9", "nonsense", "tcp://"]
)
def test_a_cluster_that_does_not_answer_is_one_line(folder, address):
    code = (
        "import sys, querytax.campaigns.cluster as c; c._PATIENCE = 1.0; "
        "from querytax.cli import main; main()"
    )
    words = ["campaign", "run", str(planned(folder)), "--scheduler", address]
    out = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True
    )
    assert out.returncode == 2
    assert out.stdout == ""
    (line,) = out.stderr.strip().splitlines()
    assert "scheduler" in line
    assert address in line
