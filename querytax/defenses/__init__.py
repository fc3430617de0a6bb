"""Randomised defences: torch modules that answer a query with keyed Gaussian noise."""

from querytax.defenses.build import defend
from querytax.defenses.combined_noise import CombinedNoise
from querytax.defenses.feature_noise import FeatureNoise
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.keyed import KeyedDefense
from querytax.defenses.output_noise import OutputNoise
from querytax.defenses.presets import feature_sites, preset

__all__ = [
    "CombinedNoise",
    "FeatureNoise",
    "InputNoise",
    "KeyedDefense",
    "OutputNoise",
    "defend",
    "feature_sites",
    "preset",
]
