"""How long a model takes to answer."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from querytax.attacks.oracle import Model, answer_in_batches, evaluating

__all__ = ["seconds_per_row"]

# Forward passes that are timed, after one that is not.
_TIMED = 5


def seconds_per_row(model: Model, images: Tensor, batch_size: int) -> float:
    """Seconds of one row in a full batch: the quickest of five passes.

    Parameters
    ----------
    model : nn.Module or callable
        With its noise.
    images : Tensor
        ``(N, ...)``, repeated until they fill a batch.
    batch_size : int
    """
    x = torch.cat([images] * -(-batch_size // len(images)))[:batch_size]
    keys = torch.arange(batch_size, device=x.device)
    took = []
    with torch.no_grad(), evaluating(model):
        for query in range(_TIMED + 1):
            begin = time.perf_counter()
            queries = torch.full_like(keys, query)
            answers = answer_in_batches(model, x, batch_size, keys, queries)
            float(answers.sum())  # Waits for an accelerator.
            took.append(time.perf_counter() - begin)
    return min(took[1:]) / batch_size
