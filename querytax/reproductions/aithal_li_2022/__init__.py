"""Aithal & Li (2022): output statistics, signal-to-noise ratios and what they cost."""

from __future__ import annotations

from querytax.reproductions.aithal_li_2022.accuracy import ACCURACY
from querytax.reproductions.aithal_li_2022.averaging import AVERAGING
from querytax.reproductions.aithal_li_2022.chain import SECTION_IV_A
from querytax.reproductions.aithal_li_2022.snr import GRADIENT_SNR
from querytax.reproductions.aithal_li_2022.table import OUTPUT_STATISTICS

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (OUTPUT_STATISTICS, SECTION_IV_A, ACCURACY, GRADIENT_SNR, AVERAGING)
