"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = [
    "DATA_HELP",
    "Number",
    "Share",
    "Sides",
    "Whole",
    "data_given",
    "plan_changes",
    "with_data",
    "with_plan",
]

DATA_HELP = "An .npz with x and y, x.npy,y.npy, or a folder of images."


class Whole(click.IntRange):
    """A whole number that a machine word holds; how small, the rooms say."""

    name = "integer"

    def __init__(self) -> None:
        super().__init__(min=-(2**63), max=2**63 - 1)

    def _describe_range(self) -> str:
        return "-2**63 to 2**63 - 1"


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


class Sides(click.ParamType):
    """The size of an image: 224, or 224x320 as height and width."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | tuple[int, int]:
        if not isinstance(value, str):
            return value
        words = value.lower().split("x")
        plain = all(w.isascii() and w.isdigit() and len(w) < 10 for w in words)
        if not plain or len(words) > 2:
            self.fail(f"expected a size such as 224 or 224x320, got {value!r}", param)
        sides = [int(word) for word in words]
        return sides[0] if len(sides) == 1 else (sides[0], sides[1])


DATA_OPTIONS = [
    click.option(
        "--layout",
        type=click.Choice(["NCHW", "NHWC", "NHW", "as is"]),
        help="Axes of the images  [default: where that is certain]",
    ),
    click.option(
        "--scale",
        type=float,
        help="What stands for white  [default: 255 for bytes, 1 for floats]",
    ),
    click.option(
        "--size",
        type=Sides(),
        help="Resize: HxW, or N for the shorter side, cut square.",
    ),
    click.option(
        "--channels", type=click.Choice(["1", "3"]), help="Read images as gray or RGB."
    ),
    click.option(
        "--limit",
        type=click.IntRange(min=1),
        help="Read the first so many images, mixed of a folder's classes.",
    ),
]

PLAN_OPTIONS = [
    click.option("--eps", type=Number(), help="Radius of the budget, [0, 1] pixels."),
    click.option("--norm", type=click.Choice(["Linf", "L2"]), help="Its norm."),
    click.option("--probe", "probe_size", type=float, help="Probe size (beta)."),
    click.option("--pairs", type=Whole(), help="Antithetic pairs a step."),
    click.option("--step", type=float, help="Step length, in the units of eps."),
    click.option(
        "--step-rule", type=click.Choice(["sign", "unit", "plain"]), help="Step rule."
    ),
    click.option(
        "--loss", help="Attacker's loss: ce, margin, or ratio, unfold:4, undash:6."
    ),
]


def with_plan(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a plan, for a command."""
    for option in reversed(PLAN_OPTIONS):
        command = option(command)
    return command


def with_data(command: Callable[..., Any]) -> Callable[..., Any]:
    """How the data are read, for a command."""
    for option in reversed(DATA_OPTIONS):
        command = option(command)
    return command


def data_given(more: dict[str, Any]) -> dict[str, Any]:
    """The options of `with_data`, taken out, as `querytax.load_images` takes them."""
    given = {
        name: more.pop(name)
        for name in ("layout", "scale", "size", "channels", "limit")
    }
    if given["channels"] is not None:
        given["channels"] = int(given["channels"])
    return given


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
