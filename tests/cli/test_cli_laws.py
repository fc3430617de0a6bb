"""The commands of laws: laws, show, eval and simulate."""

import json
import math

import numpy as np
import pytest
from shell import call, refused, told

from querytax.theory.law import laws


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
