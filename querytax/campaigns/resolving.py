"""Who attacks what: a plan's words against networks that are at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from querytax import expect
from querytax.attacks.foreign.table import find as find_foreign
from querytax.attacks.table import ATTACKS, find
from querytax.attacks.work import check_budget, pays
from querytax.campaigns.jobs import Job, trial_of
from querytax.campaigns.laboratory import Laboratory
from querytax.campaigns.plan import Attackers, Campaign, Field
from querytax.catalogue import DEFENCES
from querytax.evidence import Contender
from querytax.expect import DomainError
from querytax.plans import Plan
from querytax.sites import Site
from querytax.trials.identity import identify

__all__ = ["resolved"]


def resolved(laboratory: Laboratory) -> tuple[Campaign, dict[str, str]]:
    """A laboratory's campaign with its fields, and why some of all attacks are out.

    Everything that can be wrong with a plan is found out here, before anything runs.

    Raises
    ------
    DomainError
        One line, with the place in the plan's file.
    """
    campaign = laboratory.campaign
    for entry in campaign.attacks:
        for word in entry.words:
            with _placed(campaign, entry.line):
                _check_word(word, entry)
    left_out: dict[str, str] = {}
    fields = []
    for network in campaign.networks:
        for site, strength in _sites(campaign):
            _check_defences(laboratory, network.name, site)
            found: dict[Contender, None] = {}
            for entry in campaign.attacks:
                with _placed(campaign, entry.line):
                    some = _contenders(
                        laboratory, entry, network.name, site, strength, left_out
                    )
                    found.update(dict.fromkeys(some))
            fields.append(Field(network.name, site, tuple(found)))
    if not any(field.contenders for field in fields):
        why = "; ".join(f"{word}: {reason}" for word, reason in left_out.items())
        raise DomainError(
            f"expected an attack that can run{campaign.place(campaign.attacks[0].line)}"
            f", got none{': ' if why else ''}{why}"
        )
    whole = dataclasses.replace(
        campaign, fields=tuple(f for f in fields if f.contenders)
    )
    laboratory.campaign = whole
    return whole, left_out


class _placed:
    """Errors in the block tell the line of the plan."""

    def __init__(self, campaign: Campaign, line: int) -> None:
        self.campaign, self.line = campaign, line

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, DomainError):
            place = self.campaign.place(self.line)
            raise DomainError(f"{error}{place}") from None


def _check_word(word: str, entry: Attackers) -> None:
    if ":" in word:
        find_foreign(word)
    else:
        expect.one_of(["all", "breaker", *ATTACKS], attack=word)
    if ":" in word and entry.recipes:
        raise DomainError(f"expected no recipe with {word}, which has its own")
    if word == "breaker" and entry.recipes:
        raise DomainError("expected no recipe with breaker, which has its own")
    if ":" not in word and "library" in entry.recipes:
        raise DomainError(f"expected recipe of {word} to be published or adaptive")


def _sites(campaign: Campaign) -> list[tuple[str, float]]:
    """Each defence with one of its strengths; the empty word first, where it is asked.

    No defence is one: it is attacked once, however many defences begin at 0.
    """
    names = [defence.site for defence in campaign.defences]
    for i, defence in enumerate(campaign.defences):
        if defence.site in names[:i]:
            with _placed(campaign, defence.line):
                raise DomainError(f"expected each defence once, got {defence.site!r}")
    found = [(d.site, max(d.strengths)) for d in campaign.defences if any(d.strengths)]
    bare = not campaign.defences or any(0.0 in d.strengths for d in campaign.defences)
    return [("", 0.0)] * bare + found


def _check_defences(laboratory: Laboratory, network: str, site: str) -> None:
    """Whether the network can be defended so, at every strength."""
    campaign = laboratory.campaign
    for defence in campaign.defences:
        if defence.site != site:
            continue
        with _placed(campaign, defence.line):
            for strength in defence.strengths:
                laboratory.ground(network).noisy("", site, strength, 0)


def _contenders(
    laboratory: Laboratory,
    entry: Attackers,
    network: str,
    site: str,
    strength: float,
    left_out: dict[str, str],
) -> Iterator[Contender]:
    """Those of one entry of the plan, on one network and behind one defence."""
    campaign = laboratory.campaign
    for word in entry.words:
        if word == "all":
            for name in ATTACKS:
                yield from _of_all(
                    laboratory, entry, network, site, strength, name, left_out
                )
            continue
        for who in _named(word, entry, site):
            for eps in campaign.eps:
                plan = _plan(laboratory, network, site, strength, who, eps)
                # Named, it shall be told by every budget.
                check_budget(plan, campaign.n_queries[0], campaign.votes)
            yield who


def _named(word: str, entry: Attackers, site: str) -> list[Contender]:
    if word == "breaker":
        rival = Site.parse(site).word if site else ""
        if not rival:
            return []
        attack, changes = DEFENCES[rival].attack
        own = {**changes, **dict(entry.settings)}
        return [Contender(attack, own.pop("recipe", "adaptive"), tuple(own.items()))]
    recipes = ("library",) if ":" in word else entry.recipes or ("published",)
    return [Contender(word, recipe, entry.settings) for recipe in recipes]


def _of_all(
    laboratory: Laboratory,
    entry: Attackers,
    network: str,
    site: str,
    strength: float,
    name: str,
    left_out: dict[str, str],
) -> Iterator[Contender]:
    """The recipes of one attack, unless it is out; one, where they are the same."""
    campaign = laboratory.campaign
    if find(name).surrogate and laboratory.surrogate(network) is None:
        left_out[name] = "wants a surrogate"
        return
    seen: list[list[Plan]] = []
    for recipe in entry.recipes or ("published", "adaptive"):
        who = Contender(name, recipe)
        try:
            plans = [
                _plan(laboratory, network, site, strength, who, eps)
                for eps in campaign.eps
            ]
        except DomainError as error:
            left_out[name] = str(error)
            continue
        if not all(pays(plan, campaign.largest, campaign.votes) for plan in plans):
            left_out[f"{name}, {recipe}"] = "budget below its first step and votes"
            continue
        plain = [plan.replace(name="") for plan in plans]
        if plain not in seen:
            seen.append(plain)
            yield who


def _plan(
    laboratory: Laboratory,
    network: str,
    site: str,
    strength: float,
    who: Contender,
    eps: float,
) -> Plan:
    """What an attacker would do, if he can."""
    campaign = laboratory.campaign
    job = Job(network, site, strength, who, eps, campaign.seeds[0], 0, 1)
    return identify(
        laboratory.ground(network),
        trial_of(job, campaign),
        votes=campaign.votes,
        surrogate=laboratory.surrogate(network),
    ).plan
