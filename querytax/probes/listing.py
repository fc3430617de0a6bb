"""Where in a model noise can go: names, shapes, and what a draw of it costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from querytax.attacks.work import first_answers
from querytax.defenses import Defense, defend, preset
from querytax.expect import DomainError
from querytax.losses import check_images
from querytax.models import Model, as_model, ask, eager, evaluating, inside, is_scripted
from querytax.models.rows import first_tensor
from querytax.sites import Site

__all__ = ["Listing", "Place", "list_sites"]

# Images that are shown to the model, and repeats of what is timed: the least counts.
_SHOWN, _REPEATS = 8, 3
_UNSEEN = "not reached"


@dataclass(frozen=True)
class Place:
    """One place for noise.

    Attributes
    ----------
    site : str
        The word for it, as `defend`, `probe` and `certify` take it.
    kind : str
        The layer's class; ``input`` or ``output``.
    shape : tuple of int
        What passes there for one image: so many numbers are drawn a query.
    milliseconds : float
        What the draws cost an image of a batch of 8, as measured.
    visits : int
        How often a query passes; each time with noise of its own.
    """

    site: str
    kind: str
    shape: tuple[int, ...]
    milliseconds: float
    visits: int = 1

    @property
    def values(self) -> int:
        """Numbers drawn a query."""
        return self.visits * torch.Size(self.shape).numel()


@dataclass(frozen=True)
class Listing:
    """All places of a model.

    Attributes
    ----------
    places : tuple of Place
        From the input inwards, in the order in which a query comes to them.
    closed : dict of str to str
        Layers that cannot take noise, and why.
    presets : dict of str to str
        Words for several places at once, such as ``rfd``, and what they stand for; or
        why there is none.
    milliseconds : float
        The model alone, an image of a batch of 8.
    """

    places: tuple[Place, ...]
    closed: dict[str, str]
    presets: dict[str, str]
    milliseconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "sites": [{**asdict(p), "values": p.values} for p in self.places],
            "closed": self.closed,
            "presets": self.presets,
            "model_milliseconds": self.milliseconds,
        }


def list_sites(model: Model, images: Tensor) -> Listing:
    """Where noise can go in a model, found by one forward pass, and what it costs.

    Parameters
    ----------
    model : nn.Module or callable
        Of a defence the model inside is looked at.
    images : Tensor
        ``(N, ...)`` float in [0, 1], one at least; eight are looked at.

    Returns
    -------
    Listing

    Raises
    ------
    DomainError
        For images that are none, or that the model does not answer.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 3))
    >>> found = list_sites(net, torch.rand(4, 1, 8, 8))
    >>> [(place.site, place.shape) for place in found.places]
    [('input', (1, 8, 8)), ('0', (64,)), ('1', (32,)), ('2', (3,)), ('output', (3,))]
    """
    x = check_images(images)[:_SHOWN]
    while isinstance(model, Defense):
        model = model.model
    model = eager(as_model(model, x))
    network = inside(model)
    seen: list[tuple[str, Any]] = []
    handles = []
    with torch.no_grad(), evaluating(model):
        closed = _layers(network)
        for name in [name for name, why in closed.items() if why == _UNSEEN]:

            def note(
                _module: nn.Module, _args: Any, found: Any, name: str = name
            ) -> None:
                seen.append((name, _shape(found, len(x))))

            handles.append(network.get_submodule(name).register_forward_hook(note))
        try:
            answers, _ = first_answers(model, x, len(x), twice=False)
        finally:
            for handle in handles:
                handle.remove()
        alone = _milliseconds(lambda: ask(model, x), len(x))
        found: dict[str, list[Any]] = {}
        for name, shape in seen:
            found.setdefault(name, []).append(shape)
        priced: dict[tuple[int, ...], float] = {}
        places = [
            Place("input", "input", tuple(x.shape[1:]), _price(x[0].shape, x, priced))
        ]
        for name, shapes in found.items():
            if any(isinstance(shape, str) for shape in shapes):
                closed[name] = next(s for s in shapes if isinstance(s, str))
                continue
            del closed[name]
            cost = sum(_price(shape, x, priced) for shape in shapes)
            kind = type(network.get_submodule(name)).__name__
            places.append(Place(name, kind, tuple(shapes[0]), cost, len(shapes)))
        shape = answers[0].shape
        places.append(Place("output", "output", tuple(shape), _price(shape, x, priced)))
    return Listing(tuple(places), closed, _presets(network), alone)


def _layers(network: Any) -> dict[str, str]:
    """Names of a network's layers, none of which has been seen yet."""
    if not isinstance(network, nn.Module) or is_scripted(network):
        return {}
    weights = [
        name
        for name, module in network.named_modules()
        if isinstance(module, ParametrizationList)
    ]
    return {
        name: _why(name, module, weights)
        for name, module in network.named_modules()
        if name
    }


def _why(name: str, module: nn.Module, weights: list[str]) -> str:
    """Why a layer takes no noise, as far as is known before it is seen."""
    if not _has_word(name):
        return "its name means another place"
    if is_scripted(module):
        return "scripted or traced, where no hook reaches it"
    if any(name == w or name.startswith(f"{w}.") for w in weights):
        return "makes a weight, not features"
    return _UNSEEN


def _has_word(name: str) -> bool:
    """Whether a site's word can name this layer."""
    try:
        return Site.parse(name).module == name
    except DomainError:
        return False


def _shape(found: Any, rows: int) -> torch.Size | str:
    """What a layer returns for one image, or why that can take no noise."""
    value, _ = first_tensor(found)
    if not isinstance(value, Tensor):
        return f"returns {type(value).__name__}"
    if not value.is_floating_point():
        return f"returns {str(value.dtype).removeprefix('torch.')}"
    if not value.ndim or len(value) != rows:
        return f"returns {tuple(value.shape)} for {rows} images"
    return value.shape[1:]


def _price(shape: torch.Size, x: Tensor, priced: dict[tuple[int, ...], float]) -> float:
    """Milliseconds an image for noise of a shape, around a model that does nothing."""
    key = tuple(shape)
    if key not in priced:
        # Of one column at least, as all answers are.
        zeros = torch.zeros(len(x), *(key or (1,)), dtype=x.dtype, device=x.device)
        guarded = defend(nn.Flatten(), "input", 1.0)
        priced[key] = _milliseconds(lambda: guarded(zeros), len(x))
    return priced[key]


def _milliseconds(call: Callable[[], Any], rows: int) -> float:
    best = float("inf")
    for _ in range(_REPEATS):
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best / rows


def _presets(network: Any) -> dict[str, str]:
    if is_scripted(network):
        return {"rfd": "none: the layers of a scripted or traced model are closed"}
    try:
        return {"rfd": preset(network)}
    except DomainError as error:
        return {"rfd": f"none: {error}"}
