"""Measured figures: what they show, taken again by other means."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy import integrate, stats

from querytax.figures import analytic, measured, measurements
from querytax.figures.style import curves_of

# Of one interval: 1e-4 are false alarms, in place of the 5 % that are drawn.
WIDER = stats.norm.isf(5e-5) / stats.norm.isf(0.025)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors here are tiny: on a busy machine threads would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawn(name, number=0):
    """Curves of one panel, by label."""
    ax = analytic.FIGURES[name].panels[number](Figure().subplots())
    return {curve.label: curve for curve in curves_of(ax)}


def inside(curve, law):
    """Whether a law lies within the widened intervals, place by place."""
    below = curve.y - WIDER * (curve.y - curve.lower)
    above = curve.y + WIDER * (curve.upper - curve.y)
    return (below <= law) & (law <= above)


def test_the_figures_are_among_all():
    assert set(measured.MEASURED) <= set(analytic.FIGURES)
    assert list(measured.MEASURED) == [
        "accuracy",
        "frontier",
        "gradient-ratios",
        "robustness",
        "gradient-error",
    ]


def test_the_network_was_not_trained_on_the_images():
    from querytax import demo

    _, x, y = measurements.network()
    seen = {tuple(row) for row in demo.digits().train[0].flatten(1).tolist()}
    repeated = sum(tuple(row) in seen for row in x.flatten(1).tolist())
    assert len(x) == len(y) == 600
    assert repeated == 0


# -- accuracy ----------------------------------------------------------------------


def test_accuracy_falls_with_noise_within_its_intervals():
    curves = drawn("accuracy")
    for name in measurements.SITES.values():
        assert list(name) == sorted(name)
    points = [c for c in curves.values() if c.lower is not None]
    assert len(points) == len(measurements.SITES)
    for c in points:
        assert (c.lower <= c.y).all()
        assert (c.y <= c.upper).all()
        # No level is measured above an earlier one by more than both intervals.
        assert (c.lower[1:] <= np.minimum.accumulate(c.upper)[:-1]).all()


def test_raw_output_noise_follows_the_exact_law():
    """The law by a quadrature of its own: all other classes below the label."""
    curve = drawn("accuracy")["output (raw), measured"]
    model, x, y = measurements.network()
    with torch.no_grad():
        p = model(x).double().softmax(1).numpy()
    own = p[np.arange(len(p)), y.numpy()]
    rest = np.array([np.delete(row, k) for row, k in zip(p, y.tolist(), strict=True)])

    def accuracy(sigma):
        z = np.linspace(-8.0, 8.0, 801)
        below = stats.norm.cdf((own[:, None] - rest)[..., None] / sigma + z).prod(1)
        return 100 * integrate.trapezoid(below * stats.norm.pdf(z), z, axis=1).mean()

    law = np.array([accuracy(s) for s in curve.x])
    assert inside(curve, law).all()
    line = drawn("accuracy")["output (raw), exact law"]
    np.testing.assert_allclose(np.interp(curve.x, line.x, line.y), law, atol=0.3)


@pytest.mark.parametrize("site", ["input", "6"])
def test_linear_law_holds_while_little_is_lost_and_promises_too_much_after(site):
    name = measured._NAMES[site]
    curves = drawn("accuracy")
    points, line = curves[f"{name}, measured"], curves[f"{name}, law (14)"]
    law = np.interp(points.x, line.x, line.y)
    clean = 100 * measurements.statistics().accuracy
    weak = points.x < line.x[0]
    law[weak] = clean
    little = points.y > clean - 1
    assert little.sum() >= 3
    assert inside(points, law)[little].all()
    assert (law > points.upper)[~little].all()
    m, norms = measurements.slopes()
    by_hand = 100 * stats.norm.cdf(m / (line.x[60] * norms[site])).mean()
    assert line.y[60] == pytest.approx(by_hand)


_FORMS = ("raw", "reflected")


def test_each_measured_point_is_seen_and_has_an_entry_of_its_own():
    from querytax.figures import draw

    figure, curves = draw("accuracy")
    (legend,) = figure.legends
    entries = [text.get_text() for text in legend.get_texts()]
    assert sorted(entries) == sorted({c.label for c in curves})
    assert sum(entry.endswith(", measured") for entry in entries) == 4
    # A column a site.
    sites = [entry.split(",")[0] for entry in entries]
    assert [len(set(part)) for part in np.array_split(sites, 4)] == [1] * 4
    # Input and reflected outputs lie on each other at 0.4, and are drawn apart.
    places = [
        line.get_transform().transform((x, y))
        for line in figure.axes[0].lines
        for x, y in line.get_xydata()
        if line.get_marker() in ("o", "^") and x == 0.4
    ]
    (x, y), (other_x, other_y) = places
    assert abs(y - other_y) < 3
    assert abs(x - other_x) > 4


def test_reflection_costs_accuracy_beyond_raw_noise():
    curves = drawn("accuracy")
    raw, reflected = (curves[f"output ({form}), measured"] for form in _FORMS)
    both = {x: (c.lower[i], c.upper[i]) for c in (raw,) for i, x in enumerate(c.x)}
    at = {x: reflected.upper[i] for i, x in enumerate(reflected.x)}
    assert at[0.4] < both[0.4][0]
    assert at[0.8] < both[0.8][0]


@pytest.mark.parametrize("number", [1, 2])
def test_price_is_the_recommendations(number):
    attacker = ("published", "best")[number - 1]
    curve = drawn("accuracy", number)["input (pixels), predicted"]
    f = measurements.recommendation("input", attacker).frontier
    queries = [q[1] for q in f.queries if np.isfinite(q[1])]
    np.testing.assert_allclose(curve.x, np.array(queries) / f.queries[0][1])
    lost = 100 * (measurements.statistics().accuracy - curve.y / 100)
    np.testing.assert_allclose(lost, 100 * np.array(f.accuracy_loss)[: len(queries)])


# -- gradients ---------------------------------------------------------------------


def test_gradient_ratios_against_autograd():
    model, x, _ = measurements.network()
    curve = drawn("gradient-ratios")["at the image"]
    assert len(curve.x) == len(measurements.LAYERS)
    found = []
    for row in x:
        image = row[None].clone().requires_grad_(True)
        hidden = model[:3](image)
        scores = model[3:](hidden)[0]
        label = measurements.network().labels[len(found)]
        other = max((k for k in range(10) if k != label), key=lambda k: scores[k])
        lead = scores[label] - scores[other]
        g, h = torch.autograd.grad(lead, (image, hidden))
        found.append(float(h.norm() / g.norm()))
    place = list(measurements.LAYERS).index("2")
    assert curve.y[place] == pytest.approx(np.median(found), rel=1e-4)
    spread = drawn("gradient-ratios")["at the image, 90 % of the images"]
    ends = np.quantile(found, (0.05, 0.95))
    assert (spread.lower[place], spread.upper[place]) == pytest.approx(ends, rel=1e-4)


def test_the_ratio_falls_on_the_way_to_the_boundary():
    """The paper sees it rise; here it does beyond the boundary alone."""
    curves = drawn("gradient-ratios", 1)
    wrong = curves.pop("answers wrong by then")
    assert len(curves) == len(measurements.LAYERS)
    falls = (wrong.x >= 0.01) & (wrong.x <= 0.1)
    for c in curves.values():
        assert (c.upper[falls] < 50).all()
        assert c.lower[wrong.x == 0.3] > 50
    assert wrong.y[wrong.x == 0.3] > 99
    for step in (0.003, 0.2):
        at = wrong.x == step
        assert any(c.lower[at] < 50 < c.upper[at] for c in curves.values())


# -- noise that costs one point ------------------------------------------------------


def test_noise_of_one_point_costs_one_by_the_law():
    curves = drawn("robustness")
    m, norms = measurements.slopes()
    for place, site in enumerate(("input", *measurements.LAYERS)):
        solved = curves["solved from eq. (14)"]
        left = stats.norm.cdf(m / (solved.y[place] * norms[site])).mean()
        assert (m > 0).mean() - left == pytest.approx(0.01, abs=1e-9)
        step = curves["1 % quantile of L/‖∇ₕL‖, as printed"]
        ratio = (m / norms[site])[m > 0]
        assert (ratio < step.y[place]).mean() == pytest.approx(0.01, abs=1 / len(ratio))
        even = curves["√(2π) times the quantile"]
        assert even.y[place] == pytest.approx(np.sqrt(2 * np.pi) * step.y[place])
        assert solved.lower[place] < solved.y[place] < solved.upper[place]


def test_the_interval_of_the_solved_noise_against_a_bootstrap():
    """Half its width within a third of that of 200 resamples of the images."""
    from scipy.optimize import brentq

    m, norms = measurements.slopes()
    g, rng = norms["2"], np.random.default_rng(0)

    def solved(rows):
        clean = (m[rows] > 0).mean()
        return brentq(
            lambda log: (
                clean - stats.norm.cdf(m[rows] / (np.exp(log) * g[rows])).mean() - 0.01
            ),
            np.log(0.05),
            np.log(5.0),
        )

    logs = [solved(rng.integers(0, len(m), len(m))) for _ in range(200)]
    found = measurements.noise_of_loss("2")[1]
    half = np.log(found.upper / found.value)
    assert half == pytest.approx(1.96 * np.std(logs), rel=1 / 3)


def test_robustness_is_noise_times_gradient():
    curves = drawn("robustness", 1)
    noise = drawn("robustness")
    _, norms = measurements.slopes()
    for label in ("1 % quantile of L/‖∇ₕL‖, as printed", "solved from eq. (14)"):
        for place, site in enumerate(("input", *measurements.LAYERS)):
            middle = noise[label].y[place] * np.median(norms[site])
            assert curves[label].y[place] == pytest.approx(middle)


def test_accuracy_really_lost_against_another_seed():
    from querytax.defenses import FeatureNoise

    curve = drawn("robustness", 2)["solved from eq. (14)"]
    sigma = drawn("robustness")["solved from eq. (14)"].y
    model, x, y = measurements.network()
    place = 1 + list(measurements.LAYERS).index("2")
    noisy = FeatureNoise(model, float(sigma[place]), ["2"], experiment_seed=77)
    draws = 16
    with torch.no_grad():
        right = [(noisy(x).argmax(1) == y).double().mean() for _ in range(draws)]
    lost = 100 * (measurements.statistics().accuracy - float(torch.stack(right).mean()))
    # The other measurement is a little noisier than twice its own interval allows.
    assert abs(lost - curve.y[place]) < WIDER * (curve.upper - curve.y)[place]
    assert curve.lower[place] > 1.0


# -- gradients read from noisy answers -----------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
def test_errors_follow_their_law(number):
    curves = drawn("gradient-error", number)
    points, law = curves["measured, rival fixed"], curves["law, rival fixed"]
    if number:
        assert inside(points, law.y).all()
    else:
        at = np.exp(np.interp(np.log(points.x), np.log(law.x), np.log(law.y)))
        # Between places of the curve it is a chord.
        np.testing.assert_allclose(points.y, at, rtol=0.1)
        assert inside(points, at)[points.x > 1e-5].all()
    best = curves["measured, rival best"]
    assert (best.upper < points.lower)[1 - number :].all()


def test_the_mean_error_grows_to_the_gradient_and_the_printed_one_without_end():
    curves = drawn("gradient-error")
    mean, size = curves["of it the mean error"].y, curves["the gradient itself"].y
    assert mean.max() == pytest.approx(size[0], rel=0.01)
    printed = curves["mean error, printed: ∝ σ²"]
    sigma = printed.x
    np.testing.assert_allclose(printed.y / printed.y[0], (sigma / sigma[0]) ** 2)
    weak = curves["of it the mean error"].x < 3e-9
    np.testing.assert_allclose(printed.y[weak], mean[weak], rtol=0.05)


def test_the_mean_error_changes_its_sign_where_it_dips():
    """On the image that rules the mean: the one whose output is smallest."""
    from querytax.theory.finite_difference import log_ratio_bias

    own, other = measurements.probed(1e-4).outputs()
    ends = [side[..., end] for end in (0, 1) for side in (own, other)]
    before, after = (log_ratio_bias(*ends, 1e-4, s) for s in (2e-8, 5e-8))
    for found in (before, after):
        assert (found**2).sum(-1).argmax() == other.min((1, 2)).argmin()
    worst = other.min((1, 2)).argmin()
    assert (before[worst] * after[worst] < 0).all()
    mean = drawn("gradient-error")["of it the mean error"]
    near = (mean.x > 2e-8) & (mean.x < 5e-8)
    assert mean.y[near].argmin() not in (0, near.sum() - 1)


def test_the_error_falls_as_the_probe_widens():
    points = drawn("gradient-error", 1)["measured, rival fixed"]
    falls = np.diff(np.log(points.y[:3])) / np.diff(np.log(points.x[:3]))
    np.testing.assert_allclose(falls, -1.0, atol=0.02)
    assert points.y[0] > 1000
    assert points.y[-1] < 3


# -- once a run --------------------------------------------------------------------


def test_the_network_is_probed_once(monkeypatch):
    drawn("accuracy")
    calls = measurements.statistics.cache_info().misses
    drawn("accuracy"), drawn("frontier"), drawn("robustness", 2)
    assert measurements.statistics.cache_info().misses == calls == 1
