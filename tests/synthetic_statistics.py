"""Statistics made by hand, of a model whose response is known in closed form.

The loss is linear with slope ``slope`` until ``signal`` says otherwise, the noise on a
difference has variance ``noise * sigma**2``: the signal-to-noise ratio of one pair is
``(2 beta slope)**2 / (noise sigma**2)`` at every place and stage.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax.statistics import ModelStatistics, SiteStatistics

BETAS = (1e-3, 0.01, 0.1)
SIGMAS = (0.0, 1e-3, 0.01, 0.1, 1.0, 10.0)
OFFSETS = (-0.5, -0.25, -0.1, -0.03, 0.0, 0.03, 0.1, 0.25, 0.5)
KINDS = ("square", "coarse", "pixel")


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
    blind=None,
    tried=256,
    changes=None,
    candidates=48,
    boundary=None,
    shape=None,
):
    """``signal`` multiplies by noise level; ``loss`` is the accuracy lost at each.

    ``blind``: each image's share of adversarial patterns. ``changes``: mean and
    standard deviation of the normal change of the loss by a proposal, the same of all
    kinds and everywhere. ``boundary``: L2 length of the way to it, along the slope.
    What is None was not measured.
    """
    betas, sigmas = np.asarray(betas, float), np.asarray(sigmas, float)
    cube = (2, len(sigmas), len(betas), 2, len(weights), n)
    response = (2.0 * betas[:, None] * np.broadcast_to(slope, n)) ** 2
    signals = np.broadcast_to(response[:, None, None, :], cube).copy()
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
    share = profile = None
    if boundary is not None:
        # The margin at an offset, over the deviation of one noisy answer.
        beyond = np.multiply.outer(OFFSETS, np.broadcast_to(boundary * slope, n))
        deviation = np.sqrt(0.5 * noise) * sigmas[:, None, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = special.ndtr(np.where(beyond == 0, 0.0, beyond / deviation))
        # Entries of a Gaussian gradient, the largest of them near that of d.
        level = np.linspace(0.0, 1.0, 33).clip(0.0, 1.0 - 0.5 / dimension)
        size = np.sqrt(2.0) * special.erfinv(level) / np.sqrt(dimension)
        profile = np.multiply.outer(np.broadcast_to(slope, n), size)
    outcomes = moves = None
    if blind is not None:
        # Hits come at even distances.
        due = np.multiply.outer(np.broadcast_to(blind, n), np.arange(tried + 1)) + 0.5
        outcomes = np.diff(np.floor(due), axis=1) > 0
    if changes is not None:
        level = (np.arange(candidates) + 0.5) / candidates
        drawn = changes[0] + changes[1] * special.ndtri(level)
        every = (len(KINDS), 2, len(weights), n, candidates)
        moves = np.broadcast_to(drawn, every).astype(np.float32)
    logits = np.asarray(logits, float)
    ranked = np.sort(logits[:n], 1)
    z = np.exp(ranked - ranked[:, -1:])
    z /= z.sum(1, keepdims=True)
    one = SiteStatistics(
        sigmas=sigmas,
        signal=signals,
        signal_error=0.1 * signals,
        noise=np.broadcast_to(variance, cube).copy(),
        alignment=np.broadcast_to(rho, cube).copy(),
        flips=1.0 - correct,
        correct=correct,
        loss_noise=np.ones((2, len(sigmas), rows)),
        gradient_norm=np.ones(rows),
        n_draws=draws,
        label_share=share,
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
        shape=shape,
        targeted=targeted,
        blind_hits=None if outcomes is None else outcomes.sum(1),
        blind_tried=0 if outcomes is None else tried,
        blind_outcomes=outcomes,
        proposals=moves,
        probability_proposals=moves,
        proposal_kinds=None if moves is None else KINDS,
        gaps=ranked[:, -1] - ranked[:, -2],
        probability_gaps=z[:, -1] - z[:, -2],
        label_offsets=None if boundary is None else np.array(OFFSETS),
        boundary_norm=None
        if boundary is None
        else np.broadcast_to(np.asarray(boundary, float), n).copy(),
        gradient_profile=profile,
        provenance={"made": "by hand", "words": ["inf", 1]},
    )
