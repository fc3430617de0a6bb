"""What the documents print is true today."""

import doctest
import json
import re
from pathlib import Path

import pytest

from querytax.montecarlo import experiments
from querytax.theory.law import laws

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page):
    assert doctest.testfile(str(page), module_relative=False).failed == 0


def test_the_page_of_attacks_runs_on_the_demo():
    import querytax as qt
    from querytax import demo

    text = (DOCS / "attacks.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    images, labels = (part[:6] for part in demo.digits().held_out)
    names = {"qt": qt, "model": demo.load_model(), "images": images, "labels": labels}
    for block in blocks:
        exec(block, names)
    assert len(names["results"]) == 2


def test_every_attack_is_in_the_measured_table():
    from querytax.attacks import ATTACKS

    text = (DOCS / "attacks.md").read_text()
    assert set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE)) >= set(ATTACKS)


def test_every_law_that_a_page_names_exists():
    names = {entry.name for entry in laws()}
    topics = {name.partition(".")[0] for name in names}
    text = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"`(\w+\.\w+)(?:\(.*?\))?`", text))
    # `labels.csv` is a file.
    named = {n for n in named if n.partition(".")[0] in topics and n[-4:] != ".csv"}
    assert len(named) > 20
    assert named <= names


def test_the_ledger_s_page_counts_as_the_ledger_does():
    page = " ".join((DOCS / "ledger.md").read_text().split())
    facts = json.loads((DOCS / "ledger" / "ledger.json").read_text())
    assert f"Of {len(facts['claims'])} statements" in page
    for verdict, count in facts["counts"].items():
        assert f"{count} are {verdict}" in page


def test_every_experiment_has_the_name_of_a_topic():
    """Room and topic are the law's, so that whoever knows one knows the other."""
    topics = {entry.topic for entry in laws()}
    assert {name.partition(".")[0] for name in experiments()} <= topics
