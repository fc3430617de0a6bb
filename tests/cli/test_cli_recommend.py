"""Recommend from a file of statistics."""

import json

import pytest
from click.testing import CliRunner
from shell import LOSS, call, process, refused, told
from synthetic_statistics import synthetic

from querytax.cli import main
from querytax.recommend import Recommendation


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (("--target-queries", 25), "PREDICTED", 4),
        (("--target-queries", 400, "--attacker", "published"), "PREDICTED", 4),
        (("--target-queries", 1e5), "INFEASIBLE", 3),
        (("--target-queries", 3e3, "--max-accuracy-loss", "90%"), "PREDICTED", 4),
        (("--target-queries", 1e12, "--max-accuracy-loss", 0.9), "UNRESOLVED", 4),
        (("--target-queries", 500, "--access", "labels"), "UNRESOLVED", 4),
        (("--target-queries", 500, "--attacker", "square"), "UNRESOLVED", 4),
        (("--target-queries", 25, "--site", "best"), "PREDICTED", 4),
        (("--target-queries", 500, "--probe", 0.5), "OUT_OF_REGIME", 5),
        (("--target-queries", 500, "--norm", "L2"), "OUT_OF_REGIME", 5),
    ],
)
def test_recommend_from_a_file(stats_file, options, status, code):
    """Laws alone: the best that they can say is a prediction."""
    text = call("recommend", stats_file, *options, code=code).stdout
    against = "the best of all attackers"
    if "--attacker" in options:
        against = options[options.index("--attacker") + 1]
    assert f"{status}, predicted against {against}" in text
    job = told("recommend", stats_file, *options, code=code)
    (rec,) = (Recommendation.from_json(r) for r in job["recommendations"])
    assert rec.status == status
    assert rec.evidence == "predicted"
    assert rec.statement() in text
    assert rec.standings == ()
    assert job["attacks"] == []
    assert job["figure"] is None


def test_several_sites_of_a_file(tmp_path):
    sites = ("input", "output:probabilities:reflect")
    synthetic(loss=LOSS, sites=sites).save(tmp_path / "s.npz")
    words = ("recommend", tmp_path / "s.npz", "--target-queries", 25)
    listed = told(*words, "--site", "input", "--site", "output", code=4)
    assert listed == told(*words, "--site", "best", code=4)
    (rec,) = listed["recommendations"]
    assert {rec["site"], *(r["site"] for r in rec["rivals"])} == set(sites)
    # Without a word it is the output, unless another place alone was probed.
    assert told(*words, code=4)["recommendations"][0]["site"] == sites[1]
    synthetic(loss=LOSS, sites=sites[:1]).save(tmp_path / "s.npz")
    assert told(*words, code=4)["recommendations"][0]["site"] == "input"


def test_options_reach_the_question(stats_file):
    options = ("--site", "output:probabilities", "--protect", "75%", "--pairs", "3")
    more = ("--base-queries", 100, "--step", 0.002, "--loss", "margin")
    job = told(
        *("recommend", stats_file, "--target-queries", 130, *options, *more),
        *("--attacker", "published", "--probe", 0.05),
        code=4,
    )
    (rec,) = (Recommendation.from_json(r) for r in job["recommendations"])
    assert rec.protect == 0.75
    assert rec.base_queries == pytest.approx(100, abs=7)
    plan = rec.plan
    assert (plan.pairs, plan.step, plan.probe) == (3, 0.002, 0.05)
    assert plan.loss == "margin"


def test_a_figure_beside_the_answer(stats_file, tmp_path):
    out = tmp_path / "[b]figure.svg"
    words = ("recommend", stats_file, "--target-queries", 25, "-o", out)
    assert told(*words, code=4)["figure"] == str(out)
    assert out.exists()
    assert out.with_suffix(".csv").exists()
    text = CliRunner().invoke(main, [str(w) for w in words]).stdout
    assert f"Figure: {out}" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("absent.npz", "--target-queries", 5), "'absent.npz': No such file"),
        (("{file}", "--target-queries", -5), "target_queries > 0 and finite, got -5"),
        (("{file}", "--target-queries", 5, "--base-queries", 9), "target_queries >= 9"),
        (("{file}", "--target-queries", 5, "--site", "input"), "site to be one of"),
        (("{file}", "--target-queries", 5, "--protect", 1), "protect in (0, 1), got 1"),
        (
            ("{file}", "--target-queries", 5, "--max-accuracy-loss", "150%"),
            "max_accuracy_loss in [0, 1), got 1.5",
        ),
        (("{file}", "--target-queries", 5, "--pairs", 0), "pairs a whole number >= 1"),
        (("{file}", "--target-queries", 5, "-o", "f.gif"), "path to end in .png"),
        (("{file}", "--target-queries", 5, "-o", "no/f.png"), "a writable path"),
        (("--demo", "-o", "f.gif"), "path to end in .png, .svg or .pdf, got 'f.gif'"),
        (("--demo", "-o", "no/f.png"), "expected a writable path, got 'no/f.png'"),
        (("--demo", "--target-queries", "nan"), "target_queries > 0 and finite"),
        (
            ("{file}", "--target-queries", 5, "--attacker", "worst"),
            "attacker to be one",
        ),
        (
            ("{file}", "--target-queries", 5, "--attacker", "nes", "--access", "top1"),
            "expected access of nes to be scores, got 'top1'",
        ),
        (
            ("{file}", "--target-queries", 5, "--attacker", "published:cgba"),
            "expected norm of cgba to be L2, got 'Linf'",
        ),
        (
            ("{file}", "--target-queries", 5, "--attacker", "transfer"),
            "expected surrogate for transfer",
        ),
    ],
)
def test_bad_input_is_one_line(stats_file, words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = refused("recommend", *(str(w).format(file=stats_file) for w in words))
    assert says in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "expected a STATS file, --model with --data, or --demo"),
        (("--data", "d.npz"), "expected a STATS file, --model with --data, or --demo"),
        (("x.npz", "--demo"), "expected a STATS file, --model with --data, or --demo"),
        (("--model", "m:f", "--demo"), "expected a STATS file, --model with --data"),
        (("--model", "m:f", "--target-queries", 5), "expected --data with --model"),
        (("--model", "m:f", "--data", "d.npz"), "expected --target-queries"),
        (("x.npz",), "expected --target-queries"),
        (("x.npz", "--max-accuracy-loss", "little"), "expected a share such as 0.01"),
        (("x.npz", "--effort", "huge"), "'huge' is not one of 'quick', 'normal', 'tho"),
        (
            ("x.npz", "--access", "all"),
            "'all' is not one of 'scores', 'top1', 'labels'",
        ),
        (("--demo", "--site", "input", "--site", "output"), "expected one --site with"),
        # What attacks alone can use is not ignored.
        (("--demo", "--store", "s.db"), "expected --model with --store"),
        (("x.npz", "--data", "d.npz"), "expected --model with --data"),
        (
            (
                "x.npz",
                "--held-out",
                "d.npz",
                "--surrogate",
                "m:f",
                "--network",
                "a=m:f",
            ),
            "expected --model with --held-out, --surrogate, --network",
        ),
    ],
)
def test_usage_errors(words, says):
    # Without the frame and the line breaks that a terminal gets.
    assert says in " ".join(call("recommend", *words, code=2).stderr.split())


def test_the_whole_job_on_the_embedded_model(tmp_path, cache_of_our_own, demo_model):
    """Train (cached here), measure, race, certify, draw: about a minute and a half."""
    out = tmp_path / "portfolio.png"
    done = process("recommend", "--demo", "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    job = json.loads(done.stdout)
    (rec,) = (Recommendation.from_json(r) for r in job["recommendations"])
    assert json.loads(json.dumps(rec.to_json())) == job["recommendations"][0]
    assert job["test_accuracy"] >= 0.97
    assert (rec.attacker, rec.site, rec.target_queries) == ("best", "input", 300)
    assert rec.status in ("FEASIBLE", "UNRESOLVED", "INFEASIBLE")
    assert len(rec.considered) > 20
    assert rec.standings
    assert dict(rec.images)["held_out"] > 250
    if rec.status == "FEASIBLE":
        assert rec.evidence == "certified"
        assert 0 < rec.sigma <= rec.sigma_for_accuracy
        assert rec.accuracy_loss[1] <= rec.max_accuracy_loss
        assert rec.standings[0].bound(0.05) <= 1 - rec.protect
        # Without the noise the same share falls in time.
        assert rec.noiseless.queries[1] <= 300
    # Every attack of the table without noise and with it, on the same images.
    table = job["attacks"]
    told = {(t["contender"]["attack"], t["sigma"]): t for t in table}
    assert {t["sigma"] for t in table} == {0.0, rec.sigma}
    assert {"nes", "patterns", rec.attack.attack} <= {name for name, _ in told}
    assert {(t["part"], t["images"]) for t in table} == {("held_out", 80)}
    assert all(t["n_queries"] == 300 for t in table)
    assert all(0 <= t["broken"] <= t["images"] for t in table)
    # Whom the noise taxes breaks less behind it; who does not listen does not care.
    without, behind = (
        told[rec.noiseless.contender.attack, sigma]["share"]
        for sigma in (0.0, rec.sigma)
    )
    assert behind[2] < without[1]
    without, behind = (told["patterns", sigma]["fell"] for sigma in (0.0, rec.sigma))
    assert without == behind
    assert job["figure"] == str(out)
    assert out.read_bytes().startswith(b"\x89PNG")
    drawn = out.with_suffix(".csv").read_text()
    assert rec.standings[0].contender.name in drawn
