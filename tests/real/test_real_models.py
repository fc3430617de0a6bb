"""Real networks where their folder is there, and the tables that are made of them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import real_models
import real_models_tables as written
import torch

import querytax as qt
from querytax.recommend.recommendation import EXIT_CODES
from querytax.reproductions import data, zoo

FILES = [name for name, network in zoo.NETWORKS.items() if network.source == "file"]
MNIST = "mnist_convsmall_natural"

needs_files = pytest.mark.skipif(
    bool(zoo.missing(FILES)),
    reason="no folder of real images and models: set QUERYTAX_DATA",
)


@needs_files
@pytest.mark.parametrize("name", FILES)
def test_models_answer_as_their_files_say(name: str) -> None:
    # The loader itself holds the answer against the file's check values.
    model = zoo.load(name)
    n = 40 if zoo.NETWORKS[name].data == "imagenet" else 200
    images, labels = zoo.images(name, n, start=100)
    assert images.shape[0] == n
    assert images.dtype == torch.float32
    assert (images.amin(), images.amax()) == (0.0, 1.0)
    right = float((model(images).argmax(1) == labels).double().mean())
    # The file says what it was on all of the test set: first of its measurements.
    said = next(iter(data.specification(name)["measured"].values()))["top1"]
    assert abs(right - said) <= 4 * math.sqrt(said * (1 - said) / n) + 1 / n


@needs_files
def test_a_network_that_answers_otherwise_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = data.specification(MNIST)
    spec["check"]["logits"][3] += 0.01
    monkeypatch.setattr(data, "specification", lambda _name: spec)
    with pytest.raises(ValueError, match="away from its check values"):
        zoo.load(MNIST)


@needs_files
def test_layers_of_a_loaded_network_are_sites() -> None:
    model = zoo.load("cifar10_resnet20")
    images, _ = zoo.images("cifar10_resnet20", 2)
    clean = model(images)
    for site in ("layer1", "layer2", "layer3.2.conv1"):
        assert torch.equal(qt.defend(model, site, 0.0)(images), clean)
        assert not torch.equal(
            qt.defend(model, site, 0.1, experiment_seed=0)(images), clean
        )


@needs_files
def test_a_question_is_answered_compared_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = real_models.Question(MNIST, 0.2, "output", "scores", 40, 0.5)
    setting = real_models.Setting(MNIST, 0.2, ("output",))
    monkeypatch.setattr(real_models, "questions", lambda: [[q]])
    monkeypatch.setattr(real_models, "SETTINGS", (setting,))
    monkeypatch.setattr(real_models, "PRICED", 10)
    monkeypatch.setattr(real_models, "BUDGET", 40)
    monkeypatch.setitem(real_models.PROBE, "betas", (0.001, 0.2))
    command = ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    command += ["--calibration", "6", "--held-out", "8", "--compared", "4"]
    # Time that ends at once leaves everything to do.
    assert real_models.main([*command, "--seconds", "0"]) == 4
    assert not list((tmp_path / "out").iterdir())
    assert real_models.main(command) == 0
    found = written.read(tmp_path / "out")
    (answer,) = found["answers"]
    assert answer["status"] in EXIT_CODES
    assert answer["status"] != "OUT_OF_REGIME"
    assert (answer["network"], answer["target"]) == (MNIST, "40")
    assert int(answer["rows"]) > 0
    assert {row["attack"] for row in found["predicted"]} >= {"square", "nes"}
    for row in found["predicted"]:
        assert float(row["predicted_low"]) <= float(row["predicted_high"])
        assert float(row["measured_low"]) <= float(row["measured_high"])
    # A second run finds everything done; other settings are other rows.
    assert real_models.main(command) == 0
    assert written.read(tmp_path / "out") == found
    assert real_models.main([*command, "--seed", "1", "--seconds", "0"]) == 4
    assert real_models.main([*command, "--walks"]) == 0
    (walk,) = written.read(tmp_path / "out")["walked"]
    assert 0 <= int(walk["missed"]) <= int(walk["broken"]) <= int(walk["images"])
    page = tmp_path / "page.md"
    page.write_text("What to see.\n")
    for _ in range(2):
        assert real_models.main([*command, "--tables", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("What to see.\n")
    assert text.count("## Asked and answered") == 1
    assert "Not run" not in text


# -- tables, of made-up rows -----------------------------------------------------------


def predicted(attack: str, law: float, count: float, **more: str) -> dict[str, str]:
    """A comparison whose intervals are 20 % to either side."""
    row = {"network": "net", "eps": "0.031373", "site": "input", "sigma": "0.1"}
    row |= {"attack": attack, "budget": "1000", "images": "48"}
    row |= {"share_low": "0.4", "share": "0.5", "share_high": "0.6"}
    for name, value in (("predicted", law), ("measured", count)):
        for end, factor in (("_low", 0.8), ("", 1.0), ("_high", 1.2)):
            row[name + end] = str(value * factor)
    return {**row, **more}


def test_agreement_is_of_finite_pairs_and_counts_the_others() -> None:
    inf = math.inf
    rows = [
        predicted("square", 200, 100),
        predicted("square", 100, 400),
        predicted("square", 800, 100),
        predicted("square", 2000, inf),
        predicted("square", 500, inf),
        predicted("nes", 5000, 100),
    ]
    rows.append(predicted("nes", inf, 100))
    nes, square, every = written.agreement(rows)
    # Quotients 2, 1/4 and 8: logarithms 1, 2 and 3.
    assert square == ["square", "5", "3", "2.00", "2.00", "0", "1", "1", "2"]
    # A prediction beyond the budget is one all the same.
    assert nes == ["nes", "2", "1", "5.64", "50.00", "1", "0", "0", "2"]
    assert every[:3] == ["all", "7", "4"]
    assert written.agreement([]) == []


@pytest.mark.parametrize(
    ("law", "count", "verdict"),
    [
        (100, 110, "overlap"),
        (100, 400, "predicted too few"),
        (400, 100, "**predicted too many**"),
        (5000, math.inf, "overlap"),
        (100, math.inf, "predicted too few"),
        (math.inf, 100, "**predicted too many**"),
    ],
)
def test_intervals_are_held_against_each_other(
    law: float, count: float, verdict: str
) -> None:
    table = written.tables(
        {
            "answers": [],
            "predicted": [predicted("nes", law, count)],
            "verified": [],
            "walked": [],
        },
        [],
    )
    (line,) = (line for line in table.splitlines() if line.startswith("| net,"))
    assert line.endswith(f"| {verdict} |")
    assert "net, 8/255, input" in line


def test_rows_are_read_as_written_and_what_is_missing_is_named(tmp_path: Path) -> None:
    words = {"network": "net", "eps": "0.3", "site": "input", "access": "scores"}
    asked = [{**words, "target": target} for target in ("50", "300")]
    blank = dict.fromkeys(["noiseless_attack", "runner_up_attack", "share"], "")
    for name in ("predicted", "loss"):
        blank |= dict.fromkeys([f"{name}_low", name, f"{name}_high"], "")
    row = {
        **asked[0],
        **blank,
        "status": "INFEASIBLE",
        "evidence": "tried",
        "sigma": "0",
        "binding": "blind patterns",
        "attack": "patterns, adaptive",
        "cost_low": "4",
        "cost": "5",
        "cost_high": "inf",
        "certified_to": "0",
        "rows": "1200",
        "seconds": "30.0",
        "calibration": "60",
        "held_out": "100",
        "effort": "quick",
        "max_accuracy_loss": "0.05",
        "seed": "0",
        "protect": "0.5",
        "machine": "some",
        "date": "2026-11-30",
    }
    with (tmp_path / "answers.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(row))
        table.writeheader()
        table.writerow(row)
    found = written.read(tmp_path)
    assert found == {"answers": [row], "predicted": [], "verified": [], "walked": []}
    text = written.tables(found, asked)
    assert "1 answers, 1,200 rows" in text
    assert "| INFEASIBLE | tried | any |" in text
    assert "patterns, adaptive: 5 (4 to never)" in text
    assert "## Not run\n\nnet, 0.3, input, scores, 300." in text
