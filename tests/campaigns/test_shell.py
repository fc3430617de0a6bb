"""Campaigns from the shell."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_network import PLAN, planned

from querytax.cli import main


def shell(*words, code=0):
    result = CliRunner().invoke(main, ["campaign", *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout if code in (0, 3) else result.stderr


@pytest.fixture
def plan(folder):
    planned(folder)
    return "plan.toml"


def test_a_campaign_from_plan_to_export(plan):
    told = shell("run", plan, "--minutes", "1e-9", code=3)
    assert "0 of 60 jobs done" in told
    assert "the first jobs will tell" in shell("status", plan, code=3)
    told = shell("resume", plan, "--jobs", "2")
    assert "60 of 60 jobs done, 100 runs on an image, in plan.db" in told
    facts = json.loads(shell("status", "plan.db", "--json"))
    assert facts["done"] == facts["jobs"] == 60
    assert facts["left"] == 0
    shown = shell("show", plan, "--attack", "square")
    assert "mine, eps 0.05, 20 queries; success: broken" in shown
    assert all(len(line) < 80 for line in shown.splitlines())
    assert "rays" not in shown
    told = shell("export", plan, "-o", "all.csv", "--queries", "45")
    assert "all.csv: 100 rows of 60 jobs" in told
    assert json.loads(shell("export", plan, "-o", "b.csv", "--json"))["rows"] == 200


def test_json_shows_what_the_table_shows(plan):
    shell("run", plan)
    by = ("--by", "attack", "--queries", "45", "--success", "clean")
    facts = json.loads(shell("show", plan, "--json", *by))
    assert facts["campaign"] == "tiny"
    assert [group["attack"] for group in facts["groups"]] == ["square", "rays", "nes"]
    table = shell("show", plan, *by).splitlines()
    for group in facts["groups"]:
        line = next(s for s in table if group["attack"] in s)
        assert f"{100 * group['success_rate']:.3g} %" in line
    bare = json.loads(shell("show", plan, "--site", "none", "--json"))["groups"]
    assert {group["site"] for group in bare} == {""}


def test_status_and_show_need_no_torch(plan):
    shell("run", plan)
    code = (
        "import sys; from querytax.cli import main\n"
        "main(['campaign', *sys.argv[1:]], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    for words in (("status", plan), ("show", plan), ("export", plan, "-o", "x.csv")):
        out = subprocess.run([sys.executable, "-c", code, *words], capture_output=True)
        assert out.returncode == 0, out.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "absent.toml"), "No such file"),
        (("run", "plan.toml", "--jobs", "0"), "expected jobs"),
        (("run", "plan.toml", "--minutes", "-1"), "expected minutes"),
        (("run", "plan.toml", "--jobs", "2", "--scheduler", "a:1"), "expected no jobs"),
        (("run", "plan.toml", "--store", "absent/s.db"), "unable to open"),
        (("status", "plan.toml"), "querytax campaign run PLAN begins one"),
        (("status", "absent.db"), "querytax campaign run PLAN begins one"),
        (("show", "a.db", "--store", "b.db"), "expected one store"),
        (("export", "plan.db", "-o", "x.csv"), "which is not there"),
    ],
)
def test_wrong_words_are_one_line(plan, words, says):
    told = shell(*words, code=2)
    assert says in told
    assert len(told.splitlines()) == 1
    assert not os.path.exists("plan.db")


def test_labels_that_are_not_there_are_one_line(plan):
    shell("run", plan)
    assert "did you mean 'square'" in shell("show", plan, "--attack", "sqare", code=2)
    assert "did you mean 'seed'" in shell("show", plan, "--by", "sed", code=2)
    assert "expected success" in shell("show", plan, "--success", "most", code=2)
    assert "did you mean 'tiny'" in shell("status", plan, "--name", "tin", code=2)
    assert ".parquet" in shell("export", plan, "-o", "x.txt", code=2)


def test_attacks_left_out_of_all_are_said(folder):
    text = PLAN.replace('["square", "rays"]', '"all"').replace("seeds = [0, 7]", "")
    text = re.sub(r"\[\[defences\]\].*?(?=\[\[attacks)", "", text, flags=re.DOTALL)
    planned(folder, text, images=1, n_queries=20)
    told = " ".join(shell("run", "plan.toml").split())
    assert "Left out of all attacks:" in told
    assert "transfer" in told


def test_an_interrupt_says_how_it_goes_on(folder):
    planned(folder, PLAN.replace(":load", ":slow"))
    words = [sys.executable, "-m", "querytax", "campaign", "run", "plan.toml"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        until = time.monotonic() + 120
        while time.monotonic() < until and not os.path.exists("plan.db-wal"):
            time.sleep(0.05)
        time.sleep(1.0)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130, (out, err)
    assert "interrupted; the same command goes on with plan.db" in err
    assert "Traceback" not in err
    shell("run", "plan.toml")


def test_the_page_s_plan_runs_and_shows_what_it_says(folder):
    page = (Path(__file__).parents[2] / "docs" / "campaigns.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (folder / "plan.toml").write_text(text)
    shell("run", "plan.toml", "--jobs", "2")
    lines = shell("show", "plan.toml", "--queries", "200").splitlines()
    shown = [line.rstrip() for line in lines]
    (sample,) = re.findall(r"```\n(demo, eps.*?)\n \.\.\.", page, re.DOTALL)
    assert shown[: len(sample.splitlines())] == sample.splitlines()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(code, names)
    assert names["standing"].whole
    assert len(names["selection"].jobs) == 7 * 2 * 2
    assert (folder / "square.csv").exists()
    keys = set(re.findall(r"^\| .*", page, re.MULTILINE))
    for key in ("votes", "block", "batch_size", "surrogate"):
        assert any(f"`{key}`" in line for line in keys)
