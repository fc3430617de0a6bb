"""What passes at named layers of a network while a defence answers."""

from __future__ import annotations

import difflib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from querytax.defenses.defense import Defense, Model
from querytax.expect import DomainError
from querytax.models import compiled_in_place, inside, is_scripted
from querytax.models.rows import first_tensor

__all__ = ["Visit", "named", "touching", "undefended"]


class Visit(NamedTuple):
    """A module that a forward pass has reached.

    Attributes
    ----------
    place : int
        Of its name in the list.
    kind : str
        Names the draws there: where, the module, and how often it was reached.
    module : nn.Module
    given : tuple
        What the module was given.
    """

    place: int
    kind: str
    module: nn.Module
    given: tuple[Any, ...]


@contextmanager
def touching(
    model: nn.Module,
    sites: Sequence[str],
    where: str,
    rows: int,
    touch: Callable[[Visit, Tensor], Tensor],
) -> Iterator[None]:
    """While the block runs, what passes at each site is what ``touch`` makes of it.

    Parameters
    ----------
    model : nn.Module
    sites : sequence of str
        Dotted names of its modules.
    where : {"output", "input"}
        What a module returns, or its first argument; of a tuple or list the first part.
    rows : int
        Images of the forward pass.
    touch : callable
        From a visit and the features there to others in their place. It is called in
        this thread alone.

    Raises
    ------
    DomainError
        For a site that was not reached, or where something else passes than a floating
        tensor with one row for each image.
    """
    thread = threading.get_ident()
    visits: Counter[str] = Counter()

    def touched(place: int, module: nn.Module, given: Any, features: Any) -> Any:
        site = sites[place]
        visits[site] += 1
        first, put = first_tensor(features)
        _check_features(site, where, first, rows)
        kind = f"{where}:{site}:{visits[site]}"
        return put(touch(Visit(place, kind, module, given), first))

    handles: list[RemovableHandle] = []
    try:
        for place, site in enumerate(sites):
            module = model.get_submodule(site)

            # Bound now: the loop's variables move on before the hook fires.
            def on_output(
                module: nn.Module, args: Any, output: Any, place: int = place
            ) -> Any:
                if threading.get_ident() != thread:
                    return None
                return touched(place, module, args, output)

            def on_input(
                module: nn.Module, args: Any, place: int = place
            ) -> tuple[Any, ...] | None:
                if threading.get_ident() != thread:
                    return None
                first, *rest = args or (None,)
                return (touched(place, module, args, first), *rest)

            if where == "output":
                handles.append(module.register_forward_hook(on_output))
            else:
                handles.append(module.register_forward_pre_hook(on_input))
        yield
    finally:
        for handle in handles:
            handle.remove()

    missed = [site for site in sites if not visits[site]]
    if missed:
        raise DomainError(
            f"expected every site to be reached by the forward pass, "
            f"got none at {', '.join(map(repr, missed))}"
        )


def undefended(model: Model) -> nn.Module:
    """The user's own model, inside all defences and whatever else wraps it."""
    around: object = None
    while model is not around:
        around = model
        model = inside(model.model if isinstance(model, Defense) else model)
    if not isinstance(model, nn.Module):
        raise DomainError(
            f"expected model to be a torch module, whose sites have names, "
            f"got {type(model).__name__}"
        )
    return model


def named(sites: str | Sequence[str], model: nn.Module) -> tuple[str, ...]:
    """Names of modules of a model that runs in Python.

    Raises
    ------
    DomainError
        For a name that it does not have, with the closest ones that it has; for none,
        and for one twice.
    """
    listed = (sites,) if isinstance(sites, str) else tuple(sites)
    if is_scripted(model):
        raise DomainError(
            "expected model to run in Python, where its layers can be reached, got "
            f"{type(model).__name__} for {', '.join(map(repr, listed))}: load the "
            "model that was scripted or traced, or take the site input or output"
        )
    for name, module in model.named_modules():
        if compiled_in_place(module):
            raise DomainError(
                "expected model to run in Python, where its layers can be reached, "
                f"got module {name!r} compiled in place: build it without .compile()"
            )
    names = [name for name, _ in model.named_modules(remove_duplicate=False) if name]
    for site in listed:
        if site not in names:
            # The end of a name that a wrapper has put its own before.
            near = [n for n in names if str(site).endswith(f".{n}")][-1:]
            near += difflib.get_close_matches(str(site), names, n=3, cutoff=0.4)
            hint = ", ".join(map(repr, near or names[:12])) or "none at all"
            raise DomainError(
                f"expected sites to name modules of the model, got {site!r}; "
                f"the closest are {hint}"
            )
        if is_scripted(model.get_submodule(site)):
            raise DomainError(
                "expected model to run in Python, where its layers can be reached, "
                f"got module {site!r} scripted or traced: name one around it"
            )
    if not listed or len({model.get_submodule(site) for site in listed}) < len(listed):
        raise DomainError(
            f"expected sites to name one or more different modules, got {list(listed)}"
        )
    return listed


def _check_features(site: str, where: str, features: Any, rows: int) -> None:
    if not isinstance(features, Tensor) or not features.dtype.is_floating_point:
        kind = (
            features.dtype if isinstance(features, Tensor) else type(features).__name__
        )
        raise DomainError(
            f"expected the {where} of site {site!r} to be a floating Tensor, got {kind}"
        )
    if not features.dim() or len(features) != rows:
        raise DomainError(
            f"expected the {where} of site {site!r} to have one row for each of the "
            f"{rows} images, got shape {tuple(features.shape)}"
        )
