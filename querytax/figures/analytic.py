"""Every analytic figure by name, with its caption, its files and its data."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from querytax import expect
from querytax.expect import DomainError
from querytax.figures import bounds, decisions, descent, intuition, ratio
from querytax.figures.entry import Entry
from querytax.figures.measured import MEASURED
from querytax.figures.simulated import DRAWS, SEED, note
from querytax.figures.style import Curve, curves_of, styled
from querytax.files import atomic_write

__all__ = ["FIGURES", "Entry", "draw", "write"]


_NES = f"d = {ratio.NES['dimension']}, {ratio.NES['pairs']} pairs a step"

FIGURES: dict[str, Entry] = {
    "one-ratio": Entry(
        (
            ratio.wrong_signs,
            ratio.settling_repeats,
            ratio.nes_query_ratio,
            ratio.nes_aim,
        ),
        "Every consequence of one signal-to-noise ratio.",
        "Wrong signs, repeats, query ratio and aim of the estimate are functions of S "
        "alone. Below S = 1 each tenfold loss of S costs the best plain step ten times "
        "the queries, but steps of a fixed length only the root of that. The dotted "
        f"line is one pair. Query ratios for {_NES}. {note()} Those among the "
        "repeats are of Wald's test, at its mean number of pairs.",
        "RFD 2024, Theorem 1 (R = 1/S); Aithal & Li 2022, Theorem 4; laws misstep, "
        "repeats and query_ratio.",
        (8.2, 6.6),
        (2, 2),
    ),
    "query-ratio": Entry(
        (descent.query_ratio_over_snr, descent.query_ratio_over_noise),
        "The printed query ratio against what attackers achieve.",
        "Left: eq. (6) can hold in the shaded range, up to a ratio of about 5. Below "
        "it the best NES step needs 1/S times the queries; that the print lies near is "
        "an accident of its settings, for it rises with the unrelated aλ and with the "
        "square of the quantile. Its own model, the step tuned for the typical run, "
        "keeps its speed at any noise, since noise that multiplies a distance vanishes "
        "with it; a ratio below 1 is a tuned step that is faster than the unchanged "
        "one without noise. Unchanged, the step diverges in the mean square (MS) where "
        "its curve ends, and surely left of the dotted line. Right: printed from the "
        "mean change of the output; what counts is its mean square, and then the same "
        f"models need far fewer. m = {descent.CONTRACTION:g}, "
        f"η/v0 = ε = {descent.REMAINING:g}; NES with {_NES}, raw outputs. {note()}",
        "Aithal & Li 2022, Theorem 2, Fig. 3(a); laws query_ratio, contraction, snr.",
        (9.8, 4.6),
    ),
    "output-efficiency": Entry(
        (ratio.output_efficiency,),
        "What reflected and clipped outputs leave of the signal-to-noise ratio.",
        "Clipping at 0 costs an attacker at most a fifth. Reflection costs without "
        "end as the output sinks into the noise, as (F/σ)²: outputs below the noise "
        "are protected, those above it are not. An attacker who averages logarithms "
        "pays up to 2.5 times more than needed, and pays even where F is above σ.",
        "Aithal & Li 2022, Section IV-B (practical noise); law "
        "efficiency.fisher_efficiency.",
    ),
    "snr-senses": Entry(
        tuple(partial(ratio.snr_senses, model=m) for m in ("CIFAR10", "IMAGENET")),
        "Quantities that go by the name of signal-to-noise ratio.",
        "While σ is far below F all agree. Beyond σ = F the ratio as the paper defines "
        "it stops falling, since the logarithm compresses the noise; what decides how "
        "many queries an attacker of reflected outputs needs falls twice as fast in dB "
        "as for raw outputs. Only the decision ratio of what is released counts "
        f"queries. {note()}",
        "Aithal & Li 2022, Lemma 1, eq. (5), Table 1, Fig. 2(b); laws log_ratio and "
        "snr.output.",
        (8.6, 4.4),
        legend=4,
    ),
    "output-snr": Entry(
        tuple(partial(ratio.output_snr, model=model) for model in ratio.MODELS),
        "The SNR of an output, and of what an attacker reads from a pair of them.",
        "The output of a sure class stays far above the noise, the mean output does "
        "not. The printed SNR of a pair takes the mean change of the output, and the "
        "quoted values lie 2 to 3 dB above it; what counts is the mean square change, "
        "which gives 13 to 26 dB more. Once outputs are reflected, an attacker who "
        "averages logarithms loses twice as many decibels beyond σ = F.",
        "Aithal & Li 2022, Lemma 1, eq. (5), Table 1, Section IV-A, Fig. 2(b); law "
        "snr.output.",
        (10.2, 4.6),
        legend=3,
    ),
    "wrong-sign": Entry(
        tuple(partial(ratio.wrong_multiplier, output=level) for level in (0.1, 0.01)),
        "The chance that noise turns the sign of a positive factor.",
        "As printed, with the exponent's sign wrong, it lies above a half and rises "
        "with the true factor: the noise would help. In truth it never exceeds a half; "
        "at σ = 1e-3 it is near a half for small factors alone. β = 1e-3; of pairs "
        f"whose noisy outputs have one sign. {note()}",
        "Aithal & Li 2022, Remark 2, Fig. 6; law ratio.multiplier_distribution.",
        (8.6, 4.6),
        legend=4,
    ),
    "repeats": Entry(
        (decisions.repeats,),
        "Repeats that settle a sign: printed, and true.",
        "The printed count runs to infinity at σ = F √(aβ/2) (dotted), because its "
        "estimate carries a spurious correction; beyond it the print is meaningless. "
        "The sign of the mean difference needs a number that rises as σ², at any "
        "noise: some tens of thousands of pairs for MNIST at σ = 1e-4, where the "
        "paper finds no realistic number. Counts below one pair mean that one "
        "suffices. a = 1, ε = 0.3. Crosses were found by simulating sums of ever more "
        f"pairs (seed {SEED}, at most {DRAWS:,} sums of each count): the bars end at "
        "the last count seen to be too small and the first seen to do.",
        "Aithal & Li 2022, Theorem 4, eq. (8), Fig. 3(b); law repeats.fixed.",
        legend=4,
    ),
    "noise-ratio": Entry(
        tuple(
            partial(panel, relative=noise)
            for panel in (ratio.noise_ratio, ratio.noise_factor)
            for noise in (0.1, 0.3, 1.0)
        ),
        "The noisy ratio and its logarithm: printed laws against the exact.",
        "Above, the ratio of two noisy outputs: the printed normal law fits the middle "
        "while σ is a tenth of F; the exact law is skewed, with tails so heavy that no "
        "mean exists. Below, what an attack reads from it: eq. (17) as printed lacks a "
        "-1, peaks at the wrong place, and holds half of the probability; restored, it "
        f"fits weak noise alone. F1 = F2. {note()} They count draws in bins.",
        "Aithal & Li 2022, Theorem 1, eqs. (4), (17); laws ratio.density and "
        "ratio.multiplier_density.",
        (8.6, 5.6),
        (2, 3),
        legend=5,
    ),
    "misclassification": Entry(
        (decisions.misclassification,),
        "The variance of output noise that a confidence allows.",
        "For two classes a parabola, not a line: half the lead allows a quarter of the "
        "variance. Among ten classes, nine of them alike, the same rate allows "
        "less, since any of the nine may win.",
        "Output Randomization 2020, Section 4.1, eq. (11), Fig. 1(b); laws "
        "accuracy.two_class_sigma and accuracy.largest_sigma.",
    ),
    "bias": Entry(
        (bounds.relu_mean, bounds.relu_bias, bounds.quadratic_bias),
        "What noise adds to the mean of an answer, and what of it misleads.",
        "Left and middle, a ReLU: the bias is largest at the kink, 0.4 s, and gone "
        "three deviations from it, so that averaged answers differ from noiseless ones "
        "only where a unit is about to switch; s = |w| σ is the noise on the unit's "
        "input. Right, the paper's other example: the bias of ‖x‖² can exceed the "
        "loss's scatter, but it is the same at every x. It cancels from every "
        "difference and from the gradient, which averaged answers then show without "
        f"any bias. d = {bounds.PIXELS:,}. {note()} On the right 100 suffice.",
        "SND 2022, Section 3.4, examples 1 and 2, eqs. (5) to (9); laws "
        "bias.relu_mean, relu_bias and gelu_bias, smoothing.quadratic_gap and "
        "quadratic_spread.",
        (10.2, 3.8),
    ),
    "small-noise": Entry(
        (intuition.slope_error, intuition.clean_answers),
        "Small noise drowns small probes, and leaves most answers alone.",
        "Left, a slope read over a probe β errs by noise over β: noise of a hundredth "
        "drowns it at a probe of a hundredth, but a wider probe, up to where the loss "
        "bends, reads it to a few percent. Right, printed shares: ten times the noise "
        "changes ten times the labels but costs up to a hundred times the accuracy, "
        "since flips of right and wrong answers cancel at first order. The laws are "
        "fixed at σ = 0.01 and tested at the other points: labels hold within their "
        "rounding, accuracy at twice the noise within a fifth. Bars are that rounding, "
        f"and one printed standard deviation of the accuracy. {note()}",
        "SND 2022, Fig. 1, Section 4.5, Tables 1 and 4; laws finite_difference and "
        "boundary.flip_rate, net_loss.",
        (8.6, 4.2),
    ),
    "bisection": Entry(
        (decisions.bisection_by_halvings, decisions.bisection_by_labels),
        "Bisection for the boundary on noisy labels, with and without votes.",
        "After about log2(1/σ) halvings the error stays at 0.7 σ, whatever is spent. "
        "Votes lower the floor, at their price in labels; even the best use of "
        "many labels stays more than twice above what their information allows an "
        f"unbiased search. σ = {decisions.RAY:g} of the first interval; the root mean "
        "square is over noise and over places of the boundary in its middle. "
        f"{note(decisions.SEARCHES)}",
        "SND 2022, Sections 3.2 and 4.6; RFD 2024, Section 3.4; laws bisection.rmse "
        "and bisection.information_rmse.",
        (8.2, 4.0),
        legend=5,
    ),
    "rnd-bounds": Entry(
        (descent.estimate_size, descent.descent_loss, descent.averaged_size),
        "RND's bounds: printed, tight, and what a linear loss does.",
        "Left, the printed bound on one estimate has d times too much noise. Middle, "
        "the tight coefficient of descent falls with α as long as smoothing gains more "
        "than noise costs (its least is dotted), where the printed one rises. Right, "
        "at α = 2, averaging takes all of the noise out of the tight bound, while of "
        "the printed one's limit more than half is noise; tight there uses that the "
        "loss is smooth, and lies far below the bound on the left, which does not. "
        f"d = {descent.DIMENSION}, L0 = {descent.LIPSCHITZ:g}, "
        f"L1 = {descent.SMOOTHNESS:g}, μ = {descent.PROBE:g} (pixels in [0, 1]). "
        f"{note(descent.ESTIMATES)}",
        "RND 2021, Theorems 1 and 2, eq. (14); laws second_moment and stationarity.",
        (10.2, 3.8),
    ),
    "floors": Entry(
        (bounds.least_queries, bounds.explained_share),
        "What no attacker can beat, whatever it does.",
        "Left, least queries, each as σ² until one is enough: for a reliable sign, for "
        "any attacker to tell two models apart, and for most signs of a gradient. A "
        "test that stops when it is sure comes close to the floor. Right, the largest "
        "share of a gradient that queries can explain. Signs and models: ΔF = "
        f"{ratio.MODELS['CIFAR10'].change:g}, ε = {ratio.ERROR:g}; gradients: "
        f"d = {bounds.ATTACK['dimension']}, norm "
        f"{bounds.ATTACK['gradient_norm']:g} per unit of distance, queries within the "
        "ball around a budget of 8/255.",
        "Derived here; the gap is that of Aithal & Li 2022, Table 1, CIFAR10; laws "
        "floors and repeats.walds_pairs.",
        (8.6, 4.2),
    ),
    "price": Entry(
        (decisions.price,),
        "What noise does to answers, and what it costs.",
        "The share of changed answers rises as σ; the accuracy lost only as σ², since "
        "right answers spoilt and wrong ones mended cancel at first order. Both laws "
        "hold while σ is small against the spread of the margins: normal, "
        f"mean {decisions.MARGINS[0]:g}, standard deviation {decisions.MARGINS[1]:g}. "
        f"{note()}",
        "SND 2022, Section 4.5 and Table 4; RFD 2024, eq. (14); laws "
        "boundary.flip, boundary.flip_rate and boundary.net_loss.",
    ),
    **MEASURED,
}


def draw(name: str) -> tuple[Any, list[Curve]]:
    """A figure, and the curves in it.

    Parameters
    ----------
    name : str
        A key of ``FIGURES``.

    Returns
    -------
    figure : matplotlib.figure.Figure
    curves : list of Curve

    Raises
    ------
    DomainError
        If no figure has that name.
    """
    entry = FIGURES[expect.one_of(FIGURES, figure=name)]
    # The object interface: no window system, no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=entry.size, layout="constrained")
        FigureCanvasAgg(figure)
        shape = entry.shape or (1, len(entry.panels))
        grid = figure.subplots(*shape, squeeze=False).flat
        for panel, ax in zip(entry.panels, grid, strict=True):
            panel(ax)
        if entry.legend:
            _legend_below(figure, entry.legend)
        return figure, [curve for ax in figure.axes for curve in curves_of(ax)]


def _legend_below(figure: Any, columns: int) -> None:
    """One legend of all panels: each label once, those of one colour together."""
    named = {
        label: handle
        for ax in figure.axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    colours = [_colour(handle) for handle in named.values()]
    entries = zip(colours, named.values(), named.keys(), strict=True)
    _, handles, labels = zip(
        *sorted(entries, key=lambda entry: colours.index(entry[0])), strict=True
    )
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def _colour(handle: Any) -> str:
    """Of a line, of points with bars, or of the edge of an area."""
    from matplotlib.colors import to_hex

    first = handle[0] if isinstance(handle, tuple) else handle
    line = hasattr(first, "get_color")
    return to_hex(first.get_color() if line else first.get_edgecolor())


def write(
    folder: str | os.PathLike[str],
    names: Sequence[str] = (),
    on_done: Callable[[str], None] = lambda name: None,
) -> list[Path]:
    """Write figures as SVG and PNG, with captions and data beside them.

    Parameters
    ----------
    folder : path
        Where; made if absent.
    names : sequence of str
        Which; all by default.
    on_done : callable
        Called with each name once its files are written.

    Returns
    -------
    list of Path
        The written files, four a figure.

    Raises
    ------
    DomainError
        If a name is not known, or the folder cannot be written.
    """
    for name in names:
        expect.one_of(FIGURES, figure=name)
    where = Path(folder)
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DomainError(
            f"expected a folder to write to, got {os.fspath(folder)!r}: "
            f"{error.strerror}"
        ) from None
    files = []
    for name in dict.fromkeys(names or FIGURES):
        figure, curves = draw(name)
        contents = {
            "svg": _image(figure, "svg"),
            "png": _image(figure, "png"),
            "csv": _table(curves).encode(),
            "txt": FIGURES[name].caption().encode(),
        }
        for suffix, content in contents.items():
            path = where / f"{name}.{suffix}"
            with atomic_write(path) as stream:
                stream.write(content)
            files.append(path)
        on_done(name)
    return files


def _image(figure: Any, form: str) -> bytes:
    """The same bytes for the same figure: no date."""
    stream = io.BytesIO()
    with styled():
        metadata = {"Date": None} if form == "svg" else None
        figure.savefig(stream, format=form, dpi=150, metadata=metadata)
    return stream.getvalue()


def _table(curves: Sequence[Curve]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ["panel", "curve", "x_quantity", "x", "y_quantity", "y", "lower", "upper"]
    writer.writerow(names)
    for c in curves:
        none = [""] * c.x.size
        ends = [none if v is None else v.tolist() for v in (c.lower, c.upper)]
        for x, y, *interval in zip(c.x.tolist(), c.y.tolist(), *ends, strict=True):
            row = [c.panel, c.label, c.x_quantity, x, c.y_quantity, y, *interval]
            writer.writerow(row)
    return text.getvalue()
