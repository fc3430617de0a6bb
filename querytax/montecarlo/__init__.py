"""Monte-Carlo that simulates definitions and knows none of the laws.

Each topic has the name of its topic in the theory and functions of the same names:
they return an :class:`~querytax.montecarlo.runs.Experiment`, which
:func:`~querytax.montecarlo.runs.estimate` runs until it knows enough.
"""
