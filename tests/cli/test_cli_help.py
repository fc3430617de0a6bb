"""The command line itself: its help, its streams and its exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from shell import call, process

from querytax.cli import main


def test_help_of_every_command():
    text = call("--help").stdout
    assert "Exit codes: 0 feasible" in text
    for name, command in main.commands.items():
        assert name in text
        assert "Usage:" in call(name, "-h").stdout
        for words in [(name, sub) for sub in getattr(command, "commands", ())] or [
            (name,)
        ]:
            assert "--json" in call(*words, "--help").stdout
    assert call("--version").stdout.strip().endswith("0.1.0")


def test_an_unknown_command_is_a_usage_error():
    assert "No such command 'recomend'" in call("recomend", code=2).stderr


def test_a_process_ends_with_the_code_and_keeps_the_streams_apart(stats_file):
    for target, code in ((25, 4), (1e5, 3)):
        out = process("recommend", stats_file, "--target-queries", target, "--json")
        assert out.returncode == code
        assert out.stderr == ""
        assert json.loads(out.stdout)["recommendations"][0]["target_queries"] == target
    out = process("recommend", "absent.npz", "--target-queries", 5)
    assert (out.returncode, out.stdout) == (2, "")
    assert out.stderr.startswith("error: expected a statistics file")
    assert "Traceback" not in out.stderr


def test_the_installed_command(tmp_path):
    command = Path(sys.executable).with_name("querytax")
    if not command.exists():
        pytest.skip("querytax is not installed beside the interpreter")
    out = subprocess.run(
        [command, "laws", "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(out.stdout)


def test_ctrl_c_is_one_line(project):
    out = process("attack", "tiny_model:interrupted", "--data", "val.npz", cwd=project)
    assert out.returncode == 130
    assert out.stdout == ""
    assert out.stderr == "interrupted; no file was left half written\n"
