"""Campaigns: attacks x networks x defences x images x seeds, stored and resumed.

A plan is a TOML file (:func:`read_plan`); :func:`run` does its jobs, here or on a
cluster, and :class:`Record` is the store that knows which are done.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from querytax.campaigns.export import export
from querytax.campaigns.plan import Campaign, read_plan
from querytax.campaigns.record import Record
from querytax.campaigns.selection import Selection, select
from querytax.campaigns.standing import Standing, standing
from querytax.campaigns.summary import Group, summary

if TYPE_CHECKING:
    from querytax.campaigns.running import run

# Loaded when first used: what is stored is read without torch.
_LATER = {"run": "running"}

__all__ = [
    "Campaign",
    "Group",
    "Record",
    "Selection",
    "Standing",
    "export",
    "read_plan",
    "run",
    "select",
    "standing",
    "summary",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
