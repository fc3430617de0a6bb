"""The networks of a campaign, loaded by name, and one job done on them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from querytax.attacks.foreign import foreign_attack
from querytax.attacks.foreign.meter import seeded
from querytax.attacks.oracle import Model, clean_model, evaluating
from querytax.attacks.run import attack_all
from querytax.attacks.work import Run
from querytax.campaigns.jobs import Job, all_jobs, trial_of
from querytax.campaigns.plan import Campaign, Network
from querytax.expect import DomainError
from querytax.files import digest_of
from querytax.models import ask
from querytax.sites import Site
from querytax.trials.ground import Ground, Pool, attacker_seed
from querytax.trials.identity import Identity, identify
from querytax.trials.reading import rows_of
from querytax.trials.store import ImageRow, RunKey

__all__ = ["Laboratory", "one_thread"]

_PART = "held_out"


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes on one thread: sums in another order end in other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Laboratory:
    """The networks and images of a campaign, and what it takes to do its jobs.

    Parameters
    ----------
    campaign : Campaign

    Raises
    ------
    DomainError
        If a model or its data cannot be had, or the network gets too few images right.
    """

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self._grounds: dict[str, Ground] = {}
        self._surrogates: dict[str, Model | None] = {}
        for network in campaign.networks:
            try:
                self._load(network)
            except DomainError as error:
                raise DomainError(f"of the network {network.name!r}: {error}") from None

    def _load(self, network: Network) -> None:
        from querytax.loading import load_data, load_model

        demo = network.model == "demo"
        model = _demo() if demo else load_model(network.model, network.device)
        if demo and not network.data:
            part = _digits()
        else:
            part = load_data(network.data, network.device, **dict(network.how))
        ground = Ground(model, {_PART: part}, self.campaign.batch_size)
        right = len(ground.pool(_PART, ""))
        if self.campaign.images > right:
            raise DomainError(
                f"expected images <= {right}, those that the network gets right, "
                f"got {self.campaign.images}"
            )
        other = network.surrogate
        own = load_model(other, network.device) if other else None
        self._grounds[network.name], self._surrogates[network.name] = ground, own

    def ground(self, network: str) -> Ground:
        """A network with its images."""
        return self._grounds[network]

    def surrogate(self, network: str) -> Model | None:
        """The attacker's own network, where there is one."""
        return self._surrogates[network]

    def names(self, network: str) -> list[tuple[str, int]]:
        """Fingerprint and key of the images that a network is attacked on."""
        return self._pool(network).names[: self.campaign.images]

    def digests(self) -> dict[str, str]:
        """What each network, its images and its attacker's network are."""
        found = {}
        for name, ground in self._grounds.items():
            own = self._surrogates[name]
            parts = [ground.print_of(""), ground.print_of_model(own) if own else ""]
            found[name] = digest_of(repr((parts, self.names(name))).encode())[:32]
        return found

    def answers(self) -> str:
        """A digest of the networks' answers to their first images, to the last bit."""
        whole = hashlib.sha256()
        with one_thread(), torch.no_grad():
            for name in self._grounds:
                model, images = (
                    self._grounds[name].networks[""],
                    self._pool(name).images,
                )
                few = images[: min(self.campaign.images, self.campaign.block)]
                with evaluating(model), seeded(0):
                    whole.update(ask(model, few).cpu().contiguous().numpy().tobytes())
        return whole.hexdigest()[:32]

    def identity(self, job: Job) -> Identity:
        """What a job is to the store; nothing is attacked."""
        return identify(
            self._grounds[job.network],
            trial_of(job, self.campaign),
            votes=self.campaign.votes,
            surrogate=self._surrogates[job.network],
        )

    def runs(self, jobs: Sequence[Job]) -> list[RunKey]:
        """The run of each job; what the seed does not change is found out once."""
        seed = self.campaign.seeds[0]
        first: dict[Job, RunKey] = {}
        found: dict[tuple[Job, int], RunKey] = {}
        runs = []
        for job in jobs:
            same = dataclasses.replace(job, seed=seed, first=0, images=1)
            if (same, job.seed) not in found:
                if same not in first:
                    first[same] = self.identity(same).run
                run = dataclasses.replace(first[same], seed=job.seed)
                found[same, job.seed] = run
            runs.append(found[same, job.seed])
        return runs

    def code(self) -> str:
        """A digest of what all attacks and defences of the campaign are and run."""
        runs = dict.fromkeys(self.runs(list(all_jobs(self.campaign))))
        return digest_of(repr(list(runs)).encode())[:32]

    def perform(self, job: Job, identity: Identity | None = None) -> list[ImageRow]:
        """Attack a job's images, on one thread.

        What a network draws of its own is seeded by the job.

        Raises
        ------
        Exception
            Whatever the network raises; an attack's own crash is an outcome.
        """
        identity = identity or self.identity(job)
        draws = digest_of(repr((identity.run, job.first)).encode())[:8]
        with one_thread(), seeded(int(draws, 16)):
            return self._performed(job, identity)

    def _performed(self, job: Job, identity: Identity) -> list[ImageRow]:
        run, plan, model = identity
        campaign, pool = self.campaign, self._pool(job.network)
        block = slice(job.first, job.first + job.images)
        images, labels, keys = pool.images[block], pool.labels[block], pool.keys[block]
        rng = attacker_seed(job.seed)
        if ":" in job.contender.attack:
            changes = Site.parse(job.site or "input").knowing(
                job.contender.changes, job.strength
            )
            result = foreign_attack(
                model,
                images,
                labels,
                job.contender.attack,
                eps=job.eps,
                norm=campaign.norm,
                n_queries=campaign.largest,
                access=campaign.access,
                votes=campaign.votes,
                keys=keys,
                batch_size=campaign.batch_size,
                rng=rng,
                **changes,
            )
        else:
            own = self._surrogates[job.network] if run.surrogate else None
            (result,) = attack_all(
                [Run(model, images, labels, plan, keys=keys, surrogate=own, rng=rng)],
                n_queries=campaign.largest,
                access=campaign.access,
                votes=campaign.votes,
                batch_size=campaign.batch_size,
            )
        decides = clean_model(model) is not self._grounds[job.network].networks[""]
        return rows_of(result, pool.names[block], decides=decides)

    def _pool(self, network: str) -> Pool:
        return self._grounds[network].pool(_PART, "")


def _demo() -> Model:
    from querytax import demo

    return demo.load_model()


def _digits() -> tuple[Tensor, Tensor]:
    from querytax import demo

    return demo.digits().held_out
