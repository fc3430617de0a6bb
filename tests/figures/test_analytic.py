"""Analytic figures: drawn from the laws, whole files, said in words."""

import csv
import importlib
import json
import os
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from scipy import interpolate, special, stats

from querytax.cli import main
from querytax.expect import DomainError
from querytax.figures import analytic, bounds, decisions, descent, intuition, ratio
from querytax.figures.style import Panel, curves_of
from querytax.papers import number
from querytax.theory import bisection, floors, repeats
from querytax.theory.contraction import mean_square
from querytax.validation import printed_curves


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every figure, drawn once, with each warning an error."""
    folder = tmp_path_factory.mktemp("figures")
    done = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = analytic.write(folder, on_done=done.append)
    assert done == list(analytic.FIGURES)
    assert sorted(p.name for p in files) == sorted(os.listdir(folder))
    return folder


def table(written, name):
    with open(written / f"{name}.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def curve(written):
    def find(name, label, panel=None):
        rows = [
            row
            for row in table(written, name)
            if row["curve"] == label and panel in (None, row["panel"])
        ]
        assert rows, f"no curve {label} in {name}"
        return np.array([(float(r["x"]), float(r["y"])) for r in rows]).T

    return find


# -- files -------------------------------------------------------------------------


@pytest.mark.parametrize("name", analytic.FIGURES)
def test_four_files_each_whole(written, name):
    picture = (written / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5000
    root = ET.parse(written / f"{name}.svg").getroot()
    assert root.tag.endswith("svg")
    # Letters are outlines, and need no font of the reader's.
    assert not root.findall(".//{http://www.w3.org/2000/svg}text")
    caption = (written / f"{name}.txt").read_text(encoding="utf-8")
    assert caption.startswith(analytic.FIGURES[name].title.split()[0])
    assert "\nSource: " in caption
    assert max(len(line) for line in caption.splitlines()) <= 79


@pytest.mark.parametrize("name", analytic.FIGURES)
def test_data_are_finite_and_have_units(written, name):
    rows = table(written, name)
    numbers = np.array([(float(r["x"]), float(r["y"])) for r in rows])
    assert len(rows) > 20
    assert np.isfinite(numbers).all()
    for quantity in {r["x_quantity"] for r in rows} | {r["y_quantity"] for r in rows}:
        assert quantity.endswith(")"), f"{quantity}: no unit"


def test_points_and_bands_keep_their_intervals(tmp_path, monkeypatch):
    def panel(ax):
        drawn = Panel(ax, "name", "x (count)", "y (count)")
        drawn.points("measured", [1, 2], [2, 4], [1, 3], [5, np.inf], like=0)
        drawn.points("bare", [1, 2], [3, 4])
        drawn.band("range", [1, 2], 3.0, 2.0, [4.0, 5.0])
        return ax

    entry = analytic.Entry((panel,), "Title.", "See.", "None.")
    monkeypatch.setitem(analytic.FIGURES, "made-up", entry)
    analytic.write(tmp_path, ["made-up"])
    ends = [(r["curve"], r["lower"], r["upper"]) for r in table(tmp_path, "made-up")]
    assert ends == [
        ("measured", "1.0", "5.0"),
        ("measured", "3.0", "inf"),
        ("bare", "", ""),
        ("bare", "", ""),
        ("range", "2.0", "4.0"),
        ("range", "2.0", "5.0"),
    ]


@pytest.mark.parametrize("name", analytic.FIGURES)
def test_each_panel_goes_on_any_axes_and_keeps_what_it_draws(name):
    for panel in analytic.FIGURES[name].panels:
        ax, other = Figure().subplots(1, 2)
        assert panel(ax) is ax
        drawn = {
            (
                np.asarray(line.get_xdata()).tobytes(),
                np.asarray(line.get_ydata()).tobytes(),
            )
            for line in ax.lines
        }
        assert curves_of(ax)
        assert all((c.x.tobytes(), c.y.tobytes()) in drawn for c in curves_of(ax))
        assert curves_of(other) == []
        # Told apart in grey: no two curves share dashes, marker and its filling.
        looks = [
            (
                str(line._unscaled_dash_pattern),
                line.get_marker(),
                line.get_markerfacecolor(),
            )
            for line in ax.lines
            if not line.get_label().startswith("_")
        ]
        assert len(set(looks)) == len(looks) > 0


def test_same_bytes_again(written, tmp_path):
    analytic.write(tmp_path, ["output-efficiency"])
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (written / path.name).read_bytes()


# -- data: the laws, recomputed by other means -------------------------------------


def test_one_ratio(curve):
    s, wrong = curve("one-ratio", "random direction", "wrong signs")
    np.testing.assert_allclose(wrong, np.arctan(1 / np.sqrt(s)) / np.pi, rtol=1e-12)
    s, wrong = curve("one-ratio", "given direction", "wrong signs")
    np.testing.assert_allclose(wrong, stats.norm.sf(np.sqrt(s)), rtol=1e-10)
    s, pairs = curve("one-ratio", "given direction", "repeats that settle a sign")
    quantile = stats.norm.ppf(ratio.ERROR)
    np.testing.assert_allclose(pairs, quantile**2 / s, rtol=1e-10)
    s, slower = curve("one-ratio", "best plain step")
    d, p = ratio.NES["dimension"], ratio.NES["pairs"]
    np.testing.assert_allclose(slower, 1 + d / ((p + d + 1) * s), rtol=1e-10)


def test_query_ratio(curve):
    s, whole = curve("query-ratio", "printed, eq. (6)")
    assert np.log10(s[-1] / s[0]) == pytest.approx(15)
    quantile, m = stats.norm.ppf(descent.REMAINING), descent.CONTRACTION
    k = quantile * np.sqrt(m / (1 - descent.REMAINING) / s)
    np.testing.assert_allclose(whole, (np.sqrt(k**2 + 4) - k) ** 2 / 4, rtol=1e-9)
    s, best = curve("query-ratio", "one mode, best step (MS)")
    weak = s < 0.1
    one = -2 * np.log1p(-m) / np.log1p(s[weak])
    np.testing.assert_allclose(best[weak], one, rtol=1e-9)
    s, kept = curve("query-ratio", "one mode, unchanged (MS)")
    assert s.min() > m / (2 - m)
    slow = 2 * np.log1p(-m) / np.log(mean_square(s, m))
    np.testing.assert_allclose(kept, slow, rtol=1e-12)
    s, typical = curve("query-ratio", "one mode, typical run")
    limit = np.log1p(-m) / -0.245357064226880781
    assert typical[0] == pytest.approx(limit, rel=1e-5)


def test_query_ratio_of_the_papers_models(curve):
    """What Fig. 3(a) shows at 0.01, and what the mean square of the change gives."""
    share = ratio.NES["dimension"] / (ratio.NES["dimension"] + ratio.NES["pairs"] + 1)
    for model, value in {"MNIST": 8.746e6, "IMAGENET": 8.746e10}.items():
        sigma, whole = curve("query-ratio", f"{model}, printed")
        at = np.argmin(np.abs(sigma - 0.01))
        assert whole[at] == pytest.approx(value, rel=1e-3)
        sigma, whole = curve("query-ratio", f"{model}, NES")
        square = ratio.MODELS[model].change ** 2 + ratio.MODELS[model].spread ** 2
        one = 1 + share * 2 * sigma[at] ** 2 / square
        assert whole[at] == pytest.approx(one, rel=1e-10)


def test_output_efficiency(curve):
    t, share = curve("output-efficiency", "reflected, mean of ln |F + v|")
    assert share[0] == pytest.approx(8 * t[0] ** 2 / np.pi**2, rel=1e-3)
    t, share = curve("output-efficiency", "clipped at 0, best reading")
    phi, cdf = stats.norm.pdf(t), stats.norm.cdf
    np.testing.assert_allclose(share, cdf(t) - t * phi + phi**2 / cdf(-t), rtol=1e-9)


def test_snr_senses(curve):
    level, _, change, _ = ratio.MODELS["IMAGENET"]
    panel = f"IMAGENET: F = {level:g}, ΔF = {change:g}"
    sigma, decibels = curve("snr-senses", "decision, raw outputs", panel)
    exact = 10 * np.log10(change**2 / (2 * sigma**2))
    np.testing.assert_allclose(decibels, exact, rtol=1e-10)
    _, flat = curve("snr-senses", "as defined, reflected outputs", panel)
    assert flat[-1] == pytest.approx(-79.49, abs=0.05)
    _, read = curve("snr-senses", "effective, mean log of reflected", panel)
    fallen = 10 * np.log10(4 / np.pi**2 * level**2 * change**2 / sigma[-1] ** 4)
    assert read[-1] == pytest.approx(fallen, abs=0.01)


@pytest.mark.parametrize("model", ratio.MODELS)
def test_settings_are_the_papers_table(model):
    row = {"model": "IMAGENET (InceptionV3)" if model == "IMAGENET" else model}
    paper = "aithal-li-2022", "table-1"
    columns = ("mean_f_t", "beta", "mean_delta_f_t", "std_delta_f_t")
    table_1 = tuple(number(*paper, column, **row) for column in columns)
    assert ratio.MODELS[model] == table_1


def test_repeats(curve):
    sigma, true = curve("repeats", "MNIST, true")
    assert np.interp(1e-4, sigma, true) == pytest.approx(34340, rel=5e-3)
    sigma, wrong = curve("repeats", "MNIST, printed")
    assert sigma.max() < 4e-4 * np.sqrt(1e-3 / 2)
    spot = np.argsort(sigma)
    value = np.interp(5e-6, sigma[spot], wrong[spot])
    assert value == pytest.approx(181.9, rel=1e-2)


def test_noise_ratio(curve):
    x, exact = curve("noise-ratio", "exact", "factor, σ/F = 0.1")
    assert np.trapezoid(exact, x) == pytest.approx(1, abs=1e-6)
    x, wrong = curve("noise-ratio", "printed, eq. (17)", "factor, σ/F = 1")
    assert np.trapezoid(wrong, x) == pytest.approx(0.5, abs=0.01)
    z, exact = curve("noise-ratio", "exact", "ratio, σ/F = 1")
    draws = np.random.default_rng(0).standard_normal((2, 400_000)) + 1
    counts, _ = np.histogram(draws[0] / draws[1], [z[100], z[140]])
    held = np.trapezoid(exact[100:141], z[100:141])
    assert counts[0] / 400_000 == pytest.approx(held, abs=5 * 0.5 / 632)


def test_misclassification(curve):
    for rate in decisions.RATES:
        lead, two = curve("misclassification", f"{100 * rate:g} %, two classes")
        parabola = lead**2 / (2 * stats.norm.ppf(rate) ** 2)
        np.testing.assert_allclose(two, parabola, rtol=1e-10)
        _, many = curve("misclassification", f"{100 * rate:g} %, 10 classes")
        assert (many[1:] < two[1:]).all()
    noise = np.random.default_rng(0).normal(0, np.sqrt(many[50]), (200_000, 10))
    noise[:, 0] += lead[50]
    changed = (noise.argmax(axis=1) != 0).mean()
    assert changed == pytest.approx(decisions.RATES[-1], abs=5 * 1.6e-4)


def test_relu_bias(curve):
    m, bias = curve("bias", "ReLU, s = 0.5", "bias of the mean")
    mean = m * special.ndtr(m / 0.5) + 0.5 * stats.norm.pdf(m / 0.5)
    np.testing.assert_allclose(bias, mean - np.maximum(m, 0), atol=1e-14)


def test_quadratic_bias(curve):
    d = bounds.PIXELS
    sigma, bias = curve("bias", "bias, at every x")
    np.testing.assert_allclose(bias, d * sigma**2, rtol=1e-12)
    _, origin = curve("bias", "std, x = 0")
    np.testing.assert_allclose(origin, sigma**2 * np.sqrt(2 * d), rtol=1e-12)
    _, spread = curve("bias", "std, uniform pixels")
    variance = 2 * d * sigma**4 + 4 * sigma**2 * d / 3
    np.testing.assert_allclose(spread, np.sqrt(variance), rtol=1e-12)


def test_output_snr(curve):
    for model, quoted in ratio.QUOTED.items():
        level, _, change, spread = ratio.MODELS[model]
        panel = f"{model}: F = {level:g}"
        sigma, square = curve("output-snr", "pair, mean square change", panel)
        power = (change**2 + spread**2) / (2 * sigma**2)
        np.testing.assert_allclose(square, 10 * np.log10(power), atol=1e-9)
        _, printed = curve("output-snr", "pair, printed, eq. (5)", panel)
        # Off by a factor of two that (5) has, and its F1²/(F1² + F2²).
        at = np.argmin(np.abs(sigma - ratio.QUOTED_AT))
        assert 2.0 < quoted - printed[at] < 3.1
        _, folded = curve("output-snr", "the same, mean log of reflected", panel)
        fallen = power[-1] * 8 / np.pi**2 * (level / sigma[-1]) ** 2
        assert folded[-1] == pytest.approx(10 * np.log10(fallen), abs=0.01)


def test_quoted_numbers_are_the_papers():
    paper = "aithal-li-2022", "text", "printed"
    for model, quoted in ratio.QUOTED.items():
        assert number(*paper, quantity=f"gradient SNR, {model}") == quoted
    at = number(*paper, quantity="noise at which the SNRs are quoted")
    assert at == ratio.QUOTED_AT
    for sigma, share in intuition.CHANGED.items():
        row = {"attack": "none", "sigma": f"{sigma:g}"}
        assert number("snd-2022", "table-4", "p_mis", **row) == share
    paper = "snd-2022", "table-1"
    for dataset, table in intuition.LOST.items():
        row = {"dataset": dataset, "defense": "Baseline"}
        clean = number(*paper, "clean_accuracy_percent", **row)
        for sigma, lost in table.items():
            row = {"dataset": dataset, "defense": "SND", "sigma": f"{sigma:g}"}
            columns = ("clean_accuracy_percent", "clean_accuracy_std_percent")
            noisy, spread = (number(*paper, column, **row) for column in columns)
            assert lost == pytest.approx(((clean - noisy) / 100, spread / 100))


def test_wrong_sign(curve):
    """Against the exact sign of two raw outputs, where none of them is negative."""
    a, exact = curve("wrong-sign", "exact, σ = 0.001", "F = 0.1")
    raw = stats.norm.cdf(-0.2 * np.sinh(5e-4 * a) / (np.sqrt(2) * 1e-3))
    np.testing.assert_allclose(exact, raw, atol=1e-9)
    _, wrong = curve("wrong-sign", "printed, σ = 0.001", "F = 0.1")
    at = np.argmin(np.abs(a - 1))
    assert wrong[at] == pytest.approx(0.52820, abs=1e-5)
    at = np.argmin(np.abs(a - 10))
    assert wrong[at] == pytest.approx(0.7614, abs=2e-4)


def test_small_noise(curve):
    noise = "noise of a loss 0.01"
    probe, error = curve("small-noise", noise, "a slope read from two noisy losses")
    bias = np.sin(probe) / probe - 1
    exact = np.hypot(bias, 0.01 / (np.sqrt(2) * probe))
    np.testing.assert_allclose(error, exact, rtol=0.06)
    np.testing.assert_allclose(error[:40], exact[:40], rtol=1e-3)
    sigma, changed = curve("small-noise", "labels changed, as σ")
    np.testing.assert_allclose(changed, 2.1 * sigma, rtol=1e-12)
    sigma, lost = curve("small-noise", "accuracy lost, CIFAR-10, as σ²")
    np.testing.assert_allclose(lost, 77 * sigma**2, rtol=1e-12)


def test_bisection(curve):
    halvings, error = curve("bisection", "1 label a halving", "by halvings")
    assert error[-1] / decisions.RAY == pytest.approx(0.69, abs=0.01)
    places = 0.3 + 0.4 * (np.arange(16) + 0.5) / 16
    one = [bisection.rmse(place, decisions.RAY, int(halvings[4])) for place in places]
    assert error[4] == pytest.approx(np.sqrt(np.mean(np.square(one))), rel=1e-12)
    labels, least = curve("bisection", "bound by information")
    bound = decisions.RAY * np.sqrt(np.pi / (2 * labels))
    np.testing.assert_allclose(least, bound, rtol=1e-12)


def test_rnd_bounds(curve):
    d, steep, mu = descent.DIMENSION, descent.LIPSCHITZ, descent.PROBE
    alpha, exact = curve("rnd-bounds", "linear loss, exact", "size of one estimate")
    np.testing.assert_allclose(exact, steep**2 * (d + 2 + 2 * alpha**2 * d), rtol=1e-9)
    _, tight = curve("rnd-bounds", "tight", "what a step may lose")
    ratio_ = 0.5 * np.sqrt(2 / np.pi) * (d + 2 + 2 * alpha**2) / np.sqrt(1 + alpha**2)
    np.testing.assert_allclose(tight, steep**3 * d * ratio_ / mu, rtol=1e-9)
    assert alpha[np.argmin(tight)] == pytest.approx(np.sqrt(d / 2 - 1), rel=0.05)
    m, wrong = curve("rnd-bounds", "printed", "after averaging")
    _, sharp = curve("rnd-bounds", "tight, smooth loss", "after averaging")
    assert wrong[0] / sharp[0] == pytest.approx(1828, rel=2e-3)
    assert np.interp(10, m, wrong / sharp) == pytest.approx(512, rel=2e-2)


def test_floors(curve):
    sigma, any_ = curve("floors", "two models told apart, any attacker")
    change, e = ratio.MODELS["CIFAR10"].change, ratio.ERROR
    divergence = (1 - 2 * e) * np.log((1 - e) / e)
    exact = 2 * sigma**2 * divergence / change**2
    np.testing.assert_allclose(any_, exact, rtol=1e-10)
    sigma, signs = curve("floors", "75 % of a gradient's signs")
    law = floors.gradient_signs(sigma=sigma, error=bounds.SIGN_SHARE, **bounds.ATTACK)
    np.testing.assert_allclose(signs, law, rtol=1e-12)


def test_price(curve):
    """Against two normals: the sign before the noise, and after."""
    mean, spread = decisions.MARGINS
    sigma, lost = curve("price", "accuracy lost, exact")
    clean, noisy = stats.norm.cdf([mean / spread, mean / np.hypot(spread, sigma[30])])
    assert lost[30] == pytest.approx(clean - noisy, rel=1e-5)


# -- simulated points --------------------------------------------------------------


def law_at(rows, simulated):
    """What the curve of a simulated point says there."""
    of = simulated["curve"].removesuffix(", simulated")
    if of == "given, Wald's test":
        return float(repeats.walds_pairs(float(simulated["x"]), ratio.ERROR))
    same = [r for r in rows if r["panel"] == simulated["panel"]]
    x, y = np.array(
        [(float(r["x"]), float(r["y"])) for r in same if r["curve"] == of]
    ).T
    at = float(simulated["x"])
    if "density" not in simulated["y_quantity"]:
        order = np.argsort(x)
        return np.interp(at, x[order], y[order])
    # A bin holds the mean of its density.
    width = np.diff([float(r["x"]) for r in same if r["curve"] == simulated["curve"]])
    fine = at + width.min() * np.linspace(-0.5, 0.5, 101)
    return interpolate.CubicSpline(x, y)(fine).mean()


@pytest.mark.parametrize("name", analytic.FIGURES)
def test_simulated_points_lie_on_their_curves(written, name):
    """Less than one interval in twenty misses: each holds at every sample size."""
    rows = table(written, name)
    points = [row for row in rows if row["curve"].endswith(", simulated")]
    assert bool(points) == ("rosses" in analytic.FIGURES[name].see)
    held = [float(p["lower"]) <= law_at(rows, p) <= float(p["upper"]) for p in points]
    assert held.count(False) <= 0.05 * len(held)


def test_printed_density_is_half_of_one():
    x = np.linspace(-12, 3, 40_001)
    for centre, mass in ((0.0, 0.5), (1.0, 1.0)):
        found = printed_curves.factor_density(x, 0.1, 0.1, 0.01, 1.0, centre)
        assert np.trapezoid(found, x) == pytest.approx(mass, abs=1e-4)


# -- names, paths and the shell ----------------------------------------------------


def test_an_unknown_name_is_answered_with_near_ones(tmp_path):
    with pytest.raises(DomainError, match="did you mean 'query-ratio'"):
        analytic.draw("query-ratios")
    with pytest.raises(DomainError, match="did you mean 'floors'"):
        analytic.write(tmp_path / "new", ["price", "floor"])
    assert not (tmp_path / "new").exists()


def shell(*words):
    return CliRunner().invoke(main, ["figures", *words])


def test_one_figure_from_the_shell(written, tmp_path):
    out = shell("-o", str(tmp_path / "a" / "b"), "floors", "floors")
    assert out.exit_code == 0, out.output
    names = [f"floors.{suffix}" for suffix in ("svg", "png", "csv", "txt")]
    assert [os.path.basename(line) for line in out.output.split()] == names
    assert sorted(os.listdir(tmp_path / "a" / "b")) == sorted(names)
    again = shell("-o", str(tmp_path / "a" / "b"), "floors", "--json")
    assert [os.path.basename(path) for path in json.loads(again.output)] == names


def test_the_list():
    lines = shell("--list").output.splitlines()
    assert max(map(len, lines)) < 80
    names = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert names == list(analytic.FIGURES)
    listed = " ".join(" ".join(lines).split())
    assert all(figure.title in listed for figure in analytic.FIGURES.values())
    rows = json.loads(shell("--list", "--json", "price").output)
    assert [row["name"] for row in rows] == ["price"]
    assert rows[0]["source"] == analytic.FIGURES["price"].source


def test_the_list_names_functions_that_can_be_imported():
    for row in json.loads(shell("--list", "--json").output):
        panels = analytic.FIGURES[row["name"]].panels
        assert len(row["panels"]) == len(panels)
        for name, panel in zip(row["panels"], panels, strict=True):
            module, _, function = name.rpartition(".")
            found = getattr(importlib.import_module(module), function)
            assert found is getattr(panel, "func", panel)


def test_a_reader_may_close_the_list_early():
    code = "from querytax.cli import main; main(['figures', '--list'])"
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"one-ratio")
        process.stdout.close()
        assert process.wait() == 0


def test_titles_of_panels_begin_alike():
    """In lower case, but for names and symbols."""
    names = ("CIFAR10", "IMAGENET", "MNIST", "F =")
    for entry in analytic.FIGURES.values():
        for panel in entry.panels:
            title = panel(Figure().subplots()).get_title(loc="left")
            assert not title[:1].isupper() or title.startswith(names), title


def test_the_package_gives_what_draws_figures():
    from querytax import figures

    for name in figures.__all__:
        assert getattr(figures, name) is not None
    assert figures.FIGURES is analytic.FIGURES
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        figures.nonsense  # noqa: B018


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["price"], "expected a folder, -o DIR"),
        (["-o", "{}", "prize"], "did you mean 'price'"),
        (["-o", "{}/file/below", "price"], "expected a folder to write to"),
        (["-o", "{}/file", "price"], "expected a folder to write to"),
    ],
)
def test_bad_input_is_one_line(words, message, tmp_path):
    (tmp_path / "file").write_text("")
    out = shell(*(word.format(tmp_path) for word in words))
    assert out.exit_code == 2
    assert out.output.startswith("error: ")
    assert message in out.output
    assert out.output.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]
