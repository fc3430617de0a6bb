"""Every law has a derivation of its name: its steps hold, its value is the law's."""

import functools
import importlib
import inspect

import numpy as np
import pytest
import sympy as sp

from querytax.theory.law import find, laws
from querytax.theory.symbolic.derivation import Derivation, checked, derive, proved
from querytax.theory.symbolic.printing import in_latex, read

from ..test_law import TABLES, numbers

NAMES = sorted(entry.name for entry in laws())
derived = functools.cache(derive)


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_hold(name):
    for step in derived(name).steps:
        assert step.holds(), (step.words, step.left, step.right)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in TABLES])
def test_the_symbols_are_the_parameters_and_the_value_is_the_law_s(name):
    entry, twin = find(name), derived(name)
    values = numbers(entry)
    assert {s.name for s in twin.law.free_symbols} <= set(values)
    for pick in (0, 1):
        point = {key: pair[pick] for key, pair in values.items()}
        exact = twin.evaluate(30, **{k: sp.Rational(v) for k, v in point.items()})
        np.testing.assert_allclose(entry.function(**point), float(exact), rtol=1e-12)


def test_a_wrong_step_is_caught():
    x = sp.Symbol("x", positive=True)
    assert not proved("no", sp.sqrt(x**2 + 1), x + 1).holds()
    assert not checked("no", sp.sin(x), x, {x: sp.Rational(1, 10**6)}).holds()
    assert not checked("no", x, x + sp.Float(10, 60) ** -49, {x: 1}).holds()
    assert not checked("no value", sp.zoo * x, sp.zoo * x, {x: 1}).holds()
    assert checked("yes", sp.sin(x) ** 2, 1 - sp.cos(x) ** 2, {x: 1}).holds()
    with pytest.raises(TypeError, match="at least one point"):
        checked("nowhere", x, x)


@pytest.mark.parametrize("name", NAMES)
def test_words_reach_the_derivation_and_latex_is_whole(name):
    entry = find(name)
    topic, function = name.split(".")
    module = importlib.import_module(f"querytax.theory.symbolic.{topic}")
    if written := getattr(module, function, None):
        words = {key for key, p in entry.parameters.items() if p.is_word}
        assert set(inspect.signature(written).parameters) <= words
        # What follows from another law is derived from that one's derivation.
        assert entry.relation not in ("log", "complement")
    assert isinstance(derived(name), Derivation)
    latex = entry.latex
    assert "$" not in latex
    assert latex.count("{") == latex.count("}")


def test_a_formula_is_read():
    entry = find("repeats.fixed")
    for formula in ("N = Φ⁻¹(ε)²/S", "Φ⁻¹(ε)**2 / S; for normal noise"):
        twin = Derivation(read(formula, entry.parameters))
        found = float(twin.evaluate(20, snr=2, error="1/10"))
        assert found == pytest.approx(entry.function(2.0, 0.1), rel=1e-12)
    for formula in ("E of what is drawn", "N = g(S)", "N = (", "S h"):
        with pytest.raises(ValueError, match="expected a formula to read"):
            read(formula, entry.parameters)
    assert in_latex("E T <= √(n S)/σ²") == r"E T \le  \sqrt{n S}/\sigma ^2"
