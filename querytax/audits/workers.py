"""What other processes answer: forked ones, and ones that are started anew."""

from __future__ import annotations

import importlib
import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from querytax.audits.subject import Array, Budget, Subject, in_training
from querytax.models import as_model, evaluating

__all__ = ["NotThere", "forked", "main", "restarted"]

# Seconds that a worker has.
_PATIENCE = 120.0


class NotThere(Exception):
    """A process cannot be had, and why."""


def forked(subject: Subject, n: int) -> Array:
    """n answers of a forked process, whose noise is where this one's is.

    Raises
    ------
    NotThere
        Where nothing can be forked, or the worker does not answer.
    """
    if sys.platform != "linux" or torch.cuda.is_initialized():
        raise NotThere("forks of torch want Linux and no GPU")
    here, there = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if not child:
        # Whatever happens, the child must not go on as this process.
        try:
            torch.set_num_threads(1)
            there.send_bytes(pickle.dumps(subject.panel(n=n)))
        finally:
            os._exit(0)
    there.close()
    try:
        if not here.poll(_PATIENCE):
            os.kill(child, 9)
            raise NotThere(f"no answer in {_PATIENCE:g} s")
        found: Array = pickle.loads(here.recv_bytes())
    except EOFError:
        raise NotThere("the worker ended without an answer") from None
    finally:
        here.close()
        os.waitpid(child, 0)
    return found


def restarted(subject: Subject, n: int, source: str | None) -> Array:
    """n answers of a process that is started now.

    It builds the model by ``source``, ``package.module:function``, or loads its pickle.

    Raises
    ------
    NotThere
        Where the model cannot be made there.
    """
    task: dict[str, Any] = {
        "path": sys.path,
        "source": source,
        "image": subject.image.detach().cpu().numpy(),
        "size": subject.size,
        "train": subject.train,
        "together": subject.together,
        "n": n,
    }
    if source is None:
        held = io.BytesIO()
        try:
            if type(subject.model).__module__ == "__main__":
                raise NotThere("its class is in the script that runs")
            pickle.dump(subject.model, held)
        except NotThere:
            raise
        except Exception as error:
            raise NotThere(f"no pickle, and no source told: {_of(error)}") from None
        task["pickle"] = held.getvalue()
    with tempfile.TemporaryDirectory(prefix="querytax-audit-") as folder:
        given, answered = Path(folder, "task"), Path(folder, "answer.npy")
        given.write_bytes(pickle.dumps(task))
        code = (
            "from querytax.audits.workers import main; import sys; main(*sys.argv[1:])"
        )
        try:
            done = subprocess.run(
                [sys.executable, "-c", code, str(given), str(answered)],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotThere(f"no answer in {_PATIENCE:g} s") from None
        if done.returncode or not answered.exists():
            last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            raise NotThere(f"the new process failed: {last[:120]}")
        found: Array = np.load(answered, allow_pickle=False)
    return found


def main(given: str, answered: str) -> None:
    """In the new process: make the model, ask it, and write down what it says."""
    torch.set_num_threads(1)
    # Written by the process that started this one, in a folder of its own.
    task: dict[str, Any] = pickle.loads(Path(given).read_bytes())
    sys.path[:] = task["path"]
    if task["source"]:
        model = built(task["source"])
    else:
        model = pickle.loads(task["pickle"])
    image = torch.from_numpy(task["image"])
    if isinstance(model, nn.Module):
        model.to("cpu")
    subject = Subject(as_model(model, image), image, Budget(2**62))
    subject.size, subject.train = task["size"], task["train"]
    subject.together = task["together"]
    with evaluating(subject.model):
        if subject.train:
            in_training(subject.model)
        np.save(answered, subject.panel(n=task["n"]))


def built(source: str) -> Any:
    """The model that ``package.module:function`` returns, or that it is."""
    module, _, name = source.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found = getattr(importlib.import_module(module), name)
    return found if isinstance(found, nn.Module) else found()


def _of(error: Exception) -> str:
    line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {line[:80]}"
