"""How much does noise tax an attacker's queries, and what does it cost?"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> the module that holds it; loaded when first used, so that
# `import querytax` costs no more than the interpreter.
_HOME = {
    "AttackResult": "querytax.attacks",
    "CombinedNoise": "querytax.defenses",
    "DomainError": "querytax.expect",
    "FeatureNoise": "querytax.defenses",
    "InputNoise": "querytax.defenses",
    "MeteredOracle": "querytax.attacks",
    "ModelStatistics": "querytax.statistics",
    "NESPlan": "querytax.plans",
    "OutputNoise": "querytax.defenses",
    "Preprocessed": "querytax.models.preprocessed",
    "QueryCount": "querytax.counts",
    "Recommendation": "querytax.recommend",
    "Remote": "querytax.models.remote",
    "Run": "querytax.attacks",
    "Site": "querytax.sites",
    "as_model": "querytax.models",
    "attack": "querytax.attacks",
    "attack_all": "querytax.attacks",
    "audit": "querytax.audits",
    "audit_result": "querytax.audits",
    "certify": "querytax.certifying",
    "defend": "querytax.defenses",
    "feature_sites": "querytax.defenses",
    "foreign_attack": "querytax.attacks.foreign",
    "frontier_figure": "querytax.figures",
    "harden": "querytax.defenses",
    "list_sites": "querytax.probes",
    "load_images": "querytax.images",
    "nes": "querytax.attacks",
    "plan_of": "querytax.attacks",
    "portfolio_figure": "querytax.figures",
    "preset": "querytax.defenses",
    "probe": "querytax.probes",
    "published_plan": "querytax.recommend",
    "recommend_sigma": "querytax.recommend",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'querytax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
