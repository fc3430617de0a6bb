"""Claims of RND (Qin et al., NeurIPS 2021, its slides), row by row."""

from __future__ import annotations

from querytax.validation.claim import Claim
from querytax.validation.rnd_2021_descent import DESCENT
from querytax.validation.rnd_2021_estimate import ESTIMATE
from querytax.validation.rnd_2021_search import SEARCH

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = (*ESTIMATE, *DESCENT, *SEARCH)
