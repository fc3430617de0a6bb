"""How jobs ended, as arrays: what a budget saw of each image; no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from querytax.counts import QueryCount
from querytax.trials.store import OPEN, ImageRow

__all__ = ["MEANINGS", "STATUSES", "SUCCESSES", "Outcomes", "Page"]

# As in `querytax.attacks.outcome`, which needs torch; and both of the last two.
SUCCESSES = ("noisy", "submitted", "confirmed", "clean")
MEANINGS = (*SUCCESSES, "broken")
# Ends that are one word; others are kept as text.
STATUSES = (OPEN, "broken", "ended", "misclassified")
# How those ends begin that say nothing of the rest of the budget.
_CUT = ("crashed", "out of time", "misclassified")

_EVENTS = [f"{name}{end}" for name in SUCCESSES for end in ("", "_need")]
_COLUMNS = ("status", "asked", "need", *_EVENTS)
_WIDTH = len(_COLUMNS)
_TYPE = "<i8"


@dataclass(frozen=True)
class Page:
    """What came of one job: a row of numbers an image, as the plan's budget saw it.

    Attributes
    ----------
    numbers : bytes
        ``(images, columns)`` whole numbers.
    texts : str
        JSON list of the ends that are no word of ``STATUSES``; these have negative
        numbers.
    """

    numbers: bytes
    texts: str = "[]"

    @classmethod
    def of(cls, rows: Sequence[ImageRow], budget: int) -> Page:
        """From rows of the store, of this budget or of a larger one."""
        texts: list[str] = []
        table = np.zeros((len(rows), _WIDTH), _TYPE)
        for line, row in zip(table, rows, strict=True):
            over = row.over(budget)
            status = row.status if over else OPEN
            if status in STATUSES:
                line[0] = STATUSES.index(status)
            else:
                if status not in texts:
                    texts.append(status)
                line[0] = -1 - texts.index(status)
            line[1], line[2] = (row.asked, row.need) if over else (budget, 0)
            for i, name in enumerate(SUCCESSES):
                if at := row.event(name, budget):
                    line[3 + 2 * i : 5 + 2 * i] = at, getattr(row, f"{name}_need")
        return cls(table.tobytes(), json.dumps(texts))


class Outcomes:
    """Pages of many jobs, one after another.

    Parameters
    ----------
    pages : sequence of Page
        None of them empty.
    """

    def __init__(self, pages: Sequence[Page]) -> None:
        joined = b"".join(page.numbers for page in pages)
        table = np.frombuffer(joined, _TYPE).reshape(-1, _WIDTH)
        self._columns = {name: table[:, i] for i, name in enumerate(_COLUMNS)}
        item = _WIDTH * np.dtype(_TYPE).itemsize
        self.sizes = np.array([len(page.numbers) // item for page in pages], int)
        status = self._columns["status"]
        self._over = status != STATUSES.index(OPEN)
        self._cut = status == STATUSES.index("misclassified")
        ends = np.cumsum(self.sizes)
        self._texts: list[tuple[slice, list[str]]] = []
        for page, end, size in zip(pages, ends, self.sizes, strict=True):
            if page.texts == "[]":
                continue
            texts, part = json.loads(page.texts), slice(end - size, end)
            self._texts.append((part, texts))
            for i, text in enumerate(texts):
                if text.startswith(_CUT):
                    self._cut[part] |= status[part] == -1 - i

    def __len__(self) -> int:
        return len(self._over)

    @property
    def crashed(self) -> int:
        """Images of which nothing is known but a crash."""
        return int(self._cut.sum())

    def crashes(self) -> Iterable[str]:
        """What attacks died of."""
        for _, texts in self._texts:
            yield from (text for text in texts if text.startswith(_CUT))

    def over(self, budget: int) -> np.ndarray:
        """Runs that had ended by themselves within a budget."""
        within = (self._columns["asked"] <= budget) & (self._columns["need"] <= budget)
        found: np.ndarray = self._over & within
        return found

    def asked(self, budget: int) -> np.ndarray:
        """Rows asked; the budget, where that ended the run."""
        return np.where(self.over(budget), self._columns["asked"], budget)

    def event(self, meaning: str, budget: int) -> np.ndarray:
        """Rows asked until a success that a budget would have seen, else 0."""
        if meaning == "broken":
            both = [self.event(name, budget) for name in ("confirmed", "clean")]
            return np.where(np.minimum(*both) > 0, np.maximum(*both), 0)
        at, need = self._columns[meaning], self._columns[f"{meaning}_need"]
        return np.where((at <= budget) & (need <= budget), at, 0)

    def counts(self, meaning: str, budget: int) -> QueryCount:
        """Queries until success, censored where a budget ended first."""
        at, cut = self.event(meaning, budget), self._cut & self.over(budget)
        known = np.where(cut, self._columns["asked"], budget)
        return QueryCount(np.where(at > 0, at, known), at > 0, cut)

    def status(self, budget: int) -> list[str]:
        """How each run ended."""
        codes = np.where(self.over(budget), self._columns["status"], 0)
        words = np.array(STATUSES, dtype=object)[np.maximum(codes, 0)]
        for part, texts in self._texts:
            for i, text in enumerate(texts):
                words[part][codes[part] == -1 - i] = text
        found: list[str] = words.tolist()
        return found
