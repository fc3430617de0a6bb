"""The layers at which the Randomized Feature Defense puts its noise, by architecture.

Nguyen, Doan, Le & Yeung (ICLR 2024), as their released code does it: in a ResNet after
the stem and after each of the first three stages, in a VGG before each convolution, in
a vision transformer before each block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

from querytax.defenses.defense import Model
from querytax.defenses.layers import undefended
from querytax.expect import DomainError
from querytax.sites import Site

__all__ = ["feature_sites", "preset", "spelt_out"]

_STAGE = re.compile(r"((?:.*\.)?)(layer|stage|block|group)1")
_BLOCKS = ("blocks", "layers", "layer", "resblocks")


def feature_sites(model: Model) -> tuple[str, ...]:
    """The published places of the Randomized Feature Defense in a network.

    The network is recognised by how it is built, whatever its class and whatever
    stands around it (a normalisation, a defence):

    - ResNet: stages ``layer1``, ``layer2``, ``layer3`` (or ``stage``, ``block``,
      ``group``) beside each other, of two convolutions or more each. Noise is added to
      what the first is given, which is what the stem's pool returns where there is
      one, and to what each of the three returns; a fourth stage gets none of its own.
    - VGG: every convolution in one run of nested `torch.nn.Sequential`, two or more.
      Noise is added to what each is given, the first included.
    - vision transformer (ViT, DeiT): one ``blocks`` or ``layers`` whose children all
      hold two layer norms and two linear maps or more, and no convolution. Noise is
      added to what each block is given.

    Parameters
    ----------
    model : nn.Module

    Returns
    -------
    tuple of str
        Words for `querytax.sites.Site`, from the input inwards.

    Raises
    ------
    DomainError
        For another architecture, with what was found, and for a model that is no
        torch module.

    Examples
    --------
    >>> plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    >>> feature_sites(plain)
    ('0:before', '2:before')
    """
    network = undefended(model)
    for sites in (_stages(network), _transformer(network), _plain(network)):
        if sites:
            return sites
    convolutions = len(_convolutions(network))
    children = [f"{n} ({type(m).__name__})" for n, m in network.named_children()]
    listed = ", ".join(children[:8]) or "no modules"
    listed += f" and {len(children) - 8} more" if len(children) > 8 else ""
    raise DomainError(
        f"expected model to be a ResNet (stages layer1, layer2, layer3), a VGG "
        f"(convolutions in a row) or a vision transformer (blocks), "
        f"got {type(network).__name__} of {convolutions} convolutions in {listed}"
    )


def preset(model: Model) -> str:
    """The word for noise of one sigma at all of `feature_sites` at once.

    Parameters
    ----------
    model : nn.Module

    Returns
    -------
    str
        A site for `defend`.

    Raises
    ------
    DomainError
        As `feature_sites`, and where the name of a layer holds ``+`` or ``*``.

    Examples
    --------
    >>> preset(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)))
    '0:before+2:before'
    """
    sites = feature_sites(model)
    for site in sites:
        if "+" in site or "*" in site:
            raise DomainError(
                f"expected model to name its layers without '+' and '*', got {site!r}"
            )
    return Site.parse("+".join(sites)).name


def spelt_out(model: Model, words: Iterable[Any]) -> dict[Any, Any]:
    """Words of sites, and for each what it stands for: itself, but for a preset.

    Raises
    ------
    DomainError
        As `preset`.
    """
    return {word: preset(model) if word == "rfd" else word for word in words}


def _convolutions(module: nn.Module) -> list[str]:
    return [n for n, m in module.named_modules() if isinstance(m, nn.Conv2d)]


def _stages(network: nn.Module) -> tuple[str, ...]:
    """A ResNet's; the outermost set of stages."""
    modules = dict(network.named_modules())
    for name in sorted(modules, key=lambda name: name.count(".")):
        found = _STAGE.fullmatch(name)
        if not found:
            continue
        stages = [f"{found[1]}{found[2]}{n}" for n in (1, 2, 3)]
        if all(s in modules and len(_convolutions(modules[s])) > 1 for s in stages):
            return (f"{stages[0]}:before", *stages)
    return ()


def _transformer(network: nn.Module) -> tuple[str, ...]:
    """A vision transformer's; none where blocks stand in stages."""
    found = [
        [f"{name}.{child}:before" for child, _ in module.named_children()]
        for name, module in network.named_modules()
        if name.rpartition(".")[2] in _BLOCKS
        and list(module.children())
        and all(map(_is_block, module.children()))
    ]
    return tuple(found[0]) if len(found) == 1 else ()


def _is_block(module: nn.Module) -> bool:
    """Whether this is a transformer's block."""
    inside = list(module.modules())
    norms = sum(isinstance(m, nn.LayerNorm) for m in inside)
    maps = sum(isinstance(m, nn.Linear) for m in inside)
    return norms > 1 and maps > 1 and not _convolutions(module)


def _plain(network: nn.Module) -> tuple[str, ...]:
    """A VGG's; none where anything but a `Sequential` decides what feeds what."""
    modules = dict(network.named_modules())
    convolutions = _convolutions(network)
    roots = set()
    for name in convolutions:
        root = name
        while root and _in_a_row(modules[root.rpartition(".")[0]]):
            root = root.rpartition(".")[0]
        roots.add(root)
    if len(convolutions) < 2 or len(roots) != 1:
        return ()
    return tuple(f"{name}:before" for name in convolutions)


def _in_a_row(module: nn.Module) -> bool:
    """Whether its children are called one after the other, and nothing else is."""
    kind = type(module)
    return isinstance(module, nn.Sequential) and kind.forward is nn.Sequential.forward
