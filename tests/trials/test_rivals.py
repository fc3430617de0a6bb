"""Rivals of noise on the bench, and in the answer that rests on it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import querytax as qt
from querytax import demo
from querytax.attacks.table import plan_of
from querytax.catalogue import DEFENCES
from querytax.defenses import defend
from querytax.evidence import Contender, Evidence, Trial
from querytax.expect import DomainError
from querytax.recommend.portfolio import breakers
from querytax.trials import Bench
from querytax.trials.ground import noise_seed

SMALL = {"n_directions": 4, "n_proposals": 4, "betas": (0.001, 0.01, 0.1)}


@pytest.fixture(scope="module")
def split():
    images, labels = demo.digits().probe
    with torch.no_grad():
        right = (demo.load_model()(images).argmax(1) == labels).nonzero()[:24, 0]
    return images[right], labels[right]


def trial(who, site, strength, images=24, n_queries=60):
    return Trial(
        who, 0.15, "Linf", "scores", site, strength, "calibration", images, n_queries
    )


def test_what_a_filter_gets_wrong_by_itself_costs_one_query(split):
    network = demo.load_model()
    with torch.no_grad():
        filtered = defend(network, "denoise", 1.0)(split[0]).argmax(1)
    wrong = (filtered != split[1]).numpy()
    assert 0 < wrong.sum() < len(wrong)
    bench = Bench(network, {"calibration": split})
    (found,) = bench.run([trial(Contender("square"), "denoise", 1.0)])
    assert found.broken.success[wrong].all()
    assert (found.broken.queries[wrong] == 1).all()
    assert (found.broken.queries[~wrong] > 1).all()


def test_a_breaker_is_told_the_strength_that_it_is_tried_at(split):
    """The attacker who knows the period does as well as one who is given it."""
    network = demo.load_model()
    bench = Bench(network, {"calibration": split})
    (knows,) = breakers("aaa")
    (found,) = bench.run([trial(knows, "aaa", 6.0)])
    settings = {**dict(knows.changes), "loss": "unfold:6"}
    told = dataclasses.replace(knows, changes=tuple(settings.items()))
    (same,) = bench.run([trial(told, "aaa", 6.0)])
    assert np.array_equal(found.broken.queries, same.broken.queries)


def test_a_trial_is_the_attack_on_the_defence(split):
    network = demo.load_model()
    bench = Bench(network, {"calibration": split})
    one = trial(Contender("square"), "rls", 10.0)
    (found,) = bench.run([one])
    guarded = defend(network, "rls", 10.0, experiment_seed=noise_seed(one.seed))
    plan = plan_of("square", 0.15, "Linf", recipe="adaptive", shape=(1, 8, 8))
    # The attacker's draws have a seed of their own: the rates are alike, not the runs.
    direct = qt.attack(guarded, *split, plan, n_queries=60, rng=1)
    assert abs(found.broken.rate() - direct.broken.rate()) < 0.4


def test_a_rival_is_answered_by_trials_alone(split):
    network = demo.load_model()
    stats = qt.probe(network, *split, sites=["rls"], eps=0.05, **SMALL)
    levels = stats.sites["rls"].sigmas
    assert tuple(levels) == (0.0, *DEFENCES["rls"].levels)
    # The class never changes.
    share, _ = stats.sites["rls"].accuracy()
    assert np.ptp(share) == 0.0
    alone = qt.recommend_sigma(stats, 60, site="rls")
    assert alone.status == "UNRESOLVED"
    assert alone.predicted_by == ()
    assert "no law here predicts what rls makes" in " ".join(alone.statement().split())
    found = qt.certify(
        network,
        *split,
        60,
        site="rls",
        eps=0.05,
        protect=0.5,
        attacker="square",
        stats=stats,
    )
    assert found.evidence != "predicted"
    assert "Gaussian noise" not in found.statement()
    assert type(found).from_json(found.to_json()).site == "rls"


def test_the_best_of_all_attackers_knows_the_defence(split):
    stats = qt.probe(
        demo.load_model(), *split, sites=["aaa", "input"], eps=0.05, **SMALL
    )
    found = qt.recommend_sigma(
        stats,
        60,
        site="aaa",
        trials=Evidence([]),
        images={"calibration": 24},
    )
    assert breakers("aaa")[0] in {want.contender for want in found.wants}


def test_what_must_be_trained_is_no_question_for_a_probe(split):
    with pytest.raises(DomainError, match="data"):
        qt.probe(demo.load_model(), *split, sites=["rse"], eps=0.15, **SMALL)
