"""The main job on a model at hand: what noise costs, and answers that resume."""

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn

from querytax.attacks import attack
from querytax.attacks.table import plan_of
from querytax.certifying import PROBES, Rounded, certify, price
from querytax.defenses import defend
from querytax.expect import DomainError
from querytax.probes import probe
from querytax.recommend import Recommendation
from querytax.trials import Bench, Store

EPS = 0.03


class Planes(nn.Module):
    """Classes by planes through 6x6 images, summed row by row in double precision.

    With ``left`` it is interrupted after so many rows.
    """

    def __init__(self, classes=3, left=None):
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        weight = torch.randn(classes, 36, generator=draws, dtype=torch.float64)
        self.register_buffer("weight", weight)
        self.rows, self.left = 0, left

    def forward(self, x):
        self.rows += len(x)
        if self.left is not None and self.rows > self.left:
            raise KeyboardInterrupt
        x = x.double().flatten(1) - 0.5
        return (x[:, None] * self.weight).sum(2)


class Untouched(nn.Module):
    """A network that nobody may ask."""

    def forward(self, x):
        raise AssertionError("asked")


def data(n, seed=1, classes=3):
    """Images and what the planes say about them."""
    draws = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 1, 6, 6, generator=draws)
    return images, Planes(classes)(images).argmax(1)


@pytest.fixture(scope="module")
def measured():
    """Calibration images, held-out images, and what a probe found at the input."""
    calibration, held_out = data(40), data(60, seed=2)
    stats = probe(Planes(), *calibration, sites=["input"], eps=EPS, **PROBES["quick"])
    return calibration, held_out, stats


def asked(measured, target, model=None, **changes):
    calibration, held_out, stats = measured
    usual = {
        "site": "input",
        "eps": EPS,
        "protect": 0.5,
        "max_accuracy_loss": 0.3,
        "attacker": "signhunter",
        "held_out": held_out,
        "stats": stats,
    }
    return certify(model or Planes(), *calibration, target, **{**usual, **changes})


@pytest.fixture(scope="module")
def answered(measured):
    """A question that noise answers, and the rows that it took."""
    model = Planes()
    return asked(measured, 100, model), model.rows


# -- the price of noise -----------------------------------------------------------


def exact_loss(images, labels, sigma):
    """Accuracy lost to normal noise on two logits: a normal tail for each image."""
    said = Planes(2)(images)
    margin = (said[:, 1] - said[:, 0]) * (2.0 * labels - 1.0)
    right = special.ndtr(margin.numpy() / (sigma * 2**0.5))
    return (margin > 0).double().numpy() - right


def test_a_price_is_a_count_and_meets_the_closed_form():
    images, labels = data(300, classes=2)
    labels[::9] = 1 - labels[::9]
    model, sigma, site = Planes(2), 0.5, "output:logits:raw"
    low, loss, high = price(model, images, labels, site, sigma, n_draws=200, rng=3)
    assert 0 <= low < loss < high <= 1
    guarded = defend(model, site, sigma, experiment_seed=3)
    with torch.no_grad():
        right = [
            (torch.cat([guarded(x) for x in images.split(256)]).argmax(1) == labels)
            for _ in range(200)
        ]
    clean = (model(images).argmax(1) == labels).double().mean()
    assert loss == pytest.approx(float(clean - torch.stack(right).double().mean()))
    # Five standard errors of 200 draws on each of 300 images.
    truth = exact_loss(images, labels, sigma)
    share = np.abs(truth)
    error = np.sqrt((share * (1 - share)).sum() / 200) / len(images)
    assert abs(loss - truth.mean()) < 5 * error


def test_the_bounds_of_a_price_cover_that_of_all_images():
    images, labels = data(4000, classes=2)
    sigma, site = 1.0, "output:logits:raw"
    truth = exact_loss(images, labels, sigma).mean()
    inside = 0
    for part in range(50):
        few = slice(80 * part, 80 * (part + 1))
        low, _, high = price(Planes(2), images[few], labels[few], site, sigma, rng=part)
        inside += low <= truth <= high
    # Two standard errors hold in 95 % of 50; 42 or fewer would be seen in 0.2 %.
    assert inside > 42


def test_no_change_at_all_is_a_share_that_was_never_seen():
    images, labels = data(60)
    assert price(Planes(), images, labels, "input", 1e-9) == (0.0, 0.0, 3.0 / 60)
    assert price(Planes(), images[:1], labels[:1], "input", 1e-9) == (0.0, 0.0, 1.0)
    # Noise that only helps costs nothing.
    wrong = (labels + 1) % 3
    low, loss, high = price(Planes(), images, wrong, "input", 0.5)
    assert low == loss == 0.0
    assert 0.0 <= high < 0.05


def test_a_price_leaves_the_mode_of_the_network_and_is_drawn_again():
    images, labels = data(40)
    model = nn.Sequential(Planes(), nn.Dropout(0.9)).train()
    first = price(model, images, labels, "input", 0.3, rng=1)
    assert model.training
    assert first == price(model, images, labels, "input", 0.3, rng=1)
    assert first != price(model, images, labels, "input", 0.3, rng=2)


# -- the whole way ----------------------------------------------------------------


def test_blind_patterns_end_a_question_before_any_attack(monkeypatch):
    """From the probe alone, since no noise moves them."""

    def never(*_, **__):
        raise AssertionError("attacked")

    monkeypatch.setattr(Bench, "run", never)
    rec = certify(Planes(), *data(40), 5000, site="input", eps=0.4, protect=0.5)
    assert (rec.status, rec.exit_code) == ("INFEASIBLE", 3)
    assert (rec.binding, rec.evidence) == ("blind patterns", "tried")
    assert rec.ceiling[2] < 5000
    assert rec.attack.attack == "patterns"
    assert rec.standings == ()
    # Without images of their own, every second one is held out.
    assert dict(rec.images) == {"calibration": 20, "held_out": 20}
    assert "whatever the noise" in " ".join(rec.statement().split())


def test_a_level_that_is_called_enough_holds_on_other_images(answered):
    rec, _ = answered
    assert (rec.status, rec.evidence) == ("FEASIBLE", "certified")
    assert 0 < rec.sigma <= rec.sigma_for_accuracy
    assert rec.standings[0].images == dict(rec.images)["held_out"] == 60
    assert rec.standings[0].bound(0.05) <= 0.5
    assert rec.accuracy_loss[2] <= 0.3
    assert Recommendation.from_json(rec.to_json()).to_json() == rec.to_json()
    images, labels = data(200, seed=9)
    fresh = attack(
        defend(Planes(), "input", rec.sigma, experiment_seed=11),
        images,
        labels,
        plan_of("signhunter", EPS, "Linf", shape=(1, 6, 6), recipe="adaptive"),
        n_queries=100,
        rng=12,
    )
    # A certificate may be wrong in one of twenty; three standard errors of 200.
    assert fresh.clean.success.mean() <= 0.5 + 3 * 0.035
    assert rec.standings[0].share[0] <= fresh.clean.success.mean() + 0.1


def test_without_held_out_images_nothing_is_certified(measured):
    images, labels = measured[1]
    rec = asked(measured, 60, held_out=(images[:0], labels[:0]))
    assert (rec.status, rec.binding) == ("UNRESOLVED", "held-out images")
    assert rec.evidence != "certified"
    assert rec.exit_code == 4
    assert dict(rec.images) == {"calibration": 40}


def test_a_job_that_was_stopped_goes_on_where_it_was(measured, answered, tmp_path):
    once, rows = answered
    path = tmp_path / "trials.db"
    with pytest.raises(KeyboardInterrupt):
        asked(measured, 100, Planes(left=rows // 2), store=path)
    with Store(path) as store:
        kept = len(store)
    assert kept > 0
    resumed = Planes()
    assert asked(measured, 100, resumed, store=path).to_json() == once.to_json()
    with Store(path) as store:
        assert len(store) > kept
    assert resumed.rows < rows
    # Once more, and nothing is attacked.
    again = Planes()
    rec = asked(measured, 100, again, store=path)
    assert rec.to_json() == once.to_json()
    assert again.rows < resumed.rows


def test_several_sites_are_one_answer(measured, tmp_path):
    calibration, _, _ = measured
    stats = probe(
        Planes(),
        *calibration,
        sites=["input", "output:logits:raw"],
        eps=EPS,
        **PROBES["quick"],
    )
    listed = ["input", "output:logits:raw"]
    options = {"stats": stats, "store": tmp_path / "trials.db"}
    rec = asked(measured, 30, site=listed, **options)
    assert rec.site in listed
    assert [r.site for r in rec.rivals] == [s for s in listed if s != rec.site]
    assert asked(measured, 30, site="best", **options).to_json() == rec.to_json()


def test_rounded_scores_are_another_network():
    images, _ = data(20)
    said = Rounded(Planes())(images)
    assert Rounded.answers == "probabilities"
    assert torch.equal((said * 100).round() / 100, said)
    assert torch.allclose(said, Planes()(images).softmax(1), atol=0.0051)
    assert torch.equal(Rounded(Rounded(Planes()))(images), said)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": torch.zeros(3, dtype=torch.long)}, "labels to be 8 whole numbers"),
        ({"site": "best"}, "site to be a list of those to choose among, got 'best'"),
        ({"effort": "huge"}, "effort to be one of"),
        ({"protect": 1.0}, r"protect in \(0, 1\)"),
        ({"max_accuracy_loss": 1.5}, "max_accuracy_loss in"),
        ({"target_queries": 0}, "target_queries > 0"),
        ({"attacker": "squares"}, "did you mean 'square'|attacker to be one of"),
        ({"attacker": "nes", "access": "labels"}, "access of nes to be scores"),
        ({"attacker": "rays", "norm": "L2"}, "norm of rays to be Linf"),
        ({"attacker": "transfer"}, "surrogate for transfer"),
        ({"rng": -1}, "rng a whole number >= 0"),
        ({"store": "absent/trials.db"}, "store to be a file of trials"),
        ({"images": torch.rand(1, 1, 6, 6), "labels": torch.zeros(1).long()}, "two at"),
        ({"images": torch.rand(8, 1, 6, 6) * 9}, r"images in \[0, 1\]"),
    ],
)
def test_a_wrong_question_is_told_before_the_model_is_asked(
    change, says, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    usual = {"target_queries": 50, "images": data(8)[0], "labels": data(8)[1]}
    with pytest.raises(DomainError, match=says) as caught:
        certify(Untouched(), **{**usual, **change})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_several_workers_give_the_same_answer(measured, answered):
    found = asked(measured, 100, jobs=2)
    assert found.to_json() == answered[0].to_json()
