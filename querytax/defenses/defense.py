"""What every defence here shares: where its draws come from, and a count of rows."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from querytax import expect
from querytax.defenses.fresh import add_noise
from querytax.defenses.fresh import uniforms as fresh_uniforms
from querytax.defenses.recording import live, refuse
from querytax.expect import DomainError
from querytax.losses import check_not_probabilities
from querytax.models.rows import read_answer
from querytax.noise import normals, uniforms
from querytax.seeds import seed_of

__all__ = ["Defense"]

Model = nn.Module | Callable[[Tensor], Tensor]

# Rows or queries that key an experiment's noise.
Keys = Tensor | None


# A model, the module in it that has the first floating parameter, and under what name.
_Typical = tuple[Any, nn.Module | None, str, Tensor | None]


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


class Defense(nn.Module):
    """A model behind a defence: noise, or a rival of it.

    `InputNoise`, `FeatureNoise`, `OutputNoise`, and `CombinedNoise` for several places
    at once are noise; `querytax.catalogue` lists all. They may wrap one another in any
    order.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C). It is never altered, and called on its
        own it answers without noise.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        None, for deployment: the noise comes from a cryptographic generator, and nobody
        can predict or repeat it, see `querytax.defenses.fresh`. A whole number, or a
        generator to draw one from, is for experiments alone: the noise is then a
        function of (seed, row, query), and whoever knows or finds the seed can
        subtract it.

    Attributes
    ----------
    model : nn.Module or callable
    seed : int or None
        Of an experiment's noise, which no ``print`` shows.
    answers : {"logits", "probabilities"}
        What the columns of an answer are. A model's own attribute of this name is
        believed; without it, a model answers logits. The first answer is looked at:
        probabilities that are not called so are refused.
    n_queries : int
        Rows asked so far; an image asked twice counts twice.
    mergeable : bool
    touches_input : bool

    Notes
    -----
    Noise acts in training and evaluation mode alike, and gradients pass it unchanged.
    It comes from no generator of torch's, so `torch.manual_seed` neither repeats nor
    moves it.

    A deployed defence holds nothing that its noise follows from. Copies, pickles,
    files, forked processes, threads and replicas of `nn.DataParallel` all draw afresh.
    A copy of an experiment's defence keeps seed and count, and draws the same.

    Whatever would record one call and replay it (`torch.jit`, `torch.export`, ONNX,
    `torch.fx`, CUDA graphs) or share it among rows (`torch.vmap`) is refused: put the
    defence around the recorded model. `torch.compile` leaves a defence, and what is
    inside it, as it is: compile the model first.

    This is no `nn.Sequential`: attack libraries walk the children of those one by one
    and would pass by the noise of an overridden ``forward``. As a child of one it is
    called like any other, and keeps its noise.

    In an experiment the keys go inwards, and every layer draws from a stream of its
    own, so that their noises are independent under one seed. The count is safe under
    threads, and replicas of `nn.DataParallel` share it: no two rows get the same key,
    though which thread's row comes first is open. Pass ``rows`` and ``queries`` where
    that must be fixed. Keys reach a defence directly inside another one; through any
    other module they do not, and a defence there keeps its own count.
    """

    # Moves with the module: libraries read the device from what a module owns, and
    # a callable owns nothing.
    anchor: Tensor

    def __init__(self, model: Model, *, experiment_seed: Any = None) -> None:
        super().__init__()
        if not callable(model):
            raise DomainError(
                f"expected model to be a torch module or a callable, "
                f"got {type(model).__name__}"
            )
        self.model = model
        self.seed = experiments_seed(experiment_seed)
        self.answers: str = expect.one_of(
            ["logits", "probabilities"], answers=getattr(model, "answers", "logits")
        )
        # What is said to this layer; a subclass may answer something else.
        self._said = self.answers
        self._typical: _Typical = None, None, "", None
        self._depth = depth_of(model)
        self._tally = _Tally()
        # A model that says what it answers is believed; else its first answers tell.
        own: Any = model
        while isinstance(own, Defense):
            own = own.model
        self._heard = hasattr(own, "answers")
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    @property
    def n_queries(self) -> int:
        """Rows asked since the start or the last `reset`."""
        return self._tally.count

    def reset(self) -> None:
        """Begin again at query 0, here and in every defence within."""
        for part in self.modules():
            if isinstance(part, Defense):
                part._tally.count = 0

    def get_extra_state(self) -> Tensor:
        """The count, as a tensor, so that every format of state dict can hold it."""
        return torch.tensor(self.n_queries, dtype=torch.int64)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from a saved count."""
        self._tally.count = int(state)

    def extra_repr(self) -> str:
        """The settings, for ``print``; never a seed."""
        kept = "" if self.seed is None else "noise=predictable, for experiments"
        return ", ".join(filter(None, (self._settings(), kept)))

    def _settings(self) -> str:
        return ""

    def __prepare_scriptable__(self) -> None:
        # What torch.jit.script asks of each module before it reads any code.
        refuse("torch.jit.script")

    @live
    def forward(
        self, x: Tensor, rows: Tensor | None = None, queries: Tensor | None = None
    ) -> Tensor:
        """Answer the images ``x`` with noise.

        Parameters
        ----------
        x : Tensor, shape (N, ...)
            Floating; cast to the dtype of the model's parameters where it has any.
        rows, queries : whole-number Tensors of shape (N,), optional
            The keys of an experiment's noise; a deployed defence has no use for them.
            By default the row is 0 and the query is the number of rows asked before:
            the noise then follows the order of the images, in one batch or in many.

        Returns
        -------
        Tensor, shape (N, C)
            Memory of its own, which the caller may overwrite.

        Raises
        ------
        DomainError
            For images that are not floating, keys that do not fit them, probabilities
            where the model said logits, and calls that are recorded.
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
            kind.forward is Defense.forward
            and kind.before is not Defense.before
            and not self._forward_pre_hooks
            and not self._forward_hooks
        )

    @property
    def judge(self) -> Model:
        """The model whose class is right or wrong, whatever is drawn at a query.

        The model behind; a defence that is part of the decision, as a filter of the
        images is, stands for itself.
        """
        return self.model

    @property
    def touches_input(self) -> bool:
        """Whether the model behind is asked something else than the images."""
        return False

    def before(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        """What the model behind is asked, for images that `admit` let in.

        Counts nothing. May be ``x`` itself.
        """
        raise NotImplementedError(f"{type(self).__name__} is not mergeable")

    def after(self, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        """What is answered, from the answer of the model behind: memory of its own."""
        raise NotImplementedError(f"{type(self).__name__} is not mergeable")

    def admit(
        self, x: Tensor, rows: Tensor | None = None, queries: Tensor | None = None
    ) -> tuple[Tensor, Any, Any]:
        """Check and count a question, as the start of ``forward`` does.

        Parameters
        ----------
        x, rows, queries
            As for ``forward``.

        Returns
        -------
        x : Tensor
            The images in the model's dtype.
        rows, queries : Tensor or None
            The keys on their device; None only where none were given and none count.

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
        if rows is not None:
            rows = _key("rows", rows, x)
        if queries is not None:
            queries = _key("queries", queries, x)
        start = self._tally.take(len(x))
        if self.seed is None:
            return self._cast(x), rows, queries
        if rows is None:
            rows = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if queries is None:
            queries = torch.arange(
                start, start + len(x), dtype=torch.int64, device=x.device
            )
        return self._cast(x), rows, queries

    def _cast(self, x: Tensor) -> Tensor:
        """Images in the type of the model's parameters."""
        # To look for a parameter takes as long as a small layer. One that was found is
        # good for as long as its module still has it.
        of, owner, name, parameter = self._typical
        model = self.model
        if of is not model or (owner and getattr(owner, name, None) is not parameter):
            of, owner, name, parameter = self._typical = _typical(model)
        if parameter is None or parameter.dtype == x.dtype:
            return x
        return x.to(parameter.dtype)

    def _ask(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        """The wrapped model's answer; a defence within is given the same keys."""
        model = self.model
        if isinstance(model, Defense):
            return model(x, rows, queries)
        answer = model(x)
        if not isinstance(answer, Tensor) or answer.dim() < 3:
            answer = read_answer(answer, x, self._said)
            return answer if self._heard else self._listen(answer)
        # Maps of classes, pixel by pixel, are guarded too; attacks want one row.
        if len(answer) == len(x):
            return answer
        raise DomainError(
            f"expected model to answer ({len(x)}, C), got {tuple(answer.shape)}"
        )

    def told(self) -> None:
        """Take the answers for what they were seen to be: nothing is refused."""
        self._heard = True

    def _listen(self, answer: Tensor) -> Tensor:
        """The model's own answer, of which the first that tells is looked at."""
        if not self._heard and len(answer) and not answer.is_meta:
            # A map in [0, 1] is no answer that a probe would refuse.
            self._heard = check_not_probabilities(answer, answer.dim() == 2)
        return answer

    def _add_noise(
        self, value: Tensor, sigma: float, kind: str, rows: Keys, queries: Keys
    ) -> Tensor:
        """``value`` plus noise of its own dtype; ``value`` itself at sigma 0."""
        if sigma == 0:
            return value
        if self.seed is None:
            return add_noise(value, sigma, inside=kind == "input")
        if rows is None or queries is None:
            raise DomainError(
                "expected rows and queries, the keys of an experiment's noise, got none"
            )
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

    def _uniforms(
        self, shape: Sequence[int], kind: str, x: Tensor, rows: Keys, queries: Keys
    ) -> Tensor:
        """``(N, *shape)`` float64 draws in [0, 1), fresh or an experiment's own."""
        if self.seed is None:
            drawn = fresh_uniforms(len(x) * math.prod(shape))
            return torch.from_numpy(drawn).view(len(x), *shape).to(x.device)
        if rows is None or queries is None:
            raise DomainError(
                "expected rows and queries, the keys of an experiment's noise, got none"
            )
        return uniforms(
            self.seed,
            f"defense/{self._depth}/{kind}",
            rows,
            queries,
            shape,
            dtype=torch.float64,
            device=x.device,
        )


def experiments_seed(experiment_seed: Any) -> int | None:
    """The seed of noise that can be repeated; None where nobody shall repeat it."""
    if experiment_seed is None:
        return None
    return seed_of(experiment_seed, "experiment_seed")


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


def _typical(model: Model) -> _Typical:
    """The first floating parameter in a model."""
    for module in model.modules() if isinstance(model, nn.Module) else ():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_floating_point():
                return model, module, name, parameter
    return model, None, "", None


def depth_of(model: Model) -> int:
    """One more than the deepest defence inside, so that no two share a stream."""
    if not isinstance(model, nn.Module):
        return 0
    within = [m._depth for m in model.modules() if isinstance(m, Defense)]
    return max(within, default=-1) + 1


def _key(name: str, key: Any, x: Tensor) -> Tensor:
    """A key on the images' device, its shape checked; `normals` checks the rest."""
    shape = tuple(key.shape) if isinstance(key, Tensor) else type(key).__name__
    if shape != (len(x),):
        raise DomainError(f"expected {name} of shape ({len(x)},), got {shape}")
    return key.to(x.device)
