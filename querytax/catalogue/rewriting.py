"""Defences that rewrite the answers, and noise of other laws."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from querytax.catalogue.entries import Defence, Setting

__all__ = ["NOT_BUILT", "REWRITING"]

_PERIODS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)

REWRITING: tuple[Defence, ...] = (
    Defence(
        word="rls",
        about="logits times one random number a row",
        random="a scale for each row, uniform in [low, high]",
        strength="high",
        usual=10.0,
        levels=(0.6, 1.0, 2.0, 5.0, 10.0),
        source="Random Logit Scaling 2026, under review",
        comparison=(
            "S = (d/m)^2 / (2 cv^2), cv^2 = 0.27 for U(0.5, 10), at any scale of m; "
            "infinite for quotients of margins"
        ),
        breaker="a margin over the spread of the logits: no scale shows",
        attack=("square", {"recipe": "published", "loss": "ratio"}),
        settings={"low": Setting(0.5, "smallest scale", 1e-6, 1e6)},
        made="querytax.defenses.logit_scaling:RandomLogitScaling",
    ),
    Defence(
        word="aaa",
        about="margin rewritten to rise where the true one falls",
        random="",
        strength="period",
        usual=4.0,
        levels=_PERIODS,
        source="Chen et al. 2022, Adversarial Attack on Attackers, linear",
        comparison=(
            "none: nothing drawn. A change d < period is seen wrong from 1 - "
            "d/period of all places, a wider one right"
        ),
        breaker="the map undone: it is one-to-one",
        attack=("square", {"recipe": "published", "loss": "unfold:{period!r}"}),
        settings={"temperature": Setting(1.0, "of the top probability", 1e-3, 1e3)},
        made="querytax.defenses.margin_maps:AttackOnAttackers",
    ),
    Defence(
        word="aaa-sine",
        about="margin rewritten, by a smooth map",
        random="",
        strength="period",
        usual=6.0,
        levels=_PERIODS,
        source="Chen et al. 2022, Adversarial Attack on Attackers, sine",
        comparison=(
            "none: nothing drawn. A small change is seen wrong from 43 % of all "
            "places, one of 1.4 periods never"
        ),
        breaker="turning round after failures",
        attack=("square", {"recipe": "published", "incumbent": "turning"}),
        settings={"temperature": Setting(1.0, "of the top probability", 1e-3, 1e3)},
        made="querytax.defenses.margin_maps:SineAttackOnAttackers",
    ),
    Defence(
        word="dld",
        about="margin that jumps between a rising and a falling line",
        random="",
        strength="period",
        usual=6.0,
        levels=_PERIODS,
        source="Fu, Guo & Luo 2026, Dashed Line Defense, released code",
        comparison=(
            "none: nothing is drawn. The map is one-to-one: no comparison that undoes "
            "it is ever wrong"
        ),
        breaker="the map undone: each answer lies on one line only",
        attack=("square", {"recipe": "published", "loss": "undash:{period!r}"}),
        settings={
            "share": Setting(0.5, "share of the dashes", 0.0, 1.0),
            "dash": Setting(0.04, "length of a piece, of the interval", 1e-6, 1.0),
        },
        made="querytax.defenses.margin_maps:DashedLine",
    ),
    Defence(
        word="boundary-defense",
        about="Gaussian noise on the logits of unsure answers",
        random="noise of every logit, where the top probability is low",
        strength="sigma",
        usual=0.1,
        levels=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        source="Aithal & Li 2022b, Boundary Defense",
        comparison=(
            "S = d^2 / (4 sigma^2) of the margin where the top probability is below "
            "the threshold, else infinite"
        ),
        breaker="wide probes; boundaries of two classes lie at 1/2, beyond the noise",
        attack=("nes", {"recipe": "adaptive"}),
        settings={"below": Setting(0.3, "noise where the top is below", 0.0, 1.0)},
        made="querytax.defenses.boundary_defense:BoundaryDefense",
        decides=True,
    ),
    Defence(
        word="quantize",
        about="scores rounded to multiples of a step",
        random="with dither, which way each score is rounded",
        strength="step",
        usual=0.01,
        levels=(1e-4, 1e-3, 0.01, 0.05, 0.1, 0.25, 0.5),
        most=1.0,
        source="Aithal & Li 2022, Lemma 2",
        comparison=(
            "none: d is hidden for good from 1 - d/step of all places. With dither "
            "S = 3 (d/step)^2, on average"
        ),
        breaker="wider probes, which cross a step; with dither averages",
        attack=("nes", {"recipe": "adaptive"}),
        settings={
            "dither": Setting(False, "a uniform step is added before rounding"),
            "on": Setting(
                "probabilities", "what is rounded", words=("probabilities", "logits")
            ),
        },
        made="querytax.defenses.quantized:Quantized",
        decides=True,
    ),
    Defence(
        word="common",
        about="output noise of which classes share a part",
        random="noise of every score, and one number for each row",
        strength="sigma",
        usual=0.1,
        levels=(1e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        source="ours; the correlation that Lemma 2 of Aithal & Li 2022 lacks",
        comparison=(
            "S = d^2 / (4 (1 - rho) sigma^2) of a margin; of one class alone d^2 / "
            "(2 sigma^2)"
        ),
        breaker="differences of scores, which the common part does not touch",
        attack=("square", {"recipe": "published", "loss": "margin"}),
        settings={
            "rho": Setting(0.5, "common share of the variance", 0.0, 1.0),
            "on": Setting(
                "logits", "what is noised", words=("probabilities", "logits")
            ),
        },
        made="querytax.defenses.common_noise:CommonNoise",
        decides=True,
    ),
    Defence(
        word="scaled",
        about="Gaussian noise of a random scale, Beta(a, a)",
        random="noise, and its scale for each row",
        strength="sigma",
        usual=0.02,
        levels=(1e-3, 0.01, 0.03, 0.1, 0.3, 0.8),
        source="Byun et al. 2022, SND, section 4.7",
        comparison=(
            "S = d^2 (2 a + 1) / ((a + 1) sigma^2) of means; medians do better, "
            "without end for a <= 1"
        ),
        breaker="wider probes, and repeats: means, or better medians",
        attack=("nes", {"recipe": "adaptive"}),
        settings={
            "a": Setting(2.0, "of the Beta law", 0.01, 1e4),
            "at": Setting("output", "where", words=("output", "input")),
        },
        made="querytax.defenses.random_scale:scaled",
        decides=True,
    ),
    Defence(
        word="mixture",
        about="Gaussian noise of a scale drawn from a few",
        random="noise of every score, and its scale for each row",
        strength="sigma",
        usual=0.01,
        levels=(1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 0.8),
        source="Output randomisation 2020, appendix",
        comparison=(
            "S = d^2 / (2 sigma^2) of means, sigma^2 the mean variance; the best "
            "estimate needs 17 times less for 1/10"
        ),
        breaker="wider probes, and repeats: means, or better medians",
        attack=("nes", {"recipe": "adaptive"}),
        settings={
            "scales": Setting("1/10", "their ratios"),
            "form": Setting(
                "reflect",
                "how it is put back into [0, 1]",
                words=("reflect", "clip", "raw"),
            ),
        },
        made="querytax.defenses.random_scale:MixtureNoise",
        decides=True,
    ),
)

# Defences that have a name and no description that they could be built from.
NOT_BUILT: Mapping[str, str] = MappingProxyType(
    {
        "predcoin": (
            "Guo et al. 2020, PredCoin: noise on the logits of queries that a trained "
            "detector takes for those of a gradient estimate. It guards against "
            "attacks that see labels; the detector's data, form and threshold were "
            "not found in what could be read, and no code"
        ),
    }
)
