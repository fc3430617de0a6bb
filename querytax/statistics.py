"""What a probe found out about a model: plain arrays in one file.

Nothing here knows torch: a recommendation from a saved file is instant.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from querytax import expect
from querytax.expect import DomainError
from querytax.files import parsed, read_arrays, write_arrays
from querytax.sites import Site
from querytax.soundness import unsound

__all__ = ["SCHEMA", "ModelStatistics", "SiteStatistics"]

SCHEMA = 3
_FORMAT = "querytax-statistics"


@dataclass(frozen=True)
class SiteStatistics:
    """One place for noise. ``S`` noise levels, the first of them 0.

    Attributes
    ----------
    sigmas : ndarray
        ``(S,)`` standard deviations, ascending from 0, in the units of the site; of
        several places to be multiplied by each one's weight.
    signal : ndarray
        ``(2, S, B, P, T, n)``: second moment, over directions, of the change of the
        attacker's *expected noisy* loss between the two ends of an antithetic probe.
        Axes: loss (ce, margin), noise level, probe size, place, stage, image.
    signal_error : ndarray
        Standard error of ``signal``, from the spread over directions.
    noise : ndarray
        Variance of the noise on that change (two queries), averaged over directions.
    alignment : ndarray
        Correlation of that change with the loss's slope along the direction, [0, 1].
    flips : ndarray
        ``(S, N)`` share of noisy answers that differ from the clean one.
    correct : ndarray
        ``(S, N)`` share of noisy answers that are right.
    loss_noise : ndarray
        ``(2, S, N)`` standard deviation of the loss of one answer.
    gradient_norm : ndarray
        ``(N,)`` L2 norm of the gradient of the cross-entropy at the site, NaN where
        the model gives none (output sites: with respect to the logits; of several
        places: the root of the summed squares of each one's times its weight).
    n_draws : int
        Noise draws behind each number of ``flips``, ``correct``, ``loss_noise`` and
        ``label_share``.
    label_share : ndarray or None
        ``(S, O, n)`` share of noisy answers that are adversarial (targeted: the
        target) at the model's ``label_offsets`` around the boundary; NaN where the way
        does not cross it. At offset 0 without noise, where rounding would decide, 0.5.
        None: not measured.
    """

    sigmas: np.ndarray
    signal: np.ndarray
    signal_error: np.ndarray
    noise: np.ndarray
    alignment: np.ndarray
    flips: np.ndarray
    correct: np.ndarray
    loss_noise: np.ndarray
    gradient_norm: np.ndarray
    n_draws: int
    label_share: np.ndarray | None = None

    def accuracy(self) -> tuple[np.ndarray, np.ndarray]:
        """Accuracy at each noise level, and the standard error of its loss.

        The error is that of the paired difference to no noise, over images: the noise
        draws of an image share its label.
        """
        share = self.correct.mean(1)
        change = self.correct - self.correct[:1]
        return share, change.std(1) / np.sqrt(self.correct.shape[1])

    def flip_rate(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean flip rate at each noise level, and its standard error over images."""
        return self.flips.mean(1), self.flips.std(1) / np.sqrt(self.flips.shape[1])


@dataclass(frozen=True)
class ModelStatistics:
    """A model as an attacker meets it. ``N`` images, ``n`` of them probed.

    Attributes
    ----------
    sites : dict of str to SiteStatistics
        By full site name, see :class:`querytax.sites.Site`.
    betas : ndarray
        ``(B,)`` probe sizes, ascending.
    probed : ndarray
        ``(n,)`` indices of the probed images: classified correctly, and for targeted
        statistics not as their target.
    path_length : ndarray
        ``(n,)`` distance from the image to where white-box descent crosses the
        boundary, over ``eps``; infinite where it does not within the budget, from the
        image or begun anew at random points, NaN where the model gives no gradient.
    wander_length : ndarray
        ``(n,)`` the same from a point moved at random within the budget: what is left
        of the way for an attack that noise has made diffuse.
    stages, stage_weights : ndarray
        ``(T,)`` fractions of that path at which the noise was measured, and the shares
        of the path that they stand for.
    logits, labels : ndarray
        ``(N, C)`` clean logits (log-probabilities for a model that answers those) and
        ``(N,)`` labels.
    gradient_norm : ndarray
        ``(N,)`` L2 norm of the input gradient of the cross-entropy, NaN without one.
    dimension : int
        Numbers in an image.
    shape : tuple of int or None
        Of one image; None where it is not known.
    eps, norm
        The perturbation budget that path and places were made for.
    targeted : bool
    sign_gain : ndarray
        ``(n,)`` drift of a sign step at small cosines, over that on a gradient of
        Gaussian entries; 1 where the model gives no gradient.
    blind_hits : ndarray or None
        ``(n,)`` how many of an image's first ``blind_tried`` patterns of the attack
        ``patterns`` (kind ``mixed``) are adversarial for the clean model (targeted:
        hit the target). None where nothing was tried.
    blind_tried : int
    blind_outcomes : ndarray or None
        ``(n, blind_tried)`` bool: which of them, in the order of the attack. Its kinds
        of pattern come in turns of ``blind_turn``, those that hit most first, so its
        first guesses do better than the mean over all.
    blind_turn : int
        Patterns t and t + ``blind_turn`` are draws of the same kind.
    blind_kinds : tuple of str or None
        Kind and size of each of the ``blind_turn`` patterns of a turn.
    blind_changes, probability_blind_changes : ndarray or None
        ``(n, blind_tried)`` float32: what each did to the margin loss, on the scales
        of ``proposals`` and ``probability_proposals``. Above 0 the loss grows.
    proposals : ndarray or None
        ``(K, P, T, n, m)`` float32: true changes of the attacker's margin loss by m
        random moves, which stay inside the budget, from the points of each place and
        stage. **Above 0 the loss grows: good for the attacker.** On the scale of the
        clean model's own answers, logits or probabilities. None: not measured.
    probability_proposals : ndarray or None
        The same moves' changes of the margin of probabilities, which is what an
        attacker reads where a defence answers those.
    proposal_kinds : tuple of str or None
        ``(K,)`` what the moves are. ``square``: Square's, on a tenth of the pixels (of
        images of three axes alone); ``coarse``: one cell of a grid of four a side, in
        one channel, to +eps or -eps; ``pixel``: one number to +eps or -eps. In L2 a
        cell moves by eps / 2 and a number by 0.2.
    gaps, probability_gaps : ndarray or None
        ``(n,)`` what the margin loss must gain from the image to the boundary, above
        0, on the scales of ``proposals`` and ``probability_proposals``.
    label_offsets : ndarray or None
        ``(O,)`` where the sites' ``label_share`` was measured: at the crossing plus
        this multiple of the displacement from the image to it, cut to [0, 1].
    boundary_norm : ndarray or None
        ``(n,)`` L2 norm of that displacement, whatever the budget's norm; NaN where
        the way does not cross.
    gradient_profile : ndarray or None
        ``(n, 33)`` quantiles, evenly spaced from 0 to 1, of the sizes of the entries
        of the margin's input gradient at the image; NaN without a gradient.
    rim_gains : ndarray or None
        ``(n, 2, d)`` float32: what each number of an image gains for the attacker when
        it is moved up, and down, by its part of the budget (Linf: eps, L2: eps over the
        root of d) or as far as [0, 1] lets it, on a boundary that is flat: by the
        margin's gradient at the crossing, as a share of what has to be gained. A change
        whose gains sum to 1 reaches the boundary. NaN where the way does not cross.
        None: not measured, or too many numbers.
    block_sides : tuple of int or None
        ``(K,)`` sides of squares of pixels, for directions that are constant on them;
        empty for images without planes, None where nothing was measured.
    block_length : ndarray or None
        ``(K, n)`` as ``path_length``, for descent by such directions alone.
    block_wander : ndarray or None
        ``(K, n)`` as ``wander_length``, for such directions: all pixels of a square
        were moved together.
    block_width : ndarray or None
        ``(K, T, n)`` length of the margin's gradient by the numbers of the squares
        over its length by pixels: how much faster the loss changes along a random
        direction of this kind.
    block_profile : ndarray or None
        ``(K, n, 33)`` as ``gradient_profile``, of the gradient by squares.
    provenance : dict
        Seed, numbers of directions and draws, versions, names.

    Notes
    -----
    The two places of a stage: *path*, on the white-box path; *wander*, the same point
    moved at random within the budget, where an attack finds itself when noise makes
    it diffuse.
    """

    sites: dict[str, SiteStatistics]
    betas: np.ndarray
    probed: np.ndarray
    path_length: np.ndarray
    wander_length: np.ndarray
    stages: np.ndarray
    stage_weights: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    gradient_norm: np.ndarray
    dimension: int
    eps: float
    norm: str
    targeted: bool
    sign_gain: np.ndarray = field(default_factory=lambda: np.ones(1))
    shape: tuple[int, ...] | None = None
    blind_hits: np.ndarray | None = None
    blind_tried: int = 0
    blind_outcomes: np.ndarray | None = None
    blind_changes: np.ndarray | None = None
    probability_blind_changes: np.ndarray | None = None
    blind_turn: int = 1
    blind_kinds: tuple[str, ...] | None = None
    proposals: np.ndarray | None = None
    probability_proposals: np.ndarray | None = None
    proposal_kinds: tuple[str, ...] | None = None
    gaps: np.ndarray | None = None
    probability_gaps: np.ndarray | None = None
    label_offsets: np.ndarray | None = None
    boundary_norm: np.ndarray | None = None
    gradient_profile: np.ndarray | None = None
    rim_gains: np.ndarray | None = None
    block_sides: tuple[int, ...] | None = None
    block_length: np.ndarray | None = None
    block_wander: np.ndarray | None = None
    block_width: np.ndarray | None = None
    block_profile: np.ndarray | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A file keeps lists.
        for name in ("shape", "proposal_kinds", "block_sides", "blind_kinds"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(value))

    @property
    def accuracy(self) -> float:
        """Clean accuracy."""
        return float((self.logits.argmax(1) == self.labels).mean())

    @property
    def probabilities(self) -> np.ndarray:
        """``(N, C)`` clean probabilities."""
        z = np.exp(self.logits - self.logits.max(1, keepdims=True))
        return z / z.sum(1, keepdims=True)

    @property
    def margins(self) -> np.ndarray:
        """``(N,)`` label's logit less the best other: positive where it is right."""
        rows = np.arange(len(self.labels))
        others = self.logits.copy()
        others[rows, self.labels] = -np.inf
        return self.logits[rows, self.labels] - others.max(1)

    def blind_of(self, kind: str = "") -> np.ndarray | None:
        """Blind guesses to each image's first hit, ``(n,)``; infinite beyond the tried.

        Parameters
        ----------
        kind : str
            Of patterns of this kind (and size), counted in their own order; of all, as
            the attack ``patterns`` goes, which begins with those that hit most.

        Returns
        -------
        ndarray or None
            None where nothing of it was tried.
        """
        if self.blind_outcomes is None:
            return None
        tried = self.blind_outcomes[:, self.blind_are(kind)]
        if not tried.shape[1]:
            return None
        return np.where(tried.any(axis=1), tried.argmax(axis=1) + 1.0, np.inf)

    def blind_are(self, kind: str) -> np.ndarray:
        """Which of the patterns tried are of a kind (and size), ``(blind_tried,)``."""
        turn = self.blind_kinds or ("",)
        own = [f"{word} ".startswith(f"{kind} ".lstrip()) for word in turn]
        return np.resize(own, self.blind_tried)

    def site(self, name: str) -> SiteStatistics:
        """Statistics of a site.

        Raises
        ------
        DomainError
            If it was not probed; the message lists those that were.
        """
        return self.sites[self.full_name(name)]

    def full_name(self, word: str) -> str:
        """The name of a site that was probed, from its word or a preset's.

        Raises
        ------
        DomainError
            If it was not probed; the message lists those that were.
        """
        presets = self.provenance.get("presets") or {}
        full = Site.parse(presets.get(word, word)).name
        expect.one_of(self.sites, site=full)
        return full

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one ``.npz`` file, whole or not at all.

        Raises
        ------
        DomainError
            If the path cannot be written.
        """
        arrays: dict[str, Any] = {}
        head: dict[str, Any] = {"format": _FORMAT, "schema": SCHEMA, "sites": {}}
        for key, value in vars(self).items():
            if isinstance(value, np.ndarray):
                arrays[key] = value
            elif key != "sites":
                head[key] = value
        for index, (name, site) in enumerate(self.sites.items()):
            head["sites"][name] = {"index": index, "n_draws": site.n_draws}
            for key, value in vars(site).items():
                if isinstance(value, np.ndarray):
                    arrays[f"site{index}/{key}"] = value
        arrays["head"] = np.array(json.dumps(head))
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ModelStatistics:
        """Read a file written by :meth:`save`.

        Raises
        ------
        DomainError
            If it cannot be read, is damaged, of another schema version, or not ours.
        """
        where = os.fspath(path)
        arrays = read_arrays(where, "a statistics file")
        try:
            head = parsed(str(arrays.pop("head")))
            ours = head["format"] == _FORMAT
        except (ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise DomainError(
                f"expected a statistics file, got {where!r}: something else"
            )
        if head.get("schema") != SCHEMA:
            raise DomainError(
                f"expected schema version {SCHEMA} in {where!r}, "
                f"got {head.get('schema')}: probe the model again"
            )
        try:
            sites = {
                name: SiteStatistics(
                    n_draws=entry["n_draws"],
                    **{
                        key.split("/", 1)[1]: value
                        for key, value in arrays.items()
                        if key.startswith(f"site{entry['index']}/")
                    },
                )
                for name, entry in head["sites"].items()
            }
            own: dict[str, Any] = {k: v for k, v in arrays.items() if "/" not in k}
            plain = {
                f.name: head[f.name]
                for f in dataclasses.fields(cls)
                if f.name in head and f.name != "sites"
            }
            found = cls(sites=sites, **own, **plain)
            wrong = unsound(found)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            wrong = str(error)
        if wrong:
            raise DomainError(
                f"expected a whole statistics file, got {where!r}: {wrong}"
            )
        return found
