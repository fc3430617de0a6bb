"""The ledger judges rightly, can be surprised, and is the committed one."""

import dataclasses
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from querytax.expect import DomainError
from querytax.files import read_json, write_json
from querytax.montecarlo import misstep as drawn
from querytax.validation import ledger as book
from querytax.validation.claim import (
    Claim,
    Computed,
    Form,
    Point,
    Simulated,
    Tabled,
    Unavailable,
)
from querytax.validation.page import write_page

COMMITTED = Path(__file__).parents[2] / "docs" / "ledger"
ALPHA = 1e-9


def claim(**changes):
    """Wrong signs over random directions, rightly claimed."""
    right = {
        "id": "test/one",
        "statement": "A share of the signs is wrong.",
        "kind": "exact",
        "topic": "misstep",
        "source": "nowhere",
        "printed": Form("arctan", lambda snr: math.atan(snr**-0.5) / math.pi),
        "mutant": Form("twice", lambda snr: 2 * math.atan(snr**-0.5) / math.pi),
        "evidence": Simulated(drawn.random_direction),
        "points": (Point({"snr": 0.5}), Point({"snr": 3.0})),
        "expected": "CONFIRMED",
    }
    return Claim(**{**right, **changes})


def judged(**changes):
    return book.judge(claim(**changes), "quick", 0, ALPHA, {})


TRUE = Form("arctan", lambda snr: math.atan(snr**-0.5) / math.pi)
DOUBLE = Form("twice", lambda snr: 2 * math.atan(snr**-0.5) / math.pi)
HALF = Form("half", lambda snr: 0.5 * math.atan(snr**-0.5) / math.pi)
SMALL = Form("small snr", lambda snr: 0.5 - math.sqrt(snr) / math.pi)
NAN = Form("no number", lambda snr: math.log(-snr) if snr < 0 else math.nan)
RAISES = Form("raises", lambda snr: 1 / 0)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "CONFIRMED"),
        ({"printed": DOUBLE, "corrected": TRUE, "mutant": HALF}, "REFUTED"),
        ({"printed": DOUBLE, "mutant": HALF}, "REFUTED"),
        ({"printed": DOUBLE, "corrected": HALF}, "INCONCLUSIVE"),
        ({"printed": NAN, "corrected": TRUE}, "REFUTED"),
        ({"printed": RAISES, "corrected": TRUE}, "REFUTED"),
        ({"kind": "upper bound", "printed": DOUBLE, "mutant": HALF}, "CONFIRMED"),
        ({"kind": "upper bound", "printed": HALF, "corrected": TRUE}, "REFUTED"),
        ({"kind": "lower bound", "printed": HALF, "mutant": DOUBLE}, "CONFIRMED"),
        ({"kind": "lower bound", "printed": DOUBLE}, "REFUTED"),
        (
            {
                "printed": SMALL,
                "points": (Point({"snr": 0.01}), Point({"snr": 3.0}, inside=False)),
            },
            "CONFIRMED_IN_REGIME",
        ),
        ({"printed": SMALL, "points": (Point({"snr": 3.0}),)}, "REFUTED"),
        ({"margin": 1e-9}, "INCONCLUSIVE"),
        ({"evidence": Unavailable("a figure only")}, "INCONCLUSIVE"),
        (
            {"evidence": Computed(lambda snr: math.atan(snr**-0.5) / math.pi)},
            "CONFIRMED",
        ),
        ({"evidence": Computed(lambda snr: 1 / 0)}, "BROKEN"),
    ],
)
def test_verdicts(changes, verdict):
    entry = judged(**changes)
    assert entry.verdict == verdict
    assert entry.surprise == (verdict != "CONFIRMED")
    assert ("ZeroDivisionError" in entry.trouble) == (verdict == "BROKEN")


def test_numbers_of_tables():
    printed = Form("0.22", lambda: 0.22)
    given = {
        "kind": "data",
        "points": (Point({}),),
        "printed": printed,
        "mutant": Form("0.25", lambda: 0.25),
        "margin": 0.005 / 0.22,
    }
    right = judged(**given, evidence=Tabled(lambda: 0.2249, "table-4.csv"))
    assert right.verdict == "CONFIRMED"
    wrong = judged(**given, evidence=Tabled(lambda: 0.22975, "table-4.csv"))
    assert wrong.verdict == "REFUTED"
    assert wrong.findings[0].samples == 0


def test_a_claim_that_cannot_fail_is_a_surprise():
    entry = judged(mutant=Form("the same", TRUE.value))
    assert entry.verdict == "CONFIRMED"
    assert entry.mutant_refuted is False
    assert entry.surprise


def test_a_claim_must_say_what_would_refute_it():
    with pytest.raises(TypeError, match="wants a printed form, a mutant and points"):
        claim(mutant=None)
    with pytest.raises(TypeError, match="wants a printed form, a mutant and points"):
        claim(points=())
    with pytest.raises(TypeError, match="is a definition and has nothing to test"):
        claim(kind="definition")


def test_evidence_adds_up_over_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(book, "claims", lambda: (claim(),))
    path = tmp_path / "evidence.json"
    first = book.run(rng=1, evidence=path).entries[0].findings[0]
    second = book.run(rng=2, evidence=path, tier="full").entries[0].findings[0]
    assert second.samples > first.samples
    assert second.high - second.low < first.high - first.low
    saved = json.loads(path.read_text())
    assert saved["seeds"] == [1, 2]
    assert {int(v["count"]) for v in saved["sums"].values()} >= {second.samples}
    with pytest.raises(DomainError, match="expected a new seed, got 2"):
        book.run(rng=2, evidence=path)
    for damage in ("", "{}", path.read_text()[:-9], '{"sums": 3, "seeds": []}'):
        path.write_text(damage)
        with pytest.raises(DomainError, match="expected a file of evidence"):
            book.run(rng=3, evidence=path)
        assert path.read_text() == damage


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    every = tuple(claim(id=f"test/{n}", margin=0.02) for n in ("a", "b", "c"))
    monkeypatch.setattr(book, "claims", lambda: every)
    whole = tmp_path / "whole.json"
    expected = book.run(rng=4, evidence=whole)
    judge, path = book.judge, tmp_path / "evidence.json"

    def interrupted(one, *rest):
        if one.id == "test/b":
            raise KeyboardInterrupt
        return judge(one, *rest)

    monkeypatch.setattr(book, "judge", interrupted)
    with pytest.raises(KeyboardInterrupt):
        book.run(rng=4, evidence=path)
    assert json.loads(path.read_text())["done"] == {"4": ["test/a"]}
    monkeypatch.setattr(book, "judge", judge)
    resumed = book.run(rng=None, evidence=path)
    assert resumed.facts() == expected.facts()
    assert path.read_text() == whole.read_text()


def test_a_seed_between_does_not_count_draws_twice(tmp_path, monkeypatch):
    """An interrupted run's draws are in the sums, whoever runs next."""
    every = tuple(claim(id=f"test/{n}", margin=0.02) for n in ("a", "b"))
    monkeypatch.setattr(book, "claims", lambda: every)
    judge, path = book.judge, tmp_path / "evidence.json"

    def interrupted(one, *rest):
        if one.id == "test/b":
            raise KeyboardInterrupt
        return judge(one, *rest)

    monkeypatch.setattr(book, "judge", interrupted)
    with pytest.raises(KeyboardInterrupt):
        book.run(rng=1, evidence=path)
    monkeypatch.setattr(book, "judge", judge)
    book.run(rng=2, evidence=path, tier="full")
    before = json.loads(path.read_text())["sums"]
    book.run(rng=1, evidence=path, tier="full")
    saved = json.loads(path.read_text())
    assert saved["seeds"] == [2, 1]
    assert saved["done"] == {}
    first = [key for key in before if key.startswith("test/a")]
    assert first
    assert [saved["sums"][key] for key in first] == [before[key] for key in first]


def test_a_run_that_is_killed_again_and_again_gets_ahead(tmp_path, monkeypatch):
    every = tuple(claim(id=f"test/{n}", margin=0.02) for n in "abcd")
    monkeypatch.setattr(book, "claims", lambda: every)
    judge, path = book.judge, tmp_path / "evidence.json"
    for number in range(1, 4):
        calls = []

        def killed(one, *rest, calls=calls):
            calls.append(one.id)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return judge(one, *rest)

        monkeypatch.setattr(book, "judge", killed)
        with pytest.raises(KeyboardInterrupt):
            book.run(rng=1, evidence=path)
        assert len(json.loads(path.read_text())["done"]["1"]) == number


def test_an_interrupt_inside_a_simulation_is_one(tmp_path, monkeypatch):
    """It ends the run: the claim is not judged by what was drawn so far."""
    monkeypatch.setattr(book, "claims", lambda: (claim(),))
    stopped = dataclasses.replace(
        book.estimate(drawn.random_direction(0.5), max_samples=64),
        stopped="interrupted",
    )
    monkeypatch.setattr(book, "estimate", lambda *_, **__: stopped)
    with pytest.raises(KeyboardInterrupt):
        book.run(rng=1, evidence=tmp_path / "evidence.json")
    assert not (tmp_path / "evidence.json").exists()


def test_sums_that_cannot_be_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(book, "claims", lambda: (claim(),))
    path = tmp_path / "evidence.json"
    book.run(rng=1, evidence=path)
    saved = read_json(path, "")
    for wrong in ({"total": math.nan}, {"count": -1}, {"spread": -1.0}):
        key = min(saved["sums"])
        sums = {**saved["sums"], key: {**saved["sums"][key], **wrong}}
        write_json(path, {**saved, "sums": sums})
        with pytest.raises(DomainError, match="expected a file of evidence"):
            book.run(rng=2, evidence=path)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(DomainError, match="did you mean 'rfd-2024/f11'"):
        book.run(claim="rfd-2024/f111")
    with pytest.raises(DomainError, match="expected paper to be one of"):
        book.run(paper="rfd")
    with pytest.raises(DomainError, match="expected tier to be one of"):
        book.run(tier="slow")


# -- the ledger itself --------------------------------------------------------------


@pytest.fixture(scope="module")
def quick():
    return book.run()


def test_no_surprises_and_every_mutant_refuted(quick):
    told = [
        (e.claim.id, e.verdict, e.mutant_refuted, e.trouble) for e in quick.surprises
    ]
    assert told == []
    assert quick.mutation_score == 1.0


def test_ids_are_the_papers_and_rows(quick):
    for entry in quick.entries:
        paper, _, row = entry.claim.id.partition("/")
        assert paper in book.PAPERS
        assert re.fullmatch(r"[a-z0-9.-]+", row)


def test_another_seed_gives_the_same_verdicts(quick):
    """On a third of the claims; the rest of the evidence for it is the full tier."""
    for entry in quick.entries[::3]:
        if any(finding.samples for finding in entry.findings):
            again = book.judge(entry.claim, "quick", 12345, ALPHA, {})
            assert again.verdict == entry.verdict, entry.claim.id


def test_the_committed_ledger_is_today_s(quick, tmp_path):
    """Regenerate it with ``querytax validate -o docs/ledger``."""
    committed = json.loads((COMMITTED / "ledger.json").read_text())
    today = quick.facts()

    def shape(facts):
        return [
            (c["id"], c["verdict"], c["statement"], c["forms"], len(c["findings"]))
            for c in facts["claims"]
        ]

    assert shape(committed) == shape(today)
    assert committed["counts"] == today["counts"]
    page = (COMMITTED / "ledger.html").read_text()
    assert all(f'id="{c["id"]}"' in page for c in today["claims"])


def test_the_page(quick, tmp_path):
    path = tmp_path / "ledger.html"
    write_page(quick, path)
    text = path.read_text()
    assert text.count("<article") == len(quick.entries)
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    with_trouble = dataclasses.replace(quick.entries[0], trouble="<b>raised</b>")
    write_page(dataclasses.replace(quick, entries=(with_trouble,)), path)
    assert "&lt;b&gt;raised" in path.read_text()


BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_the_page_filters_in_a_browser(quick, tmp_path):
    path = tmp_path / "ledger.html"
    write_page(quick, path)
    first = quick.entries[0].claim.id
    # The page's own script runs once when it is loaded; a second one types a word.
    text = path.read_text().replace(
        "  show();\n</script>",
        f'  pick("words").value = "{first}"; show();\n</script>',
    )
    path.write_text(text)
    page = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    shown = [a for a in re.findall(r"<article[^>]*>", page) if "hidden" not in a]
    assert any(f'id="{first}"' in article for article in shown)
    assert len(shown) < len(quick.entries)
