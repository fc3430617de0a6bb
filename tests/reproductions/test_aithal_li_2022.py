"""The small reproduction of Aithal & Li (2022), checked in other ways."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import runs
import torch
from runs import changed
from scipy import integrate, stats

import querytax as qt
from querytax import demo
from querytax.intervals import Interval
from querytax.reproductions import runner
from querytax.reproductions.aithal_li_2022 import averaging
from querytax.reproductions.aithal_li_2022 import pairs as sampled
from querytax.reproductions.experiment import Job, settings
from querytax.reproductions.judge import DIFFERS, MATCHED, UNDECIDED
from querytax.reproductions.measured import only, select

KEY = "aithal-li-2022"
EXPERIMENTS = runner.experiments(KEY)
NETWORK = "digits_cnn"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    return runner.reproduce(KEY, folder=tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def rows(outcome):
    return runs.rows_of(outcome)


def job(name):
    return Job(settings(KEY, name, "small"), 0, "small")


# -- the run ----------------------------------------------------------------------


def test_everything_is_measured_drawn_and_judged(outcome):
    runs.check(outcome)


def test_the_verdicts_on_the_digits(outcome):
    """What differs is what the ledger refutes; nothing is left open."""
    for name, verdicts in outcome.verdicts.items():
        assert all(v.verdict != UNDECIDED for v in verdicts), name
    said = [v for found in outcome.verdicts.values() for v in found]
    differs = {v.claim for v in said if v.verdict == DIFFERS}
    assert differs == {f"{KEY}/{c}" for c in ("c6", "c7", "c10", "c11")} | {""}
    unnamed = [v.statement for v in said if v.verdict == DIFFERS and not v.claim]
    for statement in unnamed:
        assert "Lemma 1 from" in statement or "reflect" in statement
    held = {v.claim for v in said if v.verdict == MATCHED}
    assert held >= {f"{KEY}/{c}" for c in ("c7", "c8", "c9", "c10", "c14")}


def test_a_second_run_measures_nothing(outcome):
    again = runner.reproduce(
        KEY, folder=outcome.folder.parents[2], names=["output-statistics"]
    )
    assert again.kept == 1


# -- the same numbers another way -------------------------------------------------


def test_mean_output_by_hand(rows):
    """Nine outputs share what the first choice leaves."""
    split = demo.digits()
    x = torch.cat([split.probe[0], split.held_out[0]])
    with torch.no_grad():
        top = demo.load_model()(x).softmax(1).max(1).values
    found = only(rows["output-statistics"], "mean F_t")
    assert found.value == pytest.approx(float(1 - top.mean()) / 9, rel=1e-3)


@pytest.mark.parametrize("direction", sampled.DIRECTIONS)
def test_changes_are_directional_derivatives(direction):
    # A probe so small that no unit of the network switches within it.
    n, beta = 12, 1e-7
    found = sampled.pairs(NETWORK, n, beta, direction, 0)
    rows = torch.arange(n)
    x = demo.digits().probe[0][:n].double()
    u = sampled.normals(
        0, f"{KEY}/direction", rows, 0 * rows, x.shape[1:], dtype=torch.float64
    )
    if direction == "unit":
        u = u / u.square().sum((1, 2, 3), keepdim=True).sqrt()
    x.requires_grad_()
    outputs = demo.load_model().double()(x).softmax(1)
    slopes = [
        (torch.autograd.grad(column.sum(), x, retain_graph=True)[0] * u).sum((1, 2, 3))
        for column in outputs.T
    ]
    wanted = found.others(2 * beta * torch.stack(slopes, 1).abs().numpy())
    np.testing.assert_allclose(found.change, wanted, rtol=1e-3)


def test_the_picked_class_is_never_the_first_choice():
    found = sampled.pairs(NETWORK, 12, 1e-3, "normal", 0)
    for i, value in enumerate(found.picked(found.output)):
        assert value in np.delete(found.clean[i], found.clean[i].argmax())


def test_accuracy_by_the_defence_itself(rows):
    split = demo.digits()
    x, y = (torch.cat([a, b]) for a, b in zip(split.probe, split.held_out, strict=True))
    guarded = qt.OutputNoise(demo.load_model(), 0.3, form="reflect", experiment_seed=5)
    with torch.no_grad():
        right = np.mean([(guarded(x).argmax(1) == y).double() for _ in range(60)], 0)
    ours = only(rows["accuracy"], "accuracy", form="reflect", sigma=0.3)
    # The same images: only the noise differs.
    spread = math.sqrt(np.mean(right * (1 - right)) / x.shape[0] * (1 / 60 + 1 / 100))
    assert abs(right.mean() - ours.value) < 4 * spread


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_simulated_ratios_by_quadrature(rows, noise):
    """Of ln|F + v|, without the laws: integrals on both sides of its pole."""
    at = {"quantile": 0.99}
    level, change = (only(rows["gradient-snr"], n, **at).value for n in ("F_t", "ΔF_t"))
    ends, sigma = (level + change / 2, level - change / 2), noise * level

    def moment(end, power):
        def f(y):
            bell = stats.norm.pdf(y, end, sigma) + stats.norm.pdf(-y, end, sigma)
            return math.log(min(y, 1.0)) ** power * bell

        cuts = (0.0, end / 100, end, end + 12 * sigma)
        pieces = itertools.pairwise(cuts)
        return sum(integrate.quad(f, a, b, limit=400)[0] for a, b in pieces)

    means = [moment(end, 1) for end in ends]
    spread = sum(moment(e, 2) - m**2 for e, m in zip(ends, means, strict=True))
    signal, factor = means[0] - means[1], math.log(ends[0] / ends[1])
    for name, wanted in (
        ("SNR of the sign", signal**2 / spread),
        ("SNR as defined", factor**2 / (spread + (signal - factor) ** 2)),
    ):
        ours = only(rows["gradient-snr"], name, noise=noise, **at).interval
        half = ours.upper - ours.value
        assert abs(ours.value - wanted) < 2 * half + 1e-3 * wanted


def test_repeats_by_hand(rows):
    at = {"quantile": 0.99, "noise": 1.0}
    table = rows["averaging"]
    change = only(table, "ΔF_t", quantile=0.99).value
    sigma = select(table, "pairs, outputs first", **at)[0].setting["sigma"]
    wanted = 2 * (sigma * stats.norm.ppf(0.7) / change) ** 2
    ours = only(table, "pairs, outputs first", **at).interval
    assert ours.lower < wanted < ours.upper


def test_quoted_decibels_by_hand(rows):
    found = only(
        rows["section-iv-a"],
        "SNR as quoted",
        network="table 1",
        model="MNIST",
        sigma=0.01,
    )
    assert found.value == pytest.approx(20 * math.log10(5e-6 / 0.01))


def test_the_budgets_noise_gives_the_budget(rows):
    """By (6) in the limit of a low SNR: R = q² m/(S (1 - r))."""
    found = only(
        rows["section-iv-a"],
        "sigma of the budget by (6)",
        network="table 1",
        model="IMAGENET",
    )
    s = (5e-8) ** 2 / (2 * found.value**2)
    ratio = stats.norm.ppf(0.01) ** 2 * 0.2 / (s * 0.99)
    # Ratios of 10 are not yet that limit: K is 2.8.
    assert ratio * 1e5 == pytest.approx(1e6, rel=0.3)


# -- parts ------------------------------------------------------------------------


def test_a_positive_interval_covers():
    rng = np.random.Generator(np.random.Philox(3))
    hits = 0
    for _ in range(1000):
        x = rng.lognormal(0, 1, 200)
        found = sampled.positive(x.mean(), x - x.mean())
        hits += found.lower < math.exp(0.5) < found.upper
    assert hits > 900
    assert found.lower > 0
    assert found.upper / found.value == pytest.approx(found.value / found.lower)


def test_crossings():
    counts = np.array([1, 2, 4, 8])
    found = averaging._enough(counts, np.array([500, 600, 800, 900]), 1000, 0.7)
    assert found.value == pytest.approx(2 * math.sqrt(2))
    never = averaging._enough(counts, np.array([500, 500, 500, 500]), 1000, 0.7)
    assert never == Interval(8.0, 8.0, math.inf, 1000)
    assert averaging._enough(counts, np.array([990] * 4), 1000, 0.7)[:3] == (1, 1, 1)


# -- judges -----------------------------------------------------------------------


def judged(name, rows, statement):
    found = EXPERIMENTS[name].judge(job(name), rows)
    (verdict,) = {v.verdict for v in found if statement in v.statement}
    return verdict


def times(factor):
    return lambda x: Interval(*(factor * v for v in x[:3]), x.n)


def at(value):
    return lambda x: Interval(value, value - 1e-5, value + 1e-5, x.n)


def blurred(x):
    return Interval(x.value, -1e12, 1e12, x.n)


@pytest.mark.parametrize(
    ("name", "statement", "ours", "wrong"),
    [
        ("output-statistics", "unit u: std", "mean change", times(1e3)),
        ("section-iv-a", "exceeds Lemma 1's", "SNR, mean square change", at(-99.0)),
        ("section-iv-a", "median target's", "SNR, median target", at(-999.0)),
        ("accuracy", "clip: almost no", "accuracy lost", at(0.1)),
        (
            "accuracy",
            "clip: the law for unbounded noise, σ up",
            "accuracy over the law's",
            at(-0.1),
        ),
        ("accuracy", "the outputs' own", "SNR of the outputs", at(0.0)),
        ("gradient-snr", "0.9 of ΔF_t: SNR of the sign", "SNR of the sign", times(2)),
        ("gradient-snr", "0.9 of ΔF_t: SNR as defined", "SNR as defined", times(0.5)),
        ("averaging", "outputs first, against", "pairs, outputs first", times(5.0)),
        ("averaging", "logs first, against", "pairs, logs first", times(0.2)),
        ("averaging", "median", "pairs of the median target, law", at(1e4)),
    ],
)
def test_a_judge_can_end_three_ways(rows, name, statement, ours, wrong):
    table = rows[name]
    assert judged(name, table, statement) == MATCHED
    assert judged(name, changed(table, ours, wrong), statement) == DIFFERS
    assert judged(name, changed(table, ours, blurred), statement) == UNDECIDED


def test_the_full_scale_is_held_against_table_1(rows):
    """Synthetic rows: table 1's own numbers agree, a hundred times as much does not."""
    name = "output-statistics"
    full = settings(KEY, name, "full")
    said = {"mean F_t": "mean_f_t", **averaging_columns()}
    table = []
    for network, model in full["models"].items():
        for row in rows[name]:
            value = row.value
            if row.quantity in said:
                value = sampled.printed_model(model, said[row.quantity])
            if row.quantity == "accuracy":
                value = sampled.printed_model(model, "accuracy")
            near = Interval(value, value * 0.999, value * 1.001, row.interval.n)
            setting = {**row.setting, "network": network, "model": model}
            table.append(replace(row, interval=near, setting=setting))
    verdicts = EXPERIMENTS[name].judge(Job(full, 0, "full"), table)
    assert {v.verdict for v in verdicts} == {MATCHED}
    assert len(verdicts) == 1 + len(full["models"]) * (1 + 2 * (3 + 1))
    other = changed(table, "mean change", times(100.0))
    found = EXPERIMENTS[name].judge(Job(full, 0, "full"), other)
    wrong = [v for v in found if "mean change of table 1" in v.statement]
    assert {v.verdict for v in wrong} == {DIFFERS}


def averaging_columns():
    from querytax.reproductions.aithal_li_2022.table import CHANGES

    return CHANGES
