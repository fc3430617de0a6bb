"""A model that is reached by calls: somebody's API, or a function of NumPy arrays."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax import expect
from querytax.expect import DomainError

__all__ = ["Remote"]

_ANSWERS = ("probabilities", "logits", "labels")
# What a JSON answer keeps its rows under.
_KEYS = ("predictions", "probabilities", "scores", "logits", "outputs", "labels")
# The longest wait before another try, and what waits start from, in seconds.
_LONGEST, _FIRST = 60.0, 0.5
# Answers of a server that say: later; so do those from 500 on, but for these.
_LATER, _NEVER = (408, 425, 429), (501, 505, 508, 511)
# Mistakes, which another try would only repeat.
_MISTAKES = (
    DomainError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    TypeError,
    ValueError,
)


class Remote:
    """A model behind a function of NumPy arrays, or an HTTP endpoint of JSON.

    It takes batches of any size, as everything here asks them, and passes them on as
    the other side wants them. It has no gradients: ``certify`` then decides by attacks
    alone, and no law predicts its queries.

    Parameters
    ----------
    ask : callable or str
        A function of a float32 array ``(n, ...)`` with n up to ``batch_size`` that
        answers one row for each image, as an array or lists. Or a URL: images are
        posted as ``{"instances": [...]}``, and the answer is a list of rows, or keeps
        it under ``predictions`` (as TensorFlow Serving and KServe do),
        ``probabilities``, ``scores``, ``logits``, ``outputs`` or ``labels``.
    classes : int
        Numbers in a row; of two classes one number an image will do, the second's.
    answers : {"probabilities", "logits", "labels"}
        What is answered; of labels, ``(n,)`` whole numbers, rows of 0 and 1 are made.
    batch_size : int
        Images a call, at most.
    batched : bool
        False: the function takes one image without the batch's axis, and answers one
        row.
    retries : int
        Tries after one that failed, by an error of the connection, a timeout, or an
        answer such as 429 or 503. Waits double from half a second, up to a minute, half
        of each by chance, or are as long as the server says. A mistake, such as a
        TypeError or an answer 404, is not repeated.
    timeout : float
        Seconds for one try. What takes longer is given up, and goes on by itself.
    rate : float, optional
        Images a second, at most; no limit by default.
    headers : mapping of str to str, optional
        HTTP headers, as for a key.

    Attributes
    ----------
    n_queries : int
        Images sent so far, tries that failed included.
    answers : {"probabilities", "logits"}
        What the rows hold; of labels, probabilities.

    Raises
    ------
    DomainError
        For a parameter outside its range. When called: where every try failed, or the
        answer is not as promised.

    Examples
    --------
    >>> def api(batch):  # answers lists, for at most 4 images
    ...     assert len(batch) <= 4
    ...     brightness = batch.reshape(len(batch), -1).mean(1)
    ...     return [[1 - b, b] for b in brightness]
    >>> model = Remote(api, classes=2, batch_size=4)
    >>> model(torch.full((6, 1, 2, 2), 0.25))[5].tolist()
    [0.75, 0.25]
    >>> model.n_queries
    6
    """

    def __init__(
        self,
        ask: str | Callable[[np.ndarray], Any],
        *,
        classes: int,
        answers: str = "probabilities",
        batch_size: int = 32,
        batched: bool = True,
        retries: int = 5,
        timeout: float = 60.0,
        rate: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(ask, str) and not ask.startswith(("http://", "https://")):
            raise DomainError(
                f"expected ask to be a function or a URL with http(s)://, got {ask!r}"
            )
        if not isinstance(ask, str) and not callable(ask):
            raise DomainError(
                f"expected ask to be a function or a URL, got {type(ask).__name__}"
            )
        self._wanted = expect.one_of(_ANSWERS, answers=answers)
        self.classes = int(expect.count(2, classes=classes))
        self.batch_size = int(expect.count(batch_size=batch_size)) if batched else 1
        self.retries = int(expect.count(0, retries=retries))
        self.timeout = float(expect.positive(timeout=timeout))
        self.rate = None if rate is None else float(expect.positive(rate=rate))
        self.headers = dict(headers or {})
        self.batched, self._ask = batched, ask
        self.answers = "logits" if answers == "logits" else "probabilities"
        self.n_queries = 0
        self._free = 0.0

    def __repr__(self) -> str:
        # No headers and no parameters of an address, which hold keys.
        what = _place(self._ask) if isinstance(self._ask, str) else _name(self._ask)
        return f"Remote({what}, classes={self.classes}, answers={self._wanted!r})"

    def __call__(self, images: Tensor) -> Tensor:
        """Rows of classes for images, on their device and in their type."""
        if not isinstance(images, Tensor):
            raise DomainError(
                f"expected images to be a Tensor, got {type(images).__name__}"
            )
        x = images.detach().to("cpu", torch.float32).numpy()
        # A copy: the images are not the other side's to change.
        parts = [
            self._answered(x[i : i + self.batch_size].copy())
            for i in range(0, len(x), self.batch_size)
        ]
        rows = np.concatenate(parts) if parts else np.zeros((0, self.classes))
        return torch.from_numpy(rows).to(images)

    # -- one call -------------------------------------------------------------------

    def _answered(self, batch: np.ndarray) -> np.ndarray:
        for attempt in range(self.retries + 1):
            self._wait_for_turn(len(batch))
            try:
                return self._read(self._timed(batch), len(batch))
            except Exception as error:
                # Of what both are, such as a client's error about a damaged answer.
                if isinstance(error, _MISTAKES) and not isinstance(error, OSError):
                    raise
                later = _later(error)
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                if later is None or attempt == self.retries:
                    tries = f"{attempt + 1} tries" if attempt else "1 try"
                    raise DomainError(
                        f"expected {self!r} to answer, got {_said(error)} after {tries}"
                    ) from error
            longest = min(_FIRST * 2.0**attempt, _LONGEST)
            # Half by chance, so that clients that failed together come back apart.
            time.sleep(max(later, longest * random.uniform(0.5, 1.0)))
        raise AssertionError("unreachable")

    def _wait_for_turn(self, n: int) -> None:
        """Wait until the rate allows so many images, and count them."""
        if self.rate is not None:
            now = time.monotonic()
            if self._free > now:
                time.sleep(self._free - now)
            self._free = max(self._free, now) + n / self.rate
        self.n_queries += n

    def _timed(self, batch: np.ndarray) -> Any:
        """The raw answer, or TimeoutError; in a thread, which can be left behind."""
        box: list[tuple[bool, Any]] = []

        def work() -> None:
            try:
                with torch.no_grad():
                    box.append((True, self._called(batch)))
            except BaseException as error:
                box.append((False, error))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(self.timeout)
        if not box:
            raise TimeoutError(f"no answer in {self.timeout:g} s")
        done, value = box[0]
        if not done:
            raise value
        return value

    def _called(self, batch: np.ndarray) -> Any:
        if isinstance(self._ask, str):
            return _posted(self._ask, batch, self.headers, self.timeout)
        if self.batched:
            return self._ask(batch)
        return [self._ask(image) for image in batch]

    def _read(self, answer: Any, n: int) -> np.ndarray:
        """The rows of an answer, checked."""
        answer = self._within(answer)
        if isinstance(answer, (list, tuple)):
            answer = [self._within(each) for each in answer]
        if isinstance(answer, Tensor):
            answer = answer.detach().cpu()
        try:
            rows = np.asarray(answer, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise DomainError(
                f"expected {self!r} to answer numbers, got {_short(answer)}"
            ) from None
        if self._wanted == "labels":
            return self._one_hot(rows, n)
        if self.classes == 2 and rows.shape in ((n,), (n, 1)):
            # One number an image: of the second class.
            one = rows.reshape(n, 1)
            other = 1 - one if self.answers == "probabilities" else 0 * one
            rows = np.concatenate((other, one), 1)
        if n == 1 and rows.shape == (self.classes,):
            rows = rows[None]
        if not self.batched and rows.shape == (1, 1, self.classes):
            rows = rows[0]
        if rows.shape != (n, self.classes):
            hint = "; batched=False asks for one image a call" * (
                n > 1 and rows.shape in ((self.classes,), (1, self.classes))
            )
            raise DomainError(
                f"expected {self!r} to answer ({n}, {self.classes}), got shape "
                f"{rows.shape}{hint}"
            )
        if not np.isfinite(rows).all():
            raise DomainError(
                f"expected {self!r} to answer finite numbers, got NaN or inf"
            )
        low, high = rows.min(), rows.max()
        if self._wanted == "probabilities" and not -1e-6 <= low <= high <= 1 + 1e-6:
            raise DomainError(
                f"expected {self!r} to answer probabilities, got {low:.4g} to "
                f"{high:.4g}: of logits say answers='logits'"
            )
        return rows

    def _within(self, answer: Any) -> Any:
        """What a mapping of JSON keeps its rows under; anything else as it is."""
        if not isinstance(answer, Mapping):
            return answer
        found = [key for key in _KEYS if key in answer]
        if not found:
            raise DomainError(
                f"expected {self!r} to answer rows, or one of "
                f"{', '.join(_KEYS)}, got keys {_short(list(answer))}"
            )
        return answer[found[0]]

    def _one_hot(self, labels: np.ndarray, n: int) -> np.ndarray:
        if labels.size == n:
            labels = labels.reshape(n)
        known = (labels % 1 == 0) & (labels >= 0) & (labels < self.classes)
        if labels.shape != (n,) or not known.all():
            raise DomainError(
                f"expected {self!r} to answer {n} labels in 0..{self.classes - 1}, "
                f"got {_short(labels.tolist())}"
            )
        return np.eye(self.classes)[labels.astype(np.int64)]


def _posted(
    url: str, batch: np.ndarray, headers: Mapping[str, str], timeout: float
) -> Any:
    """What a server answers to images, as JSON."""
    request = urllib.request.Request(
        url,
        data=json.dumps({"instances": batch.tolist()}).encode(),
        headers={"Content-Type": "application/json", **headers},
    )
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        body = reply.read()
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise DomainError(
            f"expected {_place(url)} to answer JSON, got {_short(body)}"
        ) from None


def _later(error: Exception) -> float | None:
    """Seconds to wait at least before another try; None where that is no use."""
    if not isinstance(error, urllib.error.HTTPError):
        return 0.0
    busy = error.code >= 500 and error.code not in _NEVER
    if not busy and error.code not in _LATER:
        return None
    said = str(error.headers.get("Retry-After", "")) if error.headers else ""
    return min(float(said), _LONGEST) if said.isdigit() else 0.0


def _said(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]}..."


def _place(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)
