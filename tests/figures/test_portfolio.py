"""The portfolio: its curves are the standings', its files whole or absent."""

import csv
import dataclasses
import math
import os
import warnings

import numpy as np
import pytest
from scipy import stats
from synthetic_statistics import synthetic
from trials import LOSS, PROTECT, TARGET, at_level, level, standing, tried

from querytax.expect import DomainError
from querytax.figures import portfolio_data, portfolio_figure
from querytax.figures.findings import called, finding
from querytax.figures.portfolio import _apart
from querytax.figures.style import curves_of
from querytax.recommend import recommend_sigma
from querytax.recommend.portfolio import ATTACKERS


@pytest.fixture(scope="module")
def rec():
    return tried()


def words(ax):
    return [t.get_text().replace("\N{NO-BREAK SPACE}", " ") for t in ax.texts]


def test_data_are_the_standings(rec):
    rows = portfolio_data(rec)
    parts = {"without noise": rec.levels[0].standings, "with noise": rec.standings}
    assert {r["panel"] for r in rows} == set(parts)
    for row in rows:
        (one,) = [s for s in parts[row["panel"]] if s.contender.name == row["attack"]]
        assert (row["n_images"], row["n_queries"]) == (one.images, one.n_queries)
        # Counted anew, image by image.
        fallen = sum(count <= row["queries"] for count in one.counts)
        assert row["share"] == pytest.approx(fallen / one.images)
        assert 0 <= row["queries"] <= one.n_queries
        if row["role"] == "binds":
            test = stats.binomtest(fallen, one.images).proportion_ci(method="exact")
            assert row["share_lower"] == pytest.approx(test.low, abs=1e-12)
            assert row["share_upper"] == pytest.approx(test.high, abs=1e-12)
        else:
            assert row["share_lower"] == row["share_upper"] == ""
    last = {(r["panel"], r["attack"]): r for r in rows}
    for row in last.values():
        assert row["queries"] == row["n_queries"]


def test_who_is_drawn(rec):
    for ax, panel in zip(portfolio_figure(rec).axes, (0, 1), strict=True):
        standings = (rec.levels[0].standings, rec.standings)[panel]
        found = [c.label for c in curves_of(ax)]
        assert len(found) == len(set(found)) <= 6
        # Once an attack, by the best of its settings.
        assert found[-1] == called(standings[0].contender.attack)
        assert "Blind patterns" in found
        assert len([c for c in curves_of(ax) if c.lower is not None]) == 1
        said = words(ax)
        assert f"target {TARGET}" in said
        assert "20 % may fall" in said
        for name in found:
            assert sum(text.startswith(f"{name} ") for text in said) == 1
    assert rec.runner_up.contender.attack == "square"
    assert "Square" in found


def test_nothing_is_drawn_beyond_a_budget(rec):
    for ax, standings in zip(
        portfolio_figure(rec).axes,
        (rec.levels[0].standings, rec.standings),
        strict=True,
    ):
        for curve in curves_of(ax):
            (mine, *_) = [
                s for s in standings if called(s.contender.attack) == curve.label
            ]
            assert curve.x.max() == mine.n_queries
            assert np.isfinite(curve.x).all()
            assert (np.diff(curve.x) >= 0).all()
            assert (np.diff(curve.y) >= 0).all()
            assert curve.y[-1] == pytest.approx(100 * mine.share[1])
        assert ax.get_xlim()[1] >= TARGET
        assert ax.get_xlim()[0] > 0


def test_the_axes_are_the_same_and_who_fell_behind_is_marked(rec):
    top, bottom = portfolio_figure(rec).axes
    assert top.get_xlim() == bottom.get_xlim()
    assert top.get_ylim() == bottom.get_ylim()
    assert "Blind patterns 12 %*" in words(top)
    assert top.get_title(loc="left") == "without noise: 60 calibration images"
    assert bottom.get_title(loc="left") == (
        "with noise of 0.1 on the outputs: 60 held-out images"
    )
    for ax in (top, bottom):
        assert min(t.get_fontsize() for t in ax.texts) >= 9


def test_names_keep_apart():
    rng = np.random.default_rng(0)
    for _ in range(200):
        wanted = np.sort(rng.choice([0.0, 1.0, 50.0, 99.0, 100.0], 6))
        found = _apart(wanted, 8.0, 0.0, 114.0)
        assert (np.diff(found) >= 8.0 - 1e-9).all()
        assert 0 <= found[0] <= found[-1] <= 114.0
    assert _apart([10.0, 50.0], 8.0, 0.0, 100.0).tolist() == [10.0, 50.0]


@pytest.mark.parametrize(
    ("name", "magic"), [("f.png", b"\x89PNG"), ("f.svg", b"<?xml"), ("F.PDF", b"%PDF")]
)
def test_figure_and_data_are_written_side_by_side(rec, tmp_path, name, magic):
    figure = portfolio_figure(rec, path=tmp_path / name)
    assert figure.get_size_inches()[0] <= 7.0
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert sorted(os.listdir(tmp_path)) == sorted([name, f"{name[0]}.csv"])
    with open(tmp_path / f"{name[0]}.csv", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert [{k: str(v) for k, v in r.items()} for r in portfolio_data(rec)] == read


@pytest.mark.parametrize("name", ["f.gif", "absent/f.png"])
def test_a_path_that_will_not_do_leaves_nothing(rec, tmp_path, name):
    with pytest.raises(DomainError, match="expected"):
        portfolio_figure(rec, path=tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_without_trials_there_is_nothing_to_draw():
    laws = recommend_sigma(synthetic(loss=LOSS), TARGET, protect=PROTECT)
    with pytest.raises(DomainError, match="expected recommendation to have standings"):
        portfolio_figure(laws)
    waits = tried("UNRESOLVED", standings=(), binding="trials")
    with pytest.raises(DomainError, match="its status is UNRESOLVED"):
        portfolio_data(waits)


@pytest.mark.parametrize(
    ("changes", "panels"),
    [
        ({"status": "NO_NOISE_NEEDED", "sigma": 0.0}, 1),
        ({"status": "PREDICTED", "target_queries": 1e6}, 2),
        ({"status": "UNRESOLVED", "evidence": "tried"}, 2),
        ({"status": "UNRESOLVED", "binding": "trial budget"}, 2),
        ({"status": "INFEASIBLE", "binding": "max_accuracy_loss"}, 2),
        (
            {
                "status": "INFEASIBLE",
                "binding": "max_accuracy_loss",
                "standings": at_level(0.1, 1),
            },
            2,
        ),
        ({"standings": (standing("patterns", []),), "levels": ()}, 1),
        ({"standings": (standing("square", [1.0] * 60),)}, 2),
        ({"levels": (dataclasses.replace(level(0.0, 1, "falls"), standings=()),)}, 1),
        ({"site": "features.3.conv2"}, 2),
        ({"site": "a$_$b"}, 2),
        ({"site": "a$\\frac$+b_{*2"}, 2),
        ({"target_queries": 1.0}, 2),
    ],
)
def test_every_answer_can_be_drawn_without_a_warning(changes, panels, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = portfolio_figure(tried(**changes), path=tmp_path / "f.svg")
    assert len(figure.axes) == panels


@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
def test_the_same_figure_is_the_same_file(rec, form, tmp_path, monkeypatch):
    for day in (1, 2):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(day * 86_400))
        portfolio_figure(rec, path=tmp_path / f"{day}.{form}")
    first, second = ((tmp_path / f"{day}.{form}").read_bytes() for day in (1, 2))
    assert first == second


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "Noise of 0.1 keeps the best of 4 attacks, SignHunter, below 20 % of the "
            "images for 400 queries",
        ),
        (
            {"status": "NO_NOISE_NEEDED", "sigma": 0.0, "considered": ("signhunter",)},
            "Without noise SignHunter stays below 20 % of the images for 400 queries",
        ),
        (
            {"status": "PREDICTED", "target_queries": 3000.0},
            "Noise of 0.1 keeps the best of 4 attacks, SignHunter, below 20 % of the "
            "images for 400 queries; for 3,000 it is a prediction",
        ),
        (
            {"status": "INFEASIBLE", "standings": at_level(0.1, 1)},
            "No noise that the accuracy allows is enough: with noise of 0.1 SignHunter "
            "still breaks 83 % of the images within 400 queries",
        ),
        (
            {"status": "INFEASIBLE", "binding": "max_accuracy_loss"},
            "Noise of 0.1 keeps the best of 4 attacks, SignHunter, below 20 % of the "
            "images for 400 queries, but costs more accuracy than is allowed",
        ),
        (
            {"status": "UNRESOLVED", "binding": "images"},
            "Not decided: with noise of 0.1 SignHunter breaks 8 % of the images "
            "(3 to 18 %) within 400 queries; 20 % may fall",
        ),
        (
            {"status": "INFEASIBLE", "binding": "blind patterns", "standings": ()}
            | {"ceiling": (80.0, 120.0, math.inf)},
            "No noise is enough: blind patterns break 20 % of the images for 120 "
            "queries, where 400 were asked for",
        ),
        ({"status": "OUT_OF_REGIME"}, "These statistics cannot answer the question"),
    ],
)
def test_the_title_is_the_finding(changes, said):
    assert finding(tried(**changes)).replace("\N{NO-BREAK SPACE}", " ") == said


def test_every_attack_has_a_name():
    for word in ATTACKERS[2:]:
        assert called(word) != word
    assert called("mine") == "mine"
