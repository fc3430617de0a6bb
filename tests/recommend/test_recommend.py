"""Every answer that a recommendation can give, and the safe side of each."""

import dataclasses
import json
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_statistics import SIGMAS, synthetic

import querytax as qt
from querytax.expect import DomainError
from querytax.plans import NESPlan
from querytax.recommend import Recommendation, published_plan, recommend_sigma
from querytax.recommend.attackers import Attacker
from querytax.recommend.conclusions import _wilson
from querytax.recommend.families import Field
from querytax.recommend.predicted import _rounded_up
from querytax.recommend.prediction import Predictor
from querytax.recommend.price import Price
from querytax.recommend.recommendation import EXIT_CODES
from querytax.theory import accuracy

FALL = (0.0, 0.0, 0.0, 0.005, 0.5, 0.6)  # accuracy lost at SIGMAS


def level(stats, sigma, rec):
    """Queries at a level, by the predictor alone."""
    predictor = Predictor(stats, rec.site, published_plan(stats))
    nes = Attacker(rec.attacker, predictor, rec.protect)
    field = Field(stats, rec.site, rec.attacker, rec.access, nes, rec.protect)
    return field.predicted(sigma)[0]


def answers():
    """One recommendation a status, with its statistics."""
    stats = synthetic(loss=FALL)
    return {
        "PREDICTED": (stats, recommend_sigma(stats, 500, attacker="published")),
        "INFEASIBLE": (stats, recommend_sigma(stats, 1e4, attacker="published")),
        "UNRESOLVED": (synthetic(), recommend_sigma(synthetic(), 1e9)),
        "OUT_OF_REGIME": (
            stats,
            recommend_sigma(stats, 500, plan=NESPlan(eps=0.1, probe=0.5)),
        ),
    }


ANSWERS = answers()


@pytest.mark.parametrize("status", ANSWERS)
def test_every_status_of_laws_is_reached(status):
    _, rec = ANSWERS[status]
    assert (rec.status, rec.evidence) == (status, "predicted")
    assert rec.exit_code == {"INFEASIBLE": 3, "OUT_OF_REGIME": 5}.get(status, 4)
    # Attacks alone certify.
    assert set(EXIT_CODES) - set(ANSWERS) == {"FEASIBLE", "NO_NOISE_NEEDED"}


@pytest.mark.parametrize("attacker", ["published", "best"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("target", [250, 300, 700.5])
def test_sigma_reaches_the_target_and_a_little_less_does_not(attacker, norm, target):
    rng = np.random.default_rng(1)
    stats = synthetic(slope=rng.lognormal(0, 0.5, 20), n=20, norm=norm)
    rec = recommend_sigma(stats, target, attacker=attacker, protect=0.8)
    assert rec.status == "PREDICTED"
    if rec.sigma == 0.0:
        assert level(stats, 0.0, rec) >= target
        return
    assert rec.sigma == rec.sigma_for_queries == rec.sigma_searched[1]
    assert rec.predicted_queries[0] == level(stats, rec.sigma, rec) >= target
    assert level(stats, rec.sigma_searched[0], rec) < target
    assert rec.sigma_searched[0] > 0.98 * rec.sigma
    assert rec.fraction_protected >= 0.8
    low, high = rec.fraction_interval
    assert low < rec.fraction_protected <= high


def test_a_target_hit_exactly_is_reached():
    stats = synthetic()
    first = recommend_sigma(stats, 500, attacker="published")
    again = recommend_sigma(stats, first.predicted_queries[0], attacker="published")
    assert again.sigma == first.sigma
    bare = level(stats, 0.0, first)
    assert recommend_sigma(stats, bare, attacker="published").sigma == 0.0


@settings(max_examples=8, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(20, 1e5), st.sampled_from(["best", "published"]))
def test_sigma_scales_with_the_slope(factor, target, attacker):
    """A loss that is k times as steep, probed at k times the levels: k times sigma."""
    one = synthetic()
    other = synthetic(slope=factor, sigmas=np.array(SIGMAS) * factor)
    a, b = (recommend_sigma(s, target, attacker=attacker) for s in (one, other))
    assert a.status == b.status
    assert b.sigma == pytest.approx(a.sigma * factor, rel=0.021)


def test_both_attackers_side_by_side():
    stats = synthetic(loss=FALL)
    best = recommend_sigma(stats, 500)
    published = recommend_sigma(stats, 500, attacker="published")
    assert best.attacker == best.plan.name == "best"
    assert published.plan == published_plan(stats)
    assert best.sigma_for_queries > published.sigma_for_queries


# -- infeasible, with both limits and advice --------------------------------------


def test_infeasible_has_both_limits_the_largest_tax_and_advice():
    stats, rec = ANSWERS["INFEASIBLE"]
    assert rec.binding == "max_accuracy_loss"
    assert rec.sigma == rec.sigma_for_accuracy < rec.sigma_for_queries < math.inf
    assert Price(stats, "output").at(rec.sigma)[1] <= 0.01
    assert rec.tax > 1
    assert f"sigma {rec.sigma_for_queries:.4g}" in rec.advice
    assert f"a target of {rec.predicted_queries[0]:,.0f} queries" in rec.advice
    again = recommend_sigma(stats, rec.predicted_queries[0], attacker="published")
    assert again.status == "PREDICTED"
    price = Price(stats, "output").at(rec.sigma_for_queries)[1]
    more = recommend_sigma(
        stats, 1e4, attacker="published", max_accuracy_loss=price + 1e-6
    )
    assert more.status == "PREDICTED"
    assert more.sigma == rec.sigma_for_queries


def test_infeasible_at_any_probed_level():
    stats = synthetic(loss=FALL)
    rec = recommend_sigma(stats, 1e9)
    assert rec.status == "INFEASIBLE"
    assert math.isinf(rec.sigma_for_queries)
    assert "at no probed level, up to 10, is the target reached" in rec.advice


def test_noise_that_does_nothing_is_not_recommended():
    """Where noise adds no query, the least of it is named, not the most."""
    stats = synthetic(noise=1e-12, loss=FALL)
    rec = recommend_sigma(stats, 1e6, attacker="published")
    assert rec.status == "INFEASIBLE"
    assert rec.sigma == 0.0
    assert rec.tax == 1.0


def test_unresolved_asks_for_more_levels():
    _, rec = ANSWERS["UNRESOLVED"]
    assert rec.sigma == 10.0
    assert rec.sigma_searched == (10.0, math.inf)
    assert "Probe larger noise levels" in rec.advice


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"eps": 0.2}, "made for Linf eps 0.1, the plan has Linf eps 0.2"),
        ({"norm": "L2"}, "the plan has L2 eps 0.1; probe again with that budget"),
        ({"probe": 0.2}, "cover probe sizes 0.001 to 0.1, the plan has 0.2"),
        ({"probe": 1e-4}, "the plan has 0.0001; probe again with betas that reach it"),
    ],
)
def test_out_of_regime_promises_nothing(change, says):
    stats = synthetic()
    rec = recommend_sigma(stats, 500, plan=published_plan(stats).replace(**change))
    assert rec.status == "OUT_OF_REGIME"
    assert rec.sigma == 0.0
    assert says in rec.advice
    assert says in " ".join(rec.statement().split())
    for promise in ("enough", "% of", "median"):
        assert promise not in rec.statement()


# -- curves that turn -------------------------------------------------------------


def test_a_query_curve_that_falls_is_taken_at_its_later_values():
    """At the third level the signal is a thousand times as strong: noise helps."""
    stats = synthetic(signal=(1, 1, 1, 1e3, 1, 1))
    plain = recommend_sigma(synthetic(), 400, attacker="published")
    rec = recommend_sigma(stats, 400, attacker="published")
    assert plain.sigma < 0.1 < rec.sigma
    assert level(stats, 0.1, rec) < 400 <= level(synthetic(), plain.sigma, plain)
    assert any("not monotone" in note for note in rec.notes)
    assert "credited with the least of all larger ones" in " ".join(
        rec.statement().split()
    )


def test_a_dip_behind_no_noise_does_not_make_noise_necessary():
    stats = synthetic(path=0.01, signal=(1, 1, 1, 1e3, 1, 1), wander=0.001)
    bare = level(stats, 0.0, ANSWERS["UNRESOLVED"][1])
    rec = recommend_sigma(stats, bare)
    assert (rec.status, rec.sigma) == ("PREDICTED", 0.0)


def test_accuracy_that_recovers_is_taken_at_its_worst_so_far():
    stats = synthetic(loss=(0.0, 0.0, 0.03, 0.0, 0.0, 0.0))
    rec = recommend_sigma(stats, 1e4)
    assert rec.status == "INFEASIBLE"
    assert rec.sigma_for_accuracy < 0.01
    assert any("accuracy is not monotone" in note for note in rec.notes)
    price = Price(stats, "output")
    assert price.at(0.5)[1] == pytest.approx(0.03)


def test_an_exact_price_that_recovers_stops_at_its_first_crossing():
    """Raw noise mends wrong answers by chance: its exact loss falls again."""
    right, wrong = np.tile([1.0, 0.0, 0.0], (50, 1)), np.tile([9.0, 0.0, 0.0], (50, 1))
    logits = np.concatenate([wrong, right])
    stats = synthetic(
        logits=logits, wrong=50, sites=("output:logits:raw",), sigmas=(0, 0.2, 1.5, 90)
    )
    price = Price(stats, "output:logits")
    loss = [price.at(s)[1] for s in (0.2, 1.5, 90.0)]
    allowed = 0.5 * (loss[1] + loss[2])
    assert loss[1] > allowed > loss[2]
    largest = price.largest(allowed)
    assert 0.2 < largest < 1.5
    assert price.at(largest)[1] <= allowed


def test_raw_noise_is_priced_by_the_exact_law():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(100, 4)) * 3
    for site, on in (
        ("output:logits:raw", logits),
        ("output:probabilities:raw", None),
    ):
        stats = synthetic(logits=logits, sites=(site,))
        on = stats.probabilities if on is None else on
        price = Price(stats, site)
        exact = max(0.0, accuracy.accuracy_loss(on, 0.3, stats.labels))
        assert price.at(0.3)[1] == pytest.approx(exact)
        assert price.at(0.0) == (0.0, 0.0, 0.0)


def test_the_price_lies_in_its_interval():
    stats = synthetic(loss=FALL)
    stats.site("output").correct[:, ::3] *= 0.5
    for sigma in (0.0, 1e-4, 0.01, 0.05, 1.0):
        low, loss, high = Price(stats, "output").at(sigma)
        assert 0 <= low <= loss <= high <= 1


# -- what is said -----------------------------------------------------------------


@pytest.mark.parametrize("status", ANSWERS)
def test_a_statement_fits_a_terminal(status):
    _, rec = ANSWERS[status]
    text = rec.statement()
    assert all(len(line) <= 79 for line in text.splitlines())
    assert "nan" not in text
    assert " inf" not in text
    flat = " ".join(text.split())
    assert rec.plan.describe() in flat
    if status == "OUT_OF_REGIME":
        return
    for words in (
        "fresh independent noise for every query",
        "one plan for all images",
        "steps of fixed length",
        "signal, noise, curvature and what a search's moves change as measured",
        "An attack that is not named here",
        "copy of the model",
        "95 % interval",
        "the images being a sample",
        "By laws nes binds",
        "Price:",
        "two standard errors",
    ):
        assert words in flat
    assert ("Not predicted, and to be tried:" in flat) == (rec.attacker == "best")


def test_a_stalled_attack_reads_as_one():
    """In so many dimensions the plateau does not fluctuate as far as the boundary."""
    stats = synthetic(dimension=10**6)
    rec = recommend_sigma(stats, 1e12, attacker="published")
    assert rec.status == "PREDICTED"
    assert math.isinf(rec.predicted_queries[0])
    flat = " ".join(rec.statement().split())
    assert "endlessly many queries" in flat
    assert "the attack stalls" in flat


def test_an_attack_that_fails_without_noise_has_no_tax():
    stats = synthetic(path=np.inf)
    rec = recommend_sigma(stats, 1e4)
    assert rec.status == "PREDICTED"
    assert math.isnan(rec.tax)
    assert rec.statement()


def test_the_steps_of_a_plain_attack_are_not_called_fixed():
    stats = synthetic(norm="L2")
    plan = published_plan(stats, step_rule="plain", step=1e-3)
    rec = recommend_sigma(stats, 1e4, plan=plan, attacker="published")
    assert "steps of a fixed rate" in " ".join(rec.statement().split())


@pytest.mark.parametrize("status", ANSWERS)
def test_there_and_back_through_json(status):
    _, rec = ANSWERS[status]
    text = json.dumps(rec.to_json(), allow_nan=False)
    assert Recommendation.from_json(text) == rec
    assert Recommendation.from_json(json.loads(text)) == rec


def test_infinities_survive_json_and_words_stay_words():
    stats = synthetic()
    rec = recommend_sigma(stats, 1e12, attacker="published", base_queries=math.inf)
    rec = dataclasses.replace(rec, base_queries=math.inf)
    again = Recommendation.from_json(json.dumps(rec.to_json(), allow_nan=False))
    assert again == rec
    assert again.base_queries == again.predicted_queries[2] == math.inf
    assert again.provenance["words"] == ["inf", 1]


@pytest.mark.parametrize("data", ["{}", "[]", "no json", {"plan": {}}, "3"])
def test_json_of_something_else(data):
    with pytest.raises(DomainError, match="a recommendation's JSON") as caught:
        Recommendation.from_json(data)
    assert "\n" not in str(caught.value)


def test_provenance_laws_and_floor():
    _, rec = ANSWERS["PREDICTED"]
    assert rec.provenance["made"] == "by hand"
    assert rec.provenance["recommended_by"] == qt.__version__
    assert "convergence.steps" in rec.laws
    # The widest probe, error 1 in 100: (1 - 2e) ln((1-e)/e)/2 pairs over its S.
    snr = (2 * 0.1) ** 2 / (2 * rec.sigma**2)
    pairs = 0.98 * math.log(99) / 2 / snr
    assert rec.floor_queries == pytest.approx(2 * pairs)
    assert recommend_sigma(ANSWERS["PREDICTED"][0], 50).floor_queries == 0.0


def test_a_plot_is_written_without_torch(tmp_path):
    stats, _ = ANSWERS["PREDICTED"]
    stats.save(tmp_path / "s.npz")
    code = (
        "import sys, querytax.recommend as r\n"
        "from querytax.statistics import ModelStatistics\n"
        f"stats = ModelStatistics.load({str(tmp_path / 's.npz')!r})\n"
        "rec = r.recommend_sigma(stats, 500)\n"
        "rec.statement(); rec.to_json()\n"
        "heavy = {'torch', 'numba', 'sympy', 'matplotlib', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        f"rec.plot({str(tmp_path / 'f.png')!r})\n"
        "print('torch' in sys.modules)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["[]", "False"]
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


# -- other statistics -------------------------------------------------------------


def test_targeted_statistics():
    rec = recommend_sigma(synthetic(targeted=True), 500)
    assert rec.status == "PREDICTED"


def test_laws_need_a_count_of_a_model_without_gradients():
    stats = synthetic(path=np.nan, wander=np.nan)
    assert recommend_sigma(stats, 500).status == "UNRESOLVED"
    rec = recommend_sigma(stats, 500, base_queries=300, attacker="published")
    assert rec.status == "PREDICTED"
    assert rec.base_queries == pytest.approx(300, abs=21)


def test_counts_an_image_some_of_them_endless():
    counts = np.array([200.0, 210, 220, 250, 300, np.inf, np.inf, np.inf])
    rec = recommend_sigma(
        synthetic(), 500, base_queries=counts, attacker="published", protect=0.9
    )
    assert rec.status == "PREDICTED"
    assert rec.predicted_queries[0] >= 500


def test_measured_statistics_of_a_network(demo_stats):
    for site in ("output", "input"):
        rec = recommend_sigma(demo_stats, 2000, site=site, attacker="published")
        assert rec.status in EXIT_CODES
        assert Recommendation.from_json(json.dumps(rec.to_json())) == rec
        levels = [q[0] for q in rec.frontier.queries]
        assert all(a <= b <= c for a, b, c in rec.frontier.queries)
        assert levels[-1] >= levels[0]


@pytest.mark.parametrize("target", [1e-3, 1.0, 1e15, 1e300])
@pytest.mark.parametrize(("slope", "noise"), [(1e-150, 1e300), (1e150, 1e-300)])
def test_extremes_end_in_a_status(target, slope, noise):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stats = synthetic(slope=slope, noise=noise)
        for attacker in ("best", "published"):
            rec = recommend_sigma(stats, target, attacker=attacker)
            assert rec.status in EXIT_CODES
            assert "nan" not in rec.statement()
            json.dumps(rec.to_json(), allow_nan=False)


# -- bad input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target_queries": 0}, "expected target_queries > 0 and finite, got 0"),
        ({"target_queries": -5}, "expected target_queries > 0 and finite, got -5"),
        ({"target_queries": math.inf}, "target_queries > 0 and finite, got inf"),
        ({"target_queries": math.nan}, "target_queries > 0 and finite, got nan"),
        ({"target_queries": "many"}, "target_queries > 0 and finite, got 'many'"),
        ({"max_accuracy_loss": 1}, r"expected max_accuracy_loss in \[0, 1\), got 1"),
        ({"max_accuracy_loss": -0.1}, r"max_accuracy_loss in \[0, 1\), got -0.1"),
        ({"max_accuracy_loss": math.nan}, r"max_accuracy_loss in \[0, 1\), got nan"),
        ({"protect": 0}, r"expected protect in \(0, 1\), got 0"),
        ({"protect": 1.0}, r"expected protect in \(0, 1\), got 1.0"),
        ({"attacker": "bset"}, "attacker .*got 'bset'; did you mean 'best'"),
        ({"site": "input"}, "expected site to be one of 'output:probabilities:refl"),
        ({"site": "output:logits"}, "expected site .*got 'output:logits:raw'"),
        ({"site": ""}, "expected site to be a word, got ''"),
        ({"base_queries": 0}, "expected base_queries > 0, got 0"),
        ({"base_queries": math.nan}, "expected base_queries > 0, got nan"),
        ({"base_queries": []}, "expected base_queries > 0, got nan"),
        ({"base_queries": "few"}, "expected base_queries to be numbers, got 'few'"),
        ({"base_queries": [1.0, 2.0]}, "expected base_queries to be one number or 8"),
        (
            {"base_queries": 1000},
            "expected target_queries >= 1000, the cost without noise, got 500",
        ),
    ],
)
def test_bad_input_is_one_line(change, says):
    with pytest.raises(DomainError, match=says) as caught:
        recommend_sigma(synthetic(), **{"target_queries": 500, **change})
    assert "\n" not in str(caught.value)


@given(st.floats(1e-12, 1e12))
def test_rounding_goes_up_by_less_than_a_hundredth(value):
    up = _rounded_up(value)
    assert value * (1 - 1e-9) <= up <= value * 1.0100001
    assert float(f"{up:.3g}") == pytest.approx(up, rel=1e-12)


def test_wilsons_interval_by_its_equation():
    """Its ends p solve (share - p)^2 = z^2 p (1 - p)/n."""
    for share, n in ((0.9, 64), (0.5, 10), (0.0, 30), (1.0, 30)):
        for p in _wilson(share, n):
            gap = (share - p) ** 2 - 1.959964**2 * p * (1 - p) / n
            assert gap == pytest.approx(0, abs=1e-12)
