"""The derivation of each law in sympy, under the law's own name.

``theory.misstep.random_direction`` is a number; ``theory.symbolic.misstep.
random_direction()`` is where it comes from: the law as a sympy expression in symbols
named like its parameters, and the equalities that lead to it, each of which sympy
proves or 50 digits confirm.
"""
