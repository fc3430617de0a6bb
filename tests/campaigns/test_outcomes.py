"""Pages, summaries and exports, against the plain way of counting."""

import csv
import itertools
import math
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_network import planned

from querytax.campaigns import Record, export, run, select, summary
from querytax.campaigns.export import COLUMNS
from querytax.campaigns.outcomes import MEANINGS, STATUSES, Outcomes, Page
from querytax.campaigns.summary import BY
from querytax.evidence import Contender, Trial
from querytax.expect import DomainError
from querytax.intervals import share
from querytax.trials.reading import tried_of
from querytax.trials.store import ImageRow

BUDGETS = (10, 40, 100)
ENDS = ("open", "broken", "ended", "misclassified", "crashed: boom", "no start")


@st.composite
def rows(draw):
    """A run's images, as an attack of a budget of 100 or more leaves them."""
    found = []
    for key in range(draw(st.integers(1, 6))):
        budget = draw(st.sampled_from((100, 300)))
        asked = draw(st.integers(0, budget))
        events = {}
        for name in MEANINGS[:-1]:
            at = draw(st.integers(0, asked))
            events[name] = at
            events[f"{name}_need"] = at and draw(st.integers(at, budget))
        need = draw(st.integers(asked, budget))
        status = draw(st.sampled_from(ENDS))
        found.append(ImageRow(f"i{key}", key, budget, asked, need, status, **events))
    return found


def tried(some, budget):
    trial = Trial(
        *(Contender("square"), 0.1, "Linf", "scores", "input", 0.1, "held_out"),
        images=len(some),
        n_queries=budget,
    )
    names = [(row.image, row.key) for row in some]
    return tried_of(trial, {(row.image, row.key): row for row in some}, names)


def counted(count):
    return count.queries.tolist(), count.success.tolist(), count.cut.tolist()


@given(st.lists(rows(), min_size=1, max_size=4))
def test_pages_count_as_trials_do(several):
    """At the budget that was asked, at smaller ones, and in company."""
    outcomes = Outcomes([Page.of(some, 100) for some in several])
    for budget in BUDGETS:
        for meaning in ("confirmed", "clean", "broken"):
            whole = outcomes.counts(meaning, budget)
            parts = [counted(getattr(tried(some, budget), meaning)) for some in several]
            for i, found in enumerate(counted(whole)):
                assert found == [v for part in parts for v in part[i]]
        asked = [n for some in several for n in tried(some, budget).asked.tolist()]
        assert outcomes.asked(budget).tolist() == asked
        every = [row for some in several for row in some]
        words = [row.status if row.over(budget) else "open" for row in every]
        assert outcomes.status(budget) == words


@given(rows())
def test_a_page_is_the_same_from_a_larger_budget(some):
    """What a campaign stores does not depend on who has asked first."""
    kept = [row for row in some if row.n_queries == 300]
    for row in kept:
        page = Page.of([row], 100)
        (event,) = Outcomes([page]).event("clean", 100).tolist()
        assert event == row.event("clean", 100)


def test_nothing_is_an_outcome_too():
    none = Outcomes([])
    assert len(none) == none.crashed == 0
    assert none.status(10) == []
    assert STATUSES[0] == "open"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    run(planned(folder), folder / "s.db")
    return folder / "s.db"


@pytest.fixture
def store(folder, made):
    shutil.copy(made, "s.db")
    return "s.db"


def plainly(path, meaning, by):
    """Rates of an export's rows, counted one by one."""
    groups = {}
    with open(path, newline="") as stream:
        for row in csv.DictReader(stream):
            key = (*(row[name] for name in by), int(row["n_queries"]))
            groups.setdefault(key, []).append(row[meaning])
    return {
        key: (sum(map(bool, values)), len(values)) for key, values in groups.items()
    }


@pytest.mark.parametrize("by", [BY, ("attack",), ("network", "seed"), ()])
@pytest.mark.parametrize("meaning", MEANINGS)
def test_a_summary_is_what_the_export_s_rows_say(store, by, meaning):
    with Record(store) as record:
        selection = select(record)
        groups = summary(selection, by, meaning)
        export(selection, "all.csv")
    expected = plainly("all.csv", meaning, by)
    assert len(groups) == len(expected)
    for group in groups:
        key = (*(str(group.labels[name]) for name in by), group.n_queries)
        fell, n = expected[key]
        facts = group.to_json()
        assert facts["images"] == n
        assert facts["success_rate"] == fell / n
        wilson = share(fell, n)
        assert facts["success_interval_95"] == [wilson.lower, wilson.upper]
        queries = np.sort(group.counts.queries[group.counts.success])
        half = math.ceil(n / 2)
        median = queries[half - 1] if fell >= half else None
        assert facts["median_queries"] == median


def test_rows_of_an_export(store):
    with Record(store) as record:
        selection = select(record)
        assert export(selection, "all.csv") == 5 * 2 * 10 * 2
    with open("all.csv", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert tuple(found[0]) == COLUMNS
    order = [(row["n_queries"], row["image"]) for row in found[:4]]
    assert [n for n, _ in order] == ["20", "45", "20", "45"]
    assert order[0][1] == order[1][1] != order[2][1]
    for row in found:
        if row["broken"]:
            assert int(row["broken"]) == max(int(row["confirmed"]), int(row["clean"]))
            assert int(row["broken"]) <= int(row["asked"]) <= int(row["n_queries"])


def test_parquet_holds_the_same(store):
    parquet = pytest.importorskip("pyarrow.parquet")
    with Record(store) as record:
        selection = select(record)
        export(selection, "a.csv")
        export(selection, "a.parquet")
        export(selection, "b.parquet")
    with open("a.parquet", "rb") as one, open("b.parquet", "rb") as other:
        assert one.read() == other.read()
    table = parquet.read_table("a.parquet").to_pylist()
    with open("a.csv", newline="") as stream:
        for row, told in itertools.zip_longest(table, csv.DictReader(stream)):
            for name, value in told.items():
                assert str("" if row[name] is None else row[name]) == value


def test_a_selection_is_a_part_in_order(store):
    with Record(store) as record:
        whole = select(record)
        some = select(record, "tiny", {"attack": ["rays"], "seed": [7], "network": []})
        assert some.jobs == tuple(
            j for j in whole.jobs if j.contender.attack == "rays" and j.seed == 7
        )
        places = [whole.jobs.index(job) for job in some.jobs]
        assert some.pages == tuple(whole.pages[i] for i in places)
        small = select(record, only={"n_queries": [20]})
        assert {g.n_queries for g in summary(small)} == {20}
        none = select(record, only={"site": [""], "strength": [0.3]})
        assert none.jobs == ()
        assert summary(none) == []


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ({"attack": ["rayz"]}, "did you mean 'rays'"),
        ({"eps": [0.06]}, "expected eps to be one of 0.05, got 0.06"),
        ({"n_queries": [21]}, "expected n_queries to be one of 20, 45, got 21"),
        ({"seed": [1]}, "expected seed to be one of 0, 7, got 1"),
        ({"attak": ["rays"]}, "did you mean 'attack'"),
    ],
)
def test_what_is_not_there_is_named(store, only, says):
    with Record(store) as record, pytest.raises(DomainError, match=says):
        select(record, only=only)


@pytest.mark.parametrize("path", ["a.txt", "a", "absent/a.csv", "absent/a.parquet"])
def test_a_bad_path_is_named(store, path):
    with Record(store) as record, pytest.raises(DomainError, match="expected a"):
        export(select(record), path)
