"""The store: whole, exact, and no stranger's file."""

import dataclasses
import math
import os
import sqlite3
import subprocess
import threading

import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.trials.store import VERSION, ImageRow, RunKey, Store, _tidy

RUN = RunKey(
    network="n",
    site="input",
    sigma=0.1 + 0.2,
    attack="square",
    recipe="adaptive",
    settings='{"p":0.3}',
    eps=8 / 255,
    norm="Linf",
    access="scores",
    votes=9,
    seed=2**63 - 1,
)


def row(key=0, n_queries=50, status="open", **more):
    return ImageRow("i", key, n_queries, 40, 45, status, **more)


def only(store, run=RUN):
    (found,) = store.rows(run).values()
    return found


@pytest.mark.parametrize("sigma", [0.1 + 0.2, math.pi * 1e-12, 5e-324, 1.7e308, 0.0])
def test_values_come_back_exactly(tmp_path, sigma):
    run = dataclasses.replace(RUN, sigma=sigma)
    put = row(2**32 - 1, confirmed=3, confirmed_need=12, noisy=2, noisy_need=11)
    with Store(tmp_path / "s.db") as store:
        store.put(run, [put])
    with Store(str(tmp_path / "s.db")) as store:
        assert store.runs() == [run]
        assert store.rows(run) == {("i", 2**32 - 1): put}


def test_numpy_numbers_are_kept_as_numbers():
    run = dataclasses.replace(RUN, sigma=np.float64(0.3), seed=np.int64(4))
    put = ImageRow("i", np.int64(7), np.int32(50), np.int64(1), np.int64(2), "open")
    with Store() as store:
        store.put(run, [put])
        assert store.rows(dataclasses.replace(RUN, sigma=0.3, seed=4)) == {
            ("i", 7): ImageRow("i", 7, 50, 1, 2, "open")
        }


def test_runs_that_differ_in_anything_are_different():
    with Store() as store:
        for field in dataclasses.fields(RUN):
            value = getattr(RUN, field.name)
            other = value + "x" if isinstance(value, str) else value / 2
            if isinstance(value, int):
                other = value - 1
            store.put(dataclasses.replace(RUN, **{field.name: other}), [row()])
        assert store.rows(RUN) == {}
        assert len(store.runs()) == len(store) == len(dataclasses.fields(RUN))


def test_an_open_image_gives_way_to_a_larger_budget_alone():
    with Store() as store:
        store.put(RUN, [row(n_queries=50)])
        store.put(RUN, [row(n_queries=20, status="ended")])
        assert only(store) == row(n_queries=50)
        store.put(RUN, [row(n_queries=90, noisy=4)])
        assert only(store) == row(n_queries=90, noisy=4)


@pytest.mark.parametrize("status", ["broken", "ended", "crashed: boom", "no start"])
def test_an_image_whose_run_is_over_stays(status):
    with Store() as store:
        store.put(RUN, [row(status=status)])
        store.put(RUN, [row(n_queries=500)])
        assert only(store) == row(status=status)
        assert only(store).covers(10**9)


def test_a_batch_is_written_altogether_or_not_at_all(tmp_path):
    def failing():
        yield row(1)
        raise RuntimeError("half way")

    with Store(tmp_path / "s.db") as store:
        with pytest.raises(RuntimeError):
            store.put(RUN, failing())
        assert len(store) == 0
        assert store.runs() == []
        store.put(RUN, [row(1), row(2)])
        assert len(store) == 2


def test_many_writers_lose_nothing(tmp_path):
    """Each opens the file for itself, the first time all at once."""
    errors = []

    def write(writer):
        try:
            for k in range(10):
                with Store(tmp_path / "s.db") as store:
                    store.put(RUN, [row(100 * writer + k), row(10**6, n_queries=k + 1)])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(w,)) for w in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with Store(tmp_path / "s.db") as store:
        rows = store.rows(RUN)
    assert len(rows) == 61
    assert rows["i", 10**6].n_queries == 10


def test_it_waits_without_loss_in_the_right_modes(tmp_path):
    with Store(tmp_path / "s.db") as store:
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._db.execute("PRAGMA synchronous").fetchone() == (1,)


def test_files_that_are_no_store_are_refused_and_left_alone(tmp_path):
    text, other, later = (tmp_path / name for name in ("a.txt", "b.db", "c.db"))
    text.write_text("not a database, but long enough to be taken for one " * 40)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE runs (id INTEGER)")
    db.close()
    Store(later).close()
    with sqlite3.connect(later) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    (tmp_path / "folder").mkdir()
    for path, message in (
        (text, "not a database"),
        (other, "a database of something else"),
        (later, f"version {VERSION + 1}"),
        (tmp_path / "folder", "unable to open"),
        (tmp_path / "missing" / "s.db", "unable to open"),
    ):
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(DomainError, match=message) as caught:
            Store(path)
        assert str(caught.value).startswith("expected store to ")
        assert "\n" not in str(caught.value)
        assert before == (path.read_bytes() if path.is_file() else None)
    with pytest.raises(DomainError, match="empty"):
        Store("")


def test_a_write_that_fails_later_is_one_line(tmp_path):
    store = Store(tmp_path / "s.db")
    store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(DomainError, match="can be written"):
        store.put(RUN, [row()])
    store.close()
    with pytest.raises(DomainError, match="can be read"):
        store.rows(RUN)


def test_a_number_that_nobody_wrote_is_seen(tmp_path):
    path = tmp_path / "s.db"
    with Store(path) as store:
        store.put(RUN, [row(), row(key=1)])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE counts SET clean = 7 WHERE key = 1")
    with (
        Store(path) as store,
        pytest.raises(DomainError, match="damaged, its content is not what was"),
    ):
        store.rows(RUN)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root alone")
@pytest.mark.parametrize("size", [4, 8, 16, 24, 48])
def test_a_full_disk_is_one_line_and_leaves_nothing_beside_it(tmp_path, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk may be mounted here")
    try:
        with pytest.raises(DomainError, match=r"full|I/O") as caught:
            Store(disk / "s.db")
        assert "\n" not in str(caught.value)
        assert [path.name for path in disk.iterdir()] == ["s.db"]
        subprocess.run(["mount", "-o", "remount,size=2m", str(disk)], check=True)
        # What there is goes on as a store where there is room again.
        with Store(disk / "s.db") as store:
            store.put(RUN, [row()])
        with Store(disk / "s.db") as store:
            assert only(store) == row()
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_files_of_others_are_never_tidied(tmp_path):
    """A stranger's log and index stay where they are."""
    path = tmp_path / "b.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE runs (id INTEGER)")
    with pytest.raises(DomainError, match="something else"):
        Store(path)
    names = {one.name for one in tmp_path.iterdir()}
    assert names == {"b.db", "b.db-wal", "b.db-shm"}
    _tidy(str(path))
    assert {one.name for one in tmp_path.iterdir()} == names
    db.close()
