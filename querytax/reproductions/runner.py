"""Run a paper's experiments, part by part, and keep what was measured."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from querytax import expect
from querytax.expect import DomainError
from querytax.files import atomic_write
from querytax.papers import PAPERS
from querytax.progress import Progress, progress
from querytax.reproductions import experiment as book
from querytax.reproductions import measured
from querytax.reproductions import verdicts as table
from querytax.reproductions.experiment import Experiment, Job
from querytax.reproductions.judge import Verdict
from querytax.reproductions.measured import Measured
from querytax.seeds import seed_of

__all__ = ["Outcome", "experiments", "reproduce"]

# The rows of each part, by its place.
Done = dict[int, list[Measured]]


@dataclass(frozen=True)
class Outcome:
    """What a reproduction found.

    Attributes
    ----------
    paper, scale, seed
        As asked for.
    folder : Path
        Where the tables, the figures and ``verdicts.csv`` lie.
    verdicts : dict of str to list of Verdict
        By experiment, in the order of the recipe.
    missing : dict of str to list of str
        What the experiments that did not run lack, and where it was looked for.
    kept : int
        Parts that stood in the files already.
    """

    paper: str
    scale: str
    seed: int
    folder: Path
    verdicts: dict[str, list[Verdict]]
    missing: dict[str, list[str]]
    kept: int


def experiments(paper: str) -> dict[str, Experiment]:
    """The experiments of a paper, by name.

    Raises
    ------
    DomainError
        For an unknown paper, with the nearest name.
    """
    expect.one_of(PAPERS, paper=paper)
    module = importlib.import_module(
        f"querytax.reproductions.{paper.replace('-', '_')}"
    )
    return {found.name: found for found in module.EXPERIMENTS}


def reproduce(
    paper: str,
    *,
    scale: str = "small",
    folder: str | os.PathLike[str] = "reproductions",
    names: Sequence[str] = (),
    rng: Any = 0,
    fresh: bool = False,
    verbose: bool = False,
) -> Outcome:
    """Measure again what a paper reports, and judge it by stated tests.

    Parameters
    ----------
    paper : str
        A key of :data:`querytax.papers.PAPERS`.
    scale : {"small", "full"}
        The embedded digits in a minute, or real networks from the data folder.
    folder : path
        Results go to ``folder/PAPER/ours/SCALE``; parts that are there already, of
        the same settings, seed and version, are kept, and judged again.
    names : str or sequence of str
        Which experiments; all by default.
    rng : int or Generator
        Seed of every draw.
    fresh : bool
        Measure again what is there already.
    verbose : bool
        Show progress bars.

    Returns
    -------
    Outcome

    Raises
    ------
    DomainError
        For an unknown paper, scale or experiment, or a folder that cannot be written.
    """
    expect.one_of(book.SCALES, scale=scale)
    known = experiments(paper)
    names = [names] if isinstance(names, str) else names
    for name in names:
        expect.one_of(known, experiment=name)
    seed = seed_of(rng)
    where = Path(folder) / paper / "ours" / scale
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DomainError(
            f"expected a folder to write to, got {str(where)!r}: {error.strerror}"
        ) from None
    missing: dict[str, list[str]] = {}
    verdicts: dict[str, list[Verdict]] = {}
    kept = 0
    with progress(verbose) as bars:
        for name in [n for n in known if n in names or not names]:
            entry = known[name]
            job = Job(book.settings(paper, name, scale), seed, scale)
            path = where / f"{name}.csv"
            done = _kept(entry, job, path, fresh)
            # What was measured whole is judged, whether its data is at hand or not.
            if not all(done.values()) and (lacking := _lacking(entry, job)):
                missing[name] = lacking
                continue
            kept += sum(map(bool, done.values()))
            _measure(entry, job, path, done, bars)
            verdicts[name] = _judge(entry, job, path)
        table.update(where / "verdicts.csv", verdicts, list(known), seed)
    return Outcome(paper, scale, seed, where, verdicts, missing, kept)


def _lacking(entry: Experiment, job: Job) -> list[str]:
    wanted = tuple(entry.needs(job))
    if not wanted:
        return []
    from querytax.reproductions import zoo

    return zoo.missing(wanted)


def _stamp(job: Job) -> dict[str, str | int]:
    return {"seed": job.seed, "recipe": book.fingerprint(job)}


def _kept(entry: Experiment, job: Job, path: Path, fresh: bool) -> Done:
    """What is in the file of each part; nothing where it has to be measured."""
    found = [] if fresh else measured.read(path, **_stamp(job))
    parts = [dict(part) for part in entry.parts(job)]
    # A layer named "1" comes back from a file as the number.
    as_read = [{k: measured.cell(str(v)) for k, v in p.items()} for p in parts]
    return {i: measured.select(found, **part) for i, part in enumerate(as_read)}


def _measure(
    entry: Experiment, job: Job, path: Path, done: Done, bars: Progress
) -> None:
    """Measure what is not done; each part is on disk before the next begins."""
    parts = list(entry.parts(job))
    bar = bars.add(entry.name, len(parts))
    for i, part in enumerate(parts):
        if not done[i]:
            new = [
                replace(row, setting={**part, **row.setting})
                for row in entry.measure(job, part)
            ]
            expect.that(len(new) > 0, "at least one row", measured=part)
            done[i] = new
            measured.write(path, list(_flat(done)), **_stamp(job))
        bars.update(bar, i + 1)


def _judge(entry: Experiment, job: Job, path: Path) -> list[Verdict]:
    """Verdicts and figure from the rows as they stand in the file, new or old."""
    rows = measured.read(path, **_stamp(job))
    try:
        verdicts = list(entry.judge(job, rows))
        _draw(entry, rows, path.parent)
    except DomainError as error:
        raise DomainError(
            f"{error}; is {str(path)!r} damaged? --fresh measures it again"
        ) from None
    return verdicts


def _flat(done: Done) -> Iterator[Measured]:
    for rows in done.values():
        yield from rows


def _draw(entry: Experiment, rows: Sequence[Measured], where: Path) -> None:
    if not entry.panels:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from querytax.figures.style import styled

    with styled():
        columns = len(entry.panels)
        figure = Figure(figsize=(0.6 + 4.6 * columns, 4.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, columns, squeeze=False)[0]
        for panel, ax in zip(entry.panels, axes, strict=True):
            panel(ax, rows)
        with atomic_write(where / f"{entry.name}.png") as stream:
            figure.savefig(stream, format="png", dpi=120)
