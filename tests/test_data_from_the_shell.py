"""Data named on the command line: the same words everywhere, and one line otherwise."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from querytax.cli import main

MODEL = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 3, bias=False)
        torch.nn.init.constant_(self.conv.weight, 1 / 9)

    def forward(self, x):
        # Dark, dim or bright.
        mean = self.conv(x).mean((2, 3))
        return -100 * (mean - torch.tensor([0.05, 0.15, 0.35])) ** 2
"""
PROBE = (
    "probe",
    "net_of_data:Net",
    "-o",
    "out.npz",
    "--patterns",
    4,
    "--directions",
    2,
)
ATTACK = ("attack", "net_of_data:Net", "--queries", 60, "--eps", 0.3)
RECOMMEND = (
    *("recommend", "--model", "net_of_data:Net", "--target-queries", 20),
    *("--attacker", "signhunter", "--eps", 0.05, "--site", "input"),
    *("--protect", 0.4, "--max-accuracy-loss", 0.3),
)
COMMANDS = {"probe": PROBE, "attack": ATTACK, "recommend": RECOMMEND}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The same images in every form, labelled by the model itself."""
    (tmp_path / "net_of_data.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import net_of_data
    import torch

    rng = np.random.default_rng(0)
    bright = rng.random((64, 1, 1)) * rng.random((64, 8, 8))
    x = (255 * bright).astype(np.uint8)
    with torch.no_grad():
        y = net_of_data.Net()(torch.from_numpy(x)[:, None] / 255).argmax(1).numpy()
    assert min(np.bincount(y)) > 5
    np.savez("d.npz", x=x[..., None], y=y)
    np.save("x.npy", x / 255.0)
    np.save("y.npy", np.eye(3)[y])
    for folder in ("classes", "table"):
        (tmp_path / folder).mkdir()
    for i, (image, label) in enumerate(zip(x, y, strict=True)):
        place = tmp_path / "classes" / "abc"[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")
        Image.fromarray(image).save(tmp_path / "table" / f"{i:03}.png")
    lines = [f"{i:03}.png,{label}" for i, label in enumerate(y)]
    (tmp_path / "table" / "labels.csv").write_text("\n".join(lines))
    return x, y


def call(command, *words):
    words = [str(word) for word in (*COMMANDS[command], *words)]
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize("data", ["d.npz", "x.npy,y.npy", "classes", "table"])
def test_every_form_is_taken_and_means_the_same(project, data):
    _, y = project
    result = call("probe", "--data", data, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["images"] == len(y)
    assert facts["accuracy"] == 1.0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_and_its_options_are_taken_by_all(project, command):
    words = ["--data", "classes", "--limit", 24, "--channels", 1, "--scale", 255]
    result = call(command, *words, "--size", "8x8", "--layout", "NHWC", "--json")
    assert result.exit_code in (0, 3, 4), result.output
    json.loads(result.stdout)


def test_the_limit_and_the_number_of_images(project):
    facts = json.loads(call("probe", "--data", "table", "--limit", 9, "--json").stdout)
    assert facts["images"] == 9
    facts = json.loads(
        call("attack", "--data", "table", "--images", 5, "--json").stdout
    )
    assert facts["n_attacked"] == 5


def damaged(x, y):
    """Data that no model here can take, with what is said."""
    floats = np.full((4, 1, 8, 8), 0.5)
    labels = y[:4]
    colour = floats.repeat(3, 1)
    return {
        "three channels for one": (
            colour,
            labels,
            "images of shape (3, 8, 8) in float3",
        ),
        "flat": (floats.reshape(4, 64), labels, "images of shape (64,) in float32"),
        "too small": (floats[..., :2, :2], labels, "images of shape (1, 2, 2) in floa"),
        "width 0": (floats[..., :0], labels, "images of at least one pixel, got shape"),
        "y a number": (floats, np.int64(3), "labels to be 4 whole numbers, one an ima"),
        "x a number": (np.float64(3), labels, "images (N, ...), got one number"),
        "y too short": (floats, labels[:3], "as many labels as images, got 3 for 4"),
        "y of names": (floats, np.array(list("abca")), "labels to be 4 whole numbers"),
        "y soft": (floats, np.full((4, 3), 1 / 3), "labels to be 4 whole numbers"),
        "y of pairs": (floats, np.zeros((4, 2), int), "of shape (4, 2)"),
        "y below 0": (floats, labels - 9, "labels from 0 on, got"),
        "y too large": (floats, labels + 9, "labels in 0..2, the model's classes"),
        "standardised": (floats - 1, labels, "got values in [-0.5, -0.5]; of standard"),
        "NaN": (floats * np.nan, labels, "got values in [nan, nan]"),
        "0 to 16": (floats * 32, labels, "give scale, the value of white"),
        "complex": (floats * 1j, labels, "images to be numbers, got complex128"),
    }


@pytest.mark.parametrize("kind", damaged(None, np.zeros(64, int)))
@pytest.mark.parametrize("command", COMMANDS)
def test_data_that_do_not_fit_are_one_line(project, command, kind):
    x, y, says = damaged(*project)[kind]
    np.savez("bad.npz", x=x, y=y)
    result = call(command, "--data", "bad.npz")
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert says in result.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--limit", 0), "0 is not in the range"),
        (("--size", "8x8x8"), "expected a size such as 224 or 224x320"),
        (("--size", "9" * 5000), "expected a size such as 224 or 224x320"),
        (("--size", "999999999"), "GB of free memory, got"),
        (("--limit", 10**30), "expected limit below 2**63"),
        (("--size", "big"), "expected a size such as 224 or 224x320"),
        (("--layout", "HWC"), "'HWC' is not one of"),
        (("--channels", 2), "'2' is not one of"),
        (("--scale", "nan"), "expected scale > 0 and finite, got nan"),
        (("--layout", "NHWC"), "images as NHWC, got shape (64, 8, 8) (in 'x.npy,y.npy"),
    ],
)
def test_bad_words(project, words, says):
    result = call("probe", "--data", "x.npy,y.npy", *words)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.replace("│", "").split())


def test_options_of_data_want_a_model():
    result = CliRunner().invoke(
        main, ["recommend", "s.npz", "--target-queries", "9", "--limit", "3"]
    )
    assert result.exit_code == 2
    assert "expected --model with --limit" in result.stderr
