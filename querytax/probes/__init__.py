"""Measure a real model: signal, noise and price at every site."""

from querytax.probes.measure import probe

__all__ = ["probe"]
