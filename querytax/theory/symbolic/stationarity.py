"""Where the bounds on descent come from: a descent inequality, and its best step."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import mean, xi
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

fall, lipschitz, dimension, probe, sigma = sp.symbols(
    "fall lipschitz dimension probe sigma", positive=True
)
gradient_ms, eta = sp.symbols("gradient_ms eta", positive=True)
_steps = sp.Symbol("steps", positive=True)


def _smoothness() -> sp.Expr:
    return sp.sqrt(2 / sp.pi) * lipschitz / sp.sqrt(probe**2 + sigma**2)


def _second_moment() -> sp.Expr:
    d = dimension
    return lipschitz**2 * d * (d + 2 + 2 * sigma**2 / probe**2)


def _coefficient() -> sp.Expr:
    return _smoothness() / 2 * _second_moment()


def _guarantee(iterates: str) -> sp.Expr:
    """Bound after T steps of size η; the projected one with the envelope at 1/(2ρ)."""
    rho, second = _smoothness(), _second_moment()
    if iterates == "free":
        return fall / (eta * _steps) + rho * eta * second / 2
    hat = 2 * rho
    return hat / (hat - rho) * (fall / (eta * _steps) + hat / 2 * eta * second)


def _best(iterates: str) -> tuple[sp.Expr, sp.Expr]:
    """Step and bound, as the laws have them."""
    c = _coefficient()
    if iterates == "free":
        return sp.sqrt(fall / (_steps * c)), 2 * sp.sqrt(fall * c / _steps)
    return sp.sqrt(fall / (2 * _steps * c)), 4 * sp.sqrt(2 * fall * c / _steps)


def _optimum(iterates: str) -> tuple[Equality, ...]:
    step, bound_ = _best(iterates)
    guarantee = _guarantee(iterates)
    at = {fall: 3, lipschitz: 2, dimension: 5, probe: sp.Rational(1, 3), sigma: 1}
    at[_steps] = 7
    found = sp.solve(sp.diff(guarantee, eta), eta)[0]
    return (
        checked("where the guarantee's slope is 0", found, step, at),
        checked("its value there", guarantee.subs(eta, found), bound_, at),
    )


def smoothed_smoothness() -> Derivation:
    """H = E[∇f ξ']/s, and L|x₁| attains what that allows."""
    law = _smoothness()
    s = sp.sqrt(probe**2 + sigma**2)
    found = 2 * lipschitz / s * mean(xi, sp.S.Zero)
    return Derivation(law, (proved("a'Hb <= L E|b'ξ|/s", found, law),))


def coefficient() -> Derivation:
    """Half the smoothness times the second moment."""
    d, u = dimension, sp.Symbol("u", positive=True)
    law = lipschitz**3 * d * (d + 2 + 2 * sigma**2 / probe**2)
    law /= sp.sqrt(2 * sp.pi * (probe**2 + sigma**2))
    # A gradient that changes at rate ρ along a step of length η ‖g‖.
    lost = sp.Integral(_smoothness() * u, (u, 0, eta)) * _second_moment() / eta**2
    return Derivation(law, (proved("second order of a step, over η²", lost, law),))


def least_noise_ratio() -> Derivation:
    """The stationary point of d(d + 2 + 2α²)/√(1 + α²)."""
    d, a = dimension, sp.Symbol("a", positive=True)
    law = sp.sqrt(sp.Max(d / 2 - 1, 0))
    lost = coefficient().law.subs(sigma, a * probe)
    n = sp.Symbol("n", positive=True)
    there = {d: 2 * n + 2, a: law.subs(d, 2 * n + 2)}
    slope = sp.diff(lost, a).subs(there)
    value = 2 * (n + 1) * lipschitz**3 * 4 * sp.sqrt(n + 1) / sp.sqrt(2 * sp.pi) / probe
    return Derivation(
        law,
        (
            proved("the slope there, d = 2n + 2", slope, sp.S.Zero),
            checked(
                "and the least coefficient",
                lost.subs(there),
                value,
                {n: 3, lipschitz: 2, probe: sp.Rational(1, 3)},
            ),
        ),
    )


def step_size(*, iterates: str = "free") -> Derivation:
    """Between a slow start and lost ground."""
    return Derivation(_best(iterates)[0], _optimum(iterates))


def bound(*, iterates: str = "free") -> Derivation:
    """The guarantee at its best step."""
    return Derivation(_best(iterates)[1], _optimum(iterates))


def bound_at_step(*, iterates: str = "free") -> Derivation:
    """The guarantee before its step is chosen."""
    step = sp.Symbol("step", positive=True)
    return Derivation(_guarantee(iterates).subs(eta, step))


def _count(iterates: str) -> tuple[sp.Expr, Equality]:
    factor = 4 if iterates == "free" else 32
    law = factor * fall * _coefficient() / gradient_ms**2
    found = sp.solve(sp.Eq(_best(iterates)[1], gradient_ms), _steps)[0]
    return law, proved("steps at which the bound is met", found, law)


def steps(*, iterates: str = "free") -> Derivation:
    """The bound, inverted."""
    law, inverted = _count(iterates)
    return Derivation(law, (*_optimum(iterates), inverted))


def model_queries(*, iterates: str = "free") -> Derivation:
    """Each step asks the model at x + μu and at x."""
    law, inverted = _count(iterates)
    return Derivation(2 * law, (inverted,))
