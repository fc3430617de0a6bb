"""Where noise vanishes: a mode, a batch size, a type, an image of one colour."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from querytax.audits.chances import share_at_most
from querytax.audits.findings import Log
from querytax.audits.subject import (
    PANEL,
    Array,
    Spent,
    Subject,
    differ,
    in_training,
    is_loud,
    module_of,
    rows_differ,
    spread,
)

__all__ = ["look", "modes", "plain_images", "types"]

# Rows of a batch, and how often each is asked: a sound noise differs at once.
SIZES = {1: 12, 2: 8, 7: 4, 64: 2, 256: 2}
# Calls that must all be alike before a noise is said to be absent.
CALLS = 12
# Answers that tell how often two are alike.
_MANY = 256


def look(subject: Subject, log: Log, level: float) -> bool:
    """Find a way of asking in which there is noise; whether there is one."""
    seen: dict[int, tuple[bool, bool]] = {}
    skipped = []
    with subject.mode():
        for size in SIZES:
            try:
                seen[size] = _seen(subject, size)
            except Spent:
                skipped.append(size)
    fresh = [size for size, (calls, _) in seen.items() if calls]
    frozen = [size for size, (calls, rows) in seen.items() if rows and not calls]
    subject.frozen = tuple(frozen)
    if not fresh and not frozen:
        return _in_training(subject, log, level)
    subject.size = (fresh or frozen)[0]
    _commonest(subject, level)
    gather(subject)
    if not fresh:
        frozen_calls(subject, log)
        return True
    rule = "noise/absent-at-batch-size"
    # A batch's rows are as many answers, where noise is sound.
    bare = [
        size
        for size in seen
        if size not in fresh
        and size not in frozen
        and subject.chance_alike(SIZES[size] * size - 1) <= level
    ]
    if bare:
        listed = ", ".join(map(str, bare))
        log.found(
            rule,
            f"batches of {listed} were answered alike, row by row and "
            f"{SIZES[bare[0]]} times, to the last digit; those of {fresh[0]} were not",
            alike=listed,
            noisy=", ".join(map(str, fresh)),
            calls=SIZES[bare[0]],
            chance=subject.chance_alike(SIZES[bare[0]] * bare[0] - 1),
        )
    else:
        log.clear(rule, "noise in batches of " + ", ".join(map(str, fresh)))
    if skipped:
        log.skip(rule, f"budget: batches of {', '.join(map(str, skipped))}")
    return True


def frozen_calls(subject: Subject, log: Log) -> None:
    """Say that calls repeat, though their rows differ."""
    size = subject.frozen[0]
    log.found(
        "noise/repeats-every-call",
        f"one image, {size} times in a batch, is answered in different ways; the same "
        f"call again, {SIZES[size]} times in all, is answered by the same ones",
        calls=SIZES[size],
        batch_size=size,
        chance=0.0,
    )


def _commonest(subject: Subject, level: float) -> None:
    """Bound how often two answers to the image are alike, where there is noise."""
    size = subject.size
    try:
        with subject.mode():
            calls = [
                subject.ask(subject.repeated(size)) for _ in range(_MANY // size + 1)
            ]
    except Spent:
        return
    answers = np.concatenate(calls)
    counts = np.unique(answers, axis=0, return_counts=True)[1]
    subject.commonest = share_at_most(int(counts.max()), len(answers), level)


def gather(subject: Subject) -> None:
    """See whether many rows may be asked in one batch."""
    try:
        with subject.mode():
            alone = [subject.ask(subject.repeated(subject.size))[:1] for _ in range(8)]
            side = subject.ask(subject.repeated(PANEL))
    except Spent:
        return
    subject.together = is_loud(side) and rows_differ(side)
    # Frozen noise is one where questions come one by one.
    if differ(alone):
        subject.together &= is_loud(np.concatenate(alone))


def _seen(subject: Subject, size: int, model: Any = None) -> tuple[bool, bool]:
    """Whether calls differ, and whether the rows of one do."""
    x = subject.repeated(size)
    calls = [subject.ask(x, model) for _ in range(SIZES[size])]
    return differ(calls), rows_differ(calls[0])


def _in_training(subject: Subject, log: Log, level: float) -> bool:
    """Whether there is noise in training mode, of parts that are not torch's own."""
    if not isinstance(subject.model, nn.Module):
        return False
    try:
        twin = subject.copied(train=True)
        fresh = [size for size in (1, 7) if _seen(subject, size, twin)[0]]
    except Spent:
        return False
    except Exception as error:
        log.skip(
            "noise/absent-in-evaluation", f"no copy in training mode: {_of(error)}"
        )
        return False
    if not fresh:
        return False
    subject.size, subject.train = fresh[0], True
    _commonest(subject, level)
    gather(subject)
    if subject.chance_alike(SIZES[1] - 1) > level:
        return True
    log.found(
        "noise/absent-in-evaluation",
        f"{SIZES[1]} calls in evaluation mode were answered alike, to the last digit; "
        "in training mode they were not",
        calls=SIZES[1],
        chance=subject.chance_alike(SIZES[1] - 1),
    )
    return True


def modes(subject: Subject, log: Log, level: float) -> None:
    """Training mode, and gradients recorded or not."""
    x = subject.repeated(subject.size)
    if not isinstance(subject.model, nn.Module):
        log.skip("noise/absent-in-training", "no module: it has no modes")
    elif not subject.train:
        try:
            twin = subject.copied(train=True)
            calls = [subject.ask(x, twin) for _ in range(CALLS)]
            if not _absent(subject, calls, level):
                log.clear("noise/absent-in-training", "noise in training mode too")
            else:
                log.found(
                    "noise/absent-in-training",
                    f"{CALLS} calls in training mode were answered alike, to the last "
                    "digit; in evaluation mode they were not",
                    calls=CALLS,
                )
        except Spent:
            raise
        except Exception as error:
            log.skip("noise/absent-in-training", f"no copy: {_of(error)}")
    if isinstance(subject.model, nn.Module) and not subject.train:
        log.clear("noise/absent-in-evaluation", "noise in evaluation mode")
    ways = {"with gradients recorded": True, "in inference mode": False}
    for way, grad in ways.items():
        with torch.inference_mode(not grad):
            # What inference mode makes is no parameter: images of its own.
            try:
                calls = [subject.ask(x.clone(), grad=grad) for _ in range(CALLS)]
            except Spent:
                raise
            except Exception as error:
                log.skip("noise/absent-by-grad-mode", f"{way}: {_of(error)}")
                continue
        if not _absent(subject, calls, level):
            log.clear(
                "noise/absent-by-grad-mode",
                "noise with gradients recorded, without, and in inference mode",
            )
        else:
            log.found(
                "noise/absent-by-grad-mode",
                f"{CALLS} calls {way} were answered alike, to the last digit; without "
                "gradients they were not",
                calls=CALLS,
                way=way,
            )


def types(subject: Subject, log: Log, level: float) -> None:
    """Images in float16, bfloat16 and float64; the model in float64 and float16."""
    looked, skipped = [], []
    usual = subject.panel()
    fine = spread(usual) / max(float(np.abs(usual).max()), 1e-30)
    for dtype in (torch.float16, torch.float32, torch.float64):
        name = str(dtype).removeprefix("torch.")
        x = subject.repeated(subject.size).to(dtype)
        for whose in ("images", "model"):
            twin = subject.model
            try:
                if whose == "model":
                    module = module_of(subject.model)
                    if module is None or dtype == torch.float32:
                        continue
                    twin = copy.deepcopy(subject.model).to(dtype)
                    if subject.train:
                        in_training(twin)
                calls = [subject.ask_as_is(x, twin) for _ in range(CALLS)]
            except Spent:
                raise
            except Exception as error:
                skipped.append(f"{whose} in {name} ({_of(error)})")
                continue
            if fine <= 2 * torch.finfo(dtype).eps:
                skipped.append(f"{whose} in {name} (noise is below its rounding)")
            elif not _absent(subject, calls, level):
                looked.append(f"{whose} in {name}")
            else:
                log.found(
                    "noise/absent-at-dtype",
                    f"{CALLS} calls with {whose} in {name} were answered alike, to the "
                    "last digit",
                    calls=CALLS,
                    dtype=name,
                    whose=whose,
                )
    if looked:
        log.clear("noise/absent-at-dtype", "noise with " + ", ".join(looked))
    if skipped:
        log.skip("noise/absent-at-dtype", "left out: " + "; ".join(skipped))


def plain_images(subject: Subject, log: Log, level: float) -> None:
    """Images of one colour, the ends of [0, 1] among them, and of these two alone."""
    x = subject.repeated(subject.size)
    kinds = {
        "black (all 0)": torch.zeros_like(x),
        "white (all 1)": torch.ones_like(x),
        "gray (all 0.5)": torch.full_like(x, 0.5),
        "its black and white": (x > 0.5).to(x.dtype),
    }
    found = {}
    for name, images in kinds.items():
        calls = [subject.ask(images) for _ in range(CALLS)]
        found[name] = _absent(subject, calls, level)
        log.measures[f"noise at {name}"] = spread(np.stack(calls)[:, 0])
    bare = [name for name, alike in found.items() if alike]
    if bare:
        log.found(
            "noise/absent-at-constant-images",
            f"{CALLS} calls with an image that is {bare[0]} were answered alike, to "
            "the last digit; others were not",
            images=", ".join(bare),
            calls=CALLS,
        )
    else:
        log.clear("noise/absent-at-constant-images", "noise at " + ", ".join(kinds))


def _absent(subject: Subject, calls: list[Array], level: float) -> bool:
    """Whether calls were answered alike, as sound noise hardly ever is."""
    return not differ(calls) and subject.chance_alike(len(calls) - 1) <= level


def _of(error: Exception) -> str:
    line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {line[:80]}"
