"""Every analytic figure by name, with its caption, its files and its data."""

from __future__ import annotations

import csv
import io
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from querytax import expect
from querytax.expect import DomainError
from querytax.figures import bounds, decisions, descent, ratio
from querytax.figures.style import Curve, styled
from querytax.statistics import atomic_write

__all__ = ["FIGURES", "Analytic", "draw", "write"]


@dataclass(frozen=True)
class Analytic:
    """One figure.

    Attributes
    ----------
    draw : callable
        Draws on an empty matplotlib figure, and returns what it drew.
    title : str
        What it shows, in a line.
    see : str
        What to see in it.
    source : str
        The statements that it draws, or holds against each other.
    size : tuple of float
        Width and height, inches.
    """

    draw: Callable[[Any], list[Curve]]
    title: str
    see: str
    source: str
    size: tuple[float, float] = (6.4, 4.4)

    def caption(self) -> str:
        """The caption, in lines of text."""
        parts = [self.title, self.see, f"Source: {self.source}"]
        return "\n\n".join(textwrap.fill(part, 79) for part in parts) + "\n"


_NES = f"d = {ratio.NES['dimension']}, {ratio.NES['pairs']} pairs a step"

FIGURES: dict[str, Analytic] = {
    "one-ratio": Analytic(
        ratio.one_ratio,
        "Every consequence of one signal-to-noise ratio.",
        "Wrong signs, repeats, query ratio and aim of the estimate are functions of S "
        "alone. Below S = 1 each tenfold loss of S costs the best plain step ten times "
        "the queries, but steps of a fixed length only the root of that. The dotted "
        f"line is one pair. Query ratios for {_NES}.",
        "RFD 2024, Theorem 1 (R = 1/S); Aithal & Li 2022, Theorem 4; laws misstep, "
        "repeats and query_ratio.",
        (8.2, 6.6),
    ),
    "query-ratio": Analytic(
        descent.query_ratios,
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
        f"η/v0 = ε = {descent.REMAINING:g}; NES with {_NES}, raw outputs.",
        "Aithal & Li 2022, Theorem 2, Fig. 3(a); laws query_ratio, contraction, snr.",
        (9.8, 4.6),
    ),
    "output-efficiency": Analytic(
        ratio.output_efficiency,
        "What reflected and clipped outputs leave of the signal-to-noise ratio.",
        "Clipping at 0 costs an attacker at most a fifth. Reflection costs without "
        "end as the output sinks into the noise, as (F/σ)²: outputs below the noise "
        "are protected, those above it are not. An attacker who averages logarithms "
        "pays up to 2.5 times more than needed, and pays even where F is above σ.",
        "Aithal & Li 2022, Section IV-B (practical noise); law snr.fisher_efficiency.",
    ),
    "snr-senses": Analytic(
        ratio.snr_senses,
        "Quantities that go by the name of signal-to-noise ratio.",
        "While σ is far below F all agree. Beyond σ = F the ratio as the paper defines "
        "it stops falling, since the logarithm compresses the noise; what decides how "
        "many queries an attacker of reflected outputs needs falls twice as fast in dB "
        "as for raw outputs. Only the decision ratio of what is released counts "
        "queries.",
        "Aithal & Li 2022, Lemma 1, eq. (5), Table 1, Fig. 2(b); laws log_ratio and "
        "snr.output.",
        (8.6, 4.4),
    ),
    "repeats": Analytic(
        decisions.repeats,
        "Repeats that settle a sign: printed, and true.",
        "The printed count runs to infinity at σ = F √(aβ/2) (dotted), because its "
        "estimate carries a spurious correction; beyond it the print is meaningless. "
        "The sign of the mean difference needs a number that rises as σ², at any "
        "noise: some tens of thousands of pairs for MNIST at σ = 1e-4, where the "
        "paper finds no realistic number. Counts below one pair mean that one "
        "suffices. a = 1, ε = 0.3.",
        "Aithal & Li 2022, Theorem 4, eq. (8), Fig. 3(b); law repeats.fixed.",
    ),
    "noise-ratio": Analytic(
        ratio.noise_ratio,
        "The noisy ratio and its logarithm: printed laws against the exact.",
        "Above, the ratio of two noisy outputs: the printed normal law fits the middle "
        "while σ is a tenth of F; the exact law is skewed, with tails so heavy that no "
        "mean exists. Below, what an attack reads from it: eq. (17) as printed lacks a "
        "-1, peaks at the wrong place, and holds half of the probability; restored, it "
        "fits weak noise alone. F1 = F2.",
        "Aithal & Li 2022, Theorem 1, eqs. (4), (17); laws ratio.density and "
        "ratio.multiplier_density.",
        (8.6, 5.6),
    ),
    "misclassification": Analytic(
        decisions.misclassification,
        "The variance of output noise that a confidence allows.",
        "For two classes a parabola, not a line: half the lead allows a quarter of the "
        "variance. Among ten classes, nine of them alike, the same rate allows "
        "less, since any of the nine may win.",
        "Output Randomization 2020, Section 4.1, eq. (11), Fig. 1(b); laws "
        "accuracy.two_class_sigma and accuracy.largest_sigma.",
    ),
    "relu-bias": Analytic(
        bounds.relu_bias,
        "What noise adds to the mean of a ReLU, and of a GELU.",
        "The bias is largest at the kink, 0.4 s, and gone three deviations from it: "
        "averaged answers differ from noiseless ones only where a unit is about to "
        "switch. s = |w| σ is the noise on the unit's input.",
        "SND 2022, Section 3.4, example 2, eqs. (5) to (9); laws bias.relu_mean, "
        "relu_bias and gelu_bias.",
        (8.2, 3.8),
    ),
    "bisection": Analytic(
        decisions.bisections,
        "Bisection for the boundary on noisy labels, with and without votes.",
        "After about log2(1/σ) halvings the error stays at 0.7 σ, whatever is spent. "
        "Votes lower the floor, at their price in labels; even the best use of "
        "many labels stays more than twice above what their information allows an "
        f"unbiased search. σ = {decisions.RAY:g} of the first interval; the root mean "
        "square is over noise and over places of the boundary in its middle.",
        "SND 2022, Sections 3.2 and 4.6; RFD 2024, Section 3.4; laws bisection.rmse "
        "and bisection.information_rmse.",
        (8.2, 4.0),
    ),
    "rnd-bounds": Analytic(
        descent.rnd_bounds,
        "RND's bounds: printed, tight, and what a linear loss does.",
        "Left, the printed bound on one estimate has d times too much noise. Middle, "
        "the tight coefficient of descent falls with α as long as smoothing gains more "
        "than noise costs (its least is dotted), where the printed one rises. Right, "
        "at α = 2, averaging takes all of the noise out of the tight bound, while of "
        "the printed one's limit more than half is noise. "
        f"d = {descent.DIMENSION}, L0 = {descent.LIPSCHITZ:g}, "
        f"L1 = {descent.SMOOTHNESS:g}, μ = {descent.PROBE:g} (pixels in [0, 1]).",
        "RND 2021, Theorems 1 and 2, eq. (14); laws second_moment and stationarity.",
        (10.2, 3.8),
    ),
    "floors": Analytic(
        bounds.floors,
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
    "price": Analytic(
        decisions.price,
        "What noise does to answers, and what it costs.",
        "The share of changed answers rises as σ; the accuracy lost only as σ², since "
        "right answers spoilt and wrong ones mended cancel at first order. Both laws "
        "hold while σ is small against the spread of the margins: normal, "
        f"mean {decisions.MARGINS[0]:g}, standard deviation {decisions.MARGINS[1]:g}.",
        "SND 2022, Section 4.5 and Table 4; RFD 2024, eq. (14); laws "
        "boundary.flip, boundary.flip_rate and boundary.net_loss.",
    ),
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
        return figure, entry.draw(figure)


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
    writer.writerow(["panel", "curve", "x_quantity", "x", "y_quantity", "y"])
    for c in curves:
        for x, y in zip(c.x.tolist(), c.y.tolist(), strict=True):
            writer.writerow([c.panel, c.label, c.x_quantity, x, c.y_quantity, y])
    return text.getvalue()
