"""The papers' printed numbers: their form, and the arithmetic they allow."""

import csv
import re
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import log, log10, pi, sqrt
from pathlib import Path
from statistics import NormalDist

import pytest

PAPERS = Path(__file__).parents[2] / "paper_reproductions"
AITHAL, OUTPUT = "aithal-li-2022", "output-randomization-2020"
SND, RFD, RND = "snd-2022", "rfd-2024", "rnd-2021"

# Rows, and cells that the source garbles beyond recovery.
COUNTS = {
    f"{AITHAL}/table-1": (3, 0),
    f"{AITHAL}/table-2": (147, 0),
    f"{AITHAL}/table-3": (63, 0),
    f"{AITHAL}/table-4": (16, 0),
    f"{AITHAL}/table-5": (20, 0),
    f"{AITHAL}/table-6": (25, 0),
    f"{AITHAL}/table-7": (16, 0),
    f"{AITHAL}/table-8": (4, 0),
    f"{AITHAL}/table-9": (77, 0),
    f"{AITHAL}/table-10": (77, 0),
    f"{AITHAL}/table-11": (8, 0),
    f"{AITHAL}/table-12": (231, 0),
    f"{AITHAL}/text": (79, 0),
    f"{OUTPUT}/table-1": (12, 0),
    f"{OUTPUT}/table-2": (15, 0),
    f"{OUTPUT}/text": (25, 0),
    f"{SND}/table-1": (12, 0),
    f"{SND}/table-2": (60, 0),
    f"{SND}/table-3": (90, 9),
    f"{SND}/table-4": (10, 0),
    f"{SND}/table-5": (20, 0),
    f"{SND}/text": (50, 0),
    f"{RFD}/table-1": (140, 0),
    f"{RFD}/table-2": (140, 0),
    f"{RFD}/table-3": (96, 0),
    f"{RFD}/table-4": (9, 0),
    f"{RFD}/table-5": (24, 4),
    f"{RFD}/table-6": (40, 6),
    f"{RFD}/table-7": (72, 0),
    f"{RFD}/text": (28, 0),
    f"{RND}/table-2": (120, 0),
    f"{RND}/table-eot": (54, 0),
    f"{RND}/text": (9, 0),
}
NUMBER = re.compile(r"-?\d+(,\d{3})*(\.\d+)?(e-?\d+)?")
# Columns that hold what a cell says; the others say which cell it is.
VALUE = re.compile(
    r"printed|p_mis|gradient_norm|failure_rate|mean_queries|mean_l2_norm|"
    r"(success_rate|(clean_)?accuracy(_std)?)(_percent)?|"
    r"(mean|median|std)_(delta_)?f_t|l2_distortion_per_pixel_in_1e-4"
)
KEY_NUMBERS = {
    "sigma",
    "nu",
    "mu",
    "beta",
    "noise_variance",
    "noise_correlation",
    "queries",
    "queries_per_repeat",
    "query_limit",
    "repeats",
    "directions",
    "block",
    "line",
    "quantization_bits",
    "accuracy_drop_about_percent",
}


@cache
def read(name):
    folder, _, stem = name.partition("/")
    path = PAPERS / folder / "printed" / f"{stem}.csv"
    with path.open(newline="", encoding="utf-8") as stream:
        return tuple(csv.DictReader(stream, strict=True))


def pick(name, **where):
    """Rows of a table whose columns hold the given text."""
    found = [r for r in read(name) if all(r[k] == v for k, v in where.items())]
    assert found, (name, where)
    return found


def one(name, column, **where):
    """The one printed number that the given text singles out, exactly."""
    (row,) = pick(name, **where)
    return exact(row[column])


def exact(text):
    return Decimal(text.replace(",", ""))


def said(paper, row, quantity):
    """A number of the running text, exactly."""
    return one(f"{paper}/text", "printed", id=f"{paper}/{row}", quantity=quantity)


def half_up(value, places):
    return round(value + Decimal(1) / 10 ** (places + 6), places)


def is_monotone(values):
    values = list(values)
    return values == sorted(values) or values == sorted(values, reverse=True)


# -- form -------------------------------------------------------------------------


def test_every_file_is_counted():
    found = {f"{p.parents[1].name}/{p.stem}" for p in PAPERS.glob("*/printed/*.csv")}
    assert found == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_form(name):
    rows = read(name)
    header = list(rows[0])
    values = [c for c in header if VALUE.fullmatch(c)]
    keys = [c for c in header if c not in (*values, "note")]
    assert values
    assert all(None not in r and None not in r.values() for r in rows)
    assert all(c == c.strip() for r in rows for c in r.values())
    assert max(Counter(tuple(r[k] for k in keys) for r in rows).values()) == 1
    for row in rows:
        for column in {*values, *(KEY_NUMBERS & set(keys))}:
            text = row[column]
            assert not text or NUMBER.fullmatch(text), (row, column)
            assert not text or exact(text).is_finite()
        for column in keys:
            if column not in KEY_NUMBERS | {"norm", "queries", "id", "unit"}:
                assert re.match(r"[A-Za-z]", row[column]), (row, column)
        if row.get("note", "").startswith("unreadable"):
            assert not all(row[v] for v in values)
        else:
            assert re.match(r"$|guess: ", row.get("note", ""))
    lost = sum(r.get("note", "").startswith("unreadable") for r in rows)
    assert (len(rows), lost) == COUNTS[name]
    assert "note" not in header or any(r["note"] for r in rows)


@pytest.mark.parametrize("paper", [AITHAL, OUTPUT, SND, RFD, RND])
def test_text_names_statements_of_its_paper(paper):
    rows = read(f"{paper}/text")
    assert all(r["printed"] and r["place"] for r in rows)
    pattern = rf"{paper}/(\w\d+|(def|thm|lemma|rem)-\d+)"
    assert all(re.fullmatch(pattern, r["id"]) for r in rows if r["id"])
    assert max(len(r["quantity"].split()) for r in rows) <= 12


@pytest.mark.parametrize("name", [n for n in COUNTS if "table" in n])
def test_rates_are_rates(name):
    for row in read(name):
        unit = row.get("quantity", "")
        for column, text in row.items():
            label = unit if column == "printed" else column
            if not text or not VALUE.fullmatch(column):
                continue
            if label.endswith("_percent"):
                assert 0 <= exact(text) <= 100
            elif label in ("accuracy", "success_rate", "failure_rate", "p_mis"):
                assert 0 <= exact(text) <= 1


# -- Aithal and Li ----------------------------------------------------------------

RATE = "success_rate_percent"
MODELS = ("MNIST", "CIFAR10", "IMAGENET")


def outputs(column):
    return [exact(r[column]) for r in read(f"{AITHAL}/table-1")]


def test_table_1_implies_three_values_of_a():
    """C13, and Rem. 3: the mean square is far above the squared mean."""
    f, beta, delta = map(outputs, ("mean_f_t", "beta", "mean_delta_f_t"))
    a = [Fraction(d) / Fraction(x * b) for x, b, d in zip(f, beta, delta, strict=True)]
    assert a == [Fraction(25, 2), 200, Fraction(50, 3)]
    assert said(AITHAL, "c13", "a in the query ratio") == Decimal("0.1")
    assert said(AITHAL, "c13", "a in the repeated queries") == 1
    spread = outputs("std_delta_f_t")
    more = [1 + (s / d) ** 2 for s, d in zip(spread, delta, strict=True)]
    assert more == [401, 26, 401]
    assert [b >= x for b, x in zip(beta, f, strict=True)] == [True, True, False]


def test_the_quoted_snrs_lack_lemma_1s_half():
    """C7: they are ΔF²/σ²; the lemma gives 3 dB less."""
    sigma = said(AITHAL, "c7", "noise at which the SNRs are quoted")
    quoted = [said(AITHAL, "c7", f"gradient SNR, {m}") for m in MODELS]
    full = [20 * log10(d / sigma) for d in outputs("mean_delta_f_t")]
    assert [f"{x:.2f}" for x in full] == ["-66.02", "-33.98", "-106.02"]
    assert [round(x) for x in full] == quoted
    half = [x - 10 * log10(2) for x in full]
    assert [f"{x:.2f}" for x in half] == ["-69.03", "-36.99", "-109.03"]


def ratio_6(sigma):
    snr = [float(d / sigma) ** 2 / 2 for d in outputs("mean_delta_f_t")]
    q = NormalDist().inv_cdf(0.01)
    k = [q * sqrt(0.2 / (s * 0.99)) for s in snr]
    return [(sqrt(x * x + 4) - x) ** 2 / 4 for x in k]


def test_the_quoted_ratios_have_lemma_1s_half():
    """C8, C9, C10."""
    at_001 = ratio_6(said(AITHAL, "c8", "noise at which the ratios are quoted"))
    assert [f"{r:.3e}" for r in at_001] == ["8.746e+06", "5.469e+03", "8.746e+10"]
    quoted = [said(AITHAL, "c8", f"query ratio, {m}") for m in MODELS]
    assert [float(f"{r:.0e}") for r in at_001] == [float(x) for x in quoted]
    queries = [1e3, 1e3, 1e5]
    assert [f"{n * r:.1e}" for n, r in zip(queries, at_001, strict=True)] == [
        "8.7e+09",
        "5.5e+06",
        "8.7e+15",
    ]
    cost = []
    for i, model in enumerate(MODELS):
        sigma = said(AITHAL, "c10", f"noise that stops the budget, {model}")
        cost.append(queries[i] * ratio_6(sigma)[i])
    assert [f"{c:.1e}" for c in cost] == ["8.7e+07", "5.5e+06", "8.7e+11"]


def test_repeats_that_the_means_of_table_1_need():
    """C11: outputs first, N = 2σ²q²/ΔF², at the noise said to allow no N."""
    q = NormalDist().inv_cdf(float(said(AITHAL, "c11", "epsilon")))
    n = [2 * (1e-4 * q / float(d)) ** 2 for d in outputs("mean_delta_f_t")]
    assert [f"{x:.3g}" for x in n] == ["220", "0.137", "2.2e+06"]


def test_the_caption_is_not_the_theorem():
    """C12."""
    assert said(AITHAL, "c12", "threshold on the estimate") == Decimal("0.3")
    assert said(AITHAL, "c11", "epsilon") == Decimal("0.3")


def above(table, limit, **where):
    """Cells at or above a limit that the text puts them below."""
    rows = pick(f"{AITHAL}/{table}", **where)
    return {
        (r["dataset"], r["attack"], r[RATE])
        for r in rows
        if r[RATE] and exact(r[RATE]) >= limit
    }


def test_noise_001_does_not_stop_every_attack():
    """C2, C25: at σ = 0.01."""
    found = above("table-9", 30, sigma="1e-2") | above("table-10", 30, sigma="1e-2")
    assert found == {
        ("MNIST", "Boundary", "64.0"),
        ("MNIST", "HopSkipJump", "70.0"),
        ("CIFAR10", "Boundary", "88.0"),
        ("CIFAR10", "HopSkipJump", "60.0"),
        ("IMAGENET", "HopSkipJump", "65.0"),
        ("IMAGENET", "P-RGF", "36.0"),
    }
    name = "success rate at noise 0.01, P-RGF"
    assert said(AITHAL, "c2", name) == 36
    assert said(AITHAL, "c2", "success rate without noise, P-RGF") == 98
    assert one(f"{AITHAL}/table-9", RATE, attack="P-RGF", sigma="0") == 98


def test_ten_classes_put_no_floor():
    """C15."""
    rows = pick(f"{AITHAL}/table-2", dataset="MNIST")
    rows += pick(f"{AITHAL}/table-2", dataset="CIFAR10")
    under = [r[RATE] for r in rows if exact(r[RATE]) < 10]
    assert under == ["9.85", "5.13", "8.56", "6.46", "6.9"]


def test_below_twenty_and_below_twenty_five():
    """C16 to C19."""
    mnist = above("table-2", 20, dataset="MNIST", sigma="1e-3")
    assert mnist == {("MNIST", "AZ+AE", "20.33")}
    cifar = pick(f"{AITHAL}/table-2", dataset="CIFAR10", sigma="1e-2")
    assert max(exact(r[RATE]) for r in cifar) == Decimal("19.56")
    imagenet = above("table-2", 20, dataset="IMAGENET", sigma="1e-4")
    assert imagenet == {("IMAGENET", "NES", "20.00")}
    assert above("table-3", 25, sigma="1e-2") == {("CIFAR10", "OPT", "25.0")}


def test_quantisation_changes_no_digit():
    """C21: at no depth; the noiseless cells of Table 2 are others, though."""
    plain = {"MNIST ZOO": "99.44", "MNIST AZ+AE": "100.00", "CIFAR10 ZOO": "97.00"}
    for label, noiseless in plain.items():
        dataset, attack = label.split()
        rows = pick(f"{AITHAL}/table-5", dataset=dataset, attack=attack)
        (rate,) = {r[RATE] for r in rows if r["quantization_bits"]}
        (row,) = pick(f"{AITHAL}/table-2", dataset=dataset, attack=attack, sigma="0")
        assert row[RATE] == noiseless
        assert exact(rate) != exact(noiseless)


def test_the_default_probe_is_not_table_1s():
    """C22: squared, the factor by which the SNR is short."""
    default = said(AITHAL, "c22", "default probe beta")
    assert (default / outputs("beta")[2]) ** 2 == 10000
    at_default = pick(f"{AITHAL}/table-6", beta="1e-3")
    nes = pick(f"{AITHAL}/table-2", attack="NES")[:5]
    assert [exact(r[RATE]) for r in at_default] == [exact(r[RATE]) for r in nes]


def test_averaging_moves_the_way_of_less_noise():
    """C23: Table 2 at σ/√N, interpolated in ln σ, beside Table 7."""
    table = {
        ("MNIST", "1e-4"): ("48.11", "58.89", "66.11"),
        ("CIFAR10", "1e-4"): ("49.445", "56.78", "63.61"),
        ("MNIST", "1e-2"): ("17.775", "20.33", "28.83"),
        ("CIFAR10", "1e-2"): ("25.39", "31.22", "36.665"),
    }
    for (dataset, sigma), expected in table.items():
        attack = {"MNIST": "AZ+AE", "CIFAR10": "AZ"}[dataset]
        at = pick(f"{AITHAL}/table-2", dataset=dataset, attack=attack)
        i = [r["sigma"] for r in at].index(sigma)
        here, once, twice = (exact(at[i - k][RATE]) for k in range(3))
        guess = ((here + once) / 2, once, (once + twice) / 2)
        assert guess == tuple(map(Decimal, expected))
        seen = [
            exact(r[RATE])
            for r in pick(f"{AITHAL}/table-7", dataset=dataset, sigma=sigma)
        ]
        assert seen[0] == here
        assert all(s > here for s in seen[1:])


def test_table_8_counts_nineteenths():
    """C24: 3/19 and 11/19 cut to two decimals, as few images as that."""
    cut = [str(Decimal(n * 10000 // 19) / 100) for n in (3, 11)]
    rows = pick(f"{AITHAL}/table-8", directions="100")
    assert [r[RATE] for r in rows] == cut == ["15.78", "57.89"]


def distortion(goal, dataset, attack):
    where = {"goal": goal, "dataset": dataset, "attack": attack}
    rows = pick(f"{AITHAL}/table-12", **where)
    cells = [r["l2_distortion_per_pixel_in_1e-4"] for r in rows]
    return [exact(c) for c in cells if c]


def test_distortion_does_not_simply_grow():
    """C26."""
    sign = distortion("targeted", "MNIST", "Sign-OPT")
    assert (sign[0], sign[4]) == (Decimal("1.54"), Decimal("0.25"))
    dct = distortion("targeted", "IMAGENET", "SimBA-DCT")
    assert (dct[0], dct[-1]) == (Decimal("12.22"), Decimal("5.09"))
    assert dct == sorted(dct, reverse=True)
    for goal in ("targeted", "untargeted"):
        pixel = distortion(goal, "CIFAR10", "SimBA-pixel")
        assert pixel.index(max(pixel)) == 2
    flat = distortion("untargeted", "MNIST", "Boundary")[:6]
    assert max(flat) - min(flat) == Decimal("0.79")


# -- output randomization ---------------------------------------------------------


def test_three_attacks_are_not_thwarted():
    """B27: at the variance said to be effective, a hundred images each."""
    rows = pick(f"{OUTPUT}/table-1", noise_variance="1.00e-4")
    percent = {r["attack"]: 100 * exact(r["success_rate"]) for r in rows}
    assert percent == {"QL": 73, "BAND": 58, "ZOO": 3}
    assert said(OUTPUT, "b27", "attacks thwarted") == len(percent)
    assert said(OUTPUT, "b27", "noise variance said to be effective") == Decimal("1e-4")


# -- small noise ------------------------------------------------------------------


def clean(defense, sigma="", dataset="CIFAR-10"):
    where = {"dataset": dataset, "defense": defense, "sigma": sigma}
    return one(f"{SND}/table-1", "clean_accuracy_percent", **where)


def test_clean_accuracy_above_the_others():
    """S14."""
    ours = clean("SND", "0.01")
    gap = [ours - clean("PNI"), ours - clean("RSE")]
    assert gap == [Decimal("5.42"), Decimal("7.17")]
    assert min(gap) > said(
        SND, "s14", "clean accuracy above the other defences by, over"
    )


def test_averages_at_20k():
    """S15."""
    exactly = {
        ("Baseline", "", "baseline"): (Fraction(2638, 30), "87.9333"),
        ("SND", "0.01", "SND 0.01"): (Fraction(10), "10.0000"),
        ("SND", "0.001", "SND 0.001"): (Fraction(884, 30), "29.4667"),
        ("R&P", "", "R&P"): (Fraction(676, 30), "22.5333"),
    }
    for (defense, sigma, label), (value, shown) in exactly.items():
        where = {"queries": "20000", "defense": defense, "sigma": sigma}
        rows = pick(f"{SND}/table-3", **where)
        assert len(rows) == 6
        mean = sum(Fraction(r[RATE]) for r in rows) / 6
        assert (mean, f"{float(mean):.4f}") == (value, shown)
        printed = said(SND, "s15", f"mean success rate, {label}")
        assert abs(mean - Fraction(printed)) < Fraction(1, 20)


def test_the_loss_has_slope_four():
    """S16."""
    output = said(SND, "s16", "std of the loss")
    assert output / said(SND, "s16", "input noise") == 4


def test_averages_of_p_mis_were_cut():
    """S17."""
    for sigma, exactly in (("0.001", "0.22975"), ("0.01", "0.2555")):
        rows = pick(f"{SND}/table-4", sigma=sigma)
        cells = [exact(r["p_mis"]) for r in rows if r["attack"] != "none"]
        mean = sum(cells) / len(cells)
        assert mean == Decimal(exactly)
        printed = said(SND, "s17", f"mean P_mis over the attacks at {sigma}")
        assert printed == int(mean * 100) / Decimal(100)
        assert printed != half_up(mean, 2)


def test_flips_are_linear_and_accuracy_quadratic_in_the_noise():
    """S18."""
    flips = [
        one(f"{SND}/table-4", "p_mis", attack="none", sigma=s)
        for s in ("0.001", "0.01")
    ]
    assert flips == [
        said(SND, "s18", f"P_mis on clean images at {s}") for s in ("0.001", "0.01")
    ]
    assert f"{log10(flips[1] / flips[0]):.2f}" == "1.02"
    density = [
        float(p) * sqrt(pi / 2) / s for p, s in zip(flips, (1e-3, 1e-2), strict=True)
    ]
    assert [f"{p:.2f}" for p in density] == ["2.51", "2.63"]
    for dataset, drops, exponents in (
        ("CIFAR-10", ("0.01", "0.77", "3.78"), ("1.89", "2.30")),
        ("ImageNet", ("0.03", "0.66", "2.22"), ("1.34", "1.75")),
    ):
        at = [clean("SND", s, dataset) for s in ("0.001", "0.01", "0.02")]
        drop = [clean("Baseline", "", dataset) - a for a in at]
        assert drop == list(map(Decimal, drops))
        powers = (log10(drop[1] / drop[0]), log(drop[2] / drop[1]) / log(2))
        assert tuple(f"{p:.2f}" for p in powers) == exponents


def adaptive():
    """Success rate of Table 5 by queries spent in all, then by repeats."""
    table = {}
    for r in pick(f"{SND}/table-5", quantity=RATE):
        queries = int(r["repeats"]) * int(r["queries_per_repeat"])
        table.setdefault(queries, {})[int(r["repeats"])] = exact(r["printed"])
    return table


def test_averaging_loses_early_and_wins_late():
    """S19: the T columns of Table 5."""
    table = adaptive()
    for t, k in ((1, 10), (5, 10), (5, 50), (10, 50)):
        name = f"success rate, T={t}, {k}K queries"
        assert said(SND, "s19", name) == table[1000 * k][t]
    best = {
        q: max(by, key=by.get) for q, by in table.items() if len(by) > 1 and 1 in by
    }
    assert best == {10000: 1, 50000: 5, 100000: 10, 200000: 20}
    assert table[50000] == {1: 29, 5: Decimal("29.3"), 10: Decimal("27.3")}
    assert table[100000] == {1: Decimal("30.1"), 10: Decimal("34.9"), 20: 34}
    assert table[200000] == {1: 31, 20: Decimal("46.6")}
    assert table[20000] == {10: 21}


def test_p_mis_rises_with_the_votes():
    """S20, and the row T = 1 is Table 2's and Table 4's."""
    rows = pick(f"{SND}/table-5", quantity="p_mis", block="1")
    cells = [exact(r["printed"]) for r in rows]
    assert cells == sorted(cells)
    assert cells[0] == one(f"{SND}/table-4", "p_mis", attack="HSJA", sigma="0.01")
    same = pick(f"{SND}/table-2", attack="HSJA", defense="SND", sigma="0.01")
    first = pick(f"{SND}/table-5", quantity=RATE, block="1", repeats="1")
    assert [r[RATE] for r in same] == [r["printed"] for r in first]


@pytest.mark.parametrize(
    ("attack", "growth"), [("SimBA", "1.096"), ("SimBA-DCT", "1.071")]
)
def test_growth_of_a_frozen_search(attack, growth):
    """S9: the norm at 20K over that at 5K."""
    rows = pick(f"{SND}/table-3", attack=attack, defense="SND", sigma="0.01")
    norms = [exact(r["mean_l2_norm"]) for r in rows]
    assert f"{norms[2] / norms[0]:.3f}" == growth


def test_share_misclassified_at_first():
    """S22."""
    with_ = Fraction(said(SND, "s22", "success rate with PGD-AT and SND")) / 100
    name = "the same without images misclassified at first"
    without = Fraction(said(SND, "s22", name)) / 100
    assert f"{float((with_ - without) / (1 - without)):.3f}" == "0.311"


def test_certified_noise_is_25_times_larger():
    """S23."""
    certified = said(SND, "s23", "noise of certified defences, at least")
    assert certified / said(SND, "s23", "noise of SND") == 25


# -- random features --------------------------------------------------------------

ROBUST = "accuracy_percent"


def test_feature_noise_is_not_better_in_every_cell():
    """F24: four cells of 32 lose, all at ResNet50, and one is even."""
    where = {"model": "VGG19", "attack": "Square", "queries": "10000"}
    drop = {"accuracy_drop_about_percent": "2"}
    for method, label in (("Feature", "feature"), ("Input", "input")):
        cell = one(f"{RFD}/table-1", ROBUST, method=method, **where, **drop)
        assert cell == said(RFD, "f24", f"robust accuracy, VGG19, {label}, Square")
    where["model"], drop["accuracy_drop_about_percent"] = "DeiT", "1"
    feature = one(f"{RFD}/table-1", ROBUST, method="Feature", **where, **drop)
    assert feature == said(RFD, "f24", "robust accuracy, DeiT, feature, Square")
    below = one(f"{RFD}/table-1", ROBUST, method="Input", **where, **drop)
    assert (below, feature - below) == (Decimal("67.2"), Decimal("1.9"))

    keys = ("model", "accuracy_drop_about_percent", "attack", "queries")
    sign, rows = {}, read(f"{RFD}/table-1")
    for r in rows:
        if r["method"] == "Feature" and r["attack"] in ("Square", "SignHunt"):
            cell = {k: r[k] for k in keys}
            other = one(f"{RFD}/table-1", ROBUST, method="Input", **cell)
            sign[tuple(cell.values())] = (exact(r[ROBUST]) - other).compare(0)
    assert Counter(sign.values()) == {1: 27, -1: 4, 0: 1}
    assert {k[:2] for k, s in sign.items() if s < 0} == {("ResNet50", "1")}
    assert [k for k, s in sign.items() if s == 0] == [
        ("DeiT", "2", "SignHunt", "10000")
    ]
    assert len({r["model"] for r in rows}) == 4
    assert said(RFD, "f24", "victim models on ImageNet") == 6


def by_probe(attack):
    """Columns of Table 3, each from the smallest probe to the largest."""
    columns = {}
    for r in pick(f"{RFD}/table-3", attack=attack):
        key = r["model"], r["noise"], r["method"]
        columns.setdefault(key, []).append(exact(r[ROBUST]))
    assert len(columns) == 8
    return columns


def test_a_larger_square_first_helps_the_defence():
    """F25."""
    square = by_probe("Square")
    assert all(c[0] < c[1] > c[2] > c[3] for c in square.values())
    first = square["VGG", "small", "Input"]
    assert first[:2] == [Decimal("30.6"), Decimal("47.4")]
    hunt = by_probe("SignHunt")
    assert all(c == sorted(c, reverse=True) for c in hunt.values())
    quoted = [
        said(RFD, "f25", f"robust accuracy {w}, VGG19, NES")
        for w in ("before", "after")
    ]
    assert quoted == by_probe("NES")["VGG", "large", "Feature"][2:]


def test_table_3_repeats_table_2():
    for attack, mu in (("Square", "0.05"), ("NES", "0.01"), ("SignHunt", "0.05")):
        for r in pick(f"{RFD}/table-3", attack=attack, mu=mu):
            where = {
                "model": {"VGG": "VGG19", "ViT": "ViT"}[r["model"]],
                "accuracy_drop_about_percent": {"small": "2", "large": "4"}[r["noise"]],
                "method": r["method"],
                "attack": attack,
                "queries": "1000",
            }
            assert one(f"{RFD}/table-2", ROBUST, **where) == exact(r[ROBUST])


def test_robustness_and_the_gradient_norm():
    """F26: with the norm for ViT, but not under SignHunt."""

    def column(quantity):
        rows = pick(f"{RFD}/table-6", model="ViT", quantity=quantity)
        return [exact(r["printed"]) for r in rows]

    norm = column("gradient_norm")
    assert norm == [Decimal(x) for x in ("0.615", "0.462", "0.324", "0.214")]
    assert is_monotone(norm)
    assert is_monotone(column("square_accuracy_percent"))
    assert is_monotone(column("nes_accuracy_percent"))
    hunt = column("signhunt_accuracy_percent")
    assert hunt == [Decimal(x) for x in ("26.1", "28.0", "26.9", "23.1")]
    assert not is_monotone(hunt)


def eot():
    """Table 7 by (attack, model, method, repeats, queries)."""
    rows = pick(f"{RFD}/table-7", quantity="robust_accuracy_percent")
    keys = ("attack", "model", "method", "repeats", "queries")
    return {tuple(r[k] for k in keys): exact(r["printed"]) for r in rows}


def test_feature_noise_loses_5_of_30_cells():
    """F27."""
    table = eot()
    pairs = {
        k: (v, table[k[0], k[1], "Input", k[3], k[4]])
        for k, v in table.items()
        if k[2] == "Feature"
    }
    assert len(pairs) == 30
    lost = Counter(k[:2] for k, (ours, other) in pairs.items() if ours < other)
    assert lost == {("NES", "ResNet50"): 4, ("SignHunt", "ResNet50"): 1}
    hunt = ("SignHunt", "ResNet50", "Feature", "5", "1000")
    assert pairs[hunt][0] < pairs[hunt][1]


def test_one_draw_of_table_7_is_table_2s_vgg19():
    for (attack, model, method, repeats, queries), rate in eot().items():
        if (model, repeats) == ("VGG19", "1"):
            where = {"model": model, "method": method, "attack": attack}
            where |= {"queries": queries, "accuracy_drop_about_percent": "2"}
            assert one(f"{RFD}/table-2", ROBUST, **where) == rate


def test_averaging_weakens_nes_and_strengthens_signhunt():
    """F27, at a fixed budget of 1000: 8 cells of 8, and 4 of 4 at M = 5."""
    table = eot()
    change = {
        k: (v - table[*k[:3], "1", "1000"]).compare(0)
        for k, v in table.items()
        if k[3] != "1" and k[4] == "1000"
    }
    assert [s for k, s in change.items() if k[0] == "NES"] == [1] * 8
    hunt = [s for k, s in change.items() if (k[0], k[3]) == ("SignHunt", "5")]
    assert hunt == [-1] * 4


# -- random noise, slides ---------------------------------------------------------


def test_averaging_pays_less_and_less_in_14_of_18_rows():
    """N24."""
    rates = {}
    for r in read(f"{RND}/table-eot"):
        key = r["dataset"], r["query_setting"], r["attack"]
        rates.setdefault(key, []).append(exact(r["failure_rate"]))
    assert len(rates) == 18
    fewer = {k for k, (a, b, c) in rates.items() if a - b > b - c > 0}
    assert len(fewer) == 14
    rest = set(rates) - fewer
    assert rest == {
        ("CIFAR-10", "fixed", "ECO"),
        ("ImageNet", "fixed", "ECO"),
        ("ImageNet", "fixed", "NES"),
        ("ImageNet", "fixed", "ZS"),
    }
    assert all(a < b for k in rest for a, b in pairwise(rates[k]))


def test_the_ranking_of_table_2():
    """N28: RND-AT best, RND-GF above RND, in all 14 columns."""
    table = {}
    for r in read(f"{RND}/table-2"):
        if r["attack"] != "none":
            column = table.setdefault((r["dataset"], r["attack"]), {})
            column[r["method"]] = exact(r["failure_rate"])
    assert len(table) == 14
    for column in table.values():
        rest = [v for k, v in column.items() if k != "RND-AT"]
        assert column["RND-AT"] > max(rest)
        assert column["RND-GF"] > column["RND"]
    for method in ("RND", "RND-GF", "RND-AT"):
        (nu,) = {r["nu"] for r in pick(f"{RND}/table-2", method=method)}
        assert exact(nu) == said(RND, "n28", f"nu of {method}")
