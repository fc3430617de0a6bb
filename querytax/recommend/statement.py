"""A recommendation in words: short paragraphs with every assumption in them."""

from __future__ import annotations

import math
import textwrap

from querytax.catalogue import DEFENCES
from querytax.recommend.race import Standing
from querytax.recommend.recommendation import Interval, Recommendation
from querytax.sites import Site
from querytax.words import count, percent

__all__ = ["statement"]

_WIDTH = 79


def statement(rec: Recommendation) -> str:
    """The answer for a person."""
    if rec.status == "OUT_OF_REGIME":
        said = [
            f"These statistics cannot answer: {rec.advice}. The attack: "
            f"{rec.plan.describe()}. Nothing is recommended."
        ]
    else:
        said = [_head(rec), _who(rec), _limits(rec), _question(rec), _rests_on(rec)]
        if rec.otherwise:
            said.append(f"What else could be done: {'; '.join(rec.otherwise)}.")
        if rec.rivals:
            said.append(_elsewhere(rec))
        said += [f"Note: {note}." for note in rec.notes]
    return "\n\n".join(textwrap.fill(" ".join(s.split()), _WIDTH) for s in said if s)


def _head(rec: Recommendation) -> str:
    """The verdict, and what to do about it."""
    noise, none, such = _noise(rec)
    target = count(rec.target_queries)
    exposed = percent(1 - rec.protect)
    match rec.status:
        case "FEASIBLE":
            head = (
                f"{noise} is enough: none of the {len(rec.standings)} attacks that it "
                f"was certified against, the strongest of {len(rec.considered)} that "
                f"raced, breaks more than {exposed} of the images for fewer than "
                f"{target} queries."
            )
        case "NO_NOISE_NEEDED":
            head = (
                f"No noise is needed: without any, none of the {len(rec.standings)} "
                "attacks of the certificate, the strongest of "
                f"{len(rec.considered)} that raced, breaks more than {exposed} of the "
                f"images for fewer than {target} queries."
            )
        case "PREDICTED" if rec.evidence == "certified":
            head = (
                f"{noise if rec.sigma > 0 else 'The model without noise'} held "
                f"against {len(rec.standings)} attacks, the strongest of "
                f"{len(rec.considered)} that raced, for {count(rec.certified_to)} "
                f"queries; that it holds for {target} is a prediction."
            )
        case "PREDICTED":
            what = (
                f"{noise} is predicted to be enough"
                if rec.sigma > 0
                else "The model without noise is predicted to hold"
            )
            whom, who = (
                ("all attacks that laws predict", "the best of them")
                if rec.attacker == "best"
                else (f"the attack asked about, {rec.attacker}", "it")
            )
            head = (
                f"{what} against {whom}: to break more than {exposed} of the images "
                f"{who} needs {_needed(rec)}. Nothing was tried."
            )
        case "INFEASIBLE" if rec.binding == "blind patterns":
            head = (
                "No noise is enough, at any site: blind patterns, which listen to no "
                f"answer, break more than {exposed} of the images for "
                f"{_span(rec.ceiling)} queries, where the target is {target}."
            )
        case "INFEASIBLE" if rec.standings:
            best = rec.standings[0]
            head = (
                f"{none} that the accuracy allows is enough. {such} it does most, and "
                f"{best.contender.name}, still breaks {_share(best)} of the images "
                f"within {count(best.n_queries)} queries: {_cost(best, exposed)}."
            )
        case "INFEASIBLE":
            head = (
                f"{none} that the accuracy allows is predicted to be enough. {such} it "
                f"does most: the "
                f"best attack then needs {_needed(rec)}, where the target is {target}."
            )
        case _ if rec.binding == "accuracy":
            head = (
                "Not answered: the model is right no more often than a guess. "
                f"{rec.advice}."
            )
        case _ if rec.binding == "trials":
            head = "Not answered yet."
        case _ if rec.standings:
            head = (
                f"Not resolved. At {rec.site}, {_strength(rec)} {rec.sigma:.4g}, "
                f"{rec.standings[0].contender.name}, breaks "
                f"{_share(rec.standings[0])} of the images, and {exposed} may fall."
            )
        case _ if rec.predicted_by and rec.binding == "laws":
            head = f"Not answered: at {rec.site} the laws leave it open."
        case _ if not rec.predicted_by:
            head = f"Not answered: at {rec.site} no law says what the attack needs."
        case _:
            head = (
                f"The probed noise levels at {rec.site} end before the target is "
                f"reached: at {rec.sigma:.4g} the best attack that laws predict needs "
                f"{_needed(rec)}."
            )
    return f"{head} {rec.advice}." if rec.advice else head


def _noise(rec: Recommendation) -> tuple[str, str, str]:
    """What is recommended; that none is enough; and how much of it does most."""
    if Site.parse(rec.site).word:
        return (
            f"The defence {rec.site} of {_strength(rec)} {rec.sigma:.6g}",
            f"No {_strength(rec)} of {rec.site}",
            f"At {rec.sigma:.4g}",
        )
    return (
        f"Gaussian noise of standard deviation {rec.sigma:.6g} at {rec.site}",
        f"No noise at {rec.site}",
        f"Of standard deviation {rec.sigma:.4g}",
    )


def _strength(rec: Recommendation) -> str:
    return Site.parse(rec.site).strength


def _needed(rec: Recommendation) -> str:
    """What the best attack is predicted to need."""
    low, estimate, _ = rec.predicted_queries
    if math.isinf(low):
        return f"{count(low)} queries: the attack stalls"
    return f"{count(low)} queries or more (best guess {count(estimate)})"


def _who(rec: Recommendation) -> str:
    """Who was considered, who binds, and what the next one needs."""
    if not rec.considered:
        return _by_laws(rec)
    exposed = percent(1 - rec.protect)
    said = (
        f"Against {_attacker(rec)}, told {rec.access}; the budget binds the image "
        f"that is handed in, not the probes. Considered: {', '.join(rec.considered)}."
    )
    if rec.standings:
        best = rec.standings[0]
        said += f" The one that binds is {best.contender.name}: {_cost(best, exposed)}."
        if rec.runner_up:
            said += (
                f" The next of another kind, {rec.runner_up.contender.name}: "
                f"{_cost(rec.runner_up, exposed)}."
            )
    if rec.noiseless:
        said += (
            f" Without noise the cheapest is {rec.noiseless.contender.name}: "
            f"{_cost(rec.noiseless, exposed)}."
        )
    return said


def _by_laws(rec: Recommendation) -> str:
    """Which attack binds by laws, what the others need, and who is not predicted."""
    said = []
    words = [word for word, _ in rec.predicted_by]
    if words:
        said.append(f"By laws {words[0]} binds.")
    if words[1:]:
        others = (f"{w} {count(ends[0])}" for w, ends in rec.predicted_by[1:])
        said.append(f"The others need, at least: {', '.join(others)}.")
    if "nes" in words:
        said.append(f"The gradient estimator: {rec.plan.describe()}.")
    if rec.unpredicted:
        said.append(f"Not predicted, and to be tried: {', '.join(rec.unpredicted)}.")
    return " ".join(said)


def _attacker(rec: Recommendation) -> str:
    if rec.attacker == "best":
        return "the best of all attackers"
    if rec.attacker.startswith("published"):
        return "an attacker who keeps the published settings"
    return f"{rec.attacker} with its choices"


def _limits(rec: Recommendation) -> str:
    """The two numbers that no plan and no noise moves."""
    said = []
    exposed = percent(1 - rec.protect)
    if rec.ceiling is not None:
        if math.isinf(rec.ceiling[1]):
            said.append(
                "The blind ceiling, which no noise exceeds, lies above the "
                f"{rec.patterns} patterns that were tried on each image"
                + (
                    f" (by the 95 % interval, above {count(rec.ceiling[0])})."
                    if rec.ceiling[0] < rec.patterns
                    else "."
                )
            )
        else:
            said.append(
                "The blind ceiling: without listening to any answer, patterns break "
                f"{exposed} of the images for {_span(rec.ceiling)} queries, whatever "
                "the noise."
            )
    said.append(
        f"The floor: one comparison of two answers costs {rec.floor_queries:.3g} "
        "queries at least if it is to be right 99 times in 100; it bounds that "
        "comparison, not an attack."
        if rec.floor_queries >= 1.0
        else "The floor of one reliable comparison is below one query: it says nothing."
    )
    if rec.smoothed is not None:
        said.append(
            f"By randomised smoothing {percent(rec.smoothed[0])} of the images or "
            "more keep their majority answer inside the budget at any number of "
            "queries."
            if rec.smoothed[1] > 0
            else "Randomised smoothing protects no image inside this budget: it says "
            "nothing."
        )
    return " ".join(said)


def _question(rec: Recommendation) -> str:
    loss = rec.accuracy_loss
    return (
        f"Asked: {count(rec.target_queries)} queries for {percent(rec.protect)} of the "
        f"images that the model gets right; {percent(rec.fraction_protected)} withstand"
        f" (95 % interval {percent(rec.fraction_interval[0])} to "
        f"{percent(rec.fraction_interval[1])}, the images being a sample). Price: "
        f"{percent(loss[1])} of accuracy (between {percent(loss[0])} and "
        f"{percent(loss[2])}, two standard errors) of {percent(rec.clean_accuracy)}; "
        f"{percent(rec.max_accuracy_loss)} were allowed."
    )


def _rests_on(rec: Recommendation) -> str:
    """The kind of evidence, and what it assumes."""
    n = dict(rec.images)
    match rec.evidence:
        case "certified":
            said = (
                f"Certified: after all choices, tried again on "
                f"{n.get('held_out', 0)} held-out images with fresh draws, "
                f"{count(rec.certified_to)} queries each."
            )
            if rec.status in ("FEASIBLE", "NO_NOISE_NEEDED", "PREDICTED"):
                names = "; ".join(s.contender.name for s in rec.standings)
                said += (
                    f" The certificate is about: {names}. An image counts as soon as "
                    "one handed in fools the model without noise, confirmed or not; "
                    "the claim is wrong with a chance of 5 % at most. The other "
                    "attacks were left behind in the race, on fewer images and queries"
                    "."
                )
        case "tried":
            said = (
                "Tried: attacks on the images that choices were made on"
                if rec.considered
                else "Tried: patterns on the probed images"
            ) + "; not certified on others."
        case _ if not rec.predicted_by:
            said = "Nothing was tried, and no law predicts an attack here."
        case _:
            said = (
                "Predicted: laws, from statistics of the model; one plan for all "
                f"images; steps of {_stepping(rec)}; signal, noise, curvature and what "
                "a search's moves change as measured on the way to the boundary."
            )
    if rec.sigma > 0.0 and rec.status in ("FEASIBLE", "PREDICTED"):
        said += _least(rec)
    fresh = "Assumed: fresh independent noise for every query. "
    if (word := Site.parse(rec.site).word) and not DEFENCES[word].random:
        fresh = ""
    return (
        f"{said} {fresh}An attack that is not named here, or one with a copy of the "
        "model, is not covered."
    )


def _least(rec: Recommendation) -> str:
    """Where the least noise that is enough lies."""
    low, high = rec.sigma_interval
    if math.isinf(high):
        return f" The least noise that is enough is above {low:.3g}." if low else ""
    above = f"between {low:.3g} and {high:.3g}" if low else f"below {high:.3g}"
    return f" The least noise that is enough lies {above} (95 %)."


def _stepping(rec: Recommendation) -> str:
    return "a fixed rate" if rec.plan.step_rule == "plain" else "fixed length"


def _elsewhere(rec: Recommendation) -> str:
    """The other sites, the best of them first."""
    said = [
        f"{rival.site}: {rival.status}, sigma {rival.sigma:.3g}"
        + (
            f", {percent(rival.share[1])} broken ({percent(rival.share[0])} to "
            f"{percent(rival.share[2])})"
            if rival.share
            else ""
        )
        + f", {percent(rival.accuracy_loss[1])} of accuracy"
        for rival in rec.rivals
    ]
    return f"At other sites, {'; '.join(said)}."


def _share(standing: Standing) -> str:
    low, share, high = standing.share
    return f"{percent(share)} ({percent(low)} to {percent(high)})"


def _cost(standing: Standing, exposed: str) -> str:
    """What an attack takes to break the exposed share."""
    low, middle, high = standing.queries
    budget = count(standing.n_queries)
    if math.isinf(middle):
        return (
            f"more than {budget} queries for {exposed} of the images, "
            f"{_share(standing)} broken by then"
        )
    end = count(high) if math.isfinite(high) else f"more than {budget}"
    return f"{count(middle)} queries ({count(low)} to {end}) for {exposed} of them"


def _span(interval: Interval | None) -> str:
    low, middle, high = interval or (0.0, math.inf, math.inf)
    end = count(high) if math.isfinite(high) else "more than were tried"
    return f"{count(middle)} ({count(low)} to {end})"
