"""The commands of laws: laws, show, eval and simulate."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from shell import call, refused, told

from querytax.theory import GROUPS
from querytax.theory.law import laws

ROOT = Path(__file__).resolve().parents[2]


PRINTED = "printed:aithal-li-2022/eq-6"


def test_laws_in_text_and_json():
    text = call("laws").stdout
    rows = told("laws")
    names = {row["name"] for row in rows}
    assert names == {entry.name for entry in laws()}
    assert all(len(line) <= 80 for line in text.splitlines())
    for entry in laws():
        assert f"  {entry.name.split('.')[1]}" in text
    # No summary is cut off.
    whole = " ".join(text.split())
    assert all(" ".join(row["summary"].split()) in whole for row in rows)
    for group in GROUPS:
        assert f"{group.upper()}\n" in text
    first = rows[0]
    assert {"topic", "limits", "source", "kind", "regime", "within"} <= set(first)
    assert first["parameters"][0].keys() >= {"name", "symbol", "meaning", "unit"}


def test_laws_are_found_by_word():
    found = {row["name"] for row in told("laws", "REFLECT")}
    assert "bias.reflected_mean" in found
    assert len(found) < 20
    fewer = {row["name"] for row in told("laws", "reflect", "mean")}
    assert fewer < found
    # By the symbol and by the name of a parameter.
    assert "passage.walk_mean" in {
        row["name"] for row in told("laws", "noiseless_steps")
    }
    assert "No law speaks of that" in call("laws", "aardvark", code=1).stdout


def test_what_papers_print_is_listed_apart():
    assert {PRINTED} < {row["name"] for row in told("laws", "--printed")}
    text = call("laws", "--printed").stdout
    assert "AS PAPERS PRINT IT" in text
    assert "printed:" not in call("laws").stdout


def test_pages_of_laws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = call("laws", "-o", "pages").stdout.split("\n")[:-1]
    text = "".join(Path(path).read_text() for path in written)
    assert len(written) == len(GROUPS)
    for entry in laws():
        assert f"## `{entry.name}`" in text
    # The pages of the documentation are these.
    for path in written:
        kept = ROOT / "docs" / "laws" / Path(path).name
        assert kept.read_text() == Path(path).read_text(), "querytax laws -o docs/laws"


@pytest.mark.parametrize("name", [e.name for e in laws()] + [PRINTED])
def test_show_every_law(name):
    text = call("show", name).stdout
    entry = told("show", name)
    assert entry["name"] == name
    assert entry["latex"]
    names = [p["name"] for p in entry["parameters"]]
    for word in ("Regime: ", "Source: ", "LaTeX: ", *names):
        assert word in text


def test_a_bare_name_shows_the_law_or_lists_those_of_the_name():
    assert call("show", "flip").stdout == call("show", "boundary.flip").stdout
    text = call("show", "random_direction").stdout
    assert "misstep" in text
    assert "repeats" in text
    assert {row["topic"] for row in told("show", "random_direction")} == {
        "misstep",
        "repeats",
    }
    found = call("eval", "flip", "margin=1", "margin_sigma=1").stdout
    assert float(found) == pytest.approx(0.158655, abs=1e-6)
    assert "misstep.random_direction or repeats.random_direction" in refused(
        "eval", "random_direction", "snr=1"
    )


def test_show_with_the_derivation():
    shown = call("show", "query_ratio.best_step", "--derivation", "--json")
    steps = json.loads(shown.output)["derivation"]
    assert [step["known"] for step in steps] == ["proved"] * len(steps)
    assert any("snr" in step["right"] for step in steps)
    text = call("show", "query_ratio.best_step", "--derivation").output
    assert "Derivation\n" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    refused = call("show", PRINTED, "--derivation", code=2)
    assert "expected a true law to derive, got 'printed:" in refused.stderr


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
    words = ("snr=1e-4", "contraction=0.2", "remaining=0.5", "error=0.1")
    result = call("eval", PRINTED, *words, code=5)
    assert float(result.stdout) > 1
    assert result.stderr.startswith("warning: ")
    again = call("eval", PRINTED, *words, "--json", code=5)
    assert json.loads(again.stdout)["value"] == float(result.stdout)


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
    bounds = ("truncated_low=-10", "truncated_high=10", "--samples", "1e5")
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
