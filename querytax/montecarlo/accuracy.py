"""What output noise costs the defender: draw it on every output, take the argmax."""

from __future__ import annotations

import math

import numpy as np

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, mean, normals
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.declared import Table, settled, simulation
from querytax.montecarlo.runs import Experiment


@kernel
def _wrong(  # type: ignore[no-untyped-def]
    out, first, outputs, labels, clean, sigma, folded, clipped, k0, k1
):
    """Whether another class than its label wins in a random row, less ``clean``."""
    size, (rows, classes) = out.size, outputs.shape
    row = np.zeros(size, dtype=np.int64)
    if rows > 1:
        for i in range(size):
            w0, w1, w2, w3 = philox(first + np.uint64(i), 0, 1, k0, k1)
            row[i] = np.int64(uniform_pair(w0, w1, w2, w3)[0] * rows)
    own, best = np.empty(size), np.full(size, -math.inf)
    a, b = np.empty(size), np.empty(size)
    for j in range(classes):
        if j % 2 == 0:
            normals(a, b, first, j // 2, 0, k0, k1)
        noise = b if j % 2 else a
        for i in range(size):
            seen = outputs[row[i], j] + sigma * noise[i]
            seen = abs(seen) if folded else seen
            seen = max(seen, 0.0) if clipped else seen
            mine = labels[row[i]] == j
            own[i] = seen if mine else own[i]
            best[i] = best[i] if mine else max(best[i], seen)
    for i in range(size):
        # Where all are clipped to 0 the first of them is the argmax.
        nothing = clipped and own[i] == 0.0 and best[i] == 0.0 and labels[row[i]] > 0
        out[i] = np.float64(best[i] > own[i] or nothing) - clean[row[i]]


def _labelled(outputs: Table, labels: Table | None) -> Table:
    """The class that should win in each row."""
    rows, classes = outputs.shape
    winners = outputs.argmax(axis=1) if labels is None else labels
    if classes < 2 or winners.size != rows or (winners >= classes).any():
        raise expect.DomainError(
            f"expected labels of two classes or more, below {classes} and one for each "
            f"of {rows} rows, got {winners.size} up to {winners.max()}"
        )
    return winners


@simulation(keyed="outputs sigma labels [release]")
def misclassification(
    outputs: Table, sigma: float, labels: int | None = None, release: str = "raw"
) -> Experiment:
    """Whether noise makes another class win than the label, or than the argmax."""
    winner = _labelled(outputs[None], None if labels is None else np.array([labels]))
    drawn = event(
        _wrong,
        outputs[None],
        winner,
        np.zeros(1),
        sigma,
        release == "reflect",
        release == "clip",
        cost=outputs.size / 2.0,
    )
    return settled(drawn, labels=int(winner[0]))


@simulation(tables={"outputs": 2, "labels": 1}, keyed="outputs labels sigma [release]")
def accuracy_loss(
    outputs: Table, sigma: float, labels: Table | None = None, release: str = "raw"
) -> Experiment:
    """Errors with noise less errors without, over a set of rows.

    A draw is one row, each as likely as another: 1 where noise made it wrong, -1 where
    noise mended it, else 0. A tie at the top counts as right.
    """
    winners = _labelled(outputs, labels)
    clean = outputs.max(axis=1) > outputs[np.arange(len(outputs)), winners]
    drawn = mean(
        _wrong,
        outputs,
        winners,
        clean.astype(float),
        sigma,
        release == "reflect",
        release == "clip",
        low=-1.0,
        high=1.0,
        cost=1.0 + outputs.shape[1] / 2.0,
    )
    return settled(drawn, labels=winners)
