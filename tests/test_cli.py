"""The command line: what it prints, where, and the exit codes."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from synthetic_statistics import synthetic

from querytax import certifying
from querytax.cli import main
from querytax.evidence import Contender
from querytax.recommend import Recommendation, recommend_sigma
from querytax.statistics import ModelStatistics
from querytax.theory.law import laws

LOSS = (0.0, 0.0, 0.0, 0.005, 0.5, 0.6)
MODEL = """
import torch

def load():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))

def interrupted():
    raise KeyboardInterrupt
"""


def call(*words, code=0):
    """Standard output of a command that must end with ``code``; 80 columns at most."""
    result = CliRunner().invoke(main, [str(w) for w in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    if "--json" not in words:
        assert all(len(line) <= 80 for line in result.stdout.splitlines())
    return result


def told(*words, code=0):
    """The JSON that a command prints, and nothing else."""
    return json.loads(call(*words, "--json", code=code).stdout)


def refused(*words):
    """The one line of an error."""
    result = call(*words, code=2)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    return result.stderr


@pytest.fixture(scope="module")
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


# -- help -------------------------------------------------------------------------


def test_help_of_every_command():
    text = call("--help").stdout
    assert "Exit codes: 0 feasible" in text
    for name in main.commands:
        assert name in text
        assert "--json" in call(name, "--help").stdout
        assert "Usage:" in call(name, "-h").stdout
    assert call("--version").stdout.strip().endswith("0.1.0")


def test_an_unknown_command_is_a_usage_error():
    assert "No such command 'recomend'" in call("recomend", code=2).stderr


# -- laws, show, eval -------------------------------------------------------------


def test_laws_in_text_and_json():
    text = call("laws").stdout
    rows = told("laws")
    names = {row["name"] for row in rows}
    assert names >= {entry.name for entry in laws()}
    assert "printed.query_ratio_6" in names
    for name in names:
        assert f"  {name.split('.')[1]}" in text
    assert "printed  (as a paper prints it, not true)" in text


@pytest.mark.parametrize("name", [e.name for e in laws()] + ["printed.repeats_8"])
def test_show_every_law(name):
    text = call("show", name).stdout
    entry = told("show", name)
    assert entry["name"] == name
    for word in ("Regime: ", "Source: ", "LaTeX: ", *entry["symbols"]):
        assert word in text


def test_show_with_the_derivation():
    shown = call("show", "query_ratio.best_step", "--derivation", "--json")
    steps = json.loads(shown.output)["derivation"]
    assert [step["known"] for step in steps] == ["proved"] * len(steps)
    assert any("snr" in step["right"] for step in steps)
    text = call("show", "query_ratio.best_step", "--derivation").output
    assert "Derivation\n" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    refused = call("show", "printed.repeats_8", "--derivation", code=2)
    assert "expected a true law to derive, got 'printed.repeats_8'" in refused.stderr


def test_eval_gives_nan_on_request():
    words = ("eval", "misstep.fixed_direction", "snr=-1,1")
    call(*words, code=2)
    found = json.loads(call(*words, "errors=nan", "--json").output)["value"]
    assert found[0] == "nan"
    assert found[1] == pytest.approx(0.158655, abs=1e-6)


def test_show_offers_the_nearest_name():
    assert "did you mean 'query_ratio.best_step'" in refused("show", "query_ratio.best")


def test_eval_prints_what_the_law_gives():
    words = ("eval", "query_ratio.best_step", "snr=0.01", "dimension=100", "pairs=10")
    found = float(call(*words).stdout)
    assert found == 1 + 100 / 111 / 0.01
    assert told(*words) == {"name": "query_ratio.best_step", "value": found}


def test_eval_of_arrays():
    words = ("eval", "query_ratio.best_step", "dimension=100", "pairs=10")
    for text in ("snr=0.01,1", "snr=[0.01, 1]"):
        found = told(*words, text)["value"]
        assert found == [1 + 100 / 111 / 0.01, 1 + 100 / 111]
        assert [float(v) for v in call(*words, text).stdout.split()] == found
    square = told(*words, "snr=[[1, 1], [1, 2]]")["value"]
    assert np.shape(square) == (2, 2)
    assert told(*words, "snr=[]")["value"] == []


def test_infinities_are_words():
    words = ("eval", "query_ratio.best_step", "snr=0", "dimension=100", "pairs=10")
    assert told(*words)["value"] == "inf"
    assert call(*words).stdout == "inf\n"


def test_eval_takes_words():
    words = ("eval", "convergence.plateau", "drift=0.1", "step=0.1")
    box, ball = (told(*words, f"norm={n}")["value"] for n in ("Linf", "L2"))
    assert box == pytest.approx(1.05 / math.tanh(21 * math.atanh(0.1)) - 0.5)
    assert 0.2 * ball**3 + 0.1 * ball**2 - 0.2 * ball == pytest.approx(0.001)


def test_outside_the_regime_the_value_still_stands():
    words = ("printed.query_ratio_6", "snr=1e-4", "contraction=0.2")
    result = call("eval", *words, code=5)
    assert float(result.stdout) > 1
    assert result.stderr.startswith("warning: ")
    again = call("eval", *words, "--json", code=5)
    assert json.loads(again.stdout)["value"] == float(result.stdout)
    inside = call("eval", "printed.query_ratio_6", "snr=10", "contraction=0.2")
    assert inside.stderr == ""


BEST = ("query_ratio.best_step", "dimension=9")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("query_ratio.bst_step",), "did you mean 'query_ratio.best_step'"),
        (BEST, "expected snr, pairs for query_ratio.best_step, got nothing"),
        ((*BEST, "pair=1"), "parameter to be one of 'snr', 'dimension', 'pairs'"),
        ((*BEST, "snr"), "expected name=value, got 'snr'"),
        ((*BEST, "snr=-1", "pairs=1"), "expected snr >= 0 and finite, got -1.0"),
        ((*BEST, "snr=abc", "pairs=1"), "expected snr >= 0 and finite, got 'abc'"),
        ((*BEST, "snr=", "pairs=1"), "expected snr >= 0 and finite, got ''"),
        ((*BEST, "snr=1,2", "pairs=1,2,3"), "query_ratio.best_step can broadcast"),
        ((*BEST, "snr=[1,[2]]", "pairs=1"), "expected snr >= 0 and finite"),
        (
            ("convergence.plateau", "drift=1", "step=1", "norm=L3"),
            "norm to be one of 'Linf', 'L2', got 'L3'",
        ),
    ],
)
def test_bad_questions_are_one_line(words, says):
    assert says in refused("eval", *words)


# -- recommend --------------------------------------------------------------------


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


# -- recommend for a model --------------------------------------------------------

# A question of seconds: one attack, few queries.
MODEL_WORDS = ("recommend", "--model", "tiny_model:load", "--data", "val.npz")
SMALL = ("--target-queries", 20, "--protect", 0.4, "--max-accuracy-loss", 0.3)
ONE = (*MODEL_WORDS, *SMALL, "--attacker", "signhunter", "--eps", 0.05)


def test_recommend_for_a_model_and_again_from_its_store(project, monkeypatch):
    """All attacks; what is in the store is not attacked again."""
    from querytax.trials import bench

    words = (*MODEL_WORDS, *SMALL, "--site", "input", "--eps", 0.05)
    words = (*words, "--effort", "quick", "--store", "s.db")
    first = told(*words)
    (rec,) = (Recommendation.from_json(r) for r in first["recommendations"])
    assert rec.status in ("FEASIBLE", "NO_NOISE_NEEDED")
    assert rec.evidence == "certified"
    assert rec.certified_to == 20
    assert dict(rec.images) == {"calibration": 6, "held_out": 6}
    assert len(rec.considered) > 20
    assert first["attacks"] == []

    def never(*_, **__):
        raise AssertionError("attacked again")

    monkeypatch.setattr(bench, "attack_all", never)
    assert told(*words) == first
    text = call(*words).stdout
    assert f"{rec.status}, certified against the best of all attackers" in text
    assert rec.statement() in text
    table = text[text.index(" attack ") :]
    assert rec.standings[0].contender.name in table
    assert "inf" not in table
    assert ">20" in table


def test_held_out_images_sites_and_a_figure(project):
    rng = np.random.default_rng(1)
    x = rng.random((30, 1, 4, 4)).astype(np.float32)
    import tiny_model
    import torch

    y = tiny_model.load()(torch.from_numpy(x)).argmax(1).numpy()
    np.savez("more.npz", x=x, y=y)
    np.savez("none.npz", x=x[:0], y=y[:0])
    np.savez("single.npz", x=x[:1], y=y[:1])
    sites = ("--site", "input", "--site", "output")
    job = told(*ONE, *sites, "--held-out", "more.npz", "-o", "fig.png")
    (rec,) = (Recommendation.from_json(r) for r in job["recommendations"])
    assert dict(rec.images) == {"calibration": 12, "held_out": 30}
    assert [r.site for r in rec.rivals] == ["output:probabilities:reflect"]
    assert job["figure"] == "fig.png"
    assert (project / "fig.png").read_bytes().startswith(b"\x89PNG")
    assert "signhunter" in (project / "fig.csv").read_text()
    # A surrogate and other networks are models as well.
    own = ("--surrogate", "tiny_model:load", "--network", "hard=tiny_model:load")
    words = (*ONE, "--held-out", "single.npz", "--site", "input", *own)
    (rec,) = told(*words, code=4)["recommendations"]
    assert rec["status"] == "UNRESOLVED"
    assert "images" in rec["binding"]
    words = (*ONE, "--held-out", "none.npz", "--site", "input")
    assert "expected images, got none (in 'none.npz')" in refused(*words)


def test_a_model_with_its_statistics_is_not_probed(project, monkeypatch):
    small = ("--images", 3, "--directions", 2, "--site", "input", "--eps", 0.05)
    call("probe", "tiny_model:load", "--data", "val.npz", "-o", "s.npz", *small)

    def never(*_, **__):
        raise AssertionError("probed")

    monkeypatch.setattr(certifying, "probe", never)
    # The only place that was probed, with the budget of the probe.
    words = ("recommend", "s.npz", *ONE[1:-2])
    (rec,) = told(*words)["recommendations"]
    assert rec["site"] == "input"
    assert rec["plan"]["eps"] == 0.05
    says = "expected the budget of the statistics, Linf eps 0.05, got Linf eps 0.1"
    assert says in refused(*words, "--eps", 0.1)
    assert "got L2 eps 0.05" in refused(*words, "--norm", "L2")
    assert "expected site to be one of 'input'" in refused(*words, "--site", "output")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--network", "hard"), "expected --network NAME=MODULE:FUNCTION, got 'hard'"),
        (("--network", "=a:b"), "expected --network NAME=MODULE:FUNCTION, got '=a:b'"),
        (("--network", "a=no_module:f"), "model to be importable, got 'no_module:f'"),
        (("--surrogate", "tiny_model:absent"), "has no attribute 'absent'"),
        (("--held-out", "absent.npz"), "'absent.npz': No such file"),
        (
            ("--data", "one.npz"),
            "expected images two at least, to hold some out, got 1",
        ),
        (("--attacker", "squares"), "did you mean 'square'"),
        (("--attacker", "nes", "--access", "labels"), "access of nes to be scores"),
        (("--attacker", "transfer"), "expected surrogate for transfer"),
        (("--pairs", 3), "expected no pairs with --model: attacks bring their own"),
        (("--probe", 0.1, "--loss", "ce"), "expected no probe, loss with --model"),
        (("--site", "layer9"), "'layer9'"),
        (("--site", "best"), "site to be a list of those to choose among, got 'best'"),
        (("--store", "no/s.db"), "expected store to be a file of trials"),
        (("--store", "val.npz"), "expected store to be a file of trials"),
        (("--seed", -1), "expected rng a whole number >= 0, got -1"),
        (("--eps", 2), "expected eps <= 1 for Linf"),
        (("--protect", 1), "protect in (0, 1), got 1"),
        (("-o", "f.gif"), "path to end in .png"),
        (("-o", "no/f.png"), "a writable path"),
        (("absent-stats.npz",), "'absent-stats.npz': No such file"),
    ],
)
def test_bad_questions_for_a_model_are_one_line(project, words, says):
    x = np.full((1, 1, 4, 4), 0.5)
    np.savez("one.npz", x=x, y=np.array([0]))
    before = sorted(p.name for p in project.iterdir() if p.is_file())
    assert says in refused(*ONE, *words)
    assert sorted(p.name for p in project.iterdir() if p.is_file()) == before


def test_the_usual_budget_is_the_norm_s(project):
    words = (*ONE[:-2], "--norm", "L2")
    job = json.loads(CliRunner().invoke(main, [*map(str, words), "--json"]).stdout)
    assert job["recommendations"][0]["plan"]["eps"] == 1.0


# -- probe and attack -------------------------------------------------------------


def test_probe_then_recommend(project):
    small = ("--images", 3, "--directions", 2, "--site", "input", "--eps", 0.2)
    text = call("probe", "tiny_model:load", "--data", "val.npz", "-o", "s.npz", *small)
    assert "s.npz: 12 images, accuracy 100.00 %, 3 probed at input" in text.stdout
    told_again = told(
        "probe", "tiny_model:load", "--data", "val.npz", "-o", "t.npz", *small
    )
    assert told_again["probed"] == 3
    assert told_again["sites"] == ["input"]
    stats = ModelStatistics.load("s.npz")
    assert stats.eps == 0.2
    np.testing.assert_array_equal(
        stats.site("input").signal, ModelStatistics.load("t.npz").site("input").signal
    )
    result = CliRunner().invoke(
        main, ["recommend", "s.npz", "--target-queries", "1e4", "--site", "input"]
    )
    assert result.exit_code in (3, 4)
    assert "predicted against the best of all attackers" in result.stdout


def test_attack(project):
    words = ("attack", "tiny_model:load", "--data", "val.npz", "--eps", 0.3)
    words = (*words, "--images", 5, "--queries", 200, "--sigma", 0.05, "--pairs", 4)
    text = call(*words, "--site", "input").stdout
    assert "NES, Linf eps 0.3, probe 0.01, 4 pairs a step" in text
    assert "5 images, noise 0.05 at input, 200 queries each" in text
    assert "the model without noise" in text
    assert "most of 9 more answers" in text
    facts = told(*words, "--site", "input")
    assert sum(facts["queries_by_purpose"].values()) == facts["total_queries"]
    assert facts["sigma"] == 0.05
    assert facts["n_attacked"] == 5
    assert facts["clean"]["success_rate"] <= 1
    assert facts["total_queries"] <= 5 * 200


def test_any_attack_by_its_word(project):
    words = ("attack", "tiny_model:load", "--data", "val.npz", "--eps", 0.3)
    words = (*words, "--images", 5, "--queries", 60)
    text = call(*words, "--attack", "patterns", "--access", "labels").stdout
    assert text.startswith("patterns, Linf eps 0.3")
    facts = told(*words, "--attack", "square", "--recipe", "adaptive", "--set", "p=0.5")
    assert facts["attack"] == "square"
    assert facts["recipe"] == "adaptive"
    assert facts["settings"]["p"] == 0.5
    says = refused(*words, "--attack", "squares")
    assert "did you mean 'square'" in says
    assert "access 'scores' or more for nes" in refused(*words, "--access", "labels")
    assert "norm of patterns" not in refused(*words, "--set", "p")
    says = refused(*words, "--attack", "square", "--set", "q=2")
    assert "expected setting to be one of" in says
    assert "expected eps once" in refused(*words, "--set", "eps=0.1")
    says = refused(*words[:4], "--eps", 8)
    assert "expected eps <= 1 for Linf" in says
    assert "do you mean 8/255?" in says
    bare = [w for w in words if w not in ("--eps", 0.3)]
    assert told(*bare, "--norm", "L2")["settings"]["eps"] == 1.0
    assert told(*bare, "--attack", "boundary")["settings"]["norm"] == "L2"
    says = refused(*words, "--attack", "transfer")
    assert "expected surrogate for transfer" in says


def test_the_attack_that_an_answer_names_is_run_where_it_says(project, stats_file):
    rec = recommend_sigma(ModelStatistics.load(stats_file), 50, access="labels")
    shown = Contender("square", "adaptive", (("p", 0.3),))
    rec = dataclasses.replace(
        rec, attack=shown, site="input", sigma=0.05, access="scores"
    )
    Path("rec.json").write_text(json.dumps({"recommendations": [rec.to_json()]}))
    words = ("attack", "tiny_model:load", "--data", "val.npz", "--plan", "rec.json")
    facts = told(*words)
    assert (facts["site"], facts["sigma"]) == ("input", 0.05)
    assert facts["attack"] == "square"
    assert facts["settings"]["p"] == 0.3
    assert facts["settings"]["eps"] == rec.plan.eps
    assert facts["budget"] == 50
    assert told(*words, "--sigma", 0, "--queries", 20)["sigma"] == 0
    says = refused(*words, "--attack", "nes")
    assert "expected no attack and no recipe with a plan" in says


def test_the_portfolio_is_one_table_best_first(project):
    words = ("attack", "tiny_model:load", "--data", "val.npz", "--eps", 0.3)
    words = (*words, "--images", 4, "--queries", 60, "--attack", "all")
    text = call(*words, "--access", "labels").stdout
    assert all(len(line) < 80 for line in text.splitlines())
    assert "Not run: " in text
    assert "need scores" in text
    assert "setting that all attacks have" in refused(*words, "--set", "p=0.1")
    says = refused(*words[:-2], "--queries", 5, "--attack", "all")
    assert "expected an attack that can run" in says
    text = call(*words, "--access", "labels", "--norm", "L2").stdout
    assert "L2 eps 0.3," in text
    facts = told(*words, "--access", "labels")
    names = {fact["attack"] for fact in facts["results"]}
    assert {"patterns", "rays", "hopskipjump"} <= names
    assert "nes" in facts["left_out"]


def test_the_table_of_attacks():
    from querytax.attacks import ATTACKS
    from querytax.attacks.foreign import FOREIGN

    text = call("attacks").stdout
    assert all(len(line) < 80 for line in text.splitlines())
    facts = told("attacks")
    assert [fact["name"] for fact in facts] == [*ATTACKS, *FOREIGN]
    for fact in facts:
        assert fact["name"] in text
        both = {"published", "adaptive"} if fact["name"] in ATTACKS else set()
        assert set(fact["recipes"]) == both
    assert {f["access"] for f in told("attacks", "--access", "labels")} == {"labels"}
    one = call("attacks", "square").stdout
    assert "Andriushchenko" in one
    assert "adaptive: square, Linf" in one
    # Every setting, with its meaning.
    assert "incumbent : " in one
    for name in ("nes", "opt", "nestop1", "popskipjump"):
        lines = call("attacks", name).stdout.splitlines()
        assert max(map(len, lines)) < 80
        assert "repeats : int" in lines
    assert told("attacks", "square")[0]["settings"]["p"] == 0.05
    assert "expected access 'scores'" in refused("attacks", "nes", "--access", "labels")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nocolon",), "model as package.module:function, got 'nocolon'"),
        (("no_module:f",), "model to be importable, got 'no_module:f'"),
        (("tiny_model:absent",), "has no attribute 'absent'"),
        (("tiny_model:load", "--data", "no.npz"), "'no.npz': No such file"),
        (("tiny_model:load", "--data", "tiny_model.py"), "not plain arrays"),
        (("tiny_model:load", "--data", "half.npz"), "arrays x and y in 'half.npz'"),
        (("tiny_model:load", "--data", "far.npz"), "expected images in [0, 1]"),
        (("tiny_model:load", "--data", "label.npz"), "labels in 0..2, the model's"),
        (("tiny_model:load", "--data", "none.npz"), "expected images, got none"),
        (("tiny_model:load", "--site", "layer9"), "'layer9'"),
        (("tiny_model:load", "--device", "gpu"), "device to be available, got 'gpu'"),
        (("tiny_model:load", "--batch-size", 0), "batch_size a whole number >= 1"),
        (("tiny_model:load", "--eps", -1), "expected eps > 0 and finite, got -1"),
    ],
)
@pytest.mark.parametrize("command", ["probe", "attack"])
def test_bad_models_and_data_are_one_line(project, command, words, says):
    x, y = np.full((2, 1, 4, 4), 0.5), np.array([0, 1])
    np.savez("half.npz", x=x)
    np.savez("far.npz", x=x * 9, y=y)
    np.savez("label.npz", x=x, y=y + 5)
    np.savez("none.npz", x=x[:0], y=y[:0])
    before = sorted(p.name for p in project.iterdir() if p.is_file())
    words = (command, *words)
    if "--data" not in words:
        words = (*words, "--data", "val.npz")
    if command == "probe":
        words = (*words, "-o", "out.npz")
    assert says in refused(*words)
    assert sorted(p.name for p in project.iterdir() if p.is_file()) == before


def test_an_unwritable_statistics_file_is_told_before_the_work(project):
    words = ("probe", "no_module:f", "--data", "val.npz", "-o")
    assert "expected a writable path, got 'no/s.npz'" in refused(*words, "no/s.npz")
    assert "expected a writable path, got '.'" in refused(*words, ".")


def test_numbers_of_the_attack_are_checked(project):
    words = ("attack", "tiny_model:load", "--data", "val.npz")
    assert "sigma >= 0 and finite, got -1" in refused(*words, "--sigma", -1)
    assert "n_queries >= 30, the first step of nes" in refused(*words, "--queries", 5)
    assert "images a whole number >= 1" in refused(*words, "--images", 0)


# -- as a process -----------------------------------------------------------------


def process(*words, **options):
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from querytax.cli import main; main()",
            *map(str, words),
        ],
        capture_output=True,
        text=True,
        **options,
    )


def test_a_process_ends_with_the_code_and_keeps_the_streams_apart(stats_file):
    for target, code in ((25, 4), (1e5, 3)):
        out = process("recommend", stats_file, "--target-queries", target, "--json")
        assert out.returncode == code
        assert out.stderr == ""
        assert json.loads(out.stdout)["recommendations"][0]["target_queries"] == target
    out = process("recommend", "absent.npz", "--target-queries", 5)
    assert (out.returncode, out.stdout) == (2, "")
    assert out.stderr.startswith("error: expected a statistics file")
    assert "Traceback" not in out.stderr


def test_the_installed_command(tmp_path):
    command = Path(sys.executable).with_name("querytax")
    if not command.exists():
        pytest.skip("querytax is not installed beside the interpreter")
    out = subprocess.run(
        [command, "laws", "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(out.stdout)


def test_ctrl_c_is_one_line(project):
    out = process("attack", "tiny_model:interrupted", "--data", "val.npz", cwd=project)
    assert out.returncode == 130
    assert out.stdout == ""
    assert out.stderr == "interrupted; no file was left half written\n"


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


def test_simulate_holds_the_law_against_its_definition(tmp_path):
    words = ("simulate", "misstep.random_direction", "snr=0.5", "--samples", "2e5")
    found = json.loads(call(*words, "--json").output)
    assert found["low"] < found["law"] < found["high"]
    assert found["arguments"] == {"snr": 0.5}
    assert json.loads(call(*words, "--threads", "1", "--json").output) == found
    text = call(*words).output
    assert "inside" in text
    clipped = ("ratio.truncated_mean", "output=0.1", "other_output=0.05", "sigma=0.05")
    bounds = ("low=-10", "high=10", "--samples", "1e5")
    assert "clipped    to [-10, 10]" in call("simulate", *clipped, *bounds).output
    assert all(len(line) <= 80 for line in text.splitlines())
    kept = (*words, "--resume", str(tmp_path / "run.json"), "--json")
    assert json.loads(call(*kept).output) == json.loads(call(*kept).output) == found
    assert json.loads(call(*words, "--relative", "1e-6", "--json", code=4).output)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("misstep.random_directio",), "did you mean 'misstep.random_direction'"),
        (("misstep.random_direction",), "expected snr for misstep.random_direction"),
        (("misstep.random_direction", "snr=0"), "expected snr > 0"),
        (("misstep.random_direction", "snr=1", "--samples", "0"), "max_samples > 0"),
        (("misstep.random_direction", "snr=1", "--threads", "0"), "expected threads"),
    ],
)
def test_bad_simulations_are_one_line(words, says):
    told = call("simulate", *words, code=2).stderr
    assert says in told
    assert len(told.splitlines()) == 1
