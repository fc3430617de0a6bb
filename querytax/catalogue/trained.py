"""Defences that a network is trained for."""

from __future__ import annotations

from querytax.catalogue.entries import Defence, Setting

__all__ = ["TRAINED"]

# What every training asks for.
_SCHEDULE = {
    "epochs": Setting(5, "passes over the data", 1, 10**6),
    "batch": Setting(64, "images a step", 1, 10**6),
    "rate": Setting(1e-3, "Adam's at the start; it falls to 0", 1e-9, 1.0),
    "training_seed": Setting(0, "of the training's draws", 0, 2**53),
}

_BALL = {
    "eps": Setting(0.03, "radius of the training's attack", 1e-6, 1e6),
    "norm": Setting("Linf", "of that radius", words=("Linf", "L2")),
    "steps": Setting(7, "of that attack", 1, 10**4),
}

TRAINED: tuple[Defence, ...] = (
    Defence(
        word="rnd-gf",
        about="fine-tuned under Gaussian noise on the image, then with it",
        random="noise of every pixel",
        strength="sigma",
        usual=0.05,
        levels=(0.01, 0.03, 0.1, 0.2, 0.4),
        source="Qin et al. 2021, RND-GF",
        comparison=(
            "S = (change of the mean loss)^2 / (2 sigma^2 |gradient|^2), of the "
            "tuned network"
        ),
        breaker="wider probes, averages: the trained network is smoother",
        attack=("nes", {"recipe": "adaptive"}),
        settings={
            "reading": Setting(
                "inside", "log of the mean, or in it", words=("inside", "outside")
            ),
            "draws": Setting(2, "of noise, an image and step", 1, 1000),
            **_SCHEDULE,
        },
        made="querytax.defenses.trained.gaussian:GaussianTuned",
        trained=True,
        decides=True,
    ),
    Defence(
        word="rnd-at",
        about="Gaussian noise on the image of an adversarially tuned net",
        random="noise of every pixel",
        strength="sigma",
        usual=0.02,
        levels=(0.01, 0.03, 0.1, 0.2, 0.4),
        source="Qin et al. 2021, RND-AT; Madry et al. 2018",
        comparison="S = (change of the mean loss)^2 / (2 sigma^2 |gradient|^2)",
        breaker="wider probes, averages",
        attack=("nes", {"recipe": "adaptive"}),
        settings={**_BALL, **_SCHEDULE},
        made="querytax.defenses.trained.adversarial:AdversariallyTuned",
        trained=True,
        decides=True,
    ),
    Defence(
        word="pni",
        about="Gaussian noise on the weights, its sizes trained",
        random="noise of every weight, for each row",
        strength="scale",
        usual=1.0,
        levels=(0.25, 0.5, 1.0, 2.0, 4.0),
        source="He, Rakin & Fan 2019, Parametric noise injection",
        comparison=(
            "S = (change of the mean loss)^2 / (2 sum of (alpha s(W) |gradient in "
            "W|)^2), to first order"
        ),
        breaker="wider probes, averages",
        attack=("nes", {"recipe": "adaptive"}),
        settings={
            **_BALL,
            "weight": Setting(0.5, "of the adversarial loss", 0.0, 1.0),
            **_SCHEDULE,
        },
        made="querytax.defenses.trained.parametric:ParametricNoise",
        trained=True,
        decides=True,
    ),
    Defence(
        word="rse",
        about="Gaussian noise before each convolution, trained with it",
        random="noise of every feature, in every pass",
        strength="sigma",
        usual=0.1,
        levels=(0.01, 0.03, 0.1, 0.2, 0.4),
        source="Liu et al. 2018, Random self-ensemble",
        comparison=(
            "S = passes (change of the mean loss)^2 / (2 sum sigma^2 |gradient|^2), "
            "to first order"
        ),
        breaker="wider probes, averages: the passes have begun them",
        attack=("nes", {"recipe": "adaptive"}),
        settings={
            "first": Setting(2.0, "noise before the first, in sigmas", 0.0, 1e3),
            "passes": Setting(1, "of which an answer is the mean", 1, 1000),
            **_SCHEDULE,
        },
        made="querytax.defenses.trained.ensemble:SelfEnsemble",
        trained=True,
        decides=True,
    ),
    Defence(
        word="distill",
        about="a student of soft labels, which answers at temperature 1",
        random="",
        strength="temperature",
        usual=20.0,
        levels=(1.0, 5.0, 20.0, 100.0),
        most=1000.0,
        source="Papernot et al. 2016, Defensive distillation",
        comparison=(
            "none: nothing is drawn. Probabilities saturate and may round alike; "
            "logits and their margins do not"
        ),
        breaker="a margin of logits, which does not saturate (Carlini & Wagner)",
        attack=("square", {"loss": "margin"}),
        settings={
            **_SCHEDULE,
            "epochs": Setting(10, "of teacher and student each", 1, 10**6),
            "rate": Setting(5e-3, "as logits must grow by the temperature", 1e-9, 1.0),
        },
        made="querytax.defenses.trained.distillation:Distilled",
        trained=True,
        decides=True,
    ),
)
