"""What a worker of a cluster does: it is greeted once, and then given jobs."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch

import querytax
from querytax.campaigns.dispatch import Worked
from querytax.campaigns.jobs import Job
from querytax.campaigns.laboratory import Laboratory, one_thread
from querytax.campaigns.plan import Campaign
from querytax.campaigns.processes import worked
from querytax.expect import DomainError

__all__ = ["Order", "Stranger", "greet", "work"]


class Stranger(Exception):
    """A job came to a process that nobody has greeted."""


@dataclass(frozen=True)
class Order:
    """A campaign, and what its networks are where it was begun.

    Networks and images travel by name. That a worker finds the same under these names
    is checked by digests, and that it would do the same with them by those of the code.
    """

    campaign: Campaign
    networks: tuple[tuple[str, str], ...]
    runs: str
    versions: tuple[tuple[str, str], ...]
    answers: str
    name: str = ""

    @classmethod
    def of(cls, laboratory: Laboratory) -> Order:
        """The order of a campaign that is at hand."""
        return cls(
            laboratory.campaign,
            tuple(laboratory.digests().items()),
            laboratory.code(),
            _versions(),
            laboratory.answers(),
        )


def _versions() -> tuple[tuple[str, str], ...]:
    return ("querytax", querytax.__version__), ("torch", torch.__version__)


# One job at a time, whatever threads a worker has: layers take their noise by hooks.
_ONE = threading.Lock()
_KNOWN: dict[str, Laboratory] = {}


def greet(order: Order) -> str:
    """Load the networks of an order, and see that they are the same.

    Returns
    -------
    str
        What a person should know, if anything.

    Raises
    ------
    DomainError
        If a package, network or image is another one than where the order was made.
    """
    for (package, there), (_, here) in zip(order.versions, _versions(), strict=True):
        if there != here:
            raise DomainError(f"expected {package} {there}, got {here}")
    with _ONE, one_thread():
        laboratory = Laboratory(order.campaign)
        own = laboratory.digests()
        for name, digest in order.networks:
            if own[name] != digest:
                raise DomainError(
                    f"expected the network {name!r} and its images to have the digest "
                    f"{digest[:12]}, got {own[name][:12]}"
                )
        if laboratory.code() != order.runs:
            raise DomainError(
                "expected the same code of attacks and defences, got another"
            )
        # A process that goes from campaign to campaign keeps the last networks alone.
        _KNOWN.clear()
        _KNOWN[order.name] = laboratory
        if laboratory.answers() != order.answers:
            return "it rounds otherwise than here: counts may differ by a few queries"
    return ""


def work(name: str, job: Job) -> Worked:
    """Do a job of the order of this name."""
    with _ONE:
        if name not in _KNOWN:
            raise Stranger(name)
        return worked(_KNOWN[name].perform, job)
