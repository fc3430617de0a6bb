"""Attacks in words: the table of them, one run, and the portfolio's."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from querytax import expect
from querytax.attacks import ATTACKS, AttackResult, QueryCount, Run, find
from querytax.attacks.block import ACCESS
from querytax.attacks.foreign import FOREIGN
from querytax.attacks.foreign.table import find as find_foreign
from querytax.attacks.table import RECIPES
from querytax.plans import NORMS, Plan, check_budget
from querytax.sites import Site
from querytax.terminal import WIDTH, new_table, short, span, terminal
from querytax.words import count, percent, spelt

__all__ = [
    "EPS",
    "facts_of_attacks",
    "grouped",
    "print_attack",
    "print_attacks",
    "print_portfolio",
    "runs_of",
    "strongest_first",
    "unresolved",
]

# Where none is named.
EPS = {"Linf": 8 / 255, "L2": 1.0}
_BEFORE = ("misclassified", "target already")
_MEANINGS = {
    "noisy": "one noisy answer",
    "submitted": "one of {} more answers",
    "confirmed": "most of {} more answers",
    "clean": "the model without noise",
    "broken": "the last two, both",
}


def facts_of_attacks(names: Sequence[str], access: str | None) -> list[dict[str, Any]]:
    """The table of attacks as plain data.

    Raises
    ------
    DomainError
        For an unknown attack or access.
    """
    facts = [_facts(name) for name in names or (*ATTACKS, *FOREIGN)]
    if access:
        most = ACCESS.index(expect.one_of(ACCESS, access=access))
        enough = [fact for fact in facts if ACCESS.index(fact["access"]) >= most]
        for fact in facts if names else ():
            if fact not in enough:
                raise expect.DomainError(
                    f"expected access {fact['access']!r} or more for {fact['name']}, "
                    f"got {access!r}"
                )
        return enough
    return facts


def _facts(name: str) -> dict[str, Any]:
    if ":" in name:
        other = find_foreign(name)
        return {
            "name": name,
            "about": other.about,
            "access": other.access,
            "norms": list(other.norms),
            "targeted": other.targeted != "no",
            "surrogate": False,
            "source": other.package,
            "recipes": {},
        }
    entry = find(name)
    return {
        "name": entry.name,
        "about": entry.about,
        "access": entry.access,
        "norms": list(entry.norms),
        "targeted": entry.targeted,
        "surrogate": entry.surrogate,
        "source": entry.source,
        "recipes": {
            recipe: {
                norm: entry.recipe(recipe, EPS[norm], norm, (3, 32, 32)).describe()
                for norm in entry.norms
            }
            for recipe in RECIPES
        },
        "settings": {
            field.name: field.default
            for field in dataclasses.fields(entry.plan)
            if field.name not in ("eps", "name")
        },
    }


def print_attacks(facts: Sequence[dict[str, Any]], whole: bool) -> None:
    """A line an attack; with ``whole`` also its source and its recipes."""
    native = [fact for fact in facts if fact["recipes"]]
    others = [fact for fact in facts if not fact["recipes"]]
    if native:
        _print_table(native)
    if others:
        terminal().print(
            "By libraries, on the same meter; each is an extra to install:"
        )
        _print_table(others)
    for fact in facts if whole else ():
        print(textwrap.fill(f"{fact['name']}: {fact['source']}.", WIDTH))
        if fact["recipes"]:
            for kind in reversed(find(fact["name"]).plan.__mro__):
                if issubclass(kind, Plan):
                    print("\n" + _reflowed(inspect.cleandoc(kind.__doc__ or "")))
            print()
        for recipe, plans in fact["recipes"].items():
            for said in plans.values():
                print(
                    textwrap.fill(
                        f"{recipe}: {said}",
                        WIDTH,
                        initial_indent="  ",
                        subsequent_indent="    ",
                    )
                )


def _reflowed(doc: str) -> str:
    """A docstring down to its errors, in lines that fit."""
    out: list[str] = []
    lines = doc.partition("\nRaises\n")[0].splitlines()
    for indent, group in itertools.groupby(lines, _indent):
        text = list(group)
        if any(set(line) == {"-"} for line in text):
            out += text
        else:
            space = " " * max(indent, 0)
            out.append(
                textwrap.fill(
                    " ".join(line.strip() for line in text),
                    WIDTH,
                    initial_indent=space,
                    subsequent_indent=space,
                )
            )
    return "\n".join(out)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else -1


def _print_table(facts: Sequence[dict[str, Any]]) -> None:
    table = new_table()
    for name in ("attack", "access", "norms", "target", "what it does"):
        table.add_column(name, no_wrap=name != "what it does")
    for fact in facts:
        table.add_row(
            fact["name"],
            fact["access"],
            " ".join(fact["norms"]),
            "yes" if fact["targeted"] else "no",
            fact["about"] + (" (surrogate)" if fact["surrogate"] else ""),
        )
    terminal().print(table)


def runs_of(
    model: Any,
    images: Tensor,
    labels: Tensor,
    name: str,
    *,
    recipe: str | None,
    access: str,
    changes: dict[str, Any],
    least: tuple[int, int] = (10_000, 9),
    surrogate: Any = None,
    rng: int = 0,
) -> tuple[list[Run], dict[str, str]]:
    """The runs that a name stands for, and why the others of ``all`` do not run.

    Parameters
    ----------
    model, images, labels, surrogate, rng
        As in :func:`querytax.attack`.
    name : str
        An attack, or ``all``.
    recipe : str or None
        For ``all`` both recipes without.
    access : str
    changes : dict
        Settings; for ``all`` only ``eps``, ``norm`` and what every plan has.
    least : (int, int)
        Budget and votes: attacks of ``all`` whose first step costs more are left out.

    Raises
    ------
    DomainError
        As :func:`querytax.attack`.
    """
    shape = tuple(images.shape[1:])
    rest = dict(changes)
    norm = rest.pop("norm", "Linf" if name == "all" else find(name).norm)
    eps = rest.pop("eps", EPS[expect.one_of(NORMS, norm=norm)])
    check_budget(eps, norm, math.prod(shape))

    def runs(plans: Sequence[Plan]) -> list[Run]:
        return [
            Run(model, images, labels, plan, surrogate=surrogate, rng=rng)
            for plan in plans
        ]

    if name != "all":
        plan = find(name).recipe(recipe or "published", eps, norm, shape, **rest)
        return runs([plan]), {}
    for key in rest:
        common = [field.name for field in dataclasses.fields(Plan)]
        expect.one_of(common, **{"a setting that all attacks have": key})
    left_out: dict[str, str] = {}
    plans: list[Plan] = []
    for word in ATTACKS:
        entry = find(word)
        if ACCESS.index(access) > ACCESS.index(entry.access):
            left_out[word] = f"need {entry.access}"
        elif norm not in entry.norms:
            left_out[word] = f"only {' and '.join(entry.norms)}"
        elif entry.surrogate and surrogate is None:
            left_out[word] = "need a surrogate"
        else:
            some: list[Plan] = []
            for each in [recipe] if recipe else RECIPES:
                plan = entry.recipe(each, eps, norm, shape, **rest)
                why = _hindrance(plan, shape, *least)
                # Where the recipes agree, one run tells for both.
                same = some and some[0] == plan.replace(name=some[0].name)
                if why:
                    left_out[f"{word} ({each})"] = why
                elif not same:
                    some.append(plan)
            plans += some
    return runs(plans), left_out


def _hindrance(plan: Plan, shape: tuple[int, ...], n_queries: int, votes: int) -> str:
    """Why a plan cannot run, or nothing."""
    try:
        plan.check_shape(shape)
    except expect.DomainError:
        return f"cannot take images of shape {shape}"
    needs = plan.least * plan.repeats + votes
    return f"need {needs} queries" if needs > n_queries else ""


def grouped(left_out: dict[str, str]) -> str:
    """Who does not run, by the reason."""
    reasons: dict[str, list[str]] = {}
    for word, why in left_out.items():
        reasons.setdefault(why, []).append(word)
    return "; ".join(f"{', '.join(words)}: {why}" for why, words in reasons.items())


def unresolved(results: Sequence[AttackResult]) -> bool:
    """Whether every run of every attack crashed: nothing was found out."""
    ends = [word for result in results for word in result.status]
    tried = [word for word in ends if word not in _BEFORE]
    return bool(tried) and all(word.startswith("crashed") for word in tried)


def print_attack(result: AttackResult, site: str, sigma: float) -> None:
    """One attack's counts, by every meaning of success."""
    screen = terminal()
    print(textwrap.fill(result.plan.describe(), WIDTH, subsequent_indent="  "))
    screen.print(
        f"{_images(result)}, {_guard(site, sigma)}, "
        f"{count(result.budget)} queries each, {count(result.total_queries)} in all",
        soft_wrap=True,
        markup=False,
    )
    table = new_table()
    for name in ("adversarial by", "share", "a tenth by", "half by", "95 %", "open"):
        table.add_column(name, justify="left" if name == "adversarial by" else "right")
    for name, words in _MEANINGS.items():
        found = getattr(result, name)
        table.add_row(
            words.format(result.votes),
            percent(found.rate()),
            short(found.quantile(0.1), result.budget),
            short(found.quantile(), result.budget),
            _bounds(found, result.budget),
            str(int((~found.success).sum())),
        )
    screen.print(table)
    parts = [f"{count(rows.sum())} {word}" for word, rows in result.spent.items()]
    screen.print(f"Charged: {', '.join(parts)}.", soft_wrap=True)
    _print_endings([result])


def strongest_first(results: Sequence[AttackResult]) -> list[AttackResult]:
    """By the queries that break half of the images, then by the share broken."""

    def key(result: AttackResult) -> tuple[float, float, float]:
        found = result.broken
        return found.quantile(), -found.rate(), found.quantile(0.1)

    return sorted(results, key=key)


def _guard(site: str, sigma: float) -> str:
    """What stands before the model."""
    place = Site.parse(site) if site != "rfd" else None
    if place is not None and place.word:
        return f"{place.name} of {place.strength} {sigma:g}"
    return f"noise {sigma:g} at {spelt(site)}"


def print_portfolio(
    results: Sequence[AttackResult],
    site: str,
    sigma: float,
    left_out: dict[str, str],
) -> None:
    """One table of many attacks, the strongest first."""
    screen, first = terminal(), results[0]
    screen.print(
        f"{_images(first)}, {_guard(site, sigma)}, "
        f"{first.plan.norm} eps {first.plan.eps:.4g}, {count(first.budget)} queries "
        f"each.\nBroken: {first.votes // 2 + 1} of {first.votes} fresh answers "
        "adversarial, and the model without noise fooled.",
        soft_wrap=True,
        markup=False,
    )
    table = new_table()
    for name in ("attack", "recipe"):
        table.add_column(name, no_wrap=True)
    for name in ("broken", "share 95 %", "a tenth by", "half by", "half 95 %"):
        table.add_column(name, justify="right")
    for result in strongest_first(results):
        found = result.broken
        facts = found.to_json()
        rate = [100 * v if v is not None else math.nan for v in _rate(facts)]
        table.add_row(
            result.plan.attack,
            result.plan.name,
            "n/a" if math.isnan(rate[0]) else f"{rate[0]:.0f} %",
            "" if math.isnan(rate[0]) else f"{rate[1]:.0f}-{rate[2]:.0f}",
            short(found.quantile(0.1), result.budget),
            short(found.quantile(), result.budget),
            _bounds(found, result.budget),
        )
    screen.print(table)
    if left_out:
        print(textwrap.fill(f"Not run: {grouped(left_out)}.", WIDTH))
    _print_endings(results)


def _images(result: AttackResult) -> str:
    """How many were attacked, and what of the others."""
    n, all_ = int(result.attacked.sum()), len(result.attacked)
    if n == all_:
        return f"{n} images"
    why = next(word for word in result.status if word in _BEFORE)
    return f"{n} of {all_} images ({all_ - n} {why})"


def _bounds(found: QueryCount, budget: int) -> str:
    """The interval of the median; what begins at the budget is beyond it."""
    low, high = found.interval()
    return short(math.inf, budget) if low >= budget else span(low, high, budget)


def _rate(facts: dict[str, Any]) -> tuple[Any, Any, Any]:
    low, high = facts["success_interval_95"]
    return facts["success_rate"], low, high


def _print_endings(results: Sequence[AttackResult]) -> None:
    """What ended runs besides success and the budget."""
    for result in results:
        usual = ("broken", "open", *_BEFORE)
        odd: dict[str, int] = {}
        for word in result.status:
            if word not in usual:
                odd[word] = odd.get(word, 0) + 1
        for word, n in odd.items():
            word = "ended, with nothing more to ask" if word == "ended" else word
            many = f"{n} image{'s' if n > 1 else ''}"
            said = f"{result.plan.attack}, {result.plan.name}: {many} {word}"
            print(textwrap.fill(said, WIDTH))
