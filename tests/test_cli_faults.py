"""The command line under wrong words, strange terminals, loud models and signals."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from querytax.cli import main

LOUD = """
import torch
print("a module that prints")

class Loud(torch.nn.Module):
    answers = "logits"

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(16, 3)
        torch.nn.init.normal_(self.layer.weight, generator=torch.Generator())

    def forward(self, x):
        print("a model that prints")
        return self.layer(x.flatten(1))

def load():
    torch.manual_seed(0)
    return Loud()

class Tired(Loud):
    def forward(self, x):
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked > 6:
            raise RuntimeError("out of memory\\nor so")
        return self.layer(x.flatten(1))

def tired():
    torch.manual_seed(0)
    return Tired()

def tired_function():
    return tired().forward
"""
TARGET = ("--target-queries", "100")
SIMULATE = ("simulate", "misstep.random_direction", "snr=0.5", "--samples", "1e3")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a model and data, to be stood in."""
    (tmp_path / "loud.py").write_text(LOUD)
    x = np.random.default_rng(0).random((12, 1, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "val.npz", x=x, y=np.arange(12) % 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*words):
    result = CliRunner().invoke(main, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


def process(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "querytax", *words],
        capture_output=True,
        text=True,
        **options,
    )


# -- words ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("simulate", "misstep.random_direction", "snr=1,2"), "expected snr to be one"),
        (("simulate", "misstep.random_direction", "snr=[]"), "expected snr to be one"),
        (("eval", "misstep.random_direction", "snr=[true]"), "expected snr"),
        (("eval", "misstep.random_direction", "snr=[1, null]"), "expected snr"),
        ((*SIMULATE, "--resume", "."), "Is a directory"),
        ((*SIMULATE, "--resume", "x" * 300), "File name too long"),
        ((*SIMULATE, "--relative", "x"), "expected a share"),
        ((*SIMULATE, "--seed", "9" * 20), "not in the range"),
        ((*SIMULATE, "--threads", "9" * 20), "not in the range"),
        (("eval", "misstep.random_direction", "snr=" + "[" * 90_000), "expected snr"),
        (("eval", "misstep.random_direction", 'snr=["a"]'), "expected snr"),
        (("attack", "a:b", "--data", "c", "--queries", "9" * 20), "not in the range"),
        (("attack", "a:b", "--data", "c", "--batch-size", "1" * 31), "not in the ra"),
        (("attack", "a:b", "--data", "c", "--plan", "absent"), "No such file"),
        (("recommend", ".", "--target-queries", "9"), "Is a directory"),
        (("recommend", "/dev/null", "--target-queries", "9"), "something else"),
        (("validate", "rfd-2024/f11", "--evidence", "."), "Is a directory"),
        (("figures", "accuracy", "-o", "x" * 300), "File name too long"),
    ],
)
def test_wrong_words_are_one_line(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = refused(*words)
    assert says in told
    assert len(told) < 2000
    assert os.listdir(tmp_path) == []


def test_a_share_may_be_a_percentage():
    words = ("simulate", "misstep.random_direction", "snr=0.5", "--relative", "20%")
    result = CliRunner().invoke(main, [*words, "--json"])
    assert json.loads(result.stdout)["stopped"] == "width"


@pytest.mark.parametrize("depth", [500, 5_000, 100_000])
def test_a_deep_plan_is_one_line(depth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("[" * depth + "]" * depth, '{"recommendations":' + "[" * depth):
        (tmp_path / "rec.json").write_text(text)
        told = refused("attack", "a:b", "--data", "c", "--plan", "rec.json")
        assert "expected plan to be the JSON of recommend" in told


# -- strange terminals ------------------------------------------------------------


def test_what_a_name_could_do_to_a_terminal_is_spelt_out():
    told = refused("recommend", "a\x1b[31m\x07\r.npz", "--target-queries", "9")
    assert told.rstrip("\n").isprintable()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16"])
def test_an_alphabet_without_our_letters(encoding):
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    out = subprocess.run(
        [sys.executable, "-m", "querytax", "show", "misstep.bent"],
        capture_output=True,
        env=env,
    )
    assert out.returncode == 0, out.stderr
    assert "misstep.bent" in out.stdout.decode(encoding)


# -- loud models ------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("probe", "loud:load", "--data", "val.npz", "-o", "s.npz", "--images", "3"),
        ("attack", "loud:load", "--data", "val.npz", "--queries", "60"),
        ("sites", "loud:load", "--shape", "1,4,4"),
    ],
)
def test_standard_output_belongs_to_the_answer(words, project):
    out = process(*words, "--json", cwd=project)
    assert out.returncode in (0, 4), out.stderr
    assert json.loads(out.stdout)
    assert "a module that prints" in out.stderr
    assert "a model that prints" in out.stderr


# -- signals ----------------------------------------------------------------------


@pytest.mark.parametrize("model", ["tired", "tired_function"])
@pytest.mark.parametrize(
    "words",
    [
        ("probe", "{}", "--data", "val.npz", "-o", "s.npz", "--patterns", "4"),
        ("attack", "{}", "--data", "val.npz", "--eps", "0.1", "--queries", "90"),
        ("recommend", "--model", "{}", "--data", "val.npz", "--target-queries", "30"),
    ],
)
def test_a_model_that_fails_later_is_one_line(model, words, project):
    found = refused(*(word.format(f"loud:{model}") for word in words))
    last = found.splitlines()[-1]
    assert (
        last == "error: expected the model to answer, got RuntimeError: out of memory"
    )
    assert "Traceback" not in found
    assert not (project / "s.npz").exists()


def test_our_own_mistakes_are_no_models(project, monkeypatch):
    """They keep their traceback."""

    def wrong(*_, **__):
        return {}["none"]

    monkeypatch.setattr("querytax.report_sites.print_sites", wrong)
    wrong.__globals__["__name__"], name = "querytax.wrong", __name__
    try:
        words = ["sites", "loud:load", "--shape", "1,4,4"]
        assert isinstance(CliRunner().invoke(main, words).exception, KeyError)
    finally:
        wrong.__globals__["__name__"] = name


@pytest.mark.parametrize(
    "words",
    [
        ("probe", "loud:load", "--data", "val.npz", "-o", "s.npz"),
        ("attack", "loud:load", "--data", "val.npz"),
        ("attack", "loud:load", "--data", "val.npz", "--attack", "all"),
        (
            "recommend",
            "--model",
            "loud:load",
            "--data",
            "val.npz",
            "--target-queries",
            "100",
        ),
    ],
)
def test_a_budget_that_no_image_has_is_one_line(words, project):
    found = refused(*words, "--norm", "L2", "--eps", "5")
    assert "expected eps <= 4 for L2, the largest distance of two images of 16" in found


@pytest.mark.parametrize("evidence", [False, True])
def test_an_interrupted_ledger_is_not_written(tmp_path, evidence):
    """The claim under way is not recorded as one that nobody can decide."""
    words = ["validate", "--tier", "full", "--seed", "1", "-o", "out"]
    words += ["--evidence", "evidence.json"] if evidence else []
    with subprocess.Popen(
        [sys.executable, "-m", "querytax", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        until = time.monotonic() + 120
        while time.monotonic() < until and running.poll() is None:
            if not evidence or (tmp_path / "evidence.json").exists():
                break
            time.sleep(0.1)
        time.sleep(8 if not evidence else 0.2)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130, (out, err)
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "ledger.json").exists()
    if evidence:
        saved = json.loads((tmp_path / "evidence.json").read_text())
        assert saved["seeds"] == []
        assert saved["seed"] == 1


ODD = """
import torch

def load():
    torch.manual_seed(0)
    net = torch.nn.Sequential()
    net.answers = "logits"
    net.add_module("[b]a[/c]", torch.nn.Flatten())
    net.add_module("r\\x1b[31med\\x07", torch.nn.Linear(16, 3))
    return net
"""


@pytest.mark.parametrize("site", ["r\x1b[31med\x07", "[b]a[/c]"])
@pytest.mark.parametrize("command", ["sites", "probe", "attack", "recommend"])
def test_names_of_layers_are_no_orders_to_the_terminal(command, site, project):
    (project / "odd.py").write_text(ODD)
    data = ("odd:load", "--data", "val.npz")
    at = (*data, "--site", site, "--eps", "0.1")
    words = {
        "sites": ("sites", "odd:load", "--shape", "1,4,4"),
        "probe": ("probe", *at, "-o", "s.npz"),
        "attack": ("attack", *at, "--sigma", "0.1", "--queries", "30"),
        "recommend": ("recommend", "s.npz", "--target-queries", "9", "--site", site),
    }
    if command == "recommend":
        process(*words["probe"], cwd=project)
    out = process(*words[command], cwd=project)
    assert "Traceback" not in out.stderr
    assert out.returncode in (0, 3, 4), out.stderr
    told = out.stdout.replace("\n", "")
    assert told.isprintable()
    assert site in told or repr(site)[1:-1] in told
