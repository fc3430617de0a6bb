"""NES: gradient estimation by antithetic pairs, all images of a batch at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.oracle import MeteredOracle, Model, clean_model, evaluating
from querytax.attacks.outcome import AttackResult, QueryCount
from querytax.losses import attacker_loss, check_images, check_labels, check_logits
from querytax.noise import normals
from querytax.plans import NESPlan
from querytax.progress import Progress, progress
from querytax.seeds import seed_of

__all__ = ["nes"]

# Elements of one block of probes: bounds memory, and keeps a block in cache.
_BLOCK_ELEMENTS = 1 << 22


def nes(
    model: Model,
    images: Tensor,
    labels: Tensor,
    plan: NESPlan,
    *,
    budget: int = 10_000,
    targets: Tensor | None = None,
    votes: int = 9,
    batch_size: int = 256,
    rng: Any = 0,
    keep_images: bool = False,
    verbose: bool = False,
) -> AttackResult:
    """Attack a model by queries alone.

    Each step spends ``2 * pairs`` queries on the gradient, then one on the new iterate.
    If that answer is adversarial, ``votes`` fresh queries decide by majority, and the
    attack is confirmed when they agree: one noisy answer alone overstates success.
    When an iterate first fools the model without its noise is recorded on the side,
    free of charge; the run ends when both are known, or at the budget.

    Parameters
    ----------
    model : nn.Module or callable
        Answers ``(N, C)`` for images ``(N, ...)``; a defence of ours, or any other.
        A module is asked in evaluation mode, and left as it was. The noise of a
        defence that is not ours cannot be taken off: ``clean`` then means its own
        fresh answer.
    images : Tensor
        ``(N, ...)`` float in [0, 1].
    labels : Tensor
        ``(N,)`` true labels.
    plan : NESPlan
        What the attacker does.
    budget : int
        Queries an image, enough for one step and its confirmation; an attack that
        cannot afford its next step is censored.
    targets : Tensor, optional
        ``(N,)`` classes to reach; untargeted without.
    votes : int
        Fresh queries that confirm a success, odd.
    batch_size : int
        Rows of one forward pass; it does not change the result.
    rng : int or Generator
        Seed of the directions.
    keep_images : bool
        Return the final images.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    AttackResult

    Notes
    -----
    Directions and the noise of our defences are keyed by the image's place in
    ``images``, the step and the query. An image's attack therefore does not depend on
    ``batch_size``, nor on which images come after it or when they are done, as far as
    the model's own arithmetic does not (matrix products may round differently in
    another batch). At another place, another draw: reordered images get other numbers.

    Raises
    ------
    DomainError
        If images, labels, targets or a number are not as expected, or the model
        returns NaN.

    Examples
    --------
    >>> w = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> result = nes(lambda x: x @ w, torch.tensor([[0.6, 0.4]]), torch.tensor([0]),
    ...              NESPlan(eps=0.3, step=0.1, pairs=4), budget=200)
    >>> bool(result.confirmed.success[0])
    True
    """
    images = check_images(images)
    labels = check_labels(labels, len(images)).to(images.device)
    if targets is not None:
        targets = check_labels(targets, len(images), "targets").to(images.device)
    votes = int(expect.integer(votes=votes))
    if votes % 2 == 0:
        raise expect.DomainError(f"expected votes odd, got {votes}")
    expect.integer(plan.queries_per_step + 1 + votes, budget=budget)
    with torch.no_grad(), evaluating(model), progress(verbose) as bar:
        run = _Run(
            model, images, labels, targets, plan, votes, batch_size, seed_of(rng)
        )
        run.climb(budget, bar)
    return run.result(budget, keep_images)


class _Run:
    """The state of an attack: iterates, counts, and who is still under attack."""

    def __init__(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        plan: NESPlan,
        votes: int,
        batch_size: int,
        seed: int,
    ) -> None:
        n = len(images)
        device = images.device
        self.plan, self.votes, self.seed = plan, votes, seed
        self.labels, self.targets = labels, targets
        self.oracle = MeteredOracle(model, n, batch_size=batch_size, device=device)
        self.judge = MeteredOracle(
            clean_model(model), n, batch_size=batch_size, device=device
        )
        self.origin, self.x = images, images.clone()
        everyone = torch.arange(n, device=device)
        answers = self.judge.ask(images, everyone)
        check_logits(answers, labels, self.judge.answered)
        if targets is not None:
            check_logits(answers, targets, self.judge.answered, "targets")
        self.attacked = ~self._fooled(answers, everyone)
        self.confirmed = torch.zeros(n, dtype=torch.int64, device=device)
        self.cleaned = torch.zeros_like(self.confirmed)
        self.steps = 0

    def _fooled(self, answers: Tensor, rows: Tensor) -> Tensor:
        said = answers.argmax(1)
        if self.targets is not None:
            return said == self.targets[rows]
        return said != self.labels[rows]

    def climb(self, budget: int, bar: Progress) -> None:
        """Step until every image is broken or cannot afford another step."""
        price = self.plan.queries_per_step + 1 + self.votes
        task = bar.add("queries", budget)
        rows = torch.nonzero(self.attacked).flatten()
        while True:
            rows = rows[self.oracle.asked[rows] + price <= budget]
            if not len(rows):
                break
            each = max(1, self.origin[0].numel() * self.plan.queries_per_step)
            block = max(1, _BLOCK_ELEMENTS // each)
            for part in rows.split(block):
                self._step(part)
            self.steps += 1
            rows = rows[(self.confirmed[rows] == 0) | (self.cleaned[rows] == 0)]
            bar.update(task, int(self.oracle.asked.max()))

    def _step(self, rows: Tensor) -> None:
        plan, shape = self.plan, self.origin.shape[1:]
        ones = (1,) * len(shape)
        step = torch.full_like(rows, self.steps)
        u = normals(
            self.seed,
            "attack/nes",
            rows,
            step,
            (plan.pairs, *shape),
            dtype=self.x.dtype,
        )
        offset = plan.probe * u
        at = self.x[rows][:, None]
        questions = torch.stack((at + offset, at - offset), 1)
        loss = self._losses(questions.flatten(0, 2), rows, 2 * plan.pairs)
        change = (loss[:, : plan.pairs] - loss[:, plan.pairs :]).to(u.dtype)
        change = change / (2.0 * plan.probe * plan.pairs)
        gradient = torch.bmm(change[:, None], u.flatten(2)).view(-1, *shape)

        if plan.step_rule == "sign":
            move = gradient.sign()
        elif plan.step_rule == "unit":
            length = gradient.flatten(1).norm(dim=1).clamp_min(1e-30)
            move = gradient / length.view(-1, *ones)
        else:
            move = gradient
        away = self.x[rows] + plan.step * move - self.origin[rows]
        if plan.norm == "Linf":
            away = away.clamp(-plan.eps, plan.eps)
        else:
            length = away.flatten(1).norm(dim=1).clamp_min(1e-30)
            away = away * (plan.eps / length).clamp_max(1.0).view(-1, *ones)
        self.x[rows] = (self.origin[rows] + away).clamp(0.0, 1.0)
        self._judge(rows)

    def _losses(self, questions: Tensor, rows: Tensor, each: int) -> Tensor:
        answers = self.oracle.ask(questions, rows, each)
        goal = self.labels if self.targets is None else self.targets
        values = attacker_loss(
            answers,
            goal[rows].repeat_interleave(each),
            loss=self.plan.loss,
            answered=self.oracle.answered,
            targeted=self.targets is not None,
        )
        return values.view(len(rows), each)

    def _judge(self, rows: Tensor) -> None:
        x = self.x[rows]
        clean = self._fooled(self.judge.ask(x, rows), rows)
        first = clean & (self.cleaned[rows] == 0)
        suspects = self._fooled(self.oracle.ask(x, rows), rows)
        self.cleaned[rows[first]] = self.oracle.asked[rows[first]]
        rows = rows[suspects & (self.confirmed[rows] == 0)]
        if not len(rows):
            return
        again = self.x[rows].repeat_interleave(self.votes, 0)
        keys = rows.repeat_interleave(self.votes)
        says = self._fooled(self.oracle.ask(again, rows, self.votes), keys)
        sure = rows[says.view(-1, self.votes).sum(1) * 2 > self.votes]
        self.confirmed[sure] = self.oracle.asked[sure]

    def result(self, budget: int, keep_images: bool) -> AttackResult:
        attacked = self.attacked.cpu().numpy()
        spent = self.oracle.asked.cpu().numpy()[attacked]

        def count(done: Tensor) -> QueryCount:
            at = done.cpu().numpy()[attacked]
            return QueryCount((at > 0) * at + (at == 0) * spent, at > 0)

        return AttackResult(
            plan=self.plan,
            budget=budget,
            attacked=attacked,
            confirmed=count(self.confirmed),
            clean=count(self.cleaned),
            total_queries=int(self.oracle.asked.sum()),
            seed=self.seed,
            images=self.x if keep_images else None,
        )
