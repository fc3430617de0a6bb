"""The main job as a person meets it: from a file, from a model, and as a demo."""

from __future__ import annotations

import dataclasses
import math
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from querytax.evidence import Contender, Trial, Tried
from querytax.expect import DomainError
from querytax.recommend import Inquiry, Recommendation, recommend_sigma
from querytax.recommend.inverter import check_question
from querytax.recommend.mixtures import is_sought
from querytax.recommend.prediction import published_plan
from querytax.recommend.race import Standing
from querytax.sites import Site
from querytax.statistics import ModelStatistics
from querytax.terminal import WIDTH, new_table, short, span, terminal
from querytax.words import count, percent, spelt

__all__ = ["Job", "demo_job", "model_job", "print_job", "statistics_job"]

# Held-out images of the demo's table; a recommendation is certified on all of them.
_SHOWN = 80


@dataclass
class Job:
    """Recommendations, and the attacks of the demo's table."""

    recommendations: list[Recommendation]
    tried: list[Tried] = field(default_factory=list)
    figure: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        exposed = 1.0 - self.recommendations[0].protect
        return {
            "recommendations": [r.to_json() for r in self.recommendations],
            "attacks": [
                {**t.trial.to_json(), **_plain(Standing.of(t, exposed))}
                for t in self.tried
            ],
            "figure": self.figure,
            **self.facts,
        }


def _plain(standing: Standing) -> dict[str, Any]:
    """What an attack did, without infinities."""
    low, middle, high = standing.queries
    return {
        "fell": standing.fell,
        "broken": standing.broken,
        "share": standing.share,
        "queries": [v if v < float("inf") else None for v in (low, middle, high)],
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
        question["site"] = _usual_site(stats)
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


def model_job(
    model: Any,
    calibration: tuple[Any, Any],
    held_out: tuple[Any, Any] | None,
    *,
    attackers: list[str] | None,
    stats: str | None,
    out: str | None,
    site: str | list[str] | None,
    eps: float | None,
    norm: str | None,
    **question: Any,
) -> Job:
    """Answer for a model at hand, by attacks."""
    from querytax.certifying import certify

    if out:
        from querytax.figures.frontier import expect_format
        from querytax.files import writable

        expect_format(out)
        writable(out)
    known = ModelStatistics.load(stats) if stats else None
    norm, eps = _budget(known, norm, eps)
    job = Job(
        [
            certify(
                model,
                *calibration,
                held_out=held_out,
                stats=known,
                attacker=name,
                site=site or _usual_site(known),
                eps=eps,
                norm=norm,
                **question,
            )
            for name in attackers or ["best"]
        ]
    )
    if out:
        from querytax.figures import frontier_figure, portfolio_figure

        first = job.recommendations[0]
        if first.standings:
            portfolio_figure(first, path=out)
        else:
            frontier_figure(job.recommendations, path=out)
        job.figure = out
    return job


def _usual_site(stats: ModelStatistics | None) -> str:
    """Where the noise is, if nobody says: the only place that was probed."""
    if stats is not None and len(stats.sites) == 1:
        return next(iter(stats.sites))
    return "output"


def _budget(
    stats: ModelStatistics | None, norm: str | None, eps: float | None
) -> tuple[str, float]:
    """The perturbation budget: what is given, what was probed, or the usual one."""
    from querytax.report_attacks import EPS

    if stats is None:
        norm = norm or "Linf"
        return norm, EPS[norm] if eps is None else eps
    norm = norm or stats.norm
    eps = stats.eps if eps is None else eps
    if norm != stats.norm or not math.isclose(eps, stats.eps, rel_tol=1e-6):
        raise DomainError(
            f"expected the budget of the statistics, {stats.norm} eps {stats.eps:.4g}, "
            f"got {norm} eps {eps:.4g}"
        )
    return norm, eps


def demo_job(
    *,
    attackers: list[str] | None,
    changes: dict[str, Any],
    out: str,
    rng: int,
    effort: str,
    jobs: int | None,
    verbose: bool,
    **question: Any,
) -> Job:
    """Train, measure, race, certify, draw: the whole line on the embedded digits."""
    from querytax import demo
    from querytax.attacks.workers import cores
    from querytax.certifying import PROBES, settle
    from querytax.figures import frontier_figure, portfolio_figure
    from querytax.figures.frontier import expect_format
    from querytax.files import writable
    from querytax.mixing import mix
    from querytax.probes import probe
    from querytax.trials import Bench

    check_question(
        *(question[k] for k in ("target_queries", "max_accuracy_loss", "protect"))
    )
    expect_format(out)
    writable(out)
    say = _Steps(verbose)
    plan = demo.PLAN.replace(**changes)
    say("loading the digits and the demo network (trained on first use)")
    model, split = demo.load_model(), demo.digits()
    settings: dict[str, Any] = {
        "eps": plan.eps,
        "norm": plan.norm,
        "rng": rng,
        "verbose": verbose,
        **PROBES[effort],
    }
    if is_sought(question["site"]):
        say("looking for the weights of the noise at several places")
    mixed = mix(
        model,
        *split.probe,
        [question["site"]],
        max_accuracy_loss=question["max_accuracy_loss"],
        question={
            "attacker": (attackers or ["best"])[0],
            "plan": plan,
            **{k: question[k] for k in ("base_queries", "protect", "access")},
        },
        **settings,
    )
    question["site"] = mixed.sites
    say("probing 300 images, 64 of them along the way to the boundary")
    stats = probe(
        model, *split.probe, sites=mixed.sites, sigmas=mixed.sigmas, **settings
    )
    bench = Bench(
        model,
        {"calibration": split.probe, "held_out": split.held_out},
        jobs=cores() if jobs is None else jobs,
    )
    found = []
    for name in attackers or ["best"]:
        inquiry = Inquiry(stats, attacker=name, plan=plan, surrogate=False, **question)
        one = settle(inquiry, bench, effort=effort, seed=rng, verbose=verbose)
        found.append(dataclasses.replace(one, notes=(*one.notes, *mixed.notes)))
    first = found[0]
    tried = []
    if first.status != "OUT_OF_REGIME":
        say("the attacks of the table, on held-out images")
        tried = bench.run(_shown(first, stats, rng), verbose=verbose)
    if first.standings:
        portfolio_figure(first, path=out)
    else:
        frontier_figure(found, path=out)
    return Job(found, tried, out, {"test_accuracy": _accuracy(model, split)})


def _shown(rec: Recommendation, stats: ModelStatistics, rng: int) -> list[Trial]:
    """Published NES, who binds with the noise and without, and blind patterns."""
    who = [Contender("nes", "published")]
    who += [
        s.contender for s in (rec.noiseless, *rec.standings[:1], rec.runner_up) if s
    ]
    who.append(Contender("patterns"))
    images = min(dict(rec.images).get("held_out", _SHOWN), _SHOWN)
    return [
        Trial(
            one,
            stats.eps,
            stats.norm,
            rec.access,
            rec.site,
            sigma,
            "held_out",
            images,
            max(rec.certified_to, 100),
            rng + 1,
        )
        for one in dict.fromkeys(who)
        for sigma in dict.fromkeys((0.0, rec.sigma))
    ]


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


# -- what a person reads ----------------------------------------------------------


def print_job(job: Job) -> None:
    """The question, the verdict, the statement, and the attacks in a table."""
    console = terminal()
    if "test_accuracy" in job.facts:
        console.print(
            f"Demo: a small CNN on UCI digits, test accuracy "
            f"{percent(job.facts['test_accuracy'])} (600 images)."
        )
    for rec in job.recommendations:
        console.print(
            textwrap.fill(
                f"Asked: {count(rec.target_queries)} queries before more than "
                f"{percent(1 - rec.protect)} of the images break, for at most "
                f"{percent(rec.max_accuracy_loss)} of accuracy; "
                f"{'' if Site.parse(rec.site).word else 'noise at '}"
                f"{spelt(rec.site)}.",
                WIDTH,
            ),
            markup=False,
        )
        console.print(f"\n[bold]{rec.status}[/], {_kind(rec)}\n")
        console.print(spelt(rec.statement()), soft_wrap=True, markup=False)
        if rec.standings and not job.tried:
            console.print(_standings(rec))
    if job.tried:
        console.print(_attacks(job))
    if job.figure:
        console.print(
            f"Figure: {job.figure}, its data beside it as .csv",
            soft_wrap=True,
            markup=False,
        )


def _kind(rec: Recommendation) -> str:
    """What the verdict rests on, in a few words."""
    against = (
        "the best of all attackers" if rec.attacker == "best" else f"{rec.attacker}"
    )
    return f"{rec.evidence} against {against}"


def _standings(rec: Recommendation) -> Any:
    """The attacks at the recommended level."""
    table = new_table()
    table.add_column("attack")
    exposed = percent(1 - rec.protect)
    for name in ("images", "broken", f"queries for {exposed}", "95 %"):
        table.add_column(name, justify="right")
    for s in rec.standings[:8]:
        table.add_row(s.contender.name, f"{s.images}", *_cells(s))
    return table


def _attacks(job: Job) -> Any:
    """The demo's table: an attack a row, without and with the noise."""
    rec = job.recommendations[0]
    levels = sorted({t.trial.sigma for t in job.tried})
    exposed = 1.0 - rec.protect
    table = new_table(
        title=f"Attacks on {job.tried[0].trial.images} held-out images: share broken "
        f"within {count(job.tried[0].trial.n_queries)}\nqueries, and queries until "
        f"more than {percent(exposed)} are (95 %)",
        title_justify="left",
        title_style="",
    )
    table.add_column("attack")
    for sigma in levels:
        table.add_column(
            "no noise" if sigma == 0 else f"sigma {sigma:.3g}", justify="right"
        )
        table.add_column("queries", justify="right")
    rows: dict[Contender, list[Tried]] = {}
    for t in job.tried:
        rows.setdefault(t.trial.contender, []).append(t)
    for who, several in rows.items():
        cells = []
        for t in sorted(several, key=lambda t: t.trial.sigma):
            share, queries, _ = _cells(Standing.of(t, exposed))
            cells += [share, queries]
        mark = " <" if rec.standings and who == rec.standings[0].contender else ""
        table.add_row(f"{who.name}{mark}", *cells)
    return table


def _cells(s: Standing) -> Sequence[str]:
    """Share broken, queries, and their interval."""
    low, middle, high = s.queries
    return (
        percent(s.share[1]),
        short(middle, s.n_queries),
        span(low, high, s.n_queries),
    )
