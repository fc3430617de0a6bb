"""What a person reads of a law and of its simulation."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from querytax.terminal import WIDTH

__all__ = ["print_derivation", "print_law", "print_simulation"]


def print_law(entry: Any) -> None:
    """A law in plain text."""
    formula = textwrap.fill(
        entry.formula, WIDTH, initial_indent="  ", subsequent_indent="    "
    )
    print(f"{entry.name}\n\n{formula}\n")
    for name, meaning in entry.symbols.items():
        print(
            textwrap.fill(
                f"{name}: {meaning}",
                WIDTH,
                initial_indent="  ",
                subsequent_indent="      ",
            )
        )
    for title, text in (
        ("Regime", entry.regime),
        ("Source", entry.source),
        ("LaTeX", entry.latex),
    ):
        print("\n" + textwrap.fill(f"{title}: {text}", WIDTH, break_long_words=False))


def print_derivation(steps: Sequence[Any]) -> None:
    """The steps that lead to a law, each with how it is known."""
    print("\nDerivation" if steps else "\nDerivation: none, the law is a definition.")
    for step in steps:
        print(f"\n  {step.words} ({step.known}):")
        for sign, side in ((" ", step.left), ("=", step.right)):
            print(
                textwrap.fill(
                    f"{sign} {side}",
                    WIDTH,
                    initial_indent="    ",
                    subsequent_indent="        ",
                )
            )


def print_simulation(
    found: Any, experiment: Any, law: float | None, seconds: float
) -> None:
    """A simulated value with its interval, and the law beside it."""
    given = " ".join(f"{k}={v}" for k, v in experiment.arguments.items())
    print(textwrap.fill(f"{found.name} {given}", WIDTH, subsequent_indent="    "))
    kind = "central limit" if found.asymptotic else "at every look"
    print(
        f"  simulated  {found.value:.6g}  [{found.low:.6g}, {found.high:.6g}], {kind}, "
        f"1 - {found.alpha:g}"
    )
    print(
        f"  draws      {found.samples:,} in {seconds:.1f} s, seed {found.seed}, "
        f"stopped: {found.stopped}"
    )
    if found.truncation is not None:
        cut = found.truncation
        print(
            f"  clipped    to [{cut.low:g}, {cut.high:g}], {100 * cut.share:.3g} % of "
            "the draws"
        )
    if law is not None:
        inside = found.low <= law <= found.high
        print(f"  law        {law:.6g}, {'inside' if inside else 'OUTSIDE'}")
