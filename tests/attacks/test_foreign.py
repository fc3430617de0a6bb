"""Other people's attacks on our meter: by a stand-in for a library, and by them."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import re

import numpy as np
import pytest
import torch
from torch import nn

from querytax.attacks import foreign
from querytax.attacks.foreign import BARRED, FOREIGN, Foreign, foreign_attack, table
from querytax.attacks.foreign.meter import seeded
from querytax.defenses import InputNoise, OutputNoise
from querytax.expect import DomainError


def start(n=1, dimension=20):
    return torch.full((n, dimension), 0.5), torch.zeros(n, dtype=torch.int64)


def run(model, library, n=1, *, eps=0.1, n_queries=100, **options):
    return foreign_attack(
        model, *start(n), library, eps=eps, n_queries=n_queries, **options
    )


def spent(result):
    return sum(result.spent.values()).tolist()


# -- the count ------------------------------------------------------------------------


def test_every_row_is_counted_and_none_is_asked_beyond_the_budget(halfspace):
    """Batches of 1, 2, ... rows: the first that does not fit is not asked at all."""
    sizes = []

    def library(model, image, label):
        for size in range(1, 100):
            model(image.expand(size, -1))
            sizes.append(size)

    model = halfspace(20, margin=10.0)
    guarded = InputNoise(model, 0.01, experiment_seed=0)
    result = run(guarded, library, 3, n_queries=64)
    assert sizes == list(range(1, 11)) * 3  # 55 rows, and 9 votes are kept back.
    assert spent(result) == [55, 55, 55]
    assert result.total_queries == guarded.n_queries == 165
    assert result.status == ("open",) * 3
    assert not result.confirmed.success.any()
    assert sum(result.spent.values()).tolist() == [55, 55, 55]


def test_a_library_that_swallows_exceptions_ends_at_the_budget(halfspace):
    def library(model, image, label):
        while True:
            with contextlib.suppress(Exception):
                model(image)

    result = run(halfspace(20, margin=10.0), library)
    assert spent(result) == [91]
    assert result.status == ("open",)


def test_one_that_swallows_everything_still_asks_no_more(halfspace):
    def library(model, image, label):
        for _ in range(500):
            with contextlib.suppress(BaseException):
                model(image)
        raise RuntimeError("confused by now")

    model = halfspace(20, margin=10.0)
    result = run(model, library)
    assert spent(result) == [91]
    assert model.rows == 91 + 2  # Whether it is misclassified, twice.
    assert result.status == ("open",)


def test_a_copy_of_the_model_is_the_same_meter(halfspace):
    def library(model, image, label):
        copy.deepcopy(model)(image)
        copy.copy(model)(image)

    assert spent(run(halfspace(20), library)) == [2]


@pytest.mark.parametrize("kind", [InputNoise, OutputNoise])
@pytest.mark.parametrize("seed", range(6))
def test_counts_are_those_of_a_naive_reference(halfspace, kind, seed):
    """Random questions in small batches; keys, votes and judgements one by one."""
    model, votes, budget, eps, key = halfspace(20, margin=0.05), 5, 300, 0.2, 7
    on = {} if kind is InputNoise else {"on": "logits"}
    guarded = kind(model, 0.03, experiment_seed=seed, **on)
    image, label = start()
    draws = np.random.default_rng(seed)
    step = torch.from_numpy(draws.normal(0.002, 0.05, (200, 3, 20))).float()
    asked = (image + step + 0.001 * model.weight.sign()).clamp(0.0, 1.0)

    def library(model, image, label):
        for x in asked:
            model(x)

    result = foreign_attack(
        guarded,
        image,
        label,
        library,
        eps=eps,
        n_queries=budget,
        votes=votes,
        keys=torch.tensor([key]),
    )

    def ask(x, count):
        rows, queries = torch.full((len(x),), key), count + torch.arange(len(x))
        return guarded(x, rows, queries).argmax(1) != 0

    count, at = 0, dict.fromkeys(("noisy", "submitted", "confirmed", "clean"), 0)
    for x in asked:
        if count + 3 + votes > budget or (at["confirmed"] and at["clean"]):
            break
        inside = (x - image).abs().amax(1) <= eps
        fooled = ask(x, count) & inside
        for name, hit in (
            ("noisy", fooled),
            ("clean", (model(x).argmax(1) != 0) & inside),
        ):
            if hit.any() and not at[name]:
                at[name] = count + int(hit.nonzero()[0]) + 1
        count += 3
        if fooled.any() and not at["confirmed"]:
            first = x[fooled][:1].expand(votes, -1)
            said = ask(first, count)
            count += votes
            if said.any() and not at["submitted"]:
                at["submitted"] = count
            if said.sum() * 2 > votes:
                at["confirmed"] = count
    assert spent(result) == [count]
    assert at["noisy"]
    for name, when in at.items():
        got = getattr(result, name)
        assert got.success.tolist() == [when > 0], name
        assert got.queries.tolist() == [when or count], name


# -- the end --------------------------------------------------------------------------


def towards(model, image, label, step=0.01):
    """Along the halfspace's normal, for ever."""
    direction = torch.linspace(-1.0, 1.2, image.numel()).sign()
    for i in range(10**6):
        model(image + step * i * direction)


def test_a_success_stops_the_library(halfspace):
    result = run(halfspace(20, margin=0.1), towards, n_queries=1000)
    assert result.status == ("broken",)
    assert result.confirmed.success.all()
    assert result.spent["votes"].tolist() == [9]
    assert result.confirmed.queries.tolist() == spent(result)
    assert result.clean.queries.tolist() == result.noisy.queries.tolist()


def test_a_row_outside_the_budget_is_no_success(halfspace):
    result = run(halfspace(20, margin=0.1), towards, eps=0.01, n_queries=60)
    assert not result.noisy.success.any()
    assert spent(result) == [51]


def test_nor_is_a_row_outside_the_pixels_range(halfspace):
    def library(model, image, label):
        model(image + 0.6 * torch.linspace(-1.0, 1.2, 20).sign())

    result = run(halfspace(20, margin=0.1), library, eps=1.0)
    assert not result.noisy.success.any()
    assert result.status == ("ended: the library came to its own end",)


@pytest.mark.parametrize("far", [False, True])
def test_what_is_returned_is_handed_in_if_it_may_be(halfspace, far):
    def library(model, image, label):
        step = 0.3 if far else 0.1
        return image + step * torch.linspace(-1.0, 1.2, 20).sign()

    result = run(halfspace(20, margin=0.1), library, eps=0.2, keep_images=True)
    assert result.confirmed.success.tolist() == [not far]
    assert spent(result) == [0 if far else 10]
    moved = (result.images - 0.5).abs().amax()
    assert moved == pytest.approx(0.0 if far else 0.1)


def test_the_image_that_was_given_is_not_handed_in(halfspace):
    result = run(halfspace(20), lambda model, image, label: image)
    assert spent(result) == [0]


def test_an_attack_that_ends_is_begun_again_with_new_draws(halfspace):
    seen = []

    def library(model, image, label):
        seen.append(torch.rand(()).item())
        model(image)

    result = run(halfspace(20, margin=10.0), library, restarts=3)
    assert spent(result) == [4]
    assert len(set(seen)) == 4


def test_a_loop_that_asks_nothing_ends_in_time(halfspace):
    def library(model, image, label):
        model(image)
        while True:
            pass

    result = run(halfspace(20), library, 2, seconds=0.2)
    assert spent(result) == [1, 1]
    assert result.status == ("out of time: no end after 0.2 s",) * 2
    assert "0.2 s an image" in result.plan.describe()


def test_a_loop_that_asks_about_no_rows_ends(halfspace):
    def library(model, image, label):
        while True:
            assert model(image[:0]).shape == (0, 2)

    result = run(halfspace(20), library)
    assert spent(result) == [0]
    assert "no rows 1000 times" in result.status[0]


# -- crashes --------------------------------------------------------------------------


def test_a_crash_ends_one_image_and_is_no_success_of_the_defence(halfspace):
    def library(model, image, label):
        for _ in range(5):
            model(image)
        if image.mean() > 0.55:
            raise ValueError("a start that failed\nand more")
        towards(model, image, label)

    images, labels = start(3)
    images[1] += 0.1
    weight = halfspace(20, margin=0.1)
    weight.offset += 0.05 * float(weight.weight.sum())
    result = foreign_attack(weight, images, labels, library, eps=0.2, n_queries=100)
    assert result.status[0] == result.status[2] == "broken"
    assert result.status[1] == "crashed: ValueError: a start that failed"
    assert result.confirmed.success.tolist() == [True, False, True]
    assert result.confirmed.queries[1] == 5  # Censored at what it spent.
    assert result.to_json()["crashes"] == [result.status[1]]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (lambda x: x * torch.nan, "NaN"),
        (lambda x: x[:, :3], r"shape \(3,\)"),
        (lambda x: x.long(), "int64"),
        (lambda x: x.numpy(), "ndarray"),
    ],
)
def test_a_question_that_no_image_asks_is_a_crash(halfspace, question, said):
    result = run(halfspace(20), lambda model, image, label: model(question(image)))
    assert result.status[0].startswith("crashed: ")
    assert re.search(said, result.status[0])
    assert spent(result) == [0]


def test_there_are_no_gradients_to_be_had(halfspace):
    def library(model, image, label):
        with torch.enable_grad():
            x = image.clone().requires_grad_()
            model(x).sum().backward()

    assert run(halfspace(20), library).status[0].startswith("crashed: RuntimeError")


def test_a_failure_of_the_model_is_not_the_librarys():
    def model(x):
        return torch.full((len(x), 2), torch.nan) if x.amax() > 0.5 else x[:, :2]

    def library(model, image, label):
        while True:
            with contextlib.suppress(Exception):
                model(image + 0.1)

    images = torch.tensor([[0.5, 0.4]])
    with pytest.raises(DomainError, match="NaN"):
        foreign_attack(model, images, torch.tensor([0]), library, eps=0.2)


# -- the seven rules ------------------------------------------------------------------


def test_answers_may_be_written_into():
    """A model that answers from memory that it keeps."""
    kept = torch.tensor([[2.0, 0.0]])

    def library(model, image, label):
        for _ in range(3):
            logits = model(image)
            assert logits.tolist() == [[2.0, 0.0]]
            logits[:] = -torch.inf

    result = run(lambda x: kept.expand(len(x), 2) if len(x) > 1 else kept, library)
    assert result.status[0].startswith("ended")
    assert kept.tolist() == [[2.0, 0.0]]


def test_float64_is_asked_as_float32():
    model = nn.Linear(20, 2)
    with torch.no_grad():
        model.bias[:] = torch.tensor([9.0, 0.0])
    heard = []
    library = lambda model, image, label: heard.append(model(image.double()))  # noqa: E731
    assert (
        run(InputNoise(model, 0.1, experiment_seed=0), library)
        .status[0]
        .startswith("ended")
    )
    assert run(model, library).status[0].startswith("ended")
    assert [answer.dtype for answer in heard] == [torch.float32] * 2


def test_a_library_cannot_reach_the_model():
    model = nn.Sequential(nn.Linear(20, 20), nn.Dropout(), nn.Linear(20, 2))
    with torch.no_grad():
        model[2].bias[:] = torch.tensor([9.0, 0.0])
    guarded = OutputNoise(model, 0.1, on="logits", experiment_seed=0).train()

    def library(meter, image, label):
        meter.train().to(torch.float64).requires_grad_()
        assert next(meter.parameters()).device == image.device
        assert meter(image).dtype == torch.float32
        assert not model.training
        assert not isinstance(meter, nn.Sequential)

    assert run(guarded, library).status[0].startswith("ended")
    assert model.training
    assert not any(p.dtype == torch.float64 for p in model.parameters())


def test_noise_is_fresh_whatever_the_library_seeds(halfspace):
    heard = []

    def library(model, image, label):
        for _ in range(4):
            torch.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            heard.append(model(image))

    guarded = OutputNoise(
        halfspace(20, margin=10.0), 1.0, on="logits", experiment_seed=0
    )
    run(guarded, library, 2)
    assert len(torch.cat(heard).unique()) == 16


# -- draws ----------------------------------------------------------------------------


def drawing(seen):
    def library(model, image, label):
        seen.append(
            (
                torch.rand(()).item(),
                np.random.rand(),  # noqa: NPY002
                random.random(),
                np.random.RandomState().rand(),
                np.random.default_rng().random(),
            )
        )

    return library


def test_draws_belong_to_the_seed_the_key_and_the_name(halfspace):
    seen = []
    library = drawing(seen)
    keys = torch.tensor([3, 5])
    run(halfspace(20), library, 2, keys=keys)
    run(halfspace(20), library, 2, keys=keys.flip(0))
    run(halfspace(20), library, 1, keys=keys[:1], rng=1)
    assert seen[:2] == [seen[3], seen[2]]
    assert len({value for draws in seen for value in draws}) == 15


def test_the_callers_random_states_are_left_as_they_were(halfspace):
    def states():
        numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
        return torch.get_rng_state().tolist(), numpy, random.getstate()

    before, made = states(), (np.random.RandomState, np.random.default_rng)
    run(halfspace(20), drawing([]))
    run(halfspace(20), lambda model, image, label: 1 / 0)
    assert states() == before
    assert (np.random.RandomState, np.random.default_rng) == made


def test_generators_with_a_seed_of_their_own_keep_it():
    expected = np.random.RandomState(5).rand(), np.random.default_rng(5).random()
    with seeded(0):
        got = np.random.RandomState(5), np.random.default_rng(5)
    assert (got[0].rand(), got[1].random()) == expected


# -- what a library is told -----------------------------------------------------------


def test_labels_alone_are_told_as_such(halfspace):
    heard = []
    library = lambda model, image, label: heard.append(model(image))  # noqa: E731
    result = run(halfspace(20), library, access="labels")
    assert heard[0].tolist() == [[1.0, 0.0]]
    assert result.access == "labels"


class Probabilities:
    """Some that are none, as raw noise makes them."""

    answers = "probabilities"

    def __call__(self, x):
        return torch.tensor([[0.9, -0.3, 0.6]]).expand(len(x), 3)


@pytest.mark.parametrize(
    ("probabilities", "told", "said"),
    [
        ("answered", [0.9, -0.3, 0.6], ""),
        ("renormalised", [0.6, 0.0, 0.4], "clipped at 0 and renormalised"),
        ("logarithm", np.log([0.9, 1e-12, 0.6]), "logarithms"),
    ],
)
def test_probabilities_are_changed_by_name_alone(probabilities, told, said):
    heard = []
    library = lambda model, image, label: heard.append(model(image))  # noqa: E731
    result = run(Probabilities(), library, probabilities=probabilities)
    np.testing.assert_allclose(heard[0][0], told, rtol=1e-6)
    assert said in result.plan.describe()


def test_targets_are_what_is_asked_for(halfspace):
    def library(model, image, label):
        assert label.tolist() == [1]
        towards(model, image, label)

    result = run(halfspace(20, margin=0.1), library, targets=torch.tensor([1]))
    assert result.status == ("broken",)


def test_the_result_says_what_was_run(halfspace):
    def library(model, image, label, step, kind="plain"):
        model(image)

    result = run(halfspace(20), library, step=0.5)
    data = json.loads(json.dumps(result.to_json()))
    assert data["attack"] == "foreign"
    assert data["settings"]["what"] == "function:library"
    assert data["settings"]["settings"] == [["step", 0.5]]
    assert "step 0.5" in data["plan"]


# -- bad input ------------------------------------------------------------------------


def nothing(model, image, label):
    return None


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("art:sqare", {}, "did you mean 'art:square'"),
        ("art:geoda", {}, "numpy.mat"),
        ("foolbox:genattack", {"norm": "L2"}, "norm"),
        ("art:simba", {"access": "labels"}, "expected access 'scores' or more"),
        ("art:square", {"starts": start()[0]}, "makes its own"),
        ("foolbox:genattack", {}, "expected targets"),
        ("art:signopt", {"targets": torch.tensor([1])}, "expected starts"),
        (nothing, {"votes": 4}, "votes odd"),
        (nothing, {"n_queries": 9}, "n_queries >= 10"),
        (nothing, {"restarts": -1}, "restarts"),
        (nothing, {"seconds": 0.0}, "seconds > 0"),
        (nothing, {"access": "top1"}, "access"),
        (nothing, {"probabilities": "softmax"}, "probabilities"),
        (nothing, {"probabilities": "renormalised"}, "answers logits"),
        (nothing, {"step": 1.0}, "expected settings that function:nothing accepts"),
    ],
)
def test_bad_input_is_named(halfspace, what, options, message):
    with pytest.raises(DomainError, match=message):
        run(halfspace(20), what, **options)


def test_a_library_that_is_missing_is_named_with_its_extra(halfspace, monkeypatch):
    entry = Foreign("art", "Attack", "no_such_library", "scores")
    monkeypatch.setattr(table, "FOREIGN", {"art:missing": entry})
    with pytest.raises(DomainError, match=r'pip install "querytax\[art\]"$'):
        run(halfspace(20), "art:missing")


def test_the_table_is_read_without_the_libraries():
    assert {e.library for e in FOREIGN.values()} == set(table.PACKAGES)
    for name, entry in FOREIGN.items():
        assert name.startswith(entry.library + ":")
        assert entry.targeted in ("no", "yes", "start", "only")
        assert entry.bound in ("eps", "distance", "none")
        assert entry.about
    assert not set(FOREIGN) & set(BARRED)
    assert set(foreign.__all__) <= set(dir(foreign))


# -- the libraries themselves ---------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    """Ten classes of 8x8 images, and images half way up to a boundary."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        model[1].weight.normal_(generator=generator)
        model[1].bias.zero_()
    images = torch.rand(3, 1, 8, 8, generator=generator)
    return model.eval(), images, model(images).argmax(1)


def needs(what):
    library = FOREIGN[what].library
    why = f'{what} needs: pip install "querytax[{library}]"'
    return pytest.importorskip(library, reason=why)


def of_library(network, what, noisy, **options):
    model, images, labels = network
    if noisy:
        model = OutputNoise(model, 0.2, form="reflect", experiment_seed=1)
    options = {"eps": 0.3, "norm": FOREIGN[what].norms[0], "n_queries": 150, **options}
    if FOREIGN[what].targeted == "only":
        options["targets"] = (labels + 1) % 10
    return model, foreign_attack(model, images, labels, what, **options)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("what", FOREIGN)
def test_a_librarys_attack_runs_on_the_meter(network, what, noisy):
    needs(what)
    model, result = of_library(network, what, noisy)
    assert max(spent(result)) <= 150
    assert result.total_queries == sum(spent(result)) > 0
    if noisy:
        assert model.n_queries == result.total_queries
    else:
        assert not any(word.startswith("crashed") for word in result.status)
    assert FOREIGN[what].package in result.plan.describe()
    _, again = of_library(network, what, noisy)
    assert spent(again) == spent(result)
    assert again.status == result.status
    json.dumps(result.to_json())


@pytest.mark.parametrize(
    "what",
    ["art:square", "art:hopskipjump", "foolbox:hopskipjump", "torchattacks:square"],
)
def test_a_librarys_attack_succeeds_without_noise(network, what):
    needs(what)
    _, result = of_library(network, what, False, n_queries=600)
    assert result.confirmed.success.all()
    assert result.status == ("broken",) * 3


def test_simba_refuses_noisy_probabilities_and_says_so(network):
    needs("art:simba")
    _, result = of_library(network, "art:simba", True)
    assert all("probabilities" in word for word in result.status)
    assert spent(result) == [1, 1, 1]
    _, other = of_library(network, "art:simba", True, probabilities="renormalised")
    assert not any(word.startswith("crashed") for word in other.status)


@pytest.mark.parametrize("what", [n for n, e in FOREIGN.items() if e.starts])
def test_a_librarys_attack_begins_where_it_is_told(network, what):
    needs(what)
    model, _, labels = network
    others = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    given = model(others).argmax(1)
    starts = torch.stack([others[given != label][0] for label in labels])
    targets = torch.stack([given[given != label][0] for label in labels])
    options = {"starts": starts, "n_queries": 400, "norm": "L2", "eps": 1.5}
    _, plain = of_library(network, what, False, **options)
    assert not any(word.startswith("crashed") for word in plain.status)
    _, sent = of_library(network, what, False, targets=targets, **options)
    assert not any(word.startswith("crashed") for word in sent.status)


def test_unknown_and_refused_settings_are_named(network):
    needs("art:square")
    with pytest.raises(DomainError, match="p_init"):
        of_library(network, "art:square", False, p_int=0.1)
    with pytest.raises(DomainError, match="expected settings that art:square accepts"):
        of_library(network, "art:square", False, p_init=-1.0)
