"""Words for places, and plans: what parses, what is refused, what a line says."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from querytax.defenses import (
    CombinedNoise,
    FeatureNoise,
    InputNoise,
    OutputNoise,
    defend,
)
from querytax.expect import DomainError
from querytax.losses import attacker_loss
from querytax.plans import NESPlan
from querytax.progress import progress
from querytax.sites import Site

WORDS = {
    "input": Site("input", "input"),
    "output": Site(
        "output", "output:probabilities:reflect", "probabilities", "reflect"
    ),
    "output:probabilities": Site(
        "output", "output:probabilities:reflect", "probabilities", "reflect"
    ),
    "output:probabilities:clip": Site(
        "output", "output:probabilities:clip", "probabilities", "clip"
    ),
    "output:probabilities:raw": Site(
        "output", "output:probabilities:raw", "probabilities", "raw"
    ),
    "output:logits": Site("output", "output:logits:raw", "logits", "raw"),
    "layer3": Site("feature", "layer3"),
    "output.dense": Site("feature", "output.dense"),
    "layer3:before": Site("feature", "layer3:before"),
    "input+output": Site(
        "several",
        "input+output:probabilities:reflect",
        parts=((Site.parse("input"), 1.0), (Site.parse("output"), 1.0)),
    ),
    " input * 0.50+layer3*2": Site(
        "several",
        "input*0.5+layer3*2",
        parts=((Site.parse("input"), 0.5), (Site.parse("layer3"), 2.0)),
    ),
    "layer3*1.0+layer3:before*1e20+output:logits": Site(
        "several",
        "layer3+layer3:before*1e20+output:logits:raw",
        parts=(
            (Site.parse("layer3"), 1.0),
            (Site.parse("layer3:before"), 1e20),
            (Site.parse("output:logits"), 1.0),
        ),
    ),
    "output:logits+output:probabilities:clip*3": Site(
        "several",
        "output:logits:raw+output:probabilities:clip*3",
        parts=(
            (Site.parse("output:logits"), 1.0),
            (Site.parse("output:probabilities:clip"), 3.0),
        ),
    ),
    "layer3*1": Site("feature", "layer3"),
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_a_site_and_its_full_name_the_same_site(word):
    site = Site.parse(word)
    assert site == WORDS[word]
    assert Site.parse(site.name) == site
    assert Site.parse(site) is site


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("output:logit", "did you mean 'output:logits:raw'"),
        ("output:logits:clip", "did you mean .*'output:logits:raw'"),
        ("output:probabilities:round", "did you mean .*'output:probabilities:"),
        ("output:probabilities:raw:twice", "expected site to be one of 'output'"),
        ("", "expected site to be a word, got ''"),
        (3, "expected site to be a word, got 3"),
        (None, "expected site to be a word, got None"),
        (":before", "expected site to name a layer before ':before'"),
        ("input+", r"joined by '\+', got an empty one in 'input\+'"),
        ("+", "got an empty one"),
        ("input++layer3", "got an empty one"),
        ("input+*2", "got an empty one"),
        ("input + ", "got an empty one"),
        ("input*0+layer3", "give 'input' a weight > 0 and finite, got '0' in"),
        ("input*-1+layer3", "got '-1'"),
        ("input+layer3*nan", "give 'layer3' a weight > 0 and finite, got 'nan'"),
        ("input+layer3*inf", "got 'inf'"),
        ("input+layer3*", "got ''"),
        ("input+layer3*2*3", r"got '2\*3'"),
        ("input*1e+3+layer3", "got '1e'"),
        ("0.5*input+layer3", "give '0.5' a weight > 0 and finite, got 'input'"),
        ("input+layer3+input*2", "every place once, got input twice"),
        ("layer3+layer3", "got layer3 twice"),
        ("output+output:probabilities:clip", "got output:probabilities twice"),
        ("input+output:logit", "did you mean 'output:logits:raw'"),
        ("layer3*2", "weigh one place against another.* 'layer3' alone change sigma"),
    ],
)
def test_a_bad_word_names_site_and_the_closest(word, says):
    with pytest.raises(DomainError, match=says) as caught:
        Site.parse(word)
    assert "\n" not in str(caught.value)
    assert "expected site" in str(caught.value)


@given(
    st.lists(st.floats(5e-324, 1.7e308), min_size=2, max_size=4),
    st.permutations(["input", "output", "layer1", "layer1:before"]),
)
def test_weights_and_order_come_back_from_the_name(weights, words):
    pairs = list(zip(words, weights, strict=False))
    site = Site.parse(
        "+".join(f"{word}*{weight!r}".replace("e+", "e") for word, weight in pairs)
    )
    assert Site.parse(site.name) == site
    assert site.parts == tuple((Site.parse(word), weight) for word, weight in pairs)
    assert site.name.count("+") == len(pairs) - 1


def test_a_layers_word_says_which_module_and_which_side():
    for word, module, where in (
        ("layer3", "layer3", "output"),
        ("layer3:before", "layer3", "input"),
        ("input", "", "output"),
        ("input+layer3:before", "", "output"),
    ):
        site = Site.parse(word)
        assert (site.module, site.where) == (module, where)


def test_defend_builds_what_the_word_says():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    assert isinstance(defend(model, "input", 0.1), InputNoise)
    guarded = defend(model, "output:probabilities:clip", 0.1, experiment_seed=7)
    assert isinstance(guarded, OutputNoise)
    assert (guarded.on, guarded.form, guarded.seed) == ("probabilities", "clip", 7)
    assert isinstance(defend(model, "1", 0.1), FeatureNoise)
    before = defend(model, "1:before", 0.1)
    assert isinstance(before, FeatureNoise)
    assert (before.sites, before.where) == (("1",), "input")
    several = defend(model, "input+1*2", 0.1, experiment_seed=7)
    assert isinstance(several, CombinedNoise)
    assert (several.sigmas, several.seed) == ((0.1, 0.2), 7)
    for site in ("input", "output", "0"):
        with pytest.raises(DomainError, match=r"sigma to be one number .*got \(0.1,"):
            defend(model, site, (0.1, 0.2))
    with pytest.raises(DomainError, match=r"got '7'; the closest are '0', '1'"):
        defend(model, "7", 0.1)
    for sigma in (-1.0, float("nan"), float("inf")):
        for site in ("input", "output", "0", "input+0"):
            with pytest.raises(DomainError, match=f"sigma >= 0 and finite.*{sigma}"):
                defend(model, site, sigma)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"eps": 0}, "expected eps > 0 and finite, got 0"),
        ({"eps": float("nan")}, "expected eps > 0 and finite, got nan"),
        ({"norm": "linf"}, "expected norm .*did you mean 'Linf'"),
        ({"probe": -0.1}, "expected probe > 0 and finite, got -0.1"),
        ({"pairs": 0}, "expected pairs a whole number >= 1, got 0"),
        ({"pairs": 1.5}, "expected pairs a whole number >= 1, got 1.5"),
        ({"step": float("inf")}, "expected step > 0 and finite, got inf"),
        ({"step_rule": "adam"}, "expected step_rule to be one of 'sign'"),
        ({"loss": "cw"}, "expected loss to be one of 'ce', 'margin'"),
    ],
)
def test_a_bad_plan_is_one_line(change, says):
    with pytest.raises(DomainError, match=says):
        NESPlan(**{"eps": 0.1, **change})
    with pytest.raises(DomainError, match=says):
        NESPlan(eps=0.1).replace(**change)


def test_a_plan_is_frozen_data():
    plan = NESPlan(eps=0.1, pairs=3.0)
    assert plan.queries_per_step == 6
    assert isinstance(plan.pairs, int)
    assert plan == NESPlan(eps=0.1, pairs=3)
    assert plan.replace() == plan
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.eps = 1.0
    assert "1 pair a step" in plan.replace(pairs=1).describe()
    assert "3 pairs a step" in plan.describe()


@given(
    st.lists(st.floats(-30, 30), min_size=3, max_size=3),
    st.integers(0, 2),
    st.booleans(),
)
def test_both_losses_rise_towards_the_goal(logits, label, targeted):
    """Lowering the label's logit helps; raising the target's does."""
    answers, labels = torch.tensor([logits]), torch.tensor([label])
    moved = answers.clone()
    moved[0, label] += 1.0 if targeted else -1.0
    for loss in ("ce", "margin"):
        before, after = (
            attacker_loss(a, labels, loss=loss, targeted=targeted)
            for a in (answers, moved)
        )
        assert after >= before
        assert before.dtype == torch.float64
    margin = attacker_loss(answers, labels, loss="margin")
    if margin != 0:
        assert bool(margin > 0) == bool(answers.argmax(1) != label)


def test_probabilities_below_zero_have_a_logarithm():
    answers = torch.tensor([[-0.25, 0.9], [0.0, 1.1]])
    labels = torch.tensor([0, 0])
    loss = attacker_loss(answers, labels, answered="probabilities")
    expected = -torch.tensor([0.25, 1e-12], dtype=torch.float64).log()
    torch.testing.assert_close(loss, expected)
    twin = attacker_loss(answers, labels, answered="probabilities", targeted=True)
    torch.testing.assert_close(twin, -expected)


def test_no_bar_in_a_pipe(capsys):
    with progress(True) as bar:
        bar.update(bar.add("work", 2), 1)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch):
    class Terminal:
        """Takes what is written, and says that it is a terminal."""

        encoding = "utf-8"

        def __init__(self):
            self.text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text
            return len(text)

        def flush(self):
            pass

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal)
    with progress(True) as bar:
        bar.update(bar.add("work", 2), 2)
    assert "work" in terminal.text
    before = terminal.text
    with progress(False) as bar:
        bar.update(bar.add("work", 2), 1)
    assert terminal.text == before
