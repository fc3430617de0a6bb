"""First passages against mpmath, renewal recursions and simulated paths."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special

from querytax.expect import DomainError
from querytax.theory import passage
from querytax.theory.law import RegimeWarning

from .reference import assert_matches, grid

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


def first_passage(snr, steps, count, rng):
    """Steps of walks until they first reach √S times ``steps``, and overshoots."""
    level, drift = steps * np.sqrt(snr), np.sqrt(snr)
    at, time = np.zeros(count), np.zeros(count)
    left = np.arange(count)
    while left.size:
        at[left] += drift + rng.standard_normal(left.size)
        time[left] += 1
        left = left[at[left] <= level]
    return time, at - level


@pytest.mark.parametrize(("snr", "steps"), [(0.04, 40.0), (0.5, 30.0), (4.0, 12.0)])
def test_walks_against_simulation(snr, steps):
    """10⁵ walks; four standard errors."""
    time, over = first_passage(snr, steps, 100_000, np.random.default_rng(9))
    error = time.std() / np.sqrt(1e5)
    assert passage.walk_mean(snr, steps) == pytest.approx(time.mean(), abs=4 * error)
    error = over.std() / np.sqrt(1e5)
    assert passage.overshoot(snr) == pytest.approx(over.mean(), abs=4 * error)
    time, _ = first_passage(snr, 0.0, 100_000, np.random.default_rng(10))
    error = time.std() / np.sqrt(1e5)
    assert passage.first_gain(snr) == pytest.approx(time.mean(), abs=4 * error)


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
    with pytest.warns(RegimeWarning, match="eight memory lengths"):
        passage.walk_mean(1e-4, 4.95)


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


def test_no_gain_against_simulation():
    """2·10⁵ walks of uneven but symmetric noise; four standard errors."""
    rng = np.random.default_rng(12)
    top = np.cumsum(rng.standard_cauchy((200_000, 12)), axis=1)
    for n in (1, 4, 12):
        share = np.mean(np.all(top[:, :n] <= 0, axis=1))
        assert passage.no_gain(n) == pytest.approx(share, abs=4 * 0.5 / np.sqrt(2e5))


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

PATHS = [
    (t, h, m)
    for t in (1e-3, 1.0, 7.0, 100.0, 1e6)
    for h in (1e-6, 0.3, 5.0, 40.0)
    for m in (0.0, 1e-3, 0.5, 3.0)
]


def arrived(t, h, m):
    return mp.ncdf((m * t - h) / mp.sqrt(t)) + mp.exp(2 * h * m) * mp.ncdf(
        -(m * t + h) / mp.sqrt(t)
    )


def left(t, h, m):
    return mp.ncdf((h - m * t) / mp.sqrt(t)) - mp.exp(2 * h * m) * mp.ncdf(
        -(m * t + h) / mp.sqrt(t)
    )


def test_brownian_paths():
    # Beyond 1e5 nats the reference itself would want 10⁵ digits.
    near = [p for p in PATHS if (p[2] * p[0] - p[1]) ** 2 / p[0] < 2000]
    assert len(near) > 30
    assert_matches(passage.arrived, arrived, near[::2], digits=1000)
    assert_matches(
        passage.log_arrived, lambda *p: mp.log(arrived(*p)), near[::2], digits=1000
    )
    assert_matches(
        passage.log_not_arrived, lambda *p: mp.log(left(*p)), near[::2], digits=1000
    )
    assert passage.arrived(0.0, 1.0, 1.0) == 0.0
    assert passage.log_not_arrived(0.0, 1.0, 1.0) == 0.0


@pytest.mark.parametrize(("h", "m"), [(20.0, 0.2), (30.0, 0.05)])
def test_a_walk_goes_as_a_longer_brownian_path(h, m):
    """2·10⁴ walks: the share that has arrived, by five standard errors and 1 %."""
    rng = np.random.default_rng(13)
    at, best = np.zeros(20_000), np.full(20_000, -np.inf)
    checks = (50, 100, 300)
    for n in range(1, 301):
        at += m + rng.standard_normal(at.size)
        best = np.maximum(best, at)
        if n in checks:
            share = np.mean(best > h)
            found = passage.arrived(n, h + 0.5826, m)
            assert found == pytest.approx(share, rel=0.01, abs=5 * 0.5 / np.sqrt(2e4))


def test_not_arrived_time():
    """The time at which the reference leaves exactly so much."""

    def exact(error, h, m):
        start = mp.mpf(
            float(passage.not_arrived_time(float(error), float(h), float(m)))
        )

        def gap(log):
            return mp.log(left(mp.exp(log), h, m)) - mp.log(error)

        log = mp.log(start)
        low, high = log - mp.mpf("1e-9"), log + mp.mpf("1e-9")
        assert gap(low) > 0 > gap(high)
        return mp.exp(mp.findroot(gap, (low, high), solver="anderson", tol=1e-40))

    points = [
        (e, h, m)
        for e in (1e-100, 1e-9, 0.01, 0.5, 0.999)
        for h, m in ((1e-3, 0.0), (1e-3, 1.0), (5.0, 0.5), (100.0, 0.3), (50.0, 4.0))
        if m or e > 1e-99
    ]
    assert_matches(passage.not_arrived_time, exact, points, digits=150)
    assert passage.not_arrived_time(0.1, 1e20, 1e20) == 1.0
    assert passage.not_arrived_time(1e-160, 1e-100, 0.0) == pytest.approx(
        2e120 / np.pi, rel=1e-12
    )


@given(st.floats(0.1, 50), st.floats(0.01, 5), st.floats(0.1, 200))
def test_brownian_laws_agree(h, m, t):
    p = passage.arrived(t, h, m)
    gone = np.exp(passage.log_not_arrived(t, h, m))
    assert p + gone == pytest.approx(1, abs=1e-13)
    assume(1e-200 < gone < 0.999)
    back = passage.not_arrived_time(gone, h, m)
    assert back == pytest.approx(t, rel=1e-9)
    assert passage.arrived(2 * t, h, m) >= p


# --- Held paths -------------------------------------------

SPANS = [
    (a, b)
    for a in (-1e100, -1e3, -20.0, -9.0, -8.9, -2.0, -0.5, 0.0, 1e-9, 1.0, 8.0, 30.0)
    for b in (
        -1e99,
        -999.0,
        -9.5,
        -8.0,
        -1.9,
        -0.1,
        0.0,
        1e-8,
        0.3,
        1.2,
        5.0,
        30.5,
        37.0,
    )
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


@pytest.mark.parametrize(("a", "b"), [(-3.0, 0.0), (-1.0, 1.0), (0.5, 1.8)])
def test_ou_mean_against_simulation(a, b):
    """10⁴ paths of steps 0.01, the goal moved by the overshoot; 1 % and four errors."""
    rng = np.random.default_rng(14)
    step = 0.01
    keep, kick = np.exp(-step), np.sqrt(-np.expm1(-2 * step))
    x, time = np.full(10_000, a), np.zeros(10_000)
    left = np.arange(x.size)
    goal = b - 0.5826 * kick
    while left.size:
        x[left] = keep * x[left] + kick * rng.standard_normal(left.size)
        time[left] += step
        left = left[x[left] < goal]
    error = time.std() / 100
    found = passage.ou_mean(a, b)
    assert found == pytest.approx(time.mean() - 0.5 * step, rel=0.01, abs=4 * error)


@given(st.floats(-30, 30), st.floats(0, 5), st.floats(0, 5))
def test_held_paths_add_up(a, first, second):
    b, c = a + first, a + first + second
    parts = passage.ou_mean(a, b) + passage.ou_mean(b, c)
    assert passage.ou_mean(a, c) == pytest.approx(parts, rel=1e-12, abs=1e-300)
    assert passage.ou_mean(a, a) == 0.0


def test_without_noise_a_held_path_takes_a_logarithm():
    assert passage.ou_mean(-3e8, -1e8) == pytest.approx(np.log(3), rel=1e-13)


def test_domains():
    with pytest.raises(DomainError, match="expected target at least the origin"):
        passage.ou_mean(1.0, 0.0)
    with pytest.raises(DomainError, match="expected steps a whole number"):
        passage.no_gain(1.5)


def test_grid_of_drifts_is_smooth():
    """No seam where the series hands over to the sum."""
    s = grid(2.2, 2.3, 40)
    s.sort()
    bend = np.diff(passage.overshoot(s))
    assert np.all(bend >= 0)
