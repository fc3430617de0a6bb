"""Tables, stated tests, recipes, and a runner that resumes."""

import csv
import dataclasses
import json
import math
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

from querytax import intervals, papers
from querytax.cli import main
from querytax.expect import DomainError
from querytax.intervals import Interval
from querytax.reproductions import experiment as book
from querytax.reproductions import judge, measured, runner, verdicts
from querytax.reproductions.experiment import Experiment, Job
from querytax.reproductions.measured import Measured, only, select

# -- tables -----------------------------------------------------------------------


def test_a_table_comes_back_as_it_was(tmp_path):
    path = tmp_path / "x.csv"
    rows = [
        Measured("a", Interval(1 / 3, 0.1, math.inf, 7), "dB", {"net": "n", "s": 1e-3}),
        Measured("b, with comma", intervals.exact(2.0), "", {"layer": "conv1", "s": 2}),
    ]
    measured.write(path, rows, seed=5, recipe="12345678")
    assert measured.read(path, seed=5, recipe="12345678") == rows
    assert measured.read(path, seed=6) == []
    assert measured.read(tmp_path / "none.csv") == []
    assert select(rows, net="n") == rows[:1]
    assert only(rows, "a", s=1e-3).value == 1 / 3
    with pytest.raises(DomainError, match="one row of 'a'"):
        only(rows, "a", s=3)


def test_columns_are_drawn_and_ticked_where_they_are():
    from matplotlib.figure import Figure

    from querytax.figures.style import Panel
    from querytax.reproductions.panels import columns, ticks

    rows = [
        Measured(name, Interval(value, value - 1.0, value + 1.0, 9), "", {"M": m})
        for name, m, value in (("a", 10, 3.0), ("a", 1, 2.0), ("b", 5, 0.0))
    ]
    rows.append(Measured("c", intervals.exact(0.0)))
    assert measured.distinct(rows, "M") == [10, 1, 5]
    assert measured.distinct(rows, "M", M=5) == [5]
    at, value, lower, upper = columns(select(rows, "a"), "M")
    assert list(at) == [10.0, 1.0]
    assert list(value) == [3.0, 2.0]
    assert list(upper - lower) == [2.0, 2.0]
    assert columns([], "M").shape == (4, 0)
    panel = Panel(Figure().subplots(), "", "M", "")
    ticks(panel, rows, "M")
    assert list(panel.axes.get_xticks()) == [1.0, 5.0, 10.0]
    assert not panel.axes.get_xticks(minor=True).size


@pytest.mark.parametrize("text", ["value,lower\n1,2\n", "quantity,value\nx,one\n"])
def test_another_table_is_refused(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DomainError, match="table of measured numbers"):
        measured.read(path)


# -- stated tests -----------------------------------------------------------------


def near(value, half=0.1):
    return Interval(value, value - half, value + half, 9)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        (near(1.0), judge.MATCHED),
        (near(2.0), judge.DIFFERS),
        (near(1.45), judge.UNDECIDED),
        (near(1.0, 0.7), judge.UNDECIDED),
    ],
)
def test_agreement_is_equivalence(ours, verdict):
    found = judge.agrees("a number", 1.0, ours, tolerance=0.5)
    assert found.verdict == verdict
    assert judge.follows("a law", [1.0], [ours], tolerance=0.5).verdict == verdict


def test_a_law_fails_by_its_worst_point():
    found = judge.follows("a law", [1, 2, 3], [near(1), near(2), near(9)], tolerance=1)
    assert found.verdict == judge.DIFFERS
    assert found.expected == "3"
    assert found.ours.startswith("9 ")


@pytest.mark.parametrize(
    ("above", "value", "verdict"),
    [
        (True, 2.0, judge.MATCHED),
        (True, 0.0, judge.DIFFERS),
        (False, 0.0, judge.MATCHED),
        (False, 2.0, judge.DIFFERS),
        (True, 1.05, judge.UNDECIDED),
    ],
)
def test_a_bound(above, value, verdict):
    assert judge.beyond("x", near(value), 1.0, above=above).verdict == verdict


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((3, 2, 1), judge.MATCHED),
        ((3, 2, 2.5), judge.DIFFERS),
        ((3, 2, 1.9), judge.UNDECIDED),
    ],
)
def test_an_order(values, verdict):
    found = judge.ordered("falls", [near(v) for v in values])
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("y", "verdict"),
    [
        ((1, 2, 3, 4, 5), judge.MATCHED),
        ((5, 4, 3, 2, 1), judge.DIFFERS),
        ((2, 1, 4, 3, 3.5), judge.UNDECIDED),
    ],
)
def test_ranks(y, verdict):
    x = np.arange(5.0)
    assert judge.ranks("rises", x, y).verdict == verdict
    assert judge.ranks("falls", x, np.negative(y), rising=False).verdict == verdict


def test_three_pairs_decide_nothing():
    assert judge.ranks("rises", [1, 2, 3], [1, 2, 3]).verdict == judge.UNDECIDED
    with pytest.raises(DomainError, match="as many"):
        judge.ranks("rises", [1, 2, 3], [1, 2])


# -- recipes ----------------------------------------------------------------------


@pytest.mark.parametrize("paper", papers.PAPERS)
def test_every_setting_says_where_it_comes_from(paper):
    found = book.recipe(paper)
    assert list(found) == list(runner.experiments(paper))
    for name, table in found.items():
        assert table["title"], name
        assert set(table["small"]) == set(table["full"]), name
        origins = [
            key
            for origin in ("printed", "guessed", "ours")
            for key, line in table.get(origin, {}).items()
            if len(line) > 5
        ]
        assert sorted(origins) == sorted(table["small"]), name


@pytest.mark.parametrize("scale", book.SCALES)
@pytest.mark.parametrize("paper", papers.PAPERS)
def test_what_was_measured_is_of_this_recipe(paper, scale):
    """Tables that were not measured again after a change of settings."""
    folder = papers.folder(paper) / "ours" / scale
    with (folder / "verdicts.csv").open() as stream:
        judged = {row["experiment"] for row in csv.DictReader(stream)}
    for name, entry in runner.experiments(paper).items():
        job = Job(book.settings(paper, name, scale), 0, scale)
        stamp = {"seed": 0, "recipe": book.fingerprint(job)}
        rows = measured.read(folder / f"{name}.csv", **stamp)
        assert len(rows) >= len(list(entry.parts(job))), name
        assert name in judged


@pytest.mark.parametrize("scale", book.SCALES)
@pytest.mark.parametrize("paper", papers.PAPERS)
def test_the_verdicts_are_those_of_the_tables(paper, scale):
    folder = papers.folder(paper) / "ours" / scale
    kept = verdicts.read(folder / "verdicts.csv")
    for name, entry in runner.experiments(paper).items():
        job = Job(book.settings(paper, name, scale), 0, scale)
        judged = entry.judge(job, measured.read(folder / f"{name}.csv"))
        now = [dataclasses.asdict(verdict) for verdict in judged]
        then = [{key: row[key] for key in now[0]} for row in kept[name]]
        assert now == then, name


@pytest.mark.parametrize("paper", papers.PAPERS)
def test_pages_give_the_counts_of_the_verdicts(paper):
    folder = papers.folder(paper)
    rows = verdicts.read(folder / "ours" / "full" / "verdicts.csv")
    counts = Counter(row["verdict"] for found in rows.values() for row in found)
    words = (judge.MATCHED, judge.DIFFERS, judge.UNDECIDED)
    line = ", ".join(f"{counts[word]} {word}" for word in words)
    assert line in (folder / "README.md").read_text()
    numbers = " | ".join(str(counts[word]) for word in words)
    summary = (
        papers.folder(paper).parents[1] / "docs" / "reproductions.md"
    ).read_text()
    assert f"| {numbers} |" in summary


def test_what_needs_data_is_not_small():
    from querytax.reproductions import zoo

    for paper in papers.PAPERS:
        for name, entry in runner.experiments(paper).items():
            job = Job(book.settings(paper, name, "small"), 0, "small")
            for wanted in entry.needs(job):
                assert wanted.startswith("digits"), (paper, name)
            full = Job(book.settings(paper, name, "full"), 0, "full")
            assert set(entry.needs(full)) <= set(zoo.NETWORKS), (paper, name)
    assert zoo.missing(["digits_cnn"]) == []


# -- the runner -------------------------------------------------------------------


@pytest.fixture
def toy(monkeypatch):
    """A paper of one experiment with three parts, and what was measured."""
    calls = []

    def measure(job, part):
        calls.append(part["sigma"])
        return [Measured("x", intervals.exact(job.seed + part["sigma"]), "", {"k": 1})]

    settings = {"sigmas": [1, 2, 3]}
    entry = Experiment(
        "toy",
        parts=lambda job: [{"sigma": s} for s in job["sigmas"]],
        measure=measure,
        judge=lambda job, rows: [
            judge.ordered("falls", [r.interval for r in reversed(rows)])
        ],
        panels=(lambda ax, rows: ax,),
        needs=lambda job: job.settings.get("needs", ()),
    )
    monkeypatch.setattr(runner, "experiments", lambda paper: {"toy": entry})
    monkeypatch.setattr(book, "settings", lambda *_: settings)
    return settings, calls


def test_a_run_writes_tables_figures_and_verdicts(toy, tmp_path):
    found = runner.reproduce("snd-2022", folder=tmp_path)
    where = tmp_path / "snd-2022" / "ours" / "small"
    assert found.folder == where
    assert sorted(p.name for p in where.iterdir()) == [
        "toy.csv",
        "toy.png",
        "verdicts.csv",
    ]
    with (where / "toy.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(r["value"]) for r in rows] == [1.0, 2.0, 3.0]
    assert {r["seed"] for r in rows} == {"0"}
    with (where / "verdicts.csv").open() as stream:
        (verdict,) = csv.DictReader(stream)
    assert verdict["verdict"] == judge.MATCHED
    assert verdict["experiment"] == "toy"


def test_an_interrupted_run_goes_on(toy, tmp_path, monkeypatch):
    _, calls = toy
    runner.reproduce("snd-2022", folder=tmp_path / "whole")
    calls.clear()
    entry = runner.experiments("snd-2022")["toy"]
    stop = {"at": 3}

    def measure(job, part, was=entry.measure):
        if part["sigma"] == stop["at"]:
            raise KeyboardInterrupt
        return was(job, part)

    broken = Experiment(entry.name, entry.parts, measure, entry.judge, entry.panels)
    monkeypatch.setattr(runner, "experiments", lambda paper: {"toy": broken})
    with pytest.raises(KeyboardInterrupt):
        runner.reproduce("snd-2022", folder=tmp_path / "cut")
    assert calls == [1, 2]
    stop["at"] = None
    found = runner.reproduce("snd-2022", folder=tmp_path / "cut")
    assert calls == [1, 2, 3]
    assert found.kept == 2
    same = "snd-2022/ours/small/toy.csv"
    assert (tmp_path / "cut" / same).read_bytes() == (
        tmp_path / "whole" / same
    ).read_bytes()


def test_a_layer_named_by_a_number_resumes(toy, tmp_path):
    settings, calls = toy
    entry = runner.experiments("snd-2022")["toy"]
    parts = [{"sigma": s, "layer": "1"} for s in settings["sigmas"]]
    object.__setattr__(entry, "parts", lambda job: parts)
    runner.reproduce("snd-2022", folder=tmp_path)
    assert runner.reproduce("snd-2022", folder=tmp_path).kept == 3
    assert calls == [1, 2, 3]


def test_other_settings_or_seeds_are_measured_again(toy, tmp_path):
    settings, calls = toy
    runner.reproduce("snd-2022", folder=tmp_path)
    runner.reproduce("snd-2022", folder=tmp_path)
    assert calls == [1, 2, 3]
    runner.reproduce("snd-2022", folder=tmp_path, rng=1)
    assert len(calls) == 6
    settings["sigmas"] = [1, 2, 3, 4]
    found = runner.reproduce("snd-2022", folder=tmp_path, rng=1)
    assert len(calls) == 10
    assert found.kept == 0
    runner.reproduce("snd-2022", folder=tmp_path, rng=1, fresh=True)
    assert len(calls) == 14


def test_what_is_missing_is_named_and_the_rest_runs(toy, tmp_path, monkeypatch):
    settings, calls = toy
    monkeypatch.setenv("QUERYTAX_DATA", str(tmp_path / "nowhere"))
    settings["needs"] = ("cifar10_resnet20",)
    found = runner.reproduce("snd-2022", folder=tmp_path)
    assert not calls
    (line,) = found.missing["toy"][:1]
    assert "nowhere" in line
    assert found.verdicts == {}


def test_verdicts_outlive_their_data(toy, tmp_path, monkeypatch):
    settings, calls = toy
    runner.reproduce("snd-2022", folder=tmp_path)
    path = tmp_path / "snd-2022" / "ours" / "small" / "verdicts.csv"
    before = path.read_bytes()
    monkeypatch.setenv("QUERYTAX_DATA", str(tmp_path / "nowhere"))
    entry = runner.experiments("snd-2022")["toy"]
    object.__setattr__(entry, "needs", lambda job: ("cifar10_resnet20",))
    found = runner.reproduce("snd-2022", folder=tmp_path)
    assert found.missing == {}
    assert path.read_bytes() == before
    # With other settings the data is needed: the old verdicts stay as they were.
    settings["sigmas"] = [1, 2]
    assert "toy" in runner.reproduce("snd-2022", folder=tmp_path).missing
    assert path.read_bytes() == before
    assert calls == [1, 2, 3]


def test_verdicts_of_other_experiments_stay(tmp_path):
    path = tmp_path / "verdicts.csv"
    one, two = (judge.beyond(name, near(2.0), 1.0) for name in "ab")
    verdicts.update(path, {}, ["x", "y"], 0)
    assert not path.exists()
    verdicts.update(path, {"y": [one]}, ["x", "y"], 0)
    verdicts.update(path, {"x": [two]}, ["x", "y"], 7)
    found = verdicts.read(path)
    assert list(found) == ["x", "y"]
    assert [found[name][0]["seed"] for name in "xy"] == ["7", "0"]
    assert found["y"][0]["statement"] == "a"
    path.write_text("something,else\n")
    with pytest.raises(DomainError, match="table of verdicts"):
        verdicts.read(path)


def test_a_damaged_table_is_named(toy, tmp_path):
    runner.reproduce("snd-2022", folder=tmp_path)
    table = tmp_path / "snd-2022" / "ours" / "small" / "toy.csv"
    whole = table.read_text()
    table.write_text(whole.replace("1.0", "one"))
    with pytest.raises(DomainError, match=r"toy\.csv.*damaged"):
        runner.reproduce("snd-2022", folder=tmp_path)
    runner.reproduce("snd-2022", folder=tmp_path, fresh=True)
    assert table.read_text() == whole


def test_bad_names_are_answered(tmp_path):
    with pytest.raises(DomainError, match="snd-2022"):
        runner.reproduce("snd-2023", folder=tmp_path)
    with pytest.raises(DomainError, match="scale"):
        runner.reproduce("snd-2022", scale="medium", folder=tmp_path)
    with pytest.raises(DomainError, match="experiment"):
        runner.reproduce("snd-2022", names=["nonsense"], folder=tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DomainError, match="folder to write to"):
        runner.reproduce("snd-2022", folder=blocked)


# -- the shell --------------------------------------------------------------------


def call(*words):
    return CliRunner().invoke(main, ["reproduce", *map(str, words)])


def test_the_shell_says_what_was_found(toy, tmp_path):
    out = call("snd-2022", "-o", tmp_path)
    assert out.exit_code == 0, out.output
    assert "MATCHED" in out.output
    assert "verdicts: 1 MATCHED" in out.output
    again = call("snd-2022", "-o", tmp_path)
    assert "3 parts were there already" in again.output
    facts = json.loads(call("snd-2022", "-o", tmp_path, "--json").output)
    assert facts[0]["verdicts"]["toy"][0]["verdict"] == judge.MATCHED
    assert max(map(len, out.output.splitlines())) < 80 + len(str(tmp_path))


def test_the_shell_says_what_is_missing(toy, tmp_path, monkeypatch):
    toy[0]["needs"] = ("cifar10_resnet20",)
    monkeypatch.setenv("QUERYTAX_DATA", str(tmp_path / "nowhere"))
    out = call("snd-2022", "-o", tmp_path)
    assert out.exit_code == 4
    assert "NOT RUN" in out.output


def test_the_shell_lists_and_answers_bad_names():
    out = call("--list")
    assert all(paper in out.output for paper in papers.PAPERS)
    assert set(json.loads(call("--list", "--json").output)) == set(papers.PAPERS)
    assert call().exit_code == 2
    assert "did you mean 'snd-2022'" in call("snd-2021").stderr
    assert call("all", "clean-accuracy").exit_code == 2
