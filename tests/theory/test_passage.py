"""First passages against mpmath and renewal equations."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special

from querytax.expect import DomainError
from querytax.theory import passage

from .reference import assert_matches

# --- Walks -------------------------------------------


def ladder_sum(s, term):
    """Σ over steps, far enough for e⁻⁵⁰ of S n/2."""
    root = mp.sqrt(s)
    return mp.fsum(term(n, root * mp.sqrt(n)) for n in range(1, int(240 / s) + 3))


def below(n, y):
    return (mp.npdf(y) - y * mp.ncdf(-y)) / mp.sqrt(n)


def test_overshoot_and_first_gain():
    """Spitzer's sums, term by term."""
    points = [(s,) for s in (0.2, 1.0, 2.24, 2.25, 2.3, 9.0, 1e3, 1e100)]
    assert_matches(
        passage.overshoot,
        lambda s: (1 + s) / (2 * mp.sqrt(s)) - ladder_sum(s, below),
        points,
    )
    assert_matches(
        passage.first_gain,
        lambda s: mp.exp(ladder_sum(s, lambda n, y: mp.ncdf(-y) / n)),
        points,
    )


def test_small_drift():
    """The power series of the two, summed in mpmath."""

    def series(s, top, weight):
        return mp.fsum(
            mp.zeta(top - r) * (-s / 2) ** r / mp.factorial(r) / weight(r)
            for r in range(60)
        )

    def over(s):
        tail = s * series(s, mp.mpf(-0.5), lambda r: (2 * r + 1) * (2 * r + 2))
        return mp.sqrt(s) / 4 - (mp.zeta(0.5) + tail) / mp.sqrt(2 * mp.pi)

    def gain(s):
        power = series(s, mp.mpf(0.5), lambda r: 2 * r + 1)
        return mp.exp(-mp.sqrt(s / (2 * mp.pi)) * power) / mp.sqrt(2 * s)

    points = [(s,) for s in (1e-300, 1e-9, 1e-3, 0.3, 2.0, 2.24)]
    assert_matches(passage.overshoot, over, points)
    assert_matches(passage.first_gain, gain, points)
    assert passage.overshoot(0.0) == pytest.approx(0.5825971579390107, rel=1e-14)
    assert passage.first_gain(0.0) == np.inf


@pytest.mark.parametrize(("snr", "steps"), [(0.01, 33.0), (1.0, 5.0), (9.0, 5.9)])
def test_walk_mean_at_the_edge_of_its_limits(snr, steps):
    """The renewal equation of the mean, solved on a grid: within 1e-4 of the steps."""
    assert not passage.walk_mean.supports(snr, 0.8 * steps).holds
    assert passage.walk_mean.supports(snr, 1.3 * steps).holds
    drift, level = np.sqrt(snr), 1.3 * steps * np.sqrt(snr)
    reach = level + 9 + 30 / max(drift, 0.3) * (drift < 1)
    x, w = special.roots_legendre(700)
    # Way still to go, from 0 to far behind the start.
    y, w = 0.5 * reach * (1 + x), 0.5 * reach * w
    kernel = np.exp(-0.5 * (y[:, None] - y - drift) ** 2) / np.sqrt(2 * np.pi)
    # Beyond the grid the mean goes on as the law says.
    beyond = reach + 0.02 * np.arange(0.5, 500)
    rest = np.exp(-0.5 * (y[:, None] - beyond - drift) ** 2) / np.sqrt(2 * np.pi)
    tail = rest @ (0.02 * passage.walk_mean(snr, beyond / drift, errors="raise"))
    mean = np.linalg.solve(np.eye(y.size) - kernel * w, 1 + tail)
    row = np.exp(-0.5 * (level - y - drift) ** 2) / np.sqrt(2 * np.pi)
    assert passage.walk_mean(snr, level / drift) == pytest.approx(
        1 + row @ (w * mean), rel=1e-4
    )


def test_walk_mean():
    points = [(s, n) for s in (0.3, 1.0, 4.0) for n in (30.0, 1e9)]
    assert_matches(
        passage.walk_mean,
        lambda s, n: (
            n + ((1 + s) / (2 * mp.sqrt(s)) - ladder_sum(s, below)) / mp.sqrt(s)
        ),
        points,
    )
    # Printed: N + 0.583/√S.
    assert passage.walk_mean(1e-4, 1e4) == pytest.approx(1e4 + 58.3, abs=0.3)


# --- Pure noise -------------------------------------------


def test_no_gain():
    def exact(n):
        return mp.gamma(n + 0.5) / (mp.sqrt(mp.pi) * mp.gamma(n + 1))

    points = [(n,) for n in (0, 1, 2, 15, 16, 17, 1000, 10**6, 1e15)]
    assert_matches(passage.no_gain, exact, points, digits=60)
    assert passage.no_gain(1e300) == pytest.approx(1e-150 / np.sqrt(np.pi), rel=1e-13)
    # By counting: C(2n, n)/4ⁿ; and printed, 3183 steps for one in a hundred.
    assert passage.no_gain(10) == pytest.approx(184756 / 4**10, rel=1e-13)
    assert passage.no_gain(3183) <= 0.01 < passage.no_gain(3182)
    assert 3182 < passage.no_gain_steps(0.01) <= 3183


def test_no_gain_steps():
    def exact(error):
        def left(n):
            return mp.loggamma(n + 0.5) - mp.log(mp.pi) / 2 - mp.loggamma(n + 1)

        start = max(1 / (mp.pi * error**2) - mp.mpf(1) / 4, mp.mpf("1e-3"))
        if error > 0.999:
            start = (1 - error) / (2 * mp.log(2))
        return mp.findroot(lambda n: left(n) - mp.log(error), start)

    rates = (1 - 1e-12, 0.99999, 0.9, 0.87, 0.5, 0.375, 0.1, 0.01, 1e-5, 1e-8, 1e-10)
    assert_matches(passage.no_gain_steps, exact, [(e,) for e in rates], digits=60)
    assert passage.no_gain_steps(0.375) == pytest.approx(2, rel=1e-13)
    assert passage.no_gain_steps(1e-150) == pytest.approx(1e300 / np.pi, rel=1e-13)


# --- Brownian paths -------------------------------------------

# Times, ways and drifts in units of one step's noise; 1e-30 is none.
PATHS = [
    (t, h, m)
    for t in (1e-3, 1.0, 7.0, 100.0, 1e6)
    for h in (1e-6, 0.3, 5.0, 40.0)
    for m in (1e-30, 1e-3, 0.5, 3.0)
]
SIZES = (1e-300, 1e-9, 0.3, 1.0, 9.0, 1e8, 1e300)


def path(t, h, m):
    """SNR of a step, steps without noise, steps."""
    return m * m, h / m, t


def parts(s, n0, n):
    one, pace = s * n0, mp.sqrt(s / n)
    image = mp.exp(2 * one) * mp.ncdf(-(n + n0) * pace)
    return (n - n0) * pace, image


def arrived(*p):
    ahead, image = parts(*p)
    return mp.ncdf(ahead) + image


def left(*p):
    ahead, image = parts(*p)
    return mp.ncdf(-ahead) - image


def test_brownian_paths():
    # Beyond 1e5 nats the reference itself would want 10⁵ digits.
    near = [path(*p) for p in PATHS if (p[2] * p[0] - p[1]) ** 2 / p[0] < 2000]
    # At its goal without noise, but for so many deviations.
    near += [
        (s, n0, n0 * (1 + z / (s * n0) ** 0.5))
        for s in SIZES
        for n0 in (1e-3, 1.0, 1e6)
        for z in (-3.0, -1.1, 0.0, 1e-3, 4.0)
        if z > -((s * n0) ** 0.5) and s * n0 < 1e6 and z * z < 1e3 * s * n0
    ]
    assert len(near) > 80
    near = near[::2]
    logs = {"log_arrived": arrived, "log_not_arrived": left}
    assert_matches(passage.arrived, arrived, near, digits=1000)
    assert_matches(passage.not_arrived, left, near, digits=1000)
    for name, exact in logs.items():
        law = getattr(passage, name)
        wanted = [p for p in near if law(*p) < -1e-290]
        assert_matches(law, lambda *p: mp.log(exact(*p)), wanted, digits=1000)  # noqa: B023
    assert passage.arrived(1.0, 1.0, 0.0) == 0.0
    assert passage.log_not_arrived(1.0, 1.0, 0.0) == 0.0


def test_not_arrived_time():
    """The time at which the reference leaves exactly so much."""

    def exact(s, n0, miss):
        start = passage.not_arrived_time(float(s), float(n0), float(miss))

        def gap(log):
            return mp.log(left(s, n0, mp.exp(log))) - mp.log(miss)

        log = mp.log(mp.mpf(float(start)))
        low, high = log - mp.mpf("1e-9"), log + mp.mpf("1e-9")
        assert gap(low) > 0 > gap(high)
        return mp.exp(mp.findroot(gap, (low, high), solver="anderson", tol=1e-40))

    points = [
        (*path(0.0, h, m)[:2], e)
        for e in (1e-100, 1e-9, 0.01, 0.5, 0.999)
        for h, m in ((1e-3, 1e-30), (1e-3, 1.0), (5.0, 0.5), (100.0, 0.3), (50.0, 4.0))
        if m > 1e-9 or e > 1e-99
    ]
    assert_matches(passage.not_arrived_time, exact, points, digits=150)
    assert passage.not_arrived_time(1e40, 1.0, 0.1) == 1.0
    assert passage.not_arrived_time(1e-300, 1e50, 1e-160) == pytest.approx(
        2e120 / np.pi, rel=1e-12
    )


@given(st.floats(0.1, 50), st.floats(0.01, 5), st.floats(0.1, 200))
def test_brownian_laws_agree(h, m, t):
    s, n0, _ = path(t, h, m)
    gone = passage.not_arrived(s, n0, t)
    assert passage.arrived(s, n0, t) + gone == pytest.approx(1, abs=1e-13)
    assume(1e-200 < gone < 0.999)
    assert passage.not_arrived_time(s, n0, gone) == pytest.approx(t, rel=1e-9)


# --- Held paths -------------------------------------------

SPANS = [
    (a, b)
    for a in (-1e100, -1e3, -20.0, -9.0, -8.9, -2.0, -0.5, 0.0, 1e-9, 1.0, 8.0, 30.0)
    for b in (-1e99, -999, -9.5, -8, -1.9, -0.1, 0.0, 1e-8, 0.3, 1.2, 5, 30.5, 37)
    if a < b
]


def held(a, b):
    """By quadrature below 0; above it by the normal integral's closed forms."""

    def mills(x):
        return mp.ncdf(-x) / mp.npdf(x) if x < 30 else asymptotic(x)

    def asymptotic(x):
        return mp.fsum(
            (-1) ** k * mp.fac2(2 * k - 1) / x ** (2 * k + 1) for k in range(20)
        )

    def below(high, low):
        """∫ Mills over (low, high) in the logarithm of 1 + x."""
        ends = mp.linspace(mp.log1p(low), mp.log1p(high), 9)
        return mp.quad(lambda u: mills(mp.expm1(u)) * mp.exp(u), ends)

    value = mp.mpf(0)
    if a < 0:
        value += below(-a, max(-b, mp.mpf(0)))
    if b > 0:
        ends = mp.linspace(max(a, mp.mpf(0)), b, 9)
        value += mp.quad(lambda z: mp.ncdf(z) / mp.npdf(z), ends)
    return value


def test_ou_mean():
    spans = [s for s in SPANS if s[0] > -1e4 or s[1] in (-1e99, 0.0)]
    spans = spans[::7]
    assert len(spans) > 10
    assert_matches(passage.ou_mean, held, spans, digits=20)
    logs = [s for s in spans if abs(np.log(passage.ou_mean(*s))) > 0.1]
    assert_matches(
        passage.log_ou_mean, lambda *s: mp.log(held(*s)), logs[::3], digits=20
    )


def test_ou_mean_far_above():
    """√(2π) exp(x²/2)/x (1 + 1/x² + 3/x⁴ ...), whatever the start."""

    def exact(a, b):
        terms = mp.fsum(mp.fac2(2 * k - 1) / b ** (2 * k) for k in range(20))
        return mp.log(2 * mp.pi) / 2 + b * b / 2 - mp.log(b) + mp.log(terms)

    points = [(a, b) for a in (-1e9, 0.0, 20.0) for b in (60.0, 1e3, 1e100)]
    assert_matches(passage.log_ou_mean, exact, points)
    assert passage.ou_mean(0.0, 60.0) == np.inf


@given(st.floats(-30, 30), st.floats(0, 5), st.floats(0, 5))
def test_held_paths_add_up(a, first, second):
    b, c = a + first, a + first + second
    parts = passage.ou_mean(a, b) + passage.ou_mean(b, c)
    assert passage.ou_mean(a, c) == pytest.approx(parts, rel=1e-12, abs=1e-300)
    assert passage.ou_mean(a, a) == 0.0
    # Without noise it takes a logarithm.
    assert passage.ou_mean(-3e8, -1e8) == pytest.approx(np.log(3), rel=1e-13)


def test_domains():
    with pytest.raises(DomainError, match="expected target at least the origin"):
        passage.ou_mean(1.0, 0.0)
