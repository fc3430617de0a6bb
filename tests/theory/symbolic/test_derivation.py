"""Every law has a derivation of its name: its steps hold, its value is the law's."""

import functools
import importlib
import inspect

import numpy as np
import pytest
import sympy as sp

from querytax.theory.law import find, laws
from querytax.theory.symbolic.derivation import Derivation, checked, derive, proved

from ..test_law import TABLES, WORDS, valid

NAMES = sorted(entry.name for entry in laws())


def written(name):
    topic, function = name.split(".")
    try:
        module = importlib.import_module(f"querytax.theory.symbolic.{topic}")
    except ModuleNotFoundError:
        return False
    return hasattr(module, function)


WRITTEN = [name for name in NAMES if written(name)]
derived = functools.cache(derive)


def test_every_law_has_a_twin():
    assert WRITTEN == NAMES


@pytest.mark.parametrize("name", WRITTEN)
def test_the_steps_hold(name):
    for step in derived(name).steps:
        assert step.holds(), (step.words, step.left, step.right)


@pytest.mark.parametrize("name", [n for n in WRITTEN if n not in TABLES])
def test_the_symbols_are_the_parameters_and_the_value_is_the_law_s(name):
    entry, twin = find(name), derived(name)
    numbers = [key for key in entry.symbols if key not in WORDS]
    assert {s.name for s in twin.law.free_symbols} <= set(numbers)
    for pick in (0, 1):
        point = {key: valid(name, key)[pick] for key in numbers}
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


def test_words_reach_the_derivation():
    for name in WRITTEN:
        topic, function = name.split(".")
        module = importlib.import_module(f"querytax.theory.symbolic.{topic}")
        signature = inspect.signature(getattr(module, function))
        assert set(signature.parameters) <= WORDS & set(find(name).symbols)
        assert isinstance(derived(name), Derivation)
