"""Training is a function of its recipe: twice, in parts, and whatever came before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from querytax import training
from querytax.noise import uniforms
from querytax.training import Dropout, Recipe, build, fit

ROWS = torch.arange(48)


def data():
    """Images whose brighter half tells the class."""
    x = uniforms(0, "test/images", ROWS, ROWS, (1, 6, 6))
    y = ROWS % 2
    x[y == 0, :, :3] *= 0.3
    x[y == 1, :, 3:] *= 0.3
    return x, y


def network():
    return build(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            Dropout(0.2),
            nn.Linear(64, 2),
        )
    )


RECIPE = Recipe("test", epochs=4, batch=20, decay=0.01, cycle=True, shift=1, flip=True)


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(v, w) for (a, v), (b, w) in pairs)


def test_a_network_is_a_function_of_its_recipe():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    model = fit(network(), *data(), RECIPE)
    torch.manual_seed(2)
    assert same(fit(network(), *data(), RECIPE), model)
    assert not same(fit(network(), *data(), Recipe("other", epochs=4)), model)
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not model.training


def test_it_learns():
    x, y = data()
    model = fit(network(), x, y, Recipe("test", epochs=20, batch=16))
    assert (model(x).argmax(1) == y).double().mean() > 0.95


def test_interrupted_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    whole = fit(network(), *data(), RECIPE)
    path = tmp_path / "cache" / "net.partial"
    augment = training._augment

    def until(x, rows, epoch, recipe):
        if epoch == 2:
            raise KeyboardInterrupt
        return augment(x, rows, epoch, recipe)

    monkeypatch.setattr(training, "_augment", until)
    with pytest.raises(KeyboardInterrupt):
        fit(network(), *data(), RECIPE, resume=path)
    assert path.exists()
    seen = []

    def counted(x, rows, epoch, recipe):
        seen.append(epoch)
        return augment(x, rows, epoch, recipe)

    monkeypatch.setattr(training, "_augment", counted)
    assert same(fit(network(), *data(), RECIPE, resume=path), whole)
    assert set(seen) == {2, 3}
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no network"])
def test_a_state_cut_short_is_begun_again(tmp_path, content):
    path = tmp_path / "net.partial"
    path.write_bytes(content)
    assert same(
        fit(network(), *data(), RECIPE, resume=path), fit(network(), *data(), RECIPE)
    )


def test_images_move_over_black_and_are_mirrored():
    recipe = Recipe("test", epochs=1, shift=2, flip=True)
    rows = torch.arange(4000)
    x = uniforms(0, "test/move", rows[:1], rows[:1], (2, 5, 7))
    moved = training._augment(x.expand(4000, -1, -1, -1), rows, 0, recipe)
    counts = torch.zeros(2, 5, 5)
    # The reference tries every place.
    for mirrored, image in enumerate((x[0], x[0].flip(-1))):
        frame = torch.zeros(2, 9, 11)
        frame[:, 2:7, 2:9] = image
        for i in range(5):
            for j in range(5):
                place = frame[:, i : i + 5, j : j + 7]
                counts[mirrored, i, j] = (moved == place).flatten(1).all(1).sum()
    assert counts.sum() == 4000
    # Of 50 cells of 80 on average one leaves 80 +- 5 sqrt(80) with probability 3e-5.
    assert (counts - 80).abs().max() < 5 * 80**0.5
    other = training._augment(x.expand(4000, -1, -1, -1), rows, 1, recipe)
    assert not torch.equal(other, moved)


def test_dropout_keeps_the_mean_and_rests_in_evaluation():
    layer, x = Dropout(0.2), torch.ones(100, 1000)
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    assert first.unique().tolist() == [0.0, 1.25]
    # 1e5 draws: a standard error of 0.5 / 316.
    assert float(first.mean()) == pytest.approx(1.0, abs=5 * 0.5 / 316)
    assert torch.equal(layer.eval()(x), x)


def test_the_rate_rises_and_falls():
    rates = [training._rate(RECIPE, done) for done in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0.0, 1e-3, 2e-3, 1e-3, 0.0])
    assert training._rate(Recipe("test", epochs=1, rate=0.1), 0.7) == 0.1
