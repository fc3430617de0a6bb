"""Where the cosine's law comes from: 1/√Q = ∫ exp(-tQ)/√(πt) dt."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import phi
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

dimension, directions, repeats = sp.symbols(
    "dimension directions repeats", positive=True
)
probe, sigma = sp.symbols("probe sigma", positive=True)
t, x, z = sp.symbols("t x z", positive=True)


def kappa(n: sp.Expr) -> sp.Expr:
    """E‖N(0, I_n)‖."""
    return sp.sqrt(2) * sp.gamma((n + 1) / 2) / sp.gamma(n / 2)


def _parts(differences: str) -> tuple[sp.Expr, sp.Expr]:
    """Degrees of freedom, and 1/ρ² - 1."""
    noise = {"forward": 2, "antithetic": sp.Rational(1, 2), "centred": 1}[differences]
    count = directions - 1 if differences == "centred" else directions
    return count, noise * sigma**2 / (probe**2 * repeats)


def _correlation(differences: str) -> Equality:
    """ρ² is the squared correlation of an answer with the slope along its probe."""
    _, extra = _parts(differences)
    # Noise of the two queries over the distance of their points, for a unit slope.
    distance, queries = {
        "forward": (probe, 2),
        "antithetic": (2 * probe, 2),
        "centred": (probe, 1),
    }[differences]
    variance = queries * (sigma**2 / repeats) / distance**2
    guess = (1 - x) ** 2 + x**2 * variance
    return proved(
        "best guess k (z + noise) of z: its k",
        sp.solve(sp.diff(guess, x), x)[0],
        1 / (1 + extra),
    )


def _smooth(b: sp.Expr, c: sp.Expr, power: int) -> sp.Expr:
    """∫ over χ_B of R^power exp(-c R²)."""
    density = z ** (b - 1) * sp.exp(-(z**2) / 2)
    density /= 2 ** (b / 2 - 1) * sp.gamma(b / 2)
    return sp.Integral(z**power * sp.exp(-c * z**2) * density, (z, 0, sp.oo))


def mean_cosine(*, differences: str = "forward") -> Derivation:
    """Integrate W and χ out, then recognise Euler's integral."""
    count, extra = _parts(differences)
    rho2 = 1 / (1 + extra)
    d = dimension

    def law(b: sp.Expr, share: sp.Expr) -> sp.Expr:
        series = sp.hyper([1 - b / 2, sp.Rational(1, 2)], [d / 2 + 1], share)
        return sp.sqrt(share) * kappa(b) / kappa(d + 1) * series

    b, q, c, m, tau = sp.symbols("b q c m tau", positive=True)
    w = sp.Symbol("w", real=True)
    half = sp.Rational(1, 2)
    tilted = sp.integrate(
        (m + tau * w) * sp.exp(-t * (m + tau * w) ** 2) * phi(w), (w, -sp.oo, sp.oo)
    )
    line = sp.Integral(
        (1 - x**2) ** ((d - 1) / 2) * (1 - q * x**2) ** (b / 2 - 1), (x, 0, 1)
    )
    return Derivation(
        law(count, rho2),
        (
            _correlation(differences),
            proved(
                "over W given its mean",
                tilted,
                m
                * sp.exp(-t * m**2 / (1 + 2 * t * tau**2))
                / (1 + 2 * t * tau**2) ** (3 * half),
            ),
            proved(
                "over χ_B",
                _smooth(b, c, 1),
                kappa(b) * (1 + 2 * c) ** (-(b + 1) / 2),
            ),
            checked(
                "over t, with 2t/(1 + 2t) = x²",
                sp.sqrt(q) * kappa(b) / sp.sqrt(2 * sp.pi) * 2 * line,
                law(b, q),
                {d: 5, b: 4, q: sp.Rational(1, 3)},
            ),
            checked(
                "without noise χ_B/χ_{B+d-1}, by Gauss's theorem",
                law(b, sp.S.One),
                kappa(b) / kappa(b + d - 1),
                {d: 7, b: 5},
            ),
        ),
    )


def rms_cosine(*, differences: str = "forward") -> Derivation:
    """As the mean cosine, with 1/Q = ∫ exp(-tQ) dt."""
    count, extra = _parts(differences)
    rho2 = 1 / (1 + extra)
    d = dimension

    def law(b: sp.Expr, share: sp.Expr) -> sp.Expr:
        first = sp.hyper([(1 - b) / 2, 1], [d / 2 + 1], share) / d
        second = sp.hyper([(3 - b) / 2, 1], [d / 2 + 2], share)
        return first + share * (b - 1) / (d + 2) * second

    b, q = sp.symbols("b q", positive=True)
    # E exp(-tW²) for W² = q χ²_B + ..., 2t = s, and its slope in -t.
    s = sp.Symbol("s", positive=True)
    mean = (1 + s) ** (-b / 2) * (1 + (1 - q) * s) ** ((b - 1) / 2)
    slope = -2 * sp.diff(mean, s) * (1 + s) ** (-(d - 1) / 2) / 2
    point = {d: 5, b: 4, q: sp.Rational(1, 3)}
    return Derivation(
        sp.sqrt(law(count, rho2)),
        (
            _correlation(differences),
            checked("over t", sp.Integral(slope, (s, 0, sp.oo)), law(b, q), point),
            proved("no signal: a guess", law(b, sp.S.Zero), 1 / d),
            checked(
                "without noise χ²_B/χ²_{B+d-1}",
                law(b, sp.S.One),
                b / (b + d - 1),
                {d: 5, b: 4},
            ),
        ),
    )


def backwards(*, differences: str = "forward") -> Derivation:
    """W < 0 where Z is below -ρ χ_B/√(1-ρ²)."""
    count, extra = _parts(differences)

    def share(b: sp.Expr, y: sp.Expr) -> sp.Expr:
        # ½ I_y(b/2, ½) by the series of the incomplete beta function.
        series = sp.hyper([b / 2, sp.Rational(1, 2)], [b / 2 + 1], y)
        return y ** (b / 2) / b * kappa(b) / sp.sqrt(2 * sp.pi) * series

    c = sp.Symbol("c", positive=True)
    b = sp.Symbol("b", positive=True)
    student = sp.gamma((b + 1) / 2) / (sp.sqrt(b * sp.pi) * sp.gamma(b / 2))
    student *= (1 + x**2 / b) ** (-(b + 1) / 2)
    beyond = sp.Integral(student, (x, sp.sqrt(b) / c, sp.oo))
    at = {b: 5, c: sp.Rational(4, 3)}
    one = sp.integrate(student.subs(b, 1), (x, 1 / c, sp.oo))
    steps = (
        _correlation(differences),
        checked("a tail of Student's t", beyond, share(b, c**2 / (1 + c**2)), at),
        checked(
            "one direction: the angle's law",
            one,
            share(sp.S.One, c**2 / (1 + c**2)),
            {c: sp.Rational(4, 3)},
        ),
    )
    return Derivation(share(count, extra / (1 + extra)), steps)
