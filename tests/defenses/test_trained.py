"""Defences that a copy of the network is trained for: weights, noise, and bad input."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor, nn

from querytax import defend, harden
from querytax import training as loop
from querytax.attacks.oracle import clean_model
from querytax.catalogue import DEFENCES
from querytax.defenses import FeatureNoise, InputNoise
from querytax.defenses.trained import (
    AdversariallyTuned,
    Distilled,
    GaussianTuned,
    ParametricNoise,
    SelfEnsemble,
    preparing,
)
from querytax.defenses.trained.adversarial import worst
from querytax.defenses.trained.hardened import TRAININGS
from querytax.defenses.trained.parametric import _applied
from querytax.demo import digits, load_model
from querytax.expect import DomainError
from querytax.noise import normals
from querytax.sites import Site

FEW = {"epochs": 2, "batch": 16}
WORDS = ("rnd-gf", "rnd-at", "pni", "rse", "distill")
KEYS = (torch.arange(7), torch.arange(7) + 5)
KINDS = {
    "rnd-gf": GaussianTuned,
    "rnd-at": AdversariallyTuned,
    "pni": ParametricNoise,
    "rse": SelfEnsemble,
    "distill": Distilled,
}


@pytest.fixture
def data():
    x, y = digits().train
    return x[:48], y[:48]


@pytest.fixture
def network():
    return load_model()


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, weights(one), weights(other)))


# -- all of them -------------------------------------------------------------------


@pytest.mark.parametrize("word", WORDS)
def test_a_copy_is_trained_and_the_callers_stays(word, network, data):
    network.train().requires_grad_(True).zero_grad()
    before, state = weights(network), torch.random.get_rng_state()
    defence = defend(network, word, data=data, **FEW)
    assert type(defence) is KINDS[word]
    assert all(map(torch.equal, before, weights(network)))
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not same(defence.model, network)
    assert not any(p.requires_grad for p in defence.model.parameters())
    assert not any(m._forward_hooks for m in defence.modules())
    assert same(defend(network, word, data=data, **FEW).model, defence.model)
    assert clean_model(defence) is defence.model


@pytest.mark.parametrize("word", TRAININGS)
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(
    word, network, data, tmp_path, monkeypatch
):
    whole = harden(network, word, *data, **FEW)
    assert isinstance(whole, nn.Sequential)
    path, order = tmp_path / "net.partial", loop.permutation
    begun = []

    def until(n, stream, epoch):
        begun.append(epoch)
        if len(begun) == (4 if word == "distill" else 2):
            raise KeyboardInterrupt
        return order(n, stream, epoch)

    monkeypatch.setattr(loop, "permutation", until)
    with pytest.raises(KeyboardInterrupt):
        harden(network, word, *data, resume=path, **FEW)
    assert path.exists()
    monkeypatch.setattr(loop, "permutation", order)
    other = data[0].flip(0), data[1]
    with pytest.raises(DomainError, match="expected resume to hold this training"):
        harden(network, word, *other, resume=path, **FEW)
    monkeypatch.setattr(loop, "permutation", until)
    begun[:] = ["after"] * 9
    assert same(harden(network, word, *data, resume=path, **FEW), whole)
    # One epoch was left, of the student where a teacher came first.
    assert begun[9:] == [1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", WORDS)
def test_at_strength_0_nothing_is_trained(word, network, data):
    entry = DEFENCES[word]
    defence = defend(network, word, 0.0, data=data)
    x = data[0][:7]
    assert same(defence.model, network)
    assert torch.equal(defence(x), network(x))
    defence(x).detach().fill_(9.0)
    assert torch.equal(defence(x), network(x))
    assert getattr(defence, entry.strength) == 0.0


@pytest.mark.parametrize("word", WORDS)
def test_words_and_entries(word):
    entry = DEFENCES[word]
    assert entry.trained
    assert len(entry.about) <= 60
    for name in (word, f"{word}:epochs=2:training_seed=3"):
        assert Site.parse(name).name == name
    assert 0 < entry.usual <= entry.most


@pytest.mark.parametrize("word", WORDS)
def test_copies_and_files_answer_alike(word, network, data):
    defence = defend(network, word, data=data, experiment_seed=1, epochs=1)
    x = data[0][:7]
    for twin in (copy.deepcopy(defence), pickle.loads(pickle.dumps(defence))):
        assert torch.equal(twin(x, *KEYS), defence(x, *KEYS))


@pytest.mark.parametrize("word", WORDS)
def test_the_rules_that_noise_obeys(word, network, data):
    defence, x = defend(network, word, data=data, epochs=1), data[0][:7]
    torch.manual_seed(0)
    first = defence.train()(x)
    torch.manual_seed(0)
    second = defence.eval()(x.double())
    drawn = word != "distill"
    assert bool((first != second).all()) == drawn
    assert second.dtype == torch.float32
    assert defence.n_queries == 14
    assert not isinstance(defence, nn.Sequential)
    first.fill_(9.0)
    walked = nn.Sequential(defence, nn.Softmax(1))
    assert bool((walked(x) != walked(x)).any()) == drawn
    assert (
        bool((defend(network, word, data=data, epochs=1)(x) != second).all()) == drawn
    )


def test_a_hardened_network_takes_noise_like_any_other(network, data):
    plain = harden(network, "rnd-gf", *data, sigma=0.2, **FEW)
    whole = defend(network, "rnd-gf", 0.2, data=data, experiment_seed=3, **FEW)
    assert same(plain, whole.model)
    x = data[0][:7]
    want = InputNoise(plain, 0.2, experiment_seed=3)(x, *KEYS)
    assert torch.equal(whole(x, *KEYS), want)
    assert same(
        harden(network, "pgd", *data, **FEW), harden(network, "pgd", *data, **FEW)
    )
    with pytest.raises(DomainError, match="expected a setting of pgd"):
        harden(network, "pgd", *data, sigma=0.2)


# -- bad input ---------------------------------------------------------------------


class Numbers(nn.Module):
    """No parameters."""

    def forward(self, x):
        return x.flatten(1)[:, :3]


class Detached(nn.Linear):
    """No gradient."""

    def forward(self, x):
        return super().forward(x.flatten(1)).detach()


@pytest.mark.parametrize("word", TRAININGS)
def test_one_clear_line(word, network, data):
    x, y = data
    wrong = [
        (lambda v: v.flatten(1)[:, :3], x, y, "to be a torch module that runs"),
        (3, x, y, "to be a torch module or a callable"),
        (Numbers(), x, y, "expected model to have parameters"),
        (Detached(64, 10), x, y, "to be differentiable"),
        (InputNoise(network, 0.1), x, y, "expected model without a defence"),
        (network, x, y[:5], "expected labels to be 48 whole numbers"),
        (network, x, y + 5, "expected labels in 0..9, the model's classes, got 14"),
        (network, x, y - 20, "expected labels in 0..9"),
        (network, 300 * x, y, r"expected images in \[0, 1\]"),
        (network, x[:, :, :5], y, "expected model to answer images of shape"),
    ]
    for model, images, labels, line in wrong:
        with pytest.raises(DomainError, match=line):
            harden(model, word, images, labels)
    for settings, line in (
        ({"epochs": 0}, "expected epochs to be a whole number"),
        ({"rate": 2.0}, "expected rate"),
        ({"speed": 1}, f"expected a setting of {word}"),
        ({"resume": "/nowhere/at/all"}, "nowhere"),
    ):
        with pytest.raises(DomainError, match=line):
            harden(network, word, x, y, **settings)


def test_more_clear_lines(network, data):
    with pytest.raises(DomainError, match="expected word to be one of"):
        harden(network, "rnd-fg", *data)
    with pytest.raises(DomainError, match=r"expected data=\(images, labels\) for rse"):
        defend(network, "rse")
    with pytest.raises(DomainError, match=r"expected data=\(images, labels\), got"):
        defend(network, "rse", data=data[0])
    for kind, strength in ((GaussianTuned, "sigma"), (Distilled, "temperature")):
        with pytest.raises(DomainError, match=f"expected {strength}"):
            kind(network, -1.0, data=data)
    with pytest.raises(DomainError, match="expected sigma"):
        harden(network, "rnd-gf", *data, sigma=0.0)
    with pytest.raises(DomainError, match="expected temperature <= 1000"):
        harden(network, "distill", *data, temperature=2000)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(DomainError, match="expected model to have convolutions"):
        harden(flat, "rse", *data)
    with pytest.raises(DomainError, match="one of both"):
        ParametricNoise(network, 1.0)
    with pytest.raises(DomainError, match="convolutions and linear maps, got one of"):
        ParametricNoise(network, 1.0, alphas={"1": 0.2})


# -- what the trainings do ---------------------------------------------------------


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_projected_gradients_stay_in_the_ball_and_find_harder_images(
    norm, network, data
):
    x, y = data
    start = normals(0, "t", torch.arange(48), torch.zeros(48, dtype=int), x.shape[1:])
    hard = worst(lambda a, _: network(a), x, y, start, eps=0.2, norm=norm, steps=5)
    move = (hard - x).flatten(1)
    length = move.abs().amax(1) if norm == "Linf" else move.norm(dim=1)
    assert float(length.max()) <= 0.2 + 1e-6
    assert 0 <= float(hard.min()) <= float(hard.max()) <= 1
    loss = nn.functional.cross_entropy
    assert loss(network(hard), y) > loss(network(x), y)


def test_a_softmax_of_the_student_saturates(network, data):
    x = data[0]
    student = defend(network, "distill", data=data, epochs=5)
    assert student(x).abs().mean() > 2 * network(x).abs().mean()
    assert student.temperature == 20.0


class Said(nn.Module):
    """Probabilities of a network."""

    answers = "probabilities"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x).softmax(1)


@pytest.mark.parametrize("word", WORDS)
def test_a_model_of_probabilities_is_trained_by_their_logarithms(word, network, data):
    defence = defend(Said(network), word, data=data, epochs=1)
    said = defence(data[0][:7])
    assert defence.answers == "probabilities"
    assert torch.allclose(said.sum(1), torch.ones(7), atol=1e-5)
    bare = defend(network, word, data=data, epochs=1)
    for got, want in zip(weights(defence.model), weights(bare.model), strict=True):
        assert torch.allclose(got, want, atol=1e-2)


# -- parametric noise --------------------------------------------------------------


LAYERS = [
    (nn.Conv2d(4, 6, 3, padding=1, stride=2), (4, 7, 8)),
    (nn.Conv2d(4, 6, 3, groups=2, dilation=2), (4, 7, 8)),
    (nn.Conv2d(4, 4, (3, 1), padding="same", groups=4), (4, 7, 8)),
    (nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular"), (4, 7, 8)),
    (nn.Conv1d(4, 6, 3), (4, 9)),
    (nn.Conv3d(2, 3, 2), (2, 3, 4, 4)),
    (nn.Linear(5, 3), (6, 5)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_every_row_meets_its_own_weights(layer, shape):
    """One grouped convolution against one layer a row."""
    draw = torch.Generator().manual_seed(0)
    h = torch.randn(3, *shape, generator=draw)
    z = torch.randn(3, *layer.weight.shape, generator=draw)
    got = _applied(layer, z, h)
    for row in range(3):
        one = copy.deepcopy(layer)
        one.bias = None
        one.weight = nn.Parameter(z[row])
        assert torch.allclose(got[row], one(h[row : row + 1])[0], atol=1e-5)


def test_noise_on_the_weights_by_hand(model, images):
    defence = ParametricNoise(
        model, 2.0, alphas={"stem": 0.1, "head": 0.0}, experiment_seed=0
    )
    got = defence(images, *KEYS)
    z = normals(0, "defense/0/output:stem:1", *KEYS, model.stem.weight.shape)
    for row in range(7):
        one = copy.deepcopy(model)
        one.stem.weight.add_(0.2 * model.stem.weight.std() * z[row])
        assert torch.allclose(got[row], one(images[row : row + 1])[0], atol=1e-5)


def test_a_linear_maps_shortcut_has_the_law_of_noise_on_its_weights():
    """Variances and correlations over 20,000 draws, 5.5 standard errors each."""
    n, layer = 20_000, nn.Linear(6, 3)
    layer.requires_grad_(False)
    h = torch.linspace(0.1, 1.0, 6)
    net = nn.Sequential(nn.Flatten(), layer)
    defence = ParametricNoise(net, 0.5, alphas={"1": 0.8}, experiment_seed=0)
    rows = torch.zeros(n, dtype=torch.int64)
    said = defence(h.expand(n, 6), rows, torch.arange(n)) - net(h[None])
    size = 0.4 * float(layer.weight.std()) * float(h.norm())
    ratio = said.var(0) / size**2
    assert float((ratio - 1).abs().max()) < 5.5 * math.sqrt(2 / n)
    corr = torch.corrcoef(said.T) - torch.eye(3)
    assert float(corr.abs().max()) < 5.5 / math.sqrt(n)


def test_weights_are_drawn_for_each_row_and_query(network, data):
    defence = defend(network, "pni", data=data, epochs=1, experiment_seed=2)
    same_image = data[0][:1].expand(7, -1, -1, -1)
    whole = defence(same_image, *KEYS)
    assert len(whole.unique(dim=0)) == 7
    rows, queries = KEYS
    one = [
        defence(same_image[:1], rows[i : i + 1], queries[i : i + 1]) for i in range(7)
    ]
    assert torch.allclose(torch.cat(one), whole, atol=1e-5)
    first, second = (defend(network, "pni", data=data, epochs=1) for _ in range(2))
    assert (first(same_image) != second(same_image)).all()


def test_the_scale_is_set_without_training_again(network, data):
    defence, x = defend(network, "pni", data=data, epochs=1), data[0][:7]
    assert set(defence.alphas) == {"0", "2", "6", "8"}
    assert all(0 < alpha < 0.5 for alpha in defence.alphas.values())
    defence.scale = 0.0
    assert torch.equal(defence(x), defence.model(x))
    again = ParametricNoise(
        defence.model, 1.0, alphas=defence.alphas, experiment_seed=4
    )
    assert again.alphas == defence.alphas
    assert (again(x) != defence(x)).all()


# -- self-ensemble -----------------------------------------------------------------


def test_it_is_feature_noise_before_each_convolution(network, data):
    defence = defend(network, "rse", 0.05, data=data, epochs=1, experiment_seed=1)
    assert defence.sites == ("0", "2")
    assert defence.sigmas == (0.1, 0.05)
    x = data[0][:7]
    plain = FeatureNoise(
        defence.model, [0.1, 0.05], ["0", "2"], where="input", experiment_seed=1
    )
    assert torch.equal(defence(x, *KEYS), plain(x, *KEYS))
    defence.sigma = 0.2
    assert defence.sigmas == (0.4, 0.2)


@pytest.mark.parametrize("said", [False, True])
def test_passes_are_averaged_as_probabilities(network, data, said):
    wrap = Said if said else lambda net: net
    defence = SelfEnsemble(
        wrap(network), 0.1, data=data, passes=3, epochs=1, experiment_seed=1
    )
    x = data[0][:7]
    turns = [defence._noisy(x, *KEYS, t) for t in ("", "1:", "2:")]
    if not said:
        turns = [turn.softmax(1) for turn in turns]
    assert (turns[0] != turns[1]).all()
    got = defence(x, *KEYS)
    want = sum(turns) / 3
    assert torch.allclose(got if said else got.exp(), want, atol=1e-6)
    assert defence.n_queries == 7


# -- the data ----------------------------------------------------------------------


def test_what_tells_one_training_from_another(network, data):
    x, y = data

    def mark(model=network, images=x, labels=y, word="pgd", **more):
        how = {"epochs": 1, "batch": 8, "rate": 1e-3, "training_seed": 0, **more}
        return preparing.schedule(model, (images, labels), word, **how).mark

    other = copy.deepcopy(network)
    with torch.no_grad():
        next(other.parameters()).flatten()[0] += 1e-3
    marks = [
        mark(),
        mark(other),
        mark(images=1 - x),
        mark(labels=9 - y),
        mark(word="rse"),
        mark(training_seed=1),
        mark(eps=0.1),
        mark(eps=0.2),
    ]
    assert len(set(marks)) == len(marks)
    assert mark() == marks[0]
