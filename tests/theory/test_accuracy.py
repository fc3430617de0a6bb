"""Misclassification against mpmath, other quadratures, simulation and known values."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, special

from querytax.expect import DomainError
from querytax.theory import accuracy


def exact(gaps, sigma):
    """E[1 - Π Φ(z + a_i)] by adaptive quadrature; the product from its complement."""
    scaled = [mp.mpf(float(g)) / mp.mpf(float(sigma)) for g in gaps]
    centre = -max(min(scaled), mp.mpf(0)) / 2

    def integrand(z):
        total = mp.mpf(0)
        for a in scaled:
            total += mp.ncdf(-(z + a)) * (1 - total)
        return mp.npdf(z) * total

    # The rule stops at an absolute error, so its integrand is brought to order 1.
    size = integrand(centre)
    points = mp.linspace(centre - 13, centre + 13, 14)
    return size * mp.quad(lambda z: integrand(z) / size, points)


def row(gaps):
    """Outputs whose winner leads by these gaps, the winner in the middle."""
    top = 1.0 + max(gaps)
    others = [top - g for g in gaps]
    half = len(others) // 2
    return [*others[:half], top, *others[half:]]


GAPS = [
    [1.0],
    [0.0],
    [1.0, 1.0, 1.0],
    [0.5, 0.75, 2.0, 4.0],
    [1.0, 1.0625, 1.0625, 1.25],
]


@pytest.mark.parametrize("gaps", GAPS)
def test_against_mpmath(gaps):
    worst = (0.0, None)
    for sigma in (1e12, 0.7, 0.06, 0.0334, 0.0332, 0.0191):
        with mp.workdps(25):
            reference = exact(gaps, sigma)
        got = accuracy.misclassification(row(gaps), sigma)
        worst = max(worst, (float(abs(mp.mpf(float(got)) / reference - 1)), sigma))
    assert worst[0] <= 1e-12, worst


def test_two_classes_are_exact_into_the_deepest_tail():
    gap = np.geomspace(1e-12, 1e12, 400)
    outputs = np.stack([gap, np.zeros_like(gap)], axis=-1)
    expected = special.ndtr(-gap / np.sqrt(2))
    np.testing.assert_allclose(
        accuracy.misclassification(outputs, 1.0), expected, rtol=1e-12
    )
    logs = accuracy.log_misclassification(outputs, 1.0)
    np.testing.assert_allclose(logs, special.log_ndtr(-gap / np.sqrt(2)), rtol=1e-12)
    tiny = accuracy.misclassification([0.8, 0.5], 0.3 / 52.4)
    assert tiny == pytest.approx(float(mp.ncdf(-52.4 / mp.sqrt(2))), rel=1e-11)
    assert 0 < tiny < 1e-299


def test_scale_over_the_domain():
    """Only the ratio of outputs to noise counts, from 1e-12 to 1e12 and beyond."""
    outputs = np.array([0.5, 0.3, 0.2])
    base = accuracy.misclassification(outputs, 0.1)
    for scale in (1e-300, 1e-12, 1e12, 1e300):
        got = accuracy.misclassification(outputs * scale, 0.1 * scale)
        assert got == pytest.approx(base, rel=1e-13)
    assert accuracy.misclassification(outputs, 1e12) == pytest.approx(2 / 3, rel=1e-12)
    assert accuracy.misclassification(outputs, 1e-300) == 0.0
    assert accuracy.log_misclassification(outputs, 1e-12) < -1e21


@pytest.mark.parametrize("classes", [2, 10, 1000, 20_000])
def test_equal_classes(classes):
    """All tied: the winner keeps its place one time in ``classes``."""
    got = accuracy.misclassification(np.zeros(classes), 0.3)
    assert 1 - got == pytest.approx(1 / classes, rel=1e-9)


@pytest.mark.parametrize("gap", [0.0, 2.5, 5.0, 12.0])
def test_many_equal_rivals_against_quadrature(gap):
    """1,000 rivals: 1 - Φ(z + a)^999 by an adaptive rule."""

    def integrand(z):
        power = np.expm1(999 * special.log_ndtr(z + gap))
        return -power * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)

    edges = (-gap / 2 - 12, -gap / 2 - 3, -gap / 2, -gap / 2 + 3, -gap / 2 + 12)
    reference = sum(
        integrate.quad(integrand, low, high, epsabs=0, epsrel=1e-11)[0]
        for low, high in pairwise(edges)
    )
    got = accuracy.misclassification([gap, *[0.0] * 999], 1.0)
    assert got == pytest.approx(reference, rel=1e-9)


def test_against_simulated_queries():
    """1e6 noisy answers, C = 4; five standard errors are 2.3e-3."""
    rng = np.random.default_rng(9)
    outputs = np.array([0.35, 0.3, 0.25, 0.1])
    noisy = outputs + 0.08 * rng.standard_normal((1_000_000, 4))
    flips = np.mean(noisy.argmax(axis=1) != 0)
    assert accuracy.misclassification(outputs, 0.08) == pytest.approx(flips, abs=2.5e-3)
    for label in range(1, 4):
        lost = np.mean(noisy.argmax(axis=1) != label)
        got = accuracy.misclassification(outputs, 0.08, label)
        assert got == pytest.approx(lost, abs=2.5e-3)


def test_known_numbers():
    ten = [0.5, *[0.45] * 9]
    assert accuracy.misclassification(ten, 0.05) == pytest.approx(0.65906, abs=6e-6)
    _, upper = accuracy.misclassification_bounds(ten, 0.05)
    assert upper == pytest.approx(0.9152, abs=6e-5)
    thousand = [0.4, *[0.1] * 999]
    assert accuracy.misclassification(thousand, 0.1) == pytest.approx(0.5884, abs=6e-5)
    variances = accuracy.two_class_sigma(1.0, [0.2, 0.1, 0.01, 0.005]) ** 2
    np.testing.assert_allclose(
        variances, [0.70589, 0.30444, 0.09239, 0.07536], atol=6e-6
    )
    assert accuracy.two_class_sigma(0.3, 0.1) ** 2 == pytest.approx(0.0274, abs=6e-6)


tables = hnp.arrays(
    float, st.tuples(st.integers(1, 4), st.integers(2, 12)), elements=st.floats(0, 1)
)


@given(tables, st.floats(1e-3, 1e3))
def test_bounds_hold(outputs, sigma):
    got = accuracy.misclassification(outputs, sigma)
    lower, upper = accuracy.misclassification_bounds(outputs, sigma)
    assert np.all(lower <= got * (1 + 1e-12))
    assert np.all(got <= upper * (1 + 1e-12))
    assert np.all(got <= 1 - 1 / outputs.shape[1] + 1e-12)


@given(tables, st.floats(1e-3, 1e3), st.floats(1.0, 10.0))
def test_more_noise_errs_more(outputs, sigma, factor):
    low = accuracy.log_misclassification(outputs, sigma)
    high = accuracy.log_misclassification(outputs, sigma * factor)
    assert np.all(low <= high + 1e-12 * np.abs(high))


@given(tables, st.floats(1e-2, 10.0))
def test_winning_probabilities_add_up(outputs, sigma):
    """The classes' chances to win sum to one: labels that lose are right too."""
    wins = [
        1 - accuracy.misclassification(outputs, sigma, np.full(outputs.shape[0], label))
        for label in range(outputs.shape[1])
    ]
    np.testing.assert_allclose(np.sum(wins, axis=0), 1.0, atol=1e-12)


@given(tables, st.floats(1e-2, 10.0), st.randoms(use_true_random=False))
def test_order_of_classes_and_rows_does_not_matter(outputs, sigma, random):
    base = accuracy.misclassification(outputs, sigma)
    columns = list(range(outputs.shape[1]))
    random.shuffle(columns)
    shuffled = accuracy.misclassification(outputs[:, columns], sigma)
    np.testing.assert_allclose(shuffled, base, rtol=1e-13)
    single = [accuracy.misclassification(one, sigma) for one in outputs]
    np.testing.assert_allclose(single, base, rtol=1e-13)


def test_shapes_broadcast():
    outputs = np.random.default_rng(1).dirichlet(np.ones(5), (3, 1))
    got = accuracy.misclassification(outputs, np.geomspace(0.01, 1, 4))
    assert got.shape == (3, 4)
    assert accuracy.largest_sigma(outputs, [0.01, 0.1]).shape == (3, 2)
    assert isinstance(accuracy.misclassification([0.7, 0.3], 0.1), float)
    assert isinstance(accuracy.largest_sigma([0.7, 0.3], 0.1), float)
    lower, upper = accuracy.misclassification_bounds(outputs[:, 0], 0.1)
    assert lower.shape == upper.shape == (3,)


@given(tables, st.sampled_from([1e-300, 1e-12, 1e-3, 0.01, 0.2, 0.49]))
def test_largest_sigma_is_the_safe_inverse(outputs, rate):
    sigma = accuracy.largest_sigma(outputs, rate)
    ordered = np.sort(outputs, axis=1)
    tied = ordered[:, -1] - ordered[:, -2] <= 1e-290
    np.testing.assert_array_equal(sigma == 0, tied)
    if not tied.any():
        assert np.all(accuracy.misclassification(outputs, sigma) <= rate)
        log = accuracy.log_misclassification(outputs, sigma * (1 + 2e-12))
        assert np.all(log >= np.log(rate) - 1e-13)


def test_two_classes_have_a_closed_form():
    gaps = np.geomspace(1e-12, 1e12, 9)
    outputs = np.stack([gaps, np.zeros_like(gaps)], axis=-1)
    for rate in (1e-300, 1e-6, 0.3, 0.49):
        np.testing.assert_allclose(
            accuracy.largest_sigma(outputs, rate),
            accuracy.two_class_sigma(gaps, rate),
            rtol=2e-12,
        )


@pytest.mark.parametrize("rate", [1e-200, 1e-4, 0.01, 0.3])
def test_largest_sigma_of_a_set(rate):
    outputs = np.random.default_rng(2).dirichlet(np.full(10, 0.3), 200)
    sigma = accuracy.largest_sigma_mean(outputs, rate)
    assert accuracy.misclassification(outputs, sigma).mean() <= rate
    assert accuracy.misclassification(outputs, sigma * (1 + 2e-6)).mean() > rate
    # Safe for the accuracy, whatever the labels.
    labels = np.random.default_rng(3).integers(0, 10, 200)
    assert accuracy.accuracy_loss(outputs, labels, sigma) <= rate


def test_ties_alone_can_exceed_the_rate():
    assert accuracy.largest_sigma_mean([[0.5, 0.5], [0.9, 0.1]], 0.2) == 0.0
    assert accuracy.largest_sigma_mean([[0.5, 0.5], [0.9, 0.1]], 0.3) > 0


def test_accuracy_loss_against_simulated_queries():
    """200 rows, 4,000 noisy answers each; five standard errors are 2e-3."""
    rng = np.random.default_rng(10)
    outputs = rng.dirichlet(np.full(6, 0.5), 200)
    labels = np.where(rng.random(200) < 0.8, outputs.argmax(1), rng.integers(0, 6, 200))
    right = (outputs.argmax(1) == labels).mean()
    noisy = outputs + 0.2 * rng.standard_normal((4000, 200, 6))
    simulated = right - (noisy.argmax(2) == labels).mean()
    got = accuracy.accuracy_loss(outputs, labels, [0.2, 1e-9])
    assert got[0] == pytest.approx(simulated, abs=2e-3)
    assert got[1] == pytest.approx(0.0, abs=1e-6)


def test_domains():
    for bad, message in [
        ([0.5], "two classes or more"),
        ([0.5, np.nan], "expected outputs finite"),
    ]:
        with pytest.raises(DomainError, match=message):
            accuracy.misclassification(bad, 0.1)
    with pytest.raises(DomainError, match="expected sigma > 0"):
        accuracy.misclassification([0.5, 0.4], -0.1)
    with pytest.raises(DomainError, match="expected labels below 2"):
        accuracy.misclassification([[0.5, 0.4]], 0.1, [2])
    with pytest.raises(DomainError, match=r"expected labels below 2 and of shape \(1,"):
        accuracy.accuracy_loss([[0.5, 0.4]], [0, 1], 0.1)
    with pytest.raises(DomainError, match=r"expected rate in \(0, 0.5\), got 0.5"):
        accuracy.largest_sigma([0.5, 0.4], 0.5)
    with pytest.raises(DomainError, match=r"expected tolerance in \(0, 1\), got 2"):
        accuracy.largest_sigma_mean([[0.5, 0.4]], 0.1, 2)
