"""Gradients that an attacker reads from noisy answers, coordinate by coordinate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.oracle import Model, answer_in_batches, evaluating
from querytax.expect import DomainError
from querytax.losses import FLOOR, check_images, check_labels
from querytax.models import as_model, check_answers
from querytax.noise import normals, uniforms
from querytax.seeds import seed_of

__all__ = ["RIVALS", "ProbedAnswers", "probe_coordinates"]

RIVALS = ("best", "fixed")


@dataclass(frozen=True)
class ProbedAnswers:
    """Noiseless answers at both ends of probes along single coordinates.

    An attacker's loss here is ZOO's: the logarithm of the label's probability less
    that of a rival. The rival is ``best``, the best other class of each answer, as ZOO
    takes it; or ``fixed``, the best at the image itself, as the analysis of it does.

    Attributes
    ----------
    probabilities : Tensor
        ``(N, K, 2, C)`` float64: image, coordinate, end (ahead, behind), class.
    labels, rivals : Tensor
        ``(N,)`` classes.
    coordinates : Tensor
        ``(N, K)`` which numbers of the flat image were probed.
    probe : float
        Width to one side.
    """

    probabilities: Tensor
    labels: Tensor
    rivals: Tensor
    coordinates: Tensor
    probe: float

    def outputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Noiseless probability of the label and of the fixed rival, ``(N, K, 2)``."""
        own, other = (
            _of_class(self.probabilities, classes).cpu().numpy()
            for classes in (self.labels, self.rivals)
        )
        return own, other

    def gradient(self, *, rival: str = "best") -> np.ndarray:
        """Central differences of the loss on noiseless answers, ``(N, K)``.

        Raises
        ------
        DomainError
            For an unknown rival.
        """
        return self._slopes(self.probabilities, rival).cpu().numpy()

    def errors(
        self, sigma: float, *, rival: str = "best", n_draws: int = 8, rng: Any = 0
    ) -> np.ndarray:
        """L2 norms of noisy less noiseless gradient, over the probed coordinates.

        Noise is fresh on every probability of every answer; logarithms are of absolute
        values. The same draws serve every sigma.

        Parameters
        ----------
        sigma : float
            Standard deviation of the noise on each probability, >= 0.
        rival : {"best", "fixed"}
        n_draws : int
            Noisy gradients an image.
        rng : int or Generator

        Returns
        -------
        ndarray
            ``(n_draws, N)``.

        Raises
        ------
        DomainError
            For a value outside its range.
        """
        expect.nonnegative(sigma=sigma)
        expect.count(1, n_draws=n_draws)
        seed, clean = seed_of(rng), self._slopes(self.probabilities, rival)
        rows = torch.arange(len(clean), device=clean.device)
        found = []
        for draw in range(n_draws):
            noise = normals(
                seed,
                "probe/gradient-error",
                rows,
                torch.full_like(rows, draw),
                self.probabilities.shape[1:],
                dtype=torch.float64,
                device=clean.device,
            )
            noisy = self._slopes(noise.mul_(sigma).add_(self.probabilities), rival)
            found.append((noisy - clean).norm(dim=1).cpu().numpy())
        return np.stack(found)

    def _slopes(self, answers: Tensor, rival: str) -> Tensor:
        logs = answers.abs().clamp_min(FLOOR).log()
        if expect.one_of(RIVALS, rival=rival) == "best":
            own = self.labels[:, None, None, None].expand(*logs.shape[:3], 1)
            other = logs.scatter(3, own, -torch.inf).amax(3)
        else:
            other = _of_class(logs, self.rivals)
        ahead, behind = (_of_class(logs, self.labels) - other).unbind(2)
        return (ahead - behind) / (2.0 * self.probe)


def probe_coordinates(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    probe: float = 1e-4,
    n_coordinates: int | None = None,
    batch_size: int = 256,
    rng: Any = 0,
) -> ProbedAnswers:
    """Ask about both ends of probes along coordinates, as ZOO does.

    Parameters
    ----------
    model : nn.Module or callable
        Without a defence: images ``(N, ...)`` to logits, or to probabilities where it
        says so.
    images, labels : Tensor
        ``(N, ...)`` float in [0, 1] and ``(N,)``.
    probe : float
        Width to one side; ZOO's is 1e-4. Probes may leave [0, 1].
    n_coordinates : int, optional
        Coordinates an image, drawn without replacement; all by default.
    batch_size : int
        Rows of one forward pass.
    rng : int or Generator
        Seed of the coordinates.

    Raises
    ------
    DomainError
        For images outside [0, 1], labels or answers that do not fit, or a value
        outside its range.

    References
    ----------
    Chen, Zhang, Sharma, Yi & Hsieh 2017, "ZOO: Zeroth Order Optimization Based
    Black-box Attacks to Deep Neural Networks without Training Substitute Models".
    """
    images = check_images(images)
    labels = check_labels(labels, len(images)).to(images.device)
    expect.positive(probe=probe)
    expect.count(1, batch_size=batch_size)
    dimension = images[0].numel()
    count = dimension if n_coordinates is None else n_coordinates
    expect.count(1, n_coordinates=count)
    if count > dimension:
        raise DomainError(
            f"expected n_coordinates <= {dimension}, the numbers of an image, "
            f"got {count}"
        )
    model = as_model(model, images)
    answered: str = getattr(model, "answers", "logits")
    coordinates = _coordinates(len(images), dimension, count, rng).to(images.device)
    found = []
    with torch.no_grad(), evaluating(model):
        centre = answer_in_batches(model, images, batch_size)
        check_answers(model, centre, labels)
        for x, places in zip(images, coordinates, strict=True):
            steps = torch.zeros(count, dimension, dtype=x.dtype, device=x.device)
            steps = steps.scatter_(1, places[:, None], probe).view(count, *x.shape)
            ends = torch.stack((x + steps, x - steps), 1).flatten(0, 1)
            answers = answer_in_batches(model, ends, batch_size).double()
            if answered == "logits":
                answers = answers.softmax(1)
            found.append(answers.view(count, 2, -1))
    others = centre.scatter(1, labels[:, None], -torch.inf)
    return ProbedAnswers(
        torch.stack(found), labels, others.argmax(1), coordinates, float(probe)
    )


def _coordinates(n: int, dimension: int, count: int, rng: Any) -> Tensor:
    """``(n, count)`` numbers below ``dimension``, none twice in a row, ascending."""
    rows = torch.arange(n)
    keys = uniforms(
        seed_of(rng), "probe/coordinates", rows, torch.zeros_like(rows), (dimension,)
    )
    return keys.argsort(1)[:, :count].sort(1).values


def _of_class(values: Tensor, classes: Tensor) -> Tensor:
    """Of ``(N, K, 2, C)`` values each image's one class, ``(N, K, 2)``."""
    index = classes[:, None, None, None].expand(*values.shape[:3], 1)
    return values.gather(3, index)[..., 0]
