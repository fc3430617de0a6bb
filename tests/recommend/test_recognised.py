"""A recommendation's file is believed where every part is of its kind."""

import copy
import json

import numpy as np
import pytest
from synthetic_statistics import synthetic

from querytax.evidence import Contender
from querytax.expect import DomainError
from querytax.recommend import Recommendation, recommend_sigma
from querytax.recommend.race import Standing
from querytax.recommend.recommendation import Level

ODD = (
    *(None, True, -1, 1.5, float("nan"), "inf", 10**30, "", "x", [], {}, [1], [[1]]),
    {"a": 1},
)


@pytest.fixture(scope="module")
def plain():
    """With standings and levels, as of trials."""
    stats = synthetic(blind=0.01, changes=(-0.1, 0.3))
    plain = recommend_sigma(stats, 1e4).to_json()
    one = Standing(Contender("nes"), 8, 100, 2, 1, 0, (3.0, 9.0, 90.0), (3.0, 9.0))
    level = Level(0.1, (one,), (0.0, 0.01, 0.02), "open")
    plain["standings"] = [json.loads(json.dumps(vars_of(one)))]
    plain["levels"] = [json.loads(json.dumps(vars_of(level)))]
    return plain


def vars_of(value):
    if hasattr(value, "__dataclass_fields__"):
        return {name: vars_of(getattr(value, name)) for name in vars(value)}
    return [vars_of(v) for v in value] if isinstance(value, tuple) else value


def places(data, at=()):
    """Where the parts of nested data are."""
    parts = data.items() if isinstance(data, dict) else ()
    parts = enumerate(data) if isinstance(data, list) else parts
    for key, value in parts:
        yield (*at, key)
        yield from places(value, (*at, key))


@pytest.mark.parametrize("part", range(4))
def test_odd_parts_are_refused_or_said(plain, part):
    """Whatever is taken for a recommendation can be put into words."""
    where = list(places(plain))
    refused = 0
    for case in range(100 * part, 100 * (part + 1)):
        rng = np.random.default_rng([20_261_202, case])
        data = copy.deepcopy(plain)
        *way, last = where[rng.integers(len(where))]
        inside = data
        for key in way:
            inside = inside[key]
        inside[last] = ODD[rng.integers(len(ODD))]
        try:
            rec = Recommendation.from_json(json.dumps(data))
        except DomainError as error:
            refused += "\n" not in str(error)
            continue
        assert rec.statement()
        assert Recommendation.from_json(rec.to_json()) == rec
    assert refused > 50


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "FINE"),
        ("protect", 1.5),
        ("clean_accuracy", float("nan")),
        ("accuracy_loss", [0.0, -1.0, 1.0]),
        ("fraction_protected", True),
        ("sigma", -0.1),
        ("unpredicted", [1]),
        ("predicted_by", [["nes", 3.0]]),
        ("ceiling", [1.0, 2.0]),
        ("patterns", 1.5),
    ],
)
def test_what_no_answer_has(plain, name, value):
    Recommendation.from_json(plain)
    with pytest.raises(DomainError, match="something else: ") as caught:
        Recommendation.from_json({**plain, name: value})
    assert "\n" not in str(caught.value)
