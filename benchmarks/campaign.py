"""What a campaign costs beside its attacks, and what it keeps when it is killed.

Run with ``python benchmarks/campaign.py [MEASURE]...``, all of them without a name:

- ``overhead``: 100 jobs of 50 ms on two workers, against 2.5 s.
- ``outcomes``: a million stored outcomes, filtered and summarised.
- ``resume``: from the call to the first job of a campaign of 10,000 jobs, half done.
- ``kills``: 100 SIGKILLs spread over a campaign: jobs that are lost, and whether the
  export has the bytes of an undisturbed run.
- ``rows``: rows a second in a campaign over those of the frozen network in two
  processes, in full batches.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax import demo
from querytax.campaigns import Record, export, run, select, standing, summary
from querytax.campaigns import running as room
from querytax.campaigns.jobs import Job, all_jobs
from querytax.campaigns.laboratory import Laboratory
from querytax.campaigns.outcomes import STATUSES, Page
from querytax.campaigns.plan import Attackers, Campaign, Defended, Field, Network
from querytax.campaigns.record import Done
from querytax.evidence import Contender
from querytax.trials.store import ImageRow, RunKey

DEMO = Network("demo", "demo")
SEED = 20261201


def two_attacks(**changes: Any) -> Campaign:
    """Attacks on the digits, behind noise at the input."""
    usual: dict[str, Any] = {
        "name": "benchmark",
        "images": 20,
        "block": 4,
        "eps": (0.3,),
        "n_queries": (60,),
        "networks": (DEMO,),
        "attacks": (Attackers(("square", "rays")),),
        "defences": (Defended("input", (0.05,)),),
    }
    return Campaign(**{**usual, **changes})


@contextlib.contextmanager
def patched(place: Any, name: str, value: Any) -> Iterator[None]:
    """A name that stands for something else while the block runs."""
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


def overhead(folder: Path) -> None:
    """The scheduler, the pipes and the store, beside jobs that only wait."""
    rows = [
        ImageRow(f"{i:032x}", i, 60, 40, 50, "broken", clean=20, clean_need=29)
        for i in range(4)
    ]
    took, used = [], []

    def sleep(self: Laboratory, job: Job) -> list[ImageRow]:
        time.sleep(0.05)
        return rows

    def timed(*given: Any) -> None:
        begin, at = time.perf_counter(), _spent()
        before(*given)
        took.append(time.perf_counter() - begin)
        used.append(at)

    before = room.dispatch
    # 5 blocks, 10 seeds, 2 attacks.
    plan = two_attacks(seeds=tuple(range(10)))
    with patched(Laboratory, "perform", sleep), patched(room, "dispatch", timed):
        for i in range(9):
            found = run(plan, folder / f"overhead{i}.db", jobs=2)
            assert found.done == 100
            # The workers have ended by now, and are counted.
            used[-1] = _spent() - used[-1]
    over = [100 * (t / 2.5 - 1) for t in took]
    print(
        "overhead of 100 jobs of 50 ms on two workers, their start included: "
        f"{statistics.median(over):.2f} % ({min(over):.2f} to {max(over):.2f}); "
        f"processor time of all processes {10 * statistics.median(used):.2f} ms a job"
    )


def _spent() -> float:
    """Seconds of processor time, of this process and of those that have ended."""
    at = os.times()
    return at.user + at.system + at.children_user + at.children_system


def outcomes(folder: Path) -> None:
    """1,000 trials of 1,000 images, in blocks of 50."""
    contenders = [Contender(f"attack{i}") for i in range(20)]
    strengths = tuple(0.01 * (i + 1) for i in range(5))
    plan = dataclasses.replace(
        two_attacks(images=1000, block=50, n_queries=(100, 1000)),
        defences=(Defended("input", strengths),),
        seeds=tuple(range(10)),
        fields=(Field("demo", "input", tuple(contenders)),),
    )
    jobs = list(all_jobs(plan))
    draws = np.random.default_rng(SEED)
    path = folder / "outcomes.db"
    with Record(path) as record:
        names = {"demo": [(f"{i:032x}", i) for i in range(1000)]}
        keys = [f"{place:032x}" for place in range(len(jobs))]
        record.begin(plan, names, keys)
        empty = RunKey(*"nsas"[:2], 0.1, *"ars", 0.1, "Linf", "scores", 9, 0)
        with record._writing():
            for place in range(len(jobs)):
                table = np.zeros((50, 11), "<i8")
                at = draws.integers(1, 1500, 50)
                fell = at <= 1000
                table[:, 0] = np.where(fell, STATUSES.index("broken"), 0)
                table[:, 1] = table[:, 2] = np.minimum(at, 1000)
                table[:, 3:] = np.where(fell, at, 0)[:, None]
                done = Done(place, Page(table.tobytes()), 1.0)
                record.done(plan.name, keys[place], done, empty, [])
    share(100)  # What is imported when it is first used.
    for title, only in (
        ("one of 20 attacks", {"attack": ["attack7"]}),
        ("all", {}),
    ):
        took = []
        for _ in range(3):
            begin = time.perf_counter()
            with Record(path) as record:
                found = summary(select(record, "", only))
                groups = [group.to_json() for group in found]
            took.append(time.perf_counter() - begin)
        count = sum(group["images"] for group in groups) // 2
        print(
            f"a million outcomes, {title}: {count:,} in {len(groups)} groups, "
            f"{statistics.median(took):.2f} s"
        )


def share(n: int) -> None:
    from querytax.counts import QueryCount

    QueryCount(np.arange(n), np.ones(n, bool)).to_json()


def resume(folder: Path) -> None:
    """All is imported; the network is loaded, the plan checked, jobs compared."""

    def short(self: Laboratory, job: Job) -> list[ImageRow]:
        names = self.names(job.network)[job.first : job.first + job.images]
        return [ImageRow(*name, 60, 40, 50, "broken") for name in names]

    class Begun(BaseException):
        pass

    def stop(self: Laboratory, job: Job) -> list[ImageRow]:
        raise Begun

    plan = two_attacks(images=200, block=10, seeds=tuple(range(250)))
    path = folder / "resume.db"
    kept = room._Jobs.done

    def half(self: Any, place: int, what: Any) -> None:
        kept(self, place, what)
        if len(self._there) >= 5000:
            raise Begun

    with (
        patched(Laboratory, "perform", short),
        patched(room._Jobs, "done", half),
        patched(room, "may_fork", lambda _: False),
        contextlib.suppress(Begun),
    ):
        run(plan, path)
    took = []
    with (
        patched(Laboratory, "perform", stop),
        patched(room, "may_fork", lambda _: False),
    ):
        for _ in range(3):
            begin = time.perf_counter()
            with contextlib.suppress(Begun):
                run(plan, path)
            took.append(time.perf_counter() - begin)
    with Record(path) as record:
        found = standing(record)
    print(
        f"first job of a campaign of {found.jobs:,} jobs, {found.done:,} done: "
        f"{statistics.median(took):.2f} s after the call; importing took "
        f"{_importing():.1f} s of the processor"
    )


def kills(folder: Path, times: int = 100) -> None:
    """The campaign in a process of its own, killed with its workers or without them."""
    plan = two_attacks(images=40, block=2, seeds=tuple(range(20)))
    whole = folder / "whole.db"
    begin = time.perf_counter()
    run(plan, whole, jobs=2)
    alone = time.perf_counter() - begin
    path = folder / "killed.db"
    chance = random.Random(SEED)
    done, lost, died, work = 0, 0, 0, 0.0
    context = multiprocessing.get_context("fork")
    while True:
        process = context.Process(target=_run_apart, args=(plan, path))
        process.start()
        # Late enough to get somewhere on average: about 1/100 of the jobs a life.
        wait = chance.uniform(0.0, 2.0 * alone / times + START)
        process.join(wait if died < times else None)
        if process.exitcode is None:
            assert process.pid is not None
            if chance.random() < 0.5:
                os.kill(process.pid, signal.SIGKILL)
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
            died += 1
        elif died >= times or process.exitcode == 0:
            break
        work += wait
        with Record(path) as record:
            there = len(record.pages(plan.name)) if plan.name in record.names() else 0
        lost += max(0, done - there)
        done = max(done, there)
    told = []
    for each in (whole, path):
        with Record(each) as record:
            out = folder / f"{each.stem}.csv"
            export(select(record), out)
            told.append(out.read_bytes())
    differing = sum(a != b for a, b in itertools.zip_longest(*told))
    print(
        f"{died} SIGKILLs over {len(list(all_jobs_of(whole)))} jobs: {lost} jobs lost, "
        f"{differing} bytes of {len(told[0]):,} differ"
    )


def _importing() -> float:
    """Seconds of the processor that a fresh process takes to import what it needs."""
    code = (
        "import time, querytax.campaigns.running, querytax.demo, querytax.loading, "
        "sklearn.datasets; print(time.process_time())"
    )
    return float(subprocess.check_output([sys.executable, "-c", code]))


# Seconds that a process takes to its first job, about, once all is imported.
START = 0.35


def all_jobs_of(path: Path) -> Iterator[Job]:
    with Record(path) as record:
        campaign, _ = record.campaign()
    return all_jobs(campaign)


def _run_apart(plan: Campaign, path: Path) -> None:
    # A group of its own, so that its workers can be killed with it.
    os.setpgid(0, 0)
    multiprocessing.current_process().daemon = False
    run(plan, path, jobs=2)


def rows(folder: Path) -> None:
    """Two jobs at once that fill batches, by the clock and by the processors' time."""
    x, y = cifar()
    np.savez(folder / "cifar.npz", x=x, y=y)
    other = Network("net", "campaign:resnet20", str(folder / "cifar.npz"))
    for name, network, shape, images, eps, queries in (
        ("digits CNN", DEMO, (1, 8, 8), 256, 0.001, 400),
        ("ResNet-20 on 32x32x3", other, (3, 32, 32), 256, 1e-5, 40),
    ):
        model = demo.load_model() if network is DEMO else resnet20()
        for attack in ("square", "nes"):
            # A budget that hardly any image breaks in, so that batches stay full.
            plan = two_attacks(
                images=images,
                block=images,
                seeds=(0, 1),
                eps=(eps,),
                n_queries=(queries,),
                networks=(network,),
                attacks=(Attackers((attack,)),),
                defences=(),
            )
            path = folder / f"{network.name}-{attack}.db"
            bare = _beside(model, shape)
            spans: list[float] = []
            begin = os.times()
            with patched(room, "dispatch", _timed(room.dispatch, spans)):
                run(plan, path, jobs=2)
            end = os.times()
            cpu = end.children_user + end.children_system
            cpu -= begin.children_user + begin.children_system
            with Record(path) as record:
                known = [record.rows(key).values() for key in record.runs()]
            asked = sum(row.asked for each in known for row in each)
            clock, processor = asked / spans[0], asked / cpu
            print(
                f"{name}, {attack}: rows a second in a campaign over the network's, "
                f"by the clock {clock:,.0f} / {bare[0]:,.0f} = {clock / bare[0]:.2f}, "
                f"of a processor {processor:,.0f} / {bare[1]:,.0f} = "
                f"{processor / bare[1]:.2f}"
            )


def _timed(work: Callable[..., None], spans: list[float]) -> Callable[..., None]:
    def timed(*given: Any) -> None:
        begin = time.perf_counter()
        work(*given)
        spans.append(time.perf_counter() - begin)

    return timed


def _beside(model: nn.Module, shape: tuple[int, ...]) -> tuple[float, float]:
    """Rows a second of two processes at once, and of one processor's time."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    both = [context.Process(target=_bare, args=(model, shape, there)) for _ in range(2)]
    for process in both:
        process.start()
    rates = [here.recv() for _ in both]
    for process in both:
        process.join()
    return sum(rate for rate, _ in rates), statistics.mean(rate for _, rate in rates)


def _bare(model: nn.Module, shape: tuple[int, ...], told: Any) -> None:
    torch.set_num_threads(1)
    torch.empty(31 << 20, dtype=torch.uint8)
    x, count = torch.rand(256, *shape), 0
    with torch.no_grad():
        model(x)
        clock, processor = time.perf_counter(), time.process_time()
        while time.perf_counter() - clock < 5.0:
            model(x)
            count += len(x)
    told.send(
        (
            count / (time.perf_counter() - clock),
            count / (time.process_time() - processor),
        )
    )


def resnet20() -> nn.Module:
    """A network of the zoo; without the data folder the same network, untrained."""
    from querytax.reproductions import zoo

    name = "cifar10_resnet20"
    if not zoo.missing([name]):
        return zoo.load(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return zoo.NETWORKS[name].make().eval()


def cifar() -> tuple[np.ndarray, np.ndarray]:
    """Images that the network gets right by definition: its answers are the labels."""
    draws = torch.Generator().manual_seed(0)
    x: Tensor = torch.rand(256, 3, 32, 32, generator=draws)
    with torch.no_grad():
        y = resnet20()(x).argmax(1)
    return x.numpy(), y.numpy()


MEASURES = {
    "overhead": overhead,
    "outcomes": outcomes,
    "resume": resume,
    "kills": kills,
    "rows": rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measures", nargs="*", choices=[*MEASURES, []])
    names = parser.parse_args().measures or list(MEASURES)
    # Workers import networks of this file by name.
    sys.path.insert(0, str(Path(__file__).parent))
    torch.set_num_threads(1)
    demo.load_model()
    for name in names:
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as folder:
            MEASURES[name](Path(folder))
        print(f"  (load {load:.1f} before, {os.getloadavg()[0]:.1f} after)", flush=True)


if __name__ == "__main__":
    main()
