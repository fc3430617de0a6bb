"""Measure a real model: signal, noise and price at every site."""

from querytax.probes.listing import list_sites
from querytax.probes.measure import probe

__all__ = ["list_sites", "probe"]
