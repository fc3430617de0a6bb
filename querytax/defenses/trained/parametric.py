"""Parametric noise injection: noise on the weights, whose size is trained (PNI)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from querytax import expect
from querytax.defenses.defense import Defense, Keys, Model, standard_deviation
from querytax.defenses.layers import Visit, named, touching, undefended
from querytax.defenses.recording import live
from querytax.defenses.trained.adversarial import worst
from querytax.defenses.trained.preparing import (
    Data,
    as_logits,
    check_eps,
    schedule,
)
from querytax.expect import DomainError
from querytax.models import eager
from querytax.models.rows import read_answer
from querytax.noise import normals

__all__ = ["ParametricNoise", "parametric_tuned"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_FUNCTIONS: dict[Any, Any] = {
    nn.Conv1d: nn.functional.conv1d,
    nn.Conv2d: nn.functional.conv2d,
    nn.Conv3d: nn.functional.conv3d,
}
# He et al. 2019, section 4.1: where every alpha starts.
_START = 0.25
# Weights drawn at once.
_ELEMENTS = 1 << 22


class ParametricNoise(Defense):
    """Answer with fresh noise on the weights of every convolution and linear map.

    A layer's weights are W + scale alpha std(W) z with standard normal z, its alpha
    trained together with W on clean and adversarial images (He, Rakin & Fan, CVPR
    2019, the layer-wise form). Biases stay as they are.

    Parameters
    ----------
    model : nn.Module
        Never altered: a copy is trained. With ``alphas`` it is the trained network.
    scale : float
        Of the noise in answers; 1 as trained, 0 without noise. Where it is 0 at the
        start nothing is trained, and the answer is the model's own.
    data : (Tensor, Tensor), optional
        Images in [0, 1] and labels.
    alphas : mapping of str to float, optional
        In place of training: by the dotted names of the layers, as `alphas` holds them.
    eps, norm, steps
        Of the projected gradients that make the adversarial images.
    weight : float
        Of the adversarial images' loss, 0 to 1; the clean ones' has the rest.
    epochs, batch, rate, training_seed, experiment_seed, resume, verbose
        As of `GaussianTuned`.

    Attributes
    ----------
    model : nn.Module
        The trained copy, without noise.
    scale : float
        May be set: nothing is trained again.

    Raises
    ------
    DomainError
        For a model that cannot be trained or has no such layers, and data or settings
        that do not fit.

    Notes
    -----
    In training one draw is shared by a batch, as published. In answers every row has
    its own draw of every layer, or else one query would tell the noise of another: a
    convolution of W + Z is the convolution of W plus one of Z, made for all rows by one
    grouped convolution. A linear map that meets one vector a row adds
    scale alpha std(W) |h| z, which has the law of Z h; so a gradient through it is not
    the one of a draw of the weights. A layer that a pass reaches twice draws twice.
    """

    def __init__(
        self,
        model: Model,
        scale: float = 1.0,
        *,
        data: Data | None = None,
        alphas: Mapping[str, float] | None = None,
        eps: float = 0.03,
        norm: str = "Linf",
        steps: int = 7,
        weight: float = 0.5,
        epochs: int = 5,
        batch: int = 64,
        rate: float = 1e-3,
        training_seed: int = 0,
        experiment_seed: Any = None,
        resume: Any = None,
        verbose: bool = False,
    ) -> None:
        scale = standard_deviation(scale=scale)
        if (data is None) == (alphas is None):
            raise DomainError(
                "expected data=(images, labels) to train on or alphas of a network "
                "that was trained, one of both"
            )
        if data is not None and scale > 0:
            model, alphas = parametric_tuned(
                model,
                data,
                eps=eps,
                norm=norm,
                steps=steps,
                weight=weight,
                epochs=epochs,
                batch=batch,
                rate=rate,
                training_seed=training_seed,
                resume=resume,
                verbose=verbose,
            )
        model = eager(model)
        super().__init__(model, experiment_seed=experiment_seed)
        self.scale = scale
        alphas = alphas or {}
        self._sites = named(list(alphas), undefended(model)) if alphas else ()
        for site in self._sites:
            layer = undefended(model).get_submodule(site)
            if not isinstance(layer, (*_CONVOLUTIONS, nn.Linear)):
                raise DomainError(
                    "expected alphas of convolutions and linear maps, got one of "
                    f"{type(layer).__name__} {site!r}"
                )
        self._alphas = tuple(
            standard_deviation(alpha=alphas[site]) for site in self._sites
        )

    @property
    def alphas(self) -> dict[str, float]:
        """The noise of each layer, in standard deviations of its weights."""
        return dict(zip(self._sites, self._alphas, strict=True))

    def _settings(self) -> str:
        listed = ", ".join(
            f"{site}: {alpha:.3g}" for site, alpha in self.alphas.items()
        )
        return f"scale={self.scale:g}, alphas={{{listed}}}"

    @live
    def forward(
        self, x: Tensor, rows: Tensor | None = None, queries: Tensor | None = None
    ) -> Tensor:
        x, rows, queries = self.admit(x, rows, queries)
        if not (self.scale and self._sites):
            return self._ask(x, rows, queries).clone()

        def touch(at: Visit, features: Tensor) -> Tensor:
            return features + self._noise(at, features, rows, queries)

        network = undefended(self.model)
        with touching(network, self._sites, "output", len(x), touch):
            return self._ask(x, rows, queries).clone()

    forward.__doc__ = Defense.forward.__doc__

    def _noise(self, at: Visit, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        """What the noise on the weights adds to what the layer answers."""
        layer, h = cast(Any, at.module), at.given[0]
        size = self.scale * self._alphas[at.place] * layer.weight.detach().std()
        if isinstance(layer, nn.Linear) and h.dim() == 2:
            zero = torch.zeros_like(answer)
            z = self._add_noise(zero, 1.0, at.kind, rows, queries)
            return size * h.norm(dim=1, keepdim=True) * z
        parts = []
        shape = layer.weight.shape
        for some in _chunks(len(h), shape.numel()):
            zero = layer.weight.detach().new_zeros((some.stop - some.start, *shape))
            keys = (key if key is None else key[some] for key in (rows, queries))
            z = self._add_noise(zero, 1.0, at.kind, *keys)
            parts.append(_applied(layer, z, h[some]).view_as(answer[some]))
        return size * torch.cat(parts) if parts else torch.zeros_like(answer)


def _chunks(rows: int, each: int) -> Iterator[slice]:
    many = max(1, _ELEMENTS // max(each, 1))
    for start in range(0, rows, many):
        yield slice(start, min(start + many, rows))


def _applied(layer: Any, z: Tensor, h: Tensor) -> Tensor:
    """A layer with other weights for each row, ``(N, *weight.shape)``, without bias."""
    n = len(h)
    if isinstance(layer, nn.Linear):
        return h.flatten(1, -2) @ z.transpose(1, 2)
    padding = layer.padding
    if layer.padding_mode != "zeros":
        around = layer._reversed_padding_repeated_twice
        h, padding = nn.functional.pad(h, around, mode=layer.padding_mode), 0
    kind = next(k for k in _CONVOLUTIONS if isinstance(layer, k))
    # Row after row side by side as channels, each group meeting its own weights.
    answer: Tensor = _FUNCTIONS[kind](
        h.reshape(1, n * h.shape[1], *h.shape[2:]),
        z.reshape(n * z.shape[1], *z.shape[2:]),
        None,
        layer.stride,
        padding,
        layer.dilation,
        n * layer.groups,
    )
    return answer.reshape(n, z.shape[1], *answer.shape[2:])


class _Noisy(nn.Module):
    """A network and its alphas; answers with one draw of the weights for all rows."""

    def __init__(self, network: nn.Module, layers: Sequence[str], seed: int) -> None:
        super().__init__()
        self.network, self.layers, self.seed = network, tuple(layers), seed
        self.alphas = nn.Parameter(
            torch.full((len(layers),), _START, device=next(network.parameters()).device)
        )

    def forward(self, x: Tensor, turn: int) -> Tensor:
        """Logits with the draw of a turn."""
        weights = {}
        row = torch.zeros(1, dtype=torch.int64)
        for alpha, name in zip(self.alphas, self.layers, strict=True):
            weight = cast(Tensor, self.network.get_submodule(name).weight)
            stream = f"training/pni/{name}"
            z = normals(self.seed, stream, row, row + turn, weight.shape)[0].to(weight)
            weights[f"{name}.weight"] = weight + alpha * weight.detach().std() * z
        said = torch.func.functional_call(self.network, weights, (x,))
        answered = getattr(self.network, "answers", "logits")
        return as_logits(read_answer(said, x, answered), self.network)


def parametric_tuned(
    model: Model,
    data: Data,
    *,
    eps: float = 0.03,
    norm: str = "Linf",
    steps: int = 7,
    weight: float = 0.5,
    **how: Any,
) -> tuple[nn.Module, dict[str, float]]:
    """A copy of a network after training with noise on its weights, and the alphas.

    The loss is ``weight`` times that of adversarial images, made on the noisy network,
    plus the rest times that of the images themselves, each pass with a draw of its own.
    """
    check_eps(eps, norm, steps)
    expect.unit(weight=weight)
    ball: dict[str, Any] = {"eps": eps, "norm": norm, "steps": steps}
    training = schedule(model, data, "pni", **how, **ball, weight=weight)
    x, y = training.x, training.y
    names = _reached(training.model, x[:1])
    noisy = _Noisy(training.model, names, training.seed)

    def loss(rows: Tensor, epoch: int, step: int) -> Tensor:
        turn = step * (steps + 2)
        start = training.noise(rows, epoch, "start", *x.shape[1:])
        hard = worst(
            lambda at, k: noisy(at, turn + k),
            x[rows],
            y[rows],
            start,
            **ball,
        )
        cross_entropy = nn.functional.cross_entropy
        attacked = cross_entropy(noisy(hard, turn + steps), y[rows])
        clean = cross_entropy(noisy(x[rows], turn + steps + 1), y[rows])
        return weight * attacked + (1.0 - weight) * clean

    training.run(loss, noisy)
    # Noise has no sign.
    sizes = dict(zip(names, noisy.alphas.detach().abs().tolist(), strict=True))
    network = training.trained()
    own = {id(m): n for n, m in undefended(network).named_modules()}
    found = {own[id(network.get_submodule(name))]: sizes[name] for name in names}
    return network, found


def _reached(network: nn.Module, x: Tensor) -> list[str]:
    """Names of the convolutions and linear maps that a forward pass calls."""
    kinds = (*_CONVOLUTIONS, nn.Linear)
    layers = {n: m for n, m in network.named_modules() if type(m) in kinds}
    seen: set[str] = set()
    handles = [
        layer.register_forward_hook(lambda *_, name=name: seen.add(name))
        for name, layer in layers.items()
    ]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise DomainError(
            "expected model to have convolutions or linear maps, whose weights take "
            f"the noise, got none in {type(network).__name__}"
        )
    return [name for name in layers if name in seen]
