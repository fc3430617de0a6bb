"""Defences that a copy of the network is trained for, on the user's own data."""

from querytax.defenses.trained.adversarial import AdversariallyTuned
from querytax.defenses.trained.distillation import Distilled
from querytax.defenses.trained.ensemble import SelfEnsemble
from querytax.defenses.trained.gaussian import GaussianTuned
from querytax.defenses.trained.hardened import harden
from querytax.defenses.trained.parametric import ParametricNoise

__all__ = [
    "AdversariallyTuned",
    "Distilled",
    "GaussianTuned",
    "ParametricNoise",
    "SelfEnsemble",
    "harden",
]
