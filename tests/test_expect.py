"""Every validator: what passes unchanged, and the one line that names what does not."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax import expect
from querytax.expect import DomainError

INF, NAN = float("inf"), float("nan")
CASES = [
    (expect.positive, (5e-324, 1, 1e300), (0, -1, INF, NAN), "> 0 and finite"),
    (expect.nonnegative, (0, 0.0, 1e300), (-1e-300, INF, NAN), ">= 0 and finite"),
    (expect.finite, (-1e300, 0, 3), (INF, -INF, NAN), "finite"),
    (expect.fraction, (0, 0.999), (1, -0.1, NAN), r"in \[0, 1\)"),
    (expect.probability, (1e-300, 0.5), (0, 1, NAN), r"in \(0, 1\)"),
    (expect.integer, (1, 7, 3.0), (0, 1.5, INF, NAN), "a whole number >= 1"),
]


@pytest.mark.parametrize(("check", "good", "bad", "says"), CASES)
def test_values_pass_unchanged_or_are_named(check, good, bad, says):
    for value in good:
        assert check(sigma=value) is value
    array = np.array(good, dtype=float)
    assert check(sigma=array) is array
    assert check(sigma=list(good)) == list(good)
    for value in bad:
        with pytest.raises(DomainError, match=f"^expected sigma {says}, got {value}$"):
            check(sigma=value)
        with pytest.raises(DomainError, match=f"{float(value)}$"):
            check(sigma=np.array([good[0], value], dtype=float))


@pytest.mark.parametrize("check", [case[0] for case in CASES])
@pytest.mark.parametrize("value", [None, "much", True, object, [1, "a"]])
def test_what_is_no_number_is_named_too(check, value):
    with pytest.raises(DomainError, match=r"expected sigma .*, got "):
        check(sigma=value)


@given(st.integers(-3, 3), st.floats(-5, 5))
def test_bounds_are_the_callers(least, value):
    inside = value >= least
    for check in (expect.at_least, expect.integer):
        if check is expect.integer:
            inside = inside and value % 1 == 0
        if inside:
            assert check(least, n=value) == value
        else:
            with pytest.raises(DomainError, match=f">= {least}"):
                check(least, n=value)


def test_words():
    assert expect.one_of(("Linf", "L2"), norm="L2") == "L2"
    with pytest.raises(DomainError, match=r"'Linf', 'L2', got 'linf'; did you mean"):
        expect.one_of(("Linf", "L2"), norm="linf")
    with pytest.raises(DomainError, match=r"got 3$"):
        expect.one_of(("Linf", "L2"), norm=3)


def test_numbers_are_checked_without_numpy():
    code = (
        "import sys; from querytax import expect; expect.positive(a=1.0); "
        "expect.one_of(['x'], a='x'); print('numpy' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "False"
