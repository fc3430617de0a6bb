"""Images as people have them: all kinds give the same tensors, or one line says why."""

import io
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import querytax as qt
from querytax.expect import DomainError
from querytax.images import files as image_files
from querytax.images import load_images, pixels

N = 6
RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
BYTES[:, 0, 0] = 255
GRAY = BYTES[..., 0]
LABELS = np.array([2, 0, 1, 1, 0, 2])
FLOATS = torch.from_numpy(BYTES).movedim(-1, 1).float() / 255


class Photos(Dataset):
    """Items that count how often they are read."""

    def __init__(self, make, length=N):
        self.make, self.length, self.read = make, length, 0

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        self.read += 1
        return self.make(i)


def pillow(i):
    return Image.fromarray(BYTES[i % N]), int(LABELS[i % N])


def chw(i):
    return FLOATS[i], torch.tensor(LABELS[i])


class Stream(IterableDataset):
    def __iter__(self):
        return map(chw, range(N))


def batches():
    for start in range(0, N, 4):
        yield BYTES[start : start + 4], LABELS[start : start + 4]


def quantized():
    """What a phone's model is fed with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(FLOATS, 1 / 255, 0, torch.quint8)


ONE_HOT = np.eye(3)[LABELS]
SOURCES = {
    "bytes": (BYTES, LABELS),
    "bytes, channels first": (np.ascontiguousarray(np.moveaxis(BYTES, -1, 1)), LABELS),
    "0 to 255 as float64": (BYTES.astype(float), LABELS),
    "0 to 255 as int64": (BYTES.astype(np.int64), LABELS),
    "0 to 255 as uint16": (BYTES.astype(np.uint16), LABELS),
    "big-endian": (BYTES.astype(">f4"), LABELS),
    "floats, channels last": (BYTES.astype(np.float32) / np.float32(255), LABELS),
    "a tensor": (FLOATS, torch.from_numpy(LABELS)),
    "a list of arrays": (list(BYTES), list(LABELS)),
    "a list of pairs": ([(BYTES[i], LABELS[i]) for i in range(N)], None),
    "a list of Pillow's": ([pillow(i)[0] for i in range(N)], LABELS),
    "columns of labels": (BYTES, LABELS[:, None]),
    "one-hot": (BYTES, ONE_HOT),
    "one-hot, whole": (BYTES, torch.from_numpy(ONE_HOT).long()),
    "unsigned labels": (BYTES, LABELS.astype(np.uint16)),
    "Dataset of Pillow's": (Photos(pillow), None),
    "Dataset of tensors": (Photos(chw), None),
    "Dataset of dicts": (
        Photos(lambda i: {"image": pillow(i)[0], "label": LABELS[i]}),
        None,
    ),
    "Dataset of images alone": (Photos(lambda i: BYTES[i]), LABELS),
    "TensorDataset": (TensorDataset(FLOATS, torch.from_numpy(LABELS)), None),
    "DataLoader": (DataLoader(Photos(chw), batch_size=4), None),
    "DataLoader of single ones": (DataLoader(Photos(chw), batch_size=None), None),
    "DataLoader of one-hot": (
        DataLoader(Photos(lambda i: (FLOATS[i], ONE_HOT[i])), batch_size=4),
        None,
    ),
    "a DataLoader that puts nothing together": (
        DataLoader(Photos(pillow), batch_size=4, collate_fn=list),
        None,
    ),
    "a DataLoader of lists": (
        DataLoader(
            Photos(pillow), batch_size=4, collate_fn=lambda b: [*zip(*b, strict=True)]
        ),
        None,
    ),
    "IterableDataset": (Stream(), None),
    "both in a pair": ((BYTES, LABELS), None),
    "both in a list": ([FLOATS, LABELS.tolist()], None),
    "both in a dict": ({"images": BYTES, "labels": LABELS}, None),
    "whole floats as labels": (BYTES, LABELS.astype(np.float32)),
    "a column of floats": (BYTES, torch.from_numpy(LABELS[:, None]).double()),
    "labels as objects": (BYTES, LABELS.astype(object)),
    "quantized": (quantized(), LABELS),
    "pairs": (map(chw, range(N)), None),
    "batches": (batches(), None),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_gives_the_same_tensors(kind):
    images, labels = load_images(*SOURCES[kind])
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    torch.testing.assert_close(images, FLOATS)
    assert labels.dtype == torch.int64
    assert labels.tolist() == LABELS.tolist()


def test_the_source_is_left_alone():
    raw = BYTES.astype(np.float32)
    raw.flags.writeable = False
    labels = LABELS.copy()
    labels.flags.writeable = False
    load_images(raw, labels)
    tensor = torch.from_numpy(BYTES.astype(np.float32)).movedim(-1, 1)
    load_images(tensor, LABELS)
    assert tensor.max() == 255.0


@pytest.mark.parametrize("kind", ["bytes", "a list of pairs", "Dataset of Pillow's"])
def test_a_random_part_by_seed(kind):
    images, labels = load_images(*SOURCES[kind], limit=4, rng=3)
    order = np.random.default_rng(qt.seeds.seed_of(3)).permutation(N)[:4]
    torch.testing.assert_close(images, FLOATS[order])
    assert labels.tolist() == LABELS[order].tolist()


# -- layout and scale -------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "bytes_", "wanted"),
    [
        ((2, 28, 28), True, (2, 1, 28, 28)),
        ((2, 28, 20), True, (2, 1, 28, 20)),
        ((2, 28, 28), False, (2, 1, 28, 28)),
        ((2, 12, 100), False, (2, 12, 100)),  # Channels and time, say.
        ((2, 784), True, (2, 784)),
        ((2, 784), False, (2, 784)),
        ((2, 1, 28, 28), True, (2, 1, 28, 28)),
        ((2, 28, 28, 1), False, (2, 1, 28, 28)),
        ((2, 32, 24, 4), True, (2, 4, 32, 24)),
        ((2, 3, 4, 4), True, (2, 3, 4, 4)),
        ((2, 4, 4, 3), True, (2, 3, 4, 4)),
        ((2, 1, 1, 1), True, (2, 1, 1, 1)),
        ((2, 16, 9, 9), False, (2, 16, 9, 9)),
        ((2, 3, 1, 1), False, (2, 3, 1, 1)),
    ],
)
def test_where_the_channels_stand(shape, bytes_, wanted):
    x = np.full(shape, 255, np.uint8) if bytes_ else np.full(shape, 0.5)
    images, _ = load_images(x, [0, 1])
    assert tuple(images.shape) == wanted


@pytest.mark.parametrize("shape", [(2, 3, 32, 3), (2, 4, 4, 4), (2, 1, 28, 1)])
def test_two_layouts_are_one_too_many(shape):
    x = np.full(shape, 0.5, np.float32)
    with pytest.raises(DomainError, match="could be both: give layout as NCHW or NHWC"):
        load_images(x, [0, 1])
    assert load_images(x, [0, 1], layout="NCHW")[0].shape == shape
    n, height, width, channels = shape
    wanted = n, channels, height, width
    assert load_images(x, [0, 1], layout="NHWC")[0].shape == wanted


def test_layouts_that_are_given():
    x = np.full((2, 9, 9), 0.5)
    assert load_images(x, [0, 1], layout="as is")[0].shape == (2, 9, 9)
    assert load_images(x[:, :, :5], [0, 1], layout="NHW")[0].shape == (2, 1, 9, 5)
    with pytest.raises(DomainError, match=r"images as NHWC, got shape \(2, 9, 9\)"):
        load_images(x, [0, 1], layout="NHWC")


def test_scales_that_are_given():
    sixteenths = np.arange(17.0)[:, None].repeat(2, 1)
    with pytest.raises(DomainError, match=r"in \[0, 16\]: give scale, the value of wh"):
        load_images(sixteenths, [0] * 17)
    images, _ = load_images(sixteenths, [0] * 17, scale=16)
    assert images[:, 0].tolist() == [i / 16 for i in range(17)]
    deep = np.array([[0, 65535]], np.uint16)
    assert load_images(deep, [0], scale=65535)[0].tolist() == [[0.0, 1.0]]
    bits = np.array([[0, 1]], np.uint8)
    with pytest.raises(DomainError, match="none above 1: give scale as 1 or 255"):
        load_images(bits, [0])
    assert load_images(bits, [0], scale=1)[0].tolist() == [[0.0, 1.0]]
    assert load_images(bits.astype(bool), [0])[0].tolist() == [[0.0, 1.0]]
    assert load_images(bits * 0, [0])[0].tolist() == [[0.0, 0.0]]


BAD = {
    "standardised": ((-FLOATS, LABELS), "got values in .*before, and let the model"),
    "NaN": ((FLOATS * float("nan"), LABELS), r"got values in \[nan, nan\]"),
    "infinite": ((FLOATS / 0, LABELS), "got values in"),
    "a wrong scale": ((BYTES, LABELS, {"scale": 100}), "after division by 100"),
    "scale 0": ((BYTES, LABELS, {"scale": 0}), "expected scale > 0"),
    "no images": ((BYTES[:0], LABELS[:0]), "expected images, got none"),
    "an empty list": (([], []), "expected images, got none"),
    "a number": ((3, [1]), "expected images as a path, an array.*got int"),
    "nothing": ((None, [1]), "got NoneType"),
    "an array of no axes": ((np.array(0.5), [1]), "got one number"),
    "one axis": ((np.full(3, 0.5), [1, 1, 1]), r"a batch \(N, \.\.\.\)"),
    "width 0": ((np.zeros((2, 3, 8, 0)), [0, 1]), "of at least one pixel, got shape"),
    "words": ((["a", "b"], [0, 1]), "'a' to be an image, got No such file"),
    "several shapes": (
        ([BYTES[0], BYTES[0, :4]], [0, 1]),
        r"of one shape, got \(8, 8, 3\) and \(4, 8, 3\) \(number 1\): give size",
    ),
    "ragged": (([[[0.0], [0.0, 1.0]]], [0]), "images to be numbers, got arrays of"),
    "complex": ((np.ones((2, 3), complex), [0, 1]), "to be numbers, got complex"),
    "an unknown layout": ((BYTES, LABELS, {"layout": "HWC"}), "expected layout"),
    "limit 0": ((BYTES, LABELS, {"limit": 0}), "expected limit a whole number >= 1"),
    "a bad size": ((BYTES, LABELS, {"size": (1, 2, 3)}), "size to be a number or two"),
    "size 0": ((BYTES, LABELS, {"size": 0}), "size a whole number >= 1"),
    "size of words": ((BYTES, LABELS, {"size": "big"}), "size to be a number or two"),
    "channels": ((BYTES, LABELS, {"channels": 2}), "channels to be 1 or 3, got 2"),
    "classes": ((BYTES, LABELS, {"classes": ["a"]}), "classes with a folder"),
    "a stream at random": ((Stream(), None, {"rng": 0}), "rng with a source that kn"),
    "no labels": ((BYTES,), "labels, one an image, got none"),
    "labels twice": ((Photos(chw), LABELS), "labels once, got them in the source"),
    "one image": ((BYTES[0], [1]), r"got 1 for 8: of one image give images\[None\]"),
    "no data": ((torch.empty(2, 3, device="meta"), [0, 1]), "numbers, got no data"),
    "a dict of others": (({"a": BYTES, "b": LABELS}, None), "as x and y, got 'a', 'b'"),
    "a Dataset that fails": (
        (Photos(lambda i: (BYTES[i], 1 // (3 - i))), None),
        "source to give number 3, got ZeroDivisionError",
    ),
    "gray beside colour": (
        (Photos(lambda i: (Image.fromarray((GRAY, BYTES)[i % 2][i]), 0)), None),
        "got L in number 0 and RGB in number 1: give channels",
    ),
    "one label": ((BYTES, 3), r"labels to be 6 whole numbers.*of shape \(\)"),
    "too few": ((BYTES, LABELS[:5]), "as many labels as images, got 5 for 6"),
    "too many": ((list(BYTES), [*LABELS, 1]), "as many labels as images, got 7 for 6"),
    "names": ((BYTES, ["cat"] * N), "6 whole numbers.*words such as 'cat': number"),
    "names one by one": (
        (Photos(lambda i: (BYTES[i], "ab"[i % 2])), None),
        "words such as 'a': number the classes",
    ),
    "bytes as labels": ((BYTES, b"0" * N), "labels to be 6 whole.*got bytes"),
    "infinite labels": (
        (BYTES, (LABELS + 1) * np.inf),
        "labels to be 6 whole.*float64",
    ),
    "halves": ((BYTES, LABELS + 0.5), "labels to be 6 whole numbers.*float64"),
    "soft": ((BYTES, np.full((N, 2), 0.5)), r"labels to be 6.*of shape \(6, 2\)"),
    "two ones": ((BYTES, np.ones((N, 2), int)), r"labels to be 6.*of shape \(6, 2\)"),
    "minus one": ((BYTES, LABELS - 1), "labels from 0 on, got -1"),
    "a column too many": ((BYTES, LABELS[:, None, None]), "labels to be 6 whole"),
    "some without": (([(BYTES[0], 1), (BYTES[1], None)], None), "with every image"),
    "mixed labels": (
        (Photos(lambda i: (BYTES[i], [1, 0][: i + 1])), None),
        "labels of one kind",
    ),
    "unknown keys": (
        (Photos(lambda i: {"a": 1, "b": 2}), None),
        "image and label, got",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_refused_is_one_line(kind):
    (source, *rest), says = BAD[kind]
    how = rest.pop() if rest and isinstance(rest[-1], dict) else {}
    with pytest.raises(DomainError, match=says) as caught:
        load_images(source, *rest, **how)
    assert "\n" not in str(caught.value)


# -- sizes ------------------------------------------------------------------------


def test_resized_to_two_sides_and_to_one():
    wide = np.zeros((2, 10, 30, 3), np.uint8)
    wide[:, :, 10:20] = 255
    images, _ = load_images(wide, [0, 1], size=(5, 30))
    assert images.shape == (2, 3, 5, 30)
    assert images[:, :, :, 12:18].min() == 1.0
    images, _ = load_images(wide, [0, 1], size=10)  # The middle square is white.
    torch.testing.assert_close(images, torch.ones(2, 3, 10, 10))
    mean = load_images(BYTES, LABELS, size=(4, 4))[0].mean((1, 2, 3))
    torch.testing.assert_close(mean, FLOATS.mean((1, 2, 3)), atol=0.02, rtol=0)


# -- streaming --------------------------------------------------------------------


def test_no_more_is_read_than_is_taken():
    photos = Photos(pillow, 1_000_000)
    images, _ = load_images(photos, limit=5)
    assert len(images) == photos.read == 5
    photos.read = 0
    load_images(photos, limit=5, rng=0)
    assert photos.read == 5
    photos = Photos(chw)
    load_images(DataLoader(photos, batch_size=2), limit=3)
    assert photos.read == 4  # Two batches.
    endless = (chw(0) for _ in iter(int, 1))
    assert len(load_images(endless, limit=3)[0]) == 3


@pytest.mark.parametrize("how", [{}, {"rng": 0}])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_costs_the_memory_of_what_is_taken(tmp_path, save, how):
    path = tmp_path / "d.npz"
    save(path, x=np.full((20_000, 32, 32, 3), 9, np.uint8), y=np.arange(20_000) % 7)
    load_images(path, limit=2)
    tracemalloc.start()
    images, _ = load_images(path, limit=100, **how)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(images) == 100
    # Of 61 MB; a piece of 4 MiB is unpacked at a time.
    assert peak < 20e6


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path):
    x = np.lib.format.header_data_from_array_1_0(np.zeros((1, 3, 8, 8), np.uint8))
    x["shape"] = (10**9, 3, 1000, 1000)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, x)
    with open(tmp_path / "x.npy", "wb") as file:
        file.write(header.getvalue())
    with pytest.raises(DomainError, match=r"free memory, got .* GB: give limit"):
        load_images(tmp_path / "x.npy", np.broadcast_to(np.int64(0), 10**9))
    with pytest.raises(DomainError, match=r"free memory, got .* GB: give limit"):
        load_images(Photos(pillow, 10**12))


# -- files ------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_in_files(tmp_path, order):
    x = np.asarray(BYTES, order=order)
    np.savez(tmp_path / "d.npz", x=x, y=LABELS)
    np.savez(tmp_path / "other.npz", images=x, labels=ONE_HOT)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", LABELS)
    for source, labels in (
        (tmp_path / "d.npz", None),
        (tmp_path / "other.npz", None),
        (tmp_path / "x.npy", tmp_path / "y.npy"),
        (f"{tmp_path}/x.npy,{tmp_path}/y.npy", None),
        (BYTES, tmp_path / "y.npy"),
    ):
        for limit in (None, 4, 99):
            images, found = load_images(source, labels, limit=limit)
            torch.testing.assert_close(images, FLOATS[:limit])
            assert found.tolist() == LABELS[:limit].tolist()
        images, found = load_images(source, labels, limit=4, rng=1)
        torch.testing.assert_close(
            images, load_images(BYTES, LABELS, limit=4, rng=1)[0]
        )


def test_damaged_arrays(tmp_path):
    np.savez_compressed(tmp_path / "d.npz", x=BYTES, y=LABELS)
    raw = bytearray((tmp_path / "d.npz").read_bytes())
    rng = np.random.default_rng(1)
    for _ in range(60):
        hurt = bytearray(raw)
        for place in rng.integers(0, len(raw), 3):
            hurt[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "hurt.npz").write_bytes(hurt[: int(rng.integers(1, len(raw) + 1))])
        with pytest.raises(DomainError) as caught:
            load_images(tmp_path / "hurt.npz")
        assert "\n" not in str(caught.value)
    np.save(tmp_path / "x.npy", BYTES)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    with pytest.raises(DomainError, match="not plain arrays"):
        load_images(tmp_path / "x.npy", LABELS)
    with zipfile.ZipFile(tmp_path / "z.npz", "w") as archive:
        archive.writestr("x.npy", b"x")
        archive.writestr("y.npy", b"y")
    with pytest.raises(DomainError, match="not plain arrays"):
        load_images(tmp_path / "z.npz")


def pictures(folder, arrays, ending="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{i:03}.{ending}")
    return folder


def test_a_folder_a_class(tmp_path):
    """Sorted by name, the classes mixed by their shares."""
    pictures(tmp_path / "dog", BYTES[:2])
    pictures(tmp_path / "cat" / "more", BYTES[2:6])
    pictures(tmp_path / ".hidden", BYTES[:1])
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    images, labels = load_images(tmp_path)
    assert labels.tolist() == [0, 1, 0, 0, 1, 0]
    torch.testing.assert_close(images, FLOATS[[2, 0, 3, 4, 1, 5]])
    images, labels = load_images(tmp_path, classes=["dog", "bird", "cat"], limit=3)
    assert labels.tolist() == [2, 0, 2]
    torch.testing.assert_close(images, FLOATS[[2, 0, 3]])
    with pytest.raises(DomainError, match="classes to name every folder, not 'cat'"):
        load_images(tmp_path, classes=["dog"])


def test_train_and_val_are_no_classes(tmp_path):
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            pictures(tmp_path / part / name, BYTES[:1])
    with pytest.raises(DomainError, match="pictures in 'train/cat' and the like: give"):
        load_images(tmp_path)
    assert load_images(tmp_path / "val")[1].tolist() == [0, 1]
    assert load_images(tmp_path, classes=["val", "train"])[1].tolist() == [0, 1, 0, 1]


def test_files_in_a_list(tmp_path):
    pictures(tmp_path, BYTES[:3])
    files = sorted(tmp_path.iterdir())
    wanted = load_images(BYTES[:3], LABELS[:3])
    pairs = [(str(f), int(y)) for f, y in zip(files, LABELS, strict=False)]
    for given in ((files, LABELS[:3]), (pairs, None)):
        found = load_images(*given)
        assert torch.equal(found[0], wanted[0])
        assert torch.equal(found[1], wanted[1])


@pytest.mark.parametrize("names", [("image", "label"), ("x_test", "y_test")])
def test_an_archive_under_other_names(tmp_path, names):
    others = {"x_train": BYTES[:1], "y_train": LABELS[:1]}
    x, y = names
    np.savez(tmp_path / "a.npz", **others, **{x: BYTES, y: LABELS})
    for source in (tmp_path / "a.npz", np.load(tmp_path / "a.npz")):
        images, labels = load_images(source)
        torch.testing.assert_close(images, FLOATS)
        assert labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("line", ["0.png", "0.png;1"])
def test_a_table_without_a_label_is_no_heading(tmp_path, line):
    pictures(tmp_path, BYTES[:1])
    (tmp_path / "labels.csv").write_text(f"{line}\n")
    with pytest.raises(DomainError, match=f"got '{line}' in line 1"):
        load_images(tmp_path)


def test_numbers_as_names(tmp_path):
    for name in ("0", "1", "2"):
        pictures(tmp_path / "plain" / name, GRAY[:1])
    assert load_images(tmp_path / "plain")[1].tolist() == [0, 1, 2]
    for name in ("1", "2"):
        pictures(tmp_path / "from one" / name, GRAY[:1])
    for name in map(str, range(11)):
        pictures(tmp_path / "eleven" / name, GRAY[:1])
    for name in ("from one", "eleven"):
        with pytest.raises(
            DomainError, match="the numbers or their order: give classe"
        ):
            load_images(tmp_path / name)
    _, labels = load_images(tmp_path / "eleven", classes=[str(i) for i in range(11)])
    assert sorted(labels.tolist()) == list(range(11))


@pytest.mark.parametrize("heading", ["", "file,label\n"])
def test_a_table_of_labels(tmp_path, heading):
    pictures(tmp_path, BYTES)
    lines = [f"{i:03}.png,{LABELS[i]}" for i in reversed(range(N))]
    (tmp_path / "labels.csv").write_text(heading + "\n".join(lines) + "\n")
    images, labels = load_images(tmp_path)
    torch.testing.assert_close(images, FLOATS.flip(0))
    assert labels.tolist() == LABELS[::-1].tolist()
    (tmp_path / "names.csv").write_text("001.png,cat\n000.png,dog\n")
    names = {"labels": tmp_path / "names.csv", "classes": ["cat", "dog"]}
    assert load_images(tmp_path, **names)[1].tolist() == [0, 1]
    with pytest.raises(
        DomainError, match=r"or classes for names, got '001.png,cat' in"
    ):
        load_images(tmp_path, tmp_path / "names.csv")
    (tmp_path / "labels.csv").write_text("absent.png,1\n")
    with pytest.raises(DomainError, match=r"absent.png' to be an image, got No such"):
        load_images(tmp_path)
    assert load_images(tmp_path, LABELS)[1].tolist() == LABELS.tolist()
    with pytest.raises(DomainError, match="as many labels as images, got 2 for 6"):
        load_images(tmp_path, LABELS[:2])


def test_kinds_of_pictures(tmp_path):
    """Gray stays gray, palettes are RGB, 16 bits stay deep; others must be named."""
    deep = (GRAY.astype(np.uint16) * 257)[0]
    palette = Image.fromarray(BYTES[0]).convert("P")
    for kind, picture, wanted in (
        ("gray", Image.fromarray(GRAY[0]), FLOATS[0, :1]),
        ("deep", Image.fromarray(deep), FLOATS[0, :1]),
        ("black", Image.fromarray(GRAY[0] // 255), (FLOATS[0, :1] == 1).float() / 255),
        ("bits", Image.fromarray(GRAY[0] == 255), (FLOATS[0, :1] == 1).float()),
        ("palette", palette, None),
    ):
        (tmp_path / kind / "a").mkdir(parents=True)
        picture.save(tmp_path / kind / "a" / "1.png")
        images, _ = load_images(tmp_path / kind)
        if wanted is not None:
            torch.testing.assert_close(images[0], wanted)
    assert images.shape == (1, 3, 8, 8)
    clear = Image.fromarray(BYTES[0]).convert("RGBA")
    (tmp_path / "clear" / "a").mkdir(parents=True)
    clear.save(tmp_path / "clear" / "a" / "1.png")
    with pytest.raises(
        DomainError, match=r"RGBA in 'a.1.png': give channels as 1 or 3"
    ):
        load_images(tmp_path / "clear")
    torch.testing.assert_close(
        load_images(tmp_path / "clear", channels=3)[0], FLOATS[:1]
    )
    pictures(tmp_path / "mixed" / "a", GRAY[:1])
    pictures(tmp_path / "mixed" / "b", BYTES[:1])
    with pytest.raises(DomainError, match=r"all images alike, got L in .* and RGB in"):
        load_images(tmp_path / "mixed")
    assert load_images(tmp_path / "mixed", channels=1)[0].shape == (2, 1, 8, 8)


def test_folders_that_hold_nothing_of_use(tmp_path):
    with pytest.raises(DomainError, match=r"a folder a class, or labels\.csv with"):
        load_images(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(DomainError, match=r"expected images in .*, got none"):
        load_images(tmp_path)
    pictures(tmp_path / "cat", BYTES[:1])
    whole = (tmp_path / "cat" / "000.png").read_bytes()
    (tmp_path / "cat" / "000.png").write_bytes(whole[:60])
    with pytest.raises(
        DomainError, match=r"000.png' to be an image, got not a readabl"
    ):
        load_images(tmp_path)


def test_pictures_that_unpack_to_gigabytes(tmp_path, monkeypatch):
    pictures(tmp_path / "a", BYTES[:1])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(DomainError, match=r"000.png' to be an image"):
        load_images(tmp_path)


def test_no_more_pictures_are_opened_than_are_taken(tmp_path, monkeypatch):
    pictures(tmp_path / "a", BYTES)
    pictures(tmp_path / "b", BYTES)
    opened = []
    read = image_files.Folder._read
    monkeypatch.setattr(
        image_files.Folder,
        "_read",
        lambda self, name: opened.append(name) or read(self, name),
    )
    _, labels = load_images(tmp_path, limit=4)
    assert len(opened) == 4
    assert labels.tolist() == [0, 1, 0, 1]


def test_machines_that_do_not_tell_their_memory(monkeypatch):
    def absent(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(pixels, "open", absent, raising=False)
    pixels.check_room(1e30)


# -- where tensors are taken ------------------------------------------------------


def model(x):
    return x.flatten(1) @ torch.eye(192)[:, :3]


@pytest.mark.parametrize("labels", [LABELS[:, None], ONE_HOT, list(LABELS)])
def test_labels_of_every_kind_are_taken_everywhere(labels):
    wanted = qt.attack(
        model, FLOATS, torch.from_numpy(LABELS), "nes", eps=0.1, n_queries=50
    )
    found = qt.attack(model, FLOATS, labels, "nes", eps=0.1, n_queries=50)
    assert found.attacked.tolist() == wanted.attacked.tolist()


@pytest.mark.parametrize("images", [BYTES, FLOATS.numpy(), torch.from_numpy(BYTES)])
def test_images_of_another_kind_name_the_remedy(images):
    for ask in (
        lambda: qt.probe(model, images, LABELS),
        lambda: qt.attack(model, images, LABELS, "nes", eps=0.1),
        lambda: qt.certify(model, images, LABELS, 100, site="input"),
    ):
        with pytest.raises(DomainError, match=r"querytax\.load_images makes one"):
            ask()


def test_images_without_pixels_are_one_line():
    with pytest.raises(DomainError, match="of one pixel at least"):
        qt.probe(model, FLOATS[..., :0], LABELS)
