"""One run of one attack: what was given is checked, and its counts are put together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax import expect
from querytax.attacks.block import ACCESS, PURPOSES, Block
from querytax.attacks.course import Course, Ended
from querytax.attacks.failures import said_of
from querytax.attacks.memory import Memory
from querytax.attacks.oracle import (
    Model,
    answer_in_batches,
    clean_model,
    evaluating,
)
from querytax.attacks.outcome import (
    CUT,
    ENDED,
    SUCCESSES,
    AttackResult,
)
from querytax.attacks.table import Attack, find
from querytax.counts import QueryCount
from querytax.defenses import Defense
from querytax.losses import check_images, check_labels
from querytax.models import ask, check_answers, unanswered
from querytax.models.own_noise import alike, noisy_layer
from querytax.plans import Plan
from querytax.seeds import seed_of

__all__ = [
    "OWN_NOISE",
    "Run",
    "Work",
    "check_budget",
    "entry_of",
    "first_answers",
    "pays",
]

# Elements of one block's questions: bounds memory, and keeps them in cache.
_BLOCK_ELEMENTS = 1 << 22
_BLOCK_IMAGES = 1024
# Images that are not divided among several workers: a turn costs as much for few.
_BLOCK_LEAST = 64
# Images that are looked at twice before the attack.
_TWICE = 8
OWN_NOISE = (
    "the model answers the same image differently: its noise cannot be taken off, "
    "'clean' means one more of its answers, and runs do not repeat themselves"
)


@dataclass(frozen=True, eq=False)
class Run:
    """One attack on one model: what :func:`attack_all` runs beside others.

    Attributes
    ----------
    model : nn.Module or callable
        As in :func:`attack`, with its noise.
    images, labels, targets, starts, keys, surrogate
        As in :func:`attack`.
    plan : Plan
    rng : int or Generator
    rest : int
        Rows beyond the budget in which a step that began within it may end, with its
        votes; what follows is not asked.
    memory : Memory, optional
        What the model answered before to this run's questions, and room for what it
        answers now: as many images and queries as the run may ask about.
    """

    model: Model
    images: Tensor
    labels: Tensor
    plan: Plan
    targets: Tensor | None = None
    starts: Tensor | None = None
    keys: Tensor | None = None
    surrogate: Model | None = None
    rng: Any = 0
    rest: int = 0
    memory: Memory | None = None


def entry_of(plan: Plan, access: str) -> Attack:
    """The plan's attack, if such access is enough for it."""
    if not isinstance(plan, Plan):
        raise expect.DomainError(
            f"expected plan to be a Plan, as plan_of makes one, got {plan!r}"
        )
    entry = find(plan.attack)
    if ACCESS.index(access) > ACCESS.index(entry.access):
        raise expect.DomainError(
            f"expected access {entry.access!r} or more for {entry.name}, got {access!r}"
        )
    if plan.norm not in entry.norms:
        raise expect.DomainError(
            f"expected norm of {entry.name} to be {' or '.join(entry.norms)}, "
            f"got {plan.norm!r}"
        )
    return entry


def first_answers(
    model: Model, images: Tensor, batch_size: int, twice: bool
) -> tuple[Tensor, bool]:
    """Answers to images, and whether some that were asked twice answered differently.

    Raises
    ------
    DomainError
        If the model does not answer such images.
    """
    drawn = False
    try:
        answers = answer_in_batches(model, images, batch_size)
        if twice:
            again = answer_in_batches(model, images[:_TWICE], batch_size)
            drawn = not alike(answers[:_TWICE], again)
    except expect.DomainError:
        raise
    except Exception as error:
        raise expect.DomainError(unanswered(model, images, error)) from error
    return answers, drawn


def pays(plan: Plan, n_queries: int, votes: int) -> bool:
    """Whether a budget pays for a plan's first step and its votes."""
    return n_queries >= _least(plan, votes)


def _least(plan: Plan, votes: int) -> int:
    return plan.least * plan.repeats + votes


def check_budget(plan: Plan, n_queries: int, votes: int) -> None:
    """Fail where a budget does not pay for a plan's first step and its votes.

    Raises
    ------
    DomainError
    """
    if not pays(plan, n_queries, votes):
        raise expect.DomainError(
            f"expected n_queries >= {_least(plan, votes)}, the first step of "
            f"{plan.attack} and its votes, got {n_queries}"
        )


class Work:
    """One run: its images, its courses, and what came of them."""

    def __init__(
        self,
        run: Run,
        entry: Attack,
        n_queries: int,
        votes: int,
        access: str,
        batch_size: int,
        keep: bool,
        first: dict[Any, tuple[Tensor, bool]] | None = None,
    ) -> None:
        self.run, self.entry, self.seed = run, entry, seed_of(run.rng)
        self.n_queries, self.votes, self.access = n_queries, votes, access
        plan = run.plan
        check_budget(plan, n_queries + run.rest, votes)
        self.images = images = check_images(run.images)
        if images.dtype not in (torch.float32, torch.float64):
            raise expect.DomainError(
                "expected images in float32 or float64, where a perturbation is not "
                f"rounded away, got {images.dtype}"
            )
        plan.check_shape(tuple(images.shape[1:]))
        n, device = len(images), images.device
        self.labels = check_labels(run.labels, n).to(device)
        self.targets = self._targets()
        self.keys = self._keys()
        clean = clean_model(run.model)
        # Many runs look at the same images: the model is asked once.
        first, look = {} if first is None else first, (id(clean), id(images))
        self.judged = 0 if look in first else n
        if look not in first:
            first[look] = self._looked(clean, batch_size)
        answers, self.own_noise = first[look]
        told = check_answers(clean, answers, self.labels)
        guard = run.model
        while told and isinstance(guard, Defense):
            # Points beside one image may be answered in [0, 1] by chance.
            guard.told()
            guard = guard.model
        if self.targets is not None:
            check_answers(clean, answers, self.targets, "targets")
        self.n_classes = answers.shape[1]
        said = answers.argmax(1)
        self._check_surrogate()
        if self.targets is None:
            attacked = said == self.labels
        else:
            attacked = said != self.targets
        self.places = attacked.nonzero()[:, 0]
        self.starts = self._starts(clean, batch_size)
        zeros = np.zeros(n, dtype=np.int64)
        self.events = {name: zeros.copy() for name in SUCCESSES}
        self.asked, self.need = zeros.copy(), zeros.copy()
        self.needs = {name: zeros.copy() for name in SUCCESSES}
        self.spent = np.zeros((len(PURPOSES), n), dtype=np.int64)
        self.held = images.clone() if keep else None
        before = "misclassified" if self.targets is None else "target already"
        self.status = np.where(attacked.cpu().numpy(), "open", before).astype(object)
        self.repeated = self.ended = self.recalled = 0
        self.memory = run.memory
        if self.memory is not None and not self.memory.open(
            self.n_classes, answers.dtype
        ):
            self.memory = None

    def courses(self, tag: int, parts: int = 1) -> Iterator[Course]:
        """The run's blocks of images, one after another; so many at least, if large."""
        plan, images = self.run.plan, self.images
        each = max(1, images[0].numel() * plan.width * plan.repeats)
        size = max(1, min(_BLOCK_IMAGES, _BLOCK_ELEMENTS // each))
        size = min(size, max(_BLOCK_LEAST, -(-len(self.places) // parts)))
        for places in self.places.split(size) if len(self.places) else ():
            block = Block(
                plan,
                images[places],
                self.labels[places],
                self.keys[places],
                seed=self.seed,
                targets=None if self.targets is None else self.targets[places],
                starts=None if self.starts is None else self.starts[places],
                n_classes=self.n_classes,
                answered=getattr(self.run.model, "answers", "logits"),
                access=self.entry.access,
                surrogate=self.run.surrogate,
            )
            yield Course(
                block=block,
                places=places.cpu().numpy(),
                model=self.run.model,
                engine=self.entry.engine,
                budget=self.n_queries,
                votes=self.votes,
                rest=self.run.rest,
                keep=self.held is not None,
                tag=tag,
                memory=self.memory,
            )

    def take(self, course: Ended) -> None:
        """Write down what a course that ended has counted."""
        places, counts = course.places, course.counts
        again = bool(course.crash) and len(places) > 1
        for name, event in self.events.items():
            event[places] = counts[name]
            self.needs[name][places] = course.needs[name]
        self.asked[places], self.need[places] = counts["asked"], counts["need"]
        self.spent[:, places] = counts["spent"]
        self.judged += course.judged
        self.recalled += course.recalled
        if self.held is not None and course.held is not None:
            self.held[torch.from_numpy(places).to(self.held.device)] = course.held
        for i, place in enumerate(places.tolist()):
            # Unless it is said below: the budget ended it.
            self.status[place] = "open"
            if counts["confirmed"][i] and counts["clean"][i]:
                self.status[place] = "broken"
            elif i in course.dropped:
                self.status[place] = course.dropped[i]
            elif course.crash and course.running[i]:
                self.status[place] = f"crashed: {course.crash}"
                # These images run again, and what they asked was asked all the same.
                self.repeated += int(counts["asked"][i]) if again else 0
                self.ended -= again
            elif course.running[i]:
                self.status[place] = ENDED
        self.ended += len(places)

    def result(self) -> AttackResult:
        """The counts of the attacked images."""
        attacked = np.zeros(len(self.images), dtype=bool)
        attacked[self.places.cpu().numpy()] = True
        asked = self.asked[attacked]
        # A run that could not pay for its next questions and their votes, or had none,
        # has no success within the budget: that is known to its end. Of one that
        # crashed or was cut off, no more is known than it spent.
        cut = [word.startswith(CUT) for word in self.status[attacked]]
        known = np.where(cut, asked, self.n_queries)

        def count(event: np.ndarray) -> QueryCount:
            at = event[attacked]
            return QueryCount(np.where(at > 0, at, known), at > 0, np.array(cut, bool))

        return AttackResult(
            plan=self.run.plan,
            budget=self.n_queries,
            attacked=attacked,
            **{name: count(event) for name, event in self.events.items()},
            total_queries=int(asked.sum()) + self.repeated - self.recalled,
            seed=self.seed,
            images=self.held,
            votes=self.votes,
            access=self.access,
            spent={
                purpose: column[attacked]
                for purpose, column in zip(PURPOSES, self.spent, strict=True)
            },
            status=tuple(self.status),
            judged=self.judged,
            own_noise=self.own_noise,
            needs={
                name: column[attacked]
                for name, column in {**self.needs, "end": self.need}.items()
            },
        )

    # -- checks ---------------------------------------------------------------------

    def _targets(self) -> Tensor | None:
        if self.run.targets is None:
            return None
        if not self.entry.targeted:
            raise expect.DomainError(
                f"expected no targets, {self.entry.name} is untargeted alone"
            )
        targets = check_labels(self.run.targets, len(self.images), "targets")
        targets = targets.to(self.images.device)
        same = (targets == self.labels).nonzero()[:, 0]
        if len(same):
            i = int(same[0])
            raise expect.DomainError(
                f"expected targets other than the labels, got {int(targets[i])} for "
                f"image {i}, which is its label"
            )
        return targets

    def _keys(self) -> Tensor:
        n, device = len(self.images), self.images.device
        if self.run.keys is None:
            return torch.arange(n, device=device)
        keys = check_labels(self.run.keys, n, "keys").to(device)
        if int(keys.min()) < 0 or int(keys.max()) >> 32 or len(keys.unique()) < n:
            raise expect.DomainError(
                "expected keys to be different whole numbers in [0, 2**32)"
            )
        return keys

    def _looked(self, clean: Model, batch_size: int) -> tuple[Tensor, bool]:
        """The first answers, and whether the model has noise of its own."""
        # A defence of ours inside the model is known to be there, and keeps count.
        inside = clean.modules() if isinstance(clean, nn.Module) else ()
        hidden = any(isinstance(m, Defense) and m is not clean for m in inside)
        twice = clean is self.run.model and not hidden
        answers, drawn = first_answers(clean, self.images, batch_size, twice)
        if twice:
            self.judged += min(_TWICE, len(answers))
        if drawn:
            where = noisy_layer(clean, self.images)
            warnings.warn(f"{OWN_NOISE} ({where})", stacklevel=5)
        return answers, drawn or hidden

    def _starts(self, clean: Model, batch_size: int) -> Tensor | None:
        if self.run.starts is None:
            return None
        starts = check_images(self.run.starts).to(self.images)
        if starts.shape != self.images.shape:
            raise expect.DomainError(
                f"expected starts of the images' shape {tuple(self.images.shape)}, "
                f"got {tuple(starts.shape)}"
            )
        said = answer_in_batches(clean, starts[self.places], batch_size).argmax(1)
        self.judged += len(said)
        if self.targets is None:
            wrong = said == self.labels[self.places]
        else:
            wrong = said != self.targets[self.places]
        if bool(wrong.any()):
            i = int(self.places[wrong][0])
            raise expect.DomainError(
                "expected starts that fool the model without its noise, "
                f"got one for image {i} that does not"
            )
        return starts

    def _check_surrogate(self) -> None:
        surrogate = self.run.surrogate
        if surrogate is None:
            if self.entry.surrogate:
                raise expect.DomainError(
                    f"expected surrogate for {self.entry.name}, a network of the "
                    "attacker's own, got None"
                )
            return
        few = self.images[:_TWICE]
        try:
            with torch.enable_grad(), evaluating(surrogate):
                answers = ask(surrogate, few.clone().requires_grad_())
            shape: tuple[Any, ...] = tuple(answers.shape)
        except Exception as error:
            shape = (said_of(error),)
        if shape != (len(few), self.n_classes):
            raise expect.DomainError(
                f"expected surrogate to answer images of shape "
                f"{tuple(self.images.shape[1:])} with {self.n_classes} classes, "
                f"got {shape[0] if len(shape) == 1 else shape}"
            )
        if self.entry.surrogate:
            try:
                check_answers(surrogate, answers, self.labels[:_TWICE])
            except expect.DomainError as error:
                raise expect.DomainError(f"of the surrogate: {error}") from None
        if self.entry.surrogate and not answers.requires_grad:
            raise expect.DomainError(
                "expected surrogate to be differentiable, got answers without a graph"
            )
