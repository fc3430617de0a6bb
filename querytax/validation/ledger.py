"""The ledger: every claim of the five papers, held against its evidence.

A verdict follows from intervals that hold at every sample size, at a false-alarm rate
that is a total over the whole ledger; those of unbounded draws rest on the central
limit theorem, and say so. A mutant of the true form, slightly wrong, has to be refuted
by the same test: a claim that could not fail proves nothing.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
import os
import time
import traceback
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from querytax import __version__, expect
from querytax.expect import DomainError
from querytax.files import atomic_write, read_json, writable, write_json
from querytax.montecarlo.estimates import Moments
from querytax.montecarlo.runs import estimate
from querytax.progress import progress
from querytax.seeds import seed_of
from querytax.validation.claim import (
    Claim,
    Computed,
    Form,
    Point,
    Simulated,
    Tabled,
    Unavailable,
    Verdict,
)

__all__ = ["PAPERS", "TIERS", "Entry", "Finding", "Ledger", "claims", "run"]

PAPERS = (
    "aithal-li-2022",
    "output-randomization-2020",
    "snd-2022",
    "rfd-2024",
    "rnd-2021",
)
# Sums of earlier runs, by claim and point.
Gathered: TypeAlias = dict[str, Moments]
# Probability that any interval of the ledger ever misses; exact for bounded draws.
FALSE_ALARMS = 1e-6


@dataclass(frozen=True)
class Tier:
    """How far a run goes: draws a point at most, and the share of a claim's margin."""

    samples: float
    sharper: float


TIERS = {"quick": Tier(2e7, 1.0), "full": Tier(1e9, 0.2)}


@functools.cache
def claims() -> tuple[Claim, ...]:
    """Every claim, paper by paper, in the order of its rows.

    Raises
    ------
    ValueError
        If an id occurs twice.
    """
    found: list[Claim] = []
    for paper in PAPERS:
        module = importlib.import_module(f"{__package__}.{paper.replace('-', '_')}")
        found += module.CLAIMS
    ids = [claim.id for claim in found]
    twice = {name for name in ids if ids.count(name) > 1}
    if twice:
        raise ValueError(f"expected every id once, got {sorted(twice)} twice")
    return tuple(found)


@dataclass(frozen=True)
class Finding:
    """What was found at one point of a claim.

    Attributes
    ----------
    arguments : mapping
    inside : bool
        Whether the point is in the claim's regime.
    value, low, high : float
        The evidence and its interval.
    samples : int
        Draws; 0 where the evidence is no simulation.
    asymptotic : bool
        Whether the interval rests on the central limit theorem: unbounded draws.
    forms : mapping of str to float
        Value of the printed, corrected and mutant form.
    holds : mapping of str to bool or None
        Whether each agrees with the evidence; None if undecided.
    """

    arguments: Mapping[str, Any]
    inside: bool
    value: float
    low: float
    high: float
    samples: int
    asymptotic: bool
    forms: Mapping[str, float]
    holds: Mapping[str, bool | None]


@dataclass(frozen=True)
class Entry:
    """A claim with its verdict and what led to it."""

    claim: Claim
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0
    trouble: str = ""

    @property
    def mutant_refuted(self) -> bool | None:
        """Whether the test can fail; None where there is nothing to test."""
        if not self.findings:
            return None
        return any(f.holds.get("mutant") is False for f in self.findings if f.inside)

    @property
    def surprise(self) -> bool:
        """Whether the verdict is not the recorded one, or the mutant survived."""
        return self.verdict != self.claim.expected or self.mutant_refuted is False


def _agrees(
    claim: Claim, value: float, low: float, high: float, share: float
) -> bool | None:
    """Whether a form's value is right, wrong or undecided, to the claim's margin."""
    if not math.isfinite(value):
        return value == low == high
    room = claim.margin * share * abs(value)
    above, below = claim.kind != "upper bound", claim.kind != "lower bound"
    wrong = (above and high < value - room) or (below and low > value + room)
    if wrong:
        return False
    right = (not above or low >= value - room) and (not below or high <= value + room)
    return True if right else None


def _value(form: Form, arguments: Mapping[str, Any]) -> float:
    """A form that fails at a point has no value there."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return float(form.value(**arguments))
        except (DomainError, ZeroDivisionError, OverflowError):
            return math.nan


def _find(
    claim: Claim, point: Point, tier: Tier, seed: int, alpha: float, gathered: Gathered
) -> Finding:
    values = {name: _value(form, point.arguments) for name, form in claim.forms.items()}

    def judged(low: float, high: float) -> dict[str, bool | None]:
        return {
            name: _agrees(
                claim, value, low, high, tier.sharper if name != "mutant" else 1.0
            )
            for name, value in values.items()
        }

    evidence, samples, asymptotic = claim.evidence, 0, False
    if isinstance(evidence, Simulated):
        key = f"{claim.id} {json.dumps(dict(point.arguments), sort_keys=True)}"
        found = estimate(
            evidence.experiment(**point.arguments),
            rng=seed,
            before=gathered.get(key),
            verdict=lambda low, high: None not in judged(low, high).values(),
            max_samples=tier.samples,
            alpha=alpha,
        )
        if found.stopped == "interrupted":
            raise KeyboardInterrupt
        value, low, high, samples = found.value, found.low, found.high, found.samples
        asymptotic = found.asymptotic
        gathered[key] = found.moments
    elif isinstance(evidence, Computed):
        value = float(evidence.value(**point.arguments))
        low, high = sorted(value * (1.0 + s * evidence.error) for s in (-1, 1))
    else:
        assert isinstance(evidence, Tabled)
        value = low = high = float(evidence.value())
    return Finding(
        dict(point.arguments),
        point.inside,
        value,
        low,
        high,
        samples,
        asymptotic,
        values,
        judged(low, high),
    )


def _verdict(claim: Claim, findings: Iterable[Finding]) -> Verdict:
    inside = [f.holds["printed"] for f in findings if f.inside]
    outside = [f.holds["printed"] for f in findings if not f.inside]
    if False in inside:
        fixed = [f.holds.get("corrected", True) for f in findings]
        return "REFUTED" if all(held is True for held in fixed) else "INCONCLUSIVE"
    if None in inside:
        return "INCONCLUSIVE"
    return "CONFIRMED_IN_REGIME" if False in outside else "CONFIRMED"


def judge(
    claim: Claim,
    tier: str,
    seed: int,
    alpha: float,
    gathered: Gathered,
    drawn: bool = False,
) -> Entry:
    """Run one claim; what raises is reported as broken, with its traceback."""
    start = time.perf_counter()
    if claim.kind == "definition":
        return Entry(claim, "DEFINITION")
    if claim.evidence is None or isinstance(claim.evidence, Unavailable):
        return Entry(claim, "INCONCLUSIVE")
    limit = replace(TIERS[tier], samples=1) if drawn else TIERS[tier]
    try:
        findings = tuple(
            _find(claim, point, limit, seed, alpha, gathered) for point in claim.points
        )
        verdict = _verdict(claim, findings)
    except Exception:
        return Entry(claim, "BROKEN", trouble=traceback.format_exc())
    return Entry(claim, verdict, findings, time.perf_counter() - start)


@dataclass
class _Evidence:
    """Sums of all runs, and whose draws they are.

    Attributes
    ----------
    sums : dict of str to Moments
    seeds : list of int
        Of runs that ended.
    seed : int or None
        Of the unfinished run that was worked at last.
    done : dict of str to list of str
        Claims behind each unfinished run, by its seed: another run may come between.
    """

    sums: Gathered = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    seed: int | None = None
    done: dict[str, list[str]] = field(default_factory=dict)

    def write(self, path: str | os.PathLike[str]) -> None:
        write_json(path, {"version": __version__, **asdict(self)})


def _read(path: str | os.PathLike[str] | None) -> _Evidence:
    """What a file of evidence holds; nothing where there is none yet."""
    if path is None or not Path(path).exists():
        return _Evidence()
    name = os.fspath(path)
    saved = read_json(path, "a file of evidence")
    try:
        found = _Evidence(
            {key: Moments(**value) for key, value in saved["sums"].items()},
            [int(number) for number in saved["seeds"]],
            saved["seed"],
            {str(int(k)): [str(one) for one in v] for k, v in saved["done"].items()},
        )
        sound = all(sums.sound for sums in found.sums.values())
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        sound = False
    if not sound:
        raise DomainError(f"expected a file of evidence, got {name!r}: something else")
    if saved.get("version") != __version__:
        raise DomainError(
            f"expected evidence of version {__version__}, got "
            f"{saved.get('version')!r} in {name!r}"
        )
    return found


@dataclass(frozen=True)
class Ledger:
    """All entries of a run.

    Attributes
    ----------
    entries : tuple of Entry
    tier : str
    seed : int
    """

    entries: tuple[Entry, ...]
    tier: str
    seed: int

    @property
    def surprises(self) -> tuple[Entry, ...]:
        """Entries whose verdict is not the recorded one, or whose mutant survived."""
        return tuple(entry for entry in self.entries if entry.surprise)

    @property
    def mutation_score(self) -> float:
        """Share of tested claims whose mutant was refuted."""
        tested = [
            e.mutant_refuted for e in self.entries if e.mutant_refuted is not None
        ]
        return sum(tested) / len(tested) if tested else 1.0

    def counts(self) -> dict[str, int]:
        """How often each verdict was given."""
        found: dict[str, int] = {}
        for entry in self.entries:
            found[entry.verdict] = found.get(entry.verdict, 0) + 1
        return dict(sorted(found.items()))

    def facts(self) -> dict[str, Any]:
        """Everything, as JSON has it; no times, so that the same run is the same."""
        return {
            "tier": self.tier,
            "seed": self.seed,
            "false_alarms": FALSE_ALARMS,
            "counts": self.counts(),
            "mutation_score": self.mutation_score,
            "claims": [_facts(entry) for entry in self.entries],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``ledger.json``, whole or not at all."""
        with atomic_write(path) as stream:
            stream.write((json.dumps(self.facts(), indent=1) + "\n").encode())


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _facts(entry: Entry) -> dict[str, Any]:
    claim = entry.claim
    return {
        "id": claim.id,
        "statement": claim.statement,
        "kind": claim.kind,
        "topic": claim.topic,
        "source": claim.source,
        "verdict": entry.verdict,
        "forms": {name: form.text for name, form in claim.forms.items()},
        "margin": claim.margin,
        "regime": claim.regime,
        "note": claim.note,
        "mutant_refuted": entry.mutant_refuted,
        "trouble": entry.trouble,
        "findings": [
            {
                "arguments": dict(f.arguments),
                "inside": f.inside,
                "value": _plain(f.value),
                "low": _plain(f.low),
                "high": _plain(f.high),
                "samples": f.samples,
                "asymptotic": f.asymptotic,
                "forms": {k: _plain(v) for k, v in f.forms.items()},
                "holds": dict(f.holds),
            }
            for f in entry.findings
        ],
    }


def run(
    *,
    paper: str | None = None,
    claim: str | None = None,
    tier: str = "quick",
    rng: Any = 0,
    evidence: str | os.PathLike[str] | None = None,
    verbose: bool = False,
) -> Ledger:
    """Judge the whole ledger, one paper, or one claim.

    Parameters
    ----------
    paper : str, optional
        A paper's key, as in ``"rfd-2024"``.
    claim : str, optional
        A claim's id, as in ``"rfd-2024/f11"``.
    tier : {"quick", "full"}
        Quick: margins as declared. Full: a fifth of them, and many more draws.
    rng : int, numpy.random.Generator or None
        Seed of all simulations.
    evidence : path, optional
        Sums of earlier runs with other seeds, which count too and to which this run
        adds its own, claim by claim. An interrupted run goes on with its own seed, or
        with ``rng=None``; a seed whose run has ended is refused.
    verbose : bool
        A progress bar on a terminal.

    Returns
    -------
    Ledger

    Raises
    ------
    DomainError
        If a name is not known; the message offers the nearest ones. If the evidence
        is damaged, or has this seed already; it is left alone.
    """
    every = claims()
    expect.one_of(TIERS, tier=tier)
    chosen = every
    if paper is not None:
        expect.one_of(PAPERS, paper=paper)
        chosen = tuple(c for c in every if c.id.partition("/")[0] == paper)
    if claim is not None:
        expect.one_of([c.id for c in every], claim=claim)
        chosen = tuple(c for c in every if c.id == claim)
    if evidence is not None:
        writable(evidence)
    kept = _read(evidence)
    seed = kept.seed if rng is None and kept.seed is not None else seed_of(rng)
    if seed in kept.seeds:
        raise DomainError(f"expected a new seed, got {seed}, which is in {evidence!s}")
    kept.seed, done = seed, kept.done.setdefault(str(seed), [])
    alpha = FALSE_ALARMS / max(1, sum(len(c.points) for c in every))
    entries = {}
    with progress(verbose) as bars:
        bar = bars.add("claims", len(chosen))
        # What an interrupted run of this seed has drawn is not drawn again, and comes
        # last: a run that is killed every few seconds gets ahead too.
        for one in sorted(chosen, key=lambda c: c.id in done):
            drawn = one.id in done
            entry = judge(one, tier, seed, alpha, kept.sums, drawn)
            entries[one.id] = entry
            if evidence is not None and not drawn and entry.findings:
                done.append(one.id)
                kept.write(evidence)
            bars.update(bar, len(entries))
    if evidence is not None:
        del kept.done[str(seed)]
        kept.seeds, kept.seed = [*kept.seeds, seed], None
        kept.write(evidence)
    return Ledger(tuple(entries[one.id] for one in chosen), tier, seed)
