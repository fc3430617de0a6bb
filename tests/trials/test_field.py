"""What the portfolio says of attacks is what the table of attacks says."""

import pytest
import torch

from querytax.attacks import attack
from querytax.attacks.table import ATTACKS, find, plan_of
from querytax.expect import DomainError
from querytax.recommend.portfolio import entrant, portfolio


def test_every_attack_of_the_table_is_in_the_portfolio():
    everybody = [
        portfolio("best", access=access, norm=norm, surrogate=True)
        for access in ("scores", "top1", "labels")
        for norm in ("Linf", "L2")
    ]
    assert {c.attack for field in everybody for c in field} == set(ATTACKS)


@pytest.mark.parametrize("word", ATTACKS)
def test_what_is_said_of_an_attack_is_true(word):
    said, entry = entrant(word), find(word)
    assert said.access == entry.access
    assert set(said.norms) == set(entry.norms)
    assert said.surrogate == entry.surrogate


@pytest.mark.parametrize("word", ATTACKS)
def test_who_wants_images_refuses_flat_ones(word):
    """And who does not runs on them."""
    said = entrant(word)
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(3, 20, generator=draws)
    weight = torch.randn(20, 3, generator=draws)
    labels = (images @ weight).argmax(1)
    plan = plan_of(word, 0.1, said.norms[0], shape=(20,), recipe="adaptive")
    lent = {"surrogate": torch.nn.Linear(20, 3)} if said.surrogate else {}
    options = {"n_queries": 60, "access": said.access, "rng": 0, **lent}
    if said.planar:
        with pytest.raises(DomainError, match=r"C, H, W"):
            attack(lambda x: x @ weight, images, labels, plan, **options)
    else:
        found = attack(lambda x: x @ weight, images, labels, plan, **options)
        assert not any(word.startswith("crashed") for word in found.status)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (20,)])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("access", ["scores", "top1", "labels"])
def test_every_contender_has_a_plan(shape, norm, access):
    planar = len(shape) == 3
    field = portfolio("best", access=access, norm=norm, planar=planar, surrogate=True)
    assert len(set(field)) == len(field) >= 8
    plans = [
        plan_of(c.attack, 0.1, norm, shape=shape, recipe=c.recipe, **dict(c.changes))
        for c in field
    ]
    for plan, contender in zip(plans, field, strict=True):
        assert plan.norm == norm
        assert all(getattr(plan, k) == v for k, v in contender.changes)
    if planar and norm == "Linf":
        # No choice is another of the same attack, in other words.
        assert len({repr(p) for p in plans}) == len(plans)


@pytest.mark.parametrize("word", ATTACKS)
def test_alone_an_attack_comes_with_its_published_settings(word):
    said = entrant(word)
    norm = said.norms[0]
    field = portfolio(word, access=said.access, norm=norm, surrogate=said.surrogate)
    assert field[0].recipe == "adaptive"
    assert {c.attack for c in field} == {word}
    (own,) = portfolio(
        f"published:{word}",
        access=said.access,
        norm=norm,
        surrogate=said.surrogate,
    )
    # Blind patterns have one recipe, under two names.
    assert own in field or word == "patterns"
