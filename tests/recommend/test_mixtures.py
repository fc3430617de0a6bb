"""Weights that are sought: which mixtures, and the choice among them."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_statistics import SIGMAS, synthetic

from querytax.expect import DomainError
from querytax.plans import NESPlan
from querytax.recommend import recommend_sigma
from querytax.recommend.mixtures import Sought, is_sought, promising, settled
from querytax.sites import Site

FALL = (0.0, 0.0, 0.0, 0.005, 0.5, 0.6)  # accuracy lost at SIGMAS
OUT = "output:logits:raw"


def stats(noises, **changes):
    """Statistics of sites that differ in the variance of their noise alone."""
    made = {n: synthetic(sites=(n,), noise=v, **changes) for n, v in noises.items()}
    sites = {name: one.sites[name] for name, one in made.items()}
    return dataclasses.replace(next(iter(made.values())), sites=sites)


# -- the word ---------------------------------------------------------------------


def test_a_weight_that_is_sought():
    assert is_sought("input+layer3*?")
    assert is_sought(" input * ? + layer3")
    assert not is_sought("input+layer3*2")
    assert not is_sought("best")
    assert not is_sought("is_it?")
    assert not is_sought(Site.parse("input"))


@pytest.mark.parametrize(
    ("word", "components"),
    [
        ("input+layer3*?", ("input", "layer3")),
        ("input*? + output*?", ("input", "output:probabilities:reflect")),
        # One number weighs nothing against what is sought.
        ("layer3*?+input*7", ("input", "layer3")),
        ("input+a.1*0.5+output:logits*?", ("input+a.1*0.5", OUT)),
        ("input*?+a+b*?", ("a", "input", "b")),
    ],
)
def test_places_with_numbers_are_one_component(word, components):
    assert Sought.parse(word).components == components


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("input*?", "the weights of 2 or 3 places, got 1"),
        ("input+a+b*?+c", "the weights of 2 or 3 places, got 4"),
        ("input+input*?", "name every place once, got input twice"),
        ("input+*?", "got an empty one"),
        ("input*-1+a*?", "a weight > 0 and finite"),
        ("input+output:nope*?", "output:nope"),
    ],
)
def test_what_is_no_such_word(word, says):
    with pytest.raises(DomainError, match=says) as caught:
        Sought.parse(word)
    assert "\n" not in str(caught.value)
    with pytest.raises(DomainError, match="number for its weight, got '\\?'"):
        Site.parse("input+a*?")


# -- the mixtures -----------------------------------------------------------------

scale = st.floats(1e-6, 1e6)


@given(st.lists(scale, min_size=2, max_size=3))
def test_a_mixture_divides_what_the_scales_allow(scales):
    """At its sigma the squared shares of the scales add up to 1, whatever they are."""
    names = ("input", "a", "b")[: len(scales)]
    sought = Sought.parse("+".join(f"{name}*?" for name in names))
    allowed = dict(zip(names, scales, strict=True))
    found = sought.mixtures(allowed)
    assert len(found) == len(scales) + 1
    shares = []
    for word, sigma in found.items():
        parts = {part.name: weight for part, weight in Site.parse(word).parts}
        assert parts["input"] == 1.0
        shares.append([sigma * parts[name] / allowed[name] for name in names])
        # Weights are typed with three digits.
        assert math.hypot(*shares[-1]) == pytest.approx(1.0, abs=0.01)
    # In the middle once, nearer to each place once, and to none entirely.
    nearest = np.array(shares)
    assert ((nearest > 0.3) & (nearest < 0.95)).all()
    even = np.ptp(nearest, axis=1) < 0.02
    assert even.sum() == 1
    assert set(nearest[~even].argmax(axis=1)) == set(range(len(scales)))


def test_what_was_typed_is_kept():
    sought = Sought.parse("input*2+a*0.333333+b*?")
    words = sought.mixtures({"input*2+a*0.333333": 0.1, "b": 10.0})
    for word in words:
        weights = {part.name: weight for part, weight in Site.parse(word).parts}
        assert (weights["input"], weights["a"]) == (2.0, 0.333333)
    assert sought.probed(words) == tuple(words)


def test_probed_mixtures_are_known_by_their_places():
    sought = Sought.parse("input+a*0.5+b*?")
    same = ("b*3+input+a*0.5", "input*2+a+b")
    others = ("input", "input+a*0.5", "input+a+b", "input+a*0.5+c", "input+b*2")
    assert sought.probed((*same, *others)) == same
    free = Sought.parse("input+b*?")
    assert free.probed(("input+b*2", "b+input*9", "input+b+c", "b")) == (
        "input+b*2",
        "b+input*9",
    )


# -- the choice -------------------------------------------------------------------


def test_the_site_where_an_attack_needs_most_comes_first():
    known = stats({"input": 2.0, "a": 8.0, "input+a*3": 32.0})
    order = promising(known, dict.fromkeys(known.sites, 0.01))
    assert [p.site for p in order] == ["input+a*3", "a", "input"]
    # The tax of one comparison is in the signal-to-noise ratio.
    ratios = [p.snr for p in order]
    assert ratios[1] == pytest.approx(4 * ratios[0])
    assert ratios[2] == pytest.approx(16 * ratios[0])
    assert order[0].queries[0] <= order[0].queries[1] <= order[0].queries[2]
    # More of it where there was less.
    order = promising(known, {"input": 0.1, "a": 0.01})
    assert [p.site for p in order] == ["input", "a"]


def test_where_no_law_holds_the_ratio_decides():
    # No law predicts an attack that has only labels where none were measured.
    known = stats({"input": 2.0, "a": 8.0})
    order = promising(known, {"input": 0.03, "a": 0.03}, access="labels")
    assert [(p.site, p.queries) for p in order] == [
        ("a", (math.inf,) * 3),
        ("input", (math.inf,) * 3),
    ]
    assert order[1].snr == pytest.approx(4 * order[0].snr)
    # Between two levels and beyond the last.
    assert promising(known, {"a": 0.03}, access="labels")[0].snr == order[0].snr
    lost = dataclasses.replace(known, path_length=np.full(8, np.nan))
    assert promising(lost, {"a": 0.03})[0].snr == pytest.approx(order[0].snr)


def test_blind_patterns_do_not_make_all_places_alike():
    # They break everything at once, and no noise moves them.
    known = stats({"input": 2.0, "a": 8.0}, blind=0.9)
    order = promising(known, {"a": 0.1, "input": 0.1})
    assert [p.site for p in order] == ["a", "input"]


def test_a_saved_file_answers_by_its_mixtures():
    noises = {"input": 2.0, "a": 2.0, "input+a*2": 4.0, "input+a*0.5": 16.0}
    known = stats(noises, loss=FALL)
    assert settled(known, "a*?+input", 0.01) == "input+a*0.5"
    found = recommend_sigma(known, 500, site="input+a*?")
    assert found == recommend_sigma(known, 500, site="input+a*0.5")
    several = recommend_sigma(known, 500, site=["input", "a+input*?"])
    assert {several.site, *(r.site for r in several.rivals)} == {
        "input",
        "input+a*0.5",
    }


def test_a_saved_file_names_what_to_probe():
    known = stats({"input": 2.0, "a": 2.0}, loss=FALL)
    with pytest.raises(DomainError, match="got 'input\\+a\\*\\?': probe ") as caught:
        recommend_sigma(known, 500, site="input+a*?")
    # Both allow the same noise.
    assert str(caught.value).endswith(": probe input+a*0.414 input+a input+a*2.41")
    with pytest.raises(DomainError, match="got 'b'"):
        recommend_sigma(known, 500, site="input+b*?")
    # Where the accuracy allows none, the least that was measured sets the scale.
    strict = stats({"input": 2.0, "a": 2.0}, loss=(0.0, *FALL[3:], 0.7, 0.7))
    with pytest.raises(DomainError, match=r"probe input\+a\*0.414 "):
        recommend_sigma(strict, 500, site="input+a*?", max_accuracy_loss=0.0)


def test_a_choice_needs_a_level_inside_what_was_probed():
    known = stats({"input": 2.0})
    with pytest.raises(DomainError, match="sigma <= 10"):
        promising(known, {"input": 2.0 * SIGMAS[-1]})


def test_the_plan_reaches_the_choice():
    known = stats({"input": 2.0})
    one, many = (
        promising(
            known,
            {"input": 0.01},
            attacker="published",
            plan=NESPlan(eps=0.1, step=0.01, pairs=pairs),
        )[0].queries[1]
        for pairs in (1, 50)
    )
    assert one != many
