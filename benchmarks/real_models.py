"""The whole job on a real network, and predicted against measured query counts.

``python benchmarks/real_models.py --model cifar10_resnet20 --out DIR`` probes the
network, recommends noise against both attackers, proves it by attacks on other images,
and fills a table over sites, noise levels, probe sizes and step rules. The most
informative parts come first; each is written when it is done, and a second run goes on
where the first one ended. Images and networks are those of the zoo, from files.

Step rules: ``sign`` (Linf) and ``unit`` (L2) have a fixed length. ``plain`` (L2) keeps
the learning rate whose noiseless steps are as long as the unit ones; ``retuned``
divides it by ``query_ratio.best_step`` and by what noise does to the slope.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import json
import math
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import querytax
from querytax.attacks import nes
from querytax.defenses import defend
from querytax.plans import NESPlan
from querytax.probes import probe
from querytax.proof import prove
from querytax.recommend import Recommendation, published_plan, recommend_sigma
from querytax.recommend.attackers import ATTACKERS
from querytax.recommend.prediction import PLACES, Predictor
from querytax.reproductions import zoo
from querytax.sites import Site
from querytax.statistics import ModelStatistics, atomic_write
from querytax.theory import convergence, query_ratio

RULES = {"Linf": ("sign",), "L2": ("unit", "retuned", "plain")}
PROBES = (0.01, 0.05, 0.001)
SIGMAS = {
    "input": (0.01, 0.02, 0.05, 0.1),
    "probabilities": (0.001, 0.01, 0.05, 0.2),
    "logits": (0.03, 0.1, 0.3, 1.0),
}
PROTECT = (0.5, 0.9)
SITES = {"Linf": ("output", "input"), "L2": ("input", "output:logits:raw")}
_NOISELESS = 1e300


@dataclass(frozen=True)
class Setting:
    """What is asked of one network.

    The ball's radius is about the length of the box's diagonal, ``eps sqrt(d)``: a
    tighter one leaves fixed steps no room before the wall.
    """

    eps: dict[str, float]
    budget: int


_MNIST = Setting({"Linf": 0.3, "L2": 6.0}, 20_000)
SETTINGS = {
    "cifar10_resnet20": Setting({"Linf": 8 / 255, "L2": 2.0}, 5_000),
    "mnist_convsmall_natural": _MNIST,
    "mnist_smallcnn_pgd_advtrained": _MNIST,
}


class Record:
    """What was found so far, in files that are whole at any time."""

    def __init__(self, folder: Path, name: str, provenance: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name = folder, name
        self.found: dict[str, Any] = {}
        path = self.path(".json")
        if path.exists():
            old = json.loads(path.read_text(encoding="utf-8"))
            if old["provenance"]["settings"] != provenance["settings"]:
                raise SystemExit(f"{path} was made with other settings: move it away")
            self.found = old["found"]
        self.provenance = provenance

    def path(self, ending: str) -> Path:
        """A file of this network."""
        return self.folder / f"{self.name}{ending}"

    def add(self, key: str, value: Any) -> None:
        """Keep a finding, and write all files."""
        # Through JSON and back: what is used now is what a later run will read.
        self.found[key] = json.loads(json.dumps(_plain(value)))
        whole = {"provenance": self.provenance, "found": self.found}
        self._write(".json", json.dumps(whole, indent=1, allow_nan=False))
        rows = self.rows()
        if rows:
            text = io.StringIO()
            names = [name for name in rows[0] if name != "queries"]
            table = csv.DictWriter(text, names, extrasaction="ignore")
            table.writeheader()
            table.writerows(rows)
            self._write(".csv", text.getvalue())
        self._write(".md", self.markdown())

    def rows(self) -> list[dict[str, Any]]:
        """The table's cells, in order of place rather than of time."""
        cells = [v for k, v in self.found.items() if k.startswith("cell ")]
        return sorted(
            cells,
            key=lambda r: (
                r["norm"] != "Linf",
                r["rule"],
                r["site"],
                r["probe"],
                r["sigma"],
            ),
        )

    def markdown(self) -> str:
        """Recommendations, proofs and the table, for a person."""
        lines = [
            f"# {self.name}",
            "",
            ", ".join(
                f"{k} {v}" for k, v in self.provenance.items() if k != "settings"
            ),
        ]
        for key, value in self.found.items():
            if key.startswith("recommend "):
                lines += ["", f"## {key}", "", value["statement"]]
        return "\n".join([*lines, *self.tables()]) + "\n"

    def tables(self) -> list[str]:
        """Proofs, and predicted against measured, as Markdown."""
        lines = []
        trials = [
            (k, t)
            for k, v in self.found.items()
            if k.startswith("prove ")
            for t in v["trials"]
        ]
        if trials:
            lines += ["", "## Proof on other images", "", *_trial_rows(trials)]
        rows = self.rows()
        if rows:
            lines += ["", "## Predicted against measured", "", *_HEAD]
            lines += [_markdown_row(row) for row in rows]
        return lines

    def _write(self, ending: str, text: str) -> None:
        with atomic_write(self.path(ending)) as stream:
            stream.write(text.encode())


class Bench:
    """One network, its images, and the parts of the job."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.started = time.monotonic()
        self.device = torch.device(given.device)
        self.model = zoo.load(given.model).to(self.device)
        self.setting = SETTINGS[given.model]
        self.budget = given.budget or self.setting.budget
        x, y = zoo.images(given.model, given.known)
        self.known = x.to(self.device), y.to(self.device)
        # Attacks go to other images, next to the probed ones in the file: the second
        # half of MNIST's is harder than the first.
        x, y = zoo.images(given.model, 2 * given.images, start=len(x))
        right = _right(self.model, x.to(self.device), y.to(self.device))
        self.held_out = tuple(t[right][: given.images] for t in (x, y))
        self.held_out = tuple(t.to(self.device) for t in self.held_out)
        self.record = Record(given.out, given.model, self._provenance())
        self._statistics: dict[str, ModelStatistics] = {}
        self._predictors: dict[tuple[str, str], Predictor] = {}

    def _provenance(self) -> dict[str, Any]:
        given, cuda = self.given, self.device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name() if cuda else platform.machine(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "querytax": querytax.__version__,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
            "settings": {
                "model": given.model,
                "known": given.known,
                "probed": given.probed,
                "images": given.images,
                "budget": self.budget,
                "seed": given.seed,
                "eps": self.setting.eps,
                "directions": given.directions,
                "quick": given.quick,
            },
        }

    # -- parts -------------------------------------------------------------------

    def parts(self) -> Iterator[tuple[str, Any]]:
        """Key and work of each part, the most informative first."""
        sites = {"Linf": self.given.sites, "L2": self.given.l2_sites}
        later = []
        for norm in self.given.norms:
            for site in sites[norm]:
                for attacker in ATTACKERS:
                    for protect in PROTECT:
                        key = f"recommend {norm} {site} {attacker} {protect}"
                        yield (
                            key,
                            lambda a=(norm, site, attacker, protect): self.recommend(
                                *a
                            ),
                        )
            cells = self.cells(norm, sites[norm], self.given.probes[:1])
            later += [part for part, hopeless in cells if hopeless]
            yield from (part for part, hopeless in cells if not hopeless)
            for site in sites[norm]:
                yield self.proof(norm, site, PROTECT[0])
        for norm in self.given.norms:
            cells = self.cells(norm, sites[norm], self.given.probes[1:])
            later += [part for part, hopeless in cells if hopeless]
            yield from (part for part, hopeless in cells if not hopeless)
        yield from later
        for norm in self.given.norms:
            for site in sites[norm]:
                yield self.proof(norm, site, PROTECT[1])

    def run(self) -> bool:
        """Do what is not done; False if time ended first."""
        slowest: dict[str, float] = {}
        for key, work in self.parts():
            if key in self.record.found:
                continue
            start = time.monotonic()
            left = self.given.seconds - (start - self.started)
            kind = key.split()[0]
            if left <= slowest.get(kind, 0.0):
                return False
            value = work()
            took = time.monotonic() - start
            slowest[kind] = max(slowest.get(kind, 0.0), took)
            self.record.add(key, {**value, "seconds": round(took, 2)})
            if key.startswith("cell "):
                print(_markdown_row(self.record.found[key]), flush=True)
            else:
                print(f"{key}: {took:.1f} s", flush=True)
        return True

    def statistics(self, norm: str) -> ModelStatistics:
        """The probe's file, made on first use."""
        if norm not in self._statistics:
            path = self.record.path(f"-{norm}.npz")
            if path.exists():
                self._statistics[norm] = ModelStatistics.load(path)
                return self._statistics[norm]
            start = time.monotonic()
            sites = self.given.sites if norm == "Linf" else self.given.l2_sites
            more = {"betas": (0.001, 0.01, 0.05)} if self.given.quick else {}
            found = probe(
                self.model,
                *self.known,
                sites=sites,
                eps=self.setting.eps[norm],
                norm=norm,
                n_probe=self.given.probed,
                n_directions=self.given.directions,
                n_flips=4 if self.given.quick else 16,
                batch_size=self.given.batch_size,
                rng=self.given.seed,
                **more,
            )
            found.save(path)
            print(f"probe {norm}: {time.monotonic() - start:.1f} s", flush=True)
            self._statistics[norm] = found
        return self._statistics[norm]

    def published(self, norm: str) -> NESPlan:
        """The published attack; in the ball it climbs the margin.

        Plain steps are as long as the slope, and that of a confident model's
        cross-entropy vanishes.
        """
        plan = published_plan(self.statistics(norm))
        return plan if norm == "Linf" else plan.replace(loss="margin")

    def base(self, norm: str, site: str) -> np.ndarray:
        """Noiseless queries of the published attack on the probed images."""
        key = f"base {norm} {site}"
        if key not in self.record.found:
            probed = torch.from_numpy(self.statistics(norm).probed).to(self.device)
            images, labels = (t[probed] for t in self.known)
            result = self._attack(self.published(norm), site, 0.0, images, labels)
            self.record.add(key, {"queries": _counts(result.clean)})
        counts = self.record.found[key]["queries"]
        return np.array(counts, dtype=float)

    def predictor(self, norm: str, site: str) -> Predictor:
        """Queries by the laws, from the probed images."""
        if (norm, site) not in self._predictors:
            self._predictors[norm, site] = Predictor(
                self.statistics(norm), site, self.published(norm), self.base(norm, site)
            )
        return self._predictors[norm, site]

    def recommend(
        self, norm: str, site: str, attacker: str, protect: float
    ) -> dict[str, Any]:
        """Sigma for ten times the noiseless queries, half the budget at most."""
        base = self.base(norm, site)
        usual = float(np.median(base))
        target = min(10.0 * usual, self.budget / 2)
        found = recommend_sigma(
            self.statistics(norm),
            max(target, usual) if math.isfinite(usual) else target,
            base_queries=base,
            site=site,
            protect=protect,
            attacker=attacker,
            plan=self.published(norm),
        )
        return {"recommendation": found.to_json(), "statement": found.statement()}

    def proof(self, norm: str, site: str, protect: float) -> tuple[str, Any]:
        """Attacks by both attackers, without noise and at both recommended levels."""

        def work() -> dict[str, Any]:
            found = [
                Recommendation.from_json(
                    self.record.found[f"recommend {norm} {site} {attacker} {protect}"][
                        "recommendation"
                    ]
                )
                for attacker in ATTACKERS
            ]
            trials = prove(
                self.model,
                *self.held_out,
                self.statistics(norm),
                found,
                self.predictor(norm, site),
                budget=self.budget,
                batch_size=self.given.batch_size,
                rng=self.given.seed + 1,
            )
            return {"trials": [t.to_json() for t in trials]}

        return f"prove {norm} {site} {protect}", work

    # -- the table ---------------------------------------------------------------

    def cells(
        self, norm: str, sites: tuple[str, ...], probes: tuple[float, ...]
    ) -> list[tuple[tuple[str, Any], bool]]:
        """The cells of some probe sizes, and whether an attack there is hopeless."""
        found = []
        for size in probes:
            for rule in RULES[norm]:
                for site in sites:
                    for sigma in (0.0, *self.levels(norm, site)):
                        if sigma == 0.0 and rule == "retuned":
                            continue
                        key = f"cell {norm} {rule} {site} {sigma:g} {size:g}"
                        plan = self.plan(norm, rule, site, sigma, size)
                        queries = self.predictor(norm, site).queries(plan, sigma)
                        hopeless = np.quantile(queries, 0.1, method="lower")
                        work = lambda a=(norm, rule, site, sigma, size): self.cell(*a)  # noqa: E731
                        found.append(((key, work), bool(hopeless > 2 * self.budget)))
        return found

    def levels(self, norm: str, site: str) -> tuple[float, ...]:
        """Noise levels of the table."""
        place = Site.parse(site)
        if place.kind == "feature":
            levels = self.statistics(norm).site(site).sigmas[1:5]
            found = tuple(float(f"{s:.3g}") for s in levels)
        else:
            found = SIGMAS["input" if place.kind == "input" else place.on]
        return found[1:3] if self.given.quick else found

    def plan(
        self, norm: str, rule: str, site: str, sigma: float, size: float
    ) -> NESPlan:
        """The published attack with another probe and step rule."""
        plan = self.published(norm).replace(probe=size, name=rule)
        if rule in ("sign", "unit"):
            return plan
        predictor = self.predictor(norm, site)
        still = predictor.at_probe(predictor.reading(0.0), plan)
        drift = query_ratio.plain_drift(
            _NOISELESS, predictor.stats.dimension, plan.pairs, still.alignment
        )
        useful = float(np.median(still.slope * still.alignment))
        rate = plan.step * float(np.median(drift)) / useful
        if rule == "retuned":
            noisy = predictor.at_probe(predictor.reading(sigma, "upper"), plan)
            snr = float(np.median(noisy.snr))
            rate /= float(
                query_ratio.best_step(snr, predictor.stats.dimension, plan.pairs)
            )
            rate *= useful / max(float(np.median(noisy.slope * noisy.alignment)), 1e-12)
        return plan.replace(step_rule="plain", step=rate)

    def cell(
        self, norm: str, rule: str, site: str, sigma: float, size: float
    ) -> dict[str, Any]:
        """One row: what the laws say, and what an attack on other images took."""
        stats, predictor = self.statistics(norm), self.predictor(norm, site)
        plan = self.plan(norm, rule, site, sigma, size)
        reading = predictor.at_probe(predictor.reading(sigma, "upper"), plan)
        snr = float(np.median(reading.snr))
        plain = plan.step_rule == "plain"
        aim = query_ratio.plain_drift if plain else query_ratio.cosine
        drift = aim(reading.snr, stats.dimension, plan.pairs, reading.alignment)
        length = predictor.step_share(reading, plan, drift)
        plateau = convergence.plateau(drift, np.broadcast_to(length, drift.shape), norm)
        # The last stage is where the way is longest and the wall nearest.
        with np.errstate(divide="ignore"):
            beyond = predictor.displacement / plateau[-1]
        by_place = [predictor.queries(plan, sigma, place) for place in PLACES]
        predicted = [_median(q) for q in by_place]
        within = [float((q <= self.budget).mean()) for q in by_place]
        before = [_median(predictor.queries(plan, 0.0, place)) for place in PLACES]
        if rule == "retuned":
            start = self.plan(norm, "plain", site, 0.0, size)
            before = [_median(predictor.queries(start, 0.0, p)) for p in PLACES]

        result = self._attack(plan, site, sigma, *self.held_out)
        measured, interval = result.clean.quantile(), result.clean.interval()
        counts = np.array(_counts(result.clean))
        ratio = (1.0, 1.0, 1.0)
        if sigma > 0:
            usual = "plain" if rule == "retuned" else rule
            key = f"cell {norm} {usual} {site} 0 {size:g}"
            if key not in self.record.found:
                self.record.add(key, self.cell(norm, usual, site, 0.0, size))
            reference = self.record.found[key]["queries"]
            ratio = _ratio(counts, np.array(reference, dtype=float))
        if math.isinf(measured):
            agrees = max(predicted) >= self.budget
        else:
            agrees = min(predicted) <= interval[1] and max(predicted) >= interval[0]
        return {
            "model": self.given.model,
            "norm": norm,
            "eps": stats.eps,
            "rule": rule,
            "site": site,
            "sigma": sigma,
            "probe": size,
            "pairs": plan.pairs,
            "step": plan.step,
            "loss": plan.loss,
            "snr": snr if sigma > 0 else math.inf,
            "alignment": float(np.median(reading.alignment)),
            "drift": float(np.median(drift)),
            "step_share": float(np.median(length)),
            "plateau": float(np.median(plateau)),
            "displacement": _median(predictor.displacement),
            # Beyond 1 fixed steps never arrive: median over images, and their share.
            "way_over_plateau": _median(beyond),
            "predicted_stalled": float((beyond >= 1.0).mean()),
            "law_best_step": float(
                query_ratio.best_step(snr, stats.dimension, plan.pairs)
            ),
            "law_fixed_length": float(
                query_ratio.fixed_length_step(snr, stats.dimension, plan.pairs)
            ),
            "predicted_lower": predicted[0],
            "predicted": predicted[1],
            "predicted_upper": predicted[2],
            "predicted_ratio": predicted[1] / before[1],
            "predicted_success_most": within[0],
            "predicted_success": within[1],
            "predicted_success_least": within[2],
            "measured": measured,
            "measured_low": interval[0],
            "measured_high": interval[1],
            "measured_ratio": ratio[1],
            "measured_ratio_low": ratio[0],
            "measured_ratio_high": ratio[2],
            "measured_success": result.clean.rate(),
            "confirmed": result.confirmed.quantile(),
            "confirmed_success": result.confirmed.rate(),
            "agrees": bool(agrees),
            "n_images": int(result.attacked.sum()),
            "budget": self.budget,
            "seed": self.given.seed + 1,
            "queries": _counts(result.clean),
        }

    def _attack(
        self, plan: NESPlan, site: str, sigma: float, images: Tensor, labels: Tensor
    ) -> Any:
        seed = self.given.seed + 1
        return nes(
            defend(self.model, site, sigma, rng=seed),
            images,
            labels,
            plan,
            budget=self.budget,
            batch_size=self.given.batch_size,
            rng=seed,
        )


def _right(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        said = torch.cat([model(part).argmax(1) for part in images.split(256)])
    return (said == labels).cpu()


def _counts(count: Any) -> list[float]:
    """Queries an image; infinite where the budget ended first."""
    pairs = zip(count.queries.tolist(), count.success.tolist(), strict=True)
    return [int(q) if done else math.inf for q, done in pairs]


def _median(queries: np.ndarray) -> float:
    return float(np.quantile(queries, 0.5, method="lower"))


def _ratio(noisy: np.ndarray, still: np.ndarray) -> tuple[float, float, float]:
    """Ratio of the medians and its 95 % interval: images drawn again, in pairs.

    All counts are censored at one budget, so the Kaplan-Meier median is the median
    with the censored counts at infinity.
    """
    draws = np.random.default_rng(0).integers(len(noisy), size=(2000, len(noisy)))
    middle = (len(noisy) - 1) // 2
    with np.errstate(invalid="ignore"):
        ratios = np.sort(noisy[draws])[:, middle] / np.sort(still[draws])[:, middle]
        estimate = float(np.sort(noisy)[middle] / np.sort(still)[middle])
    ratios = np.sort(ratios[~np.isnan(ratios)])
    if not ratios.size:
        return math.nan, estimate, math.nan
    low, high = ratios[int(0.025 * ratios.size)], ratios[int(0.975 * ratios.size)]
    return float(low), estimate, float(high)


def _plain(value: Any) -> Any:
    """JSON knows no infinity: a word, which ``float`` reads."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


_HEAD = (
    "| norm, rule | site | sigma | probe | S | way/plateau | law: best step "
    "| law: fixed length | predicted ratio | measured ratio | predicted queries "
    "| measured queries | predicted success | measured success |",
    "|" + " --- |" * 14,
)


def _markdown_row(row: dict[str, Any]) -> str:
    def within(low: Any, middle: Any, high: Any, digits: int = 3) -> str:
        low, middle, high = (_word(v, digits) for v in (low, middle, high))
        return middle if low == high else f"{middle} ({low} to {high})"

    cells = [
        f"{row['norm']} {row['rule']}",
        row["site"],
        f"{row['sigma']:g}",
        f"{row['probe']:g}",
        _word(row["snr"], 2),
        _word(row["way_over_plateau"], 2),
        _word(row["law_best_step"], 3),
        _word(row["law_fixed_length"], 3),
        _word(row["predicted_ratio"], 3),
        within(*(row[f"measured_ratio{end}"] for end in ("_low", "", "_high"))),
        within(*(row[f"predicted{end}"] for end in ("_lower", "", "_upper")), 4),
        within(*(row[f"measured{end}"] for end in ("_low", "", "_high")), 4),
        f"{row['predicted_success']:.0%}",
        f"{row['measured_success']:.0%}",
    ]
    return "| " + " | ".join(cells) + " |"


def _trial_rows(trials: list[tuple[str, dict[str, Any]]]) -> list[str]:
    lines = [
        "| norm, site | protect | sigma | attacker | plan | predicted | measured "
        "| success, predicted at most | success | agree |",
        "|" + " --- |" * 10,
    ]
    for key, t in trials:
        _, norm, site, protect = key.split(" ")
        low, middle, high = (_word(v, 4) for v in t["predicted"])
        least, most = (_word(v, 4) for v in t["interval"])
        lines.append(
            f"| {norm} {site} | {protect} | {t['sigma']:.3g} | {t['attacker']} "
            f"| probe {t['plan']['probe']:g}, {t['plan']['pairs']} pairs, "
            f"step {t['plan']['step']:.3g}, {t['plan']['loss']} "
            f"| {middle} ({low} to {high}) "
            f"| {_word(t['measured'], 4)} ({least} to {most}) "
            f"| {t['predicted_rate']:.0%} | {t['success_rate']:.0%} "
            f"| {'yes' if t['agrees'] else 'no'} |"
        )
    return lines


def _word(value: float | str | None, digits: int) -> str:
    """A number for a person; null, as a trial writes it, is infinity."""
    value = math.inf if value is None else float(value)
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text and 1 <= abs(value) < 1e6 else text


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``--quick`` changes only what was not given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SETTINGS, default="cifar10_resnet20")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--images", type=int, help="attacked, 64 by default")
    parser.add_argument("--probed", type=int, help="probed, 64 by default")
    parser.add_argument("--known", type=int, help="that measure accuracy, 1000")
    parser.add_argument("--directions", type=int, help="probed at a point, 16")
    parser.add_argument("--budget", type=int, help="queries an image")
    parser.add_argument("--sites", nargs="+", default=SITES["Linf"], help="for Linf")
    parser.add_argument("--l2-sites", nargs="+", default=SITES["L2"])
    parser.add_argument("--norms", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--probes", nargs="+", type=float, default=PROBES)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--quick", action="store_true", help="a few images and levels")
    given = parser.parse_args(arguments)
    if given.device == "auto":
        given.device = "cuda" if torch.cuda.is_available() else "cpu"
    usual = (8, 8, 32, 4) if given.quick else (64, 64, 1000, 16)
    for name, value in zip(
        ("images", "probed", "known", "directions"), usual, strict=True
    ):
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.batch_size is None:
        given.batch_size = 256 if given.device == "cpu" else 8192
    if given.quick:
        given.probes = given.probes[:1]
        given.budget = given.budget or SETTINGS[given.model].budget // 5
    return given


def main(arguments: list[str] | None = None) -> int:
    """Run, and say what was found."""
    given = parse(arguments)
    # Reduced precision in convolutions is noise of its own, which narrow probes see.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    bench = Bench(given)
    done = bench.run()
    spent = time.monotonic() - bench.started
    print("\n".join(bench.record.tables()))
    print(f"{'done' if done else 'out of time'} after {spent:.0f} s", file=sys.stderr)
    return 0 if done else 4


if __name__ == "__main__":
    sys.exit(main())
