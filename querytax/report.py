"""What a person reads: the main job's result, an attack, a law. Tables by rich."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from querytax.plans import NESPlan
from querytax.recommend import Recommendation, recommend_sigma
from querytax.recommend.attackers import ATTACKERS
from querytax.recommend.inverter import check_question
from querytax.recommend.prediction import Predictor, published_plan
from querytax.recommend.recommendation import count, percent
from querytax.statistics import ModelStatistics
from querytax.terminal import WIDTH, new_table, short, span, terminal

__all__ = [
    "Job",
    "demo_job",
    "print_derivation",
    "print_job",
    "print_law",
    "print_simulation",
    "statistics_job",
]

# Enough for the published attack to break nearly every digit without noise.
_BASE_BUDGET = 6000


@dataclass
class Job:
    """Recommendations, and the trials that were held against them."""

    recommendations: list[Recommendation]
    trials: list[Any] = field(default_factory=list)
    figure: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "recommendations": [r.to_json() for r in self.recommendations],
            "trials": [t.to_json() for t in self.trials],
            "figure": self.figure,
            **self.facts,
        }


def statistics_job(
    path: str,
    *,
    attackers: list[str] | None,
    changes: dict[str, Any],
    out: str | None,
    **question: Any,
) -> Job:
    """Answer from a saved file, without torch."""
    if out:
        from querytax.figures.frontier import expect_format

        expect_format(out)
    stats = ModelStatistics.load(path)
    if question["site"] is None:
        question["site"] = (
            next(iter(stats.sites)) if len(stats.sites) == 1 else "output"
        )
    plan = published_plan(stats, **changes)
    job = Job(
        [
            recommend_sigma(stats, attacker=name, plan=plan, **question)
            for name in attackers or ["best"]
        ]
    )
    if out:
        from querytax.figures import frontier_figure

        frontier_figure(job.recommendations, path=out)
        job.figure = out
    return job


def demo_job(
    *,
    attackers: list[str] | None,
    changes: dict[str, Any],
    out: str,
    rng: int,
    verbose: bool,
    base_queries: float | None,
    **question: Any,
) -> Job:
    """Train, measure, recommend, prove, draw: the whole line on the embedded digits."""
    from querytax import demo
    from querytax.attacks import nes
    from querytax.figures.frontier import expect_format, frontier_figure
    from querytax.loading import writable
    from querytax.probes import probe
    from querytax.proof import prove

    check_question(
        *(question[k] for k in ("target_queries", "max_accuracy_loss", "protect"))
    )
    expect_format(out)
    writable(out)
    say = _Steps(verbose)
    plan: NESPlan = demo.PLAN.replace(**changes)
    say("loading the digits and the demo network (trained on first use)")
    model, split = demo.load_model(), demo.digits()
    x, y = split.probe
    say("probing 300 images, 64 of them along the way to the boundary")
    stats = probe(
        model,
        x,
        y,
        sites=[question["site"]],
        eps=plan.eps,
        norm=plan.norm,
        rng=rng,
        verbose=verbose,
    )
    base: Any = base_queries
    budget = int(min(max(1000.0, 1.5 * question["target_queries"]), 6000.0))
    if base is None:
        say("counting the published attack's queries without noise")
        found = nes(
            model,
            x[stats.probed],
            y[stats.probed],
            plan,
            budget=_BASE_BUDGET,
            rng=rng,
            verbose=verbose,
        ).clean
        base = np.where(found.success, found.queries, np.inf)
    recommendations = [
        recommend_sigma(stats, attacker=name, plan=plan, base_queries=base, **question)
        for name in attackers or ATTACKERS
    ]
    held_x, held_y = (part[:60] for part in split.held_out)
    trials = []
    if all(r.status != "OUT_OF_REGIME" for r in recommendations):
        say(f"attacking 60 held-out images, {budget} queries each")
        predictor = Predictor(stats, question["site"], plan, base)
        trials = prove(
            model,
            held_x,
            held_y,
            stats,
            recommendations,
            predictor,
            budget=budget,
            rng=rng + 1,
            verbose=verbose,
        )
    frontier_figure(recommendations, trials, path=out)
    accuracy = _accuracy(model, split)
    return Job(recommendations, trials, out, {"test_accuracy": accuracy})


def _accuracy(model: Any, split: Any) -> float:
    import torch

    with torch.no_grad():
        right = [
            (model(x).argmax(1) == y).double() for x, y in (split.probe, split.held_out)
        ]
    return float(torch.cat(right).mean())


class _Steps:
    """What is being done, on stderr, so that stdout stays the result's."""

    def __init__(self, verbose: bool) -> None:
        self.verbose = verbose and sys.stderr.isatty()

    def __call__(self, what: str) -> None:
        if self.verbose:
            print(f"... {what}", file=sys.stderr)


def print_job(job: Job) -> None:
    """Statements, then predictions beside measurements."""
    console = terminal()
    if "test_accuracy" in job.facts:
        console.print(
            f"Demo: a small CNN on UCI digits, test accuracy "
            f"{percent(job.facts['test_accuracy'])} (600 images)."
        )
    for rec in job.recommendations:
        console.print(f"\n[bold]{rec.status}[/] against the {rec.attacker} attacker\n")
        console.print(rec.statement(), soft_wrap=True)
    if job.trials:
        first = job.trials[0]
        console.print(
            f"\n[bold]Proof[/]: NES on {first.n_images} held-out images, queries that "
            f"break {percent(first.quantile)} of them\n(predicted: lower-upper; "
            f"measured: Kaplan-Meier; {count(first.budget)} queries an image;\n"
            "agrees: the measured 95 % interval meets the predicted range)"
        )
        table = new_table()
        for name in ("sigma", "attacker", "probe", "predicted", "measured", "95 %"):
            table.add_column(name, justify="left" if name == "attacker" else "right")
        table.add_column("broken", justify="right")
        table.add_column("agrees")
        for t in job.trials:
            table.add_row(
                f"{t.sigma:.3g}",
                t.attacker,
                f"{t.plan.probe:g}",
                span(t.predicted[0], t.predicted[2]),
                short(t.measured, t.budget),
                span(t.interval[0], t.interval[1], t.budget),
                percent(t.success_rate),
                "yes" if t.agrees else "NO",
            )
        console.print(table)
    if len(job.recommendations) == 2:
        console.print(f"In short: {_short_answer(*job.recommendations)}\n")
    if job.figure:
        console.print(
            f"Figure: {job.figure}, its data beside it as .csv",
            soft_wrap=True,
            markup=False,
        )


def _short_answer(published: Recommendation, best: Recommendation) -> str:
    """The decision in a sentence or two."""
    enough = ("FEASIBLE", "NO_NOISE_NEEDED")
    if best.status in enough:
        return f"sigma {best.sigma:.3g} is enough, whoever attacks with NES."
    rest = (
        "one who answers the defence gets through with "
        f"{count(best.predicted_queries[0])} queries "
        "even at the noise that hinders him most. Noise here is no defence against "
        "him: limit the queries, or lower the target."
    )
    if published.status in enough:
        return (
            f"sigma {published.sigma:.3g} only deters an attacker who does not answer "
            f"the defence; {rest}"
        )
    return f"no affordable noise is enough; {rest}"


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
