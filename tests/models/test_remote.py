"""Models behind calls and HTTP: batches, retries, waits, limits, and bad answers."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

import querytax as qt
from querytax.models import remote
from querytax.models.remote import Remote

X = torch.rand(10, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def bright(batch):
    """Probabilities of two classes, as lists."""
    level = np.asarray(batch).reshape(len(batch), -1).mean(1).clip(0, 1)
    return [[1 - v, v] for v in level.tolist()]


WANT = torch.tensor(bright(X))


@pytest.fixture
def naps(monkeypatch):
    """Waits are noted and not slept."""
    found = []
    monkeypatch.setattr(remote.time, "sleep", found.append)
    return found


# -- batches ------------------------------------------------------------------------


def test_batches_are_as_large_as_is_asked():
    sizes = []

    def api(batch):
        assert isinstance(batch, np.ndarray)
        assert batch.dtype == np.float32
        sizes.append(len(batch))
        return bright(batch)

    model = Remote(api, classes=2, batch_size=4)
    torch.testing.assert_close(model(X), WANT)
    assert sizes == [4, 4, 2]
    assert model.n_queries == 10
    assert model.answers == "probabilities"
    assert model(X.double()).dtype == torch.float64
    assert model(X[:0]).shape == (0, 2)
    assert not model(X.clone().requires_grad_()).requires_grad


def test_one_image_a_call():
    def api(image):
        assert image.shape == (1, 2, 2)
        return bright(image[None])[0]

    model = Remote(api, classes=2, batched=False)
    torch.testing.assert_close(model(X), WANT)
    hint = "batched=False asks for one image a call"
    with pytest.raises(qt.DomainError, match=hint):
        Remote(lambda batch: bright(batch[:1]), classes=2)(X)


@pytest.mark.parametrize(
    ("change", "answers"),
    [
        (np.array, "probabilities"),
        (lambda rows: torch.tensor(rows, requires_grad=True), "probabilities"),
        (lambda rows: {"predictions": rows, "model": 3}, "probabilities"),
        (lambda rows: [{"scores": row, "id": 3} for row in rows], "probabilities"),
        (lambda rows: {"logits": [[5 * v for v in row] for row in rows]}, "logits"),
        (lambda rows: [row[1] for row in rows], "probabilities"),
        (lambda rows: [[row[1]] for row in rows], "probabilities"),
    ],
)
def test_answers_of_every_form(change, answers):
    model = Remote(lambda batch: change(bright(batch)), classes=2, answers=answers)
    want = 5 * WANT if answers == "logits" else WANT
    torch.testing.assert_close(model(X), want)
    assert model.answers == answers


def test_labels_become_rows_and_attacks_that_need_no_more_run():
    def api(batch):
        return np.array(bright(batch)).argmax(1)

    model = Remote(api, classes=2, answers="labels")
    assert torch.equal(model(X).argmax(1), WANT.argmax(1))
    assert model.answers == "probabilities"
    labels = WANT.argmax(1)
    result = qt.attack(
        model, X, labels, "rays", eps=0.5, n_queries=100, access="labels"
    )
    assert result.attacked.all()
    assert result.confirmed.success.any()


# -- bad answers --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ([[0.5, float("nan")]] * 10, "finite numbers, got NaN"),
        ([[0.5, 0.5]] * 9, r"answer \(10, 2\), got shape \(9, 2\)"),
        ([[0.5, 0.2, 0.3]] * 10, r"answer \(10, 2\), got shape \(10, 3\)"),
        ([[0.5], [0.5, 0.5]], "answer numbers, got"),
        ([["a", "b"]] * 10, "answer numbers, got"),
        (None, r"answer \(10, 2\), got shape \(\)|answer numbers"),
        ([[0.5, 10**400]] * 10, "answer numbers, got"),
        ([{"cat": 0.5, "dog": 0.5}] * 10, r"one of .* got keys \['cat', 'dog'\]"),
        ([[0.5, float("inf")]] * 10, "finite numbers, got NaN or inf"),
        ({"status": "ok"}, r"one of predictions, .* got keys \['status'\]"),
        ([[3.0, -2.0]] * 10, "got -2 to 3: of logits say answers='logits'"),
    ],
)
def test_an_answer_that_is_not_as_promised(answer, says):
    calls = []

    def api(batch):
        calls.append(len(batch))
        return answer

    with pytest.raises(qt.DomainError, match=says) as caught:
        Remote(api, classes=2)(X)
    assert "\n" not in str(caught.value)
    assert calls == [10]


@pytest.mark.parametrize("labels", [[2] * 10, [-1] * 10, [0.5] * 10, [0] * 9])
def test_labels_that_are_none(labels):
    model = Remote(lambda batch: labels, classes=2, answers="labels")
    with pytest.raises(qt.DomainError, match=r"10 labels in 0\.\.1"):
        model(X)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ask": "ftp://a"}, r"URL with http\(s\)://, got 'ftp://a'"),
        ({"ask": 3}, "a function or a URL, got int"),
        ({"classes": 1}, "classes to be|expected classes"),
        ({"batch_size": 0}, "batch_size a whole number >= 1.*got 0"),
        ({"retries": -1}, "retries a whole number >= 0.*got -1"),
        ({"timeout": 0}, "timeout > 0"),
        ({"rate": -1.0}, "rate > 0"),
        ({"answers": "words"}, "answers to be one of"),
    ],
)
def test_bad_settings(given, says):
    with pytest.raises(qt.DomainError, match=says):
        Remote(**{"ask": bright, "classes": 2, **given})


# -- retries, waits, limits ---------------------------------------------------------


def failing(times, error):
    left = [times]

    def api(batch):
        if left[0]:
            left[0] -= 1
            raise error
        return bright(batch)

    return api


def test_what_failed_is_tried_again_after_longer_waits(naps):
    model = Remote(failing(4, ConnectionError("reset")), classes=2)
    torch.testing.assert_close(model(X), WANT)
    assert len(naps) == 4
    for nap, longest in zip(naps, (0.5, 1.0, 2.0, 4.0), strict=True):
        assert longest / 2 <= nap <= longest
    # Tries that failed were queries.
    assert model.n_queries == 50


def test_tries_end(naps):
    model = Remote(failing(9, ConnectionError("reset\nby peer")), classes=2, retries=2)
    with pytest.raises(qt.DomainError) as caught:
        model(X)
    assert str(caught.value) == (
        "expected Remote(api, classes=2, answers='probabilities') to answer, got "
        "ConnectionError: reset after 3 tries"
    )
    assert len(naps) == 2


@pytest.mark.parametrize("error", [TypeError("a"), KeyError("a"), ValueError("a")])
def test_a_mistake_is_not_tried_again(naps, error):
    model = Remote(failing(9, error), classes=2)
    with pytest.raises(type(error)):
        model(X)
    assert not naps
    assert model.n_queries == 10


class DecodeError(ConnectionError, ValueError):
    """As a client's library has it: of a damaged answer, and of the connection."""


def test_a_connection_that_sent_nonsense_is_tried_again(naps):
    model = Remote(failing(1, DecodeError("Expecting value")), classes=2)
    torch.testing.assert_close(model(X), WANT)
    assert len(naps) == 1


def test_what_is_sent_is_the_other_sides_to_change():
    def api(batch):
        rows = bright(batch)
        batch *= 0.0
        return rows

    images = X.clone()
    torch.testing.assert_close(Remote(api, classes=2, batch_size=4)(images), WANT)
    assert torch.equal(images, X)


def test_what_hangs_is_given_up(naps):
    gate = threading.Event()
    calls = []

    def api(batch):
        calls.append(len(batch))
        if len(calls) < 2:
            gate.wait(30)
        return bright(batch)

    begun = time.monotonic()
    model = Remote(api, classes=2, timeout=0.1)
    torch.testing.assert_close(model(X), WANT)
    gate.set()
    assert time.monotonic() - begun < 10
    assert len(calls) == 2


def test_the_rate_is_kept(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(remote.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(
        remote.time, "sleep", lambda s: clock.__setitem__(0, clock[0] + s)
    )
    model = Remote(bright, classes=2, batch_size=5, rate=2.0)
    for _ in range(4):
        model(X)
    # 40 images, the last five of which are not waited for.
    assert clock[0] == pytest.approx(100.0 + 35 / 2.0)


# -- HTTP ---------------------------------------------------------------------------


class Server:
    """Answers as it is told: a status, a body, and headers, one after another."""

    def __init__(self) -> None:
        self.script: list = []
        self.heard: list = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                batch = np.array(json.loads(body)["instances"], np.float32)
                outer.heard.append((self.headers.get("X-Key"), len(batch)))
                rows = {"predictions": bright(batch)}
                step = outer.script.pop(0) if outer.script else {}
                data = step.get("body", json.dumps(rows).encode())
                self.send_response(step.get("status", 200))
                for name, value in step.get("headers", {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/m:predict?key=abc"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    found = Server()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_an_endpoint_is_asked_and_attacked(server):
    model = Remote(server.url, classes=2, batch_size=4, headers={"X-Key": "secret"})
    torch.testing.assert_close(model(X), WANT, atol=1e-6, rtol=0)
    assert server.heard == [("secret", 4), ("secret", 4), ("secret", 2)]
    assert "secret" not in repr(model)
    assert "abc" not in repr(model)
    result = qt.attack(
        model, X[:3], WANT[:3].argmax(1), "square", eps=0.5, n_queries=60
    )
    assert result.attacked.all()


def test_a_busy_server_is_asked_again_when_it_says(server, naps):
    server.script = [
        {"status": 503},
        {"status": 529},
        {"status": 520},
        {"status": 429, "headers": {"Retry-After": "7"}},
        {"status": 429, "headers": {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}},
    ]
    model = Remote(server.url, classes=2)
    torch.testing.assert_close(model(X), WANT, atol=1e-6, rtol=0)
    assert len(naps) == 5
    assert naps[3] == 7.0
    assert naps[0] <= 0.5


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"status": 404}, r"got HTTPError: HTTP Error 404: .* after 1 try"),
        ({"status": 401}, r"HTTP Error 401"),
        ({"status": 501}, r"HTTP Error 501"),
        ({"body": b"[" * 100_000}, r"to answer JSON, got b'\[\["),
        ({"body": b"<html>"}, r"to answer JSON, got b'<html>'"),
        ({"body": b"[[0.5, NaN]]"}, "answer"),
        ({"body": b""}, "to answer JSON"),
    ],
)
def test_a_server_that_will_not_is_one_line(server, naps, step, says):
    server.script = [step]
    with pytest.raises(qt.DomainError, match=says) as caught:
        Remote(server.url, classes=2)(X)
    assert "\n" not in str(caught.value)
    assert "abc" not in str(caught.value)
    assert len(server.heard) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nobody_at_home(naps):
    model = Remote("http://127.0.0.1:9/x", classes=2, retries=1, timeout=5)
    with pytest.raises(qt.DomainError, match=r"URLError: .* after 2 tries"):
        model(X)


# -- the main job -------------------------------------------------------------------


def test_the_main_job_on_a_remote_model_asks_no_gradient():
    labels = WANT.argmax(1)
    model = Remote(bright, classes=2, batch_size=500)
    rec = qt.certify(model, X, labels, 20, eps=0.05, protect=0.5, attacker="square")
    assert rec.predicted_by == ()
    assert rec.standings
    assert rec.provenance["unpredicted"] == "it gives no gradient"
    assert model.n_queries > 100
