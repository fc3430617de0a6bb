"""The meter between a library's attack and a model: counts, votes, and the end.

A library is given a module to attack. Behind it stands a course of our own scheduler,
for one image, so that a row costs a foreign attack what it costs one of ours.
"""

from __future__ import annotations

import ctypes
import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from querytax.attacks.block import Answers, Ask, Block, Questions
from querytax.attacks.course import Course
from querytax.attacks.oracle import answer_all
from querytax.losses import FLOOR

__all__ = [
    "PROBABILITIES",
    "BudgetSpent",
    "Done",
    "Metered",
    "OutOfTime",
    "limited",
    "seed_for",
    "seeded",
]

# What a library is told where a model answers probabilities.
PROBABILITIES = ("answered", "renormalised", "logarithm")

# Rounding by which a library may leave [0, 1].
_SLACK = 1e-6
# Questions about nothing, after which an attack is taken to ask about nothing for ever.
_EMPTY = 1000


class Stopped(BaseException):
    """Ends a library's attack from within; no ``except Exception`` holds it up."""


class BudgetSpent(Stopped):
    """The next question and the votes on it are more than is left."""


class Done(Stopped):
    """Confirmed by votes and adversarial without the noise: all is known."""


class OutOfTime(Stopped):
    """The attack has taken longer than it was given."""


class Metered(nn.Module):
    """A model under attack about one image, as a library sees it.

    Every row is counted and charged; rows inside the budget of perturbation are voted
    on and judged, as for our own attacks. Neither the model behind nor its mode can be
    reached from here.

    Parameters
    ----------
    course : Course
        Of one image. Its engine is replaced.
    batch_size : int
        Rows of one forward pass.
    expects : {"either", "logits", "probabilities"}
        What the library takes scores for. Logits are told as probabilities where it
        expects these.
    probabilities : {"answered", "renormalised", "logarithm"}
        What it is told where the model answers probabilities: the answers; the
        answers clipped at 0 and divided by their sum; or their logarithms, where
        1e-12 stands for anything smaller.

    Attributes
    ----------
    fault : Exception or None
        What the model behind raised. It is no failure of the attack.
    """

    def __init__(
        self,
        course: Course,
        *,
        batch_size: int = 256,
        expects: str = "either",
        probabilities: str = "answered",
    ) -> None:
        super().__init__()
        self.course, self.batch_size = course, batch_size
        self.expects, self.probabilities = expects, probabilities
        self.fault: Exception | None = None
        # Held while the model answers: a question is put whole, or not at all.
        self.asking = threading.RLock()
        self._empty = 0
        # Libraries read the device from what a module owns.
        device = self.block.origin.device
        self.anchor = nn.Parameter(torch.zeros((), device=device), requires_grad=False)

    # A copy would be asked by the same attack, and is the same meter.
    def __copy__(self) -> Metered:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Metered:
        return self

    @property
    def block(self) -> Block:
        """The one image, with what belongs to it."""
        return self.course.block

    @property
    def running(self) -> bool:
        """Whether the attack may go on."""
        return self.fault is None and bool(self.block.running[0])

    def forward(self, x: Tensor) -> Tensor:
        """Answer a library's rows ``(Q, ...)``, in memory of their own.

        Raises
        ------
        BudgetSpent, Done
            Where there is no more to ask. Nothing is charged then.
        TypeError, ValueError
            For rows that are not finite images of the right shape.
        """
        if not self.running:
            self._stop()
        x = self._checked(x)
        if not len(x):
            return self._nothing()
        with self.asking:
            answers = self._put(x)
        if answers is None:
            self._stop()
        return self._told(answers)

    def hand_in(self, image: Tensor) -> None:
        """Submit what an attack ended with, unless that is the image it was given.

        Nothing is asked about an image outside the budget of perturbation.
        """
        x = self._checked(image)
        if len(x) != 1:
            raise ValueError(f"the attack ended with {len(x)} images of 1")
        if bool(self._inside(x)[0]) and not torch.equal(x, self.block.origin):
            self.forward(x)

    def _stop(self) -> NoReturn:
        course = self.course
        if self.fault is not None:
            raise Stopped("the model failed") from self.fault
        if bool(course.confirmed[0]) and bool(course.clean[0]):
            raise Done("confirmed, and adversarial without the noise")
        raise BudgetSpent(f"{int(course.asked[0])} of {course.budget} rows asked")

    def _checked(self, x: Any) -> Tensor:
        origin = self.block.origin
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"the attack asked about {kind}, not about images")
        if x.shape[1:] != origin.shape[1:]:
            raise ValueError(
                f"the attack asked about images of shape {tuple(x.shape[1:])}, "
                f"not {tuple(origin.shape[1:])}"
            )
        x = x.detach().to(origin.device, origin.dtype, copy=True)
        if not bool(torch.isfinite(x).all()):
            raise ValueError("the attack asked about NaN or infinity")
        return x

    def _inside(self, x: Tensor) -> Tensor:
        row = torch.zeros(1, dtype=torch.int64, device=x.device)
        flat = x.flatten(1)
        within = (flat.amin(1) >= -_SLACK) & (flat.amax(1) <= 1.0 + _SLACK)
        return within & self.block.inside(x, row, len(x))

    def _put(self, x: Tensor) -> Answers | None:
        """Answers to a question that the course lets pass, else None."""
        row = torch.zeros(1, dtype=torch.int64, device=x.device)
        ask = Ask(x, row, len(x), self._inside(x))
        heard: list[Answers] = []

        def engine(plan: Any, block: Block) -> Questions:
            heard.append((yield ask))

        self.course.engine = engine
        run, response = self.course.run(), None
        while True:
            try:
                request = run.send(response)  # type: ignore[arg-type]
            except StopIteration:
                break
            try:
                (response,) = answer_all([request], self.batch_size)
            except Exception as error:
                self.fault = error
                break
        return heard[0] if heard and self.running else None

    def _nothing(self) -> Tensor:
        """The answer to no rows."""
        self._empty += 1
        if self._empty > _EMPTY:
            raise RuntimeError(f"the attack asked about no rows {_EMPTY} times")
        origin = self.block.origin
        return origin.new_zeros(0, self.block.n_classes)

    def _told(self, answers: Answers) -> Tensor:
        block = self.block
        assert isinstance(answers, Tensor)
        if block.access == "labels":
            # No more than the label is given away, whatever the library reads.
            return one_hot(answers, block.n_classes).to(block.origin.dtype)
        if block.answered == "logits":
            said = answers.softmax(1) if self.expects == "probabilities" else answers
        elif self.probabilities == "renormalised":
            said = answers.clamp_min(0.0)
            said = said / said.sum(1, keepdim=True).clamp_min(FLOOR)
        elif self.probabilities == "logarithm":
            said = answers.clamp_min(FLOOR).log()
        else:
            said = answers
        return said.clone()


# -- the surroundings of a library's run ----------------------------------------------


def seed_for(seed: int, what: str, key: int, again: int) -> int:
    """A seed below 2**32 for one run of one attack on one image."""
    address = f"foreign:{what}:{seed}:{key}:{again}".encode()
    return int.from_bytes(hashlib.blake2b(address, digest_size=4).digest(), "little")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Global random states that libraries draw from, set, and then as they were.

    NumPy generators that are made without a seed meanwhile draw theirs from the
    global one: some attacks make their own.
    """
    made, numpy_random = (np.random.RandomState, np.random.default_rng), np.random
    states = numpy_random.get_state(), random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()

    def fresh() -> int:
        return int(numpy_random.randint(1 << 32, dtype=np.uint64))

    class RandomState(made[0]):  # type: ignore[misc, valid-type]
        def __init__(self, seed: Any = None) -> None:
            super().__init__(fresh() if seed is None else seed)

    def default_rng(seed: Any = None) -> np.random.Generator:
        return made[1](fresh() if seed is None else seed)

    with torch.random.fork_rng(list(devices)):
        try:
            numpy_random.seed(seed)
            random.seed(seed)
            torch.manual_seed(seed)
            vars(numpy_random).update(RandomState=RandomState, default_rng=default_rng)
            yield
        finally:
            vars(numpy_random).update(RandomState=made[0], default_rng=made[1])
            numpy_random.set_state(states[0])
            random.setstate(states[1])


@contextmanager
def limited(seconds: float | None, asking: threading.RLock) -> Iterator[None]:
    """Raise `OutOfTime` in the block once so many seconds have gone by.

    It comes between two of the block's own instructions, and never while ``asking`` is
    held. The block may be a loop that calls nothing.
    """
    if seconds is None:
        yield
        return
    thread = ctypes.c_ulong(threading.get_ident())
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    over = False

    def ring() -> None:
        with asking:
            if not over:
                raise_in(thread, ctypes.py_object(OutOfTime))

    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with asking:
            over = True
            # What has rung and was not heard yet.
            raise_in(thread, None)
