"""Properties here are judged by their answers, not by their speed."""

from hypothesis import settings

settings.register_profile("querytax", deadline=None)
settings.load_profile("querytax")
