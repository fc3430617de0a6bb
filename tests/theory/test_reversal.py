"""Margins led backwards against counts over a grid of places, and there and back."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import reversal

from .reference import assert_matches

# Places of a margin: midpoints, which no border meets. A share is off by 1e-5 at most.
PLACES = (np.arange(200_000) + 0.5) / 200_000
GAPS = (1e-3, 0.1, 0.7, 0.99, 1.05, 1.5, 2.3, 2.9, 3.5)


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("reverse", [0.3, 1.0, 2.5])
def test_wrong_sign_on_a_grid(gap, reverse):
    def published(margin):
        attractor = (np.round(margin / 4 + 0.5) - 0.5) * 4
        return attractor - reverse * (margin - attractor)

    one, two = (published(4 * (PLACES + g)) for g in (0.0, gap))
    found = reversal.wrong_sign(4 * gap, 4.0, reverse)
    assert found == pytest.approx(np.mean(two < one), abs=1.1e-5)
    # The mean seen change is the change.
    assert np.mean(two - one) == pytest.approx(4 * gap, abs=1e-4 * (1 + reverse))
    same = reversal.released(4 * PLACES, 4.0, reverse)
    np.testing.assert_allclose(same, one, atol=1e-13)


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("amplitude", [0.1, 0.16, 0.7, 1.5])
def test_sine_wrong_sign_on_a_grid(gap, amplitude):
    def answer(m):
        return m - amplitude * np.sin(2 * np.pi * (m - np.floor(m) - 0.5))

    wrong = np.mean(answer(PLACES + gap) < answer(PLACES))
    found = reversal.sine_wrong_sign(3 * gap, 3.0, amplitude)
    assert found == pytest.approx(wrong, abs=2e-5)


def test_against_mpmath():
    def linear(gap, period, reverse):
        n = mp.floor(gap / period)
        f = gap / period - n
        return 1 - f if reverse * f > n else mp.mpf(0)

    def sine(gap, period, amplitude):
        d = gap / period
        s = abs(mp.sin(mp.pi * d))
        return mp.acos(d / (2 * amplitude * s)) / mp.pi if d < 2 * amplitude * s else 0

    sizes = (1e-300, 1e-9, 0.3, 0.9999999, 1.3, 2.7, 1e9)
    periods = (1e-9, 0.7, 1.0, 1e200)
    points = [(g, t, r) for g in sizes for t in periods for r in (0.1, 1.0, 4.0, 1e12)]
    assert_matches(reversal.wrong_sign, linear, points, digits=600)
    points = [(g, t, r) for g in sizes[:-1] for t in periods[1:] for r in (0.1, 0.7, 4)]
    assert_matches(reversal.sine_wrong_sign, sine, points, digits=600)


def test_small_and_wide_changes():
    assert reversal.wrong_sign([0.0, 1e-12], 4.0, 1.0) == pytest.approx(1.0)
    swing = reversal.sine_wrong_sign([0.0, 1e-12], 6.0, 0.7)
    assert swing == pytest.approx(np.arccos(1 / (1.4 * np.pi)) / np.pi)
    wide = np.linspace(1.0, 9.0, 300)
    for reverse in (0.2, 1.0, 1.7, 3.0):
        shown = wide[wide >= np.ceil(reverse)]
        assert np.all(reversal.wrong_sign(shown, 1.0, reverse) == 0.0)
    assert np.all(reversal.sine_wrong_sign(wide[wide >= 3.0], 1.0, 1.5) == 0.0)
    # One that rises everywhere never misleads.
    assert np.all(reversal.sine_wrong_sign(wide, 1.0, 0.5 / np.pi) == 0.0)


@given(st.floats(-1e3, 1e3), st.floats(0.1, 10), st.floats(0.05, 1.0))
def test_there_and_back(margin, period, reverse):
    place = margin / period - np.floor(margin / period)
    answer = reversal.released(margin, period, reverse)
    if 1e-6 < place < 1 - 1e-6:
        back = reversal.recovered(answer, period, reverse)
        assert back == pytest.approx(margin, abs=1e-11 / reverse)
    if reverse == 1.0:
        assert answer == pytest.approx(reversal.recovered(margin, period, 1.0))


def test_steep_answers_overlap():
    """Above slope 1 two margins have one answer."""
    found = reversal.released([0.1, 1.5 + 0.4 / 1.5], 1.0, 1.5)
    assert found == pytest.approx(1.1)
