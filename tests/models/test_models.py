"""Models as people have them: every kind through probe, attack, certify and defend."""

from __future__ import annotations

import collections
import dataclasses
import types
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import querytax as qt
from querytax.losses import look_like_probabilities
from querytax.models import as_model, ask, eager, inside
from querytax.models.own_noise import own_noise

FEW = {
    "eps": 0.2,
    "betas": (0.01, 0.1),
    "n_directions": 2,
    "n_flips": 2,
    "n_patterns": 4,
    "n_proposals": 2,
    "batch_size": 64,
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def net(classes: int = 3) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, classes)
        found = nn.Sequential(nn.Flatten(), *layers).eval()
    with torch.no_grad():
        found[3].weight.mul_(8.0)
        # No class is everybody's.
        found[3].bias -= found(X).mean(0)
    return found


X = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(1))
X = 0.1 + 0.8 * X
with torch.no_grad():
    Y = net()(X).argmax(1)


class Around(nn.Module):
    """The network with something done to its answer."""

    def __init__(self, change, network: nn.Module | None = None) -> None:
        super().__init__()
        self.net, self.change = network or net(), change

    def forward(self, x: Tensor):
        return self.change(self.net(x))


def same(model, reference=None, labels=Y, sites=("output", "net.1"), atol=1e-9, **more):
    """The probe and an attack of a model say what those of the reference say."""
    reference = Around(lambda z: z) if reference is None else reference
    settings = {**FEW, "sites": list(sites), **more}
    a, b = (qt.probe(m, X, labels, **settings) for m in (model, reference))
    np.testing.assert_allclose(a.path_length, b.path_length, rtol=1e-4)
    np.testing.assert_allclose(a.logits, b.logits, rtol=1e-4, atol=1e-6)
    for one, other in zip(a.sites.values(), b.sites.values(), strict=True):
        np.testing.assert_allclose(one.signal, other.signal, rtol=1e-3, atol=atol)
        np.testing.assert_allclose(
            one.gradient_norm, other.gradient_norm, rtol=1e-3, atol=atol
        )
    a, b = attacked(model, labels), attacked(reference, labels)
    assert a.confirmed.queries.tolist() == b.confirmed.queries.tolist()
    assert a.attacked.sum() > 5


def attacked(model, labels=Y, **more):
    return qt.attack(model, X, labels, "nes", eps=0.3, n_queries=300, **more)


# -- what an answer holds -----------------------------------------------------------

Named = collections.namedtuple("Named", ["logits", "aux_logits"])


@dataclasses.dataclass
class Scored:
    scores: Tensor
    loss: Tensor | None = None


STRUCTURED = {
    "a tuple of one": lambda z: (z,),
    "a list": lambda z: [z, None],
    "logits and features": lambda z: (z, z[:, :1], torch.zeros(())),
    "a dict": lambda z: {"logits": z, "loss": torch.zeros(())},
    "a dict with one fit": lambda z: {"out": z, "n": 3},
    "an object": lambda z: types.SimpleNamespace(logits=z),
    "a named tuple": lambda z: Named(z, 2 * z),
    "a dataclass": lambda z: Scored(z),
    "a dict within a dict": lambda z: {"head": {"logits": z}, "aux": None},
    "a tuple within a tuple": lambda z: ((z,), None),
    "a list within a dict": lambda z: {"out": [z, z.sum()]},
    "hidden states within": lambda z: {"out": z, "hidden": (z, 2 * z)},
}


@pytest.mark.parametrize("name", STRUCTURED)
def test_structured_answers_are_read(name):
    model = Around(STRUCTURED[name])
    same(model)
    for site in ("input", "output", "net.1"):
        guarded = qt.defend(model, site, 0.0)
        plain = qt.defend(Around(lambda z: z), site, 0.0)
        assert torch.equal(guarded(X), plain(X))


def test_an_answer_that_is_open_is_refused_with_its_remedy():
    model = Around(lambda z: (torch.cat((z, z), 1), z))
    line = r"one tensor \(\d+, C\), got a tuple of 0: \(\d+, 6\), 1: \(\d+, 3\): say"
    for use in (
        lambda: qt.probe(model, X, Y, **FEW),
        lambda: attacked(model),
        lambda: qt.certify(model, X, Y, 100),
        lambda: qt.defend(model, "input", 0.1)(X),
    ):
        with pytest.raises(qt.DomainError, match=line) as caught:
            use()
        assert "qt.as_model(model, pick=0)" in str(caught.value)
    same(as_model(model, pick=1))
    same(as_model(Around(lambda z: {"a": 2 * z, "b": z}), pick="b"))
    same(as_model(Around(lambda z: {"a": 2 * z}), pick=lambda out: out["a"] / 2))
    with pytest.raises(qt.DomainError, match=r"pick .* \['a'\], got 'c'"):
        as_model(Around(lambda z: {"a": z}), pick="c")(X)


@pytest.mark.parametrize(
    ("answer", "says", "pick"),
    [
        (lambda z: (*Named(z, z),), "pick=0", 0),
        (lambda z: Scored(2 * z, z), "pick='scores'", "loss"),
        (lambda z: {"a": {"b": (z, 2 * z)}}, r"pick=\('a', 'b', 0\)", ("a", "b", 0)),
        (lambda z: list(z), "of a row an image .*pick=torch.stack", torch.stack),
        (lambda z: (z[:, 0], z[:, 1]), "pick=0", lambda out: torch.stack(out, 1)),
        (lambda z: z[:, None], r"pick=lambda out: out.flatten\(1\)", lambda o: o[:, 0]),
        (lambda z: z[..., None, None], "out.flatten", lambda out: out.flatten(1)),
        (lambda z: (z for _ in (1,)), r"got generator: qt.as_model\(model, pick", next),
        # What is above could be two classes' number an image.
        (lambda z: {"p": z[:, 0], "in": {"h": z}}, "pick='p'", ("in", "h")),
    ],
)
def test_a_remedy_that_is_told_works(answer, says, pick):
    with pytest.raises(qt.DomainError, match=says):
        qt.probe(Around(answer), X, Y, **FEW)
    found = as_model(Around(answer), pick=pick)(X)
    assert found.shape[0] == len(X)
    assert found.shape[1] in (2, 3)


@pytest.mark.parametrize("answer", [lambda z: (z, None), lambda z: {"logits": z}])
def test_arrays_and_lists_within_others_are_read(answer):
    for kind in (lambda z: z, lambda z: z.tolist()):
        if kind(np.ones(1)) == [1.0] and isinstance(answer(0), tuple):
            continue  # A tuple of a list is a list of rows that lacks some.

        def model(x, kind=kind):
            return answer(kind(by_numpy(x)))

        assert qt.probe(model, X, Y, **FEW).accuracy == 1.0
        assert attacked(model).attacked.all()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda z: z[:1], r"answer \(2, C\) with C >= 2, got \(1, 3\); a model .* one"),
        (lambda z: z[:, :, None], r"got \(2, 3, 1\)"),
        (lambda z: z.argmax(1), r"got torch.int64 of shape \(2, 1\); .* labels alone"),
        (lambda z: None, "return a tensor, got NoneType"),
        (lambda z: "cat", "return a tensor, got str"),
        (lambda z: z.sum(), r"got \(\)"),
        (lambda z: {}, "return a tensor, got dict"),
    ],
)
def test_other_answers_are_one_line(answer, says):
    for use in (as_model, ask):
        with pytest.raises(qt.DomainError, match=says) as caught:
            use(Around(answer), X[:2])
        assert "\n" not in str(caught.value)


def test_a_model_that_fails_is_one_line():
    with pytest.raises(qt.DomainError, match=r"shape \(3,\) in float32, got Runtime"):
        as_model(net(), torch.rand(2, 3))
    with pytest.raises(qt.DomainError, match=r"got KeyError: 'b'; .*qt.Remote\(model,"):
        as_model(lambda x: {"a": 1}["b"], X)
    with pytest.raises(qt.DomainError, match="torch module or a callable, got int"):
        as_model(3, X)


# -- two classes by one number ------------------------------------------------------


def two(z: Tensor) -> Tensor:
    return torch.cat((torch.zeros_like(z), z), 1)


class Sure(Around):
    answers = "probabilities"


@pytest.fixture
def binary():
    network = net(1)
    with torch.no_grad():
        z = network(X)
        network[3].bias -= z.median()
        return network, (network(X)[:, 0] > 0).long()


@pytest.mark.parametrize("shape", [lambda z: z, lambda z: z[:, 0]])
def test_one_logit_is_two_classes(binary, shape):
    network, labels = binary
    model, reference = Around(shape, network), Around(two, network)
    same(model, reference, labels)
    p = torch.sigmoid(network(X)).detach()
    guarded = qt.defend(model, "output", 0.0)
    torch.testing.assert_close(guarded(X).detach(), torch.cat((1 - p, p), 1))
    noisy = qt.defend(model, "output", 0.05)
    assert noisy(X).shape == (12, 2)
    a, b = (
        attacked(qt.defend(m, "output", 0.05, experiment_seed=1), labels)
        for m in (model, reference)
    )
    assert a.confirmed.queries.tolist() == b.confirmed.queries.tolist()


def test_one_probability_is_two_classes_where_the_model_says_so(binary):
    network, labels = binary
    told = Sure(lambda z: torch.sigmoid(z), network)
    both = Sure(lambda z: two(z).softmax(1), network)
    same(told, both, labels, atol=2e-4)
    torch.testing.assert_close(qt.defend(told, "output", 0.0)(X), both(X))
    silent = Around(lambda z: torch.sigmoid(z), network)
    for use in (
        lambda: qt.probe(silent, X, labels),
        lambda: attacked(silent, labels),
        lambda: qt.defend(silent, "input", 0.0)(X),
        lambda: qt.defend(silent, "output", 0.0)(X),
    ):
        with pytest.raises(qt.DomainError, match=r"one number an image, .* sigmoid's"):
            use()


def test_several_labels_at_once_are_refused_with_the_reason():
    model = Around(torch.sigmoid)
    # The first answers of a deployed model may be too few to tell.
    guarded = qt.defend(model, "output", 0.0)
    guarded(X[:1])
    for use in (
        lambda: qt.probe(model, X, Y),
        lambda: attacked(model),
        lambda: guarded(X),
        lambda: qt.defend(model, "input", 0.0)(X),
    ):
        with pytest.raises(qt.DomainError, match=r"sum to .*\(multi-label\)") as caught:
            use()
        assert "set model.answers = 'logits' or 'probabilities'" in str(caught.value)
    model.answers = "logits"
    qt.probe(model, X, Y, **FEW)
    model.answers = "scores"
    with pytest.raises(qt.DomainError, match=r"model.answers to be .* got 'scores'"):
        qt.probe(model, X, Y, **FEW)


def test_logits_that_are_called_probabilities_are_refused():
    model = Sure(lambda z: 10 * z)
    for use in (
        lambda: qt.probe(model, X, Y, **FEW),
        lambda: attacked(model),
        lambda: qt.certify(model, X, Y, 100),
    ):
        with pytest.raises(qt.DomainError, match="answer probabilities, as its model"):
            use()


class Faint(nn.Module):
    """Logits of bright images lie in [0, 1], all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, x: Tensor) -> Tensor:
        z = self.net(x)
        return torch.where(x.flatten(1).mean(1, True) > 0.3, 0.5 + 0.02 * z, z)


def test_small_logits_of_one_image_are_no_sigmoids():
    """Of a model whose other answers have told what they are."""
    images = torch.cat((X[:1], 0.2 * X[1:]))
    model = Faint()
    labels = model(images).argmax(1)
    settings = {**FEW, "sites": ["net.1"], "n_probe": 1, "n_directions": 8}
    assert qt.probe(model, images, labels, **settings).probed.tolist() == [0]
    guarded = qt.defend(model, "input", 0.01, experiment_seed=0)
    assert qt.attack(
        guarded, images, labels, "nes", eps=0.1, n_queries=90
    ).attacked.all()


# -- types --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_images_are_cast_as_the_model_is(dtype):
    network = net().to(dtype)
    with torch.no_grad():
        labels = network(X.to(dtype)).argmax(1)
    found = qt.probe(network, X, labels, sites=["input", "1"], **FEW)
    assert found.accuracy == 1.0
    assert np.isfinite(found.site("1").gradient_norm).all()
    result = attacked(network, labels)
    assert result.attacked.all()
    if dtype == torch.float64:
        same(Around(lambda z: z, network), sites=["output:logits"])
    assert qt.certify(network, X, labels, 20, eps=0.2, attacker="square").images


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_images_are_widened_without_loss(dtype):
    narrow = X.to(dtype)
    wide, labels = narrow.float(), net()(narrow.float()).argmax(1)
    a, b = (qt.probe(net(), x, labels, **FEW) for x in (narrow, wide))
    assert np.array_equal(a.path_length, b.path_length)
    a, b = (
        qt.attack(net(), x, labels, "nes", eps=0.3, n_queries=90)
        for x in (narrow, wide)
    )
    assert a.confirmed.queries.tolist() == b.confirmed.queries.tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_probabilities_do_not_pass_for_logits(dtype):
    """Their rows miss 1 by far more than those of single precision."""
    z = 3.0 * torch.randn(200, 1000, generator=torch.Generator().manual_seed(0))
    p = z.softmax(1).to(dtype)
    assert look_like_probabilities(p)
    assert look_like_probabilities(p.float())
    assert not look_like_probabilities(z.to(dtype))
    assert not look_like_probabilities((p.float() + 1e-3).to(dtype))
    model = Around(lambda z: z.softmax(1), net().to(dtype))
    for use in (lambda: qt.probe(model, X, Y), lambda: attacked(model)):
        with pytest.raises(qt.DomainError, match="return logits, got probabilities"):
            use()
    with pytest.raises(qt.DomainError, match="return logits, got probabilities"):
        qt.defend(model, "output", 0.0)(X)


# -- scripted, traced, exported, compiled, replicated --------------------------------


def exported() -> nn.Module:
    shapes = ({0: torch.export.Dim.AUTO},)
    return torch.export.export(net(), (X,), dynamic_shapes=shapes).module()


HIDDEN = {
    "scripted": lambda: torch.jit.script(net()),
    "traced": lambda: torch.jit.trace(net(), X),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(net())),
    "exported": exported,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", HIDDEN)
def test_models_without_layers_in_python(kind):
    model = HIDDEN[kind]()
    same(model, net(), sites=["input", "output"])
    assert torch.equal(qt.defend(model, "input", 0.0)(X), net()(X))
    says = "every site to be reached" if kind == "exported" else "to run in Python"
    for use in (
        lambda: qt.defend(model, "1", 0.1)(X),
        lambda: qt.probe(model, X, Y, sites=["1"], **FEW),
    ):
        with pytest.raises(qt.DomainError, match=says) as caught:
            use()
        assert "\n" not in str(caught.value)


def in_place() -> nn.Module:
    network = net()
    network.compile(backend="eager")
    network(X)
    return network


WRAPPED = {
    "compiled": lambda: torch.compile(net(), backend="eager"),
    "compiled in place": in_place,
    "parallel": lambda: nn.DataParallel(net()),
    "both": lambda: torch.compile(nn.DataParallel(net()), backend="eager"),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_layers_keep_their_names_behind_wrappers(kind):
    model = WRAPPED[kind]()
    same(model, net(), sites=["input", "1", "1:before", "input+1"])
    guarded = qt.defend(model, "1", 0.5, experiment_seed=3)
    plain = qt.defend(net(), "1", 0.5, experiment_seed=3)
    torch.testing.assert_close(guarded(X), plain(X))
    assert not inside(eager(model))._forward_hooks
    with pytest.raises(qt.DomainError, match="the closest are '1'"):
        qt.defend(model, "module.1", 0.1)


def test_a_layer_compiled_in_place_is_named():
    network = net()
    network[1].compile(backend="eager")
    with pytest.raises(qt.DomainError, match="got module '1' compiled in place"):
        qt.defend(network, "2", 0.1)


def test_what_a_model_answers_is_found_behind_wrappers():
    model = nn.DataParallel(Sure(lambda z: z.softmax(1)))
    same(model, Sure(lambda z: z.softmax(1)))
    assert qt.defend(model, "output", 0.0).answers == "probabilities"
    assert torch.equal(qt.defend(model, "output", 0.0)(X), model(X))


# -- NumPy --------------------------------------------------------------------------


def by_numpy(x):
    with torch.no_grad():
        return net()(torch.as_tensor(np.asarray(x))).numpy()


@pytest.mark.parametrize("kind", [np.float64, np.float32, list])
def test_a_callable_that_answers_numpy_or_lists(kind):
    def model(x):
        said = by_numpy(x)
        return said.tolist() if kind is list else said.astype(kind)

    found = qt.probe(model, X, Y, **FEW)
    assert found.accuracy == 1.0
    assert np.isnan(found.path_length).all()
    a, b = attacked(model), attacked(net())
    assert a.confirmed.queries.tolist() == b.confirmed.queries.tolist()
    assert qt.defend(model, "output", 0.1)(X).shape == (12, 3)


def test_a_model_without_gradients_is_certified_by_trials_alone():
    rec = qt.certify(by_numpy, X, Y, 50, eps=0.05, protect=0.5, attacker="square")
    assert rec.predicted_queries == (1.0, np.inf, np.inf)
    assert rec.predicted_by == ()
    assert rec.standings
    assert any("trials alone decide" in note for note in rec.notes)
    stats = qt.probe(by_numpy, X, Y, **{**FEW, "n_proposals": 0})
    rec = qt.recommend_sigma(stats, 50)
    assert rec.status in ("UNRESOLVED", "INFEASIBLE")
    assert "no law" in rec.statement().lower()
    # With the queries that it takes without noise, laws have something to say.
    rec = qt.recommend_sigma(stats, 500, base_queries=200)
    assert rec.predicted_by


def test_a_graph_that_fails_is_no_gradient_and_is_said():
    def model(x):
        return torch.from_numpy(by_numpy(x.numpy()))

    with pytest.warns(UserWarning, match="fails: RuntimeError: Can't call numpy"):
        found = qt.probe(model, X, Y, **FEW)
    rec = qt.recommend_sigma(found, 1e6)
    assert any("Can't call numpy" in note for note in rec.notes)


def test_inference_mode_hides_no_gradient():
    network = net()
    with torch.inference_mode():
        found = qt.probe(network, X + 0.0, Y + 0, **FEW)
    assert not np.isnan(found.path_length).any()


# -- other ranges -------------------------------------------------------------------


def test_features_of_any_range():
    """The same model in its own units, with bounds by feature, and standardised."""
    generator = torch.Generator().manual_seed(2)
    w = torch.randn(5, 3, generator=generator)
    low = torch.tensor([-3.0, 0.0, 10.0, -1.0, 100.0])
    span = torch.tensor([6.0, 1.0, 5.0, 0.5, 900.0])
    mean, std = low + span / 3, span / 4
    values = low + span * torch.rand(12, 5, generator=generator)

    def own(z):
        assert not 0.0 <= z.min() <= z.max() <= 1.0
        return 4 * z @ w

    model = qt.Preprocessed(own, bounds=(low, low + span), mean=mean, std=std)
    x = model.unit(values)
    assert 0.0 <= x.min() < x.max() <= 1.0
    torch.testing.assert_close(model(x), own((values - mean) / std))
    labels = model(x).argmax(1)
    found = qt.probe(model, x, labels, sites=["input"], **FEW)
    # A margin that is linear: the shortest way in shares of the range.
    ways = ((model(x)[:, :, None] - model(x)[:, None]) * torch.eye(3).eq(0)).abs()
    slopes = (
        (4 * (w[:, :, None] - w[:, None]) * (span / std)[:, None, None]).abs().sum(0)
    )
    ratio = (ways / slopes.clamp_min(1e-9)).masked_fill(torch.eye(3).bool(), torch.inf)
    least = ratio[torch.arange(12), labels].amin(1) / 0.2
    inner = torch.from_numpy(found.path_length)
    assert (inner.isinf() | (inner > 0.95 * least)).all()
    assert np.isfinite(found.path_length).any()
    assert qt.attack(model, x, labels, "nes", eps=0.3, n_queries=300).attacked.all()
    assert qt.defend(model, "input", 0.1)(x).shape == (12, 3)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bounds": (1, 0)}, "lower < upper, got 1 and 0"),
        ({"bounds": (0, [1, 0])}, "lower < upper, .* not so in 1 of 2"),
        ({"bounds": 3}, r"bounds to be \(lower, upper\), got 3"),
        ({"bounds": ("a", 1)}, "bounds to be numbers, got 'a'"),
        ({"bounds": (0, float("inf"))}, "bounds to be finite"),
        ({"bounds": ([0, 0], [1, 1, 1])}, "bounds of one length"),
        ({"std": 0.0}, "std > 0, got 0"),
        ({"mean": float("nan")}, "mean to be finite"),
    ],
)
def test_bounds_that_are_none(given, says):
    with pytest.raises(qt.DomainError, match=says):
        qt.Preprocessed(net(), **given)


def test_bounds_that_do_not_fit():
    model = qt.Preprocessed(net(), bounds=([0, 0], [1, 1]))
    with pytest.raises(qt.DomainError, match=r"bounds with one .* 1 channels .* got 2"):
        model(X)
    with pytest.raises(qt.DomainError, match="within bounds, got 192 of 192 outside"):
        qt.Preprocessed(net(), bounds=(2, 3)).unit(X)
    with pytest.raises(qt.DomainError, match=r"\[0, 1\].*; of a model .*Preprocessed"):
        qt.probe(net(), X * 255, Y)


def test_layers_keep_their_names_behind_a_range():
    model = qt.Preprocessed(net(), bounds=(0, 1))
    same(model, net(), sites=["input", "1"])


# -- checkpoints, and layers that hand on several things ------------------------------


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.net, self.reentrant = net(), reentrant

    def forward(self, x: Tensor) -> Tensor:
        flat = self.net[0](x)
        return checkpoint(self.net[1:], flat, use_reentrant=self.reentrant)


def test_a_layer_inside_a_checkpoint_is_measured():
    same(Checkpointed(False), sites=["net.1", "net.2:before"])


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_reentrant_checkpoint_is_named():
    model = Checkpointed(True)
    with pytest.warns(UserWarning, match=r"autograd fails: .*\n?.*trials decide"):
        found = qt.probe(model, X, Y, sites=["net.1"], **FEW)
    assert np.isnan(found.path_length).all()


class Pair(nn.Module):
    def __init__(self, kind) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor):
        return self.kind((x, None)) if self.kind is not Named else Named(x, None)


class Block(nn.Module):
    def __init__(self, kind=tuple) -> None:
        super().__init__()
        self.pair, self.net = Pair(kind), net()

    def forward(self, x: Tensor) -> Tensor:
        out = self.pair(x)
        return self.net(out[0])


@pytest.mark.parametrize("kind", [tuple, list, Named])
def test_of_what_a_layer_hands_on_the_first_gets_the_noise(kind):
    model = Block(kind)
    found = qt.probe(model, X, Y, sites=["pair", "input"], **FEW)
    np.testing.assert_allclose(
        found.site("pair").gradient_norm, found.site("input").gradient_norm, rtol=1e-5
    )
    kept = []
    model.net.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    guarded = qt.defend(model, "pair", 0.1, experiment_seed=0)
    guarded(X.repeat(200, 1, 1, 1))
    noise = kept[0] - X.repeat(200, 1, 1, 1)
    # 38,400 draws: the standard deviation to 0.4 %, five of these.
    assert abs(float(noise.std()) - 0.1) < 0.002


# -- models that are random by themselves --------------------------------------------


class AlwaysOn(nn.Dropout):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.p, training=True)


class Shaken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x + 0.1 * torch.rand_like(x))


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (nn.Sequential(net()[:3], AlwaysOn(0.2), net()[3]), r"layer '1' \(AlwaysOn\)"),
        (Shaken(), r"Shaken.forward"),
        (lambda x: net()(x) + torch.rand(3), "the model"),
    ],
)
def test_a_model_that_is_random_by_itself_is_named(model, named):
    with pytest.warns(UserWarning, match=f"differently, by {named}: no law predicts"):
        found = qt.probe(model, X, Y, **FEW)
    assert np.isnan(found.path_length).all()
    rec = qt.recommend_sigma(found, 1e3)
    assert rec.predicted_by == ()
    assert any("answers the same image differently" in note for note in rec.notes)
    with pytest.warns(UserWarning, match=f"cannot be taken off.*{named}"):
        attacked(model)


class Together(nn.Module):
    """Standardised over whatever is in the batch, as layers that quantize do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, x: Tensor) -> Tensor:
        z = self.net(x)
        return z - 0.5 * z.mean(0)


def test_answers_that_depend_on_the_batch_are_called_so():
    with pytest.warns(UserWarning, match="by what else is in its batch"):
        qt.probe(Together(), X, Together()(X).argmax(1), **FEW)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [torch.jit.script, nn.Identity])
def test_own_noise_beside_a_scripted_layer_is_found(kind):
    model = nn.Sequential(net()[:2], kind(net()[2]), AlwaysOn(0.5), nn.Linear(8, 3))
    if kind is nn.Identity:
        model[1] = net()[2]
    assert own_noise(model, X) == "layer '2' (AlwaysOn)"


def test_a_model_that_is_not_random_is_not_called_so():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert own_noise(net(), X) == ""
        assert own_noise(nn.Sequential(nn.Dropout(0.5), net()), X) == ""


# -- questions that models answer alike ----------------------------------------------


def test_a_preset_is_a_site_wherever_one_is_asked():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 2)
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 3)).eval()
        torch.nn.init.normal_(network[4].weight, std=9.0)
    labels = network(X).argmax(1)
    full = "0:before+2:before"
    settings = {**FEW, "sigmas": {"rfd": [0.05]}}
    stats = qt.probe(network, X, labels, sites=["rfd", "input"], **settings)
    assert list(stats.sites) == [full, "input"]
    assert stats.site("rfd") is stats.site(full)
    assert stats.site("rfd").sigmas.tolist() == [0.0, 0.05]
    assert qt.recommend_sigma(stats, 1e3, site="rfd").site == full
    guarded = qt.defend(network, "rfd", 0.05, experiment_seed=0)
    assert attacked(guarded, labels).attacked.all()
    rec = qt.certify(
        network, X, labels, 30, site="rfd", eps=0.05, attacker="square", protect=0.5
    )
    assert rec.site == full
    with pytest.raises(qt.DomainError, match="model to be a ResNet"):
        qt.probe(net(), X, Y, sites=["rfd"], **FEW)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_budget_ends_where_images_do(wrapped, tmp_path):
    """Of L2 at the distance of black and white, whatever a model's own range is."""
    model = qt.Preprocessed(net(), bounds=(0, 255), std=255.0) if wrapped else net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stats = qt.probe(model, X, Y, **{**FEW, "eps": 3.9, "norm": "L2"})
    too_far = {"eps": 4.1, "norm": "L2"}
    wrong = dataclasses.replace(stats, eps=4.1)
    for use in (
        lambda: qt.probe(model, X, Y, **{**FEW, **too_far}),
        lambda: qt.attack(model, X, Y, "nes", n_queries=60, **too_far),
        lambda: qt.attack(model, X, Y, "hopskipjump", n_queries=900, **too_far),
        lambda: qt.certify(model, X, Y, 50, **too_far),
        lambda: qt.attack(model, X, Y, qt.NESPlan(**too_far), n_queries=60),
    ):
        with pytest.raises(qt.DomainError, match=r"eps <= 4 for L2, .* of 16 numbers"):
            use()
    wrong.save(tmp_path / "wrong.npz")
    with pytest.raises(qt.DomainError, match=r"budget of L2 4.1, above 4"):
        qt.ModelStatistics.load(tmp_path / "wrong.npz")


def test_a_model_that_is_hardly_ever_right_is_doubted_at_once():
    labels = Y.clone()
    labels[1:] = (labels[1:] + 1) % 3
    with pytest.warns(UserWarning, match=r"right on 8.33 % of 12 images, where gues"):
        stats = qt.probe(net(), X, labels, **FEW)
    notes = qt.recommend_sigma(stats, 1e3).notes
    assert any("right on 8.33 % of 12 images" in note for note in notes)


class NoSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return slope * float("nan")


def test_a_gradient_that_is_no_number_is_called_so():
    model = nn.Sequential(Around(lambda z: NoSlope.apply(z)))
    with pytest.warns(UserWarning, match="gradient is zero, or no number, at 12 of 12"):
        found = qt.probe(model, X, Y, **FEW)
    assert np.isnan(found.path_length).all()
    assert attacked(model).attacked.all()
