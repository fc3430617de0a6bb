"""Commands, called as from a shell: what they print, and how they end."""

import json
import subprocess
import sys

from click.testing import CliRunner

from querytax.cli import main

LOSS = (0.0, 0.0, 0.0, 0.005, 0.5, 0.6)


def call(*words, code=0):
    """Standard output of a command that must end with ``code``; 80 columns at most."""
    result = CliRunner().invoke(main, [str(w) for w in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    if "--json" not in words:
        assert all(len(line) <= 80 for line in result.stdout.splitlines())
    return result


def told(*words, code=0):
    """The JSON that a command prints, and nothing else."""
    return json.loads(call(*words, "--json", code=code).stdout)


def refused(*words):
    """The one line of an error."""
    result = call(*words, code=2)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    return result.stderr


def process(*words, **options):
    """A command in a process of its own."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from querytax.cli import main; main()",
            *map(str, words),
        ],
        capture_output=True,
        text=True,
        **options,
    )
