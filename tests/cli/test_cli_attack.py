"""Probe and attack."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from shell import call, refused, told

from querytax.cli import main
from querytax.evidence import Contender
from querytax.recommend import recommend_sigma
from querytax.statistics import ModelStatistics


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


def test_a_rival_of_noise_is_attacked_by_its_name_and_usual_strength(project):
    words = ("attack", "tiny_model:load", "--data", "val.npz", "--eps", 0.3)
    words = (*words, "--images", 5, "--queries", 60, "--site", "rls:low=0.25")
    assert "5 images, rls:low=0.25 of high 10, 60 queries" in call(*words).stdout
    assert told(*words)["sigma"] == 10.0
    assert told(*words, "--sigma", 3)["sigma"] == 3.0
    wrong = refused(*words[:-1], "rls:low=x")
    assert "low" in wrong
    assert "data" in refused(*words[:-1], "rse")


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
