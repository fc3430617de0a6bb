"""A model by its source, as a service makes it."""

from seeds_numpy import SeededAtImport

from querytax import demo


def model():
    return SeededAtImport(demo.load_model(), 0.2)
