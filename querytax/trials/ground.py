"""What trials are made on: networks, and the images that each of them gets right."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.oracle import Model, evaluating
from querytax.attacks.work import OWN_NOISE, first_answers
from querytax.defenses import Defense, defend
from querytax.evidence import PARTS
from querytax.losses import check_images, check_labels
from querytax.models import check_answers
from querytax.models.own_noise import noisy_layer
from querytax.sites import Site
from querytax.trials.fingerprints import image_fingerprints, network_fingerprint

__all__ = ["Ground", "Pool", "attacker_seed", "noise_seed"]

# Images of different parts never share draws, whatever their places are.
_KEYS_APART = 1 << 31
# Where there is no noise, its place matters only for what is answered.
_QUIET = "output:probabilities:raw"


def noise_seed(seed: int) -> int:
    """The seed of a defence in a trial of this seed."""
    return _derived(seed, "noise")


def attacker_seed(seed: int) -> int:
    """The seed of the attacker's draws in a trial of this seed."""
    return _derived(seed, "attacker")


def _derived(seed: int, use: str) -> int:
    digest = hashlib.blake2b(f"trials:{seed}:{use}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little") >> 1


@dataclass(frozen=True, eq=False)
class Pool:
    """The images of a part that one network gets right, in order.

    Attributes
    ----------
    images, labels : Tensor
    keys : Tensor
        The places of the images in their part, apart from those of other parts.
    names : list of (str, int)
        Fingerprint and key of each image.
    """

    images: Tensor
    labels: Tensor
    keys: Tensor
    names: list[tuple[str, int]]

    def __len__(self) -> int:
        return len(self.images)


class Ground:
    """Networks and parts, checked when they come, and looked at when they are used.

    Parameters
    ----------
    networks, parts, batch_size
        As in :class:`querytax.trials.Bench`.

    Raises
    ------
    DomainError
        If an argument is not as expected.
    """

    def __init__(
        self,
        networks: Model | Mapping[str, Model],
        parts: Mapping[str, tuple[Tensor, Tensor]],
        batch_size: int,
    ) -> None:
        named = dict(networks) if isinstance(networks, Mapping) else {"": networks}
        if "" not in named:
            raise expect.DomainError(
                "expected networks to have the empty word, the one asked about, got "
                f"{', '.join(map(repr, named)) or 'none'}"
            )
        for name, network in named.items():
            if isinstance(network, Defense):
                raise expect.DomainError(
                    "expected networks without a defence, which a trial adds, got "
                    f"{type(network).__name__} for {name!r}"
                )
        if not parts:
            raise expect.DomainError("expected parts to have one at least, got none")
        self.parts: dict[str, tuple[Tensor, Tensor]] = {}
        for part, (images, labels) in parts.items():
            expect.one_of(PARTS, part=part)
            images = check_images(images)
            labels = check_labels(labels, len(images)).to(images.device)
            self.parts[part] = images, labels
        self.networks, self.batch_size = named, batch_size
        self._pools: dict[tuple[str, str], Pool] = {}
        self._prints: dict[int, str] = {}
        self._models: dict[tuple[str, str, float, int], Model] = {}

    def pool(self, part: str, network: str) -> Pool:
        """The images of a part that a network gets right.

        Warns where the network has noise of its own.
        """
        expect.one_of(self.parts, part=part)
        expect.one_of(self.networks, network=network)
        if (part, network) not in self._pools:
            self._pools[part, network] = self._right(part, network)
        return self._pools[part, network]

    def print_of(self, network: str) -> str:
        """A network's fingerprint."""
        return self.print_of_model(self.networks[network])

    def print_of_model(self, model: Model) -> str:
        """Any model's fingerprint, which is taken once: it must not change then."""
        if id(model) not in self._prints:
            images, _ = self.parts[next(p for p in PARTS if p in self.parts)]
            self._prints[id(model)] = network_fingerprint(model, images)
        return self._prints[id(model)]

    def noisy(
        self, network: str, site: str, sigma: float, seed: int
    ) -> tuple[str, Model]:
        """Where the noise is, and the network behind it: one object for one noise.

        Without noise all places are one, the empty word, or one for all that answer
        probabilities where the network answers logits.
        """
        expect.one_of(self.networks, network=network)
        clean, site = self.networks[network], Site.parse(site).name
        key = (network, site, sigma, seed)
        if key not in self._models:
            self._models[key] = defend(clean, site, sigma, experiment_seed=seed)
        model = self._models[key]
        if sigma:
            return site, model
        if getattr(model, "answers", "logits") == getattr(clean, "answers", "logits"):
            return "", clean
        return self.noisy(network, _QUIET, 0.0, 0) if site != _QUIET else (site, model)

    def _right(self, part: str, network: str) -> Pool:
        images, labels = self.parts[part]
        model = self.networks[network]
        with torch.no_grad(), evaluating(model):
            answers, drawn = first_answers(model, images, self.batch_size, True)
        if drawn:
            where = noisy_layer(model, images)
            warnings.warn(f"{OWN_NOISE} ({where})", stacklevel=2)
        check_answers(model, answers, labels)
        places = (answers.argmax(1).to(labels.device) == labels).nonzero()[:, 0]
        keys = places + _KEYS_APART * PARTS.index(part)
        right, true = images[places], labels[places]
        prints = image_fingerprints(right, true)
        return Pool(right, true, keys, list(zip(prints, keys.tolist(), strict=True)))
