"""Files of ours: whole or not at all, and nothing damaged or planted is believed."""

import json
import os
import stat
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from querytax import files
from querytax.expect import DomainError

STATE = {"a": 1, "b": [0.1, float("inf"), 5e-324], "c": {"größer": None}}


# -- writing ----------------------------------------------------------------------


def test_a_device_stays_a_device(tmp_path):
    """As root, replacing /dev/null would break the machine."""
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        with open(device, "wb"):
            pass
    except OSError:
        pytest.skip("this user may not make devices")
    files.writable(device)
    with files.atomic_write(device) as stream:
        stream.write(b"gone")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert os.listdir(tmp_path) == ["null"]


def test_a_pipe_is_written_through(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    with files.atomic_write(pipe) as stream:
        stream.write(b"through")
    reader.join(5)
    assert heard == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path, there):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "file"
    if there:
        target.write_bytes(b"old")
        target.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    files.writable(link)
    with files.atomic_write(link) as stream:
        stream.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    if there:
        assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["a", "c", "a/x"])
def test_links_in_a_circle_are_refused(tmp_path, name):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "c")
    with (
        pytest.raises(DomainError, match="expected a writable path"),
        files.atomic_write(tmp_path / name),
    ):
        pass
    assert (tmp_path / "c").is_symlink()


@pytest.mark.parametrize("name", ["x" * 300, "nul\0byte", "absent/x", "."])
def test_what_cannot_be_a_file_is_one_line(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DomainError, match="expected a writable path"):
        files.writable(name)
    with (
        pytest.raises(DomainError, match="expected a writable path"),
        files.atomic_write(name),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_the_longest_name(tmp_path):
    path = tmp_path / ("x" * 255)
    files.writable(path)
    with files.atomic_write(path) as stream:
        stream.write(b"1")
    assert os.listdir(tmp_path) == [path.name]


def test_what_a_killed_writer_left_goes(tmp_path):
    code = (
        "import os, signal; from querytax.files import atomic_write\n"
        "with atomic_write('file') as stream:\n"
        "    stream.write(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path)
    (left,) = os.listdir(tmp_path)
    assert left.endswith(".part")
    mine = f".file.{os.getpid()}.0a0b0c0d.part"
    for other in (mine, ".other.1.0a0b0c0d.part", ".file.text"):
        (tmp_path / other).write_text("another writer's")
    with files.atomic_write(tmp_path / "file") as stream:
        stream.write(b"whole")
    assert left not in os.listdir(tmp_path)
    assert len(os.listdir(tmp_path)) == 4


# -- believing --------------------------------------------------------------------


def test_every_flipped_bit_of_a_seal_is_seen():
    whole = files.seal(b"some data")
    assert files.unseal(whole) == b"some data"
    for at in range(len(whole)):
        for bit in range(8):
            broken = bytearray(whole)
            broken[at] ^= 1 << bit
            with pytest.raises(ValueError, match="damaged"):
                files.unseal(bytes(broken))
    for cut in (b"", whole[:-1], whole + b"0"):
        with pytest.raises(ValueError, match="damaged"):
            files.unseal(cut)


def test_json_there_and_back(tmp_path):
    path = tmp_path / "state.json"
    files.write_json(path, STATE)
    assert files.read_json(path, "a state") == STATE
    whole = path.read_text()
    for damage in (whole.replace("0.1", "0.2"), whole.replace('"a": 1', '"a": 2')):
        path.write_text(damage)
        with pytest.raises(DomainError, match=r"expected a state, .*damaged"):
            files.read_json(path, "a state")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "{}", "[" * 100_000, '{"a":' * 100_000]
)
def test_what_is_no_state_is_one_line(tmp_path, text):
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(DomainError, match="expected a state, got"):
        files.read_json(path, "a state")
    with pytest.raises(DomainError, match="Is a directory"):
        files.read_json(tmp_path, "a state")


def test_an_archive_that_claims_too_much_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as member,
    ):
        for _ in range(200):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DomainError, match="which is too much"):
        files.read_arrays(path, "arrays")


def test_arrays_exchanged_are_seen(tmp_path):
    path = tmp_path / "two.npz"
    two = {"a": np.arange(3), "b": np.arange(3) + 1}
    files.write_arrays(path, two)
    with np.load(path) as file:
        parts = {key: file[key] for key in file.files}
    np.savez(path, a=parts["b"], b=parts["a"], sha256=parts["sha256"])
    with pytest.raises(DomainError, match="damaged"):
        files.read_arrays(path, "arrays")
    np.savez(path, **two)
    with pytest.raises(DomainError, match="without a digest"):
        files.read_arrays(path, "arrays")


# -- caching ----------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("QUERYTAX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_cache_is_this_users_alone(home):
    place = files.cache_folder("kernels", "a")
    assert place == home / ".cache" / "querytax" / "kernels" / "a"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert files.cache_folder("kernels", "a") == place


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702])
def test_where_others_may_write_nothing_is_believed(home, mode):
    place = files.cache_folder("kernels")
    place.chmod(mode)
    assert files.cache_folder("kernels") is None
    assert files.cache_folder("kernels", "a") is None
    assert files.cache_folder() is not None
    place.parent.chmod(mode)
    assert files.cache_folder() is None


def test_nor_in_a_folder_of_another_user(home, monkeypatch):
    place = files.cache_folder()
    assert place is not None
    monkeypatch.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)
    assert files.cache_folder() is None


def test_a_user_without_a_home_has_no_cache(home, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert files.cache_folder() is None


def test_a_folder_that_is_a_file_is_no_cache(home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("QUERYTAX_CACHE", str(home / "file"))
    assert files.cache_folder() is None


def test_a_user_without_name_or_home_runs_everything(tmp_path):
    """As in a container that is started with a number for a user."""
    code = (
        "import os, pathlib\n"
        "def homeless(*_): raise RuntimeError('no home')\n"
        "pathlib.Path.home = classmethod(homeless)\n"
        "from querytax.cli import main\n"
        "main(['simulate', 'misstep.random_direction', 'snr=0.5', '--samples',"
        " '1e4', '--json'], standalone_mode=False)\n"
    )
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG")}
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
    )
    assert json.loads(out.stdout)["samples"] >= 1e4, out.stderr


def test_a_damaged_kernel_is_compiled_anew(tmp_path):
    """numba unpickles its own files as they are, and a flipped bit ends the process."""
    code = (
        "from querytax.montecarlo.streams import Stream; "
        "print(Stream.of(1).normals(0, 1).tolist())"
    )

    def run():
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "QUERYTAX_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
        )

    first = run()
    kept = sorted(p for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert kept, first.stderr
    whole = [path.read_bytes() for path in kept]
    for path, data in zip(kept, whole, strict=True):
        broken = bytearray(data)
        for at in range(100, len(broken), 1000):
            broken[at] ^= 255
        path.write_bytes(broken)
    again = run()
    assert again.stdout == first.stdout != "", again.stderr
    assert [len(path.read_bytes()) for path in kept] == [len(data) for data in whole]
