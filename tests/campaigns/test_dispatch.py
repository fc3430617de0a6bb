"""Jobs and workers that come, go and die: each job is done once, whatever happens."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.campaigns.dispatch import Event, Worked, dispatch
from querytax.expect import DomainError

DONE = Worked((), 0.0)


class Chance:
    """A crew in which anything happens; at the end somebody works."""

    def __init__(self, seed, depth):
        self.depth, self.chance = depth, random.Random(seed)
        self.held, self.count, self.turns = {}, 0, 0
        self.late = []

    def give(self, worker, place, job):
        assert len(self.held[worker]) < self.depth
        self.held[worker].append(place)

    def events(self, patience):
        self.turns += 1
        calm = self.turns > 60
        if not self.held or self.chance.random() < 0.2:
            self.count += 1
            self.held[self.count] = []
            yield Event(self.count, "came")
        for worker in list(self.held):
            if not calm and self.chance.random() < 0.15:
                # What it had done may still be on its way.
                lost = self.held.pop(worker)
                self.late += [(worker, place) for place in lost]
                kind = self.chance.choice(("died", "refused"))
                yield Event(worker, kind, what="so it was")
            elif self.held[worker] and self.chance.random() < 0.7:
                yield Event(worker, "worked", self.held[worker].pop(0), DONE)
        if self.late and self.chance.random() < 0.5:
            yield Event(*self.late.pop()[:1], "worked", 0, DONE)

    def close(self):
        pass


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 30))
def test_each_job_is_done_once(seed, depth, count):
    done, said = [], []
    jobs = ((place, f"job {place}") for place in range(count))
    try:
        crew, forever = Chance(seed, depth), float("inf")
        told = jobs, lambda p, w: done.append(p), said.append, forever, count
        dispatch(crew, *told)
        assert sorted(done) == list(range(count))
    except DomainError as error:
        if "a job that a worker survives" not in str(error):
            raise
    assert len(done) == len(set(done))
    assert len(said) == len(set(said))


class Steady:
    """Two workers that do what they are told, in order."""

    depth = 1

    def __init__(self):
        self.given = []

    def give(self, worker, place, job):
        self.given.append((worker, place))

    def events(self, patience):
        if not self.given:
            yield Event("a", "came")
            yield Event("b", "came")
        for worker, place in list(self.given):
            if place not in self.over:
                self.over.add(place)
                yield Event(worker, "worked", place, Worked((), 0.0, ("odd",)))

    over = frozenset()

    def close(self):
        pass


def steady():
    crew = Steady()
    crew.over = set()
    return crew


def test_jobs_are_given_in_order_and_warnings_said_once():
    crew, done, said = steady(), [], []
    dispatch(crew, enumerate("abcdef"), lambda p, w: done.append(p), said.append)
    assert [place for _, place in crew.given] == list(range(6))
    assert sorted(done) == list(range(6))
    assert said == ["warning: odd"]


def test_no_job_is_begun_after_the_time():
    crew, done = steady(), []
    until = time.monotonic() - 1.0
    dispatch(crew, enumerate("abc"), lambda p, w: done.append(p), print, until)
    assert crew.given == done == []


def test_what_a_job_raises_is_raised_here():
    class Failing(Steady):
        def events(self, patience):
            yield Event("a", "came")
            yield Event("a", "failed", 0, ValueError("so it was"))

    with pytest.raises(DomainError, match="bear a, got ValueError: so it was"):
        dispatch(Failing(), enumerate("a"), print, print)
