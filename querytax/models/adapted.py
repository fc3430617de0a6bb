"""Models as people have them, made into the one that everything here asks.

That one takes float images ``(N, ...)`` in [0, 1] and answers one row of logits or of
probabilities an image, ``(N, classes)``, with two classes at least.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from querytax.expect import DomainError
from querytax.losses import check_logits
from querytax.models.rows import Pick, holds_tensor, read_answer

__all__ = [
    "Adapted",
    "Declared",
    "Model",
    "Wrapper",
    "as_model",
    "ask",
    "check_answers",
    "compiled_in_place",
    "eager",
    "evaluating",
    "inside",
    "is_scripted",
    "unanswered",
]

Model = nn.Module | Callable[[Tensor], Tensor]

# Images that a model is shown to see what it answers.
_LOOKED = 2
_DATA_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_SCRIPTED = (torch.jit.ScriptModule, torch.jit.ScriptFunction)


class Wrapper(nn.Module):
    """A module around a model whose layers keep their own names."""

    model: Any

    def __init__(self, model: Model) -> None:
        super().__init__()
        if not callable(model):
            raise DomainError(
                "expected model to be a torch module or a callable, got "
                f"{type(model).__name__}"
            )
        self.model = model
        if hasattr(inside(model), "answers"):
            self.answers = inside(model).answers
        if hasattr(model, "answers"):
            self.answers = model.answers

    def around(self, model: Model) -> Wrapper:
        """The same around another model."""
        other = copy.copy(self)
        # A shallow copy of a module shares its tables.
        vars(other)["_modules"] = dict(self._modules)
        vars(other).pop("model", None)
        other._modules.pop("model", None)
        other.model = model
        return other


class Adapted(Wrapper):
    """A model whose answers are brought into rows of classes.

    Parameters
    ----------
    model : nn.Module or callable
    pick : int, str or callable, optional
        As in :func:`as_model`.
    gradient : bool
        Whether autograd may be tried; not where answers come as NumPy arrays.
    """

    def __init__(
        self, model: Model, pick: Pick | None = None, *, gradient: bool = True
    ) -> None:
        super().__init__(model)
        self.pick, self.gradient = pick, gradient

    def forward(self, images: Tensor) -> Tensor:
        """Rows of classes for images."""
        x = images if self.gradient else images.detach()
        return ask(self.model, x, self.pick)


class Declared(Wrapper):
    """A model that says that it answers logits, which was seen by its answers.

    Later answers, about points beside one image, may all lie in [0, 1] by chance.
    """

    answers = "logits"

    def forward(self, images: Tensor) -> Tensor:
        """Logits for images."""
        return ask(self.model, images)


def as_model(
    model: Model, images: Tensor | None = None, *, pick: Pick | None = None
) -> Any:
    """A model as people have it, as one that answers rows of classes.

    ``probe``, ``attack``, ``certify`` and ``defend`` do this themselves; call it to say
    which part of an answer holds the classes.

    - A tuple, list, dict, dataclass or object with ``logits``, in one another too: the
      one part of shape ``(N, classes)`` is taken; where there are several, ``pick``
      says which.
    - One number an image, ``(N,)`` or ``(N, 1)``, is a choice between two classes: the
      logits ``(0, z)``, or ``(1 - p, p)`` of a model whose ``answers`` say
      ``"probabilities"``.
    - Images are cast to the type of the model's parameters.
    - NumPy arrays are taken; no gradient passes them.

    Parameters
    ----------
    model : nn.Module or callable
    images : Tensor, optional
        Some to look at: a model that needs nothing is returned as it is.
    pick : int, str, tuple of these or callable, optional
        The classes' place in a tuple, or key; several of them, from the outside
        inwards; or a function of the answer.

    Returns
    -------
    nn.Module or callable

    Raises
    ------
    DomainError
        Where it does not answer, or it is open which part the classes are.

    Examples
    --------
    >>> def two_heads(x):
    ...     return x @ torch.ones(4, 7), x @ torch.ones(4, 3)
    >>> as_model(two_heads, torch.rand(5, 4))  # doctest: +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
        ...
    querytax.expect.DomainError: expected model to answer one tensor (2, C), got
    a tuple of 0: (2, 7), 1: (2, 3): say which, as in qt.as_model(model, pick=0)
    >>> as_model(two_heads, pick=1)(torch.rand(5, 4)).shape
    torch.Size([5, 3])
    """
    if not callable(model):
        raise DomainError(
            "expected model to be a torch module or a callable, got "
            f"{type(model).__name__}"
        )
    if pick is not None:
        return Adapted(model, pick)
    if isinstance(model, Wrapper):
        return model
    if not hasattr(model, "answers") and hasattr(inside(model), "answers"):
        return Adapted(model)
    if images is None:
        return model
    x = images[:_LOOKED]
    with torch.no_grad(), evaluating(model):
        try:
            said: Any = model(_cast(model, x))
        except DomainError:
            raise
        except Exception as error:
            raise DomainError(unanswered(model, x, error)) from error
    rows = read_answer(said, x, getattr(model, "answers", "logits"))
    if rows is said and _cast(model, x) is x and not is_scripted(model):
        return model
    return Adapted(model, gradient=holds_tensor(said))


def unanswered(model: Model, x: Tensor, error: Exception) -> str:
    """One line about a model that failed at images."""
    lines = str(error).splitlines() or [""]
    line = (
        f"expected model to answer images of shape {tuple(x.shape[1:])} in "
        f"{str(x.dtype).removeprefix('torch.')}, got {type(error).__name__}: {lines[0]}"
    )
    if isinstance(model, nn.Module) or hasattr(model, "classes"):
        return line
    return (
        f"{line}; a callable that wants NumPy arrays, or one image a call: "
        "qt.Remote(model, classes=...)"
    )


def ask(model: Model, x: Tensor, pick: Pick | None = None) -> Tensor:
    """What a model answers, in rows of classes: the way in which all models are asked.

    Raises
    ------
    DomainError
        For an answer that cannot be read as rows of classes.
    """
    answered = getattr(model, "answers", "logits")
    return read_answer(model(_cast(model, x)), x, answered, pick)


def check_answers(
    model: Model, answers: Tensor, labels: Tensor, name: str = "labels"
) -> bool:
    """Fail on answers that are not what the model is taken to say.

    Returns whether there were enough to tell.

    Raises
    ------
    DomainError
        As :func:`querytax.losses.check_logits`, and for numbers in [0, 1] of a model
        that does not say what they are.
    """
    answered = getattr(model, "answers", None)
    if answered not in (None, "logits", "probabilities"):
        raise DomainError(
            "expected model.answers to be 'logits' or 'probabilities', "
            f"got {answered!r}"
        )
    low, high = float(answers.amin()), float(answers.amax())
    # A defence within may add its own to what it answers.
    if answered == "probabilities" and not -1.0 <= low <= high <= 2.0:
        raise DomainError(
            "expected model to answer probabilities, as its model.answers says, got "
            f"{low:.3g} to {high:.3g}: of logits say model.answers = 'logits'"
        )
    return check_logits(answers, labels, answered, name)


# -- what stands around a model -----------------------------------------------------


def inside(model: Any) -> Any:
    """The model within a wrapper of ours, of parallel data or of a compiler, or it."""
    while True:
        if isinstance(model, Wrapper):
            model = model.model
        elif isinstance(model, _DATA_PARALLEL):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod
        else:
            return model


def eager(model: Any) -> Any:
    """The same model, run layer by layer in Python, in one place: hooks see them all.

    What `nn.DataParallel` replicates and a compiler fuses has hooks of its own.
    """
    if isinstance(model, Wrapper):
        within = eager(model.model)
        return model if within is model.model else model.around(within)
    within = inside(model)
    if within is not model:
        return eager(within)
    if compiled_in_place(model):
        # A shallow copy shares the layers and drops the compiled call.
        return copy.copy(model)
    return model


def compiled_in_place(module: Any) -> bool:
    """Whether ``module.compile()`` was called."""
    return getattr(module, "_compiled_call_impl", None) is not None


def is_scripted(model: Any) -> bool:
    """Whether TorchScript runs it."""
    return isinstance(model, _SCRIPTED)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """The model in evaluation mode while the block runs, then as each module was."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    # A frozen or an exported module has no modes.
    modes = [(m, m.training) for m in modules if hasattr(m, "training")]
    if isinstance(model, nn.Module):
        try:
            model.eval()
        except (NotImplementedError, AttributeError, RuntimeError):
            modes = []
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _cast(model: Any, x: Tensor) -> Tensor:
    """Images in the type of the model's parameters."""
    if isinstance(model, nn.Module):
        for parameter in model.parameters():
            if parameter.is_floating_point():
                return x.to(parameter.dtype)
    return x
