"""A recording of a defence would replay its noise: none is made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from querytax.expect import DomainError

__all__ = ["live", "refuse"]

# Answers, of a defence as ``self``, images and the two keys of their noise.
Forward = Callable[..., Tensor]


def live(forward: Forward) -> Forward:
    """A ``forward`` that no recorder takes down, and no compiler folds.

    Under `torch.compile` it runs as it is written, with all that lies inside it; a
    model that was compiled before it was defended stays compiled.

    Raises
    ------
    DomainError
        From the answer, while ``forward`` is traced, exported, captured or vectorised.
    """

    # The decorator of the public name imports the compiler, which takes seconds. Where
    # nothing may stay uncompiled (``fullgraph=True``), its error says this name.
    @torch._disable_dynamo
    def compile_the_model_alone_and_put_the_defence_around_it(
        self: Any, x: Any, rows: Any, queries: Any
    ) -> Tensor:
        return forward(self, x, rows, queries)

    apart = compile_the_model_alone_and_put_the_defence_around_it

    @functools.wraps(forward)
    def answer(self: Any, x: Any, rows: Any = None, queries: Any = None) -> Tensor:
        if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
            return apart(self, x, rows, queries)
        if way := _recorder(x):
            refuse(way)
        return forward(self, x, rows, queries)

    return answer


def refuse(way: str) -> None:
    """Say how such a model is deployed."""
    raise DomainError(
        f"expected a defence to be called as it is, got {way}, which would freeze its "
        "noise: do that to the model alone, and put the defence around the result"
    )


def _recorder(x: Any) -> str:
    """What takes this call down, where something does."""
    if torch.jit.is_tracing():
        return "torch.jit.trace or torch.onnx.export"
    if torch.compiler.is_exporting():
        return "torch.export or torch.onnx.export"
    if not isinstance(x, Tensor):
        return "torch.fx.symbolic_trace" if isinstance(x, torch.fx.Proxy) else ""
    if torch._C._functorch.is_batchedtensor(x):
        return "torch.vmap"
    if torch._C._len_torch_dispatch_stack():
        from torch.fx.experimental.proxy_tensor import get_proxy_mode

        if get_proxy_mode() is not None:
            return "torch.fx's make_fx"
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        return "a CUDA graph"
    return ""
