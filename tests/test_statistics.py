"""The file of a probe: exact there and back, and a clear line for every other file."""

import dataclasses
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querytax import files
from querytax.expect import DomainError
from querytax.files import read_arrays, write_arrays
from querytax.statistics import ModelStatistics, SiteStatistics


def site(seed, n_images=5, n_probed=3):
    rng = np.random.default_rng(seed)
    sigmas = np.array([0.0, 0.1, 0.3])
    cube = (2, 3, 4, 2, 2, n_probed)
    return SiteStatistics(
        sigmas=sigmas,
        signal=rng.random(cube) * 1e-300,
        signal_error=rng.random(cube),
        noise=rng.random(cube),
        alignment=rng.random(cube),
        flips=rng.random((3, n_images)),
        correct=rng.random((3, n_images)),
        loss_noise=rng.random((2, 3, n_images)),
        gradient_norm=np.array([1.0, np.nan, 3.0, 0.0, 1e-310]),
        n_draws=16,
        label_share=rng.random((3, 7, n_probed)) if seed == 1 else None,
    )


def model_statistics():
    rng = np.random.default_rng(0)
    return ModelStatistics(
        sites={"output:probabilities:reflect": site(1), "a/b.weird name": site(2)},
        betas=np.array([1e-4, 1e-3, 0.01, 0.1]),
        probed=np.array([0, 2, 4]),
        path_length=np.array([0.3, np.inf, np.nan]),
        wander_length=np.array([0.9, np.inf, np.nan]),
        stages=np.array([0.25, 0.75]),
        stage_weights=np.array([0.5, 0.5]),
        logits=rng.normal(size=(5, 4)),
        labels=np.array([0, 1, 2, 3, 0]),
        gradient_norm=rng.random(5),
        dimension=64,
        eps=8 / 255,
        norm="Linf",
        targeted=False,
        shape=(1, 8, 8),
        blind_hits=np.array([0, 3, 40]),
        blind_tried=40,
        blind_outcomes=rng.random((3, 40)) < 0.1,
        blind_turn=16,
        proposals=rng.normal(size=(2, 2, 2, 3, 4)).astype(np.float32),
        proposal_kinds=("coarse", "pixel"),
        gaps=np.array([1.0, 1e-300, 3.0]),
        boundary_norm=np.array([0.5, np.nan, np.nan]),
        provenance={"seed": 2**63 - 1, "version": "0.1.0", "note": "größer"},
    )


@pytest.fixture
def stats():
    return model_statistics()


@pytest.fixture
def saved(stats, tmp_path):
    path = tmp_path / "stats.npz"
    stats.save(path)
    return path


def assert_same(left, right):
    assert type(left) is type(right)
    for field in dataclasses.fields(left):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes()
            assert a.shape == b.shape
        elif field.name == "sites":
            assert list(a) == list(b)
            for name in a:
                assert_same(a[name], b[name])
        else:
            assert a == b
            assert type(a) is type(b)


def test_there_and_back_exactly(stats, saved):
    again = ModelStatistics.load(saved)
    assert_same(stats, again)
    other = saved.with_name("other.npz")
    again.save(str(other))
    assert_same(stats, ModelStatistics.load(str(other)))
    assert sorted(os.listdir(saved.parent)) == ["other.npz", "stats.npz"]


def test_the_file_has_the_mode_that_open_gives(saved):
    plain = saved.with_name("plain")
    plain.write_text("")
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def refused(path):
    with pytest.raises(DomainError) as caught:
        ModelStatistics.load(path)
    assert "\n" not in str(caught.value)
    assert repr(os.fspath(path)) in str(caught.value)
    return str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_byte_is_seen_or_does_not_matter(data):
    """A zip archive has a few bytes that nobody reads; every other one is guarded."""
    stats, path = DAMAGE
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    broken = path.with_name("broken.npz")
    broken.write_bytes(raw)
    try:
        again = ModelStatistics.load(broken)
    except DomainError:
        refused(broken)
    else:
        assert_same(stats, again)


@pytest.fixture(autouse=True, scope="module")
def _damage(tmp_path_factory):
    global DAMAGE
    path = tmp_path_factory.mktemp("damage") / "stats.npz"
    stats = model_statistics()
    stats.save(path)
    DAMAGE = stats, path


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.9999])
def test_a_truncated_file(saved, share):
    raw = saved.read_bytes()
    saved.write_bytes(raw[: int(len(raw) * share)])
    assert "damaged or something else" in refused(saved)


def test_files_that_are_not_ours(saved, tmp_path):
    np.savez(tmp_path / "foreign.npz", x=np.arange(3))
    write_arrays(tmp_path / "text.npz", {"head": np.array("no json")})
    write_arrays(tmp_path / "deep.npz", {"head": np.array("[" * 100_000)})
    write_arrays(tmp_path / "list.npz", {"head": np.array("[1, 2]")})
    write_arrays(tmp_path / "none.npz", {"x": np.arange(3)})
    other = np.array('{"format": "other"}')
    write_arrays(tmp_path / "format.npz", {"head": other})
    np.save(tmp_path / "array.npy", np.arange(3))
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object))
    (tmp_path / "note.txt").write_text("hello")
    for path in sorted(set(tmp_path.iterdir()) - {saved}):
        assert "something else" in refused(path)
    assert "No such file" in refused(tmp_path / "absent.npz")
    assert "Is a directory" in refused(tmp_path)


def rewritten(path, **changes):
    """The file with another head, sealed as if it had been written so."""
    arrays = read_arrays(path, "")
    head = {**json.loads(str(arrays["head"])), **changes}
    head = {key: value for key, value in head.items() if value is not None}
    arrays["head"] = np.array(json.dumps(head))
    write_arrays(path, arrays)


def test_another_schema_version(saved):
    rewritten(saved, schema=99)
    assert "expected schema version 3" in refused(saved)
    rewritten(saved, schema=1)
    assert "got 1: probe the model again" in refused(saved)
    rewritten(saved, schema=None)
    assert "got None: probe the model again" in refused(saved)


@pytest.mark.parametrize(
    "change", [{"sites": None}, {"sites": 3}, {"sites": {"a": {}}}, {"eps": None}]
)
def test_a_file_with_parts_missing(saved, change):
    rewritten(saved, **change)
    assert "whole statistics file" in refused(saved)


@pytest.mark.parametrize(
    ("where", "value", "wrong"),
    [
        ("site0/correct", np.nan, "correct out of its range"),
        ("site0/correct", 1.5, "correct out of its range"),
        ("site0/alignment", -0.1, "alignment out of its range"),
        ("site0/signal", np.inf, "signal out of its range"),
        ("site0/signal", -1.0, "signal out of its range"),
        ("site0/noise", np.nan, "noise out of its range"),
        ("site1/sigmas", 0.0, "sigmas that do not ascend"),
        ("path_length", -1.0, "path_length out of its range"),
        ("betas", 0.0, "probe sizes that do not ascend"),
        ("logits", np.nan, "logits out of its range"),
        ("labels", 99, "labels beyond the classes"),
        ("probed", 99, "probed images that are not there"),
        ("blind_hits", 10_000, "more hits than patterns"),
    ],
)
def test_numbers_that_cannot_be_are_not_believed(saved, where, value, wrong):
    """Sealed anew, so that the digest has nothing to say."""
    arrays = read_arrays(saved, "")
    arrays[where] = arrays[where].copy()
    arrays[where].flat[-1] = value
    write_arrays(saved, arrays)
    assert wrong in refused(saved)


def test_arrays_that_do_not_fit_each_other(saved):
    arrays = read_arrays(saved, "")
    cut = {**arrays, "path_length": arrays["path_length"][:-1]}
    write_arrays(saved, cut)
    assert "which fits nothing" in refused(saved)
    write_arrays(saved, {**arrays, "labels": np.array(["a", "b"])})
    assert "no array of numbers" in refused(saved)
    write_arrays(saved, {**arrays, "site0/signal": arrays["site0/signal"][0]})
    assert "signal of shape" in refused(saved)


@pytest.mark.parametrize("where", ["absent/stats.npz", "folder", "file/stats.npz"])
def test_an_unwritable_path_leaves_nothing(stats, tmp_path, where):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(DomainError, match="expected a writable path, got") as caught:
        stats.save(tmp_path / where)
    assert str(tmp_path / where) in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert not os.listdir(tmp_path / "folder")


def test_a_failure_while_writing_keeps_the_old_file(stats, saved, monkeypatch):
    before = saved.read_bytes()

    def half(stream, **_arrays):
        stream.write(b"half of it")
        raise RuntimeError("interrupted")

    monkeypatch.setattr(files.np, "savez_compressed", half)
    with pytest.raises(RuntimeError, match="interrupted"):
        stats.save(saved)
    with pytest.raises(RuntimeError, match="interrupted"):
        stats.save(saved.with_name("new.npz"))
    assert os.listdir(saved.parent) == ["stats.npz"]
    assert saved.read_bytes() == before


def test_a_full_disk_is_an_unwritable_path(stats, tmp_path, monkeypatch):
    def full(stream, **_arrays):
        stream.write(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.np, "savez_compressed", full)
    with pytest.raises(DomainError, match=r"writable path, .*No space left"):
        stats.save(tmp_path / "x")
    assert not os.listdir(tmp_path)


def test_loading_needs_no_torch(saved):
    code = (
        "import sys; from querytax.statistics import ModelStatistics; "
        f"ModelStatistics.load({str(saved)!r}); "
        "heavy = {'torch', 'numba', 'sympy', 'matplotlib', 'scipy', 'sklearn'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


def test_what_was_not_measured_is_none(tmp_path):
    bare = dataclasses.replace(
        model_statistics(),
        blind_hits=None,
        blind_tried=0,
        blind_outcomes=None,
        proposals=None,
        proposal_kinds=None,
        gaps=None,
        boundary_norm=None,
    )
    bare.save(tmp_path / "bare.npz")
    again = ModelStatistics.load(tmp_path / "bare.npz")
    assert_same(bare, again)
    assert again.proposals is again.gaps is again.label_offsets is None
    assert again.sites["a/b.weird name"].label_share is None


def test_a_site_is_found_by_any_of_its_words(stats):
    assert stats.site("output") is stats.sites["output:probabilities:reflect"]
    with pytest.raises(DomainError, match="expected site to be one of 'output:prob"):
        stats.site("input")


def test_derived_numbers(stats):
    np.testing.assert_allclose(stats.probabilities.sum(1), 1.0)
    right = stats.logits.argmax(1) == stats.labels
    assert stats.accuracy == right.mean()
    assert ((stats.margins > 0) == right).all()
    one = stats.sites["output:probabilities:reflect"]
    share, error = one.accuracy()
    np.testing.assert_allclose(share, one.correct.mean(1))
    assert error[0] == 0.0
    paired = one.correct[2] - one.correct[0]
    assert error[2] == pytest.approx(paired.std() / 5**0.5)
