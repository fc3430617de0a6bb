"""What output noise costs the defender: draw it on every output, take the argmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.kernels import kernel
from querytax.montecarlo._blocks import event, listed, mean, normals
from querytax.montecarlo._philox import philox, uniform_pair
from querytax.montecarlo.runs import Experiment

__all__ = ["accuracy_loss", "misclassification"]


@kernel
def _wrong(out, first, outputs, labels, clean, sigma, k0, k1):  # type: ignore[no-untyped-def]
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
            mine = labels[row[i]] == j
            own[i] = seen if mine else own[i]
            best[i] = best[i] if mine else max(best[i], seen)
    for i in range(size):
        out[i] = np.float64(best[i] > own[i]) - clean[row[i]]


def _table(outputs: npt.ArrayLike, rows: int) -> npt.NDArray[np.float64]:
    values = np.asarray(expect.finite(outputs=outputs), dtype=float)
    if values.ndim != rows or values.shape[-1] < 2:
        shape = "(rows, classes)" if rows == 2 else "(classes,)"
        raise expect.DomainError(
            f"expected outputs of shape {shape} with two classes or more, "
            f"got shape {values.shape}"
        )
    return values.reshape(-1, values.shape[-1])


def _winners(labels: Any, table: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    winners = np.asarray(expect.integer(0, labels=labels), dtype=np.int64).reshape(-1)
    if winners.size != len(table) or (winners >= table.shape[1]).any():
        raise expect.DomainError(
            f"expected labels below {table.shape[1]}, one for each of {len(table)} "
            f"rows, got {labels!r}"
        )
    return winners


def misclassification(
    outputs: npt.ArrayLike, sigma: float, labels: int | None = None
) -> Experiment:
    """Whether noise makes another class win.

    Parameters
    ----------
    outputs : array_like, shape (classes,)
        Noiseless outputs, probabilities or logits.
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    labels : int, optional
        The class that should win; the argmax if left out.
    """
    table = _table(outputs, 1)
    winner = table.argmax(axis=1) if labels is None else _winners(labels, table)
    return event(
        "accuracy.misclassification",
        {
            "outputs": listed(table.ravel()),
            "sigma": expect.positive(sigma=sigma),
            "labels": int(winner[0]),
        },
        _wrong,
        table,
        winner.astype(np.int64),
        np.zeros(1),
        float(sigma),
        cost=table.shape[1] / 2.0,
    )


def accuracy_loss(
    outputs: npt.ArrayLike, labels: npt.ArrayLike, sigma: float
) -> Experiment:
    """Errors with noise less errors without, over a set of rows.

    A draw is one row, each as likely as another: 1 where noise made it wrong, -1 where
    noise mended it, else 0.

    Parameters
    ----------
    outputs : array_like, shape (rows, classes)
        Noiseless outputs, probabilities or logits.
    labels : array_like of int, shape (rows,)
        True classes; a tie at the top counts as right.
    sigma : float
        Standard deviation of the noise on each output, in (0, inf).
    """
    table = _table(outputs, 2)
    winners = _winners(labels, table)
    clean = table.max(axis=1) > table[np.arange(len(table)), winners]
    return mean(
        "accuracy.accuracy_loss",
        {
            "outputs": listed(table.ravel()),
            "labels": listed(winners),
            "sigma": expect.positive(sigma=sigma),
        },
        _wrong,
        table,
        winners,
        clean.astype(float),
        float(sigma),
        low=-1.0,
        high=1.0,
        cost=1.0 + table.shape[1] / 2.0,
    )
