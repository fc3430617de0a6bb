"""Randomised defences: torch modules that answer a query with keyed Gaussian noise."""

from querytax.defenses.build import defend
from querytax.defenses.feature_noise import FeatureNoise
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.keyed import KeyedDefense
from querytax.defenses.output_noise import OutputNoise

__all__ = ["FeatureNoise", "InputNoise", "KeyedDefense", "OutputNoise", "defend"]
