"""A model with a range of its own, behind inputs in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from querytax.expect import DomainError
from querytax.models import Model, Wrapper, ask

__all__ = ["Preprocessed"]


class Preprocessed(Wrapper):
    """A model that is asked in its own range, behind images or features in [0, 1].

    A question x in [0, 1] becomes ``lo + (hi - lo) * x``, then ``(. - mean) / std``.
    Everything here, ``eps`` and the sigma of noise at ``input`` too, is then in shares
    of the range: ``eps=0.1`` allows a tenth of each feature's range to either side.

    Parameters
    ----------
    model : nn.Module or callable
        Answers ``(N, classes)`` for inputs in its own range.
    bounds : (lower, upper)
        The range of the inputs before mean and std: two numbers, or two arrays with one
        number for each channel or feature (axis 1); an array ``(2, features)`` too.
    mean, std : float or array_like, optional
        What the model's inputs are standardised by, by channel or feature.

    Raises
    ------
    DomainError
        For bounds that are not in order, and a std that is not positive.

    Examples
    --------
    >>> features = torch.tensor([[-2.0, 10.0], [1.0, 30.0], [2.0, 20.0]])
    >>> weights = torch.tensor([[1.0, -1.0], [-0.1, 0.1]])
    >>> model = Preprocessed(
    ...     lambda z: z @ weights, bounds=(features.amin(0), features.amax(0))
    ... )
    >>> x = model.unit(features)  # what probe, attack and certify are given
    >>> x.tolist()
    [[0.0, 0.0], [0.75, 1.0], [1.0, 0.5]]
    >>> bool(torch.allclose(model(x), features @ weights))
    True
    """

    lower: Tensor
    span: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: Model,
        *,
        bounds: tuple[Any, Any] = (0.0, 1.0),
        mean: Any = 0.0,
        std: Any = 1.0,
    ) -> None:
        super().__init__(model)
        several = isinstance(bounds, Sequence) or getattr(bounds, "ndim", 0) > 0
        if not several or len(bounds) != 2:
            got = f"{len(bounds)} of them" if several else repr(bounds)
            raise DomainError(f"expected bounds to be (lower, upper), got {got}")
        lower, upper = (_numbers("bounds", end) for end in bounds)
        if lower.ndim and upper.ndim and lower.shape != upper.shape:
            raise DomainError(
                "expected bounds of one length, got "
                f"{tuple(lower.shape)} and {tuple(upper.shape)}"
            )
        span = upper - lower
        if not bool((span > 0).all()):
            where = f" in {int((span <= 0).sum())} of {span.numel()}" * bool(span.ndim)
            raise DomainError(
                "expected bounds with lower < upper, got "
                f"{float(lower.min()):g} and {float(upper.max()):g}, not so{where}; "
                "a feature that never varies wants a range as well"
                if span.ndim
                else "expected bounds with lower < upper, got "
                f"{float(lower):g} and {float(upper):g}"
            )
        scale = _numbers("std", std)
        if not bool((scale > 0).all()):
            raise DomainError(f"expected std > 0, got {float(scale.min()):g}")
        for name, value in (
            ("lower", lower),
            ("span", span),
            ("mean", _numbers("mean", mean)),
            ("std", scale),
        ):
            self.register_buffer(name, value, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The model's answers to images in [0, 1]."""
        own = self._fit("lower", images) + self._fit("span", images) * images
        own = (own - self._fit("mean", images)) / self._fit("std", images)
        return ask(self.model, own)

    def unit(self, values: Any) -> Tensor:
        """Inputs within the bounds, in [0, 1]: what everything here is given.

        Parameters
        ----------
        values : array_like
            ``(N, ...)`` within ``bounds``, before mean and std.

        Raises
        ------
        DomainError
            For values outside the bounds.
        """
        try:
            given = values if isinstance(values, Tensor) else torch.as_tensor(values)
        except (TypeError, ValueError, RuntimeError):
            raise DomainError(
                f"expected values to be numbers, got {type(values).__name__}"
            ) from None
        given = given if given.is_floating_point() else given.float()
        found = (given - self._fit("lower", given)) / self._fit("span", given)
        # The ends themselves may round beyond.
        slack = 16 * torch.finfo(found.dtype).eps
        out = ~((found >= -slack) & (found <= 1 + slack))
        if bool(out.any()):
            raise DomainError(
                f"expected values within bounds, got {int(out.sum())} of {out.numel()} "
                "outside or NaN: widen the bounds, or clip the values"
            )
        return found.clamp(0.0, 1.0)

    def _fit(self, name: str, x: Tensor) -> Tensor:
        """A setting in the type of ``x``, along its axis 1."""
        value = getattr(self, name).to(x)
        if value.ndim != 1:
            return cast(Tensor, value)
        if x.ndim < 2:
            raise DomainError(
                f"expected inputs (N, ...), got shape {tuple(x.shape)}: one is x[None]"
            )
        if len(value) not in (1, x.shape[1]):
            word = "bounds" if name in ("lower", "span") else name
            raise DomainError(
                f"expected {word} with one number for each of the "
                f"{x.shape[1]} channels or features, got {len(value)}"
            )
        return cast(Tensor, value.view(-1, *(1,) * (x.ndim - 2)))

    def extra_repr(self) -> str:
        """The range, for ``print``."""
        low, high = float(self.lower.min()), float((self.lower + self.span).max())
        return f"bounds=({low:g}, {high:g})"


def _numbers(name: str, value: Any) -> Tensor:
    """One finite number, or an array of them."""
    try:
        found = torch.as_tensor(value, dtype=torch.float64).detach().clone()
    except (TypeError, ValueError, RuntimeError):
        raise DomainError(f"expected {name} to be numbers, got {value!r}") from None
    if not bool(torch.isfinite(found).all()):
        raise DomainError(f"expected {name} to be finite, got {value!r}")
    return found
