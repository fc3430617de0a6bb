"""One scheduler for all attacks: it asks for them, counts, verifies, and ends runs.

A block's attack yields questions. Its *course* sends them on, charges every row,
repeats what the plan repeats, asks the votes that verify a success, and tells the
attack what it may know. The questions of many courses (blocks, noise levels, seeds)
are merged into batches, and new courses begin as images fall.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from querytax.attacks.block import (
    PURPOSES,
    Answers,
    Ask,
    Block,
    Questions,
    Top1,
    seen,
    spread,
)
from querytax.attacks.oracle import Model, Request, Response, answer_all, clean_model
from querytax.attacks.outcome import SUCCESSES

__all__ = ["Course", "drive"]

_NEVER = 1 << 62
# Elements of the questions in flight: 512 MiB in float32.
_MOST = 1 << 27
# A repeated question is settled when its answers' mean margin is this many standard
# errors from zero, or its labels lead by so many; from so many answers on.
_ERRORS, _LEAD, _LEAST = 3.0, 3, 3


@dataclass(eq=False)
class Course:
    """One block on its way, and what was counted of it.

    Attributes
    ----------
    block : Block
    places : Tensor
        ``(n,)`` where the block's images stand among all that are attacked.
    model : nn.Module or callable
        With its noise.
    engine : callable
        The attack: ``engine(plan, block)`` is its generator.
    budget, votes : int
    keep : bool
        Whether to hold on to the images that were handed in.
    tag : int
        Whose course it is.
    asked : Tensor
        ``(n,)`` rows that were answered; ``spent`` has them by purpose.
    noisy, submitted, confirmed, clean : Tensor
        ``(n,)`` rows asked until each kind of success; 0 where there was none.
    need : Tensor
        ``(n,)`` the least budget that would have brought an image as far.
    needs : dict of str to Tensor
        ``(n,)`` the least budget that would have shown each kind of success.
    judged : int
        Rows that the model without noise answered, charged to nobody.
    crash : Exception or None
        What ended the attack on the whole block.
    """

    block: Block
    places: Tensor
    model: Model
    engine: Callable[..., Questions]
    budget: int
    votes: int
    keep: bool = False
    tag: int = 0
    judged: int = field(default=0, init=False)
    crash: Exception | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        origin = self.block.origin
        self.asked = torch.zeros(len(origin), dtype=torch.int64, device=origin.device)
        self.noisy, self.submitted = self.asked.clone(), self.asked.clone()
        self.confirmed, self.clean = self.asked.clone(), self.asked.clone()
        self.spent = self.asked.repeat(len(PURPOSES), 1)
        self.need = self.asked.clone()
        self.needs = {name: self.asked.clone() for name in SUCCESSES}
        self.held = origin.clone() if self.keep else None
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
                self.crash = error
                return
            answers = yield from self._answer(ask)
            if not block.running.any():
                questions.close()
                return

    @property
    def weight(self) -> int:
        """Elements of one turn's questions, about."""
        plan = self.block.plan
        return self.block.origin.numel() * plan.width * plan.repeats

    def done(self) -> int:
        """Queries asked, or saved by a run that ended before its budget."""
        saved = torch.where(self.block.running, self.asked, self.budget)
        return int(saved.sum())

    def alone(self) -> Iterator[Course]:
        """A course for each image that was still running, from its start."""
        for i in self.block.rows().tolist():
            yield dataclasses.replace(
                self, block=self.block.part(i), places=self.places[i : i + 1]
            )

    def _answer(self, ask: Ask) -> Generator[Request, Response, Answers]:
        """Answer an ask, for those of its images that can pay for it."""
        block, rows, each = self.block, ask.rows, ask.each
        if not len(rows):
            return _widened(None, ask.x.new_zeros(0, dtype=torch.bool), block)
        price = (each + ask.then) * block.plan.repeats
        if ask.submit is not False or ask.then:
            # Who is confirmed needs no more votes.
            price = price + self.votes * (self.confirmed[rows] == 0)
        upto = self.asked[rows] + price
        pays = (upto <= self.budget) & block.running[rows]
        paid = rows[pays]
        self.need[paid] = torch.maximum(self.need[paid], upto[pays])
        if bool(pays.all()):
            return (yield from self._asked(ask))
        block.running[rows[~pays]] = False
        kept = spread(pays, each)
        part = Ask(
            ask.x[kept],
            paid,
            each if isinstance(each, int) else each[pays],
            ask.submit if isinstance(ask.submit, bool) else ask.submit[kept],
            ask.purpose,
        )
        if not len(part.rows):
            return _widened(None, kept, block)
        return _widened((yield from self._asked(part)), kept, block)

    def _asked(self, ask: Ask) -> Generator[Request, Response, Answers]:
        answers, suspects = yield from self._told(ask)
        if self.held is not None and ask.submit is not False:
            self._hold(ask)
        if suspects is not None and bool(suspects.any()):
            yield from self._verify(ask, suspects)
        if self._news:
            for name, need in self.needs.items():
                new = (getattr(self, name) > 0) & (need == 0)
                need[new] = self.need[new]
            ended = (self.confirmed > 0) & (self.clean > 0)
            self.block.running &= ~ended
            self._news = False
        return answers

    def _told(
        self, ask: Ask
    ) -> Generator[Request, Response, tuple[Answers, Tensor | None]]:
        """What the attack hears, and which questions it then takes for adversarial.

        One answer a question, or what repeats make of it.
        """
        block, plan = self.block, self.block.plan
        if plan.repeats == 1:
            raw, fooled = yield from self._put(ask)
            return seen(raw, block), fooled
        owner = spread(torch.arange(len(ask.rows), device=ask.x.device), ask.each)
        rows = ask.rows[owner]
        heard = _Heard(block, len(ask.x), ask.x)
        left = torch.arange(len(ask.x), device=ask.x.device)
        asked = 0
        while asked < plan.repeats and len(left):
            times = plan.repeats
            if plan.sequential:
                times = min(plan.repeats, _LEAST) if not asked else 1
            index = left.repeat_interleave(times)
            ones, counts = torch.unique_consecutive(owner[index], return_counts=True)
            submit = ask.submit
            again = Ask(
                ask.x[index],
                ask.rows[ones],
                counts,
                submit if isinstance(submit, bool) else submit[index],
                ask.purpose,
            )
            raw, _ = yield from self._put(again)
            heard.add(index, raw, rows[index])
            asked += times
            left = left[~heard.sure(left)]
        answers = heard.told()
        if ask.submit is False:
            return answers, None
        suspects = block.fooled(answers, rows) & ask.submit
        # The mean of answers may say what none of them said.
        self._note(self.noisy, suspects, rows, self.asked[rows] - 1)
        return answers, suspects

    def _verify(self, ask: Ask, suspects: Tensor) -> Generator[Request, Response, None]:
        """Fresh votes on the first suspect of each image that has no success yet."""
        at = suspects.nonzero()[:, 0]
        owner = spread(torch.arange(len(ask.rows), device=at.device), ask.each)[at]
        first = torch.ones_like(owner, dtype=torch.bool)
        first[1:] = owner[1:] != owner[:-1]
        rows, at = ask.rows[owner[first]], at[first]
        open_ = self.confirmed[rows] == 0
        rows, at = rows[open_], at[open_]
        if not len(rows):
            return
        x = ask.x[at]
        again = x.repeat_interleave(self.votes, 0)
        votes = Ask(again, rows, self.votes, purpose="votes")
        raw, _ = yield from self._put(votes)
        fooled = self.block.fooled(raw, rows, self.votes).view(-1, self.votes).sum(1)
        some, sure = rows[fooled > 0], fooled * 2 > self.votes
        some = some[self.submitted[some] == 0]
        self.submitted[some] = self.asked[some]
        self.confirmed[rows[sure]] = self.asked[rows[sure]]
        self._news = True
        if self.held is not None:
            self.held[rows[sure]] = x[sure].to(self.held.dtype)

    def _put(
        self, ask: Ask
    ) -> Generator[Request, Response, tuple[Tensor, Tensor | None]]:
        """Ask the model, charge its rows, and note what fools it on the way.

        The answers; and where something is handed in, which of them are adversarial.
        """
        block, rows, each = self.block, ask.rows, ask.each
        before = self.asked[rows]
        self.asked[rows] = before + each
        self.spent[PURPOSES.index(ask.purpose), rows] += each
        if isinstance(each, int) and each == 1:
            queries = before
        elif isinstance(each, int):
            queries = before[:, None] + torch.arange(each, device=rows.device)
            queries = queries.flatten()
        else:
            begins = (each.cumsum(0) - each).repeat_interleave(each)
            place = torch.arange(len(ask.x), device=rows.device)
            queries = before.repeat_interleave(each) + place - begins
        owner = spread(rows, each)
        judged: Tensor | None = None
        if ask.submit is not False and self._judges:
            judged = self.clean[owner] == 0
            if isinstance(ask.submit, Tensor):
                judged &= ask.submit
        heard = yield Request(self.model, ask.x, block.keys[owner], queries, judged)
        self.judged += heard.judged
        if ask.submit is False:
            return heard.answers, None
        fooled = block.fooled(heard.answers, rows, each)
        if isinstance(ask.submit, Tensor):
            fooled &= ask.submit
        self._note(self.noisy, fooled, owner, queries)
        if judged is None:
            self._note(self.clean, fooled, owner, queries)
        elif heard.clean is not None and len(heard.clean):
            found = torch.zeros_like(judged)
            found[judged] = block.fooled(heard.clean, owner[judged])
            self._note(self.clean, found, owner, queries)
        return heard.answers, fooled

    def _note(
        self, event: Tensor, fooled: Tensor, owner: Tensor, queries: Tensor
    ) -> None:
        """Write down when each image's first of these answers came."""
        if not bool(fooled.any()):
            return
        first = torch.full_like(event, _NEVER)
        first.scatter_reduce_(0, owner[fooled], queries[fooled] + 1, "amin")
        event[:] = torch.where((event == 0) & (first < _NEVER), first, event)
        self._news = True

    def _hold(self, ask: Ask) -> None:
        """Keep the last image that was handed in, until one is confirmed."""
        assert self.held is not None
        owner = spread(ask.rows, ask.each)
        keep = self.confirmed[owner] == 0
        if isinstance(ask.submit, Tensor):
            keep &= ask.submit
        at = keep.nonzero()[:, 0]
        last = torch.ones_like(at, dtype=torch.bool)
        last[:-1] = owner[at[1:]] != owner[at[:-1]]
        self.held[owner[at[last]]] = ask.x[at[last]].to(self.held.dtype)


class _Heard:
    """Answers to repeated questions, as they come in."""

    def __init__(self, block: Block, n: int, like: Tensor) -> None:
        self.block = block
        self.sums = like.new_zeros((n, block.n_classes), dtype=torch.float64)
        self.counts = torch.zeros_like(self.sums)
        # Of the margins: how many, their sum, their squares' sum.
        self.moments = like.new_zeros((3, n), dtype=torch.float64)

    def add(self, index: Tensor, answers: Tensor, rows: Tensor) -> None:
        """Answers to the questions ``index``, about the images ``rows``."""
        block = self.block
        label = answers.argmax(1)
        one = torch.ones(len(index), 1, dtype=torch.float64, device=index.device)
        # Where labels tie, the first of them decides, not the smaller number.
        first = self.moments[0, index] == 0
        first[1:] &= index[1:] != index[:-1]
        one[first] += 0.5
        hot = torch.zeros_like(answers, dtype=torch.float64)
        hot.scatter_(1, label[:, None], one)
        self.counts.index_add_(0, index, hot)
        fooled = block.fooled(answers, rows)
        margin = fooled.double().mul_(2.0).sub_(1.0)
        if block.access == "scores":
            self.sums.index_add_(0, index, answers.double())
            margin = block.margin(answers, rows)
        elif block.access == "top1":
            score = seen(answers, block).score  # type: ignore[union-attr]
            self.sums.index_add_(0, index, (hot > 0) * score[:, None])
        parts = torch.stack((torch.ones_like(margin), margin, margin.square()))
        self.moments.index_add_(1, index, parts)

    def sure(self, index: Tensor) -> Tensor:
        """Which of these questions are settled."""
        n, total, squares = self.moments[:, index]
        if self.block.access != "scores":
            return total.abs() >= _LEAD
        spread_ = (squares - total.square() / n).clamp_min(0.0) / (n - 1).clamp_min(1.0)
        return (n >= _LEAST) & (total.abs() > _ERRORS * (spread_ * n).sqrt())

    def told(self) -> Answers:
        """Mean scores, or the majority's label, with its mean score."""
        if self.block.access == "scores":
            return self.sums / self.moments[0][:, None]
        label = self.counts.argmax(1)
        if self.block.access == "labels":
            return label
        mean = self.sums / self.counts.floor().clamp_min(1.0)
        return Top1(label, mean.gather(1, label[:, None])[:, 0])


def _widened(answers: Answers | None, kept: Tensor, block: Block) -> Answers:
    """Answers to some questions, among all: NaN, or label -1, for the others."""
    n, device = len(kept), kept.device
    label = torch.full((n,), -1, dtype=torch.int64, device=device)
    score = torch.full((n,), torch.nan, dtype=torch.float64, device=device)
    if block.access == "scores":
        wide = score[:, None].repeat(1, block.n_classes)
        if isinstance(answers, Tensor):
            wide = wide.to(answers.dtype)
            wide[kept] = answers
        return wide
    if isinstance(answers, Top1):
        label[kept], score[kept] = answers.label, answers.score.double()
    elif answers is not None:
        label[kept] = answers
    return label if block.access == "labels" else Top1(label, score)


def drive(
    courses: Iterable[Course],
    *,
    in_flight: int,
    batch_size: int,
    watch: Callable[[int], None] | None = None,
) -> Iterator[Course]:
    """Run courses to their ends, ``in_flight`` images or more at a time.

    A block whose attack crashes is attacked again, image by image from the start, so
    that the failure of one image's run ends that run alone.

    Parameters
    ----------
    courses : iterable of Course
        Begun one after another, as images before them fall.
    in_flight : int
        Images under attack at the same time, or as many as one block has; fewer where
        their questions take too much memory.
    batch_size : int
        Rows of one forward pass.
    watch : callable, optional
        Told, before each forward pass, how many queries are done or need not be asked
        any more, of the courses that have not been yielded.

    Yields
    ------
    Course
        Each as it ends. One that crashed comes before the courses that repeat it,
        whose counts replace its own.
    """
    waiting = iter(courses)
    going: list[tuple[Course, Generator[Request, Response, None], Request]] = []

    def step(
        course: Course, run: Generator[Request, Response, None], heard: Response | None
    ) -> Iterator[Course]:
        try:
            going.append((course, run, run.send(heard)))  # type: ignore[arg-type]
        except StopIteration:
            yield course
            if course.crash is not None and len(course.block) > 1:
                for alone in course.alone():
                    yield from step(alone, alone.run(), None)

    def room() -> bool:
        """Whether another course may begin."""
        images = sum(int(course.block.running.sum()) for course, *_ in going)
        return images < in_flight and sum(c.weight for c, *_ in going) < _MOST

    while True:
        while room() and (course := next(waiting, None)) is not None:
            yield from step(course, course.run(), None)
        if not going:
            return
        if watch is not None:
            watch(sum(course.done() for course, *_ in going))
        asking, going = going, []
        heard = answer_all([request for *_, request in asking], batch_size)
        for (course, run, _), response in zip(asking, heard, strict=True):
            yield from step(course, run, response)
