"""RND 2021 again: rows, independent measurements, and judges that can fail."""

import dataclasses
import math

import numpy as np
import pytest
import runs
import torch
from torch import nn

from querytax import intervals
from querytax.defenses.trained.gaussian import noisy_loss
from querytax.intervals import Interval
from querytax.losses import attacker_loss
from querytax.reproductions import reproduce, rnd_2021, zoo
from querytax.reproductions.experiment import Job, settings
from querytax.reproductions.judge import DIFFERS, MATCHED, UNDECIDED
from querytax.reproductions.measured import Measured, only, select
from querytax.theory import second_moment

NETWORK = "digits_cnn"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    return reproduce("rnd-2021", folder=tmp_path_factory.mktemp("rnd"))


@pytest.fixture(scope="module")
def rows(outcome):
    return runs.rows_of(outcome)


def job(name, scale="small"):
    return Job(settings("rnd-2021", name, scale), 0, scale)


# -- the small run -----------------------------------------------------------------


def test_everything_is_measured_drawn_and_judged(outcome):
    runs.check(outcome, bounded=True)


# -- the same numbers another way --------------------------------------------------


def loss(network, x, y):
    """The attacker's loss, by sorting."""
    logits = zoo.load(network)(x).double()
    own = logits[torch.arange(len(y)), y]
    logits[torch.arange(len(y)), y] = -torch.inf
    return logits.sort(dim=1).values[:, -1] - own


def test_cosine_with_other_draws(rows):
    n = job("estimator-angle")["networks"][NETWORK]
    place = rnd_2021.queries.scene(NETWORK, n)
    rng, probe, sigma = np.random.default_rng(3), 0.01, 0.01
    found = np.zeros((3, len(place.x)))

    def noise(scale, *shape):
        drawn = rng.standard_normal((*shape, *place.x.shape[1:]), dtype=np.float32)
        return scale * torch.from_numpy(drawn)

    for k in range(len(found)):
        estimate = torch.zeros(len(place.x), place.dimension, dtype=torch.float64)
        for _ in range(20):
            u = noise(1.0, len(place.x))
            ends = (
                loss(
                    NETWORK, place.x + sign * probe * u + noise(sigma, len(u)), place.y
                )
                for sign in (1, -1)
            )
            change = next(ends) - next(ends)
            estimate += change[:, None] * u.flatten(1)
        along = (estimate * place.gradient).sum(1)
        found[k] = along / estimate.norm(dim=1) / place.norms
    ours = only(
        rows["estimator-angle"],
        "cosine",
        network=NETWORK,
        probe=probe,
        form="antithetic",
        alpha=1,
    )
    error = found.std() / math.sqrt(found.size)
    assert abs(ours.value - found.mean()) < 4.5 * math.sqrt(2.0) * error


def test_turned_signs_with_other_draws(rows):
    n = job("sign-flips")["networks"][NETWORK]
    place = rnd_2021.queries.scene(NETWORK, n)
    rng, probe = np.random.default_rng(4), 0.01

    def normal():
        return torch.from_numpy(rng.standard_normal(place.x.shape, dtype=np.float32))

    share = []
    for _ in range(40):
        step = probe * normal()
        clean = loss(NETWORK, place.x + step, place.y) - loss(NETWORK, place.x, place.y)
        ends = (place.x + step + probe * normal(), place.x + probe * normal())
        noisy = loss(NETWORK, ends[0], place.y) - loss(NETWORK, ends[1], place.y)
        share.append(float(((clean > 0) != (noisy > 0)).double().mean()))
    ours = only(rows["sign-flips"], "flipped", network=NETWORK, probe=probe, alpha=1)
    half = ours.interval.upper - ours.value
    assert abs(ours.value - np.mean(share)) < 2.0 * math.sqrt(2.0) * half


def test_accuracy_with_other_draws(rows):
    (x, y), nu = zoo.images(NETWORK), 0.2
    rng = np.random.default_rng(5)
    right = [
        zoo.load(NETWORK)(
            x + nu * torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
        ).argmax(1)
        == y
        for _ in range(20)
    ]
    share = torch.stack(right).double().mean(0)
    ours = only(
        rows["clean-accuracy"], "accuracy", network=NETWORK, training="original", nu=nu
    )
    # Of the same images: the draws alone part the two.
    draws = job("clean-accuracy")["draws"]
    spread = float((share * (1.0 - share)).mean())
    error = math.sqrt(spread * (1.0 / draws + 1.0 / 20.0) / len(x))
    assert abs(ours.value - float(share.mean())) < 4.5 * error


class Bent(nn.Module):
    """A quadratic loss of two logits: a·x + bend |x|²/2 of a flat image."""

    def __init__(self, slope, bend):
        super().__init__()
        self.slope, self.bend = slope, bend

    def forward(self, x):
        flat = x.flatten(1).double()
        f = flat @ self.slope + 0.5 * self.bend * flat.square().sum(1)
        return torch.stack([torch.zeros_like(f), f], 1)


def bent(bend, n=60):
    """Images at 0, where the gradient is the slope."""
    slope = torch.linspace(0.5, 1.5, 16, dtype=torch.float64)
    x = torch.zeros(n, 1, 4, 4, dtype=torch.float64)
    return rnd_2021.queries.Scene(
        Bent(slope, bend), x, torch.zeros(n, dtype=torch.int64), slope.expand(n, 16)
    )


@pytest.mark.parametrize("form", ["forward", "antithetic"])
@pytest.mark.parametrize("repeats", [1, 4])
def test_mean_square_of_a_known_quadratic(form, repeats):
    place, probe, sigma = bent(3.0), 0.3, 0.2
    asked = rnd_2021.queries.ask(
        place,
        probe=probe,
        sigma=sigma,
        directions=100,
        form=form,
        repeats=repeats,
        seed=0,
    )
    slope = float(place.norms[0])
    law = second_moment.quadratic(
        slope, 48.0, 12.0, probe, sigma, 16, repeats=repeats, differences=form
    )
    found = intervals.mean(asked.moment())
    half = found.upper - found.value
    assert abs(found.value - float(law)) < 2.0 * half < 0.2 * float(law)


def test_curvature_is_read_off_a_quadratic():
    place = bent(2.0)
    given = {"directions": 50, "estimates": 4}
    law = rnd_2021.adaptive._curved(place, 0.1, Job(given, 0, "small"))
    nu = rnd_2021.adaptive.nu_of_slide()
    true = second_moment.quadratic(float(place.norms[0]), 32.0, 8.0, 0.1, nu, 16)
    assert law.mean() == pytest.approx(float(true), rel=0.03)


def test_a_change_is_the_difference_of_losses():
    place = rnd_2021.queries.scene(NETWORK, 10)
    asked = rnd_2021.queries.ask(place, probe=0.02, sigma=0.0, directions=3, seed=7)
    from querytax.noise import normals

    rows = torch.arange(len(place.x))
    u = normals(7, "rnd-2021/directions", rows, 0 * rows, (3, 1, 8, 8))
    far = loss(NETWORK, place.x + 0.02 * u[:, 1], place.y)
    near = loss(NETWORK, place.x, place.y)
    assert torch.allclose(asked.change[:, 1], far - near, atol=2e-5)
    assert torch.allclose(
        asked.square[:, 1], u[:, 1].flatten(1).double().norm(dim=1) ** 2
    )


def test_the_steepest_slope_is_at_least_each_gradient():
    place = rnd_2021.queries.scene(NETWORK, 20)
    image = place.x[3:4].clone().requires_grad_(True)
    value = attacker_loss(place.model(image), place.y[3:4], loss="margin").sum()
    (gradient,) = torch.autograd.grad(value, image)
    norm = float(gradient.norm())
    assert place.norms[3] == pytest.approx(norm, rel=1e-5)
    assert rnd_2021.queries.steepest(place, 0.1, 3, 0) >= float(place.norms.max())


def test_both_readings_of_the_loss_by_hand():
    logits = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])
    p = logits.softmax(2)[:, 0, 0]
    y = torch.tensor([0])
    inside = noisy_loss(logits, y, "inside")
    outside = noisy_loss(logits, y, "outside")
    assert float(inside) == pytest.approx(-math.log(float(p.mean())))
    assert float(outside) == pytest.approx(-float(p.log().mean()))
    one = logits[:1]
    assert noisy_loss(one, y, "inside") == pytest.approx(
        float(noisy_loss(one, y, "outside"))
    )


def test_an_average_counts_each_query():
    class Counted(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return torch.full((len(x), 2), float(self.calls))

    inner = Counted()
    answer = rnd_2021.attack.Averaged(inner, 4)(torch.zeros(3, 1))
    assert inner.calls == 4
    assert (answer == 2.5).all()


# -- judges on synthetic rows ------------------------------------------------------


def around(value, relative):
    return Interval(value, value * (1.0 - relative), value * (1.0 + relative), 100)


def changed(rows, quantity, factor, relative):
    """The rows, one quantity of them at ``factor`` with another interval."""
    return runs.changed(rows, quantity, lambda x: around(factor * x.value, relative))


def lawful(rows, quantity, law="law"):
    """The rows, with what was measured put on its law."""
    found = []
    for row in rows:
        if row.quantity == quantity:
            at = {k: row.setting[k] for k in row.setting}
            value = only(rows, law, **at).value if law else 1.0
            row = Measured(quantity, around(value, 0.01), row.unit, row.setting)
        found.append(row)
    return found


@pytest.mark.parametrize(
    ("experiment", "quantity", "law", "words"),
    [
        (rnd_2021.estimate.ANGLE, "cosine", "law", "the law of a linear loss"),
        (rnd_2021.estimate.MOMENT, "over_linear", "", "(d + 2 + 2 α² d)"),
        (rnd_2021.search.FLIPS, "flipped", "law", "arctan"),
        (rnd_2021.adaptive.EOT, "cosine", "law", "the law"),
        (rnd_2021.adaptive.EOT, "noise_times_M", "", "falls as 1/M"),
    ],
)
def test_laws_match_differ_or_stay_open(experiment, quantity, law, words, rows):
    ask = job(experiment.name)
    on = lawful(rows[experiment.name], quantity, law)

    def verdicts(given):
        found = experiment.judge(ask, given)
        return {v.verdict for v in found if words in v.statement}

    assert verdicts(on) == {MATCHED}
    assert verdicts(changed(on, quantity, 2.0, 0.01)) == {DIFFERS}
    assert verdicts(changed(on, quantity, 1.0, 0.9)) == {UNDECIDED}


def said(experiment, rows, words, scale="small"):
    found = experiment.judge(job(experiment.name, scale), rows)
    return {v.verdict for v in found if words in v.statement}


@pytest.mark.parametrize(
    ("experiment", "quantity", "words", "low", "high"),
    [
        (rnd_2021.estimate.MOMENT, "printed_over", "over d times wide", 1.0, 1e9),
        (rnd_2021.search.FLIPS, "bound", "above 1 at the median", 0.5, 2.0),
        (rnd_2021.accuracy.ACCURACY, "gain", "keeps accuracy", -0.1, 0.1),
    ],
)
def test_bounds_are_judged_both_ways(experiment, quantity, words, low, high, rows):
    def put(value, relative=0.01):
        return [
            Measured(quantity, around(value, relative), row.unit, row.setting)
            if row.quantity == quantity
            else row
            for row in rows[experiment.name]
        ]

    def ends(value):
        """An interval that holds the bound."""
        return [
            dataclasses.replace(row, interval=Interval(value, -1e9, 1e12, 9))
            if row.quantity == quantity
            else row
            for row in put(value)
        ]

    assert said(experiment, [*map(sort, put(high))], words) == {MATCHED}
    assert said(experiment, [*map(sort, put(low))], words) == {DIFFERS}
    assert said(experiment, ends(high), words) == {UNDECIDED}


def sort(row):
    """A negative value's interval the right way round."""
    value, lower, upper, n = row.interval
    interval = Interval(value, min(lower, upper), max(lower, upper), n)
    return dataclasses.replace(row, interval=interval)


def test_a_wider_probe_is_judged_both_ways(rows):
    found = rows["probe-size"]
    words = "estimates worse than"
    given = job("probe-size")

    def slanted(sign):
        top = max(given["probes"])
        return [
            dataclasses.replace(
                row, interval=around((row.setting["probe"] / top) ** sign, 0.01)
            )
            if row.quantity == "cosine"
            else row
            for row in found
        ]

    assert said(rnd_2021.adaptive.PROBE, slanted(-1), words) == {MATCHED}
    assert said(rnd_2021.adaptive.PROBE, slanted(1), words) == {DIFFERS}
    assert said(rnd_2021.adaptive.PROBE, changed(found, "cosine", 1, 5), words) == {
        UNDECIDED
    }


def test_the_best_probe_is_held_against_its_law(rows):
    words = "measured curvature"

    def moved(factor, relative=0.01):
        law = select(rows["probe-size"], "best_probe", by="law")
        at = {row.setting["network"]: row.value for row in law}
        return [
            dataclasses.replace(
                row, interval=around(factor * at[row.setting["network"]], relative)
            )
            if row.setting.get("by") == "moment"
            else row
            for row in rows["probe-size"]
        ]

    assert said(rnd_2021.adaptive.PROBE, moved(1.0), words) == {MATCHED}
    assert said(rnd_2021.adaptive.PROBE, moved(8.0), words) == {DIFFERS}
    assert said(rnd_2021.adaptive.PROBE, moved(1.0, 0.9), words) == {UNDECIDED}


def test_the_printed_tables_are_judged_at_full_scale():
    """Table 2's loss of three points at ν = 0.02, and failures near 0 at ν = μ."""
    ask = job("clean-accuracy", "full")
    network = "cifar10_resnet8_mlperf_tiny"

    def verdicts(value, bare):
        at = {"network": network, "training": "original"}
        clean = Measured("accuracy", around(0.9, 0.001), "", {**at, "nu": 0.0})
        at = {**at, "training": "inside"}
        kept = Measured("accuracy", around(0.9 - value, 0.001), "", {**at, "nu": 0.05})
        bare = Measured("accuracy", around(bare, 0.001), "", {**at, "nu": 0.0})
        at = {**at, "training": "original"}
        lost = Measured("loss", around(value, 0.01), "", {**at, "nu": 0.02})
        one = dataclasses.replace(
            ask, settings={**ask.settings, "networks": {network: 9}}
        )
        return [
            v.verdict
            for v in rnd_2021.accuracy._against_table(one, [clean, kept, bare, lost])
        ]

    assert verdicts(0.035, 0.8) == [MATCHED, MATCHED, MATCHED]
    assert verdicts(0.2, 0.8) == [DIFFERS, DIFFERS, DIFFERS]


def test_failures_are_judged_both_ways():
    ask = job("nes-failures", "full")

    def rows(equal, narrow):
        found = []
        for part in rnd_2021.attack.ATTACK.parts(ask):
            value = narrow if part["probe"] < part["nu"] else equal
            found.append(
                Measured("failed", Interval(value, value, value, 100), "", part)
            )
        return found

    near, words = "share of failed attacks at ν = μ", "fails more often than one of"
    experiment = rnd_2021.attack.ATTACK
    assert said(experiment, rows(0.0, 0.9), near, "full") == {MATCHED}
    assert said(experiment, rows(0.5, 0.9), near, "full") == {DIFFERS}
    assert said(experiment, rows(0.0, 0.9), words, "full") == {MATCHED}
    assert said(experiment, rows(0.9, 0.1), words, "full") == {DIFFERS}
    assert said(experiment, rows(0.5, 0.5), words, "full") == {UNDECIDED}
