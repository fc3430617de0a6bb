"""Filters of the image or of features, which are part of the decision."""

from __future__ import annotations

from querytax.catalogue.entries import Defence, Setting

__all__ = ["TRANSFORMS"]

TRANSFORMS: tuple[Defence, ...] = (
    Defence(
        word="resize",
        about="the image resized at random, at a random place on black",
        random="size and place of every row",
        strength="share",
        usual=0.1,
        levels=(0.05, 0.1, 0.2, 0.3, 0.5),
        most=0.9,
        source="Xie et al. 2018, Mitigating adversarial effects by randomization",
        comparison=(
            "S = (change of the mean loss)^2 / (2 var of the loss), both measured: "
            "no law of small noise gives it"
        ),
        breaker="averages over the draws, and steps that are wide and smooth",
        attack=("nes", {"recipe": "adaptive"}),
        settings={
            "way": Setting(
                "shrink",
                "on a canvas of the same size, or a larger",
                words=("shrink", "grow"),
            )
        },
        made="querytax.defenses.resize:RandomResize",
        decides=True,
    ),
    Defence(
        word="jpeg",
        about="the image as a JPEG codec leaves it",
        random="",
        strength="coarseness",
        usual=25.0,
        levels=(5.0, 10.0, 25.0, 50.0, 75.0, 90.0),
        most=99.0,
        source="Das et al. 2018, SHIELD; Guo et al. 2018",
        comparison=(
            "none: nothing is drawn. A change below the codec's step is hidden or "
            "jumps; repeats tell nothing"
        ),
        breaker="steps wider than the codec's, through it: squares of pixels",
        attack=("square", {}),
        made="querytax.defenses.jpeg:JPEG",
        decides=True,
    ),
    Defence(
        word="denoise",
        about="a smoothing filter over the image or a layer's maps",
        random="",
        strength="share",
        usual=0.5,
        levels=(0.1, 0.25, 0.5, 0.75, 1.0),
        most=1.0,
        source="Xie et al. 2019, Feature denoising",
        comparison=(
            "none: nothing is drawn. Every comparison is right about the network "
            "with its filter"
        ),
        breaker="any attack: the filter is one more layer, and smooth steps pass it",
        attack=("square", {}),
        settings={
            "layer": Setting("", "whose maps are filtered; empty: the image"),
            "filter": Setting(
                "mean", "over places", words=("mean", "median", "nonlocal")
            ),
            "side": Setting(3, "of the square, odd", 1, 99),
        },
        made="querytax.defenses.denoise:Denoise",
        decides=True,
    ),
)
