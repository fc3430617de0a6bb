"""Attacks on labels at a flat boundary: runs of slopes, rays, and a step's geometry."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, in_erf, phi
from querytax.theory.symbolic.derivation import Derivation, Equality, proved

checks, dimension, halvings = sp.symbols(
    "checks dimension halvings", positive=True, integer=True
)
gain_share, ray_sigma, distance, step, cosine = sp.symbols(
    "gain_share ray_sigma distance step cosine", positive=True
)
beyond = sp.Symbol("beyond", real=True)
_size, _z = sp.symbols("size z", positive=True)
_stage = sp.Symbol("s", positive=True, integer=True)


def _chord(x: sp.Expr, stage: sp.Expr) -> sp.Expr:
    """Share between the ends of a stage, after x - 1 checks."""
    slope = (sp.sqrt(2) - 1) * (x / 2**stage - 1)
    return sp.sqrt(2 ** (stage - 1) / dimension) * (1 + slope)


def _stages() -> tuple[Equality, ...]:
    """Runs of a size gain what their sums are worth, and each of them as much."""
    # A sum of `size` standard normals is normal of that variance.
    bell = phi(_z / sp.sqrt(_size)) / sp.sqrt(_size)
    run = 2 * sp.integrate(_z * bell, (_z, 0, sp.oo))
    best = dimension * sp.sqrt(2 / sp.pi)
    whole = dimension / _size * run / best
    side = dimension / 2 ** (_stage - 1)
    end = sp.sqrt(2 ** (_stage - 1) / dimension)
    return (
        proved("all runs of a size", whole, 1 / sp.sqrt(_size)),
        proved("all runs of a stage", 1 / sp.sqrt(side), end),
        proved("the stage's start", _chord(2**_stage, _stage), end),
        proved(
            "the stage's end",
            _chord(2 ** (_stage + 1), _stage),
            sp.sqrt(2**_stage / dimension),
        ),
    )


def rays_share() -> Derivation:
    """Shares at the ends of stages, on a straight line between them."""
    x = checks + 1
    stage = sp.floor(sp.log(x) / sp.log(2))
    return Derivation(sp.Min(1, _chord(x, stage)), _stages())


def rays_checks() -> Derivation:
    """The chord that has the share, solved for its checks."""
    stage = sp.floor(sp.log(gain_share**2 * dimension) / sp.log(2)) + 1
    scale = sp.sqrt(dimension / 2 ** (stage - 1))
    law = 2**stage * (1 + (gain_share * scale - 1) / (sp.sqrt(2) - 1)) - 1
    s = _stage
    one = sp.sqrt(dimension / 2 ** (s - 1))
    back = 2**s * (1 + (gain_share * one - 1) / (sp.sqrt(2) - 1))
    whole = sp.Piecewise(
        (gain_share * sp.sqrt(dimension), gain_share**2 * dimension < 1), (law, True)
    )
    return Derivation(
        whole, (*_stages(), proved("the chord there", _chord(back, s), gain_share))
    )


def rays_accepted() -> Derivation:
    """The check, and not all answers of the one way that never leaves the top."""
    k = sp.Symbol("k", positive=True, integer=True)
    at = (1 + beyond) * (1 - 2**-k) - 1
    missed = sp.Product(Phi(-at / ray_sigma), (k, 1, halvings))
    law = Phi(beyond / ray_sigma) * (1 - missed)
    # Where every answer is no, low follows the middle: 1 - 2^-k of the radius.
    low = [sp.S.Zero]
    for _ in range(5):
        low.append((low[-1] + 1) / 2)
    ways = tuple(
        proved(f"question {n}", low[n], 1 - sp.Integer(2) ** -n) for n in range(1, 6)
    )
    quiet = sp.Limit(in_erf(Phi(beyond / ray_sigma)).subs(beyond, 1), ray_sigma, 0, "+")
    return Derivation(law, (*ways, proved("no noise", quiet, sp.S.One)))


def distance_after_step() -> Derivation:
    """Vectors on the normal, along the iterate's way beside it, and across both."""
    ahead = 1 + step * cosine
    lateral = sp.sqrt(distance**2 - 1)
    across = step * sp.sqrt(1 - cosine**2)
    at = sp.Matrix([ahead, lateral, across])
    back = at / ahead
    law = sp.sqrt(
        1 + (distance**2 - 1 + step**2 * (1 - cosine**2)) / (1 + step * cosine) ** 2
    )
    return Derivation(
        law,
        (
            proved("on the boundary again", back[0], 1),
            proved("its distance", sp.expand(back.dot(back) - law**2), 0),
            proved("the step's length", (step * cosine) ** 2 + across**2, step**2),
        ),
    )
