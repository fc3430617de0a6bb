"""What a trial is to the store: its run, and the plan and the model behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from querytax import expect
from querytax.attacks.block import ACCESS
from querytax.attacks.foreign.plan import foreign_plan
from querytax.attacks.foreign.run import foreign_attack
from querytax.attacks.foreign.table import find as find_foreign
from querytax.attacks.oracle import Model
from querytax.attacks.table import Attack, plan_of
from querytax.attacks.work import entry_of
from querytax.evidence import Trial
from querytax.plans import Plan
from querytax.sites import Site
from querytax.trials.code import code_of
from querytax.trials.ground import Ground, noise_seed
from querytax.trials.reading import APART, settings_of
from querytax.trials.store import RunKey

__all__ = ["Identity", "identify"]


class Identity(NamedTuple):
    """A run of the store, what the attacker does, and the model with its defence."""

    run: RunKey
    plan: Plan
    model: Model


def identify(
    ground: Ground, trial: Trial, *, votes: int, surrogate: Model | None = None
) -> Identity:
    """What a trial on a ground is; nothing is attacked.

    Parameters
    ----------
    ground : Ground
    trial : Trial
        Of an attack of this house, or of a library's, such as ``art:square``; its
        recipe is then ``library``.
    votes : int
        Fresh queries that confirm a success, odd.
    surrogate : model, optional
        A network of the attacker's own.

    Raises
    ------
    DomainError
        If there is no such attack, recipe, setting or defence, or the attack cannot do
        what is asked.
    """
    who = trial.contender
    shape = tuple(ground.parts[trial.part][0].shape[1:])
    for name, _ in who.changes:
        if name in APART:
            raise expect.DomainError(
                f"expected changes to be settings of {who.attack}'s plan, which "
                f"{name!r} of the trial is not"
            )
    expect.one_of(ACCESS, access=trial.access)
    changes = Site.parse(trial.site).knowing(who.changes, float(trial.sigma))
    eps, foreign = float(trial.eps), ":" in who.attack
    plan: Plan
    engine: Callable[..., Any]
    if foreign:
        other = find_foreign(who.attack)
        expect.one_of(("library",), **{f"recipe of {who.attack}": who.recipe})
        plan = foreign_plan(
            who.attack,
            eps=eps,
            norm=trial.norm,
            n_queries=trial.n_queries,
            access=trial.access,
            shape=shape,
            **changes,
        )
        access, surrogates, engine = other.access, False, foreign_attack
    else:
        plan = plan_of(
            who.attack, eps, trial.norm, recipe=who.recipe, shape=shape, **changes
        )
        entry: Attack = entry_of(plan, trial.access)
        access, surrogates, engine = entry.access, entry.surrogate, entry.engine
    plan.check_shape(shape)
    if surrogates and surrogate is None:
        raise expect.DomainError(
            f"expected surrogate for {who.attack}, a network of the attacker's "
            "own, got None"
        )
    seed = expect.count(0, seed=trial.seed)
    expect.that(seed < 1 << 63, "< 2**63", seed=seed)
    site, model = ground.noisy(
        trial.network, trial.site, float(trial.sigma), noise_seed(seed)
    )
    run = RunKey(
        network=ground.print_of(trial.network),
        site=site,
        sigma=float(trial.sigma),
        attack=who.attack,
        recipe=who.recipe,
        settings=settings_of(plan),
        eps=plan.eps,
        norm=plan.norm,
        # An attack is told what it needs, and no more: more access changes nothing.
        access=access,
        votes=votes,
        seed=int(seed),
        surrogate=ground.print_of_model(surrogate) if surrogates and surrogate else "",
        code=code_of(engine, model),
    )
    return Identity(run, plan, model)
