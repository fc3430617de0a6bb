"""RFD, measured again: a reduced run, numbers checked another way, and the judges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import runs
import torch
from runs import made
from scipy import special
from torch import nn

from querytax.papers import number
from querytax.reproductions import experiment, rfd_2024, zoo
from querytax.reproductions.experiment import Job
from querytax.reproductions.judge import DIFFERS, MATCHED, UNDECIDED
from querytax.reproductions.measured import only, select
from querytax.reproductions.rfd_2024 import EXPERIMENTS
from querytax.reproductions.rfd_2024.sites import (
    INPUT,
    Sample,
    bootstrap,
    margins_under_noise,
    misled,
    sample,
    site_parts,
    spread,
)
from querytax.reproductions.runner import reproduce

PAPER = "rfd-2024"
NAMES = [entry.name for entry in EXPERIMENTS]
# A run in seconds: the recipe's own is in the paper's folder.
REDUCED = {
    "gradient-ratios": {"images": 60, "steps": [0.1]},
    "robustness": {"images": 120, "layers": 2, "attacked": 10, "draws": 3},
    "gradient-norms": {"images": 60, "layers": 2, "attacked": 10, "draws": 3},
    "accuracy-feature-noise": {"images": 60, "layers": 2, "levels": [0.02, 0.08]},
    "theorem-1": {"images": 20, "attacked": 10, "draws": 3, "steps": [0.001, 0.1]},
}


def reduced(name: str) -> Job:
    return Job({**experiment.recipe(PAPER)[name]["small"], **REDUCED[name]}, 0, "")


def reduce(_paper: str, name: str, _scale: str):
    return reduced(name).settings


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    place = tmp_path_factory.mktemp("rfd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "settings", reduce)
        return reproduce(PAPER, folder=place)


@pytest.fixture(scope="module")
def rows(outcome):
    return runs.rows_of(outcome)


# -- a run, end to end --------------------------------------------------------------


def test_everything_is_measured_drawn_and_judged(outcome):
    runs.check(outcome)


def test_a_second_run_measures_nothing(outcome, monkeypatch):
    monkeypatch.setattr(experiment, "settings", reduce)
    again = reproduce(
        PAPER, folder=outcome.folder.parents[2], names=["gradient-ratios"]
    )
    assert again.kept == len(reduced("gradient-ratios")["networks"])
    assert again.verdicts["gradient-ratios"] == outcome.verdicts["gradient-ratios"]


# -- numbers, another way -----------------------------------------------------------


def test_the_norm_at_the_last_stage_is_that_of_the_head(rows):
    """Behind it are a mean over places and a linear map: the gradient is known."""
    job = reduced("gradient-norms")
    who = sample("digits_resnet", job["images"])
    head = who.model.linear.weight
    with torch.no_grad():
        scores = who.model(who.images)
    own = torch.nn.functional.one_hot(who.labels, 10).bool()
    rival = scores.masked_fill(own, -torch.inf).argmax(1)
    apart = (head[who.labels] - head[rival]).norm(dim=1)
    places = (who.images.shape[-1] // 4) ** 2
    row = only(
        rows["gradient-norms"],
        "norm",
        network="digits_resnet",
        site="layer3",
    )
    by_hand = float(apart.double().mean()) / places**0.5
    assert row.value == pytest.approx(by_hand, rel=1e-5)


def test_the_loss_at_the_input_is_counted_by_hand(rows):
    """Images plus noise, without a defence; the draws are others."""
    row = only(
        rows["accuracy-feature-noise"],
        "loss",
        network="digits_vgg",
        site=INPUT,
        level=0.08,
    )
    sigma = only(
        rows["accuracy-feature-noise"],
        "sigma",
        network="digits_vgg",
        site=INPUT,
        level=0.08,
    ).value
    model = zoo.load("digits_vgg")
    images, labels = zoo.images("digits", row.interval.n)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        clean = (model(images).argmax(1) == labels).double().mean()
        noisy = [
            model(images + sigma * torch.randn(images.shape, generator=generator))
            for _ in range(40)
        ]
    right = [float((z.argmax(1) == labels).double().mean()) for z in noisy]
    error = np.hypot(np.std(right) / 40**0.5, np.std(right) / 9**0.5)
    assert row.value == pytest.approx(float(clean) - np.mean(right), abs=5 * error)


def linear(weight) -> Sample:
    """A linear network of ``d`` pixels and images in the middle of the grey."""
    classes, d = weight.shape
    model = nn.Sequential(nn.Flatten(), nn.Linear(d, classes))
    with torch.no_grad():
        model[1].weight.copy_(weight)
        model[1].bias.zero_()
    x = 0.5 + 0.05 * torch.linspace(-1.0, 1.0, 40 * d).view(40, 1, d, 1)
    with torch.no_grad():
        scores = model(x)
    labels = scores.argmax(1)
    top = scores.topk(2, dim=1).values.double()
    return Sample(
        model, x, labels, torch.arange(len(x)), (top[:, 0] - top[:, 1]).numpy()
    )


@pytest.fixture
def two_classes():
    way = torch.linspace(-1.0, 1.0, 12)
    return linear(torch.stack([way, -0.3 * way + 0.02]))


@pytest.mark.parametrize("repeats", [1, 4])
def test_a_linear_network_obeys_the_arctangent(two_classes, repeats):
    """The exact form of Theorem 1, with R over M for averages."""
    found = misled(two_classes, INPUT, 0.03, 0.02, 40, 3, (repeats,))
    law = math.atan(2.0**0.5 * 0.03 / 0.02 / repeats**0.5) / math.pi
    shares = found.flips[0]
    error = shares.std(ddof=1) / shares.size**0.5
    assert shares.mean() == pytest.approx(law, abs=4 * error)
    assert error < 0.03
    # Half the noise is another law, and would be noticed.
    wrong = math.atan(2.0**0.5 * 0.015 / 0.02 / repeats**0.5) / math.pi
    assert abs(shares.mean() - wrong) > 4 * error


def test_a_linear_network_of_two_classes_obeys_eq_14(two_classes):
    sigma = float(np.median(two_classes.margins))
    lead = margins_under_noise(two_classes, INPUT, sigma, 400, 7)
    weight = two_classes.model[1].weight.detach()
    norm = float((weight[0] - weight[1]).norm())
    law = special.ndtr(two_classes.margins / (sigma * norm))
    assert (lead > 0).mean(axis=0) == pytest.approx(law, abs=0.11)
    assert (lead > 0).mean() == pytest.approx(law.mean(), abs=0.015)


def test_all_rivals_are_exact_for_a_linear_network(monkeypatch):
    """Three classes: what the frozen rival of eq. (14) misses is in the Gram matrix."""
    base = torch.linspace(-1.0, 1.0, 12)
    weight = torch.stack([0.2 * base + 0.1, base.flip(0) ** 2, base**3])
    who = linear(weight)
    monkeypatch.setattr(rfd_2024.accuracy, "sample", lambda _network, _images: who)
    rfd_2024.accuracy._linear_scores.cache_clear()
    sigma = 2.0 * float(np.median(who.margins))
    shares = rfd_2024.accuracy.linear_shares("three", 40, INPUT, sigma, 2000, 1)
    rfd_2024.accuracy._linear_scores.cache_clear()
    heard = (margins_under_noise(who, INPUT, sigma, 500, 2) > 0).mean(axis=0)
    assert shares == pytest.approx(heard, abs=0.1)
    assert shares.mean() == pytest.approx(heard.mean(), abs=0.015)
    norms = who.norms([INPUT])[INPUT]
    frozen = special.ndtr(who.margins / (sigma * norms))
    assert abs(frozen.mean() - heard.mean()) > 0.05


def test_the_noise_that_costs_a_level():
    ones = np.ones(50)
    sigma = rfd_2024.accuracy.costly_sigma(ones, 2.0 * ones, 0.01)
    assert sigma == pytest.approx(-0.5 / special.ndtri(0.01))


@pytest.mark.parametrize(
    ("loss", "sigma"),
    [
        ([0.0, 0.02, 0.1], 1.5),
        ([0.02, 0.03, 0.04], 0.5),
        # A dip is not a crossing, and a line that ends below goes on.
        ([0.004, 0.0, 0.016], 2.5),
        ([0.0, 0.0, 0.005], 6.0),
    ],
)
def test_where_a_loss_passes_one_percent(loss, sigma):
    sigmas = np.array([1.0, 2.0, 3.0])
    found = rfd_2024.robustness._crossing(sigmas, np.array(loss), 0.01)
    assert found == pytest.approx(sigma)


def test_the_bootstrap_of_a_mean_is_its_error():
    values = np.random.default_rng(2).normal(size=300)
    found = bootstrap(lambda at: float(values[at].mean()), 300, seed=1, resamples=800)
    half = 1.96 * values.std() / 300**0.5
    assert found.value == values.mean()
    assert found.upper - found.value == pytest.approx(half, rel=0.2)
    assert found.value - found.lower == pytest.approx(half, rel=0.2)


def test_sites_run_from_the_input_to_the_last_layer():
    assert spread("digits_resnet", 2) == ["stem", "layer3"]
    assert spread("digits_resnet", 1) == ["layer3"]
    assert spread("digits_vit", 9) == list(zoo.layers("digits_vit"))
    depths = [part["depth"] for part in site_parts(["digits_resnet"], 2)]
    assert depths == [0.0, 0.5, 1.0]


# -- the judges on rows that are made up --------------------------------------------


def verdicts(judge, name, rows, **changed):
    settings = {**experiment.settings(PAPER, name, "small"), **changed}
    return [v.verdict for v in judge(Job(settings, 0, "small"), rows)]


@pytest.mark.parametrize(
    ("share", "half", "expected"),
    [(0.7, 0.05, MATCHED), (0.4, 0.05, DIFFERS), (0.55, 0.1, UNDECIDED)],
)
def test_ratios_rise_at_every_layer_or_not(share, half, expected):
    rows = []
    for kind in ("signed", "plain"):
        rows.append(made("still_right", 0.9, network="n", image=kind, step=0.1))
        for layer, value in (("first", 0.9), ("last", share)):
            setting = {"network": "n", "image": kind, "step": 0.1, "layer": layer}
            rows += [
                made("rising", value, half, **setting),
                made("ratio_change", 0.1, **setting),
            ]
    found = verdicts(rfd_2024.gradients._judge_ratios, "gradient-ratios", rows)
    assert found == [expected, expected]


@pytest.mark.parametrize(
    ("excess", "half", "expected"),
    [(0.0, 0.001, MATCHED), (0.02, 0.001, DIFFERS), (0.002, 0.002, UNDECIDED)],
)
def test_the_cost_follows_eq_14_or_not(excess, half, expected):
    rows = []
    for level in (0.01, 0.02, 0.04):
        setting = {"network": "n", "site": INPUT, "level": level}
        rows += [
            made("excess", excess, half, **setting),
            made("rivals", 0.0, **setting),
            made("bend", 0.0, **setting),
            made("voted_excess", excess, half, **setting),
        ]
    first, votes = verdicts(rfd_2024.accuracy._judge, "accuracy-feature-noise", rows)
    assert first == expected
    assert votes == (DIFFERS if expected == DIFFERS else MATCHED)


@pytest.mark.parametrize(
    ("off", "half", "expected"),
    [(1.0, 0.01, MATCHED), (1.4, 0.01, DIFFERS), (1.1, 0.03, UNDECIDED)],
)
def test_signs_follow_theorem_1_or_not(off, half, expected):
    rows = []
    for ratio, step, repeated in ((1.0, 0.001, 0), (1e4, 0.001, 0), (1.0, 0.001, 1)):
        law = math.atan(ratio**0.5) / math.pi
        setting = {
            "network": "n",
            "site": INPUT,
            "ratio": ratio,
            "step": step,
            "repeated": repeated,
            "repeats": 1,
        }
        rows += [
            made("flips", off * law, half, **setting),
            made("law", law, **setting),
            made("excess", (off - 1.0) * law, half, **setting),
            made("of_changes", law, **setting),
        ]
    found = verdicts(rfd_2024.signs._judge, "theorem-1", rows, steps=[0.001])
    assert found[:2] == [expected, expected]
    assert found[2] == expected


@pytest.mark.parametrize(
    ("gain", "half", "constant", "expected"),
    [
        (0.3, 0.05, 2.5066, [MATCHED, MATCHED, MATCHED, MATCHED]),
        (-0.3, 0.05, 1.0, [DIFFERS, DIFFERS, DIFFERS, DIFFERS]),
        (0.1, 0.15, 2.0, [UNDECIDED, UNDECIDED, UNDECIDED, UNDECIDED]),
    ],
)
def test_the_last_layer_is_best_or_not(gain, half, constant, expected):
    rows = []
    sites = ((INPUT, 0.0), ("first", 0.05 if gain == 0.3 else gain), ("last", gain))
    for site, advantage in sites:
        setting = {"network": "n", "site": site}
        rows += [
            made(
                "advantage",
                advantage,
                min(half, 0.04 if gain == 0.3 else half),
                **setting,
            ),
            made("flips_gain", advantage, half, **setting),
            made("rule_constant", constant, 0.2, **setting),
        ]
    found = verdicts(rfd_2024.robustness._judge, "robustness", rows)
    assert found[:4] == expected


def test_what_is_printed_for_vit_falls_with_depth():
    """So that falling is what its rows are held against."""
    for quantity in ("gradient_norm", "square_accuracy_percent"):
        assert (np.diff(rfd_2024.gradients._printed("ViT", quantity)) < 0).all()
    norm = {"model": "VGG", "quantity": "gradient_norm"}
    first, second = (
        number(PAPER, "table-6", "printed", line=line, **norm) for line in ("1", "2")
    )
    assert first > second


@pytest.mark.parametrize(("sign", "expected"), [(1, MATCHED), (-1, DIFFERS)])
def test_larger_norms_mislead_more_or_not(sign, expected):
    """The printed table of ViT, put in for a network's."""
    rows = []
    for i, norm in enumerate(rfd_2024.gradients._printed("ViT")):
        setting = {"network": "a_vit", "site": f"blocks.{i}"}
        rows += [
            made("norm", norm, **setting),
            made("flips", 0.3 + 0.1 * sign * norm, **setting),
            made("loss", 0.1 * norm, **setting),
        ]
    found = verdicts(rfd_2024.gradients._judge_norms, "gradient-norms", rows)
    assert found == [expected, MATCHED, MATCHED, expected]
    few = [r for r in rows if r.setting["site"] != "blocks.0"]
    found = verdicts(rfd_2024.gradients._judge_norms, "gradient-norms", few)
    assert found == [UNDECIDED, UNDECIDED, MATCHED, expected]


def test_the_norm_of_a_vgg_falls_or_not():
    for second, expected in ((0.8, MATCHED), (1.6, DIFFERS), (1.29, UNDECIDED)):
        rows = []
        for site, norm in (("conv1", 1.3), ("conv2", second)):
            setting = {"network": "a_vgg", "site": site}
            rows += [
                made("norm", norm, 0.05, **setting),
                made("flips", 0.3, **setting),
                made("loss", 0.1, **setting),
            ]
        found = verdicts(rfd_2024.gradients._judge_norms, "gradient-norms", rows)
        assert found[-1] == expected


def test_rows_are_where_the_figures_look_for_them(rows):
    """Printed and measured norms stand in one panel, each under its own name."""
    from matplotlib.figure import Figure

    from querytax.figures.style import curves_of

    ax = Figure().subplots()
    rfd_2024.gradients._norm_panel(ax, rows["gradient-norms"])
    curves = {curve.label: curve for curve in curves_of(ax)}
    printed = rfd_2024.gradients._printed("ViT")
    drawn = curves["ViT, printed"].y
    assert drawn * printed[0] == pytest.approx(printed)
    assert len(select(rows["gradient-norms"], "norm")) == 6
    assert len(curves) == 4
