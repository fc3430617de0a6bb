"""Noise at a place: described beside its rivals, built from its site."""

from __future__ import annotations

from querytax.catalogue.entries import Defence

__all__ = ["PLACES"]

PLACES = (
    Defence(
        word="input",
        about="Gaussian noise on the image",
        random="noise of every pixel",
        strength="sigma",
        usual=0.02,
        levels=(0.003, 0.01, 0.03, 0.1, 0.2, 0.4),
        source="Byun et al. 2022, SND; Qin et al. 2021, RND",
        comparison="S = (change of the mean loss)^2 / (2 sigma^2 |gradient|^2)",
        breaker="wider probes, averages",
        attack=("nes", {"recipe": "adaptive"}),
        decides=True,
    ),
    Defence(
        word="output",
        about="Gaussian noise on the probabilities or logits",
        random="noise of every score",
        strength="sigma",
        usual=0.01,
        levels=(1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8),
        source="Aithal & Li 2022; output randomisation 2020",
        comparison="S = (change of the score)^2 / (2 sigma^2)",
        breaker="wider probes, averages",
        attack=("nes", {"recipe": "adaptive"}),
        decides=True,
    ),
    Defence(
        word="rfd",
        about="Gaussian noise on the features of several layers",
        random="noise of every feature",
        strength="sigma",
        usual=0.1,
        levels=(),
        source="Nguyen et al. 2024, RFD",
        comparison="S = (change of the mean loss)^2 / (2 sigma^2 sum |gradient|^2)",
        breaker="wider probes, averages",
        attack=("nes", {"recipe": "adaptive"}),
        decides=True,
    ),
)
