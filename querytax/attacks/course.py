"""One block of images on its way: who is charged, verified, ended, and what is told.

A block's attack yields questions. Its course sends them on, charges every row, repeats
what the plan repeats, asks the votes that verify a success, and tells the attack what
it may know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax.attacks.block import (
    PURPOSES,
    Answers,
    Ask,
    Block,
    Questions,
    seen,
    spread,
)
from querytax.attacks.failures import broke_in, said_of
from querytax.attacks.heard import LEAST, Heard, widened
from querytax.attacks.memory import Memory
from querytax.attacks.oracle import Model, Request, Response, clean_model
from querytax.attacks.outcome import SUCCESSES

__all__ = ["Course", "Ended"]

_NEVER = 1 << 62


@dataclass(frozen=True, eq=False)
class Ended:
    """What was counted of a course, as plain data.

    Attributes
    ----------
    tag : int
    places : ndarray
    counts : dict of str to ndarray
        ``(n,)`` the course's counters, by their names; ``spent`` is
        ``(purposes, n)``.
    needs : dict of str to ndarray
    running : ndarray
        ``(n,)`` bool: images whose run nothing has ended.
    dropped : dict of int to str
        Images that the attack gave up, and why.
    judged, recalled : int
    held : Tensor or None
    crash : str
        What the attack died of; empty where it did not.
    """

    tag: int
    places: np.ndarray
    counts: dict[str, np.ndarray]
    needs: dict[str, np.ndarray]
    running: np.ndarray
    dropped: dict[int, str]
    judged: int
    recalled: int
    held: Tensor | None
    crash: str


@dataclass(eq=False)
class Course:
    """One block on its way, and what was counted of it.

    Attributes
    ----------
    block : Block
    places : ndarray
        ``(n,)`` where the block's images stand among all that are attacked.
    model : nn.Module or callable
        With its noise.
    engine : callable
        The attack: ``engine(plan, block)`` is its generator.
    budget, votes : int
    rest : int
        Rows beyond the budget in which a step that began within it may end, with its
        votes.
    keep : bool
        Whether to hold on to the images that were handed in.
    tag : int
        Whose course it is.
    memory : Memory or None
        What the model answered before to the same run, and what it answers now.
    asked : ndarray
        ``(n,)`` rows that were answered; ``spent`` has them by purpose.
    noisy, submitted, confirmed, clean : ndarray
        ``(n,)`` rows asked until each kind of success; 0 where there was none.
    need : ndarray
        ``(n,)`` the least budget that would have brought an image as far.
    needs : dict of str to ndarray
        ``(n,)`` the least budget that would have shown each kind of success.
    judged : int
        Rows that the model without noise answered, charged to nobody.
    recalled : int
        Rows whose answers were known from before; see ``memory``.
    crash : Exception or None
        What ended the attack on the whole block.

    Notes
    -----
    What is counted of a few images is counted in NumPy: an operation on a short array
    costs it a fourth of torch's time, and a turn has dozens.
    """

    block: Block
    places: np.ndarray
    model: Model
    engine: Callable[..., Questions]
    budget: int
    votes: int
    rest: int = 0
    keep: bool = False
    tag: int = 0
    memory: Memory | None = None
    judged: int = field(default=0, init=False)
    recalled: int = field(default=0, init=False)
    crash: Exception | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        block, n = self.block, len(self.block)
        self.asked = np.zeros(n, dtype=np.int64)
        self.noisy, self.submitted = self.asked.copy(), self.asked.copy()
        self.confirmed, self.clean = self.asked.copy(), self.asked.copy()
        self.spent = np.zeros((len(PURPOSES), n), dtype=np.int64)
        self.need = self.asked.copy()
        self.needs = {name: self.asked.copy() for name in SUCCESSES}
        self.held = block.origin.clone() if self.keep else None
        self._keys = _host(block.keys)
        goal = block.labels if block.targets is None else block.targets
        self._goal = _host(goal)
        # A model that we cannot take the noise off is its own judge.
        self._judges = clean_model(self.model) is not self.model
        # Whether an image may have ended since this was last looked at.
        self._news = False

    def run(self) -> Generator[Request, Response, None]:
        """Requests of the model until every image's run has ended."""
        block = self.block
        questions = self.engine(block.plan, block)
        answers: Answers | None = None
        while True:
            try:
                ask = questions.send(answers)  # type: ignore[arg-type]
            except StopIteration:
                return
            except Exception as error:
                if broke_in(error):
                    raise
                self.crash = error
                return
            answers = yield from self._answer(ask)
            if not _host(block.running).any():
                questions.close()
                return

    @property
    def weight(self) -> int:
        """Elements of one turn's questions, about."""
        plan = self.block.plan
        return self.block.origin.numel() * plan.width * plan.repeats

    def done(self) -> int:
        """Queries asked, or saved by a run that ended before its budget."""
        running = _host(self.block.running)
        return int(np.where(running, self.asked, self.budget).sum())

    def ended(self) -> Ended:
        """What was counted."""
        names = (*SUCCESSES, "asked", "need", "spent")
        return Ended(
            self.tag,
            self.places,
            {name: getattr(self, name) for name in names},
            self.needs,
            _host(self.block.running),
            self.block.dropped,
            self.judged,
            self.recalled,
            self.held,
            "" if self.crash is None else said_of(self.crash),
        )

    def alone(self) -> Iterator[Course]:
        """A course for each image that was still running, from its start."""
        for i in self.block.rows().tolist():
            yield dataclasses.replace(
                self, block=self.block.part(i), places=self.places[i : i + 1]
            )

    def _answer(self, ask: Ask) -> Generator[Request, Response, Answers]:
        """Answer an ask, for those of its images that can pay for it."""
        block, each = self.block, ask.each
        if not len(ask.rows):
            return widened(None, ask.x.new_zeros(0, dtype=torch.bool), block)
        rows = _host(ask.rows)
        price = (_counts(each) + ask.then) * block.plan.repeats
        if ask.submit is not False or ask.then:
            # Who is confirmed needs no more votes.
            price = price + self.votes * (self.confirmed[rows] == 0)
        before = self.asked[rows]
        upto = before + price
        pays = (upto <= self.budget + self.rest) & (before < self.budget)
        pays &= _host(block.running)[rows]
        if pays.all():
            self.need[rows] = np.maximum(self.need[rows], upto)
            return (yield from self._asked(ask))
        paid = rows[pays]
        self.need[paid] = np.maximum(self.need[paid], upto[pays])
        some = _tensor(pays, ask.x)
        block.running[ask.rows[~some]] = False
        kept = spread(some, each)
        part = Ask(
            ask.x[kept],
            ask.rows[some],
            each if isinstance(each, int) else each[some],
            ask.submit if isinstance(ask.submit, bool) else ask.submit[kept],
            ask.purpose,
            again=None if ask.again is None else ask.again[kept],
        )
        if not len(part.rows):
            return widened(None, kept, block)
        return widened((yield from self._asked(part)), kept, block)

    def _asked(self, ask: Ask) -> Generator[Request, Response, Answers]:
        answers, suspects = yield from self._told(ask)
        if self.held is not None and ask.submit is not False:
            self._hold(ask)
        if suspects is not None and suspects.any():
            yield from self._verify(ask, suspects)
        if self._news:
            for name, need in self.needs.items():
                new = (getattr(self, name) > 0) & (need == 0)
                need[new] = self.need[new]
            ended = (self.confirmed > 0) & (self.clean > 0)
            self.block.running &= ~_tensor(ended, ask.x)
            self._news = False
        return answers

    def _told(
        self, ask: Ask
    ) -> Generator[Request, Response, tuple[Answers, np.ndarray | None]]:
        """What the attack hears, and which questions it then takes for adversarial.

        One answer a question, or what repeats make of it.
        """
        block, plan = self.block, self.block.plan
        if plan.repeats == 1:
            raw, fooled = yield from self._put(ask)
            return seen(raw, block), fooled
        owner = spread(torch.arange(len(ask.rows), device=ask.x.device), ask.each)
        rows = ask.rows[owner]
        heard = Heard(block, len(ask.x), ask.x)
        left = torch.arange(len(ask.x), device=ask.x.device)
        asked = 0
        while asked < plan.repeats and len(left):
            times = plan.repeats
            if plan.sequential:
                times = min(plan.repeats, LEAST) if not asked else 1
            index = left.repeat_interleave(times)
            ones, counts = torch.unique_consecutive(owner[index], return_counts=True)
            submit = ask.submit
            # The model without noise answers a question once.
            again = torch.ones_like(index, dtype=torch.bool)
            if not asked:
                again.view(-1, times)[:, 0] = False
            if ask.again is not None:
                again |= ask.again[index]
            turn = Ask(
                ask.x[index],
                ask.rows[ones],
                counts,
                submit if isinstance(submit, bool) else submit[index],
                ask.purpose,
                again=again,
            )
            raw, _ = yield from self._put(turn)
            heard.add(index, raw, rows[index])
            asked += times
            left = left[~heard.sure(left)]
        answers = heard.told()
        if ask.submit is False:
            return answers, None
        suspects = _host(block.fooled(answers, rows) & ask.submit)
        # The mean of answers may say what none of them said.
        at = _host(rows)
        self._note(self.noisy, suspects, at, self.asked[at] - 1)
        return answers, suspects

    def _verify(
        self, ask: Ask, suspects: np.ndarray
    ) -> Generator[Request, Response, None]:
        """Fresh votes on the first suspect of each image that has no success yet."""
        at = suspects.nonzero()[0]
        owner = _spread(_host(ask.rows), ask.each)[at]
        first = np.ones(len(owner), dtype=bool)
        first[1:] = owner[1:] != owner[:-1]
        first &= self.confirmed[owner] == 0
        rows, at = owner[first], at[first]
        if not len(rows):
            return
        x = ask.x[_tensor(at, ask.x)]
        again = x.repeat_interleave(self.votes, 0)
        votes = Ask(again, _tensor(rows, x), self.votes, purpose="votes")
        raw, _ = yield from self._put(votes)
        fooled = self._fools(_host(raw.argmax(1)), rows.repeat(self.votes))
        fooled = fooled.reshape(-1, self.votes).sum(1)
        some, sure = rows[fooled > 0], fooled * 2 > self.votes
        some = some[self.submitted[some] == 0]
        self.submitted[some] = self.asked[some]
        self.confirmed[rows[sure]] = self.asked[rows[sure]]
        self._news = True
        if self.held is not None:
            won = _tensor(sure, x)
            self.held[votes.rows[won]] = x[won].to(self.held.dtype)

    def _put(
        self, ask: Ask
    ) -> Generator[Request, Response, tuple[Tensor, np.ndarray | None]]:
        """Ask the model, charge its rows, and note what fools it on the way.

        The answers; and where something is handed in, which of them are adversarial.
        """
        rows, each = _host(ask.rows), _counts(ask.each)
        before = self.asked[rows]
        self.asked[rows] = before + each
        self.spent[PURPOSES.index(ask.purpose), rows] += each
        owner, queries = _spread(rows, each), _spread(before, each)
        if isinstance(each, np.ndarray):
            begins = _spread(each.cumsum() - each, each)
            queries = queries + np.arange(len(owner)) - begins
        elif each > 1:
            queries = (queries.reshape(-1, each) + np.arange(each)).ravel()
        handed: np.ndarray | bool = True
        if isinstance(ask.submit, Tensor):
            handed = _host(ask.submit)
        judged: np.ndarray | None = None
        if ask.submit is not False and self._judges:
            judged = (self.clean[owner] == 0) & handed
            if ask.again is not None:
                judged &= ~_host(ask.again)
        answers, clean = yield from self._hear(ask.x, owner, queries, judged)
        if ask.submit is False:
            return answers, None
        fooled = self._fools(_host(answers.argmax(1)), owner) & handed
        self._note(self.noisy, fooled, owner, queries)
        if judged is None:
            self._note(self.clean, fooled, owner, queries)
        elif clean is not None:
            found = self._fools(clean, owner[judged])
            self._note(self.clean, found, owner[judged], queries[judged])
        return answers, fooled

    def _hear(
        self,
        x: Tensor,
        owner: np.ndarray,
        queries: np.ndarray,
        judged: np.ndarray | None,
    ) -> Generator[Request, Response, tuple[Tensor, np.ndarray | None]]:
        """Answers, and what the model without noise says to the judged questions.

        From memory where they were given before.
        """
        memory = self.memory
        if memory is None:
            return (yield from self._request(x, owner, queries, judged))
        places = self.places[owner]
        known = memory.knows(places, queries, judged)
        if not known.any():
            answers, clean = yield from self._request(x, owner, queries, judged)
            memory.keep(places, queries, answers, judged, clean)
            return answers, clean
        self.recalled += int(known.sum())
        told, said = memory.recall(places, queries)
        if not known.all():
            new = ~known
            asked = None if judged is None else judged[new]
            some, labels = yield from self._request(
                x[_tensor(new, x)], owner[new], queries[new], asked
            )
            memory.keep(places[new], queries[new], some, asked, labels)
            told[new] = _host(some)
            if labels is not None:
                said[new & judged] = labels
        answers = torch.from_numpy(told).to(x.device)
        return answers, None if judged is None else said[judged]

    def _request(
        self,
        x: Tensor,
        owner: np.ndarray,
        queries: np.ndarray,
        judged: np.ndarray | None,
    ) -> Generator[Request, Response, tuple[Tensor, np.ndarray | None]]:
        heard = yield Request(
            self.model,
            x,
            _tensor(self._keys[owner], x),
            _tensor(queries, x),
            None if judged is None else _tensor(judged, x),
        )
        self.judged += heard.judged
        if heard.clean is None or not len(heard.clean):
            return heard.answers, None
        return heard.answers, _host(heard.clean.argmax(1))

    def _fools(self, said: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """``(Q,)`` bool: which classes are adversarial for the images asked about."""
        fooled: np.ndarray = said != self._goal[owner]
        return fooled if self.block.targets is None else ~fooled

    def _note(
        self,
        event: np.ndarray,
        fooled: np.ndarray,
        owner: np.ndarray,
        queries: np.ndarray,
    ) -> None:
        """Write down when each image's first of these answers came."""
        if not fooled.any():
            return
        first = np.full_like(event, _NEVER)
        np.minimum.at(first, owner[fooled], queries[fooled] + 1)
        new = (event == 0) & (first < _NEVER)
        event[new] = first[new]
        self._news = True

    def _hold(self, ask: Ask) -> None:
        """Keep the last image that was handed in, until one is confirmed."""
        assert self.held is not None
        owner = _spread(_host(ask.rows), ask.each)
        keep = self.confirmed[owner] == 0
        if isinstance(ask.submit, Tensor):
            keep &= _host(ask.submit)
        at = keep.nonzero()[0]
        last = np.ones(len(at), dtype=bool)
        last[:-1] = owner[at[1:]] != owner[at[:-1]]
        at = at[last]
        x = ask.x[_tensor(at, ask.x)]
        self.held[_tensor(owner[at], x)] = x.to(self.held.dtype)


def _host(values: Tensor) -> np.ndarray:
    """A tensor's values in NumPy; its own memory where it lies on the CPU."""
    array: np.ndarray = values.numpy(force=True)
    return array


def _tensor(values: np.ndarray, like: Tensor) -> Tensor:
    """Values in torch, where another tensor lies."""
    return torch.from_numpy(values).to(like.device)


def _counts(each: int | Tensor) -> Any:
    """Questions about each image, in NumPy where they differ."""
    return each if isinstance(each, int) else _host(each)


def _spread(values: np.ndarray, each: Any) -> np.ndarray:
    """Values of images, each as often as there are questions about it."""
    counts = _counts(each) if isinstance(each, Tensor) else each
    return values if isinstance(counts, int) and counts == 1 else values.repeat(counts)
