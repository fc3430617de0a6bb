"""Query attacks on torch models, one file each, through a metered oracle."""

from querytax.attacks.nes import nes
from querytax.attacks.oracle import MeteredOracle, clean_model
from querytax.attacks.outcome import AttackResult, QueryCount

__all__ = ["AttackResult", "MeteredOracle", "QueryCount", "clean_model", "nes"]
