"""One SQLite file of what was attacked: runs, and how each of their images ended."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from querytax.expect import DomainError
from querytax.files import digest_of

__all__ = ["OPEN", "VERSION", "ImageRow", "RunKey", "Store"]

# Version of the tables; changes with them, or with what a number in them means.
VERSION = 3
# Tells our files from other people's: "qtax".
_OURS = 0x71746178
# Seconds to wait for another process that writes.
_PATIENCE = 60.0

# The status of an image that a larger budget may bring further. All others are final.
OPEN = "open"


@dataclass(frozen=True)
class RunKey:
    """What a run is, but for its images and budget.

    Attributes
    ----------
    network : str
        Its fingerprint.
    site : str
        Where the noise is, in full; empty where there is none.
    sigma : float
    attack, recipe : str
    settings : str
        All settings of the plan but ``eps``, ``norm`` and ``name``, as JSON with
        sorted keys.
    eps : float
    norm : {"Linf", "L2"}
    access : {"scores", "top1", "labels"}
        What the attack is told.
    votes : int
    seed : int
    surrogate : str
        The fingerprint of the attacker's own network; empty without one.
    code : str
        What the code of the attack and of the defence is: what another version found
        is kept, and not believed.
    """

    network: str
    site: str
    sigma: float
    attack: str
    recipe: str
    settings: str
    eps: float
    norm: str
    access: str
    votes: int
    seed: int
    surrogate: str = ""
    code: str = ""


@dataclass(frozen=True)
class ImageRow:
    """How one image's run ended.

    Each of four meanings of success has the rows asked until then, and the least
    budget that would have shown it, which is more where a step's verification had to
    be paid for before it was asked. Both are 0 where there was no success.

    Attributes
    ----------
    image : str
        Its fingerprint.
    key : int
        The key of its draws.
    n_queries : int
        The budget.
    rest : int
        Rows beyond it in which a step that began within it could end.
    asked : int
        Rows asked.
    need : int
        The least budget that would have brought the run as far.
    status : str
        As in :class:`querytax.attacks.AttackResult`; all but ``open`` are final.
    noisy, submitted, confirmed, clean : int
    noisy_need, submitted_need, confirmed_need, clean_need : int
    """

    image: str
    key: int
    n_queries: int
    asked: int
    need: int
    status: str
    rest: int = 0
    noisy: int = 0
    noisy_need: int = 0
    submitted: int = 0
    submitted_need: int = 0
    confirmed: int = 0
    confirmed_need: int = 0
    clean: int = 0
    clean_need: int = 0

    def covers(self, n_queries: int, rest: int = 0) -> bool:
        """Whether this tells what a budget would have seen."""
        whole = self.n_queries + self.rest >= n_queries + rest
        return self.status != OPEN or (self.n_queries >= n_queries and whole)

    def over(self, n_queries: int, rest: int = 0) -> bool:
        """Whether the run had ended by itself within a budget."""
        within = self.asked <= n_queries and self.need <= n_queries + rest
        return self.status != OPEN and within

    def event(self, name: str, n_queries: int, rest: int = 0) -> int:
        """Rows asked until a success that this budget would have seen, else 0."""
        at: int = getattr(self, name)
        need: int = getattr(self, f"{name}_need")
        return at if at <= n_queries and need <= n_queries + rest else 0


_RUN = [field.name for field in dataclasses.fields(RunKey)]
_ROW = [field.name for field in dataclasses.fields(ImageRow)]
_TYPES = {"str": "TEXT", "float": "REAL", "int": "INTEGER"}
_CASTS: dict[str, Any] = {"str": str, "float": float, "int": int}
# The names of a row's values, and what makes plain Python of each.
_PLAIN = {
    kind: [(field.name, _CASTS[str(field.type)]) for field in dataclasses.fields(kind)]
    for kind in (RunKey, ImageRow)
}


def _columns(kind: type) -> str:
    return ", ".join(
        f'"{field.name}" {_TYPES[str(field.type)]} NOT NULL'
        for field in dataclasses.fields(kind)
    )


_RUN_NAMES = ", ".join(f'"{name}"' for name in _RUN)
_ROW_NAMES = ", ".join(f'"{name}"' for name in _ROW)
_TABLES = (
    f"CREATE TABLE runs (id INTEGER PRIMARY KEY, {_columns(RunKey)}, "
    f"UNIQUE ({_RUN_NAMES}))",
    # The seal is a digest of run and row: SQLite does not notice a flipped bit.
    f"CREATE TABLE counts (run INTEGER NOT NULL REFERENCES runs, {_columns(ImageRow)}, "
    'seal TEXT NOT NULL, PRIMARY KEY (run, "image", "key")) WITHOUT ROWID',
)
_FIND_RUN = "SELECT id FROM runs WHERE " + " AND ".join(f'"{n}" = ?' for n in _RUN)
_ADD_RUN = (
    f"INSERT OR IGNORE INTO runs ({_RUN_NAMES}) VALUES ({', '.join('?' * len(_RUN))})"
)
# A final row stays; an open one gives way to a larger budget.
_PUT = (
    f"INSERT INTO counts (run, {_ROW_NAMES}, seal) "
    f"VALUES ({', '.join('?' * (len(_ROW) + 2))}) ON CONFLICT DO UPDATE SET "
    + ", ".join(f'"{name}" = excluded."{name}"' for name in (*_ROW, "seal"))
    + f" WHERE counts.status = '{OPEN}' AND (excluded.n_queries, excluded.rest) "
    "> (counts.n_queries, counts.rest)"
)


class Store:
    """Runs and their images in one SQLite file, whole after any crash.

    Several processes may use one file at once; writers wait for each other. What one
    call writes is written altogether or not at all.

    Parameters
    ----------
    path : str or path, optional
        Made if there is none; None keeps everything in memory.

    Raises
    ------
    DomainError
        If the file cannot be opened and written to, or is not a store of this version.

    Examples
    --------
    >>> with Store() as store:
    ...     len(store)
    0
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else os.fspath(path)
        if self.path is not None and not self.path.strip():
            raise DomainError("expected store to be a path, got an empty one")
        with self._errors("opened"):
            # Transactions are begun by hand.
            self._db = sqlite3.connect(
                self.path or ":memory:", timeout=_PATIENCE, isolation_level=None
            )
        try:
            with self._errors("opened"):
                self._prepare()
        except BaseException as error:
            self.close()
            if self.path and isinstance(error.__cause__, sqlite3.OperationalError):
                _tidy(self.path)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        with self._errors("read"):
            (count,) = self._db.execute("SELECT count(*) FROM counts").fetchone()
        return int(count)

    def close(self) -> None:
        """Let go of the file; what was put is in it."""
        self._db.close()

    def runs(self) -> list[RunKey]:
        """All runs, in the order that they were first put."""
        with self._errors("read"), self._believing():
            found = self._db.execute(f"SELECT {_RUN_NAMES} FROM runs ORDER BY id")
            runs = [RunKey(*values) for values in found.fetchall()]
            return [RunKey(*_values(run)) for run in runs]

    def rows(self, run: RunKey) -> dict[tuple[str, int], ImageRow]:
        """A run's images, by their fingerprint and key.

        Raises
        ------
        DomainError
            If the file cannot be read, or holds what was not written so.
        """
        with self._errors("read"), self._believing():
            found = self._db.execute(
                f"SELECT {_ROW_NAMES}, seal FROM counts WHERE run = ({_FIND_RUN})",
                _values(run),
            ).fetchall()
            rows = [ImageRow(*values[:-1]) for values in found]
            own = _values(run)
            if [v[-1] for v in found] != [_seal(own, _values(row)) for row in rows]:
                raise ValueError("another seal")
        return {(row.image, row.key): row for row in rows}

    def has(self, run: RunKey, image: str, key: int) -> bool:
        """Whether something is known of an image in a run."""
        one = f'SELECT 1 FROM counts WHERE run = ({_FIND_RUN}) AND "image" = ? '
        with self._errors("read"):
            found = self._db.execute(
                f'{one} AND "key" = ?', (*_values(run), image, key)
            )
            return found.fetchone() is not None

    def put(self, run: RunKey, rows: Iterable[ImageRow]) -> None:
        """Write images of a run down, all of them or none.

        An image that is there already stays if its run is over for every budget, and
        else gives way to a larger budget alone.
        """
        own, values = _values(run), [_values(row) for row in rows]
        with self._errors("written"), self._writing() as db:
            db.execute(_ADD_RUN, own)
            (number,) = db.execute(_FIND_RUN, own).fetchone()
            db.executemany(_PUT, [(number, *v, _seal(own, v)) for v in values])

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; the lock is taken at once, so that it cannot fail midway.

        Inside of another one it is a part of that.
        """
        if self._db.in_transaction:
            yield self._db
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _believing(self) -> Iterator[None]:
        """What is no number, no text, or not what was sealed, is damage."""
        try:
            yield
        except (TypeError, ValueError, OverflowError):
            raise DomainError(
                f"expected store to be a whole file of trials, got {self.path!r}: "
                "damaged, its content is not what was written"
            ) from None

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, UnicodeDecodeError) as error:
            where = "memory" if self.path is None else self.path
            raise DomainError(
                f"expected store to be a file of trials that can be {what}, "
                f"got {where!r} ({error})"
            ) from error

    def _prepare(self) -> None:
        """The tables, made or recognised."""
        self._recognised()
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                # The change of mode does not wait for others by itself.
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > until:
                    raise
                time.sleep(0.01)
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        with self._writing() as db:
            if not self._recognised():
                for table in _TABLES:
                    db.execute(table)
                db.execute(f"PRAGMA application_id = {_OURS}")
                db.execute(f"PRAGMA user_version = {VERSION}")

    def _recognised(self) -> bool:
        """Whether the tables are there; False for an empty file."""
        one = (
            "SELECT (SELECT * FROM pragma_application_id), "
            "(SELECT * FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"
        )
        owner, version, tables = self._db.execute(one).fetchone()
        if (owner, version, tables) == (0, 0, 0):
            return False
        if owner != _OURS:
            raise DomainError(
                f"expected store to be a file of trials, got {self.path!r}, "
                "a database of something else"
            )
        if version != VERSION:
            raise DomainError(
                f"expected store to have version {VERSION}, got {self.path!r} of "
                f"version {version}"
            )
        return True


def _tidy(path: str) -> None:
    """Remove empty files that SQLite leaves beside one that it found no room for.

    While a lock keeps everybody else out, and nothing else is touched.
    """
    log, index = path + "-wal", path + "-shm"
    if not os.path.exists(index):
        return
    try:
        with contextlib.closing(
            sqlite3.connect(path, timeout=0.0, isolation_level=None)
        ) as db:
            # Before the first look: then no index is made anew.
            db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
            db.execute("BEGIN EXCLUSIVE")
            if not os.path.exists(log) or os.path.getsize(log) == 0:
                os.unlink(index)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(log)
    except (sqlite3.Error, sqlite3.Warning, OSError):
        pass


def _seal(run: tuple[Any, ...], row: tuple[Any, ...]) -> str:
    return digest_of(repr((run, row)).encode())[:16]


def _values(data: RunKey | ImageRow) -> tuple[Any, ...]:
    """Plain Python values: sqlite3 would keep a NumPy number as bytes."""
    return tuple(cast(getattr(data, name)) for name, cast in _PLAIN[type(data)])
