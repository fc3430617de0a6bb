"""SND 2022 again: rows, independent counts, and judges that can fail."""

import math

import numpy as np
import pytest
import runs
import torch
from runs import made

from querytax.reproductions import reproduce, snd_2022, zoo
from querytax.reproductions.experiment import Job, settings
from querytax.reproductions.judge import DIFFERS, MATCHED, UNDECIDED
from querytax.reproductions.measured import only, select

NETWORK = "digits_resnet"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    return reproduce("snd-2022", folder=tmp_path_factory.mktemp("snd"))


@pytest.fixture(scope="module")
def rows(outcome):
    return runs.rows_of(outcome)


# -- the small run -----------------------------------------------------------------


def test_everything_is_measured_drawn_and_judged(outcome):
    runs.check(outcome, bounded=True)


def test_a_settled_statement_is_settled_here(outcome):
    said = {v.statement: v.verdict for v in outcome.verdicts["near-boundary"]}
    assert said["At a fixed point 20 votes err less than one."] == MATCHED
    assert said["Two fresh answers at the last query differ."] == MATCHED
    assert said["P_mis rises with the votes as in Table 5."] == MATCHED


# -- the same numbers another way --------------------------------------------------


def test_clean_accuracy_by_hand(rows):
    x, y = zoo.images(NETWORK)
    right = int((zoo.load(NETWORK)(x).argmax(1) == y).sum())
    for row in select(rows["clean-accuracy"], "clean accuracy", network=NETWORK):
        assert row.value == right / len(y)


@pytest.mark.parametrize("sigma", [0.05, 0.1])
def test_changed_labels_with_other_noise(sigma, rows):
    model, (x, _) = zoo.load(NETWORK), zoo.images(NETWORK)
    draws = 40
    rng = np.random.default_rng(5)
    clean = model(x).argmax(1)
    share = np.zeros(len(x))
    for _ in range(draws):
        noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
        share += (model(x + sigma * noise).argmax(1) != clean).numpy() / draws
    ours = only(rows["flips"], "changed", network=NETWORK, sigma=sigma).value
    # The images are the same: only the draws part the two means.
    error = math.sqrt(2.0 * np.mean(share * (1.0 - share)) / draws / len(x))
    assert abs(ours - share.mean()) < 4.5 * error


def test_lead_against_sorted_logits_and_autograd():
    model, (x, _) = zoo.load(NETWORK), zoo.images(NETWORK, 600)
    found = snd_2022.noise.lead(NETWORK, 600)
    for i in (0, 7, 311):
        image = x[i : i + 1].clone().requires_grad_(True)
        first, second = model(image)[0].sort(descending=True).values[:2]
        gap = first - second
        (gradient,) = torch.autograd.grad(gap, image)
        assert found.margin[i] == pytest.approx(float(gap.detach()), rel=1e-4)
        norm = float(gradient.square().sum().sqrt())
        assert found.gradient_norm[i] == pytest.approx(norm, rel=1e-4)


def test_spread_of_the_loss_with_other_noise(rows):
    model, (x, y) = zoo.load(NETWORK), zoo.images(NETWORK)
    rng = np.random.default_rng(6)

    def lead(images):
        p = model(images).softmax(1).double()
        own = p.gather(1, y[:, None])[:, 0]
        return own - p.scatter(1, y[:, None], -1.0).amax(1)

    noises = (rng.standard_normal(x.shape, dtype=np.float32) for _ in range(60))
    draws = torch.stack([lead(x + 0.05 * torch.from_numpy(z)) for z in noises])
    by_hand = float(draws.std(0).mean())
    ours = only(rows["loss-noise"], "std", scores="probabilities", sigma=0.05).value
    assert ours == pytest.approx(by_hand, rel=0.1)


def test_points_of_scales_lie_at_their_distance():
    cross = snd_2022.boundary.crossing(NETWORK, 200)
    way = snd_2022.boundary.rays(NETWORK, 200)
    model = zoo.load(NETWORK)
    for side in (-1.0, 1.0):
        labels = model(cross.point + side * 1e-3 * cross.normal).argmax(1)
        inside = (labels == way.answered).float().mean()
        assert (inside > 0.98) if side < 0 else (inside < 0.02)


def test_last_query_of_a_bisection_is_that_of_the_sheet():
    place = np.linspace(0.3, 0.7, 400)
    noise = np.full_like(place, 0.01)
    for votes, known in ((1, 0.310), (5, 0.388), (10, 0.413), (20, 0.439)):
        line = snd_2022.boundary.Line(place, place, noise)
        found, differ = snd_2022.boundary._last_query(line, 13, votes)
        assert found.mean() == pytest.approx(known, abs=0.004)
        assert (differ <= 0.5).all()


def test_a_boundary_moved_far_makes_the_answer_a_coin():
    place = np.linspace(0.3, 0.7, 50)
    line = snd_2022.boundary.Line(place, place - 0.1, np.full_like(place, 0.01))
    # Between the two boundaries noise changes the answer, whatever the votes.
    assert line.changed(place - 0.05) == pytest.approx(np.ones(50), abs=1e-6)
    assert line.changed(place + 0.05) == pytest.approx(np.zeros(50), abs=1e-6)
    changed, differ = snd_2022.boundary._last_query(line, 13, 1)
    assert changed.mean() == pytest.approx(0.5, abs=0.01)
    assert differ.mean() < 0.45


def test_pairs_of_answers_that_differ():
    flips = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]).bool()
    # Of 6 pairs.
    assert snd_2022.boundary._differ(flips) == pytest.approx([4 / 6, 3 / 6, 0.0])


# -- estimators on made numbers ----------------------------------------------------


def test_quotient_and_power():
    rng = np.random.default_rng(0)
    below = rng.exponential(size=4000)
    exact = snd_2022.noise.quotient(3.0 * below, below)
    assert exact == pytest.approx((3.0, 3.0, 3.0, 4000))
    held = 0
    for _ in range(400):
        below, more = rng.exponential(size=(2, 300))
        ours = snd_2022.noise.quotient(below + more, below)
        held += ours.lower < 2.0 < ours.upper
    assert 0.92 < held / 400 < 0.98
    assert snd_2022.noise.power(below, 100.0 * below, 10.0)[:3] == pytest.approx(
        (2.0, 2.0, 2.0)
    )
    nothing = snd_2022.noise.power(0.0 * below, below, 10.0)
    assert math.isnan(nothing.value)
    assert nothing.upper == math.inf


def test_variance_and_bias_of_a_quadratic_loss():
    # l(x + s z) - l(x) = g s z + h (s z)^2 / 2 of one coordinate.
    z = np.random.default_rng(1).standard_normal((50, 4000))
    g, h, s = 2.0, 3.0, 0.1
    sides = [g * t + 0.5 * h * t**2 for t in (s * z, -s * z)]
    moved = np.stack(sides, axis=-1)
    variance = snd_2022.loss._variance(moved).mean()
    assert variance == pytest.approx((g * s) ** 2 + 0.5 * (h * s * s) ** 2, rel=0.02)
    assert snd_2022.loss._bias(moved).mean() == pytest.approx(0.5 * h * s * s, rel=0.02)
    square = snd_2022.loss._square(moved).mean()
    assert square == pytest.approx((0.5 * h * s * s) ** 2, rel=0.03)


def test_majority_gives_a_tie_to_the_first():
    wrong = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 0], [0, 1, 0, 0]])
    assert snd_2022.boundary._majority(wrong.bool()).tolist() == [1, 0, 1, 0]


def test_scales_have_the_mean_one_half_and_the_paper_s_shapes():
    rank = (np.arange(20_000) + 0.5) / 20_000
    for form, square in (("arcsine", 0.375), ("uniform", 1 / 3), ("bell", 0.3)):
        k = snd_2022.scales._scale(form, rank)
        assert k.mean() == pytest.approx(0.5, abs=1e-4)
        assert np.square(k).mean() == pytest.approx(square, rel=1e-3)
    assert (snd_2022.scales._scale("constant", rank) == 0.5).all()


# -- judges on made rows -----------------------------------------------------------


def job(name, scale="full"):
    return Job(settings("snd-2022", name, scale), 0, scale)


def flips(job, factor, exponent, half=0.0):
    """Labels changed at the paper's share, off by a factor and with a power."""
    network = {"network": job["network"]}
    found = [made("power", exponent, half, **network)]
    for s in job["sigmas"]:
        p = factor * 2.1 * s
        found += [
            made("changed", p, half * p, **network, sigma=s),
            made("changed, right images", p, half * p, **network, sigma=s),
            made("changed, weak noise", 2.1 * s, **network, sigma=s),
            made("changed over linear margin", factor, half, **network, sigma=s),
        ]
    return found


@pytest.mark.parametrize(
    ("factor", "exponent", "half", "word"),
    [
        (1.0, 1.0, 0.05, MATCHED),
        (2.0, 2.0, 0.05, DIFFERS),
        (1.0, 1.0, 3.0, UNDECIDED),
    ],
)
def test_judge_of_flips(factor, exponent, half, word):
    full = job("flips")
    verdicts = snd_2022.clean._judge_flips(full, flips(full, factor, exponent, half))
    assert {v.verdict for v in verdicts} == {word}


def test_judge_of_accuracy_needs_the_second_power():
    full = job("clean-accuracy")
    printed = {0.001: 0.9133, 0.01: 0.9057, 0.02: 0.8756}
    spread = {0.001: 0.0002, 0.01: 0.0009, 0.02: 0.0018}

    def judged(exponent, factor):
        network = {"network": full["network"]}
        found = [made("power", exponent, 0.1, **network)]
        for s, accuracy in printed.items():
            lost, at = factor * (0.9134 - accuracy), {**network, "sigma": s}
            found += [
                made("clean accuracy", 0.9134, 0.005, **at),
                made("accuracy", 0.9134 - lost, 0.005, **at),
                made("accuracy lost", lost, 0.01 * lost, **at),
                made("lost less linear margin", 0.01 * (factor - 1.0), 1e-3, **at),
                made("std over runs", factor * spread[s], 1e-5, **at),
            ]
        return [v.verdict for v in snd_2022.clean._judge_accuracy(full, found)]

    assert set(judged(2.1, 1.0)) == {MATCHED}
    wrong = judged(0.5, 4.0)
    assert MATCHED in wrong  # clean accuracy, and that at the least noise
    assert wrong.count(DIFFERS) == len(wrong) - 2


def test_judge_of_votes_fails_a_bisection_that_ignores_them():
    full = job("near-boundary")
    law = {1: 0.31, 5: 0.388, 10: 0.413, 20: 0.439}

    def judged(p_mis, gain):
        found = []
        for votes, p in zip(full["votes"], p_mis, strict=True):
            found += [
                made("p_mis", p, 0.005, votes=votes),
                made("p_mis, flat", law[votes], votes=votes),
                made("p_mis, moved", law[votes], votes=votes),
                made("answers differ", p, 0.005, votes=votes),
                made("answers differ, flat", law[votes], votes=votes),
                made("voted error", p, 0.005, votes=votes),
                made("voted error, moved", law[votes], votes=votes),
                made("rise of p_mis over one vote", gain, 0.01, votes=votes),
                made("fall of the voted error", gain, 0.01, votes=votes),
            ]
        return {v.verdict for v in snd_2022.boundary._judge_near(full, found)}

    assert judged(list(law.values()), 0.1) == {MATCHED}
    assert judged([0.5, 0.4, 0.3, 0.2], -0.1) == {DIFFERS}


def test_judges_of_the_loss():
    spread, bias = job("loss-noise"), job("bias")

    def judged(std, ratio, power, half):
        rows = []
        for scores in ("probabilities", "logits"):
            for s in spread["sigmas"]:
                at = {"scores": scores, "sigma": s}
                rows += [
                    made("std", std, half * std, **at),
                    made("std over linear loss", std / 0.04, half, **at),
                    made("rms bias", 0.01, half * 0.02, **at),
                    made("rms bias over rms std", ratio, half, **at),
                    made("power of the rms bias", power, half, **at),
                    made("bias over second difference", power / 2, half, **at),
                ]
        for name in ("linear", "curved"):
            gap, quantity = std - 0.04, f"accuracy lost less {name} margin"
            rows.append(made(quantity, gap, 0.03 * half, **at))
        return (
            {v.verdict for v in snd_2022.loss._judge_spread(spread, rows)},
            {v.verdict for v in snd_2022.loss._judge_bias(bias, rows)},
        )

    assert judged(0.04, 0.2, 2.0, 0.1) == ({MATCHED}, {MATCHED})
    said = judged(0.4, 0.9, 0.9, 0.1)
    assert said[0] == {DIFFERS}
    assert DIFFERS in said[1]
    assert judged(0.04, 0.4, 2.0, 2.0) == ({UNDECIDED}, {UNDECIDED})


def test_judge_of_scales_fails_the_wrong_order():
    full = job("scales")
    pairs = snd_2022.scales._PAIRS

    def judged(sign, square):
        found = []
        for d in full["distances"]:
            way = 1.0 if d < 1.0 else -1.0
            found += [made(p, sign * way * 0.02, 0.01, distance=d) for p in pairs]
            for form in ("arcsine", "bell"):
                at = {"distance": d, "scale": form, "points": "boundary"}
                found += [
                    made("changed", 0.3 * sign, 0.01, **at),
                    made("changed, law", 0.3, **at),
                ]
        at = {"points": "clean"}
        found += [made(p, -0.02 * sign, 0.01, **at) for p in pairs]
        found += [
            made("changed over constant", square, 0.05, **at, scale=form)
            for form in ("arcsine", "uniform", "bell")
        ]
        return {v.verdict for v in snd_2022.scales._judge(full, found)}

    assert judged(1.0, 1.0) == {MATCHED}
    assert judged(-1.0, 2.0) == {DIFFERS}
