"""Defences that rewrite scores: what they answer, what they keep, what they refuse."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from querytax.catalogue import DEFENCES, NOT_BUILT
from querytax.defenses import Defense, defend
from querytax.defenses.margin_maps import (
    AttackOnAttackers,
    DashedLine,
    SineAttackOnAttackers,
)
from querytax.expect import DomainError
from querytax.losses import attacker_loss
from querytax.sites import Site

MAPS = ("aaa", "aaa-sine", "dld")
# Every rewriting, with what is drawn and what is not.
WORDS = (
    *MAPS,
    "rls",
    "boundary-defense:below=1",
    "quantize",
    "quantize:dither=true",
    "common",
    "scaled",
    "scaled:at=input",
    "mixture",
)
KEEPS = (*MAPS, "rls")


class Table(nn.Module):
    """The rows of the images, as they are."""

    def forward(self, x):
        return x


class Chances(Table):
    answers = "probabilities"

    def forward(self, x):
        return x.softmax(1)


def table(n=4000, classes=6, spread=4.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(n, classes, generator=generator)


def margins(logits):
    top = logits.sort(1).values
    return top[:, -1] - top[:, -2]


# -- what all of them do ---------------------------------------------------------------


@pytest.mark.parametrize("word", WORDS)
def test_the_rules_of_a_randomised_model(word, model, images):
    """Those that the suite's own tests ask of noise, of what draws nothing as well."""
    state = torch.random.get_rng_state()
    defence = defend(model, word)
    assert not isinstance(defence, nn.Sequential)
    assert defence.mergeable
    assert torch.equal(torch.random.get_rng_state(), state)
    assert next(defence.buffers()).device == torch.device("cpu")
    assert not set(defend(len, word).state_dict()) - {"_extra_state"}
    for own in (torch.float32, torch.float64, torch.bfloat16):
        typed = defend(copy.deepcopy(model).to(own), word)
        for mode in (True, False):
            answer = typed.train(mode)(images.double())
            assert answer.dtype == own
            assert answer.isfinite().all()
    defence.reset()
    defence(images)
    defence(images[:3])
    defence(images[:0])
    assert defence.n_queries == 10


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("strength", [None, 0.0])
def test_answers_are_memory_of_their_own(word, strength):
    kept = table(7)
    before = kept.clone()
    for network in (Table(), lambda x: kept):
        defence = defend(network, word, strength)
        answer = defence(kept)
        answer.fill_(9.0)
        assert torch.equal(kept, before)


@pytest.mark.parametrize("word", WORDS)
def test_strength_0_is_the_models_own_answer(word, model, images):
    defence = defend(model, word, 0)
    exact = model(images)
    if defence.answers == "probabilities":
        exact = exact.softmax(1)
    assert torch.equal(defence(images), exact)
    if word == "common":
        return
    chances = nn.Sequential(model, nn.Softmax(1))
    chances.answers = "probabilities"
    assert torch.equal(defend(chances, word, 0)(images), chances(images))


@pytest.mark.parametrize("word", WORDS)
def test_an_experiment_is_the_same_in_any_batches(word):
    x, rows, queries = table(50), torch.arange(50) % 7, torch.arange(50) + 2**40
    defence = defend(Table(), word, experiment_seed=3)
    whole = defence(x, rows, queries)
    parts = [
        defence(x[i], rows[i], queries[i])
        for i in (slice(0, 1), slice(1, 30), slice(30, 50))
    ]
    assert torch.equal(whole, torch.cat(parts))
    back = torch.arange(49, -1, -1)
    assert torch.equal(defence(x[back], rows[back], queries[back]), whole[back])
    for twin in (copy.deepcopy(defence), pickle.loads(pickle.dumps(defence))):
        assert torch.equal(twin(x, rows, queries), whole)
    other = defend(Table(), word, experiment_seed=4)(x, rows, queries)
    drawn = DEFENCES[Site.parse(word).word].random and word != "quantize"
    assert torch.equal(other, whole) == (not drawn)


@pytest.mark.parametrize("word", WORDS)
def test_a_deployed_one_draws_afresh(word):
    x = table(200)
    defence = defend(Table(), word)
    twin = copy.deepcopy(defence)
    answers = [defence(x), defence(x), twin(x), pickle.loads(pickle.dumps(defence))(x)]
    drawn = DEFENCES[Site.parse(word).word].random and word != "quantize"
    for i, one in enumerate(answers):
        for other in answers[:i]:
            assert torch.equal(one, other) == (not drawn)


@pytest.mark.parametrize("word", WORDS)
def test_gradients_pass(word):
    x = table(20).requires_grad_()
    defend(Table(), word, experiment_seed=0)(x)[:, 0].sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad[:, 0].any()


@pytest.mark.parametrize("word", WORDS)
def test_they_wrap_and_are_wrapped(word):
    x = table(20)
    outside = defend(defend(Table(), "input", 0.1), word)
    inside = defend(defend(Table(), word), "input", 0.1)
    for both in (outside, inside):
        assert both(x).isfinite().all()
        assert both.answers == (
            "logits" if defend(Table(), word).answers == "logits" else "probabilities"
        )


# -- the class -------------------------------------------------------------------------


@pytest.mark.parametrize("word", KEEPS)
@pytest.mark.parametrize("network", [Table, Chances])
@pytest.mark.parametrize("own", [torch.float32, torch.float64, torch.bfloat16])
def test_the_class_never_changes(word, network, own):
    """20,000 rows, some of whose two top classes are as near as their type allows."""
    x = table(20_000).to(own)
    top, at = x.max(1)
    beside = (at + 1) % 6
    near = torch.arange(len(x)) % 4 == 0
    below = torch.nextafter(top.float(), -top.new_ones(len(x)).float() * 99).to(own)
    x[near, beside[near]] = below[near]
    assert not DEFENCES[word].decides
    for strength in (DEFENCES[word].usual, 0.37, 50.0):
        said = defend(network(), word, strength)(x)
        assert torch.equal(said.argmax(1), network()(x).argmax(1))


# -- Random Logit Scaling --------------------------------------------------------------


def test_a_scale_is_uniform_and_one_for_each_row():
    """Kolmogorov distance over 20,000 rows; 1.95 / sqrt(n) fails once in 1,000 runs."""
    x = table(20_000, spread=1.0).double()
    said = defend(Table(), "rls", 10.0)(x)
    scales = said / x
    assert torch.allclose(scales, scales[:, :1].expand_as(scales))
    drawn = ((scales[:, 0] - 0.5) / 9.5).sort().values
    steps = torch.arange(1, 20_001) / 20_000
    assert float((drawn - steps).abs().max()) < 1.95 / math.sqrt(20_000)
    # Rows are independent: neighbours do not tell of each other.
    pairs = torch.corrcoef(torch.stack((scales[:-1, 0], scales[1:, 0])))
    assert abs(float(pairs[0, 1])) < 4 / math.sqrt(20_000)


def test_probabilities_are_scaled_by_their_logarithms():
    x = table(50).double()
    chances = defend(Chances(), "rls", experiment_seed=2)(x)
    logits = defend(Table(), "rls", experiment_seed=2)(x)
    assert torch.allclose(chances, logits.softmax(1))
    assert defend(Chances(), "rls").answers == "probabilities"


def test_a_largest_scale_below_the_smallest_leaves_no_draw():
    x = table(10)
    assert torch.equal(defend(Table(), "rls:low=2", 1.5)(x), 1.5 * x)


# -- margins, rewritten ----------------------------------------------------------------


@pytest.mark.parametrize("period", [0.7, 4.0])
def test_aaa_turns_the_margin_round_within_each_interval(period):
    x = table().double()
    m, told = margins(x), margins(defend(Table(), "aaa", period)(x))
    low = (m / period).floor() * period
    assert torch.allclose(told, 2 * low + period - m)
    turned = AttackOnAttackers(Table(), period, reverse=0.5)(x)
    assert torch.allclose(
        margins(turned), low + period / 2 - (m - low - period / 2) / 2
    )


def test_the_sine_is_the_published_one():
    """As written: m - 0.7 T sin((1 - 2 (m - a) / T) pi)."""
    x = table().double()
    m = margins(x)
    middle = ((m / 6 + 0.5).round() - 0.5) * 6
    target = m - 0.7 * 6 * torch.sin((1 - 2 / 6 * (m - middle)) * math.pi)
    assert torch.allclose(margins(defend(Table(), "aaa-sine")(x)), target)
    shown = SineAttackOnAttackers(Table(), 6.0).target(m)
    assert (shown > 0).all()


@pytest.mark.parametrize("word", ["aaa", "aaa-sine"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_top_probability_is_calibrated_as_far_as_order_allows(word, temperature):
    x = table().double()
    said = defend(Table(), f"{word}:temperature={temperature}")(x)
    want = (x / temperature).softmax(1).amax(1)
    got = said.softmax(1).amax(1)
    met = (got - want).abs() < 1e-9
    assert met.any()
    assert (got > want + 1e-9).any()
    assert (got < want - 1e-9).any()
    ordered = said.sort(1, descending=True).values
    third = ordered[:, 1] - ordered[:, 2]
    order = x.argsort(1, descending=True)
    shift = (said - x).gather(1, order)[:, 2:]
    # All classes behind move as one.
    assert torch.allclose(shift, shift[:, :1].expand_as(shift))
    # Too sure: the third is beside the second, or as near as it may come.
    sure = got > want + 1e-9
    beside = (third < 1e-9) | ((shift[:, 0] - 10.0).abs() < 1e-9)
    assert beside[sure].all()
    # Not sure enough: all are as far away as they may go.
    assert torch.allclose(shift[:, 0][got < want - 1e-9], shift.new_tensor(-10.0))


def test_two_classes_have_a_margin_alone():
    x = table(100, classes=2).double()
    for word in MAPS:
        kind = DEFENCES[word]
        told = margins(defend(Table(), word)(x))
        assert told.isfinite().all()
        assert (told - margins(x)).abs().max() <= kind.usual


def test_dashed_lines_are_the_published_ones():
    """The released rule, element by element: dashes end where a piece of u ends."""
    x = table(500).double()
    told = margins(defend(Table(), "dld")(x))
    for m, got in zip(margins(x).tolist(), told.tolist(), strict=True):
        begin = math.floor(m / 6) * 6
        u, high, end = (m - begin) / 6, False, 0.0
        while end <= 1:
            end += 0.04
            high |= end - 0.02 < u < end
        slope = 0.7 if high else -0.3
        assert math.isclose(got, begin + 1.8 + slope * (m - begin), abs_tol=1e-9)


def test_a_dashed_line_moves_the_top_logit_alone():
    x = table(50).double()
    said = defend(Table(), "dld")(x)
    assert ((said != x).sum(1) <= 1).all()


@pytest.mark.parametrize(("word", "reading"), [("aaa", "unfold"), ("dld", "undash")])
@pytest.mark.parametrize("network", [Table, Chances])
@pytest.mark.parametrize("period", [1.3, 4.0, 6.0])
def test_two_of_the_maps_are_undone_exactly(word, reading, network, period):
    """From the answer alone, row by row, whoever knows the period."""
    x = table(spread=2.0).double()
    labels = x.argmax(1)
    labels[::3] = x.argsort(1)[::3, -2]
    said = defend(network(), word, period)(x)
    heard = {"answered": getattr(network, "answers", "logits")}
    true = attacker_loss(x, labels, loss="margin")
    read = attacker_loss(said, labels, loss=f"{reading}:{period}", **heard)
    # An edge of an interval may be rounded to its other side.
    near = (margins(x) / period - (margins(x) / period).round()).abs() < 1e-6
    assert torch.allclose(read[~near], true[~near], atol=1e-6)
    told = attacker_loss(said, labels, loss="margin", **heard)
    assert not torch.allclose(told, true, atol=0.1)
    assert ((read > 0) == (labels != x.argmax(1))).all()


@pytest.mark.parametrize("network", [Table, Chances])
def test_a_ratio_does_not_see_the_scale(network):
    x = table(spread=0.5).double()
    labels = torch.arange(len(x)) % 6
    heard = {"answered": getattr(network, "answers", "logits"), "loss": "ratio"}
    exact = attacker_loss(network()(x), labels, **heard)
    said = attacker_loss(defend(network(), "rls")(x), labels, **heard)
    assert torch.allclose(said, exact, atol=1e-9)
    told = attacker_loss(x, labels, loss="margin")
    assert ((exact > 0) == (told > 0)).all()


# -- Boundary Defense ------------------------------------------------------------------


def test_noise_comes_where_the_answer_is_unsure():
    x = table(20_000, spread=1.0).double()
    sure = x.softmax(1).amax(1) >= 0.4
    noise = defend(Table(), "boundary-defense:below=0.4", 0.5)(x) - x
    assert 0.1 < float(sure.double().mean()) < 0.9
    assert not noise[sure].any()
    n = noise[~sure].numel()
    assert abs(float(noise[~sure].mean())) < 4 * 0.5 / math.sqrt(n)
    assert abs(float(noise[~sure].var()) / 0.25 - 1) < 4 * math.sqrt(2 / n)
    chances = defend(Chances(), "boundary-defense:below=0.4", 0.5)(x)
    assert torch.allclose(chances[sure], x.softmax(1)[sure])
    assert ((chances[~sure] - x.softmax(1)[~sure]).abs() > 1e-9).any(1).all()


# -- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "strength", "message"),
    [
        ("rls", -1, "expected high >= 0 and finite, got -1"),
        ("rls:low=0", 10, r"expected low to be a number in \[1e-06, 1e\+06\], got '0'"),
        ("rls:hgih=3", 10, "expected a setting of rls .low., got 'hgih'"),
        ("aaa", math.nan, "expected period >= 0 and finite, got nan"),
        ("aaa:temperature=-1", 4, "expected temperature to be a number in"),
        ("dld:dash=2", 6, "expected dash to be a number in"),
        ("boundary-defense:below=2", 0.1, "expected below to be a number in"),
        ("quantize", 1.5, "expected step <= 1, got 1.5"),
        ("quantize:dither=perhaps", 0.1, "expected dither to be true or false"),
        ("common:rho=1.1", 0.1, "expected rho to be a number in"),
        ("scaled:at=middle", 0.1, "expected at to be one of 'output', 'input'"),
        ("scaled:a=0", 0.1, "expected a to be a number in"),
        ("mixture:scales=1/x", 0.1, "expected scales to be numbers > 0 as in 1/10"),
        ("mixture:scales=0/1", 0.1, "expected scales to be numbers > 0 as in 1/10"),
        ("input+rls", 0.1, "expected site to join places of noise"),
    ],
)
def test_settings_out_of_range_are_named(word, strength, message):
    with pytest.raises(DomainError, match=message) as caught:
        defend(Table(), word, strength)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["quantize:on=logits", "common"])
def test_logits_of_a_model_that_has_none_are_refused(word):
    with pytest.raises(DomainError, match="on='probabilities' for a model that"):
        defend(Chances(), word)


@pytest.mark.parametrize("word", WORDS)
def test_probabilities_that_are_called_logits_are_refused(word):
    with pytest.raises(DomainError, match=r"set model.answers = 'probabilities'"):
        defend(lambda x: x.softmax(1), word)(table(30))


@pytest.mark.parametrize("kind", [AttackOnAttackers, DashedLine])
def test_classes_check_what_the_catalogue_does_not_offer(kind):
    wrong = {AttackOnAttackers: {"reverse": 1.5}, DashedLine: {"h": 1.0}}[kind]
    with pytest.raises(DomainError, match=f"expected {next(iter(wrong))} in"):
        kind(Table(), 4.0, **wrong)


def test_words_parse():
    site = Site.parse("rls:low=0.25")
    assert (site.kind, site.word, dict(site.settings)) == (
        "rival",
        "rls",
        {"low": 0.25},
    )
    assert Site.parse(site.name) == site
    assert Site.parse("rls:low=0.5").name == "rls"
    for word in (*WORDS, "common:rho=0.9:on=probabilities", "mixture:scales=1/3/9"):
        assert Site.parse(Site.parse(word).name) == Site.parse(word)
        assert isinstance(defend(Table(), word), Defense)
    assert not set(NOT_BUILT) & set(DEFENCES)
