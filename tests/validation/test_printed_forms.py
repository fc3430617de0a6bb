"""Printed forms by their claims' ids: their values, their warnings, their refusals."""

import math
import warnings

import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.theory.law import RegimeWarning
from querytax.validation.ledger import _value, claims
from querytax.validation.printed_forms import find_printed, printed_laws

FORMS = {entry.name: entry for entry in printed_laws()}
POINTS = [
    pytest.param(claim, point, id=f"{claim.id}-{k}")
    for claim in claims()
    if claim.printed is not None
    for k, point in enumerate(claim.points)
]


def quiet(entry, **arguments):
    """The value, and what is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = entry.function(**arguments)
    assert all(w.category is RegimeWarning for w in caught)
    return value, [str(w.message) for w in caught]


def test_every_claim_that_prints_a_form_has_an_entry():
    printing = [c.id for c in claims() if c.printed is not None]
    assert [*FORMS] == [f"printed:{name}" for name in printing]
    for entry in FORMS.values():
        claim = entry.claim
        assert (entry.summary, entry.formula) == (claim.statement, claim.printed.text)
        assert entry.source.endswith(claim.source)
        assert entry.regime.startswith(claim.expected.lower().replace("_", " "))
        assert entry.latex
        assert all(p.described for p in entry.parameters.values())
        assert " ".join(claim.note.split()) in " ".join(entry.function.__doc__.split())


@pytest.mark.parametrize(("claim", "point"), POINTS)
def test_a_form_at_the_claim_s_own_points(claim, point):
    """The ledger's value; a warning where it refutes the print, or doubts it."""
    expected = _value(claim.printed, point.arguments)
    entry = FORMS[f"printed:{claim.id}"]
    if math.isnan(expected):
        with pytest.raises(DomainError):
            quiet(entry, **point.arguments)
        return
    value, said = quiet(entry, **point.arguments)
    assert value == expected
    doubted = claim.expected == "REFUTED" or (claim.regime and not point.inside)
    assert len(said) == bool(doubted)
    for warning in said:
        assert warning.startswith(f"{entry.name}: {entry.regime}")
        if claim.corrected is not None:
            true = _value(claim.corrected, point.arguments)
            assert warning.endswith(f", {true:.6g} here")


def test_print_and_truth_side_by_side():
    ratio = find_printed("aithal-li-2022/eq-6")
    with pytest.warns(RegimeWarning) as caught:
        value = ratio.function(snr=1e-3, contraction=0.2)
    assert value == pytest.approx(1095.311, abs=1e-3)
    said = str(caught[0].message)
    assert "refuted; said to be an approximation; holds for K²" in said
    assert said.endswith("true: 2 ln(1/(1-m))/ln(1+S), 446.51 here")
    support = ratio.supports(snr=1e-3, contraction=0.2)
    assert support.reason == said
    assert not support.holds


def test_lists_are_taken_element_by_element():
    entry = find_printed("printed:aithal-li-2022/eq-6")
    table, said = quiet(entry, snr=[1e-3, 1e-2, 1.0], contraction=[[0.2], [0.3]])
    assert table.shape == (2, 3)
    assert len(said) == 1
    assert "here" not in said[0]
    for at in np.ndindex(table.shape):
        point = {"snr": [1e-3, 1e-2, 1.0][at[1]], "contraction": [0.2, 0.3][at[0]]}
        assert quiet(entry, **point)[0] == table[at]


def test_words_and_tables_of_the_claim():
    rows = find_printed("rfd-2024/f1")
    assert rows.parameters["perturbation"].axes == 1
    assert quiet(rows, perturbation=[3.0, -4.0])[0] == pytest.approx(
        _value(rows.claim.printed, {"perturbation": [3.0, -4.0]})
    )
    word = find_printed("aithal-li-2022/c23")
    point = word.claim.points[0].arguments
    # From the shell a word that is a number comes as one.
    as_numbers = {**point, "sigma": float(point["sigma"]), "count": 1000.0}
    assert quiet(word, **as_numbers) == quiet(word, **point)


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("eq-6", {"snr": "a", "contraction": 0.2}, "expected snr finite, got 'a'"),
        ("eq-6", {"snr": np.nan, "contraction": 0.2}, "expected snr finite, got nan"),
        ("eq-6", {"snr": -1.0, "contraction": 0.2}, "expected snr > 0 and finite"),
        (
            "eq-8",
            {"log_ratio": 1e-3, "sigma": 1.0, "output": 4e-4, "error": 0.3},
            "pole",
        ),
        ("lemma-4", {"output": 0.0, "other_output": 0.2, "sigma": 0.1}, "has a value"),
        ("c7", {"model": "mnist"}, "expected model to be one of 'MNIST'"),
    ],
)
def test_bad_input_is_named(name, arguments, says):
    with pytest.raises(DomainError, match=says):
        quiet(find_printed(f"aithal-li-2022/{name}"), **arguments)


def test_arguments_and_names_that_are_none():
    with pytest.raises(TypeError, match="missing a required argument: 'contraction'"):
        quiet(find_printed("aithal-li-2022/eq-6"), snr=1.0)
    with pytest.raises(DomainError, match="did you mean 'printed:aithal-li-2022/eq-6'"):
        find_printed("aithal-li-2022/eq-6b")
