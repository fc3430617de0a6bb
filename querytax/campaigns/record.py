"""What a store knows of campaigns: their plans, and a page of each job done."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from querytax import expect
from querytax.campaigns.outcomes import Page
from querytax.campaigns.plan import Campaign
from querytax.expect import DomainError
from querytax.files import digest_of
from querytax.trials.store import ImageRow, RunKey, Store

__all__ = ["Done", "Record"]

# Changes with the tables below, or with what a page means.
FORM = 1
_TABLES = (
    "CREATE TABLE IF NOT EXISTS campaigns (name TEXT PRIMARY KEY, form INTEGER, "
    "plan TEXT, images TEXT, seal TEXT)",
    # A job that is left has no line.
    "CREATE TABLE IF NOT EXISTS campaign_jobs (campaign TEXT, place INTEGER, "
    '"key" TEXT, seconds REAL, numbers BLOB, texts TEXT, seal TEXT, '
    "PRIMARY KEY (campaign, place))",
)

# Fingerprint and key of a network's images, by its name.
Images = Mapping[str, Sequence[tuple[str, int]]]


class Done(NamedTuple):
    """A job that is done: its place among the jobs, what came of it, and its time."""

    place: int
    page: Page
    seconds: float


class Record(Store):
    """A store of trials that knows campaigns as well.

    One campaign at a time runs on a store; others may read, and races may write.

    Parameters
    ----------
    path : str or path, optional
        As for `querytax.trials.Store`.

    Raises
    ------
    DomainError
        If the file is not a store of this version, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__(path)
        try:
            with self._errors("opened"):
                if not self._has_campaigns():
                    with self._writing() as db:
                        for table in _TABLES:
                            db.execute(table)
                found = self._db.execute("SELECT form, name FROM campaigns").fetchall()
            for form, name in found:
                if form != FORM:
                    raise DomainError(
                        f"expected store to hold campaigns of form {FORM}, got "
                        f"{name!r} of form {form} in {self.path!r}"
                    )
        except BaseException:
            self.close()
            raise

    def _has_campaigns(self) -> bool:
        count = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'campaign%'"
        return bool(self._db.execute(count).fetchone()[0])

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other campaigns away while the block runs; a dead one keeps nobody away.

        Raises
        ------
        DomainError
            If one runs already.
        """
        if self.path is None:
            yield
            return
        # Not a lock of the store itself, which others may read and races write to.
        where = os.path.realpath(self.path) + "-campaign"
        try:
            with contextlib.closing(
                sqlite3.connect(where, timeout=0.0, isolation_level=None)
            ) as lock:
                try:
                    lock.execute("BEGIN EXCLUSIVE")
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                        raise DomainError(
                            "expected store to be free, got "
                            f"{self.path!r}, in use by another campaign"
                        ) from None
                    raise
                yield
        except sqlite3.Error as error:
            raise DomainError(
                f"expected to write beside the store {self.path!r}, got {error}"
            ) from None

    # -- plans ----------------------------------------------------------------------

    def names(self) -> list[str]:
        """The campaigns that were begun here."""
        with self._errors("read"):
            found = self._db.execute("SELECT name FROM campaigns ORDER BY name")
            return [name for (name,) in found]

    def begin(
        self, campaign: Campaign, images: Images, keys: Sequence[str]
    ) -> set[int]:
        """Write a campaign down, or take it up again.

        Jobs that were done under a plan of the same name and are jobs of this one stay
        done, wherever they stand now.

        Parameters
        ----------
        campaign : Campaign
            With its fields.
        images : mapping of str to sequence of (str, int)
            Fingerprint and key of each network's images.
        keys : sequence of str
            Of all jobs, in order.

        Returns
        -------
        set of int
            Places of the jobs that are done.
        """
        name, plan, seen = campaign.name, campaign.to_json(), json.dumps(images)
        places = {key: place for place, key in enumerate(keys)}
        with self._errors("written"), self._writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO campaigns VALUES (?, ?, ?, ?, ?)",
                (name, FORM, plan, seen, _seal(plan, seen)),
            )
            old = db.execute(
                'SELECT place, "key" FROM campaign_jobs WHERE campaign = ?', (name,)
            ).fetchall()
            if any(places.get(key) != place for place, key in old):
                # In two steps: two jobs may change places. What is no job any more is
                # kept as trials alone.
                gone = [(name, at) for at, key in old if key not in places]
                moved = [(-1 - places[k], name, at) for at, k in old if k in places]
                db.executemany(
                    "DELETE FROM campaign_jobs WHERE campaign = ? AND place = ?", gone
                )
                db.executemany(
                    "UPDATE campaign_jobs SET place = ? WHERE campaign = ? "
                    "AND place = ?",
                    moved,
                )
                db.execute(
                    "UPDATE campaign_jobs SET place = -1 - place WHERE campaign = ?",
                    (name,),
                )
        return {places[key] for _, key in old if key in places}

    def campaign(self, name: str = "") -> tuple[Campaign, Images]:
        """A campaign and the images of its networks; the only one without a name.

        Raises
        ------
        DomainError
            If there is none of the name, or there are several and none is named.
        """
        names = self.names()
        if not name:
            if len(names) != 1:
                there = ", ".join(map(repr, names)) or "none"
                raise DomainError(
                    f"expected a name of a campaign in {self.path!r}, which holds "
                    f"{there}, got none"
                )
            (name,) = names
        expect.one_of(names, campaign=name)
        with self._errors("read"), self._believing():
            plan, images, seal = self._db.execute(
                "SELECT plan, images, seal FROM campaigns WHERE name = ?", (name,)
            ).fetchone()
            if seal != _seal(plan, images):
                raise ValueError("another seal")
            return Campaign.from_json(plan), json.loads(images)

    # -- jobs -----------------------------------------------------------------------

    def known(self, run: RunKey, names: Sequence[tuple[str, int]]) -> list[ImageRow]:
        """Rows of these images, as far as they are there; none if the first is not."""
        if not self.has(run, *names[0]):
            return []
        rows = self.rows(run)
        return [rows[name] for name in names if name in rows]

    def done(
        self,
        campaign: str,
        key: str,
        done: Done,
        run: RunKey,
        rows: Sequence[ImageRow],
    ) -> None:
        """Write a job down: its rows and its page, both or nothing."""
        place, page, seconds = done
        seal = _seal(key, page.numbers, page.texts)
        with self._errors("written"), self._writing() as db:
            self.put(run, rows)
            db.execute(
                "INSERT OR REPLACE INTO campaign_jobs VALUES (?, ?, ?, ?, ?, ?, ?)",
                (campaign, place, key, seconds, page.numbers, page.texts, seal),
            )

    def pages(self, campaign: str, places: Sequence[int] | None = None) -> list[Done]:
        """The jobs that are done, in order; of some places, or of all.

        Raises
        ------
        DomainError
            If the file cannot be read, or holds what was not written so.
        """
        with self._errors("read"), self._believing():
            ask = (
                'SELECT place, "key", seconds, numbers, texts, seal FROM campaign_jobs '
                "WHERE campaign = ?"
            )
            if places is None:
                found = self._db.execute(
                    f"{ask} ORDER BY place", (campaign,)
                ).fetchall()
            else:
                one, own = f"{ask} AND place = ?", [(campaign, at) for at in places]
                found = [row for at in own for row in self._db.execute(one, at)]
            pages = []
            for place, key, seconds, numbers, texts, seal in found:
                if seal != _seal(key, numbers, texts):
                    raise ValueError("another seal")
                pages.append(Done(place, Page(numbers, texts), seconds))
        return pages


def _seal(*parts: str | bytes) -> str:
    whole = b"\0".join(p.encode() if isinstance(p, str) else p for p in parts)
    return digest_of(whole)[:16]
