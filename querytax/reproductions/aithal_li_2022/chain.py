"""From table 1 to noise levels: the chain of Aithal & Li (2022), section IV-A."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from scipy import optimize

from querytax import papers
from querytax.figures.style import Panel
from querytax.intervals import Interval, changed, exact, quantile
from querytax.reproductions.aithal_li_2022.pairs import (
    KEY,
    SIGMA,
    Pairs,
    Rows,
    decibel,
    networks,
    printed_model,
    sample,
)
from querytax.reproductions.aithal_li_2022.table import average, root_mean_square
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, agrees, beyond, ordered
from querytax.reproductions.measured import Measured, only, select
from querytax.reproductions.panels import columns
from querytax.theory import query_ratio, repeats, snr
from querytax.theory.law import RegimeWarning
from querytax.validation import printed

__all__ = ["SECTION_IV_A"]

# Stands for a network where the printed statistics are used.
PRINTED = "table 1"
NOISELESS = {
    "MNIST": "noiseless queries, MNIST and CIFAR10",
    "CIFAR10": "noiseless queries, MNIST and CIFAR10",
    "IMAGENET": "noiseless queries, IMAGENET",
}
# Of a unit of the last digit that is printed.
HALF = 0.5


def _parts(job: Job) -> list[Part]:
    said = [{"network": PRINTED, "model": m} for m in job["printed_models"]]
    ours = [{"network": n, "model": m} for n, m in job["models"].items()]
    return [*said, *ours]


def _measure(job: Job, part: Part) -> list[Measured]:
    """From mean and mean square of ΔF_t to decibels, ratios and noise levels."""
    if part["network"] == PRINTED:
        said = printed_model(part["model"], "mean_delta_f_t")
        spread = printed_model(part["model"], "std_delta_f_t")
        found, change = None, exact(said)
        square = exact(math.hypot(said, spread))
        dimension = job["dimensions"][part["model"]]
    else:
        found = sample(job, part["network"])
        change, square = average(found.change), root_mean_square(found.change)
        dimension = found.dimension
    rows = [
        Measured(
            "sigma of the budget by (6)",
            changed(change, lambda x: _budget_sigma(x, part["model"])),
            "probability",
        )
    ]
    for sigma in sorted({*job["sigmas"], _recommended(part["model"])}):
        at = {"sigma": sigma}

        def row(name: str, interval: Interval, unit: str, at: Any = at) -> None:
            rows.append(Measured(name, interval, unit, at))

        lemma, pooled = _decision(change, sigma), _decision(square, sigma)
        row("SNR as quoted", changed(lemma, lambda s: decibel(2.0 * s)), "dB")
        row("SNR of Lemma 1", changed(lemma, decibel), "dB")
        row("SNR, mean square change", changed(pooled, decibel), "dB")
        row("query ratio by (6)", changed(lemma, _ratio_6), "ratio")
        row("queries by the steps of (38)", changed(lemma, _steps), "queries")
        row("query ratio, mean square", _best(job, pooled, dimension), "ratio")
        if found is not None:
            folded, median = _reflected(found, sigma)
            typical = _decision(quantile(found.picked(found.change), 0.5), sigma)
            row("SNR, reflected", changed(folded, decibel), "dB")
            row("SNR, median target", changed(typical, decibel), "dB")
            row("SNR, median target, reflected", changed(median, decibel), "dB")
            row("query ratio, reflected", _best(job, folded, dimension), "ratio")
    return rows


def _decision(change: Interval, sigma: float) -> Interval:
    """Lemma 1 for equal ends."""
    return changed(change, lambda x: float(snr.output(x**2, sigma)))


def _ratio_6(power: float) -> float:
    """(6) at the parameters of section IV-A; far outside its regime, as there."""
    said = {name: papers.text(f"{KEY}/c8", name) for name in ("a", "lambda", "v0")}
    eta, epsilon = (papers.text(f"{KEY}/c8", name) for name in ("eta", "epsilon"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegimeWarning)
        return float(
            printed.query_ratio_6(
                power, said["a"] * said["lambda"], eta / said["v0"], epsilon
            )
        )


def _steps(power: float) -> float:
    """Two for each of the q²/S steps that (38) tends to, whatever came before."""
    return 2.0 * float(repeats.fixed(power, papers.text(f"{KEY}/c8", "epsilon")))


def _budget_sigma(change: float, model: str) -> float:
    """The noise at which (6), times the noiseless count, is the budget."""
    wanted = math.log(_budget() / _noiseless(model))

    def excess(log_sigma: float) -> float:
        power = float(snr.output(change**2, math.exp(log_sigma)))
        return math.log(_ratio_6(power)) - wanted

    centre = math.log(change)
    return math.exp(optimize.brentq(excess, centre - 20.0, centre + 20.0))


def _budget() -> float:
    return 1e6 * papers.text(f"{KEY}/c10", "query budget")


def _noiseless(model: str) -> float:
    return papers.text(f"{KEY}/c9", NOISELESS[model])


def _recommended(model: str) -> float:
    return papers.text(f"{KEY}/c10", f"noise that stops the budget, {model}")


def _best(job: Job, power: Interval, dimension: int) -> Interval:
    return changed(
        power, lambda s: float(query_ratio.best_step(s, dimension, job["pairs"]))
    )


def _reflected(found: Pairs, sigma: float) -> tuple[Interval, Interval]:
    """SNR of reflected outputs, best read: over all targets, and of the median one."""
    one, two = found.ends
    level = np.minimum(0.5 * (one + two), 1.0)
    each = snr.output(np.square(one - two), sigma, output=level, release="reflect")
    return average(each), quantile(found.picked(each), 0.5)


def _judge(job: Job, rows: Rows) -> list[Verdict]:
    verdicts = _total(job, rows)
    for part in _parts(job):
        if part["network"] == PRINTED:
            verdicts += _arithmetic(job, rows, part["model"])
        else:
            verdicts += _ours(job, rows, part)
    return verdicts


def _last_digit(said: float) -> float:
    """Half a unit of the only digit that is printed."""
    return HALF * 10.0 ** math.floor(math.log10(said))


def _quoted_sigma() -> float:
    return papers.text(f"{KEY}/c7", "noise at which the SNRs are quoted")


def _total(job: Job, rows: Rows) -> list[Verdict]:
    """The least and the most queries, as powers of ten."""
    at = {"network": PRINTED, "sigma": _quoted_sigma()}
    ratios = select(rows, "query ratio by (6)", **at)
    counts = [r.value * _noiseless(str(r.setting["model"])) for r in ratios]
    steps = select(rows, "queries by the steps of (38)", **at)
    arithmetic = "arithmetic alone: a ratio of one model times a count of another"
    return [
        agrees(
            f"table 1: queries at the quoted noise, {word}, power of ten",
            math.log10(papers.text(f"{KEY}/c9", f"noisy queries, {said}")),
            exact(math.floor(math.log10(count))),
            tolerance=HALF,
            claim=f"{KEY}/{claim}",
            note=note,
        )
        for word, said, count, claim, note in (
            ("least", "least", min(counts), "c9", arithmetic),
            ("most", "most", max(counts), "c9", arithmetic),
            (
                "most, by the steps of the model itself",
                "most",
                max(row.value for row in steps),
                "c6",
                "q²/S steps in all, whatever the noiseless attack takes",
            ),
        )
    ]


def _arithmetic(job: Job, rows: Rows, model: str) -> list[Verdict]:
    """What the printed statistics give by the printed formulas, and by the laws."""
    at: Any = {"network": PRINTED, "model": model, "sigma": _quoted_sigma()}
    decibels = papers.text(f"{KEY}/c7", f"gradient SNR, {model}")
    said = papers.text(f"{KEY}/c8", f"query ratio, {model}")
    verdicts = [
        agrees(
            f"table 1, {model}: {words} at the quoted noise, dB",
            decibels,
            only(rows, name, **at).interval,
            tolerance=HALF,
            claim=f"{KEY}/c7",
            note=note,
        )
        for words, name, note in (
            ("ΔF²/σ²", "SNR as quoted", ""),
            ("Lemma 1", "SNR of Lemma 1", "its factor 2 was left out"),
        )
    ]
    verdicts.append(
        agrees(
            f"table 1, {model}: query ratio of (6) at the quoted noise",
            said,
            only(rows, "query ratio by (6)", **at).interval,
            tolerance=_last_digit(said),
            claim=f"{KEY}/c8",
            note="with the factor 2; the formula is far outside its regime",
        )
    )
    forms = {"(6)": "query ratio by (6)", "the law": "query ratio, mean square"}
    return verdicts + [
        _stops(rows, {"network": PRINTED, "model": model}, words, name)
        for words, name in forms.items()
    ]


def _stops(rows: Rows, part: Part, words: str, name: str) -> Verdict:
    """Whether the recommended noise stops the budget."""
    model, network = part["model"], part["network"]
    sigma = _recommended(model)
    ratio = only(rows, name, network=network, model=model, sigma=sigma)
    return beyond(
        f"{network}, {model}: σ = {sigma:g} stops 1e6 queries, by {words}",
        changed(ratio.interval, lambda r: r * _noiseless(model)),
        _budget(),
        claim=f"{KEY}/c10",
        note="" if words == "(6)" else "mean square of ΔF_t, best plain step",
    )


def _ours(job: Job, rows: Rows, part: Part) -> list[Verdict]:
    """The chain from measured statistics, and what the laws add to it."""
    network, model = part["network"], part["model"]
    at: Any = {"network": network, "sigma": _quoted_sigma()}
    verdicts = [
        ordered(
            f"{network}: the SNR of the mean square exceeds Lemma 1's of the mean",
            [
                only(rows, name, **at).interval
                for name in ("SNR, mean square change", "SNR of Lemma 1")
            ],
        ),
        ordered(
            f"{network}: the median target's SNR is lower, and falls by reflection",
            [
                only(rows, name, **at).interval
                for name in (
                    "SNR, mean square change",
                    "SNR, median target",
                    "SNR, median target, reflected",
                )
            ],
        ),
    ]
    if job.scale == "full":
        verdicts.append(
            agrees(
                f"{network}: ΔF²/σ² at the quoted noise, dB",
                papers.text(f"{KEY}/c7", f"gradient SNR, {model}"),
                only(rows, "SNR as quoted", **at).interval,
                tolerance=job["decibels"],
                claim=f"{KEY}/c7",
                note="" if network in job["same_network"] else "another network",
            )
        )
        for words, name in (
            ("(6)", "query ratio by (6)"),
            ("the law", "query ratio, mean square"),
            ("the law, reflected outputs", "query ratio, reflected"),
        ):
            verdicts.append(_stops(rows, part, words, name))
    return verdicts


def _curve(rows: Rows, name: str, network: str, model: str) -> Any:
    return columns(select(rows, name, network=network, model=model), "sigma")


def _printed_panel(ax: Any, rows: Rows) -> Any:
    y = "queries over those without noise (ratio)"
    panel = Panel(ax, "from the printed statistics", SIGMA, y)
    sigma = _quoted_sigma()
    models = [
        str(row.setting["model"])
        for row in select(rows, "sigma of the budget by (6)", network=PRINTED)
    ]
    for like, model in enumerate(models):
        x, value, *_ = _curve(rows, "query ratio by (6)", PRINTED, model)
        panel.line(f"{model}, (6)", x, value, like=like, marker="")
        said = papers.text(f"{KEY}/c8", f"query ratio, {model}")
        panel.points(f"{model}, printed", [sigma], [said], like=like)
        x, value, *_ = _curve(rows, "query ratio, mean square", PRINTED, model)
        panel.line(f"{model}, law", x, value, like=like, lw=0.8)
    panel.legend("upper left", fontsize=6.5)
    return ax


def _our_panel(ax: Any, rows: Rows) -> Any:
    y = "queries over those without noise (ratio)"
    network, model = next(
        (str(row.setting["network"]), str(row.setting["model"]))
        for row in rows
        if row.setting["network"] != PRINTED
    )
    panel = Panel(ax, f"from {network.replace('_', ' ')}, measured", SIGMA, y)
    for label, name in (
        ("(6), mean of ΔF", "query ratio by (6)"),
        ("law, mean square, raw", "query ratio, mean square"),
        ("law, mean square, reflected", "query ratio, reflected"),
    ):
        panel.band(label, *_curve(rows, name, network, model))
    panel.legend("upper left")
    return ax


SECTION_IV_A = Experiment(
    "section-iv-a",
    _parts,
    _measure,
    _judge,
    (_printed_panel, _our_panel),
    networks,
)
