"""The printed forms: as printed where they are, loud where they fail."""

import doctest
import warnings

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import query_ratio, repeats, snr
from querytax.theory.law import RegimeWarning
from querytax.validation import printed, printed_forms


def quiet_6(*arguments, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegimeWarning)
        return printed.query_ratio_6(*arguments, **named)


def exact_6(s, m, r, error):
    start = mp.mpf(-1) if error < 0.5 else mp.mpf(1)
    q = mp.findroot(lambda z: mp.ncdf(z) - error, start, tol=1e-80)
    k = q * mp.sqrt(m / (s * (1 - r)))
    return (mp.sqrt(k**2 + 4) - k) ** 2 / 4


@pytest.mark.parametrize("error", [0.01, 0.3, 0.9])
def test_query_ratio_6_over_600_decades(error):
    worst = (0.0, None)
    for s in np.geomspace(1e-300, 1e300, 21):
        for m in (1e-6, 0.2, 0.9):
            for r in (0.01, 0.9):
                with mp.workdps(400):
                    reference = exact_6(*(mp.mpf(float(x)) for x in (s, m, r, error)))
                got = quiet_6(s, m, r, error)
                if reference < mp.mpf("1e308"):
                    gap = float(abs(mp.mpf(float(got)) / reference - 1))
                    worst = max(worst, (gap, (s, m, r)))
                else:
                    assert got == np.inf
    assert worst[0] <= 1e-12, worst


def test_the_papers_query_ratios():
    """With Lemma 1's SNR at Table 1's means, and known values at 0.2."""
    means = [(5e-6, 0.01), (2e-4, 0.01), (5e-8, 0.01)]
    ratios = [quiet_6(snr.output(delta**2, sigma), 0.2) for delta, sigma in means]
    np.testing.assert_allclose(ratios, [8.746e6, 5468.6, 8.746e10], rtol=1e-4)
    levels = [1e-12, 1e-4, 1e-2, 1e-1, 1.0, 10.0, 1e3]
    table = [1.093e12, 1.094e4, 111.3, 12.86, 2.727, 1.39, 1.034]
    np.testing.assert_allclose(quiet_6(levels, 0.2), table, rtol=6e-4)


def test_query_ratio_6_warns_beyond_its_regime():
    """At the paper's parameters from R = 5.1 on, or where its recursion diverges."""
    edge = -2.3263478740408408 * -0.2 / 0.99 / np.sqrt(2 / 0.99)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inside = printed.query_ratio_6(edge * 1.001, 0.2)
    with pytest.warns(RegimeWarning, match="outside its regime"):
        printed.query_ratio_6(edge * 0.999, 0.2)
    assert inside == pytest.approx(5.1, abs=0.05)
    with pytest.warns(RegimeWarning):
        printed.query_ratio_6([10.0, 1e-7], 0.2)
    # Diverges though K² is small: an error rate near 1/2.
    with pytest.warns(RegimeWarning):
        printed.query_ratio_6(0.1, 0.2, 0.01, 0.499)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        printed.query_ratio_6(0.12, 0.2, 0.01, 0.499)


def test_query_ratio_6_overstates_even_a_retuned_attack():
    ratio = quiet_6(1e-9, 0.2) / query_ratio.best_constant_step(1e-9, 0.2)
    assert ratio == pytest.approx(2.45, abs=5e-3)


def test_repeats_8_as_printed():
    """MNIST at β = 1e-3, a = 1: 181.9 printed against the true 85.9."""
    assert printed.repeats_8(1e-3, 5e-6, 4e-4, 0.3) == pytest.approx(181.9, abs=0.05)
    true = repeats.fixed(snr.output((4e-4 * np.expm1(1e-3)) ** 2, 5e-6), 0.3)
    assert true == pytest.approx(85.9, abs=0.05)
    got = printed.repeats_8(np.full((2, 1), 1e-3), np.array([1e-12, 1e-9]), 4e-4, 0.3)
    assert got.shape == (2, 2)


@pytest.mark.parametrize("sigma", [1e-4, 8.95e-6, 4e-4 * np.sqrt(0.5e-3), 1e300])
def test_repeats_8_refuses_its_pole_and_beyond(sigma):
    with pytest.raises(
        DomainError, match=r"expected sigma with 2σ²/F² below log_ratio"
    ):
        printed.repeats_8(1e-3, sigma, 4e-4, 0.3)


def test_domains():
    with pytest.raises(DomainError, match=r"expected error in \(0, 0.5\), got 0.5"):
        printed.repeats_8(1e-3, 5e-6, 4e-4, 0.5)
    with pytest.raises(DomainError, match="expected snr > 0 and finite, got 0"):
        printed.query_ratio_6(0.0, 0.2)
    with pytest.raises(DomainError, match=r"expected contraction in \(0, 1\), got 1"):
        printed.query_ratio_6(1.0, 1.0)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 0.999), st.floats(1e-9, 0.999))
def test_swapping_error_and_success_inverts_the_print(s, m, error):
    """K changes sign with the error rate, and R becomes 1/R."""
    both = quiet_6(s, m, 0.5, error) * quiet_6(s, m, 0.5, 1 - error)
    assert both == pytest.approx(1.0, rel=1e-6)


def test_examples_run():
    for module in (printed, printed_forms):
        assert doctest.testmod(module).failed == 0
