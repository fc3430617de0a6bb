"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["Number", "Share", "plan_changes", "with_plan"]


class Number(click.ParamType):
    """A number, or a fraction such as 8/255."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        over, slash, under = str(value).partition("/")
        try:
            return float(over) / float(under) if slash else float(over)
        except (ValueError, ZeroDivisionError):
            self.fail(
                f"expected a number such as 0.03 or 8/255, got {value!r}", param, ctx
            )


class Share(click.ParamType):
    """A share: 0.01 or 1%."""

    name = "share"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            return float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            self.fail(f"expected a share such as 0.01 or 1%, got {value!r}", param, ctx)


PLAN_OPTIONS = [
    click.option("--eps", type=Number(), help="Radius of the budget, [0, 1] pixels."),
    click.option("--norm", type=click.Choice(["Linf", "L2"]), help="Its norm."),
    click.option("--probe", "probe_size", type=float, help="Probe size (beta)."),
    click.option("--pairs", type=int, help="Antithetic pairs a step."),
    click.option("--step", type=float, help="Step length, in the units of eps."),
    click.option(
        "--step-rule", type=click.Choice(["sign", "unit", "plain"]), help="Step rule."
    ),
    click.option(
        "--loss", type=click.Choice(["ce", "margin"]), help="Attacker's loss."
    ),
]


def with_plan(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a plan, for a command."""
    for option in reversed(PLAN_OPTIONS):
        command = option(command)
    return command


def plan_changes(given: dict[str, Any]) -> dict[str, Any]:
    """The plan's options that were given, under the plan's names."""
    names = {
        "eps": "eps",
        "norm": "norm",
        "probe_size": "probe",
        "pairs": "pairs",
        "step": "step",
        "step_rule": "step_rule",
        "loss": "loss",
    }
    return {
        names[key]: value
        for key, value in given.items()
        if key in names and value is not None
    }
