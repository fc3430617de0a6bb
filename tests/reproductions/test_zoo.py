"""The zoo: networks that answer, layers that are places for noise, files that fail."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch

import querytax as qt
from querytax import demo, training
from querytax.defenses import FeatureNoise
from querytax.expect import DomainError
from querytax.noise import uniforms
from querytax.reproductions import data, networks, zoo

DIGITS = [name for name, network in zoo.NETWORKS.items() if network.data == "digits"]
SHAPES = {
    "digits": (1, 8, 8),
    "mnist": (1, 28, 28),
    "fashion_mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
    "imagenet": (3, 224, 224),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of images and networks of our own, with nothing in it."""
    monkeypatch.setenv("QUERYTAX_DATA", str(tmp_path))
    return tmp_path


def images_like(network, n=2):
    rows = torch.arange(n)
    return uniforms(0, "test/zoo", rows, rows, SHAPES[network.data])


# -- networks ---------------------------------------------------------------------


@pytest.mark.parametrize("network", zoo.NETWORKS.values(), ids=zoo.NETWORKS)
def test_every_layer_of_every_network_is_a_place_for_noise(network):
    model = training.build(network.make).eval()
    x = images_like(network)
    with torch.no_grad():
        clean = model(x)
        assert clean.shape == (2, 1000 if network.data == "imagenet" else 10)
        for layer in network.layers:
            for where in ("output", "input"):
                noisy = FeatureNoise(model, 0.1, layer, where=where, experiment_seed=0)(
                    x
                )
                assert not torch.equal(noisy, clean), (layer, where)
        # Input side first: each layer is reached before the next.
        order = []
        for layer in network.layers:
            model.get_submodule(layer).register_forward_hook(
                lambda *_, layer=layer: order.append(layer)
            )
        model(x)
    assert tuple(order) == network.layers == zoo.layers(network.name)


@pytest.mark.parametrize("network", zoo.NETWORKS.values(), ids=zoo.NETWORKS)
def test_the_registry_is_whole(network):
    assert zoo.NETWORKS[network.name] is network
    assert network.name.startswith(network.data.split("_")[0])
    assert network.data in SHAPES
    assert len(network.about) < 150
    assert (network.source == "file") == (network.minutes == 0.0)
    assert network.source in ("file", "trained here")


@pytest.mark.parametrize("name", DIGITS)
def test_networks_of_the_digits_are_right_on_what_they_have_not_seen(name):
    model = zoo.load(name)
    x, y = zoo.images(name)
    assert x.shape == (600, 1, 8, 8)
    # No tracking: the parameters are fixed.
    answer = model(x)
    assert not answer.requires_grad
    assert not model.training
    assert (answer.argmax(1) == y).double().mean() > 0.94
    again = zoo.load(name)
    assert again is not model
    assert torch.equal(again(x), answer)


def test_training_twice_gives_the_same_weights():
    one, other = zoo.load("digits_resnet"), zoo.train("digits_resnet")
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_folded_batch_norm_is_the_same_function():
    model = training.build(lambda: networks.ResNet(2)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean += 0.1
                module.running_var *= 1.5
        x = images_like(zoo.NETWORKS["cifar10_resnet20"])
        before = model(x)
        model.fold()
        assert torch.allclose(model(x), before, atol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())


def test_a_defence_takes_the_digits_networks():
    x, _ = zoo.images("digits", 4)
    for name in ("digits_resnet", "digits_vit"):
        model = zoo.load(name)
        site = zoo.layers(name)[0]
        assert torch.equal(qt.defend(model, site, 0.0)(x), model(x))


# -- images -----------------------------------------------------------------------


def test_digits_are_the_demos():
    parts = demo.digits()
    x, y = zoo.images("digits_vit")
    assert torch.equal(x, torch.cat([parts.probe[0], parts.held_out[0]]))
    assert torch.equal(y, torch.cat([parts.probe[1], parts.held_out[1]]))
    assert torch.equal(zoo.images("digits", split="train")[0], parts.train[0])
    some, labels = zoo.images("digits", 5, start=298)
    assert torch.equal(some, x[298:303])
    assert torch.equal(labels, y[298:303])


def test_bytes_become_floats_channels_first(folder):
    pixels = (np.arange(7 * 4 * 5 * 3) % 256).astype(np.uint8).reshape(7, 4, 5, 3)
    y = np.arange(7, dtype=np.uint8)
    np.savez(folder / "cifar10.npz", x_test=pixels, y_test=y)
    x, labels = zoo.images("cifar10_vgg", 3, start=2)
    assert x.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert labels.tolist() == [2, 3, 4]
    assert x.shape == (3, 3, 4, 5)
    assert np.array_equal(
        x.numpy().transpose(0, 2, 3, 1), pixels[2:5].astype(np.float32) / 255.0
    )
    # What is handed out is the caller's to change.
    labels += 1
    assert zoo.images("cifar10", 3, start=2)[1].tolist() == [2, 3, 4]
    assert len(zoo.images("cifar10")[0]) == 7


def test_jpegs_are_decoded_as_they_are_asked_for(folder):
    image = pytest.importorskip("PIL.Image")
    files = []
    for grey in (0, 100, 255):
        stream = io.BytesIO()
        image.new("RGB", (6, 4), (grey,) * 3).save(stream, "JPEG", quality=95)
        files.append(stream.getvalue())
    np.savez(
        folder / "imagenet_sample1000_jpeg.npz",
        jpeg=np.frombuffer(b"".join(files), np.uint8),
        offsets=np.cumsum([0, *map(len, files)]),
        y_test=np.arange(3, dtype=np.int16),
    )
    x, y = zoo.images("imagenet", 2, start=1)
    assert x.shape == (2, 3, 4, 6)
    assert y.tolist() == [1, 2]
    assert x.mean((1, 2, 3)).tolist() == pytest.approx([100 / 255, 1.0], abs=2 / 255)


def test_without_pillow_there_are_the_raw_images(monkeypatch):
    monkeypatch.setattr(data.importlib.util, "find_spec", lambda name: None)
    assert data.archives("imagenet") == ["imagenet_sample100_raw.npz"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: zoo.images("digits", 601), "expected n at most 600, got 601"),
        (lambda: zoo.images("digits", 1, start=600), "expected n at most 0"),
        (lambda: zoo.images("digits", 0), "expected n a whole number >= 1"),
        (lambda: zoo.images("digits", start=-1), "expected start a whole number"),
        (lambda: zoo.images("digits", split="probe"), "split to be one of 'test'"),
        (lambda: zoo.images("imagenet", split="train"), "one of 'test', got 'train'"),
        (lambda: zoo.images("mnst"), "did you mean 'mnist'"),
        (lambda: zoo.load("digits_vti"), "did you mean 'digits_vit'"),
        (lambda: zoo.layers("resnet"), "expected name to be a known one"),
        (lambda: zoo.missing(["vgg"]), "name to be one of .* got 'vgg'"),
        (lambda: zoo.train("cifar10_resnet20"), "expected name to be one of"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(DomainError, match=message):
        call()


# -- files ------------------------------------------------------------------------


def test_what_is_missing_and_where_it_was_looked_for(folder):
    assert zoo.missing(DIGITS) == []
    (folder / "models").mkdir()
    (folder / "models" / "cifar10_resnet20.json").write_text("{}")
    lines = zoo.missing(["digits_cnn", "mnist_al", "cifar10_resnet20"])
    assert lines == [
        f"mnist_al needs mnist.npz in {folder}",
        "cifar10_resnet20 needs cifar10.npz, models/cifar10_resnet20.safetensors in "
        f"{folder}",
    ]
    # Its check is of the raw images, whatever else is read.
    assert "sample100_raw" in zoo.missing(["imagenet_mobilenet_v2"])[0]


@pytest.mark.parametrize(
    ("name", "file"),
    [("mnist_al", "mnist.npz"), ("cifar10_resnet56", "models/cifar10_resnet56.json")],
)
def test_a_file_that_is_not_there_is_named(folder, name, file):
    with pytest.raises(DomainError, match="digits need none") as caught:
        zoo.load(name)
    assert file in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_file_s_network_is_held_against_its_check(folder):
    save = pytest.importorskip("safetensors.torch").save_file
    name = "mnist_convsmall_natural"
    network = zoo.NETWORKS[name]
    model = training.build(network.make)
    (folder / "models").mkdir()
    save(model.state_dict(), folder / "models" / f"{name}.safetensors")
    pixels = (255 * images_like(network, 3).movedim(1, -1).numpy()).astype(np.uint8)
    np.savez(folder / "mnist.npz", x_test=pixels, y_test=np.zeros(3, np.uint8))
    x, _ = zoo.images(name)
    logits = model((x - 0.2) / 0.4)[0].tolist()
    said = {"input": {"mean": [0.2], "std": [0.4]}, "check": {"logits": logits}}
    path = folder / "models" / f"{name}.json"
    path.write_text(json.dumps(said))
    assert zoo.missing([name]) == []
    loaded = zoo.load(name)
    assert torch.allclose(loaded(x), model((x - 0.2) / 0.4), atol=1e-6)
    assert set(network.layers) <= {child for child, _ in loaded.named_children()}
    logits[4] += 0.01
    path.write_text(json.dumps(said))
    with pytest.raises(DomainError, match=r"as its file says, got 0\.01"):
        zoo.load(name)
