"""AutoZOOM: gradients along random vectors of a small space, decoded to images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from querytax import expect, noise
from querytax.attacks import ball
from querytax.attacks.block import Ask, Block, Questions
from querytax.attacks.table import Attack
from querytax.attacks.zoo import adam, enlarged
from querytax.plans import Plan
from querytax.training import build, cached, permutation

__all__ = ["ATTACK", "AutoZOOMPlan", "autoencoder", "engine"]

DECODERS = ("bilinear", "autoencoder")
# Of the autoencoder: images that it is trained for, and its file; the number changes
# whenever another network would come out.
_TRAINED, _FILE = (1, 8, 8), "autozoom-digits-1"
_EPOCHS, _BATCH, _RATE = 60, 32, 3e-3


@dataclass(frozen=True)
class AutoZOOMPlan(Plan):
    """One-sided differences along random unit vectors, and Adam on their average.

    Attributes
    ----------
    eps, norm, loss, repeats, sequential, name
        As in :class:`querytax.plans.Plan`.
    decoder : {"bilinear", "autoencoder"}
        How a point of the small space becomes a change of the image: enlarged
        (AutoZOOM-BiLIN), or by a decoder that was trained on other images
        (AutoZOOM-AE). There is one for the digits' shape (1, 8, 8), of side 4.
    side : int
        Side of the small space for ``bilinear``; 0 for the image's own pixels.
    probe : float
        Length of the vector that is added for a difference; 0 for one over the
        dimension of the small space, as published.
    rate : float
        Adam's learning rate, in pixel units, > 0.
    vectors : int
        Random vectors of an estimate, >= 1, until the first adversarial answer.
    vectors_after : int
        And from then on, to refine it.
    """

    attack: ClassVar[str] = "autozoom"

    decoder: str = "bilinear"
    side: int = 0
    probe: float = 0.0
    rate: float = 0.01
    vectors: int = 1
    vectors_after: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        expect.one_of(DECODERS, decoder=self.decoder)
        object.__setattr__(self, "side", int(expect.count(0, side=self.side)))
        expect.nonnegative(probe=self.probe)
        expect.positive(rate=self.rate)
        for name in ("vectors", "vectors_after"):
            value = int(expect.count(**{name: getattr(self, name)}))
            object.__setattr__(self, name, value)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Whether images of this shape can be attacked so."""
        super().check_shape(shape)
        if self.decoder == "autoencoder" and shape != _TRAINED:
            raise expect.DomainError(
                f"expected decoder to be 'bilinear' for images of shape {shape}, a "
                f"decoder is trained for {_TRAINED} alone, got 'autoencoder'"
            )

    @property
    def width(self) -> int:
        """Most questions about one image in one turn."""
        return max(self.vectors, self.vectors_after)


def engine(plan: AutoZOOMPlan, block: Block) -> Questions:
    """Questions of AutoZOOM: about the iterate, then along random vectors."""
    # Tu et al. 2019, algorithm 1. The penalty on the distance is replaced by a
    # projection onto the budget, as for ZOO.
    space, decode = _decoder(plan, block)
    x = block.origin.clone()
    change = x.new_zeros(len(x), *space)
    size = change[0].numel()
    mean, square = torch.zeros_like(change), torch.zeros_like(change)
    base = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    won = torch.zeros_like(base, dtype=torch.bool)
    probe = plan.probe or 1.0 / size
    most = plan.width
    step = 0
    while len(rows := block.rows()):
        answers = yield Ask(x[rows], rows, submit=True)
        base[rows] = block.loss(answers, rows)
        won[rows] |= block.fooled(answers, rows)
        rows = block.alive(rows)
        if not len(rows):
            return
        # Section "Random vector based gradient estimation", eq. (4).
        u = block.normals("autozoom", step, (most, size), rows)
        u = u / u.norm(dim=2, keepdim=True)
        count = torch.where(won[rows], plan.vectors_after, plan.vectors)
        asked = torch.arange(most, device=x.device) < count[:, None]
        near = change[rows][:, None] + probe * u.view(-1, most, *space)
        moved = decode(near.flatten(0, 1)).view(-1, most, *block.shape)
        # The released code cuts to the range of pixels, here [0, 1], as well.
        at = (block.origin[rows][:, None] + moved).clamp(0.0, 1.0)
        each = count if plan.vectors != plan.vectors_after else most
        answers = yield Ask(at[asked], rows, each, then=1)
        rise = torch.zeros(asked.shape, dtype=torch.float64, device=x.device)
        rise[asked] = block.loss(answers, rows, each)
        rise = torch.where(asked, rise - base[rows][:, None], 0.0)
        weight = size / probe * rise / count[:, None]
        slope = torch.bmm(weight.to(u.dtype)[:, None], u).view(-1, *space)
        move, mean[rows], square[rows] = adam(mean[rows], square[rows], slope, step + 1)
        moved = change[rows] + plan.rate * move
        x[rows], change[rows] = _held(block, rows, moved, decode)
        step += 1


def _held(
    block: Block, rows: Tensor, change: Tensor, decode: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Iterates inside the budget, and the change that is left of what led there."""
    decoded = decode(change)
    x = block.project(block.origin[rows] + decoded, rows)
    if change.shape[1:] == block.shape:
        return x, x - block.origin[rows]
    if block.plan.norm == "L2":
        size = block.plan.eps / ball.lengths(decoded)
        return x, change * ball.shaped(size.clamp_max(1.0), change)
    return x, change


def _decoder(
    plan: AutoZOOMPlan, block: Block
) -> tuple[tuple[int, ...], Callable[[Tensor], Tensor]]:
    """Shape of the small space, and what makes a change of the image of its points."""
    shape = tuple(block.shape)
    if plan.decoder == "autoencoder":
        decoder = autoencoder().decoder.double().to(block.origin.device)
        # In double precision no batch changes what comes out.
        return (1, 4, 4), lambda z: decoder(z.double()).to(z.dtype)
    if not plan.side or plan.side >= min(shape[-2:]):
        return shape, lambda z: z
    return (shape[0], plan.side, plan.side), lambda z: enlarged(z, block.shape)


# -- the decoder ---------------------------------------------------------------------


class Autoencoder(nn.Module):
    """To a quarter of the pixels and back: the published one for MNIST, smaller.

    Without biases in the decoder, so that no change is decoded to none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 1, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(16, 1, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def autoencoder() -> Autoencoder:
    """Trained on the digits' training images at first use, then from the cache."""
    made = cached(_FILE, Autoencoder, _train)
    assert isinstance(made, Autoencoder)
    return made


def _train() -> nn.Module:
    """Least squares on the digits, from keyed weights in a keyed order, one thread."""
    from querytax import demo

    x, _ = demo.digits().train
    model, zero = build(Autoencoder), torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = (2.0 / p[0].numel()) ** 0.5 if p.ndim > 1 else 0.0
            drawn = noise.normals(0, f"autozoom/init/{name}", zero, zero, p.shape)
            p.copy_(scale * drawn[0])
    optimizer = torch.optim.Adam(model.parameters(), _RATE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():
            for epoch in range(_EPOCHS):
                order = permutation(len(x), "autozoom/epoch", epoch)
                for batch in order.split(_BATCH):
                    loss = functional.mse_loss(model(x[batch]), x[batch])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def _published(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    if len(shape) != 3:
        return {}
    # Half the side of a small image, as of MNIST's 28 and of CIFAR-10's 32, and a
    # slower Adam for ImageNet's, of which 32 are kept.
    if min(shape[-2:]) <= 64:
        return {"side": max(2, min(shape[-2:]) // 2)}
    return {"side": 32, "rate": 2e-3}


def _adaptive(eps: float, norm: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # Differences across the budget along several vectors, and long steps.
    side = max(8, min(shape[-2:]) // 4) if len(shape) == 3 else 0
    size = torch.Size((shape[0], side, side) if side else shape).numel()
    probe, rate = (eps * size**0.5, 0.5 * eps) if norm == "Linf" else (eps, 0.0)
    return {
        "side": side,
        "probe": probe,
        "rate": rate or eps / size**0.5,
        "vectors": 4,
        "vectors_after": 4,
    }


ATTACK = Attack(
    name="autozoom",
    engine=engine,
    plan=AutoZOOMPlan,
    access="scores",
    norms=("Linf", "L2"),
    targeted=True,
    source=(
        "Tu, Ting, Chen, Liu, Zhang, Yi, Hsieh & Cheng 2019, AutoZOOM: "
        "Autoencoder-based Zeroth Order Optimization Method for Attacking Black-box "
        "Neural Networks"
    ),
    about="random vectors of a small space, decoded to images",
    published=_published,
    adaptive=_adaptive,
)
