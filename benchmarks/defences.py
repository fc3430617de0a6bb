"""What every defence costs, and what the best of all attackers makes of it.

``python benchmarks/defences.py --out querytax/defenses/costs.csv`` puts each defence of
the catalogue around two networks, at the largest strength that costs a hundredth of the
accuracy (at its published strength where the class never changes, or where it was
trained for it), and measures

- accuracy lost, on images of its own, and the time of one image and of 256;
- S of a comparison over a probe: the squared change of the mean margin over its
  variance, and how often the mean change points another way than the bare network's;
- the share that the best of all attackers breaks, and the share that falls to the
  attack made for this defence; an image counts when the answers to 9 more questions
  and the network without its randomness agree that it is broken.

A row is written as soon as it is known, and what was stopped goes on where it was.
``--page docs/defences.md`` writes the table into the page.
"""

from __future__ import annotations

import argparse
import copy
import csv
import datetime
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax import demo
from querytax.attacks import attack_all
from querytax.attacks.table import plan_of
from querytax.attacks.work import Run, pays
from querytax.catalogue import DEFENCES, Defence
from querytax.defenses import Defense, defend, preset
from querytax.evidence import Contender
from querytax.losses import attacker_loss
from querytax.pricing import price
from querytax.recommend.portfolio import breakers, portfolio
from querytax.recommend.race import share_bounds
from querytax.reproductions import zoo
from querytax.sites import Site

SEED = 20261201
ALLOWED = 0.01
VOTES = 9
# A probe's size, and how often its two ends are asked.
PROBE, DRAWS = 0.1, 256
MARK = "<!-- measured -->"
LISTED = "<!-- catalogue -->", "<!-- end of catalogue -->"

COLUMNS = (
    "network",
    "eps",
    "defence",
    "strength",
    "accuracy",
    "accuracy_lost",
    "lost_low",
    "lost_high",
    "time_1",
    "time_256",
    "snr",
    "reversed",
    "hidden",
    "images",
    "queries",
    "bare",
    "bare_broken",
    "best",
    "best_broken",
    "best_low",
    "best_high",
    "best_median",
    "breaker",
    "breaker_broken",
    "breaker_low",
    "breaker_high",
    "seed",
    "date",
    "machine",
)


@dataclass(frozen=True)
class Ground:
    """A network, its budget, and images: attacked, priced, and to train on."""

    name: str
    network: nn.Module
    eps: float
    attacked: tuple[Tensor, Tensor]
    priced: tuple[Tensor, Tensor]
    train: tuple[Tensor, Tensor]


def digits() -> Ground:
    """The embedded network."""
    split, network = demo.digits(), demo.load_model().requires_grad_(False)
    x, y = split.probe
    return Ground("digits", network, 0.15, (x, y), split.held_out, split.train)


def mnist() -> Ground:
    """A small convolutional network from the data folder."""
    name = "mnist_convsmall_natural"
    network = zoo.load(name)
    return Ground(
        name,
        network,
        0.2,
        zoo.images(name, 300),
        zoo.images(name, 500, start=300),
        zoo.images(name, 4000, split="train"),
    )


GROUNDS: dict[str, Callable[[], Ground]] = {"digits": digits, "mnist": mnist}


def words(entry: Defence) -> list[str]:
    """The forms of a defence that get a row."""
    found = [entry.word]
    for name, setting in entry.settings.items():
        if isinstance(setting.default, bool):
            found.append(f"{entry.word}:{name}={str(not setting.default).lower()}")
        found += [
            f"{entry.word}:{name}={word}"
            for word in setting.words
            if word != setting.default
        ]
    return found


def built(ground: Ground, word: str, strength: float | None) -> Defense:
    """A defence, trained where it must be."""
    entry = DEFENCES[word.partition(":")[0]]
    data = ground.train if entry.trained else None
    site = preset(ground.network) if word == "rfd" else word
    return defend(ground.network, site, strength, experiment_seed=SEED, data=data)


def strength_of(ground: Ground, word: str) -> float:
    """The published strength, or the largest that costs what is allowed."""
    entry = DEFENCES[word.partition(":")[0]]
    if entry.trained or not entry.decides:
        return entry.usual
    site = preset(ground.network) if word == "rfd" else word
    levels = entry.levels or (0.01, 0.03, 0.1, 0.2, 0.4, 0.8)
    best = 0.0
    for level in levels:
        lost = price(ground.network, *ground.priced, site, level, rng=SEED)[1]
        if lost > ALLOWED:
            break
        best = level
    return best or min(levels)


def accuracy(ground: Ground, guarded: Defense) -> tuple[float, float, float, float]:
    """Right answers without the defence, and what is lost with it (two errors)."""
    x, y = ground.priced
    with torch.no_grad():
        clean = (ground.network(x).argmax(1) == y).double()
        right = torch.stack(
            [(guarded(x).argmax(1) == y).double() for _ in range(16)]
        ).mean(0)
    change = (clean - right).numpy()
    error = 2.0 * float(change.std(ddof=1)) / len(change) ** 0.5
    error = max(error, 3.0 / len(change))
    lost = float(change.mean())
    return float(clean.mean()), lost, lost - error, lost + error


def times(ground: Ground, guarded: Defense, rows: int, turns: int = 41) -> float:
    """Median time with the defence over the median without, by turns."""
    x, _ = ground.attacked
    x = x.repeat(-(-rows // len(x)), *(1,) * (x.ndim - 1))[:rows].contiguous()
    taken: dict[bool, list[float]] = {True: [], False: []}
    repeats = 20 if rows == 1 else 1
    with torch.inference_mode():
        for _ in range(turns):
            for which, model in ((True, guarded), (False, ground.network)):
                start = time.process_time()
                for _ in range(repeats):
                    model(x)
                taken[which].append(time.process_time() - start)
    return statistics.median(taken[True]) / statistics.median(taken[False])


def deployed(guarded: Defense) -> Defense:
    """The same defence with noise that nobody can predict, as it would be served."""
    made = copy.deepcopy(guarded)
    for part in made.modules():
        if isinstance(part, Defense):
            part.seed = None
    return made


def comparison(ground: Ground, guarded: Defense) -> tuple[float, float, float]:
    """Median S of a probe's comparison; shares of changes turned round and hidden."""
    x, y = (part[:48] for part in ground.attacked)
    u = torch.randn(x.shape, generator=torch.Generator().manual_seed(SEED))

    def margin(model: Any, at: Tensor) -> np.ndarray:
        with torch.no_grad():
            said = model(at)
        answered = getattr(model, "answers", "logits")
        found = attacker_loss(said, y, loss="margin", answered=answered)
        return found.numpy()

    ends = x + PROBE * u, x - PROBE * u
    bare = margin(ground.network, ends[0]) - margin(ground.network, ends[1])
    drawn = np.stack(
        [margin(guarded, ends[0]) - margin(guarded, ends[1]) for _ in range(DRAWS)]
    )
    mean, variance = drawn.mean(0), drawn.var(0, ddof=1)
    # The mean of draws has noise of its own, which is not signal.
    signal = np.maximum(mean**2 - variance / DRAWS, 0.0)
    still = variance <= 1e-20 * np.maximum(mean**2, 1e-30)
    hidden = still & (np.abs(mean) <= 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.where(hidden, 0.0, np.where(still, math.inf, signal / variance))
    turned = ~hidden & (np.sign(mean) != np.sign(bare))
    # Without anything drawn there is no ratio.
    middle = float(np.median(snr)) if not still.all() else math.nan
    return middle, float(turned.mean()), float(hidden.mean())


def attacked(
    ground: Ground,
    model: Any,
    who: Iterable[Contender],
    images: int,
    queries: int,
    word: str = "input",
    strength: float = 0.0,
) -> dict[Contender, tuple[float, int, int, float]]:
    """Share broken, images that fell and that were attacked, and the median count."""
    x, y = ground.attacked
    with torch.no_grad():
        right = (ground.network(x).argmax(1) == y).nonzero()[:, 0][:images]
    x, y = x[right], y[right]
    shape = tuple(x.shape[1:])
    runs, names = [], []
    for one in who:
        plan = plan_of(
            one.attack,
            ground.eps,
            "Linf",
            recipe=one.recipe,
            shape=shape,
            **Site.parse(word).knowing(one.changes, strength),
        )
        if pays(plan, queries, VOTES):
            runs.append(Run(model, x, y, plan, rng=SEED))
            names.append(one)
    results = attack_all(runs, n_queries=queries, votes=VOTES, batch_size=256)
    found = {}
    for one, result in zip(names, results, strict=True):
        # What the defence gets wrong by itself is broken already.
        free = len(x) - int(result.attacked.sum())
        fell = int(result.broken.success.sum()) + free
        counts = np.where(result.broken.success, result.broken.queries, np.inf)
        counts = np.concatenate([counts, np.ones(free)])
        found[one] = fell / len(x), fell, len(x), float(np.median(counts))
    return found


def row(
    ground: Ground, word: str, images: int, queries: int, bare: dict[str, Any]
) -> dict[str, Any]:
    """All that is measured of one defence on one network."""
    strength = strength_of(ground, word)
    guarded = built(ground, word, strength)
    entry = DEFENCES[word.partition(":")[0]]
    attack, changes = entry.attack
    own = dict(changes)
    breaker = Contender(attack, own.pop("recipe", "adaptive"), tuple(own.items()))
    if own_breaker := breakers(word):
        (breaker,) = own_breaker
    field = dict.fromkeys((*portfolio("best"), breaker))
    found = attacked(ground, guarded, field, images, queries, word, strength)
    best = max(found, key=lambda one: (found[one][0], -found[one][3]))
    ends = {
        name: share_bounds(found[one][1], found[one][2], 0.025)
        for name, one in (("best", best), ("breaker", breaker))
    }
    return {
        "network": ground.name,
        "eps": ground.eps,
        "defence": word,
        "strength": f"{entry.strength} {strength:g}",
        **unattacked(ground, guarded),
        "images": found[best][2],
        "queries": queries,
        **bare,
        "best": best.name,
        "best_broken": f"{100 * found[best][0]:.0f}",
        "best_low": f"{100 * ends['best'][0]:.0f}",
        "best_high": f"{100 * ends['best'][1]:.0f}",
        "best_median": f"{found[best][3]:g}",
        "breaker": breaker.name,
        "breaker_broken": f"{100 * found[breaker][0]:.0f}",
        "breaker_low": f"{100 * ends['breaker'][0]:.0f}",
        "breaker_high": f"{100 * ends['breaker'][1]:.0f}",
        "seed": SEED,
        "date": datetime.date.today().isoformat(),
        "machine": platform.machine(),
    }


def unattacked(ground: Ground, guarded: Defense) -> dict[str, str]:
    """What is measured without an attack: accuracy, time, comparisons."""
    clean, lost, low, high = accuracy(ground, guarded)
    snr, turned, hidden = comparison(ground, guarded)
    served = deployed(guarded)
    return {
        "accuracy": f"{100 * clean:.1f}",
        "accuracy_lost": f"{100 * lost:.1f}",
        "lost_low": f"{100 * low:.1f}",
        "lost_high": f"{100 * high:.1f}",
        "time_1": f"{times(ground, served, 1):.2f}",
        "time_256": f"{times(ground, served, 256):.2f}",
        "snr": "" if math.isnan(snr) else f"{snr:.3g}",
        "reversed": f"{100 * turned:.0f}",
        "hidden": f"{100 * hidden:.0f}",
    }


def without(ground: Ground, images: int, queries: int) -> dict[str, Any]:
    """The best of all attackers on the bare network."""
    found = attacked(ground, ground.network, portfolio("best"), images, queries)
    best = max(found, key=lambda one: (found[one][0], -found[one][3]))
    return {"bare": best.name, "bare_broken": f"{100 * found[best][0]:.0f}"}


def known(path: Path) -> list[dict[str, str]]:
    """Rows that were written before."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """All rows so far."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def page(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the tables into a page, behind its mark."""
    head = path.read_text(encoding="utf-8").partition(MARK)[0]
    before, _, rest = head.partition(LISTED[0])
    listed = [
        "| word | comparison | its breaker |",
        "|---|---|---|",
        *(f"| `{d.word}` | {d.comparison} | {d.breaker} |" for d in DEFENCES.values()),
    ]
    after = rest.partition(LISTED[1])[2]
    head = "\n".join([before + LISTED[0], *listed, LISTED[1] + after])
    lines = []
    for network in dict.fromkeys(r["network"] for r in rows):
        own = [r for r in rows if r["network"] == network]
        first = own[0]
        lines += [
            "",
            f"### {network}, Linf {float(first['eps']):g}",
            "",
            f"{first['images']} images, {first['queries']} queries each, seed "
            f"{first['seed']}, {first['date']}, {first['machine']}, one core; accuracy "
            f"{first['accuracy']} %; without a defence {first['bare']} breaks "
            f"{first['bare_broken']} %.",
            "",
            "| defence | strength | points lost | time, 1 | 256 | S | reversed "
            "| hidden | best of all attackers | broken | its breaker | broken |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| `{r['defence']}` | {r['strength']} | {r['accuracy_lost']} "
            f"[{r['lost_low']}, {r['lost_high']}] | {r['time_1']} | {r['time_256']} | "
            f"{r['snr'].replace('inf', '∞') or 'none'} | {r['reversed']} % | "
            f"{r['hidden']} % | "
            f"{r['best']} | {r['best_broken']} % [{r['best_low']}, {r['best_high']}] | "
            f"{r['breaker']} | {r['breaker_broken']} % [{r['breaker_low']}, "
            f"{r['breaker_high']}] |"
            for r in own
        ]
    path.write_text(f"{head}{MARK}\n" + "\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--page", type=Path)
    options.add_argument("--networks", nargs="*", default=list(GROUNDS))
    options.add_argument("--words", nargs="*")
    options.add_argument("--refresh", action="store_true", help="all but attacks")
    options.add_argument("--images", type=int, default=40)
    options.add_argument("--queries", type=int, default=300)
    given = options.parse_args()
    torch.set_num_threads(1)
    rows = known(given.out)
    asked = given.words or [w for e in DEFENCES.values() for w in words(e)]
    for name in given.networks:
        ground = GROUNDS[name]()
        for old in rows if given.refresh else ():
            if old["network"] == ground.name:
                strength = float(old["strength"].split()[1])
                guarded = built(ground, old["defence"], strength)
                old.update(unattacked(ground, guarded))
        write(given.out, rows)
        done = {r["defence"] for r in rows if r["network"] == ground.name}
        rest = [word for word in asked if word not in done]
        bare = without(ground, given.images, given.queries) if rest else {}
        for word in rest:
            start = time.perf_counter()
            try:
                found = row(ground, word, given.images, given.queries, bare)
            except ValueError as error:
                print(f"{ground.name} {word}: {error}")
                continue
            rows.append({key: str(found[key]) for key in COLUMNS})
            write(given.out, rows)
            seconds = time.perf_counter() - start
            print(
                f"{ground.name} {word} {found['strength']}: lost "
                f"{found['accuracy_lost']}, S {found['snr']}, best {found['best']} "
                f"{found['best_broken']} %, breaker {found['breaker_broken']} % "
                f"({seconds:.0f} s)",
                flush=True,
            )
    if given.page:
        page(given.page, rows)


if __name__ == "__main__":
    main()
