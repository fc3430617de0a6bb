"""The bench: trials in, counts out; what the store knows is not attacked again."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.block import ACCESS
from querytax.attacks.memory import Memories
from querytax.attacks.oracle import Model, clean_model
from querytax.attacks.outcome import AttackResult
from querytax.attacks.run import attack_all
from querytax.attacks.table import find
from querytax.attacks.work import Run, pays
from querytax.evidence import Evidence, Trial, Tried
from querytax.plans import Plan
from querytax.sites import Site
from querytax.trials.code import code_of
from querytax.trials.ground import Ground, Pool, attacker_seed, noise_seed
from querytax.trials.identity import identify
from querytax.trials.pace import seconds_per_row
from querytax.trials.reading import (
    contender_of,
    largest_of,
    rows_of,
    tried_of,
    untried,
)
from querytax.trials.store import RunKey, Store

__all__ = ["Bench"]


@dataclass(eq=False)
class _Job:
    """One run on one pool, and the budget that each image wants; 0 for none."""

    run: RunKey
    plan: Plan
    model: Model
    clean: Model
    pool: Pool
    part: str
    wanted: np.ndarray
    rest: int = 0


class Bench:
    """Networks and images that trials are made on, and what is known of them.

    Parameters
    ----------
    networks : model, or mapping of str to model
        Without noise, which a trial adds; answers ``(N, C)``. The empty word names
        the one that is asked about. They must not change while the bench is used.
    parts : mapping of str to (images, labels)
        ``calibration`` and ``held_out``, or one of them: ``(N, ...)`` in [0, 1] and
        ``(N,)``. A network is attacked on the images that it gets right, in order.
    store : Store or path, optional
        Where everything is kept; in memory without.
    votes : int
        Fresh queries that confirm a success, odd.
    batch_size : int
        Rows of one forward pass; it does not change the result.
    surrogate : model, optional
        A network of the attacker's own, for attacks that need one.
    jobs : int
        Processes that attack beside each other; see
        :func:`querytax.attacks.attack_all`.

    Notes
    -----
    An image's run is a function of its key, which is its place in its part (2**31
    more in ``held_out``), and of two seeds: :func:`noise_seed` and
    :func:`attacker_seed` of the trial's. So the numbers are the same whether trials
    are made at once or in pieces, in any order, or were in the store. A smaller
    budget's numbers are read off a larger one's exactly: a step counts only if the
    smaller one would have paid for it and its votes. What is left is the network's
    own arithmetic, which may round differently in another batch.

    Raises
    ------
    DomainError
        If an argument is not as expected.

    Examples
    --------
    >>> from querytax.evidence import Contender
    >>> w = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> images = torch.tensor([[0.6, 0.4], [0.45, 0.55], [0.9, 0.1]])
    >>> part = images, torch.tensor([0, 1, 1])
    >>> bench = Bench(lambda x: x @ w, {"calibration": part})
    >>> bench.images("calibration")
    2
    >>> who, where = Contender("nes"), "output:logits:raw"
    >>> trial = Trial(who, 0.3, "Linf", "scores", where, 0.0, "calibration", 2, 200)
    >>> bench.run([trial])[0].broken.success.tolist()
    [True, True]
    """

    #: Seconds of an attack's own work for each row that it asks. Of 14 attacks on 16
    #: and 64 images of 64 pixels, on one shared core, it took 8e-6 to 4e-4, half of
    #: them less than 6e-5: most where a turn is one question, least where it is many.
    OVERHEAD = 1e-4

    def __init__(
        self,
        networks: Model | Mapping[str, Model],
        parts: Mapping[str, tuple[Tensor, Tensor]],
        *,
        store: Store | str | os.PathLike[str] | None = None,
        votes: int = 9,
        batch_size: int = 256,
        surrogate: Model | None = None,
        jobs: int = 1,
    ) -> None:
        self.votes = int(expect.count(votes=votes))
        if self.votes % 2 == 0:
            raise expect.DomainError(f"expected votes odd, got {votes}")
        self.batch_size = int(expect.count(batch_size=batch_size))
        self.surrogate = surrogate
        self.jobs = int(expect.count(jobs=jobs))
        self.ground = Ground(networks, parts, self.batch_size)
        self.store = store if isinstance(store, Store) else Store(store)
        self._seconds: dict[tuple[str, str], float] = {}
        self._said: set[str] = set()
        self._memories = Memories()

    def images(self, part: str, network: str = "") -> int:
        """How many images of a part a network gets right."""
        return len(self._pool(part, network))

    def keys(self, part: str, network: str = "") -> Tensor:
        """The keys of these images, in order."""
        return self._pool(part, network).keys

    def run(self, trials: Iterable[Trial], verbose: bool = False) -> list[Tried]:
        """Make trials, as far as the store does not know them.

        A run's images are stored as soon as the run has ended, so that one that is
        stopped loses no more than what was in flight. Images that crashed an attack
        are not tried again.

        Parameters
        ----------
        trials : iterable of Trial
        verbose : bool
            Show progress bars, one a budget.

        Returns
        -------
        list of Tried
            In the trials' order.

        Raises
        ------
        DomainError
            If a trial cannot be made; no trial has been begun then.
        """
        trials = list(trials)
        jobs, runs = self._planned(trials)
        budgets = {int(n) for job in jobs for n in job.wanted if n}
        for n_queries in sorted(budgets):
            self._attack(jobs, n_queries, verbose)
        known = {run: self.store.rows(run) for run in dict.fromkeys(runs) if run}
        return [
            tried_of(trial, known[run], self._pool(trial.part, trial.network).names)
            if run
            else untried(trial)
            for trial, run in zip(trials, runs, strict=True)
        ]

    def estimate(self, trials: Iterable[Trial]) -> float:
        """Seconds that :meth:`run` would take at most, about.

        Every row that may still be asked, as if no image fell before its budget, for
        the time of a row in a full batch through the network with this noise, through
        the network alone where that has to judge, and ``OVERHEAD`` for the attack.
        The first call for a network and a site times some forward passes.
        """
        jobs, _ = self._planned(list(trials))
        return float(
            sum(
                int(job.wanted.sum()) * (self._row_seconds(job) + self.OVERHEAD)
                for job in jobs
                if job.wanted.any()
            )
        )

    def evidence(self, site: str, access: str = "scores") -> Evidence:
        """What the store knows of these networks and parts, with noise at a site.

        Parameters
        ----------
        site : str
            Runs without noise, which have no site, are said to be at this one.
        access : {"scores", "top1", "labels"}
            What the trials shall say: attacks that need more are left out.

        Returns
        -------
        Evidence
            A contender's changes are the settings that differ from its recipe's.
        """
        expect.one_of(ACCESS, access=access)
        site = Site.parse(site).name
        lent = {"", self._surrogate_print()} if self.surrogate is not None else {""}
        runs = [
            run
            for run in self.store.runs()
            if ACCESS.index(run.access) >= ACCESS.index(access)
            and run.votes == self.votes
            # Those of libraries are of campaigns, and no contenders here.
            and ":" not in run.attack
            and run.surrogate in lent
        ]
        found = []
        for network in self.ground.networks:
            own = self.ground.print_of(network)
            quiet, _ = self.ground.noisy(network, site, 0.0, 0)
            for run in runs:
                if run.network != own or run.site != (site if run.sigma else quiet):
                    continue
                _, model = self.ground.noisy(
                    network, site, run.sigma, noise_seed(run.seed)
                )
                if run.code == code_of(find(run.attack).engine, model):
                    found += self._known(run, site, access, network)
        return Evidence(found)

    def _known(self, run: RunKey, site: str, access: str, network: str) -> list[Tried]:
        """What the store knows of one run, as trials."""
        rows, found = self.store.rows(run), []
        for part, (images, _) in self.ground.parts.items():
            who = contender_of(run, tuple(images.shape[1:]))
            names = self._pool(part, network).names
            one = Trial(
                who,
                run.eps,
                run.norm,
                access,
                site,
                run.sigma,
                part,
                images=1,
                n_queries=1,
                seed=run.seed,
                network=network,
            )
            found += largest_of(one, rows, names)
        return found

    def _pool(self, part: str, network: str) -> Pool:
        with self._heard():
            return self.ground.pool(part, network)

    def _surrogate_print(self) -> str:
        """The surrogate's fingerprint."""
        assert self.surrogate is not None
        return self.ground.print_of_model(self.surrogate)

    # -- plans ----------------------------------------------------------------------

    def _planned(
        self, trials: Sequence[Trial]
    ) -> tuple[list[_Job], list[RunKey | None]]:
        """What has to be attacked for some trials, and the run of each trial."""
        jobs: dict[tuple[RunKey, str], _Job] = {}
        runs: list[RunKey | None] = []
        for trial in trials:
            pool = self._pool(trial.part, trial.network)
            if trial.images > len(pool):
                raise expect.DomainError(
                    f"expected images <= {len(pool)}, those of {trial.part!r} that "
                    f"the network gets right, got {trial.images}"
                )
            if ":" in trial.contender.attack:
                raise expect.DomainError(
                    f"expected an attack of this house, got {trial.contender.attack!r}"
                )
            run, plan, model = identify(
                self.ground, trial, votes=self.votes, surrogate=self.surrogate
            )
            if not pays(plan, trial.n_queries + trial.rest, self.votes):
                runs.append(None)
                continue
            runs.append(run)
            job = jobs.get((run, trial.part))
            if job is None:
                clean = self.ground.networks[trial.network]
                wanted = np.zeros(len(pool), dtype=np.int64)
                job = _Job(run, plan, model, clean, pool, trial.part, wanted)
                jobs[run, trial.part] = job
            first = job.wanted[: trial.images]
            np.maximum(first, trial.n_queries, out=first)
            job.rest = max(job.rest, int(trial.rest))
        for job in jobs.values():
            rows = self.store.rows(job.run)
            for i, name in enumerate(job.pool.names):
                if not job.wanted[i] or (row := rows.get(name)) is None:
                    continue
                if row.covers(int(job.wanted[i]), job.rest):
                    job.wanted[i] = 0
                else:
                    # What is known already stays known.
                    job.wanted[i] = max(job.wanted[i], row.n_queries)
        return list(jobs.values()), runs

    # -- attacks --------------------------------------------------------------------

    def _attack(self, jobs: Sequence[_Job], n_queries: int, verbose: bool) -> None:
        """All runs of one budget, beside each other."""
        batches: dict[tuple[int, bytes], tuple[Tensor, Tensor, Tensor]] = {}
        runs, places = [], []
        asking = [job for job in jobs if (job.wanted == n_queries).any()]
        for job in asking:
            at = np.flatnonzero(job.wanted == n_queries)
            # Runs on the same images get the same tensor: they are looked at once.
            which = id(job.pool), at.tobytes()
            if which not in batches:
                pool, index = job.pool, torch.from_numpy(at).to(job.pool.images.device)
                batches[which] = (
                    pool.images[index],
                    pool.labels[index],
                    pool.keys[index],
                )
            images, labels, keys = batches[which]
            runs.append(
                Run(
                    job.model,
                    images,
                    labels,
                    job.plan,
                    keys=keys,
                    surrogate=self.surrogate if job.run.surrogate else None,
                    rng=attacker_seed(job.run.seed),
                    rest=job.rest,
                    memory=self._memories.open(
                        (job.run, job.part),
                        at,
                        n_queries + job.rest,
                        # A step that may end beyond its budget is of a last stage.
                        last=job.rest > 0,
                        of=len(asking),
                    ),
                )
            )
            places.append((job, at))

        def done(i: int, result: AttackResult) -> None:
            job, at = places[i]
            names = [job.pool.names[place] for place in at]
            decides = clean_model(job.model) is not job.clean
            self.store.put(job.run, rows_of(result, names, job.rest, decides))

        with self._heard():
            attack_all(
                runs,
                n_queries=n_queries,
                # Whether a trial's access is enough was checked.
                access=ACCESS[0],
                votes=self.votes,
                batch_size=self.batch_size,
                # Full batches, and no more runs than that takes: the others wait, and
                # those that end are safe.
                in_flight=self.batch_size,
                verbose=verbose,
                done=done,
                jobs=self.jobs,
            )
        self._memories.forget()

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Each warning within is passed on, but none twice."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield
        for warning in said:
            message = str(warning.message)
            if message not in self._said:
                self._said.add(message)
                warnings.warn(message, warning.category, stacklevel=4)

    def _row_seconds(self, job: _Job) -> float:
        """Seconds of a row in a full batch, noise and judging included."""
        where = job.run.network, job.run.site
        if where not in self._seconds:
            images, size = job.pool.images, self.batch_size
            seconds = seconds_per_row(job.model, images, size)
            # With noise at the output alone the network's own answer is at hand.
            place = Site.parse(job.run.site or "output")
            places = [part for part, _ in place.parts] or [place]
            outside = all(part.kind == "output" for part in places)
            if job.model is not job.clean and not outside:
                seconds += seconds_per_row(job.clean, images, size)
            self._seconds[where] = seconds
        return self._seconds[where]
