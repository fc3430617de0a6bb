"""Defences: torch modules that stand before a network; most draw at every query."""

from querytax.defenses.build import defend
from querytax.defenses.combined_noise import CombinedNoise
from querytax.defenses.defense import Defense
from querytax.defenses.feature_noise import FeatureNoise
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.output_noise import OutputNoise
from querytax.defenses.presets import feature_sites, preset
from querytax.defenses.trained.hardened import harden

__all__ = [
    "CombinedNoise",
    "Defense",
    "FeatureNoise",
    "InputNoise",
    "OutputNoise",
    "defend",
    "feature_sites",
    "harden",
    "preset",
]
