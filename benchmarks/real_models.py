"""The main job on real networks: asked, tried, certified, and laws held against counts.

``python benchmarks/real_models.py --store DIR --out docs/real-models`` goes through a
list of questions, the most telling first. Each is answered by :func:`querytax.certify`
and becomes a row of ``answers.csv`` as soon as it is; for each network and site the
attacks that laws predict are run (``predicted.csv``); and an answer that noise is
enough, or not needed, is attacked again by everybody, on images and with draws that
nothing has seen (``verified.csv``). What was stopped goes on where it was. At the end
``--walks`` counts the images that attacks broke and the probe's white-box descent did
not reach, and ``--tables docs/real-models.md`` writes the tables into the page.

Images and networks come from the folder of ``querytax.reproductions.data``; the small
transformer is trained here in a minute.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import functools
import math
import platform
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax.certifying import certify
from querytax.evidence import Contender, Trial
from querytax.probes import probe
from querytax.recommend import Recommendation, published_plan
from querytax.recommend.portfolio import portfolio, tuned
from querytax.recommend.predicted import Search
from querytax.recommend.race import Standing, share_bounds
from querytax.reproductions import networks, zoo
from querytax.sites import Site
from querytax.statistics import ModelStatistics
from querytax.training import Recipe, build, cached, fit
from querytax.trials import Bench

sys.path.insert(0, str(Path(__file__).resolve().parent))

from real_models_tables import ANSWERED, FILES, into, read

NORM = "Linf"
# Queries an image when laws are held against counts, and images behind the accuracy.
BUDGET = 500
PRICED = 500
# Images that a probe of a large network walks from; gradients are what it costs.
WALKED = 32
# As a quick job probes.
PROBE: dict[str, Any] = {
    "betas": (0.001, 0.01, 0.05, 0.2),
    "n_directions": 4,
    "n_proposals": 16,
}


@dataclass(frozen=True)
class Setting:
    """A network with a perturbation budget, and where its noise may be."""

    network: str
    eps: float
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """What is asked; its words are the columns that tell rows apart."""

    network: str
    eps: float
    site: str
    access: str
    target: int
    protect: float


_SMALL = ("output", "input", "3")
SETTINGS = (
    Setting("mnist_convsmall_natural", 0.2, _SMALL),
    Setting("mnist_vit", 0.1, ("output", "input", "blocks.0")),
    Setting("fashion_smallcnn_provable", 0.15, _SMALL),
    Setting("mnist_convsmall_natural", 0.3, ("output", "input")),
    Setting("mnist_smallcnn_pgd_advtrained", 0.3, _SMALL),
    Setting("fashion_smallcnn_provable", 0.1, ("output", "input")),
    Setting("cifar10_resnet8_mlperf_tiny", 8 / 255, ("output",)),
    Setting("cifar10_resnet8_mlperf_tiny", 2 / 255, ("output",)),
    Setting("cifar10_resnet20", 8 / 255, ("output",)),
)
# Budgets at which neither guesses nor chance decide.
_OPEN = SETTINGS[:3]


def questions() -> list[list[Question]]:
    """All of them in groups, the most telling first."""
    rest = [s for s in SETTINGS if s not in _OPEN]

    def ask(setting: Setting, site: str, access: str, target: int) -> Question:
        eps = round(setting.eps, 6)
        return Question(setting.network, eps, site, access, target, 0.5)

    def group(target: int, place: int, among: Sequence[Setting]) -> list[Question]:
        return [
            ask(s, s.sites[place], "scores", target)
            for s in among
            if place < len(s.sites)
        ]

    return [
        group(300, 0, SETTINGS),
        group(300, 1, _OPEN),
        group(100, 0, _OPEN),
        [ask(s, "output", "labels", 300) for s in _OPEN],
        group(300, 2, _OPEN),
        group(100, 1, _OPEN),
        group(300, 1, rest),
        group(1000, 0, _OPEN),
    ]


def vit() -> nn.Module:
    """A transformer for MNIST: patches of 7 x 7, two blocks of width 32."""

    def make() -> nn.Module:
        return networks.ViT(28, 1, patch=7, width=32, depth=2, heads=4)

    def train() -> nn.Module:
        recipe = Recipe(
            "benchmarks/mnist_vit", epochs=8, gain=0.5, decay=0.05, cycle=True
        )
        return fit(build(make), *zoo.images("mnist", 12_000, "train"), recipe)

    return cached("benchmark-mnist_vit-1", make, train).eval().requires_grad_(False)


class Job:
    """The networks, their images, and what has been found."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        for folder in (given.store, given.out):
            folder.mkdir(parents=True, exist_ok=True)
        self.found = read(given.out)
        self.rows = 0

    # -- what is there -----------------------------------------------------------

    @functools.lru_cache(maxsize=1)  # noqa: B019 - lives as long as the script
    def model(self, network: str) -> nn.Module:
        """A network whose rows are counted as they pass."""
        model = vit() if network == "mnist_vit" else zoo.load(network)

        def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.rows += len(inputs[0])

        model.register_forward_pre_hook(count)
        return model

    def images(self, network: str, part: str) -> tuple[Tensor, Tensor]:
        """Images of a part; the parts have none in common."""
        given = self.given
        sizes = {
            "calibration": given.calibration,
            "held_out": given.held_out,
            "fresh": given.held_out,
            "priced": PRICED,
        }
        start = sum(n for name, n in sizes.items() if name < part)
        kind = "mnist" if network == "mnist_vit" else network
        return zoo.images(kind, sizes[part], start=start)

    @functools.lru_cache(maxsize=1)  # noqa: B019 - lives as long as the script
    def stats(self, network: str, eps: float) -> ModelStatistics:
        """One probe of all sites, from its file if it was made."""
        given, large = self.given, network.startswith("cifar10")
        path = given.store / f"{network}-{eps:g}.npz"
        if path.exists():
            return ModelStatistics.load(path)
        x, y = (
            torch.cat(both)
            for both in zip(
                self.images(network, "calibration"),
                self.images(network, "priced"),
                strict=True,
            )
        )
        sites = next(
            s.sites for s in SETTINGS if s.network == network and round(s.eps, 6) == eps
        )
        start = time.monotonic()
        found = probe(
            self.model(network),
            x,
            y,
            sites=sites,
            eps=eps,
            norm=NORM,
            n_probe=min(given.calibration, WALKED if large else 64),
            rng=given.seed,
            **PROBE,
        )
        found.save(path)
        print(f"probe {network} {eps:g}: {time.monotonic() - start:.0f} s", flush=True)
        return found

    def trials(self, network: str) -> Path:
        """The file of all trials on a network."""
        return Path(self.given.store / f"{network}.trials")

    # -- rows --------------------------------------------------------------------

    def provenance(self) -> dict[str, Any]:
        """What every row says of how it was made."""
        given = self.given
        return {
            "calibration": given.calibration,
            "held_out": given.held_out,
            "effort": given.effort,
            "max_accuracy_loss": given.max_accuracy_loss,
            "seed": given.seed,
        }

    def known(self, kind: str, **words: Any) -> list[dict[str, str]]:
        """Rows of a kind that were made with these words and settings."""
        wanted = {k: _said(v) for k, v in {**words, **self.provenance()}.items()}
        return [
            row
            for row in self.found[kind]
            if all(row[k] == v for k, v in wanted.items())
        ]

    def add(self, kind: str, row: dict[str, Any]) -> None:
        """Keep a row, at once."""
        row = {**row, **self.provenance()}
        row["machine"] = f"{platform.machine()}, torch {torch.__version__}"
        row["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
        said = {k: _said(v) for k, v in row.items()}
        path = self.given.out / FILES[kind]
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, list(said))
            if new:
                table.writeheader()
            table.writerow(said)
        self.found[kind].append(said)

    # -- parts -------------------------------------------------------------------

    def answer(self, q: Question) -> None:
        """One question, by the whole job."""
        stats, before, start = self.stats(q.network, q.eps), self.rows, time.monotonic()
        rec = certify(
            self.model(q.network),
            *self.images(q.network, "calibration"),
            q.target,
            held_out=self.images(q.network, "held_out"),
            site=q.site,
            eps=q.eps,
            norm=NORM,
            max_accuracy_loss=self.given.max_accuracy_loss,
            protect=q.protect,
            access=q.access,
            effort=self.given.effort,
            stats=stats,
            store=self.trials(q.network),
            rng=self.given.seed,
        )
        row = {
            **asdict(q),
            **told(rec),
            "rows": self.rows - before,
            "seconds": round(time.monotonic() - start, 1),
        }
        self.add("answers", row)

    def predict(self, q: Question, sigma: float) -> None:
        """The attacks that laws predict, on held-out images."""
        stats = self.stats(q.network, q.eps)
        field = self.search(q).attacker
        by = field.predicted_by(sigma)
        words = [word for word, _ in by]
        entries = [c for c in portfolio("best", norm=NORM) if c.attack in words]
        if "nes" in words:
            entries.append(tuned(field.plan(sigma)))
        n = self.given.compared
        standings = self.attacked(q, "held_out", entries, sigma, n, BUDGET, 1)
        for word, predicted in by:
            own = [s for s in standings if s.contender.attack == word]
            best = min(own, key=lambda s: (s.queries[1], -s.share[1]))
            self.add(
                "predicted",
                {
                    "network": q.network,
                    "eps": q.eps,
                    "site": q.site,
                    "sigma": sigma,
                    "protect": q.protect,
                    "attack": word,
                    "probed": len(stats.probed),
                    "images": best.images,
                    "budget": BUDGET,
                    "contender": best.contender.name,
                    **_three("predicted", predicted),
                    **_three("measured", best.queries),
                    **_three("share", best.share),
                },
            )

    def verify(self, q: Question, sigma: float) -> None:
        """Everybody, on images and with draws that nothing has seen."""
        entries = portfolio("best", access=q.access, norm=NORM)
        n, start = self.given.compared, time.monotonic()
        every = self.attacked(q, "fresh", entries, sigma, n, q.target, 1_000)
        worst = every[0]
        broken = share_bounds(
            worst.broken, worst.images - worst.lost, 0.05 / len(every)
        )
        self.add(
            "verified",
            {
                **asdict(q),
                "sigma": sigma,
                "images": worst.images,
                "attacks": len(every),
                "attack": worst.contender.name,
                **_three("share", worst.share),
                "surely_broken": round(broken[0], 4),
                "refuted": broken[0] > 1 - q.protect,
                "seconds": round(time.monotonic() - start, 1),
            },
        )

    def walk(self, setting: Setting) -> None:
        """Images that the probe's descent reaches, and those that attacks broke."""
        eps = round(setting.eps, 6)
        stats = self.stats(setting.network, eps)
        bench = Bench(
            {"": self.model(setting.network)},
            {"calibration": self.images(setting.network, "calibration")},
            store=self.trials(setting.network),
        )
        with bench.store:
            n = min(bench.images("calibration"), len(stats.probed))
            broken = np.zeros(n, dtype=bool)
            for tried in bench.evidence("output"):
                if tried.trial.sigma == 0 and math.isclose(tried.trial.eps, eps):
                    success = tried.broken.success[:n]
                    broken[: len(success)] |= success
        reached = np.isfinite(stats.path_length[:n])
        row = {"network": setting.network, "eps": eps, "images": n}
        row |= {"reached": int(reached.sum()), "broken": int(broken.sum())}
        self.add("walked", {**row, "missed": int((broken & ~reached).sum())})

    def attacked(
        self,
        q: Question,
        part: str,
        entries: Iterable[Contender],
        sigma: float,
        images: int,
        budget: int,
        seed: int,
    ) -> list[Standing]:
        """How attacks stand on one part, the strongest first."""
        bench = Bench(
            {"": self.model(q.network)},
            {"held_out": self.images(q.network, part)},
            store=self.trials(q.network),
        )
        with bench.store:
            trials = [
                Trial(
                    c,
                    q.eps,
                    NORM,
                    q.access,
                    q.site,
                    sigma,
                    "held_out",
                    min(images, bench.images("held_out")),
                    budget,
                    self.given.seed + seed,
                )
                for c in dict.fromkeys(entries)
            ]
            made = bench.run(trials)
        found = [Standing.of(one, 1 - q.protect) for one in made]
        return sorted(found, key=lambda s: (-s.fell, s.queries[1]))

    def search(self, q: Question) -> Search:
        """The answer by laws, with the reading of each level."""
        stats = self.stats(q.network, q.eps)
        return Search(
            stats,
            Site.parse(q.site).name,
            "best",
            q.access,
            published_plan(stats),
            None,
            q.target,
            q.protect,
            self.given.max_accuracy_loss,
        )

    # -- the list ----------------------------------------------------------------

    def left(self) -> Iterator[tuple[str, Any]]:
        """What is still to do, a group after another."""
        for group in questions():
            names = self.given.networks
            asked = [q for q in group if not names or q.network in names]
            for q in asked:
                if not self.known("answers", **asdict(q)):
                    yield f"answer {_line(q)}", functools.partial(self.answer, q)
            answered = [
                (q, r) for q in asked for r in self.known("answers", **asdict(q))
            ]
            for q, row in answered:
                enough = row["status"] in ANSWERED
                if enough and not self.known("verified", **asdict(q)):
                    sigma = float(row["sigma"])
                    yield f"verify {_line(q)}", functools.partial(self.verify, q, sigma)
            for q, row in answered:
                # Where hardly an image falls, counts say little.
                if q.access == "scores" and row["status"] != "NO_NOISE_NEEDED":
                    yield from self.compared(q)

    def compared(self, q: Question) -> Iterator[tuple[str, Any]]:
        """Levels at which laws are still to be held against counts."""
        allowed = self.given.max_accuracy_loss
        largest = self.search(q).price.largest(allowed, 2.0)
        for sigma in (0.0, float(f"{largest:.3g}")):
            where = {"network": q.network, "eps": q.eps, "site": q.site}
            # Without noise all sites are one.
            if sigma == 0.0:
                del where["site"]
            if not self.known("predicted", **where, sigma=sigma):
                name = f"predict {_line(q)} sigma {sigma:g}"
                yield name, functools.partial(self.predict, q, sigma)

    def run(self) -> bool:
        """Do what is left; False if something was not done."""
        end, whole = time.monotonic() + self.given.seconds, True
        for name, work in self.left():
            left = end - time.monotonic()
            if left < 5:
                return False
            start = time.monotonic()
            try:
                with limited(min(left, self.given.at_most)):
                    work()
            except OutOfTime:
                whole = False
                print(f"{name}: stopped", flush=True)
                continue
            print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
        return whole


def told(rec: Recommendation) -> dict[str, Any]:
    """The columns of an answer."""
    best = rec.standings[0] if rec.standings else None
    who, cost = ("", (math.nan,) * 3)
    if best is not None:
        who, cost = best.contender.name, best.queries
    elif rec.attack is not None and rec.ceiling is not None:
        who, cost = rec.attack.name, rec.ceiling
    without, runner_up = rec.noiseless, rec.runner_up
    return {
        "status": rec.status,
        "evidence": rec.evidence,
        "sigma": rec.sigma,
        **_three("loss", rec.accuracy_loss),
        **_three("ceiling", rec.ceiling),
        "noiseless_attack": without.contender.name if without else "",
        **_three("noiseless", without.queries if without else None),
        "attack": who,
        **_three("cost", cost),
        "runner_up_attack": runner_up.contender.name if runner_up else "",
        **_three("runner_up", runner_up.queries if runner_up else None),
        **_three("share", best.share if best else None),
        "images": best.images if best else "",
        **_three("predicted", rec.predicted_queries),
        "certified_to": rec.certified_to,
        "binding": rec.binding,
        "advice": rec.advice,
    }


def _three(name: str, interval: Sequence[float] | None) -> dict[str, Any]:
    ends = ("low", "", "high")
    values = ("",) * 3 if interval is None else interval
    return {
        "_".join(filter(None, (name, end))): value
        for end, value in zip(ends, values, strict=True)
    }


def _said(value: Any) -> str:
    """A value as the tables hold it."""
    if isinstance(value, (float, np.floating)):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _line(q: Question) -> str:
    return " ".join(_said(v) for v in asdict(q).values())


class OutOfTime(BaseException):
    """No error of an attack, which would be tried again image by image."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """OutOfTime after so many seconds; what was stored by then is kept."""

    def stop(*_: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, or write the tables; exit code 4 if something is left to do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, default=Path("out/real-models"))
    parser.add_argument("--out", type=Path, default=Path("docs/real-models"))
    parser.add_argument("--tables", type=Path, help="a page to write the tables into")
    parser.add_argument(
        "--walks", action="store_true", help="hold the probe's descent against trials"
    )
    parser.add_argument("--networks", nargs="*", default=())
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--at-most", type=float, default=1e6, help="seconds a part")
    parser.add_argument("--calibration", type=int, default=60)
    parser.add_argument("--held-out", type=int, default=100)
    parser.add_argument("--compared", type=int, default=48, help="images a comparison")
    parser.add_argument("--max-accuracy-loss", type=float, default=0.05)
    parser.add_argument("--effort", default="quick")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.tables:
        asked = [
            {k: _said(v) for k, v in asdict(q).items()}
            for group in questions()
            for q in group
        ]
        into(given.tables, read(given.out), asked)
        return 0
    given.seconds = min(given.seconds, 1e6)
    if given.walks:
        job = Job(given)
        for setting in SETTINGS:
            words = {"network": setting.network, "eps": round(setting.eps, 6)}
            if job.known("answers", **words) and not job.known("walked", **words):
                job.walk(setting)
        return 0
    return 0 if Job(given).run() else 4


if __name__ == "__main__":
    raise SystemExit(main())
