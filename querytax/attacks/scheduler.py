"""One scheduler for all attacks: their courses beside each other, in common batches.

The questions of many courses (blocks, noise levels, seeds) are merged into batches, and
new courses begin as images fall.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator

from querytax.attacks.course import Course
from querytax.attacks.oracle import Request, Response, answer_all

__all__ = ["drive"]

# Elements of the questions in flight: 512 MiB in float32.
_MOST = 1 << 27


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
