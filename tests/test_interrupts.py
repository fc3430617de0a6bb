"""Ctrl-C that is heard wherever it falls: in callbacks, finalisers and wide excepts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from querytax import interrupts
from querytax.files import atomic_write
from querytax.progress import Pace, progress


def interrupt():
    """As from a terminal; what runs on after it is lost."""
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass


@ctypes.CFUNCTYPE(None)
def callback():
    interrupt()


class Finalised:
    def __del__(self):
        interrupt()


def caught():
    with contextlib.suppress(BaseException):
        interrupt()


@contextlib.contextmanager
def interrupted():
    """A command that shall end as one that was interrupted."""
    with pytest.raises(KeyboardInterrupt), interrupts.heard():
        yield


PLACES = {"callback": callback, "finaliser": Finalised, "wide except": caught}


def write(tmp_path):
    with atomic_write(tmp_path / "file") as stream:
        stream.write(b"whole")


def show(tmp_path):
    with progress(False) as bars:
        bars.update(bars.add("work", 10), 1)


def begin(tmp_path):
    with progress(False) as bars:
        Pace(bars, "work", 10).begin(1)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "step", [write, show, begin, lambda _: interrupts.check(), lambda _: None]
)
def test_what_was_lost_is_heard_at_the_next_step(place, step, tmp_path, capfd):
    """Where a file would be written, where a bar moves, and at the end."""
    with interrupted():
        PLACES[place]()
        step(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


def test_an_error_that_follows_a_lost_one_is_no_error():
    with interrupted():
        callback()
        raise RuntimeError("no compiled object yet")
    with pytest.raises(RuntimeError), interrupts.heard():
        raise RuntimeError


@pytest.mark.parametrize("place", ["callback", "finaliser"])
def test_work_that_shows_nothing_hears_it_too(place):
    start = time.monotonic()
    with interrupted():
        PLACES[place]()
        while time.monotonic() < start + 30:
            pass
    assert time.monotonic() < start + 10


def test_one_that_arrives_is_one_interrupt(tmp_path):
    with interrupts.heard():
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        interrupts.answered()
        write(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_nothing_stays_behind(capsys):
    hook = sys.unraisablehook
    with interrupted():
        callback()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert sys.unraisablehook is hook
    # Nor does one that was about to be raised again.
    time.sleep(0.2)
    interrupts.check()


def test_other_errors_of_callbacks_are_still_said(monkeypatch):
    said = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: said.append(what.exc_type))

    @ctypes.CFUNCTYPE(None)
    def broken():
        raise ValueError

    with interrupts.heard():
        broken()
    assert said == [ValueError]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_who_ignores_or_handles_interrupts_still_does(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        with interrupts.heard():
            assert signal.getsignal(signal.SIGINT) is handler
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_go_on():
    """A lost interrupt is the main thread's; theirs ends when it says so."""
    ended = []

    def work():
        with interrupts.heard():
            interrupts.check()
        ended.append(True)

    with interrupted():
        caught()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert ended


COMPILING = """
import os, signal
from numba.core.codegen import JITCodeLibrary

compiled = JITCodeLibrary._object_compiled_hook.__func__

def hook(cls, module, buffer):
    # While LLVM works, a signal waits for the first step of Python: here.
    os.kill(os.getpid(), signal.SIGINT)
    compiled(cls, module, buffer)

JITCodeLibrary._object_compiled_hook = classmethod(hook)
from querytax.cli import main
main(prog_name="querytax")
"""


@pytest.mark.parametrize(
    "words",
    [
        ["validate", "rfd-2024/f11", "-o", "out"],
        ["validate", "--paper", "rfd-2024", "-o", "out", "--evidence", "e.json"],
        ["simulate", "misstep.random_direction", "snr=0.5", "--relative", "0.01"],
    ],
)
def test_one_that_falls_into_the_compiling_of_a_kernel(words, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(COMPILING), *words],
        cwd=tmp_path,
        env={**os.environ, "QUERYTAX_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 130, (ran.stdout, ran.stderr)
    assert "interrupted" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "out" / "ledger.json").exists()
