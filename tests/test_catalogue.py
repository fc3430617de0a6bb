"""Every defence by its word: built, priced, attacked, listed, and refused in a line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from querytax import demo
from querytax.attacks.table import plan_of
from querytax.catalogue import DEFENCES, NOT_BUILT, Setting, find, usual_strength
from querytax.cli import main
from querytax.defenses import Defense, defend
from querytax.expect import DomainError
from querytax.recommend.portfolio import breakers
from querytax.sites import Site

RIVALS = sorted(word for word, entry in DEFENCES.items() if entry.made)
PLAIN = [word for word in RIVALS if not DEFENCES[word].trained]
TRAINED = [word for word in RIVALS if DEFENCES[word].trained]


@pytest.mark.parametrize("word", DEFENCES)
def test_an_entry_says_what_a_person_asks(word):
    entry = DEFENCES[word]
    assert entry.word == word
    assert 10 < len(entry.about) <= 60
    assert all((entry.source, entry.comparison, entry.breaker))
    assert all(0 < level <= entry.most for level in entry.levels)
    assert list(entry.levels) == sorted(set(entry.levels))
    assert 0 < entry.usual <= entry.most
    for name, setting in entry.settings.items():
        assert setting.read(name, setting.default) == setting.default
        if setting.words:
            assert setting.default in setting.words


@pytest.mark.parametrize("word", RIVALS)
def test_its_breaker_is_an_attack_that_can_run(word):
    (one,) = breakers(word)
    settings = Site.parse(word).knowing(one.changes, DEFENCES[word].usual)
    plan = plan_of(
        one.attack, 0.1, "Linf", recipe=one.recipe, shape=(1, 8, 8), **settings
    )
    assert "{" not in plan.describe()
    assert "{" not in one.name


def test_noise_at_a_place_has_no_breaker_of_its_own():
    assert breakers("input") == breakers("input+layer3") == ()


@pytest.mark.parametrize("word", PLAIN)
def test_at_strength_0_the_model_answers_as_without_it(word):
    network = demo.load_model()
    images = demo.digits().probe[0][:16]
    guarded = defend(network, word, 0.0)
    assert isinstance(guarded, Defense)
    with torch.no_grad():
        said, own = guarded(images), network(images)
    if guarded.answers == "probabilities":
        own = own.softmax(1)
    assert torch.allclose(said, own, atol=1e-6)


@pytest.mark.parametrize("word", PLAIN)
def test_the_class_changes_only_where_the_catalogue_says_so(word):
    if DEFENCES[word].decides:
        pytest.skip("it decides")
    network = demo.load_model()
    images = demo.digits().probe[0]
    guarded = defend(network, word)
    with torch.no_grad():
        assert (guarded(images).argmax(1) == network(images).argmax(1)).all()


@pytest.mark.parametrize("word", PLAIN)
def test_what_is_random_differs_from_query_to_query_and_nothing_else_does(word):
    network = demo.load_model()
    images = demo.digits().probe[0][:64]
    for seed in (None, 3):
        guarded = defend(network, word, experiment_seed=seed)
        with torch.no_grad():
            same = torch.equal(guarded(images), guarded(images))
        if word == "boundary-defense":
            # Sure answers are left alone: there may be no other among these.
            continue
        drawn = bool(DEFENCES[word].random) and word != "quantize"
        assert same != drawn


def test_settings_are_read_from_words_and_from_python():
    word = Site.parse("quantize:dither=true:on=logits")
    assert word.name == "quantize:dither=true:on=logits"
    assert Site.parse(word.name) == word
    assert Site.of("quantize", {"on": "logits", "dither": True}) == word
    # Defaults are left out, whatever their order and spelling.
    assert Site.parse("quantize:on=probabilities:dither=False").name == "quantize"
    made = defend(nn.Flatten(), "rls", low=0.25, high=4)
    assert "high=4" in repr(made)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("rls:low", "name=value"),
        ("rls:low=", "name=value"),
        ("rls:low=1:low=2", "once"),
        ("rls:high=3", "setting of rls"),
        ("rls:low=nan", "a number in"),
        ("rls:low=1e400", "a number in"),
        ("quantize:dither=2", "true or false"),
        ("quantize:on=pixels", "on"),
        ("aaa:form=cosine", "form"),
        ("rls+input", "around the other"),
        ("input*2+jpeg", "around the other"),
    ],
)
def test_a_wrong_word_is_answered_in_one_line(word, message):
    with pytest.raises(DomainError, match=message) as caught:
        Site.parse(word)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("args", "more", "message"),
    [
        (("quantize", 2.0), {}, "step <= 1"),
        (("rls", -1.0), {}, "high"),
        (("rls", 3.0), {"high": 3.0}, "once"),
        (("rls",), {"tau": 3.0}, "tau"),
        (("input",), {}, "sigma"),
        (("input", 0.1), {"low": 1.0}, "no settings"),
        (("rls",), {"data": (torch.zeros(1, 3), torch.zeros(1))}, "not trained"),
        (("input", 0.1), {"data": (torch.zeros(1, 3), torch.zeros(1))}, "no data"),
    ],
)
def test_a_wrong_defence_is_answered_in_one_line(args, more, message):
    with pytest.raises(DomainError, match=message) as caught:
        defend(nn.Flatten(), *args, **more)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", TRAINED)
def test_training_wants_data(word):
    with pytest.raises(DomainError, match="data"):
        defend(demo.load_model(), word)


def test_a_whole_number_is_no_fraction_and_a_truth_is_no_number():
    whole = Setting(3, "so many", 1, 9)
    assert whole.read("side", "5") == 5
    for wrong in ("2.5", 2.5, True, "x", None, 10, float("inf")):
        with pytest.raises(DomainError, match="side"):
            whole.read("side", wrong)
    with pytest.raises(DomainError, match="a word"):
        Setting("mean", "how").read("filter", 3)


def test_the_usual_strength_is_that_of_a_rival():
    assert usual_strength("rls:low=0.25") == 10.0
    assert usual_strength("input") == usual_strength("layer3") == 0.0
    with pytest.raises(DomainError, match="rls"):
        find("rsl")


def test_the_shell_lists_them_within_80_columns():
    run = CliRunner().invoke(main, ["defences"])
    assert run.exit_code == 0
    assert max(map(len, run.output.splitlines())) <= 80
    assert all(word in run.output for word in DEFENCES)
    pages = CliRunner().invoke(main, ["defences", *DEFENCES])
    assert pages.exit_code == 0
    assert max(map(len, pages.output.splitlines())) <= 80
    assert all(pages.output.count(f"{word}: ") for word in DEFENCES)


def test_the_shell_lists_them_as_data():
    run = CliRunner().invoke(main, ["defences", "rls", "--json"])
    (facts,) = json.loads(run.output)
    assert facts["strength"] == "high"
    assert facts["settings"]["low"]["default"] == 0.5
    wrong = CliRunner().invoke(main, ["defences", "rsl"])
    assert wrong.exit_code == 2
    assert "rls" in wrong.stderr


def test_the_page_tells_of_every_defence():
    page = (Path(__file__).parents[1] / "docs" / "defences.md").read_text()
    listed = page.partition("<!-- catalogue -->")[2].partition("<!-- end")[0]
    told = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \| .* \|$", listed, re.MULTILINE))
    assert told == {word: entry.comparison for word, entry in DEFENCES.items()}
    for word in NOT_BUILT:
        assert word in page.lower()
