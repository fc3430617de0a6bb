"""Noise at low confidence alone, against full softmax answers."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.theory import low_confidence, snr

from .reference import assert_matches


def top(logits):
    return (np.exp(logits) / np.exp(logits).sum()).max()


@pytest.mark.parametrize("other", [(0.2, 0.1, 0.1, 0.0), (0.9, 0.0, 0.0, 0.0)])
def test_snr_against_answers(other):
    """10⁶ answers of the defence; five standard errors of a variance are 0.7 %."""
    rng, one, seen = np.random.default_rng(5), (0.4, 0.0, 0.0, 0.0), []
    for logits in np.array([one, other]):
        noise = 0.1 * rng.standard_normal((1_000_000, 4))
        seen.append(logits + noise if top(logits) < 0.4 else logits[None])
    change = (seen[0][:, 0] - seen[0][:, 1]) - (seen[1][:, 0] - seen[1][:, 1])
    found = change.mean() ** 2 / change.var()
    clean = (one[0] - one[1]) - (other[0] - other[1])
    law = low_confidence.snr(clean**2, top(one), top(other), 0.4, 0.1)
    assert law == pytest.approx(found, rel=0.01)


def test_snr_by_the_number_of_noisy_answers():
    both = snr.output_logits(0.3, 0.2)
    found = low_confidence.snr(0.3, [0.29, 0.3, 0.3], [0.1, 0.1, 0.9], 0.3, 0.2)
    np.testing.assert_allclose(found, [both, 2 * both, np.inf], rtol=1e-15)
    assert low_confidence.snr(0.0, 0.3, 0.9, 0.3, 0.2) == 0.0
    assert low_confidence.snr(1e300, 0.1, 0.1, 0.3, 1e-300) == np.inf
    assert low_confidence.snr([0.0, 0.3], 0.1, 0.2, 0.3, 0.0).tolist() == [0.0, np.inf]


def test_silent_share():
    def exact(margin, threshold, rivals):
        level = max(mp.mpf(0), mp.log(rivals * threshold / (1 - threshold)))
        return 1 - min(mp.mpf(1), level / abs(margin))

    levels = (1e-9, 0.1, 0.3, 0.5, 0.5001, 0.9, 1 - 1e-12)
    sizes, counts = (-1e3, 0.3, 2.0, 17.0, 1e200), (1, 2, 9, 999)
    points = [(m, t, n) for m in sizes for t in levels for n in counts]
    assert_matches(low_confidence.silent_share, exact, points)


@pytest.mark.parametrize(("threshold", "rivals"), [(0.6, 1), (0.3, 9), (0.2, 99)])
def test_silent_share_on_a_way(threshold, rivals):
    """4,000 answers on the way; a share is off by one of them."""
    margins = 6.0 * (np.arange(4000) + 0.5) / 4000
    silent = [top(np.append(m, np.zeros(rivals))) >= threshold for m in margins]
    law = low_confidence.silent_share(6.0, threshold, rivals)
    assert law == pytest.approx(np.mean(silent), abs=1 / 4000)


def test_no_class_is_below_its_even_share():
    for classes in (2, 10, 1000):
        near = np.array([1 - 1e-9, 1 + 1e-6]) / classes
        found = low_confidence.silent_share(1e-9, near, classes - 1)
        assert found.tolist() == [1.0, 0.0]
    assert low_confidence.silent_share(0.0, [0.6, 0.4]).tolist() == [0.0, 1.0]


@given(st.lists(st.floats(-5, 0), min_size=1, max_size=8), st.floats(0.01, 0.99))
def test_level_rivals_are_the_loudest(rivals, threshold):
    """Rivals behind the runner-up make no answer noisy that level ones leave silent."""
    logits = np.append(3.0, np.append(0.0, rivals))
    if low_confidence.silent_share(3.0, threshold, len(rivals) + 1) > 0:
        assert top(logits) >= threshold
