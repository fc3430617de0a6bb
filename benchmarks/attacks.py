"""The attacks: their speed against the bare model, against noise, against peers.

``python benchmarks/attacks.py speed``
    Rows a second of every attack, as a share of the bare model's. The goal is 0.90 on
    the small CNN and 0.30 on a tiny MLP.
``python benchmarks/attacks.py noise [--csv FILE]``
    Every attack with both recipes, without noise and with: the share of the images
    that it breaks, and the queries that break half of them. The adaptive recipe should
    be no weaker than the published one under noise.
``python benchmarks/attacks.py peers``
    Without noise, against the same attack of ART, Foolbox and torchattacks, whichever
    is installed, on the same images and budget.

Ratios are of one run and medians; absolute times drift with the machine.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from querytax import demo
from querytax.attacks import ATTACKS, AttackResult, Run, attack_all, find
from querytax.attacks.foreign import foreign_attack
from querytax.attacks.table import RECIPES
from querytax.defenses import defend
from querytax.expect import DomainError
from querytax.reproductions import zoo
from querytax.training import Recipe, fit

EPS = {"Linf": 0.3, "L2": 2.0}


def tiny_mlp() -> nn.Module:
    """Three layers on the digits: 0.7 million images a second, and more."""
    sizes = (64, 256, 256, 10)
    layers: list[nn.Module] = [nn.Flatten()]
    for inside, outside in itertools.pairwise(sizes):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    return fit(net, *demo.digits().train, Recipe("benchmark/mlp", epochs=20))


def linear() -> Callable[[Tensor], Tensor]:
    """A surrogate: ridge regression on the training digits."""
    x, y = demo.digits().train
    flat = torch.cat([x.flatten(1), torch.ones(len(x), 1)], 1)
    hot = torch.nn.functional.one_hot(y, 10).float()
    weight = torch.linalg.solve(flat.T @ flat + torch.eye(65), flat.T @ hot)
    return lambda x: 8.0 * (x.flatten(1) @ weight[:-1] + weight[-1])


# -- speed ------------------------------------------------------------------------


def speed(names: Iterable[str], images: int, queries: int, runs: int) -> None:
    """Print the share of the bare model's rate, attack by attack."""
    x = torch.cat([demo.digits().held_out[0]] * (1 + images // 300))[:images]
    print(f"{images} images, {queries} queries each, {torch.get_num_threads()} threads")
    print(
        f"{'attack':>12} {'small cnn':>10} {'us/row':>7} {'tiny mlp':>9} {'us/row':>7}"
    )
    models = {"cnn": demo.load_model(), "mlp": tiny_mlp()}
    for model in models.values():
        model.requires_grad_(False)
    shares: dict[str, list[float]] = {name: [] for name in models}
    for name in names:
        line = f"{name:>12}"
        for kind, model in models.items():
            found = [_share(name, model, x, queries) for _ in range(runs + 1)][1:]
            share, each = (statistics.median(v) for v in zip(*found, strict=True))
            shares[kind].append(share)
            line += f" {share:>10.2f} {each:>7.1f}"
        print(line, flush=True)
    for kind, wanted in (("cnn", 0.90), ("mlp", 0.30)):
        met = sum(share >= wanted for share in shares[kind])
        least = min(shares[kind])
        count = len(shares[kind])
        print(f"{kind}: {met} of {count} at {wanted} or more, least {least:.2f}")


class Paired(nn.Module):
    """A model that is asked every eighth batch once more, by itself, on a stopwatch.

    The bare model's rate is thus measured on the attack's own batches and at the same
    time: a machine that slows down slows both.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.calls = self.rows = 0
        self.seconds = 0.0

    def forward(self, x: Tensor) -> Tensor:
        answer = self.model(x)
        self.calls += 1
        if self.calls % 8 == 0:
            start = time.perf_counter()
            self.model(x)
            self.seconds += time.perf_counter() - start
            self.rows += len(x)
        return answer


def _share(name: str, model: nn.Module, x: Tensor, queries: int) -> tuple[float, float]:
    """An attack's rate over the bare model's, and its microseconds a row."""
    entry = find(name)
    with torch.no_grad():
        y = model(x).argmax(1)
    # A budget of perturbation too small to succeed in: every image runs to the end.
    # One gradient of neslabels takes 2,500 queries as published.
    recipe = "adaptive" if name == "neslabels" else "published"
    plan = entry.recipe(recipe, 1e-4, entry.norms[0], (1, 8, 8))
    paired = Paired(model)
    run = Run(paired, x, y, plan, surrogate=linear() if entry.surrogate else None)
    start = time.perf_counter()
    (result,) = attack_all([run], n_queries=queries)
    seconds = time.perf_counter() - start - paired.seconds
    each = seconds / max(result.total_queries, 1)
    return paired.seconds / max(paired.rows, 1) / each, 1e6 * each


# -- noise ------------------------------------------------------------------------

# Network, site, sigma, Linf eps and L2 eps, images, queries.
PLACES = [
    ("digits", "output", 0.0, 0.3, 2.0, 60, 2000),
    ("digits", "output", 0.00489, 0.3, 2.0, 60, 2000),
    ("digits", "output", 0.2, 0.3, 2.0, 60, 2000),
    ("digits", "input", 0.048, 0.3, 2.0, 60, 2000),
    ("mnist_convsmall_natural", "output", 0.0, 0.3, 3.0, 24, 1000),
    ("mnist_convsmall_natural", "output", 0.08, 0.3, 3.0, 24, 1000),
    ("mnist_convsmall_natural", "input", 0.1, 0.3, 3.0, 24, 1000),
]


def noise(names: Iterable[str], file: str | None) -> None:
    """Print who breaks what, and keep it in a file."""
    rows = []
    for network, site, sigma, linf, l2, images, queries in PLACES:
        if network != "digits" and zoo.missing([network]):
            print(f"{network}: skipped, its file is not there")
            continue
        if network == "digits":
            model: Any = demo.load_model()
            x, y = (part[:images] for part in demo.digits().held_out)
        else:
            model = zoo.load(network)
            x, y = zoo.images(network, images)
        model.requires_grad_(False)
        guarded = defend(model, site, sigma, experiment_seed=1)
        print(f"\n{network}, {sigma:g} at {site}, {images} images, {queries} queries")
        for name in names:
            entry = find(name)
            if entry.surrogate and network != "digits":
                continue
            norm, eps = ("Linf", linf) if "Linf" in entry.norms else ("L2", l2)
            runs = [
                Run(
                    guarded,
                    x,
                    y,
                    entry.recipe(recipe, eps, norm, tuple(x.shape[1:])),
                    surrogate=linear() if entry.surrogate else None,
                )
                for recipe in RECIPES
            ]
            start = time.perf_counter()
            results = attack_all(runs, n_queries=queries)
            seconds = time.perf_counter() - start
            row = {
                "network": network,
                "site": site,
                "sigma": sigma,
                "norm": norm,
                "eps": eps,
                "attack": name,
                "images": int(results[0].attacked.sum()),
                "queries": queries,
                "seed": 0,
            }
            words = []
            for recipe, result in zip(RECIPES, results, strict=True):
                found = result.broken
                row[recipe] = found.to_json()
                words.append(f"{recipe} {_said(result)}")
            print(f"{name:>12} {'; '.join(words)}  ({seconds:.1f} s)", flush=True)
            rows.append(row)
    weaker = [row for row in rows if row["sigma"] and not _no_weaker(row)]
    noisy = sum(row["sigma"] > 0 for row in rows)
    print(f"\nadaptive weaker than published under noise: {len(weaker)} of {noisy}")
    for row in weaker:
        print(f"  {row['attack']} at {row['sigma']:g} {row['site']}, {row['network']}")
    if file:
        with open(file, "w", encoding="utf-8", newline="") as stream:
            _write(rows, stream)


def _write(rows: list[dict[str, Any]], stream: Any) -> None:
    """A line an attack, recipe and place."""
    place = ("network", "site", "sigma", "norm", "eps", "images", "queries", "seed")
    found = ("success_rate", "success_interval_95", "median_queries")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow([*place, "attack", "recipe", *found, "median_interval_95"])
    for row in rows:
        for recipe in RECIPES:
            said = [row[recipe][name] for name in (*found, "median_interval_95")]
            words = [
                " ".join(f"{v:.4g}" for v in value)
                if isinstance(value, list) and None not in value
                else (
                    "" if value is None or isinstance(value, list) else f"{value:.4g}"
                )
                for value in said
            ]
            facts = [row[name] for name in place]
            table.writerow([*facts, row["attack"], recipe, *words])


def _no_weaker(row: dict[str, Any]) -> bool:
    """At least as many images broken; as many, no later by more than a query in ten."""
    old, new = row["published"], row["adaptive"]
    if old["success_rate"] != new["success_rate"]:
        return bool(new["success_rate"] > old["success_rate"])
    old, new = (part["median_queries"] or math.inf for part in (old, new))
    return bool(new <= 1.1 * old)


def _said(result: AttackResult) -> str:
    found = result.broken
    low, high = found.interval()
    median = found.quantile()
    half = f"{median:.0f} [{low:.0f}, {high:.0f}]" if math.isfinite(median) else "-"
    return f"{100 * found.rate():3.0f} % {half}"


# -- peers ------------------------------------------------------------------------

# Ours, the norm, and theirs.
SHARED = [
    ("square", "Linf", ("art:square", "torchattacks:square")),
    ("square", "L2", ("torchattacks:square",)),
    ("simba", "L2", ("art:simba",)),
    ("hopskipjump", "L2", ("art:hopskipjump", "foolbox:hopskipjump")),
    ("hopskipjump", "Linf", ("art:hopskipjump", "foolbox:hopskipjump")),
    ("boundary", "L2", ("art:boundary", "foolbox:boundary")),
    ("signopt", "L2", ("art:signopt",)),
    ("zoo", "L2", ("art:zoo",)),
    ("spsa", "Linf", ("torchattacks:spsa",)),
]
# Smaller than elsewhere: attacks that fall at once cannot be told apart.
PEER_EPS = {"Linf": 0.15, "L2": 1.0}


def peers(images: int, queries: int) -> None:
    """Print ours beside theirs, without noise, counted by one meter."""
    model = demo.load_model().requires_grad_(False)
    x, y = (part[:images] for part in demo.digits().held_out)
    print(f"digits, no noise, {images} images, {queries} queries, 9 votes included")
    for name, norm, others in SHARED:
        eps = PEER_EPS[norm]
        for recipe in RECIPES:
            plan = find(name).recipe(recipe, eps, norm, (1, 8, 8))
            (own,) = attack_all([Run(model, x, y, plan)], n_queries=queries)
            print(f"{name:>22} {norm:>4}  {_said(own)}  {recipe}", flush=True)
        for other in others:
            try:
                found = foreign_attack(
                    model, x, y, other, eps=eps, norm=norm, n_queries=queries
                )
            except DomainError as error:
                print(f"{other:>22} {norm:>4}  {error}")
                continue
            crashed = sum(word.startswith("crashed") for word in found.status)
            print(
                f"{other:>22} {norm:>4}  {_said(found)}  crashed {crashed}", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "noise", "peers"])
    parser.add_argument("names", nargs="*", metavar="ATTACK")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--csv", dest="file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    names = given.names or list(ATTACKS)
    if given.what == "speed":
        speed(names, given.images, given.queries, given.runs)
    elif given.what == "noise":
        noise(names, given.file)
    else:
        peers(given.images, given.queries)


if __name__ == "__main__":
    main()
