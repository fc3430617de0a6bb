"""What the audit says of ART's, Foolbox's and torchattacks' results on a guarded model.

Run ``python benchmarks/audit_libraries.py`` with the extras ``art``, ``foolbox`` and
``torchattacks``. The digits' network behind Gaussian logit noise is attacked twice by
each: through our meter, and as the library is used, where one noisy answer to its final
image is the success and its setting is the number of queries. What is not installed is
left out.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax import demo
from querytax.attacks.foreign import foreign_attack
from querytax.audits import Audit, audit_result
from querytax.defenses import defend

BUDGET, EPS, SIGMA = 500, 0.2, 2.0
METERED = {
    "art:square": ("Linf", {}),
    "art:hopskipjump": ("L2", {}),
    "foolbox:hopskipjump": ("L2", {}),
    "foolbox:boundary": ("L2", {}),
    "torchattacks:square": ("Linf", {}),
}


class Counted(nn.Module):
    """The model, and the rows that it was asked."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.rows = model, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        answer: Tensor = self.model(x)
        return answer


def by_art(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    from art.attacks.evasion import SquareAttack
    from art.estimators.classification import PyTorchClassifier

    shape = tuple(x.shape[1:])
    wrapped = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), shape, 10, clip_values=(0, 1)
    )
    attack = SquareAttack(wrapped, eps=EPS, max_iter=BUDGET, verbose=False)
    return torch.from_numpy(attack.generate(x.numpy(), y.numpy()))


def by_foolbox(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.BoundaryAttack(steps=BUDGET)
    _, clipped, _ = attack(wrapped, x, y, epsilons=[10.0])
    return clipped[0].detach()


def by_torchattacks(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import torchattacks

    found: Tensor = torchattacks.Square(model, eps=EPS, n_queries=BUDGET)(x, y)
    return found.detach()


ALONE = {
    "art": ("Square", by_art, EPS, "Linf"),
    "foolbox": ("Boundary", by_foolbox, 10.0, "L2"),
    "torchattacks": ("Square", by_torchattacks, EPS, "Linf"),
}


def as_used(library: str, x: Tensor, y: Tensor, guarded: nn.Module) -> Audit | str:
    """The audit of what a user of the library has in hand."""
    name, run, eps, norm = ALONE[library]
    counted = Counted(guarded).eval()
    torch.manual_seed(0)
    try:
        final = run(counted, x, y)
    except Exception as error:
        return f"crashed: {type(error).__name__}: {str(error).splitlines()[0][:60]}"
    rows = counted.rows
    with torch.no_grad():
        answers = guarded(final)
    table = {
        "name": f"{library} {name}",
        "queries": np.full(len(x), BUDGET),
        "budget": BUDGET,
        "success": (answers.argmax(1) != y).numpy(),
        "eps": eps,
        "norm": norm,
        "images": final.numpy(),
        "originals": x.numpy(),
        "labels": y.numpy(),
        "answers": answers.numpy(),
        "rows": rows,
        "deterministic": True,
        "seed": 0,
    }
    return audit_result(table, model=guarded)


def row(name: str, how: str, found: Audit | str) -> None:
    """One line of the table."""
    if isinstance(found, str):
        print(f"| {name} | {how} | {found} |")
        return
    said = "; ".join(f"{f.severity}: `{f.rule}` ({f.what})" for f in found.findings)
    print(f"| {name} | {how} | {said or 'nothing'} |")


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model, (images, labels) = demo.load_model(), demo.digits().held_out
    x, y = images[:30], labels[:30]
    guarded: Any = defend(model, "output:logits", SIGMA)
    print(f"Made on {datetime.date.today()}.\n")
    print("| attack | how | the audit |\n|---|---|---|")
    for what, (norm, settings) in METERED.items():
        if importlib.util.find_spec(what.partition(":")[0]) is None:
            continue
        run = foreign_attack(
            guarded,
            x,
            y,
            what,
            eps=EPS if norm == "Linf" else 2.0,
            norm=norm,
            n_queries=BUDGET,
            keep_images=True,
            **settings,
        )
        found = audit_result(run, model=guarded, images=x, labels=y)
        row(what, "our meter", found)
    for library in ALONE:
        if importlib.util.find_spec(library) is not None:
            row(
                f"{library} {ALONE[library][0]}",
                "as used",
                as_used(library, x, y, guarded),
            )


if __name__ == "__main__":
    main()
