"""Resizing, JPEG and denoising: what they do to images, and whose class counts."""

from __future__ import annotations

import copy
import io
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from querytax import attack, defend
from querytax.attacks.oracle import clean_model
from querytax.catalogue import DEFENCES
from querytax.defenses import FeatureNoise, InputNoise, OutputNoise
from querytax.defenses.deciding import Deciding
from querytax.defenses.denoise import Denoise, filtered
from querytax.defenses.jpeg import JPEG
from querytax.defenses.resize import RandomResize, resized
from querytax.demo import digits, load_model
from querytax.expect import DomainError
from querytax.noise import uniforms
from querytax.sites import Site

KEYS = (torch.arange(7), torch.arange(7) + 5)

TRANSFORMS = {
    "resize": lambda model, **more: RandomResize(model, 0.4, **more),
    "jpeg": lambda model, **more: JPEG(model, 60, **more),
    "mean": lambda model, **more: Denoise(model, 0.7, **more),
    "median": lambda model, **more: Denoise(
        model, 0.7, layer="stem", filter="median", **more
    ),
    "nonlocal": lambda model, **more: Denoise(
        model, 0.7, layer="stem", filter="nonlocal", **more
    ),
}
SILENT = {
    "resize": lambda model: RandomResize(model, 0.0),
    "jpeg": lambda model: JPEG(model, 0.0),
    "mean": lambda model: Denoise(model, 0.0),
    "median": lambda model: Denoise(model, 0.0, layer="stem"),
}


@pytest.fixture
def images() -> Tensor:
    """Images that no filter leaves as they are."""
    return torch.rand(7, 3, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=list(TRANSFORMS))
def transform(request):
    return TRANSFORMS[request.param]


class Flat(nn.Flatten):
    """Answers the image itself."""

    answers = "logits"


# -- the seven rules ---------------------------------------------------------------


def test_rule_1_it_is_no_sequential_and_acts_inside_one(transform, model, images):
    defence = transform(model, experiment_seed=0)
    assert not isinstance(defence, nn.Sequential)
    whole = nn.Sequential(defence, nn.Softmax(dim=1))
    walked = images
    for child in whole._modules.values():
        walked = child(walked)
    defence.reset()
    assert torch.equal(walked, defence(images).softmax(1))
    assert not torch.allclose(defence(images), model(images), atol=1e-4)


def test_rule_2_it_acts_in_both_modes(transform, model, images):
    defence = transform(model, experiment_seed=0)
    trained = defence.train()(images, *KEYS)
    assert torch.equal(defence.eval()(images, *KEYS), trained)
    with torch.inference_mode():
        assert torch.equal(defence(images, *KEYS), trained)
    assert not torch.allclose(trained, model(images), atol=1e-4)


def test_rule_3_global_seeds_have_no_say(transform, model, images):
    defence = transform(model)
    answers = []
    for _ in range(2):
        torch.manual_seed(0)
        answers.append(defence(images))
    assert torch.equal(*answers) != isinstance(defence, RandomResize)
    state = torch.random.get_rng_state()
    defence(images)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("own", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("sent", [torch.float16, torch.float64])
def test_rule_4_images_are_cast(transform, model, images, own, sent):
    defence = transform(model).to(own)
    answer = defence(images.to(sent))
    assert answer.dtype == own
    assert answer.isfinite().all()


class Cached(nn.Module):
    """Hands out the same tensor every time."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Identity()
        self.kept = torch.zeros(7, 5)

    def forward(self, x):
        self.stem(x)
        return self.kept


@pytest.mark.parametrize("builders", [TRANSFORMS, SILENT])
def test_rule_5_the_answer_is_the_callers_and_the_images_stay(builders, images):
    for build in builders.values():
        model, sent = Cached(), images.clone()
        build(model)(sent).fill_(9.0)
        assert not model.kept.any()
        assert torch.equal(sent, images)


def test_rule_6_there_is_something_to_read_the_device_from(transform, model):
    assert next(transform(model).parameters()).device == torch.device("cpu")
    for defence in (RandomResize(len, 0.1), JPEG(len, 10), Denoise(len, 1)):
        assert next(defence.to("meta").buffers()).device == torch.device("meta")
        assert set(defence.state_dict()) == {"_extra_state"}


def test_rule_7_rows_are_counted(transform, model, images):
    defence = transform(model)
    defence(images)
    defence(images[:3])
    defence(images[:0])
    assert defence.n_queries == 10
    clean_model(defence)
    assert defence.n_queries == 10


@pytest.mark.parametrize("name", SILENT)
def test_at_strength_0_it_is_the_models_own_answer(name, model, images):
    defence = SILENT[name](model)
    assert torch.equal(defence(images), model(images))
    assert not defence.touches_input
    assert torch.equal(clean_model(defence)(images), model(images))


@pytest.mark.parametrize("name", ["resize", "jpeg", "mean"])
def test_parts_make_the_whole(name, model, images):
    defence = TRANSFORMS[name](model, experiment_seed=2)
    assert defence.mergeable
    assert defence.touches_input
    got = defence.after(model(defence.before(images, *KEYS)), *KEYS)
    assert torch.equal(got, defence(images, *KEYS))


def test_at_a_layer_it_is_not_merged(model, images):
    defence = Denoise(model, 1.0, layer="stem")
    assert not defence.mergeable
    assert not defence.touches_input
    for part in (defence.before, defence.after):
        with pytest.raises(NotImplementedError, match="Denoise is not mergeable"):
            part(images, *KEYS)


def test_copies_and_files_answer_alike(transform, model, images):
    defence = transform(model, experiment_seed=1)
    judge = clean_model(defence)
    for twin in (copy.deepcopy(defence), pickle.loads(pickle.dumps(defence))):
        assert torch.equal(twin(images, *KEYS), defence(images, *KEYS))
        assert clean_model(twin) is not judge
        assert torch.equal(clean_model(twin)(images), judge(images))


# -- the law of the draws ----------------------------------------------------------


def placed(x: Tensor, height: int, width: int, top: int, left: int, canvas) -> Tensor:
    """Resized by torch's own function and put on black."""
    small = nn.functional.interpolate(
        x, (height, width), mode="bilinear", align_corners=False
    )
    below, right = canvas[0] - height - top, canvas[1] - width - left
    return nn.functional.pad(small, (left, right, top, below))


@pytest.mark.parametrize(("top", "left"), [(0, 4), (1, 3), (4, 0)])
def test_shrinking_by_whole_pixels_is_interpolation_and_padding(top, left):
    x = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    draws = torch.tensor([[1.0, top / 4, left / 6]] * 2, dtype=torch.float64)
    got = resized(x, draws, 0.5, "shrink")
    assert torch.allclose(got, placed(x, 4, 6, top, left, (8, 12)), atol=1e-5)


def test_growing_by_whole_pixels_is_interpolation_and_padding():
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    draws = torch.tensor([[0.5, 0.5, 1.0]] * 2, dtype=torch.float64)
    got = resized(x, draws, 0.5, "grow")
    assert torch.allclose(got, placed(x, 10, 10, 1, 2, (12, 12)), atol=1e-5)


def test_rows_draw_for_themselves_whatever_the_batch(model, images):
    defence = RandomResize(Flat(), 0.4, experiment_seed=3)
    same = images[:1].expand(7, -1, -1, -1)
    whole = defence(same, *KEYS)
    assert len(whole.unique(dim=0)) == 7
    rows, queries = KEYS
    one = [defence(same[:1], rows[i : i + 1], queries[i : i + 1]) for i in range(7)]
    assert torch.equal(torch.cat(one), whole)
    draws = uniforms(3, "defense/0/resize", rows, queries, (3,), dtype=torch.float64)
    want = resized(same, draws, 0.4, "shrink").flatten(1)
    assert torch.equal(whole, want)


def test_sizes_and_places_of_a_deployed_one_are_uniform():
    """Five tests of Kolmogorov and Smirnov at 1e-6; they see 0.06 and more."""
    n, side, share = 2000, 64, 0.5
    white = torch.ones(n, 1, side, side)
    seen = RandomResize(Flat(), share)(white).view(n, side, side).double()
    lines = seen.amax(2), seen.amax(1)
    # A bar of length L covers L pixel centres, one more or less.
    sizes = torch.stack([line.sum(1) for line in lines])
    assert float((sizes[0] - sizes[1]).abs().max()) <= 1.0
    lost = (1.0 - sizes.mean(0) / side) / share
    where = []
    for line, size in zip(lines, sizes, strict=True):
        first = line.argmax(1)
        room = side - size
        where.append((first / room)[room > side / 4])
    for draws in (lost, *where):
        ranked = draws.sort().values.clamp(0, 1)
        even = (torch.arange(len(ranked)) + 0.5) / len(ranked)
        gap = float((ranked - even).abs().max())
        resolution = 1.0 / (side / 4)
        assert gap < math.sqrt(math.log(2e6) / (2 * len(ranked))) + resolution
    pair = torch.corrcoef(torch.stack([lost[: len(where[0])], where[0]]))
    assert pair.isfinite().all()


def test_a_deployed_one_never_repeats_itself(model, images):
    first, second = RandomResize(model, 0.4), RandomResize(model, 0.4)
    assert (first(images) != first(images)).all()
    assert (first(images) != second(images)).all()


# -- the codec ---------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("coarseness", [1, 25, 99])
def test_the_codec_is_pillows_own(channels, coarseness):
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (4, 16, 24, channels), dtype=np.uint8)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255
    got = JPEG(nn.Identity(), coarseness).before(x, None, None)
    for image, ours in zip(pixels, got, strict=True):
        file = io.BytesIO()
        array = image[..., 0] if channels == 1 else image
        Image.fromarray(array).save(file, "JPEG", quality=100 - coarseness)
        theirs = np.asarray(Image.open(file)).reshape(image.shape)
        assert np.array_equal((255 * ours).round().permute(1, 2, 0).numpy(), theirs)


def test_the_gradient_passes_the_codec_unchanged():
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x.requires_grad_(True)
    out = JPEG(Flat(), 50)(x)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    (got,) = torch.autograd.grad((out * weights).sum(), x)
    assert torch.equal(got.flatten(1), weights)


def test_it_is_an_image_of_one_or_three_channels():
    for shape in ((2, 4, 8, 8), (2, 8), (2, 3, 8)):
        with pytest.raises(DomainError, match="expected images of"):
            JPEG(Flat(), 50)(torch.zeros(shape))


# -- the filters -------------------------------------------------------------------


def naive(h: np.ndarray, by: str, side: int) -> np.ndarray:
    """Place by place."""
    out, m = np.empty_like(h), side // 2
    height, width = h.shape[2:]
    for k, c, i, j in np.ndindex(h.shape):
        near = [
            (a, b) for a in range(i - m, i + m + 1) for b in range(j - m, j + m + 1)
        ]
        if by == "mean":
            kept = [(a, b) for a, b in near if 0 <= a < height and 0 <= b < width]
            out[k, c, i, j] = np.mean([h[k, c, a, b] for a, b in kept])
        else:
            kept = [
                (min(max(a, 0), height - 1), min(max(b, 0), width - 1)) for a, b in near
            ]
            out[k, c, i, j] = np.median([h[k, c, a, b] for a, b in kept])
    return out


@pytest.mark.parametrize("by", ["mean", "median"])
@pytest.mark.parametrize("side", [1, 3, 5])
def test_the_square_filters_place_by_place(by, side):
    h = np.random.default_rng(0).standard_normal((2, 2, 6, 7))
    got = filtered(torch.from_numpy(h), by, side)
    assert np.allclose(got.numpy(), naive(h, by, side))


def test_the_nonlocal_filter_place_by_place():
    h = np.random.default_rng(1).standard_normal((2, 3, 4, 5))
    want = np.empty_like(h)
    for k, i, j in np.ndindex(2, 4, 5):
        alike = np.einsum("c,cab->ab", h[k, :, i, j], h[k]) / math.sqrt(3)
        weights = np.exp(alike) / np.exp(alike).sum()
        want[k, :, i, j] = np.einsum("ab,cab->c", weights, h[k])
    assert np.allclose(filtered(torch.from_numpy(h), "nonlocal", 3).numpy(), want)


def test_a_share_of_the_filter_is_taken_at_the_layer(model, images):
    got = Denoise(model, 0.25, layer="stem", filter="median")(images)

    def blend(_module, _args, h):
        return 0.75 * h + 0.25 * filtered(h, "median", 3)

    handle = model.stem.register_forward_hook(blend)
    want = model(images)
    handle.remove()
    assert torch.allclose(got, want, atol=1e-6)
    assert not model.stem._forward_hooks


# -- what is refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (lambda m: RandomResize(m, 0.95), "expected share <= 0.9, got 0.95"),
        (lambda m: RandomResize(m, -0.1), "expected share >= 0 and finite, got -0.1"),
        (lambda m: RandomResize(m, 0.1, way="side"), "expected way to be one of"),
        (lambda m: JPEG(m, 100), "expected coarseness <= 99, got 100"),
        (lambda m: JPEG(m, math.nan), "expected coarseness"),
        (lambda m: Denoise(m, 1.5), "expected share <= 1, got 1.5"),
        (lambda m: Denoise(m, 1, side=2), "expected side odd and > 0, got 2"),
        (lambda m: Denoise(m, 1, filter="box"), "expected filter to be one of"),
        (lambda m: Denoise(m, 1, layer="steam"), "the closest are 'stem'"),
        (lambda m: Denoise(len, 1, layer="stem"), "expected model to be a torch"),
        (lambda m: JPEG(3, 1), "expected model to be a torch module or a callable"),
    ],
)
def test_one_clear_line(build, line, model):
    with pytest.raises(DomainError, match=line):
        build(model)


def test_maps_that_no_filter_fits(model, images):
    with pytest.raises(DomainError, match="features at 'head' of shape"):
        Denoise(model, 1, layer="head")(images)
    with pytest.raises(DomainError, match="at most 4096 places"):
        Denoise(Flat(), 1, filter="nonlocal")(torch.zeros(1, 1, 65, 64))
    with pytest.raises(DomainError, match="expected images of shape"):
        RandomResize(Flat(), 0.1)(torch.zeros(2, 5))
    with pytest.raises(DomainError, match="expected images of shape"):
        clean_model(RandomResize(Flat(), 0.1))(torch.zeros(2, 5))


# -- whose class counts ------------------------------------------------------------


class Cut(Deciding):
    """Rounds pixels to 0 and 1."""

    def before(self, x, rows, queries):
        return (x > 0.5).to(x.dtype)

    def after(self, answer, rows, queries):
        return answer.clone()

    def decide(self, model, x):
        return model(self.before(x, None, None))

    @property
    def touches_input(self):
        return True


class Brighter(nn.Module):
    """Class 1 above a mean brightness."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x):
        above = 20.0 * (x.flatten(1).mean(1) - self.limit)
        return torch.stack([-above, above], 1)


def test_an_image_that_fools_the_model_alone_is_not_broken():
    x, y = torch.full((3, 1, 4, 4), 0.2), torch.zeros(3, dtype=torch.int64)
    bare = attack(Brighter(0.25), x, y, "square", eps=0.1, n_queries=100)
    guarded = attack(Cut(Brighter(0.25)), x, y, "square", eps=0.1, n_queries=100)
    assert bare.clean.success.all()
    assert not guarded.clean.success.any()
    assert set(guarded.status) == {"open"}


@pytest.mark.parametrize("around", [False, True])
def test_an_image_that_fools_the_defended_model_alone_is_broken(around):
    x, y = torch.full((3, 1, 4, 4), 0.45), torch.zeros(3, dtype=torch.int64)
    defence = Cut(Brighter(0.6))
    if around:
        # Its noise is no part of the decision; the filter behind it is.
        defence = InputNoise(defence, 0.02)
    bare = attack(Brighter(0.6), x, y, "square", eps=0.1, n_queries=100)
    guarded = attack(defence, x, y, "square", eps=0.1, n_queries=100, keep_images=True)
    assert not bare.clean.success.any()
    assert guarded.clean.success.all()
    assert set(guarded.status) == {"broken"}
    with torch.no_grad():
        assert (Brighter(0.6)(guarded.images).argmax(1) == 0).all()


def test_images_count_as_broken_by_the_class_of_the_random_defence():
    x, y = (part[:40] for part in digits().held_out)
    network = load_model()
    defence = RandomResize(network, 0.3, experiment_seed=0)
    result = attack(
        defence, x, y, "square", eps=0.2, n_queries=200, keep_images=True, rng=1
    )
    judge = clean_model(defence)
    with torch.no_grad():
        assert np.array_equal(result.attacked, (judge(x).argmax(1) == y).numpy())
        assert not torch.equal(judge(x).argmax(1), network(x).argmax(1))
    assert result.broken.success.any()
    assert not result.own_noise
    assert result.judged > 0


def test_a_judge_is_one_object_and_follows_its_defence(model, images):
    defence = RandomResize(model, 0.4)
    judge = clean_model(defence)
    assert clean_model(defence) is judge
    assert torch.equal(judge(images), judge(images))
    assert defence.n_queries == 0
    assert not any(module is judge for module in defence.modules())
    before = judge(images)
    defence.share = 0.2
    assert clean_model(defence) is judge
    assert not torch.equal(judge(images), before)
    defence.model = nn.Sequential(model)
    assert clean_model(defence) is not judge
    twin = copy.copy(defence)
    twin.share = 0.0
    assert torch.equal(clean_model(twin)(images), model(images))
    assert not torch.equal(clean_model(defence)(images), model(images))


def test_who_judges(model):
    for name in ("jpeg", "mean", "median"):
        defence = TRANSFORMS[name](model)
        assert clean_model(defence) is defence
        assert clean_model(InputNoise(defence, 0.1)) is defence
    for inner in (InputNoise(model, 0.1), FeatureNoise(model, 0.1, "stem")):
        defence = JPEG(inner, 60)
        judge = clean_model(defence)
        assert judge is not defence
        assert clean_model(defence) is judge


def test_noise_behind_a_filter_has_no_say(transform, model, images):
    """The filter counts, the noise that it stands around does not."""
    noisy = transform(FeatureNoise(model, 5.0, "stage"))
    want = clean_model(transform(model))
    assert torch.equal(clean_model(noisy)(images), want(images))
    out = transform(OutputNoise(model, 0.3))
    assert torch.equal(clean_model(out)(images).argmax(1), want(images).argmax(1))


def test_the_judge_is_the_mean_over_many_draws():
    """9 views against 200 draws: at most 5 of 100 digits, whose means are close."""
    x = digits().held_out[0][:100]
    defence = RandomResize(load_model(), 0.3, experiment_seed=0)
    with torch.no_grad():
        many = sum(defence(x).softmax(1) for _ in range(200)) / 200
        ours = clean_model(defence)(x).exp()
    assert torch.allclose(ours.sum(1), torch.ones(100), atol=1e-5)
    sure = many.topk(2).values @ torch.tensor([1.0, -1.0]) > 0.2
    assert sure.sum() > 70
    assert (many.argmax(1) == ours.argmax(1))[sure].double().mean() > 0.95


# -- words -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        "resize",
        "resize:way=grow",
        "jpeg",
        "denoise",
        "denoise:layer=layer1.0:filter=median:side=5",
    ],
)
def test_words_parse_to_themselves(word):
    site = Site.parse(word)
    assert (site.kind, site.name) == ("rival", word)
    assert Site.parse(site.name) == site


@pytest.mark.parametrize("word", ["resize", "jpeg", "denoise"])
def test_an_entry_is_built_at_its_usual_strength_and_at_every_level(word, model):
    entry, images = DEFENCES[word], torch.full((2, 3, 6, 6), 0.5)
    assert len(entry.about) <= 60
    assert 0 < entry.usual <= entry.most
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for strength in (None, 0.0, entry.most, *entry.levels):
            defence = defend(model, word, strength)
            assert defence(images).shape == (2, 5)
            assert clean_model(defence)(images).shape == (2, 5)
