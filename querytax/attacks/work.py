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
from querytax.attacks.oracle import Model, answer_in_batches, clean_model
from querytax.attacks.outcome import (
    CUT,
    ENDED,
    SUCCESSES,
    AttackResult,
)
from querytax.attacks.scheduler import Course
from querytax.attacks.table import Attack, find
from querytax.counts import QueryCount
from querytax.defenses import KeyedDefense
from querytax.losses import check_images, check_labels, check_logits
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
            gap = (again - answers[:_TWICE]).abs().max()
            drawn = bool(gap > 1e-3 * answers.abs().max())
    except expect.DomainError:
        raise
    except Exception as error:
        raise expect.DomainError(
            f"expected model to answer images of shape {tuple(images.shape[1:])} "
            f"in {str(images.dtype).removeprefix('torch.')}, got {_said(error)}"
        ) from error
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
        check_budget(plan, n_queries, votes)
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
        answered = getattr(clean, "answers", "logits")
        # Many runs look at the same images: the model is asked once.
        first, look = {} if first is None else first, (id(clean), id(images))
        self.judged = 0 if look in first else n
        if look not in first:
            first[look] = self._looked(clean, batch_size)
        answers, self.own_noise = first[look]
        check_logits(answers, self.labels, answered)
        if self.targets is not None:
            check_logits(answers, self.targets, answered, "targets")
        self.n_classes = answers.shape[1]
        said = answers.argmax(1)
        self._check_surrogate()
        if self.targets is None:
            attacked = said == self.labels
        else:
            attacked = said != self.targets
        self.places = attacked.nonzero()[:, 0]
        self.starts = self._starts(clean, batch_size)
        zeros = torch.zeros(n, dtype=torch.int64, device=device)
        self.events = {name: zeros.clone() for name in SUCCESSES}
        self.asked, self.need = zeros.clone(), zeros.clone()
        self.needs = {name: zeros.clone() for name in SUCCESSES}
        self.spent = zeros.repeat(len(PURPOSES), 1)
        self.held = images.clone() if keep else None
        before = "misclassified" if self.targets is None else "target already"
        self.status = np.where(attacked.cpu().numpy(), "open", before).astype(object)
        self.repeated = self.ended = 0

    def courses(self, tag: int) -> Iterator[Course]:
        """The run's blocks of images, one after another."""
        plan, images = self.run.plan, self.images
        each = max(1, images[0].numel() * plan.width * plan.repeats)
        size = max(1, min(_BLOCK_IMAGES, _BLOCK_ELEMENTS // each))
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
                places=places,
                model=self.run.model,
                engine=self.entry.engine,
                budget=self.n_queries,
                votes=self.votes,
                keep=self.held is not None,
                tag=tag,
            )

    def take(self, course: Course) -> None:
        """Write down what a course that ended has counted."""
        places, block = course.places, course.block
        again = course.crash is not None and len(block) > 1
        for name, event in self.events.items():
            event[places] = getattr(course, name)
            self.needs[name][places] = course.needs[name]
        self.asked[places], self.need[places] = course.asked, course.need
        self.spent[:, places] = course.spent
        self.judged += course.judged
        if self.held is not None and course.held is not None:
            self.held[places] = course.held
        for i, place in enumerate(places.tolist()):
            # Unless it is said below: the budget ended it.
            self.status[place] = "open"
            if course.confirmed[i] and course.clean[i]:
                self.status[place] = "broken"
            elif i in block.dropped:
                self.status[place] = block.dropped[i]
            elif course.crash is not None and block.running[i]:
                self.status[place] = f"crashed: {_said(course.crash)}"
                # These images run again, and what they asked was asked all the same.
                self.repeated += int(course.asked[i]) if again else 0
                self.ended -= again
            elif block.running[i]:
                self.status[place] = ENDED
        self.ended += len(places)

    def result(self) -> AttackResult:
        """The counts of the attacked images."""
        attacked = np.zeros(len(self.images), dtype=bool)
        attacked[self.places.cpu().numpy()] = True
        asked = self.asked.cpu().numpy()[attacked]
        # A run that could not pay for its next questions and their votes, or had none,
        # has no success within the budget: that is known to its end. Of one that
        # crashed or was cut off, no more is known than it spent.
        cut = [word.startswith(CUT) for word in self.status[attacked]]
        known = np.where(cut, asked, self.n_queries)

        def count(event: Tensor) -> QueryCount:
            at = event.cpu().numpy()[attacked]
            return QueryCount(np.where(at > 0, at, known), at > 0, np.array(cut, bool))

        return AttackResult(
            plan=self.run.plan,
            budget=self.n_queries,
            attacked=attacked,
            **{name: count(event) for name, event in self.events.items()},
            total_queries=int(asked.sum()) + self.repeated,
            seed=self.seed,
            images=self.held,
            votes=self.votes,
            access=self.access,
            spent={
                purpose: column.cpu().numpy()[attacked]
                for purpose, column in zip(PURPOSES, self.spent, strict=True)
            },
            status=tuple(self.status),
            judged=self.judged,
            own_noise=self.own_noise,
            needs={
                name: column.cpu().numpy()[attacked]
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
        hidden = any(isinstance(module, KeyedDefense) for module in inside)
        twice = clean is self.run.model and not hidden
        answers, drawn = first_answers(clean, self.images, batch_size, twice)
        if twice:
            self.judged += min(_TWICE, len(answers))
        if drawn:
            warnings.warn(OWN_NOISE, stacklevel=5)
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
        try:
            with torch.enable_grad():
                answers = surrogate(self.images[:1].clone().requires_grad_())
            shape = tuple(answers.shape)
        except Exception as error:
            shape = (_said(error),)
        if shape != (1, self.n_classes):
            raise expect.DomainError(
                f"expected surrogate to answer images of shape "
                f"{tuple(self.images.shape[1:])} with {self.n_classes} classes, "
                f"got {shape[0] if len(shape) == 1 else shape}"
            )
        if self.entry.surrogate and not answers.requires_grad:
            raise expect.DomainError(
                "expected surrogate to be differentiable, got answers without a graph"
            )


def _said(error: Exception) -> str:
    """An error in one line."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
