"""The papers' measurements, made again and held against what was printed."""

from __future__ import annotations

from querytax.reproductions.runner import Outcome, experiments, reproduce

__all__ = ["Outcome", "experiments", "reproduce"]
