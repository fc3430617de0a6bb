"""Labels near the boundary: where bisection under noise ends, and what votes do."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor

from querytax import papers
from querytax.attacks.oracle import MeteredOracle, answer_in_batches
from querytax.defenses import InputNoise
from querytax.figures.style import Panel
from querytax.intervals import mean, quantile
from querytax.losses import attacker_loss
from querytax.probes.path import slope
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, beyond, follows, ranks
from querytax.reproductions.measured import Measured, only, select
from querytax.reproductions.panels import columns, ticks
from querytax.reproductions.snd_2022.noise import (
    BATCH,
    PAPER,
    Array,
    lead,
    loaded,
    one_network,
)
from querytax.theory import bisection

__all__ = ["NEAR", "Crossing", "Rays", "crossing", "rays"]

_LAWS = (
    ("p_mis", "flat", "P_mis at the last query, by a boundary that noise leaves."),
    ("p_mis", "moved", "P_mis at the last query, by a boundary that noise moves."),
    ("answers differ", "flat", "Two fresh answers at the last query differ."),
    ("voted error", "moved", "Error of votes, by a boundary that noise moves."),
)
# Enough to place the boundary within a millionth of the ray.
_EXACT = 20


@dataclass(frozen=True)
class Rays:
    """Straight ways from images to others that are answered otherwise.

    Attributes
    ----------
    start, way : Tensor
        ``(N, C, H, W)``: the ray is ``start + r way``, r in [0, 1].
    answered : Tensor
        ``(N,)`` labels at the start; any other is adversarial.
    """

    start: Tensor
    way: Tensor
    answered: Tensor

    def at(self, place: Tensor) -> Tensor:
        """Points at places ``(N,)`` on their rays."""
        return self.start + place.float()[:, None, None, None] * self.way


@dataclass(frozen=True)
class Crossing:
    """Where rays cross the boundary, and how.

    Attributes
    ----------
    place : ndarray
        ``(N,)`` r there.
    noise : ndarray
        ``(N,)`` std of r that input noise of sigma 1 amounts to: gradient over slope.
    point, normal : Tensor
        ``(N, C, H, W)``: the point, and the unit vector to the adversarial side.
    """

    place: Array
    noise: Array
    point: Tensor
    normal: Tensor


@functools.lru_cache(maxsize=2)
def rays(network: str, n: int) -> Rays:
    """From each of ``n`` test images to the next that is answered otherwise."""
    x, _ = zoo.images(network, n)
    answered = torch.from_numpy(lead(network, n).answered)
    ahead = torch.tensor(
        [
            next(k for k in range(1, n) if answered[(i + k) % n] != answered[i])
            for i in range(n)
        ]
    )
    other = (torch.arange(n) + ahead) % n
    return Rays(x, x[other] - x, answered)


@functools.lru_cache(maxsize=2)
def crossing(network: str, n: int) -> Crossing:
    """Noiseless bisection, and the margin's gradient where it ends."""
    model, way = loaded(network), rays(network, n)
    place = _bisect(way, MeteredOracle(model, n, batch_size=BATCH), _EXACT, 1)
    point = way.at(place)
    up = slope(model, point, way.answered, "margin", "logits", False, BATCH)
    along = (up * way.way).flatten(1).double().sum(1).abs()
    norm = up.flatten(1).norm(dim=1)
    normal = up / norm[:, None, None, None]
    return Crossing(place.numpy(), (norm.double() / along).numpy(), point, normal)


def _bisect(way: Rays, oracle: MeteredOracle, halvings: int, votes: int) -> Tensor:
    """Place of the last query on each ray."""
    n = len(way.answered)
    low, high = torch.zeros(n).double(), torch.ones(n).double()
    middle = low
    for _ in range(halvings):
        middle = 0.5 * (low + high)
        wrong = _ask(oracle, way.at(middle), votes) != way.answered[:, None]
        adversarial = _majority(wrong)
        high = torch.where(adversarial, middle, high)
        low = torch.where(adversarial, low, middle)
    return middle


def _ask(oracle: MeteredOracle, x: Tensor, each: int) -> Tensor:
    """Labels ``(N, each)`` of fresh answers."""
    rows = torch.arange(len(x))
    with torch.no_grad():
        answers = oracle.ask(x.repeat_interleave(each, 0), rows, each)
    return answers.argmax(1).view(len(x), each)


def _majority(wrong: Tensor) -> Tensor:
    """Whether most of the last axis is true; the first one decides a tie."""
    votes = 2 * wrong.sum(-1)
    return torch.where(votes == wrong.shape[-1], wrong[..., 0], votes > wrong.shape[-1])


# -- bisection under noise ---------------------------------------------------------


@functools.lru_cache(maxsize=8)
def _search(
    network: str, n: int, sigma: float, halvings: int, votes: int, draws: int, seed: int
) -> tuple[Array, Tensor]:
    """Places of the last query, and which fresh labels ``(n, draws)`` differ there."""
    model, way = loaded(network), rays(network, n)
    oracle = MeteredOracle(
        InputNoise(model, sigma, experiment_seed=seed), n, batch_size=BATCH
    )
    place = _bisect(way, oracle, halvings, votes)
    x = way.at(place)
    with torch.no_grad():
        clean = answer_in_batches(model, x, BATCH).argmax(1)
    return place.numpy(), _ask(oracle, x, draws) != clean[:, None]


def _searched(job: Job, votes: int) -> tuple[Array, Tensor]:
    keys = ("network", "rays", "sigma", "halvings")
    return _search(*(job[key] for key in keys), votes, job["draws"], job.seed)


def _near_parts(job: Job) -> list[Part]:
    return [{"network": job["network"], "votes": votes} for votes in job["votes"]]


def _measure_near(job: Job, part: Part) -> list[Measured]:
    votes = part["votes"]
    _, flips = _searched(job, votes)
    first_place, first = _searched(job, 1)
    cross = crossing(job["network"], job["rays"])
    noise = job["sigma"] * cross.noise
    shift = _shift(*(job[k] for k in ("network", "rays", "sigma", "draws")), job.seed)
    changed, error, one = _shares(flips), _voted(first, votes), _shares(first)
    rows = [
        Measured("p_mis", mean(changed), "probability"),
        Measured("voted error", mean(error), "probability"),
        Measured("rise of p_mis over one vote", mean(changed - one)),
        Measured("fall of the voted error", mean(one - error)),
        Measured("answers differ", mean(_differ(flips)), "probability"),
        Measured("shift over std, median size", quantile(np.abs(shift), 0.5), "std"),
    ]
    boundaries = {"flat": cross.place, "moved": cross.place - noise * shift}
    for name, noisy in boundaries.items():
        line = Line(cross.place, noisy, noise)
        p_mis, differ = _last_query(line, job["halvings"], votes)
        voted = bisection.majority(line.changed(first_place), votes)
        rows += [
            Measured(f"p_mis, {name}", mean(p_mis), "probability"),
            Measured(f"voted error, {name}", mean(voted), "probability"),
            Measured(f"answers differ, {name}", mean(differ), "probability"),
        ]
    return rows


@functools.lru_cache(maxsize=2)
def _shift(network: str, n: int, sigma: float, draws: int, seed: int) -> Array:
    """Mean of the noisy margin where it is 0 without noise, over its std.

    Positive where noise makes adversarial answers of more than half.
    """
    cross, labels = crossing(network, n), rays(network, n).answered
    oracle = MeteredOracle(InputNoise(loaded(network), sigma, experiment_seed=seed), n)
    x, goals = (v.repeat_interleave(draws, 0) for v in (cross.point, labels))
    with torch.no_grad():
        answers = oracle.ask(x, torch.arange(n), draws)
    lead = attacker_loss(answers, goals, loss="margin").view(n, draws)
    return (lead.mean(1) / lead.std(1)).numpy()


@dataclass(frozen=True)
class Line:
    """Rays with one boundary each, and the place to which noise moves it.

    Attributes
    ----------
    clean, noisy : ndarray
        ``(N,)`` where the answer changes without noise, and where half of the noisy
        answers do.
    noise : ndarray
        ``(N,)`` std of the noise along the ray.
    """

    clean: Array
    noisy: Array
    noise: Array

    def adversarial(self, place: Array) -> Array:
        """Probability of an adversarial answer at places ``(N, ...)``."""
        rows = (slice(None),) + (None,) * (place.ndim - 1)
        found: Array = ndtr((place - self.noisy[rows]) / self.noise[rows])
        return found

    def changed(self, place: Array) -> Array:
        """Probability that noise changes the answer there."""
        rows = (slice(None),) + (None,) * (place.ndim - 1)
        p = self.adversarial(place)
        return np.where(place > self.clean[rows], 1.0 - p, p)


def _shares(flips: Tensor) -> Array:
    found: Array = flips.double().mean(1).numpy()
    return found


def _voted(flips: Tensor, votes: int) -> Array:
    """Share of wrong majorities among a ray's draws, taken ``votes`` at a time."""
    whole = flips.shape[1] // votes
    groups = flips[:, : whole * votes].view(len(flips), whole, votes)
    return _shares(_majority(groups))


def _differ(flips: Tensor) -> Array:
    """Share of pairs of a ray's draws that are answered differently."""
    n, k = flips.shape[1], flips.double().sum(1)
    found: Array = (2.0 * k * (n - k) / (n * (n - 1))).numpy()
    return found


def _last_query(line: Line, halvings: int, votes: int) -> tuple[Array, Array]:
    """At the last query: probability of a changed answer, and of two that differ."""
    # The last query is the middle of the cell that the steps before it chose.
    steps = halvings - 1
    middle = np.tile((np.arange(2**steps) + 0.5) / 2**steps, (line.noise.size, 1))
    place = line.noisy.clip(0.0, 1.0)
    cells = bisection.cells(place, line.noise, steps, votes)
    p = line.adversarial(middle)
    changed, differ = line.changed(middle), 2.0 * p * (1.0 - p)
    return (cells * changed).sum(1), (cells * differ).sum(1)


def _judge_near(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    several = [votes for votes in job["votes"] if votes > 1]
    return [
        *(
            beyond(
                f"With {votes} votes the last query is answered more at random.",
                only(rows, "rise of p_mis over one vote", votes=votes).interval,
                0.0,
                claim="snd-2022/s20",
            )
            for votes in several
        ),
        *(
            beyond(
                f"At a fixed point {votes} votes err less than one.",
                only(rows, "fall of the voted error", votes=votes).interval,
                0.0,
                claim="snd-2022/s20",
                note="True of a point where one draw errs less than half the time.",
            )
            for votes in several
        ),
        *(
            follows(
                statement,
                [row.value for row in select(rows, f"{quantity}, {name}")],
                [row.interval for row in select(rows, quantity)],
                tolerance=job["law_tolerance"],
                claim="snd-2022/s7",
            )
            for quantity, name, statement in _LAWS
        ),
        ranks(
            "P_mis rises with the votes as in Table 5.",
            [_printed(votes) for votes in job["votes"]],
            [row.value for row in select(rows, "p_mis")],
            claim="snd-2022/s20",
            note="The paper's are averages over all queries of an attack.",
        ),
    ]


def _printed(votes: int) -> float:
    where = {"block": "1", "repeats": str(votes), "quantity": "p_mis"}
    return papers.number(PAPER, "table-5", "printed", **where)


def _near_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    name, y = "Last query of a bisection", "P_mis of one draw"
    panel = _votes_panel(ax, name, y, rows, "p_mis")
    votes = [int(row.setting["votes"]) for row in select(rows, "p_mis")]
    panel.points("printed, HSJA", votes, [_printed(v) for v in votes], like=3)
    panel.legend()
    return ax


def _voted_panel(ax: Any, rows: Sequence[Measured]) -> Any:
    name, y = "Fixed points near the boundary", "error of the vote"
    _votes_panel(ax, name, y, rows, "voted error").legend()
    return ax


def _votes_panel(
    ax: Any, name: str, y: str, rows: Sequence[Measured], quantity: str
) -> Panel:
    panel = Panel(ax, name, "votes", y, yscale="linear")
    found = select(rows, quantity)
    for i, law in enumerate(("flat", "moved")):
        x, y, *_ = columns(select(rows, f"{quantity}, {law}"), "votes")
        panel.line(f"law, {law} boundary", x, y, like=i, marker="")
    label = f"measured, {found[0].setting['network']}"
    panel.points(label, *columns(found, "votes"), like=2)
    ticks(panel, found, "votes")
    return panel


NEAR = Experiment(
    "near-boundary",
    _near_parts,
    _measure_near,
    _judge_near,
    (_near_panel, _voted_panel),
    one_network,
)
