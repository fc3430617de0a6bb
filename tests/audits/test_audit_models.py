"""Every planted fault is found, and nothing is found in sound models."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from planted_faults import FAULTS, Guard
from seeds_numpy import SeededAtImport
from sound_models import SOUND
from torch import nn

import querytax as qt
from querytax.audits import RULES
from querytax.expect import DomainError

PROCESSES = {"noise/repeats-across-forks", "noise/repeats-after-restart"}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name, demo_model, shown, few_generators):
    make, rules = FAULTS[name]
    found = qt.audit(
        make(demo_model, 5), *shown, processes=bool(rules & PROCESSES), rng=3
    )
    assert rules & set(found.rules), found.rules
    assert not found.sound
    named = next(f for f in found.findings if f.rule in rules)
    assert named.evidence
    assert named.remedy == RULES[named.rule].remedy
    assert found.n_queries <= 20_000


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_model_raises_nothing(name, demo_model, shown, few_generators):
    """Chance raises anything once in a million times, by the bound of all tests."""
    found = qt.audit(SOUND[name](demo_model), *shown, processes=False)
    assert found.sound, [(f.rule, f.what) for f in found.findings]
    assert "noise/none" not in found.rules


def test_there_are_enough_of_both():
    assert len(FAULTS) >= 20
    assert len(SOUND) >= 20
    assert {rule for _, rules in FAULTS.values() for rule in rules} <= set(RULES)


def test_processes_of_a_sound_model(demo_model, shown, few_generators):
    found = qt.audit(qt.defend(demo_model, "input", 0.1), *shown)
    looked = {check.rule for check in found.passed}
    assert looked >= PROCESSES
    assert not found.findings


def test_a_deterministic_model_is_none_and_no_fault(demo_model, shown):
    found = qt.audit(demo_model, *shown)
    assert found.rules == ("noise/none",)
    assert found.sound


class Quantised(nn.Module):
    """A deterministic rewriting of images: rough, and no noise."""

    def __init__(self, model, steps):
        super().__init__()
        self.model, self.steps = model, steps

    def forward(self, x):
        return self.model((x * self.steps).round() / self.steps)


class QuantisedAnswers(Quantised):
    def forward(self, x):
        return (self.model(x) * self.steps).round() / self.steps


@pytest.mark.parametrize("steps", [4, 16, 255])
@pytest.mark.parametrize("kind", [Quantised, QuantisedAnswers])
def test_rounding_is_not_called_noise(kind, steps, demo_model, shown):
    assert qt.audit(kind(demo_model, steps), *shown).rules == ("noise/none",)


def test_an_experiment_s_noise_is_found_out(demo_model, shown, few_generators):
    guarded = qt.defend(demo_model, "output:logits", 0.3, experiment_seed=4)
    found = qt.audit(guarded, *shown)
    assert {
        "noise/repeats-across-copies",
        "noise/repeats-across-pickles",
        "noise/repeats-across-forks",
        "noise/repeats-after-restart",
        "noise/repeats-from-state-dict",
    } <= set(found.rules)


def test_a_remote_has_no_copies_and_says_so(demo_model, shown, few_generators):
    found = qt.audit(SOUND["Remote, probabilities"](demo_model), *shown)
    skipped = {check.rule for check in found.skipped}
    assert {"noise/repeats-across-copies", "noise/absent-in-training"} <= skipped


def test_the_budget_is_kept_and_what_it_did_not_pay_for_is_told(demo_model, shown):
    for most in (1, 300, 1500):
        found = qt.audit(qt.defend(demo_model, "input", 0.1), *shown, n_queries=most)
        assert found.n_queries <= most
        assert any("budget" in check.what for check in found.skipped)
        assert found.sound


def test_nothing_outside_is_moved(demo_model, shown, few_generators):
    model = qt.defend(demo_model, "input", 0.1)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    state, modes = torch.get_rng_state(), [m.training for m in model.modules()]
    held = {name: part.clone() for name, part in demo_model.state_dict().items()}
    qt.audit(model, *shown)
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(demo_model.state_dict()[k], v) for k, v in held.items())


def test_source_makes_the_model_in_a_new_process(demo_model, shown, few_generators):
    model = SeededAtImport(demo_model, 0.2)
    found = qt.audit(model, *shown, source="restarted_model:model")
    assert "noise/repeats-after-restart" in found.rules
    found = qt.audit(model, *shown, source="no_such_module:model")
    told = {check.rule: check.what for check in found.skipped}
    assert "new process failed" in told["noise/repeats-after-restart"]


def test_dropout_and_batch_norm_are_no_noise_in_training(shown):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 32),
        nn.BatchNorm1d(32),
        nn.Dropout(),
        nn.Linear(32, 10),
    ).eval()
    before = model[2].running_mean.clone()
    assert qt.audit(model, *shown).rules == ("noise/none",)
    assert torch.equal(model[2].running_mean, before)


def test_two_classes_and_three(shown, few_generators):
    images, labels = shown
    for width in (1, 2, 3):
        head = nn.Sequential(nn.Flatten(), nn.Linear(64, width))
        found = qt.audit(
            qt.defend(head, "input", 0.2),
            images,
            labels % max(width, 2),
            processes=False,
        )
        assert found.sound, found.findings


def test_same_seed_same_findings(demo_model, shown, few_generators):
    class Fixed(Guard):
        def draw(self, x, y):
            return torch.randn(y.shape, generator=torch.Generator().manual_seed(2))

    one, two = (qt.audit(Fixed(demo_model), *shown, rng=9) for _ in range(2))
    assert one.to_json() == two.to_json()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"n_queries": 0}, "n_queries"),
        ({"false_alarm": 0.0}, "false_alarm"),
        ({"images": torch.ones(3, 4) * 2}, r"\[0, 1\]"),
        ({"labels": [1, 2]}, "labels"),
        ({"model": 3}, "model"),
    ],
)
def test_bad_input_is_named(more, message, demo_model, shown):
    given = {"model": demo_model, "images": shown[0], **more}
    with pytest.raises(DomainError, match=message):
        qt.audit(**given)
