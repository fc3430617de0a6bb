"""What a randomised model must do for other people's attacks to run on it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from querytax.defenses import Defense, FeatureNoise, InputNoise, OutputNoise

from .conftest import silence


class SequentialWalker(nn.Module):
    """Runs a model as attack libraries do that record what each layer answers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        if not isinstance(self.model, nn.Sequential):
            return self.model(x)
        for child in self.model._modules.values():
            x = child(x)
        return x


def fresh(answer, x):
    """Whether two answers to the same images differ everywhere."""
    return bool((answer(x) != answer(x)).all())


def test_rule_1_walking_a_sequentials_children_keeps_the_noise(build, model, images):
    defence = build(model)
    assert not isinstance(defence, nn.Sequential)
    assert fresh(SequentialWalker(defence), images)
    assert fresh(SequentialWalker(nn.Sequential(defence, nn.Softmax(dim=1))), images)


def test_rule_1_a_defended_sequential_is_noisy_under_a_walker(images):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(108, 9), nn.Tanh(), nn.Linear(9, 3))
    assert fresh(
        SequentialWalker(FeatureNoise(plain, 0.1, "2", experiment_seed=0)), images
    )
    before = FeatureNoise(plain, 0.1, "1", where="input", experiment_seed=0)
    assert fresh(SequentialWalker(before), images)
    assert not fresh(SequentialWalker(plain), images)


def test_rule_2_noise_acts_in_evaluation_mode(build, model, images):
    defence = build(model)
    assert fresh(defence.eval(), images)
    assert fresh(defence.train(), images)
    defence.reset()
    trained = defence(images)
    defence.reset()
    assert torch.equal(defence.eval()(images), trained)
    with torch.no_grad():
        assert fresh(defence, images)
    with torch.inference_mode():
        assert fresh(defence, images)
    assert fresh(defence, images)


def test_rule_3_global_seeds_neither_freeze_nor_move_the_noise(build, model, images):
    defence = build(model)
    answers = []
    for _ in range(2):
        torch.manual_seed(0)
        answers.append(defence(images))
    assert (answers[0] != answers[1]).all()
    defence.reset()
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    assert torch.equal(defence(images), answers[0])
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("own", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("sent", [torch.float16, torch.float32, torch.float64])
def test_rule_4_images_are_cast_to_the_parameters_type(build, model, images, own, sent):
    defence = build(model).to(own)
    answer = defence(images.to(sent))
    assert answer.dtype == own
    assert answer.isfinite().all()


class Cached(nn.Module):
    """Hands out the same tensor every time."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stage, self.head = nn.Identity(), nn.Identity(), nn.Identity()
        self.kept = torch.zeros(7, 5)

    def forward(self, x):
        self.head(self.stage(self.stem(x)))
        return self.kept


@pytest.mark.parametrize("silent", [False, True])
def test_rule_5_the_answer_is_the_callers_to_overwrite(build, images, silent):
    model = Cached()
    defence = build(model)
    if silent:
        silence(defence)
    defence(images).fill_(9.0)
    assert not model.kept.any()
    assert not (defence(images) == 9.0).any()


def test_rule_6_there_is_something_to_read_the_device_from(build, model):
    assert next(build(model).parameters()).device == torch.device("cpu")
    for defence in (InputNoise(len, 0.1), OutputNoise(len, 0.1)):
        assert next(defence.buffers()).device == torch.device("cpu")
        assert next(defence.to("meta").buffers()).device == torch.device("meta")
        assert not set(defence.state_dict()) - {"_extra_state"}


def test_rule_7_rows_are_counted_not_calls(build, model, images):
    defence = build(model)
    assert defence.n_queries == 0
    defence(images)
    defence(images[:3])
    defence(images[:1], torch.tensor([4]), torch.tensor([10**12]))
    defence(images[:0])
    assert defence.n_queries == 11
    defence.reset()
    layers = [part for part in defence.modules() if isinstance(part, Defense)]
    assert all(layer.n_queries == 0 for layer in layers)
