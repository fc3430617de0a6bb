"""The shell: exit codes, JSON, SARIF, and 80 columns."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from querytax.audits import RULES
from querytax.audits.rules import SEVERITIES
from querytax.cli import main

HERE = Path(__file__).parent
DEMO = ["--demo", "--no-processes", "--site", "output:logits", "--sigma", "0.3"]


def ran(*words, code=0):
    found = CliRunner().invoke(main, ["audit", *map(str, words)])
    assert found.exit_code == code, found.output
    return found


@pytest.fixture
def fault(tmp_path, monkeypatch):
    (tmp_path / "guarded.py").write_text(
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from planted_faults import NewGenerator\n"
        "from querytax import demo\n"
        "def frozen():\n    return NewGenerator(demo.load_model())\n"
        "def plain():\n    return demo.load_model()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "guarded", raising=False)
    return "guarded:frozen"


def test_a_sound_one_is_zero(few_generators):
    found = ran(*DEMO)
    assert "no finding" in found.stdout
    assert all(len(line) < 80 for line in found.stdout.splitlines())


def test_a_fault_is_three(fault, few_generators, shown, tmp_path):
    np.savez(tmp_path / "d.npz", x=shown[0].numpy(), y=shown[1].numpy())
    found = ran(fault, "--data", tmp_path / "d.npz", code=3)
    assert "UNDOES noise/repeats-every-call" in found.stdout
    assert "Remedy" in found.stdout
    assert all(len(line) < 80 for line in found.stdout.splitlines())
    said = json.loads(ran(fault, "--shape", "1,8,8", "--json", code=3).stdout)
    assert said["worst"] == "undoes"
    assert said["findings"][0]["rule"] == "noise/repeats-every-call"


def test_sarif(fault, few_generators, tmp_path):
    log = json.loads(ran(fault, "--shape", "1,8,8", "--sarif", "-", code=3).stdout)
    check_sarif(log)
    kinds = {result["kind"] for result in log["runs"][0]["results"]}
    assert "fail" in kinds
    path = tmp_path / "audit.sarif"
    out = ran(*DEMO, "--sarif", path)
    assert "no finding" in out.stdout
    check_sarif(json.loads(path.read_text()))


def check_sarif(log):
    """What SARIF 2.1.0 asks of such a log; by its schema where that is at hand."""
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"].endswith(".")
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"]
        # A level other than none belongs to what failed alone (3.27.10).
        assert (result["level"] == "none") == (result["kind"] != "fail")
        assert result["level"] in ("error", "warning", "note", "none")
        assert result["kind"] in ("fail", "pass", "notApplicable")
        (where,) = result["locations"]
        assert where["logicalLocations"][0]["fullyQualifiedName"]
    json.dumps(log, allow_nan=False)


def test_results(tmp_path):
    table = {"queries": [10] * 30, "success": [1] * 30, "budget": 5, "seed": 0}
    path = tmp_path / "r.json"
    path.write_text(json.dumps(table))
    found = ran("--result", path, code=3)
    assert "result/over-budget" in found.stdout
    path.write_text(json.dumps({**table, "budget": 20, "confirmed": [1] * 30}))
    ran("--result", path)


def test_a_result_and_its_model(fault, shown, tmp_path):
    images, labels = (part[:30].numpy() for part in shown)
    path = tmp_path / "r.npz"
    np.savez(
        path,
        queries=np.full(30, 9),
        success=np.ones(30),
        images=images,
        originals=images,
        labels=labels,
        seed=1,
    )
    said = json.loads(ran("guarded:plain", "--result", path, "--json", code=3).stdout)
    assert "result/noisy-success" in [f["rule"] for f in said["findings"]]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["querytax.demo:load_model"],
        ["querytax.demo:load_model", "--demo"],
        ["querytax.demo:load_model", "--shape", "1,8,8", "--sigma", "1"],
        ["querytax.demo:load_model", "--shape", "1,8"],
        ["querytax.demo:load_model", "--shape", "x"],
        ["no.such:model", "--shape", "1,8,8"],
        ["--demo", "--shape", "1,8,8"],
        ["--demo", "--json", "--sarif", "-"],
        ["--demo", "--sarif", "no/such/folder/a.sarif"],
        ["--demo", "--queries", "0"],
        ["--result", "no-such-file.json"],
        ["--result", "x.json", "--site", "input", "--sigma", "1"],
    ],
)
def test_usage(words):
    found = CliRunner().invoke(main, ["audit", *words])
    assert found.exit_code == 2, found.output
    assert "Traceback" not in found.output


def test_every_rule_is_on_the_page():
    page = (HERE.parents[1] / "docs" / "audit.md").read_text()
    for word, rule in RULES.items():
        assert f"| `{word}` |" in page
        assert rule.severity in SEVERITIES
        assert rule.about.endswith(".")
        assert rule.remedy
        assert not rule.remedy.endswith(".")
