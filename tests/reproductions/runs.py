"""What is asked of every paper's run, and rows made up for its judges."""

import dataclasses
import math

from querytax.intervals import Interval
from querytax.reproductions.judge import DIFFERS, MATCHED, UNDECIDED
from querytax.reproductions.measured import Measured, read
from querytax.reproductions.runner import experiments


def check(outcome, bounded=False):
    """All was measured, drawn and judged; ends may be unknown unless ``bounded``."""
    assert list(outcome.verdicts) == list(experiments(outcome.paper))
    assert not outcome.missing
    for name, rows in rows_of(outcome).items():
        assert rows, name
        for row in rows:
            value, lower, upper, n = row.interval
            assert math.isfinite(value), row
            assert lower <= value <= upper, row
            assert not bounded or math.isfinite(upper - lower), row
            assert n > 0, row
        assert (outcome.folder / f"{name}.png").stat().st_size > 10_000, name
        assert outcome.verdicts[name], name
        for verdict in outcome.verdicts[name]:
            assert verdict.verdict in (MATCHED, DIFFERS, UNDECIDED)
            assert verdict.claim.startswith(f"{outcome.paper}/") or not verdict.claim


def rows_of(outcome):
    """What was measured, by experiment."""
    return {name: read(outcome.folder / f"{name}.csv") for name in outcome.verdicts}


def made(quantity, value, half=0.0, **setting):
    """A number known to ``half``."""
    interval = Interval(value, value - half, value + half, 100)
    return Measured(quantity, interval, "", setting)


def changed(rows, quantity, function):
    """Rows of a quantity with another interval; formulas as they are."""
    return [
        dataclasses.replace(row, interval=function(row.interval))
        if row.quantity == quantity and "law" not in row.setting
        else row
        for row in rows
    ]
