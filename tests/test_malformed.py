"""A thousand malformed words, files, models and data, by a seeded generator.

Each ends in an answer or in one line: no traceback, no file left half written, none
hangs, and all together stay small.
"""

import json
import os
import resource
import sys
import time

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from synthetic_statistics import synthetic

import querytax as qt
from querytax.cli import main
from querytax.expect import DomainError
from querytax.files import write_arrays
from querytax.statistics import ModelStatistics
from querytax.trials.store import ImageRow, RunKey, Store

SECONDS, GIBIBYTE = 10.0, 1 << 30
WORDS = (
    *("", " ", "-", "--", "nan", "inf", "-inf", "1e400", "-1", "0", "0.0", "1e-320"),
    *("9" * 25, "-" + "9" * 25, "1,2", "1/0", "8/255", "50%", "%", "[]", "{}", "[1"),
    *("[true]", "[null]", '["a"]', "[[1],[2,3]]", "None", "true", "a=b", "=", "a=b=c"),
    *("..", "/", "/dev/null", "/dev/full", "/proc/self/mem", "\x1b[2J"),
    *(
        "\u202e",
        "é" * 300,
        "x" * 300,
        "💥",
        "a.b:c",
        "os:getcwd",
        "math:pi",
        "sys:exit",
    ),
    *("tiny:load", "tiny:broken", "tiny:raises", "val.npz", "stats.npz", "rec.json"),
    *("output", "input", "output:logits", "1", "nope", "input+input", "input*0", "*"),
    *("best", "nes", "square", "published", "all", "L2", "Linf", "labels", "scores"),
)
TINY = """
import torch

def load():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))

broken = torch.nn.Linear(7, 3)

def raises():
    raise ValueError("not today")
"""


def rng_of(case):
    return np.random.default_rng([20_261_130, case])


@pytest.fixture(scope="module")
def start():
    """What the process had before: the tests of other files count for nothing."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    (tmp_path / "tiny.py").write_text(TINY)
    x = rng.random((8, 1, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "val.npz", x=x, y=np.arange(8) % 3)
    synthetic().save(tmp_path / "stats.npz")
    (tmp_path / "rec.json").write_text('{"recommendations": [{}]}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sys.modules.pop("tiny", None)
    yield tmp_path
    sys.modules.pop("tiny", None)


class Judge:
    """Counts what is allowed, and says what is not."""

    def __init__(self, folder):
        self.folder, self.faults = folder, []

    def hears(self, what, call):
        begun = time.monotonic()
        try:
            call()
        except DomainError as error:
            if "\n" in str(error):
                self.faults.append(f"{what}: more than a line: {error}")
        except Exception as error:
            self.faults.append(f"{what}: {type(error).__name__}: {error}"[:300])
        if time.monotonic() - begun > SECONDS:
            self.faults.append(f"{what}: {time.monotonic() - begun:.0f} s")
        for path in self.folder.rglob("*.part"):
            self.faults.append(f"{what}: left {path.name}")
            path.unlink()

    def agree(self, start):
        assert not self.faults, "\n".join(self.faults)
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)
        assert grown < GIBIBYTE


# -- words ------------------------------------------------------------------------

COMMANDS = {
    "eval": (["misstep.random_direction", "query_ratio.best_step"], ["{}", "snr={}"]),
    "simulate": (
        ["misstep.random_direction"],
        ["snr={}", "--samples {}", "--relative {}", "--resume {}", "--seed {}"],
    ),
    "show": (["{}"], ["{}"]),
    "recommend": (
        ["stats.npz", "{}"],
        [
            *("--target-queries {}", "--target-queries 1e4", "--protect {}"),
            *("--site {}", "--attacker {}", "--max-accuracy-loss {}", "--eps {}"),
            *("--access {}", "--base-queries {}", "--probe {}", "--pairs {}"),
        ],
    ),
    "probe": (
        ["tiny:load", "{}"],
        [
            *("--data {}", "--data val.npz", "-o {}", "--site {}", "--eps {}"),
            *("--norm {}", "--images {}", "--images 2", "--directions {}"),
            *("--batch-size {}", "--device {}", "--seed {}"),
        ],
    ),
    "attack": (
        ["tiny:load", "{}"],
        [
            *("--data {}", "--data val.npz", "--attack {}", "--set {}", "--eps {}"),
            *("--queries 40", "--queries {}", "--images {}", "--votes {}", "--plan {}"),
            *("--sigma {}", "--site {}", "--recipe {}", "--access {}", "--norm {}"),
        ],
    ),
    "sites": (["tiny:load", "{}"], ["--shape {}", "--data {}", "--shape 1,4,4"]),
    "figures": (["{}"], ["-o {}", "--list"]),
    "validate": (["{}"], ["--evidence {}", "--tier {}", "--seed {}", "-o {}"]),
    "reproduce": (["{}"], ["--scale {}", "-o {}"]),
}


def command_line(rng):
    name = rng.choice(list(COMMANDS))
    heads, options = COMMANDS[name]
    words = [name, rng.choice(heads)]
    for option in rng.permutation(options)[: rng.integers(0, 6)]:
        words += str(option).split(" ")
    if name == "attack" and "--queries" not in words:
        words += ["--queries", "40"]
    if name == "probe" and "-o" not in words:
        words += ["-o", "out.npz"]
    words = [str(w).replace("{}", str(rng.choice(WORDS)), 1) for w in words]
    if words[:2] in (["reproduce", "all"], ["figures", "all"], ["validate", "all"]):
        # Nothing is wrong with these, and they take hours.
        words[1] = "everything"
    return [*words, "--json"] if rng.random() < 0.5 else words


@pytest.mark.filterwarnings("ignore:the model is right on")
@pytest.mark.parametrize("part", range(4))
def test_words(part, folder, start):
    judge = Judge(folder)
    for case in range(100 * part, 100 * (part + 1)):
        words = command_line(rng_of(case))

        def call(words=words):
            result = CliRunner().invoke(main, words)
            if result.exception and not isinstance(result.exception, SystemExit):
                raise result.exception
            assert result.exit_code in (0, 1, 2, 3, 4, 5), result.exit_code

        judge.hears(f"case {case} {words}", call)
    judge.agree(start)


# -- files ------------------------------------------------------------------------


def damaged(data, rng):
    """Cut, flipped, doubled, overwritten, or something else altogether."""
    data = bytearray(data)
    how = rng.integers(6)
    if how == 0:
        return bytes(data[: rng.integers(len(data))])
    if how == 1:
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        return bytes(data)
    if how == 2:
        at = rng.integers(len(data))
        return bytes(data[:at] + data[at // 2 :])
    if how == 3:
        at, size = rng.integers(len(data)), rng.integers(1, 200)
        data[at : at + size] = rng.bytes(size)
        return bytes(data)
    if how == 4:
        return rng.bytes(rng.integers(0, 300))
    return rng.choice([b"", b"[]", b"{}", b"null", b"PK\x03\x04", b"[" * 5000])


def rewritten(path, rng):
    """Sealed anew around numbers that cannot be."""
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files if key != "sha256"}
    name = rng.choice([key for key in arrays if key != "head"])
    value = arrays[name]
    how = rng.integers(5)
    if how == 0 and value.size:
        value = value.astype(float)
        value.flat[rng.integers(value.size)] = rng.choice([np.nan, np.inf, -1.0, 1e300])
    elif how == 1:
        value = value[..., :-1]
    elif how == 2:
        value = value.astype(str)
    elif how == 3:
        value = value.ravel()
    else:
        other = rng.choice([key for key in arrays if key != "head"])
        value = arrays[other]
    if rng.random() < 0.2:
        del arrays[name]
    else:
        arrays[name] = value
    write_arrays(path, arrays)


@pytest.mark.parametrize("part", range(3))
def test_files(part, folder, start):
    judge = Judge(folder)
    stats = (folder / "stats.npz").read_bytes()
    run = RunKey(
        *("n", "input", 0.1, "square", "adaptive", "{}", 0.1, "Linf", "scores", 9, 0)
    )
    with Store(folder / "s.db") as store:
        store.put(run, [ImageRow("i", k, 50, 40, 45, "open") for k in range(20)])
    rows = (folder / "s.db").read_bytes()
    words = "simulate misstep.random_direction snr=0.5 --samples 1e3 --resume r"
    CliRunner().invoke(main, words.split(" "))
    resume = (folder / "r").read_bytes()
    rec = qt.recommend_sigma(ModelStatistics.load("stats.npz"), 1e4)
    told = json.dumps(rec.to_json()).encode()
    for case in range(100 * part, 100 * (part + 1)):
        rng = rng_of(case)
        kind = case % 5
        path = folder / f"broken{kind}"
        if kind == 0:
            path.write_bytes(damaged(stats, rng))
            judge.hears(f"case {case}", lambda path=path: ModelStatistics.load(path))
        elif kind == 1:
            path.write_bytes(stats)
            rewritten(path, rng)

            def asked(path=path):
                answer = qt.recommend_sigma(ModelStatistics.load(path), 1e4)
                assert answer.status not in ("FEASIBLE", "NO_NOISE_NEEDED")

            judge.hears(f"case {case}", asked)
        elif kind == 2:
            path.write_bytes(damaged(rows, rng))

            def opened(path=path):
                with Store(path) as store:
                    [store.rows(one) for one in store.runs()]

            judge.hears(f"case {case}", opened)
            for more in ("-wal", "-shm"):
                path.with_name(path.name + more).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        elif kind == 3:
            path.write_bytes(damaged(resume, rng))
            words = ["simulate", "misstep.random_direction", "snr=0.5"]
            words += ["--samples", "1e3", "--resume", str(path)]

            def resumed(words=words):
                result = CliRunner().invoke(main, words)
                if result.exception and not isinstance(result.exception, SystemExit):
                    raise result.exception

            judge.hears(f"case {case}", resumed)
        else:
            data = damaged(told, rng)
            judge.hears(
                f"case {case}",
                lambda data=data: qt.Recommendation.from_json(
                    data.decode(errors="replace")
                ),
            )
    judge.agree(start)


# -- models and data --------------------------------------------------------------


class Odd(torch.nn.Module):
    """A linear network whose answer is spoilt in some way."""

    def __init__(self, how, dtype):
        super().__init__()
        self.layer = torch.nn.Linear(16, 3).to(dtype)
        self.how = how
        torch.nn.init.normal_(self.layer.weight, generator=torch.Generator())

    def forward(self, x):
        z = self.layer(x.flatten(1))
        return self.how(z, x)


def _raises(z, x):
    raise RuntimeError("the model failed\nin two lines")


ANSWERS = (
    lambda z, x: z,
    lambda z, x: z.softmax(1),
    lambda z, x: z.sigmoid(),
    lambda z, x: z * float("nan"),
    lambda z, x: torch.where(z > 0, float("inf"), z),
    lambda z, x: z[0],
    lambda z, x: z[:, 0],
    lambda z, x: z[:, :1],
    lambda z, x: z[:-1],
    lambda z, x: z.unsqueeze(0),
    lambda z, x: z.argmax(1),
    lambda z, x: (z, z),
    lambda z, x: {"logits": z},
    lambda z, x: {"other": z, "thing": z},
    lambda z, x: [],
    lambda z, x: None,
    lambda z, x: "a word",
    lambda z, x: z.detach().numpy(),
    lambda z, x: z.tolist(),
    lambda z, x: z.to(torch.complex64),
    lambda z, x: z.to(torch.int64),
    lambda z, x: z > 0,
    lambda z, x: z.detach(),
    lambda z, x: z * 0,
    lambda z, x: z * 1e30,
    lambda z, x: z + torch.randn_like(z),
    lambda z, x: z.repeat(1, 1000),
    lambda z, x: torch.empty(len(z), 0),
    lambda z, x: x,
    _raises,
)
IMAGES = (
    lambda x: x,
    lambda x: x * 255,
    lambda x: (x * 255).byte(),
    lambda x: -x,
    lambda x: x * float("nan"),
    lambda x: x.double(),
    lambda x: x.half(),
    lambda x: x.permute(0, 2, 3, 1),
    lambda x: x.repeat(1, 3, 1, 1),
    lambda x: x[0],
    lambda x: x[:0],
    lambda x: x[..., :0],
    lambda x: x.flatten(1),
    lambda x: x.flatten(),
    lambda x: x.numpy(),
    lambda x: x.tolist(),
    lambda x: None,
    lambda x: "images",
    lambda x: 3,
    lambda x: x.requires_grad_(),
    lambda x: x > 0.5,
    lambda x: x.to(torch.complex64),
    lambda x: x.to_sparse(),
    lambda x: x.expand(8, 1, 4, 4)[::2],
)
LABELS = (
    lambda y: y,
    lambda y: y + 5,
    lambda y: -y,
    lambda y: y.float(),
    lambda y: y.float() + 0.5,
    lambda y: y[:, None],
    lambda y: torch.nn.functional.one_hot(y),
    lambda y: y.tolist(),
    lambda y: y.numpy(),
    lambda y: y[:-1],
    lambda y: y[:0],
    lambda y: y[0],
    lambda y: 3,
    lambda y: None,
    lambda y: "labels",
    lambda y: [str(one) for one in y.tolist()],
    lambda y: y > 0,
    lambda y: y * 10**18,
    lambda y: torch.stack([y, y]),
)
NUMBERS = (0, -1, 1, 0.1, 8, 1e30, 10**30, float("nan"), float("inf"), "a", None, True)
QUICK = {"n_probe": 2, "n_directions": 2, "n_draws": 2, "betas": (0.01, 0.1)}


def guarded_answer(model, site, sigma, x):
    """What a model raises when its defence is asked is its own affair."""
    try:
        return qt.defend(model, site, sigma)(x)
    except RuntimeError as error:
        if "the model failed" not in str(error):
            raise


def odd_call(rng):
    """One call of the public rooms with one to three things wrong."""
    dtypes = (torch.float32, torch.float32, torch.float64, torch.float16)
    wrong = rng.permutation(4)[: rng.integers(1, 3)]

    def one(options, at):
        return options[rng.integers(len(options))] if at in wrong else options[0]

    model = Odd(one(ANSWERS, 0), dtypes[rng.integers(4)] if 0 in wrong else dtypes[0])
    x = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = model.layer.float()(x.flatten(1)).argmax(1)
    model.layer.to(dtypes[0] if 0 not in wrong else model.layer.weight.dtype)
    images, labels = one(IMAGES, 1)(x), one(LABELS, 2)(y)
    site = str(rng.choice(["input", "output", "layer", "nope", "output:logits:raw"]))
    number = NUMBERS[rng.integers(len(NUMBERS))]
    name = str(rng.choice(["eps", "batch_size", "n_queries", "rng", "sigma"]))
    given = {name: number} if 3 in wrong else {}
    eps = given.pop("eps", 0.1)
    seed, size = given.pop("rng", 0), given.pop("batch_size", 4)
    queries, sigma = given.pop("n_queries", 40), given.pop("sigma", 0.1)
    if isinstance(queries, (int, float)) and 1000 < queries < float("inf"):
        queries = 40
    room = rng.integers(4)
    if room == 0:
        return lambda: qt.probe(
            model,
            images,
            labels,
            sites=[site],
            eps=eps,
            batch_size=size,
            rng=seed,
            **QUICK,
        )
    if room == 1:
        return lambda: qt.attack(
            qt.defend(model, "input", sigma),
            images,
            labels,
            "square",
            eps=eps,
            n_queries=queries,
            batch_size=size,
            rng=seed,
        )
    if room == 2:
        return lambda: guarded_answer(model, site, sigma, x)
    return lambda: qt.load_images(images, labels)


@pytest.mark.parametrize("part", range(3))
@pytest.mark.filterwarnings("ignore")
def test_models_and_data(part, folder, start):
    judge = Judge(folder)
    for case in range(100 * part, 100 * (part + 1)):
        judge.hears(f"case {case}", odd_call(rng_of(case)))
    judge.agree(start)


def test_nothing_was_left_open():
    """No process, thread or file outlives the thousand."""
    left = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
    assert len(left) < 200
