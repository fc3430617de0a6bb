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
from querytax.theory.symbolic.derivation import derive


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


GAPS = [
    [1.0],
    [0.0],
    [1.0, 1.0, 1.0],
    [0.5, 0.75, 2.0, 4.0],
    [1.0, 1.0625, 1.0625, 1.25],
]


@pytest.mark.parametrize("gaps", GAPS)
def test_against_mpmath(gaps):
    # The winner in the middle.
    row = np.insert(1.0 + max(gaps) - np.array(gaps), len(gaps) // 2, 1.0 + max(gaps))
    for sigma in (1e12, 0.7, 0.06, 0.0334, 0.0332, 0.0191):
        with mp.workdps(25):
            reference = exact(gaps, sigma)
        got = accuracy.misclassification(row, sigma)
        assert abs(mp.mpf(float(got)) / reference - 1) <= 1e-12, sigma


def test_two_classes_are_exact_into_the_deepest_tail():
    gap = np.geomspace(1e-12, 1e12, 400)
    outputs, u = np.stack([gap, np.zeros_like(gap)], axis=-1), -gap / np.sqrt(2)
    got = accuracy.misclassification(outputs, 1.0)
    np.testing.assert_allclose(got, special.ndtr(u), rtol=1e-12)
    logs = accuracy.log_misclassification(outputs, 1.0)
    np.testing.assert_allclose(logs, special.log_ndtr(u), rtol=1e-12)
    tiny = accuracy.misclassification([0.8, 0.5], 0.3 / 52.4)
    assert tiny == pytest.approx(float(mp.ncdf(-52.4 / mp.sqrt(2))), rel=1e-11)
    assert 0 < tiny < 1e-299


@pytest.mark.parametrize("release", ["raw", "reflect", "clip"])
def test_scale_over_the_domain(release):
    """Only the ratio of outputs to noise counts, from 1e-12 to 1e12 and beyond."""
    outputs, law = np.array([0.5, 0.3, 0.2]), accuracy.misclassification
    base = law(outputs, 0.1, release=release)
    for scale in (1e-300, 1e-12, 1e12, 1e300):
        got = law(outputs * scale, 0.1 * scale, release=release)
        assert got == pytest.approx(base, rel=1e-13)
    none = law(outputs, 1e12, release=release)
    assert none == pytest.approx(7 / 12 if release == "clip" else 2 / 3, rel=1e-12)
    assert accuracy.log_misclassification(outputs, 1e-12, release=release) < -1e21
    for sigma in (0.0, 1e-300):
        assert law(outputs, sigma, release=release) == 0.0
        assert law(outputs, sigma, 1, release) == pytest.approx(1.0, rel=1e-15)
        assert law([0.4, 0.4, 0.2], sigma, release=release) == pytest.approx(0.5)


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


RELEASED = {
    "raw": lambda x: x,
    "reflect": np.abs,
    "clip": lambda x: np.maximum(x, 0.0),
}


@pytest.mark.parametrize("release", RELEASED)
def test_against_simulated_queries(release):
    """1e6 noisy answers of four classes; five standard errors are 2.5e-3."""
    rng = np.random.default_rng(9)
    noise = rng.standard_normal((1_000_000, 4))
    for outputs, sigma in (([0.35, 0.3, 0.25, 0.1], 0.08), ([0.1, 0.6, 0.3, 0], 0.9)):
        seen = RELEASED[release](np.array(outputs) + sigma * noise)
        winner = seen.argmax(axis=1)
        for label in (None, 0, 1, 2, 3):
            own = np.argmax(outputs) if label is None else label
            got = accuracy.misclassification(outputs, sigma, label, release)
            assert got == pytest.approx(np.mean(winner != own), abs=2.5e-3)
        tie = accuracy.clipped_tie(outputs, sigma)
        everything = np.mean(RELEASED["clip"](seen).max(axis=1) == 0.0)
        if release != "reflect":
            assert tie == pytest.approx(everything, abs=2.5e-3)


def released(outputs, sigma, label, release):
    """By adaptive quadrature over the label's released value, tails split off."""
    own, *rest = (mp.mpf(outputs[i]) / sigma for i in (label, *{0, 1, 2} - {label}))
    folded = release == "reflect"

    def beaten(t):
        total = mp.mpf(0)
        for c in rest:
            total += (mp.ncdf(c - t) + folded * mp.ncdf(-t - c)) * (1 - total)
        return total

    def inside(t):
        return (mp.npdf(t - own) + folded * mp.npdf(t + own)) * beaten(t)

    points = mp.linspace(0, max(own, *rest) + 11, 12)
    size = max(map(inside, points))
    value = size * mp.quad(lambda t: inside(t) / size, points)
    if not folded:
        value += mp.ncdf(-own) * (beaten(mp.mpf(0)) if label == 0 else 1)
    return value


@pytest.mark.parametrize("release", ["reflect", "clip"])
@pytest.mark.parametrize("outputs", [(0.6, 0.4, 0.0), (0.3, 0.3, 0.4), (0.0, 0.0, 1.0)])
def test_released_outputs_against_mpmath(outputs, release):
    for sigma in (1e3, 0.7, 0.05, 0.03):
        for label in (0, 2):
            with mp.workdps(20):
                reference = released(outputs, sigma, label, release)
                log = float(mp.log(reference))
            got = accuracy.misclassification(outputs, sigma, label, release)
            assert got == pytest.approx(float(reference), rel=2e-12), (sigma, label)
            got = accuracy.log_misclassification(outputs, sigma, label, release)
            assert got == pytest.approx(log, rel=1e-12, abs=2e-12)


@pytest.mark.parametrize("release", ["reflect", "clip"])
def test_the_derivation_of_released_outputs(release):
    twin, row = derive("accuracy.misclassification", release=release), (0.65, 0.25, 0.1)
    for step in twin.steps:
        assert step.holds(), step.words
    point = {f"outputs_{i}": str(x) for i, x in enumerate(row)}
    for sigma in (0.02, 0.2, 3.0):
        value = float(twin.evaluate(30, **point, sigma=str(sigma)))
        got = accuracy.misclassification(row, sigma, release=release)
        assert got == pytest.approx(value, rel=1e-12)


def test_two_reflected_classes_have_a_closed_form():
    """|X| > |Y| where X + Y and X - Y, which are independent, have one sign."""
    gap, rest = np.meshgrid(np.geomspace(1e-6, 60, 30), np.geomspace(1e-6, 60, 30))
    outputs = np.stack([gap + rest, rest], axis=-1)
    a, b = (special.ndtr(-x / np.sqrt(2)) for x in (gap, gap + 2 * rest))
    got = accuracy.misclassification(outputs, 1.0, release="reflect")
    np.testing.assert_allclose(got, a * (1 - b) + b * (1 - a), rtol=1e-12, atol=1e-300)


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


@given(tables, st.floats(1e-2, 10.0), st.sampled_from(list(RELEASED)))
def test_winning_probabilities_add_up(outputs, sigma, release):
    """The classes' chances to win sum to one: labels that lose are right too."""
    rows, classes = outputs.shape
    wins = [
        1 - accuracy.misclassification(outputs, sigma, np.full(rows, label), release)
        for label in range(classes)
    ]
    np.testing.assert_allclose(np.sum(wins, axis=0), 1.0, atol=1e-12)


@given(tables, st.floats(1e-2, 10.0), st.randoms(use_true_random=False))
def test_order_of_classes_and_rows_does_not_matter(outputs, sigma, random):
    base = accuracy.misclassification(outputs, sigma)
    assert np.all(base <= 1 - 1 / outputs.shape[1] + 1e-12)
    columns = list(range(outputs.shape[1]))
    random.shuffle(columns)
    shuffled = accuracy.misclassification(outputs[:, columns], sigma)
    np.testing.assert_allclose(shuffled, base, rtol=1e-13)
    single = [accuracy.misclassification(one, sigma) for one in outputs]
    np.testing.assert_allclose(single, base, rtol=1e-13)


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
    gaps, rates = np.geomspace(1e-12, 1e12, 9), np.array([1e-300, 1e-6, 0.3, 0.49])
    outputs = np.stack([gaps, np.zeros_like(gaps)], axis=-1)
    got = accuracy.largest_sigma(outputs[:, None], rates)
    two = accuracy.two_class_sigma(gaps[:, None], rates)
    np.testing.assert_allclose(got, two, rtol=2e-12)


@pytest.mark.parametrize("rate", [1e-200, 1e-4, 0.01, 0.3])
def test_largest_sigma_of_a_set(rate):
    outputs = np.random.default_rng(2).dirichlet(np.full(10, 0.3), 200)
    sigma = accuracy.largest_sigma_mean(outputs, rate)
    assert accuracy.accuracy_loss(outputs, sigma) <= rate
    assert accuracy.misclassification(outputs, sigma * (1 + 2e-6)).mean() > rate
    # Safe for the accuracy, whatever the labels.
    labels = np.random.default_rng(3).integers(0, 10, 200)
    assert accuracy.accuracy_loss(outputs, sigma, labels) <= rate
    # Ties alone can exceed the rate.
    tied = accuracy.largest_sigma_mean([[0.5, 0.5], [0.9, 0.1]], rate)
    assert (tied > 0.0) == (rate > 0.25)


@pytest.mark.parametrize("release", RELEASED)
def test_accuracy_loss_against_simulated_queries(release):
    """200 rows, 4,000 noisy answers each; five standard errors are 2e-3."""
    rng = np.random.default_rng(10)
    outputs = rng.dirichlet(np.full(6, 0.5), 200)
    labels = np.where(rng.random(200) < 0.8, outputs.argmax(1), rng.integers(0, 6, 200))
    right = (outputs.argmax(1) == labels).mean()
    noisy = outputs + 0.2 * rng.standard_normal((4000, 200, 6))
    simulated = right - (RELEASED[release](noisy).argmax(2) == labels).mean()
    got = accuracy.accuracy_loss(outputs, [0.2, 1e-9], labels, release)
    assert got == pytest.approx([simulated, 0.0], abs=2e-3)


def test_domains():
    for arguments, message in (
        (([0.5], 0.1), "two classes or more"),
        (([[0.5, 0.4]], 0.1, [2]), "expected labels below 2"),
        (([[0.5, 0.4]], 0.1, [0, 1]), r"expected labels below 2 and of shape \(1,"),
        (([0.5, -0.1], 0.1, None, "clip"), "expected outputs >= 0 unless raw"),
    ):
        with pytest.raises(DomainError, match=message):
            accuracy.misclassification(*arguments)
