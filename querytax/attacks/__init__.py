"""Query attacks on torch models, one file each, through one metered scheduler."""

from querytax.attacks.nes import nes
from querytax.attacks.oracle import MeteredOracle, clean_model
from querytax.attacks.outcome import AttackResult
from querytax.attacks.run import attack, attack_all
from querytax.attacks.table import ATTACKS, Attack, find, plan_of
from querytax.attacks.work import Run
from querytax.counts import QueryCount

__all__ = [
    "ATTACKS",
    "Attack",
    "AttackResult",
    "MeteredOracle",
    "QueryCount",
    "Run",
    "attack",
    "attack_all",
    "clean_model",
    "find",
    "nes",
    "plan_of",
]
