"""How much of a small change of a noisy probability survives folding or clipping."""

from __future__ import annotations

import math

from querytax.theory.law import Given, law
from querytax.theory.numerics import efficiency as _efficiency
from querytax.theory.numerics.floats import Floats


@law(
    "g(t) = E ln|ξ + t|",
    "derived here; enters Aithal & Li 2022, Theorem 1, in place of ln t",
    value="(-inf, inf); rises in relative_output",
)
def log_mean(relative_output: Given) -> Floats:
    """Mean logarithm of a folded normal, what a mean of ``ln|F+v|`` tends to.

    ``E ln|F+v| = ln(sigma) + g(F/sigma)``.

    >>> round(float(log_mean(0.0)), 12)
    -0.635181422731
    """
    return _efficiency.log_mean(relative_output)


@law(
    "V(t) = Var ln|ξ + t|",
    "derived here; replaces the delta-method variance σ²/F² of "
    "Aithal & Li 2022, eq. (4)",
    value="[0, 1.2338]; falls in relative_output",
)
def log_variance(relative_output: Given) -> Floats:
    """Variance of the logarithm of a folded normal.

    π²/8 at t = 0 and 1/t² + 5/(2t⁴) for large t.

    >>> round(float(log_variance(0.0)), 12)
    1.233700550136
    """
    return _efficiency.log_variance(relative_output)


@law(
    "E ln min(|F + v|, 1)",
    "derived here for the practical noise of Aithal & Li 2022, Sec. IV-B",
    domain={"output": "[0, 1]"},
    value="[-inf, 0]; rises in output",
)
def released_log_mean(output: Given, sigma: Given) -> Floats:
    """Mean logarithm of a probability released as ``min(|F+v|, 1)``.

    What the mean of such an attacker's logarithms tends to, to all digits where the
    output is near 1 too. Of a noiseless 0 it is minus infinity.

    >>> round(float(released_log_mean(0.9, 0.2)), 6)
    -0.168311
    >>> round(float(released_log_mean(0.9, 0.0)), 6)
    -0.105361
    """
    return _efficiency.released_log_mean(output, sigma)


@law(
    "J = σ² I(F) for the best reading; (dE h/dt)²/Var h for a statistic h",
    "derived here for the practical noise of Aithal & Li 2022, Sec. IV-B",
    regime="changes of F small against σ",
    value="[0, 1]",
)
def fisher_efficiency(
    relative_output: Given,
    headroom: Given = math.inf,
    release: str = "raw",
    reading: str = "best",
) -> Floats:
    """Share of raw outputs' decision SNR that survives folding or clipping.

    Raw outputs know no ceiling. Without one, with y = |ξ+t|: reflected
    J = E[(y tanh(yt) - t)²], 2t² for small t; its mean logarithm
    (√2 Dawson(t/√2))²/V(t), 8t²/π²; its mean erf(t/√2)²/Var y. Clipped at 0,
    J = Φ(t) - tφ(t) + φ(t)²/Φ(-t). A ceiling adds an atom, whose Fisher information is
    (derivative of its probability)²/probability. A clipped value can be 0 and has no
    mean logarithm.

    >>> round(float(fisher_efficiency(0.03, release="reflect")), 8)
    0.00179677
    >>> round(float(fisher_efficiency(0.03, release="clip")), 6)
    0.825825
    """
    return _efficiency.efficiency(relative_output, headroom, release, reading)
