"""Figures of the signal-to-noise ratio: how it is made, and what reads it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from querytax import papers
from querytax.figures.simulated import DRAWS, crosses, densities, simulate
from querytax.figures.style import Panel
from querytax.montecarlo import log_ratio as log_ratio_draws
from querytax.montecarlo import misstep as misstep_draws
from querytax.montecarlo import ratio as ratio_draws
from querytax.montecarlo import repeats as repeat_draws
from querytax.theory import drift, efficiency, log_ratio, misstep, query_ratio, ratio
from querytax.theory import repeats as repeated
from querytax.theory import snr as made
from querytax.validation import printed_curves

__all__ = [
    "ERROR",
    "MODELS",
    "NES",
    "QUOTED",
    "QUOTED_AT",
    "Measured",
    "nes_aim",
    "nes_query_ratio",
    "noise_factor",
    "noise_ratio",
    "output_efficiency",
    "output_snr",
    "settling_repeats",
    "snr_senses",
    "wrong_multiplier",
    "wrong_signs",
]

# CIFAR-sized images, as most NES attacks on them are set.
NES = {"dimension": 3072, "pairs": 50}
ERROR = 0.01


class Measured(NamedTuple):
    """Mean output, probe, and mean and spread of the output's change over a pair."""

    output: float
    probe: float
    change: float
    spread: float


_COLUMNS = ("mean_f_t", "beta", "mean_delta_f_t", "std_delta_f_t")
# Aithal & Li 2022, Table 1, by the first word of the model.
MODELS = {
    row["model"].split()[0]: Measured(*(float(row[name]) for name in _COLUMNS))
    for row in papers.rows("aithal-li-2022", "table-1")
}

_SNR = "S, signal-to-noise ratio of one pair (power ratio)"
_RATIOS = np.logspace(-6, 2, 161)


def wrong_signs(ax: Any) -> Any:
    """Wrong signs by S, of a random and of a given direction."""
    s = _RATIOS
    wrong = Panel(ax, "wrong signs", _SNR, "wrong signs (probability)")
    wrong.line("random direction", s, misstep.random_direction(s))
    fixed = misstep.fixed_direction(s)
    seen = fixed > 1e-6
    wrong.line("given direction", s[seen], fixed[seen])
    at = np.logspace(-4, 2, 7)
    random = (simulate(misstep_draws.random_direction(x)) for x in at)
    crosses(wrong, "random direction", at, random)
    # Beyond, too few of the draws have the wrong sign.
    at = at[at <= 10.0]
    given = (simulate(misstep_draws.fixed_direction(x)) for x in at)
    crosses(wrong, "given direction", at, given)
    wrong.limits(y=(1e-4, 1.0))
    wrong.legend("lower left")
    return ax


def settling_repeats(ax: Any) -> Any:
    """Pairs that settle a sign, by S."""
    s = _RATIOS
    share = f"{100 * ERROR:g} %"
    y = f"pairs for {share} wrong signs (count)"
    settle = Panel(ax, "repeats that settle a sign", _SNR, y)
    settle.line("random direction", s, repeated.random_direction(s, ERROR))
    settle.line("given direction", s, repeated.fixed(s, ERROR))
    settle.line("given, stopped when sure", s, repeated.sequential(s, ERROR))
    at = np.logspace(-2, -1, 3)
    wald = (simulate(repeat_draws.walds_pairs(x, ERROR)) for x in at)
    crosses(settle, "given, Wald's test", at, wald)
    settle.level(1.0)
    settle.legend("upper right")
    return ax


def nes_query_ratio(ax: Any) -> Any:
    """How many more queries NES needs, by S and the kind of its step."""
    s = _RATIOS
    y = "queries over those without noise (ratio)"
    slower = Panel(ax, "query ratio of NES", _SNR, y)
    slower.line("best plain step", s, query_ratio.best_step(s, **NES))
    slower.line("sign or unit step", s, query_ratio.fixed_length_step(s, **NES))
    slower.line("sign of each coordinate", s, query_ratio.sign_coordinate(s))
    slower.legend("upper right")
    return ax


def nes_aim(ax: Any) -> Any:
    """How well an NES estimate is aimed, by S."""
    s = _RATIOS
    y = "cosine with the gradient (ratio)"
    aimed = Panel(ax, "aim of an NES estimate", _SNR, y)
    for pairs in (10, 100, 1000):
        cosine = drift.cosine(s, NES["dimension"], pairs)
        aimed.line(f"{pairs} pairs", s, cosine)
    aimed.legend("lower right")
    return ax


def output_efficiency(ax: Any) -> Any:
    """What reflection and clipping leave of the information."""
    t = np.logspace(-2, 1, 121)
    panel = Panel(
        ax,
        "what the released output leaves",
        "F/σ, output over noise (ratio)",
        "share of the raw output's SNR (ratio)",
    )
    share = efficiency.fisher_efficiency
    panel.line("raw, F + v", t, share(t))
    panel.line("clipped at 0, best reading", t, share(t, release="clip"))
    panel.line("reflected, best reading", t, share(t, release="reflect"))
    panel.line("reflected, mean of |F + v|", t, share(t, np.inf, "reflect", "abs"))
    panel.line("reflected, mean of ln |F + v|", t, share(t, np.inf, "reflect", "log"))
    panel.legend("lower right")
    return ax


def snr_senses(ax: Any, model: str) -> Any:
    """Quantities that go by the name of SNR, for a model of ``MODELS``."""
    level, change = MODELS[model].output, MODELS[model].change
    name = f"{model}: F = {level:g}, ΔF = {change:g}"
    x = "σ of the output noise (probability)"
    panel = Panel(ax, name, x, "SNR (dB)", yscale="linear")
    sigma = np.logspace(-2.5, 2.5, 101) * level
    pair = (level + 0.5 * change, level - 0.5 * change, sigma)
    square = change**2
    weak = sigma <= 0.1 * pair[1]
    log_form = log_ratio.log_snr(*pair[:2], sigma[weak])
    senses = {
        "printed, eq. (5)": printed_curves.snr_5(*pair),
        "log form, weak noise": log_form,
        "decision, raw outputs": made.output(square, sigma),
        "as defined, reflected outputs": log_ratio.definition_snr(*pair),
        "effective, mean log of reflected": log_ratio.effective_snr(*pair),
        "best, reflected": made.output(square, sigma, output=level, release="reflect"),
    }
    for label, value in senses.items():
        panel.line(label, sigma[: value.size], 10.0 * np.log10(value))
    if change > 0.1 * level:
        # A smaller change drowns in any number of draws that fits a figure.
        crosses(panel, "effective, mean log of reflected", *_effective(*pair[:2]))
    panel.mark(level, "σ = F")
    return ax


def _effective(output: float, other_output: float) -> tuple[Any, list[Any]]:
    """Squared mean of the reflected log ratio over its variance, in dB."""
    sigmas = output * np.logspace(-2, 0, 5)
    found = []
    for sigma in sigmas:
        pair = (output, other_output, float(sigma))
        drawn = log_ratio_draws.mean(*pair, release="reflect")
        mean, low, high = simulate(drawn, 4 * DRAWS)
        drawn = log_ratio_draws.variance(*pair, release="reflect")
        variance, least, most = simulate(drawn, 4 * DRAWS)
        power = np.array([mean**2 / variance, low**2 / most, high**2 / least])
        found.append(10.0 * np.log10(power))
    return sigmas, found


# The noise that the paper adds.
_SIGMAS = np.logspace(-6, -1, 101)
# Aithal & Li 2022, Section IV-A: SNR of the gradient at this noise, dB.
QUOTED_AT = 0.01
QUOTED = {"MNIST": -66.0, "CIFAR10": -34.0, "IMAGENET": -106.0}


def output_snr(ax: Any, model: str) -> Any:
    """SNR of an output and of what an attacker reads from it, for a model."""
    level, _, change, spread = MODELS[model]
    name = f"{model}: F = {level:g}"
    x = "σ of the output noise (probability)"
    panel = Panel(ax, name, x, "SNR (dB)", yscale="linear")
    square = change**2 + spread**2
    pair = (level + 0.5 * change, level - 0.5 * change, _SIGMAS)
    for label, value in {
        "output of a sure class, 1/σ²": 1.0 / _SIGMAS**2,
        "mean output, F²/σ²": level**2 / _SIGMAS**2,
        "pair, printed, eq. (5)": printed_curves.snr_5(*pair),
        "pair, mean square change": made.output(square, _SIGMAS),
    }.items():
        panel.line(label, _SIGMAS, 10.0 * np.log10(value))
    # Of reflected outputs the law is that of a small change.
    wide = _SIGMAS[np.maximum(0.5 * _SIGMAS, 0.25 * level) >= np.sqrt(square)]
    folded = made.output(square, wide, level, "reflect", "log")
    panel.line("the same, mean log of reflected", wide, 10.0 * np.log10(folded))
    panel.points("pair, quoted in the text", QUOTED_AT, QUOTED[model], like=6)
    panel.limits(y=(-165.0, 125.0))
    return ax


# Aithal & Li 2022, Remark 2 and Fig. 6: its probe, and its noise between others.
_PROBE, _NOISES = 1e-3, (1e-4, 1e-3, 1e-2)


def wrong_multiplier(ax: Any, output: float) -> Any:
    """Probability that a noisy factor A is negative whose true value a is positive."""
    x = "a, true factor (1 per unit of distance)"
    name, y = f"F = {output:g}", "P(A < 0) (probability)"
    panel = Panel(ax, name, x, y, yscale="linear")
    true = np.logspace(-1, 2, 61)
    # The pair lies around F, a = ln(F1/F2)/β.
    one, two = (output * np.exp(half * _PROBE * true) for half in (0.5, -0.5))
    for like, sigma in enumerate(_NOISES):
        wrong = printed_curves.negative_factor(one, two, sigma)
        filled = {"linestyle": "--", "markerfacecolor": "0.6"}
        panel.line(f"printed, σ = {sigma:g}", true, wrong, like=like, **filled)
        exact = ratio.multiplier_distribution(0.0, one, two, _PROBE, sigma)
        panel.line(f"exact, σ = {sigma:g}", true, exact, like=like, linestyle="-")
        at = slice(10, None, 10)
        drawn = (
            simulate(ratio_draws.multiplier_distribution(0.0, *pair, _PROBE, sigma))
            for pair in zip(one[at], two[at], strict=True)
        )
        crosses(panel, f"exact, σ = {sigma:g}", true[at], drawn)
    panel.limits(y=(0.0, 1.0))
    return ax


_LEVEL = 0.1


def noise_ratio(ax: Any, relative: float) -> Any:
    """The law of the ratio of two noisy outputs, whose noise is σ = ``relative`` F."""
    sigma = relative * _LEVEL
    span = 6.0 * np.sqrt(2.0) * relative
    z = np.linspace(1.0 - span, 1.0 + span, 241)
    x = "Z, noisy over noiseless ratio (ratio)"
    name = f"ratio, σ/F = {relative:g}"
    panel = Panel(ax, name, x, "density (per unit)", xscale="linear")
    panel.line("exact", z, ratio.density(z, _LEVEL, _LEVEL, sigma))
    # Below what is shown the normal's tail is no more than rounding.
    normal = printed_curves.ratio_density(z, _LEVEL, sigma)
    shown = normal > 1e-6
    panel.line("printed, N(1, 2σ²/F²)", z[shown], normal[shown], like=3)
    bins = np.linspace(z[0], z[-1], 25)
    crosses(panel, "exact", *densities(_ratios(sigma), bins))
    panel.limits(y=(1e-5, 100.0))
    return ax


def _ratios(sigma: float) -> Any:
    """Draws of the ratio, none of them beyond what is shown cut."""
    return ratio_draws.truncated_mean(_LEVEL, _LEVEL, sigma, -1e9, 1e9)


def _logarithm(values: Any) -> Any:
    """Of the positive ones; the others have none."""
    return np.log(values, where=values > 0.0, out=np.full_like(values, np.nan))


def noise_factor(ax: Any, relative: float) -> Any:
    """The law of what an attack reads from that ratio."""
    name = f"factor, σ/F = {relative:g}"
    x, y = "βA, log of the noisy ratio (nat)", "density (per nat)"
    panel = Panel(ax, name, x, y, "linear", "linear")
    b = np.linspace(-4.0, 3.0, 281)
    pair = (_LEVEL, _LEVEL, relative * _LEVEL, 1.0)
    exact = ratio.multiplier_density(b, _LEVEL, _LEVEL, 1.0, relative * _LEVEL)
    panel.line("exact", b, exact)
    panel.line("printed, eq. (17)", b, printed_curves.factor_density(b, *pair))
    mended = printed_curves.factor_density(b, *pair, centre=1.0)
    panel.line("eq. (17), its -1 restored", b, mended)
    span = 6.0 * np.sqrt(2.0) * relative
    bins = np.linspace(max(-span, b[0]), min(span, b[-1]), 25)
    drawn = densities(_ratios(pair[2]), bins, _logarithm)
    crosses(panel, "exact", *drawn)
    return ax
