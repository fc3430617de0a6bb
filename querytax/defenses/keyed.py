"""What every defence here shares: the keys of its noise and the count of its rows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from querytax import expect
from querytax.expect import DomainError
from querytax.noise import normals
from querytax.seeds import seed_of

__all__ = ["KeyedDefense"]

Model = nn.Module | Callable[[Tensor], Tensor]


class _Tally:
    """A count of rows that threads and replicas of one defence share."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self._lock = threading.Lock()

    def take(self, rows: int) -> int:
        """Count ``rows`` more; the count before them."""
        with self._lock:
            start = self.count
            self.count += rows
        return start

    def __reduce__(self) -> tuple[type[_Tally], tuple[int]]:
        # Locks are neither pickled nor copied.
        return _Tally, (self.count,)


class KeyedDefense(nn.Module):
    """A model behind noise that is keyed by (seed, row, query).

    Subclasses are `InputNoise`, `FeatureNoise`, `OutputNoise`, and `CombinedNoise`
    for several places at once. They may wrap one another in any order; the keys go
    inwards, and every layer draws from a stream of its own, so that their noises are
    independent under one seed.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C). It is never altered, and called on its
        own it answers without noise.
    rng : int, numpy.random.Generator, torch.Generator or None
        None, for deployment, takes the seed from the operating system's entropy. A
        whole number, or a generator to draw one from, is for experiments: whoever
        knows it can predict the noise and subtract it. What came of it stands in
        ``seed``, which no ``print`` shows.

    Attributes
    ----------
    model : nn.Module or callable
    seed : int
    answers : {"logits", "probabilities"}
        What the columns of an answer are. A model's own attribute of this name is
        believed; without it, a model answers logits.
    n_queries : int
        Rows asked so far; an image asked twice counts twice.
    mergeable : bool
    touches_input : bool

    Notes
    -----
    Noise acts in training and evaluation mode alike, and gradients pass it unchanged.
    It comes from no generator of torch's, so `torch.manual_seed` neither repeats nor
    moves it.

    This is no `nn.Sequential`: attack libraries walk the children of those one by one
    and would pass by the noise of an overridden ``forward``. As a child of one it is
    called like any other, and keeps its noise.

    A copy shares the seed of its original, and so does a process forked from it: a
    service of several workers builds a defence in each.

    The count is safe under threads, and replicas of `nn.DataParallel` share it: no
    two rows get the same key, though which thread's row comes first is open. Pass
    ``rows`` and ``queries`` where that must be fixed. Keys reach a defence directly
    inside another one; through any other module they do not, and a defence there
    keeps its own count.
    """

    # Moves with the module: libraries read the device from what a module owns, and
    # a callable owns nothing.
    anchor: Tensor

    def __init__(self, model: Model, *, rng: Any = None) -> None:
        super().__init__()
        if not callable(model):
            raise DomainError(
                f"expected model to be a torch module or a callable, "
                f"got {type(model).__name__}"
            )
        self.model = model
        self.seed = seed_of(rng)
        self.answers: str = expect.one_of(
            ["logits", "probabilities"], answers=getattr(model, "answers", "logits")
        )
        self._depth = depth_of(model)
        self._tally = _Tally()
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    @property
    def n_queries(self) -> int:
        """Rows asked since the start or the last `reset`."""
        return self._tally.count

    def reset(self) -> None:
        """Begin again at query 0, here and in every defence within."""
        for part in self.modules():
            if isinstance(part, KeyedDefense):
                part._tally.count = 0

    def get_extra_state(self) -> Tensor:
        """The count, as a tensor, so that every format of state dict can hold it."""
        return torch.tensor(self.n_queries, dtype=torch.int64)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from a saved count."""
        self._tally.count = int(state)

    def forward(
        self, x: Tensor, rows: Tensor | None = None, queries: Tensor | None = None
    ) -> Tensor:
        """Answer the images ``x`` with noise.

        Parameters
        ----------
        x : Tensor, shape (N, ...)
            Floating; cast to the dtype of the model's parameters where it has any.
        rows, queries : whole-number Tensors of shape (N,), optional
            The keys of the noise. By default the row is 0 and the query is the number
            of rows asked before: the noise then follows the order of the images, in
            one batch or in many.

        Returns
        -------
        Tensor, shape (N, C)
            Memory of its own, which the caller may overwrite.

        Raises
        ------
        DomainError
            For images that are not floating, or keys that do not fit them.
        """
        x, rows, queries = self.admit(x, rows, queries)
        answer = self._ask(self.before(x, rows, queries), rows, queries)
        return self.after(answer, rows, queries)

    @property
    def mergeable(self) -> bool:
        """Whether an answer is `after` of the model's answer to `before`, and no more.

        Then `admit`, `before`, the model and `after`, called one by one, stand for a
        call of the defence. Not so where noise acts inside the model, where a subclass
        has a ``forward`` of its own, or where hooks wait for a call.
        """
        kind = type(self)
        return (
            kind.forward is KeyedDefense.forward
            and kind.before is not KeyedDefense.before
            and not self._forward_pre_hooks
            and not self._forward_hooks
        )

    @property
    def touches_input(self) -> bool:
        """Whether the model behind is asked something else than the images."""
        return False

    def before(self, x: Tensor, rows: Tensor, queries: Tensor) -> Tensor:
        """What the model behind is asked, for images that `admit` let in.

        Counts nothing. May be ``x`` itself.
        """
        raise NotImplementedError(f"{type(self).__name__} is not mergeable")

    def after(self, answer: Tensor, rows: Tensor, queries: Tensor) -> Tensor:
        """What is answered, from the answer of the model behind: memory of its own."""
        raise NotImplementedError(f"{type(self).__name__} is not mergeable")

    def admit(
        self, x: Tensor, rows: Tensor | None = None, queries: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Check and count a question, as the start of ``forward`` does.

        Parameters
        ----------
        x, rows, queries
            As for ``forward``.

        Returns
        -------
        x, rows, queries : Tensor
            The images in the model's dtype, and the keys on their device.

        Raises
        ------
        DomainError
            For images that are not floating, or keys that do not fit them.
        """
        if not isinstance(x, Tensor):
            raise DomainError(f"expected images to be a Tensor, got {type(x).__name__}")
        if not x.dtype.is_floating_point or not x.dim():
            raise DomainError(
                f"expected images to be floating and of shape (N, ...), "
                f"got {x.dtype} of shape {tuple(x.shape)}"
            )
        rows = _key("rows", rows, x)
        queries = _key("queries", queries, x)
        start = self._tally.take(len(x))
        if rows is None:
            rows = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if queries is None:
            queries = torch.arange(
                start, start + len(x), dtype=torch.int64, device=x.device
            )
        return self._cast(x), rows, queries

    def _cast(self, x: Tensor) -> Tensor:
        if isinstance(self.model, nn.Module):
            for parameter in self.model.parameters():
                if parameter.dtype.is_floating_point:
                    return x.to(parameter.dtype)
        return x

    def _ask(self, x: Tensor, rows: Tensor, queries: Tensor) -> Tensor:
        """The wrapped model's answer; a defence within is given the same keys."""
        if isinstance(self.model, KeyedDefense):
            return self.model(x, rows, queries)
        answer = self.model(x)
        if not isinstance(answer, Tensor):
            got = type(answer).__name__
        elif answer.dim() < 2 or len(answer) != len(x):
            got = f"shape {tuple(answer.shape)}"
        else:
            return answer
        raise DomainError(
            f"expected the model to answer with a Tensor of shape ({len(x)}, C), "
            f"got {got}"
        )

    def _add_noise(
        self, value: Tensor, sigma: float, kind: str, rows: Tensor, queries: Tensor
    ) -> Tensor:
        """``value`` plus noise of its own dtype; ``value`` itself at sigma 0."""
        if sigma == 0:
            return value
        # Narrow types are added to in float32 and rounded once.
        wide = torch.promote_types(value.dtype, torch.float32)
        noise = normals(
            self.seed,
            f"defense/{self._depth}/{kind}",
            rows,
            queries,
            value.shape[1:],
            dtype=wide,
            device=value.device,
        )
        return (value + noise.mul_(sigma)).to(value.dtype)


def standard_deviation(**named: Any) -> float:
    """One finite number of at least zero."""
    ((name, value),) = named.items()
    if not isinstance(value, Real) or isinstance(value, bool):
        raise DomainError(f"expected {name} to be one number >= 0, got {value!r}")
    return float(expect.nonnegative(**{name: value}))


def standard_deviations(sigma: Any, count: int, of: str) -> tuple[float, ...]:
    """One standard deviation for all, or one for each."""
    one = isinstance(sigma, str) or getattr(sigma, "ndim", 1) == 0
    if one or not hasattr(sigma, "__len__"):
        return (standard_deviation(sigma=sigma),) * count
    if len(sigma) != count:
        raise DomainError(
            f"expected sigma to be one number or one for each of the {count} {of}, "
            f"got {len(sigma)}"
        )
    return tuple(standard_deviation(sigma=each) for each in sigma)


def depth_of(model: Model) -> int:
    """One more than the deepest defence inside, so that no two share a stream."""
    if not isinstance(model, nn.Module):
        return 0
    within = [m._depth for m in model.modules() if isinstance(m, KeyedDefense)]
    return max(within, default=-1) + 1


def _key(name: str, key: Any, x: Tensor) -> Tensor | None:
    """A key on the images' device, its shape checked; `normals` checks the rest."""
    if key is None:
        return None
    shape = tuple(key.shape) if isinstance(key, Tensor) else type(key).__name__
    if shape != (len(x),):
        raise DomainError(f"expected {name} of shape ({len(x)},), got {shape}")
    return key.to(x.device)
