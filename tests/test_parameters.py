"""The vocabulary: its table is sound, its domains refuse what lies outside them."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.montecarlo import experiments
from querytax.parameters import PARAMETERS, Domain, named, section
from querytax.theory.law import laws

NUMBERS = [p for p in PARAMETERS.values() if not p.is_word]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_row_is_sound(name):
    p = PARAMETERS[name]
    for text in (p.meaning, p.unit):
        assert text == text.strip() != ""
    # Small letters within a sentence, names and signs apart.
    assert not p.meaning.endswith(".")
    assert p.latex.count("{") == p.latex.count("}")
    if p.is_word:
        assert len(p.domain.options) > 1
        return
    assert len(p.typical) == 2
    assert all(p.domain.holds(np.array(p.typical)))
    assert p.far >= 1.0 or p.domain.high < 1.0
    assert p.symbol
    assert p.latex


def test_every_row_is_used():
    used = {p for entry in laws() for p in entry.parameters}
    for make in experiments().values():
        used |= {*inspect.signature(make).parameters}
    assert set(PARAMETERS) - used == set()


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("(0, 1]", (5e-324, 1.0), (0.0, 1.0 + 1e-15, math.nan, -1.0)),
        ("[0, 1/2)", (0.0, 0.49), (0.5, -1e-300)),
        ("[0, inf]", (0.0, math.inf), (-1.0, math.nan)),
        ("(-inf, inf)", (-1e308, 0.0), (math.inf, -math.inf, math.nan)),
        ("{1, 2, ...}", (1, 2.0, 1e300), (0, 1.5, math.inf)),
        ("{0, ..., 3}", (0, 3), (4, -1, 0.5)),
        ("{0, 1}", (0, 1), (2, 0.5)),
    ],
)
def test_domains(text, inside, outside):
    domain = Domain.of(text)
    for value in inside:
        assert domain.holds(np.array(value))
        assert domain.ends[0] <= value <= domain.ends[1]
    for value in outside:
        with np.errstate(invalid="ignore"):
            assert not domain.holds(np.array(value))
        least, most = domain.ends
        assert not (least <= value <= most) or domain.whole
    assert Domain.of("'a' | 'bc'").options == ("a", "bc")
    with pytest.raises(ValueError, match="expected a domain"):
        Domain.of("from 0 to 1")


@given(st.sampled_from(NUMBERS), st.floats(), st.integers(0, 3))
def test_the_fast_way_and_the_careful_one_agree(p, value, axes):
    """Plain numbers are checked by another line of code than arrays."""
    check = p.checked()

    def outcome(given):
        try:
            return np.ravel(check(given)).tolist()
        except DomainError as error:
            return str(error)

    table = np.full((1,) * axes + (1,), value)
    assert outcome(value) == outcome(table) or math.isnan(value)
    assert outcome(np.float64(value)) == outcome(value)


def test_what_is_refused_names_parameter_value_and_expectation():
    for name, value, says in (
        ("sigma", -1.0, "expected sigma >= 0 and finite, got -1.0"),
        ("sigma", "much", "expected sigma >= 0 and finite, got 'much'"),
        ("sigma", None, "expected sigma >= 0 and finite, got None"),
        ("sigma", True, "expected sigma >= 0 and finite, got True"),
        ("error", 0.5, "expected error in (0, 0.5), got 0.5"),
        ("repeats", [1, 1.5], "expected repeats a whole number >= 1, got 1.5"),
        ("halvings", 61, "expected halvings a whole number >= 1 and at most 60, got"),
        ("norm", "L3", "expected norm to be one of 'Linf', 'L2', got 'L3'"),
    ):
        with pytest.raises(DomainError) as caught:
            PARAMETERS[name].checked()(value)
        assert str(caught.value).startswith(says)


def test_tables_have_their_axes():
    check = PARAMETERS["outputs"].checked()
    assert check(0.5).shape == (1,)
    assert check([[0.5, 0.3]]).shape == (1, 2)
    assert PARAMETERS["sigma"].read(2).checked()([0.1, 0.2]).shape == (1, 2)


def test_a_name_that_is_not_in_the_table_is_named():
    assert named("snr") is PARAMETERS["snr"]
    with pytest.raises(TypeError, match=r"topic.law.*'smr'.*did you mean 'snr'"):
        named("smr", "topic.law")
    assert "sigma : array_like, optional" in section(
        {"sigma": PARAMETERS["sigma"]}, ["sigma"]
    )
