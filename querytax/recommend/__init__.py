"""Recommend sigma for a target query count; knows theory and plain data, no torch."""

from querytax.recommend.inverter import Inquiry, recommend_sigma
from querytax.recommend.prediction import published_plan
from querytax.recommend.recommendation import Frontier, Recommendation

__all__ = [
    "Frontier",
    "Inquiry",
    "Recommendation",
    "published_plan",
    "recommend_sigma",
]
