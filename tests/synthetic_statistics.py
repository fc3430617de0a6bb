"""Statistics made by hand, of a model whose response is known in closed form.

The loss is linear with slope ``slope`` until ``signal`` says otherwise, the noise on a
difference has variance ``noise * sigma**2``: the signal-to-noise ratio of one pair is
``(2 beta slope)**2 / (noise sigma**2)`` at every place and stage.
"""

from __future__ import annotations

import numpy as np

from querytax.statistics import ModelStatistics, SiteStatistics

BETAS = (1e-3, 0.01, 0.1)
SIGMAS = (0.0, 1e-3, 0.01, 0.1, 1.0, 10.0)


def synthetic(
    *,
    slope=1.0,
    noise=2.0,
    alignment=1.0,
    path=0.3,
    wander=None,
    n=8,
    dimension=64,
    betas=BETAS,
    sigmas=SIGMAS,
    signal=1.0,
    loss=None,
    norm="Linf",
    eps=0.1,
    weights=(0.5, 0.5),
    sites=("output:probabilities:reflect",),
    logits=None,
    wrong=0,
    draws=1000,
    targeted=False,
):
    """``signal`` multiplies by noise level; ``loss`` is the accuracy lost at each."""
    betas, sigmas = np.asarray(betas, float), np.asarray(sigmas, float)
    shape = (2, len(sigmas), len(betas), 2, len(weights), n)
    response = (2.0 * betas[:, None] * np.broadcast_to(slope, n)) ** 2
    signals = np.broadcast_to(response[:, None, None, :], shape).copy()
    signals *= np.broadcast_to(signal, len(sigmas))[:, None, None, None, None]
    variance = noise * np.square(sigmas)[:, None, None, None, None]
    rho = np.broadcast_to(alignment, len(betas))[:, None, None, None]
    lost = np.zeros(len(sigmas)) if loss is None else np.asarray(loss, float)
    rows = max(n, 100)
    correct = np.repeat(1.0 - lost[:, None], rows, axis=1)
    if logits is None:
        logits = np.tile([5.0, 0.0, 0.0], (rows, 1))
    labels = np.zeros(len(logits), dtype=np.int64)
    labels[: int(wrong)] = 1
    one = SiteStatistics(
        sigmas=sigmas,
        signal=signals,
        signal_error=0.1 * signals,
        noise=np.broadcast_to(variance, shape).copy(),
        alignment=np.broadcast_to(rho, shape).copy(),
        flips=1.0 - correct,
        correct=correct,
        loss_noise=np.ones((2, len(sigmas), rows)),
        gradient_norm=np.ones(rows),
        n_draws=draws,
    )
    way = np.broadcast_to(np.asarray(path, float), n).copy()
    return ModelStatistics(
        sites=dict.fromkeys(sites, one),
        betas=betas,
        probed=np.arange(n),
        path_length=way,
        wander_length=way.copy()
        if wander is None
        else np.broadcast_to(wander, n) + 0.0,
        stages=(np.arange(len(weights)) + 0.5) / len(weights),
        stage_weights=np.asarray(weights, float),
        logits=np.asarray(logits, float),
        labels=labels,
        gradient_norm=np.ones(rows),
        dimension=dimension,
        eps=eps,
        norm=norm,
        targeted=targeted,
        provenance={"made": "by hand", "words": ["inf", 1]},
    )
