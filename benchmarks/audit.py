"""What the audit finds: planted faults, and sound models; one table.

Run ``python benchmarks/audit.py``. Every fault is planted under ``--seeds`` seeds,
which are not those of the tests, and every sound model is audited as often; processes
are started at the first seed alone. Seconds are of one core's time, without children.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "audits"))

from planted_faults import FAULTS
from sound_models import SOUND

from querytax import demo
from querytax.audits import audit
from querytax.intervals import share

PROCESSES = {"noise/repeats-across-forks", "noise/repeats-after-restart"}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=1000, help="The first seed.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, (images, labels) = demo.load_model(), demo.digits().held_out
    seeds = range(options.first, options.first + options.seeds)

    print(f"Made on {datetime.date.today()}; seeds {seeds.start}..{seeds.stop - 1}.\n")
    print("| planted fault | found | as | severity | also | rows | s |")
    print("|---|---|---|---|---|---|---|")
    hits = 0
    for name, (make, rules) in FAULTS.items():
        start, found = time.process_time(), []
        for seed in seeds:
            found.append(
                audit(
                    make(model, seed),
                    images,
                    labels,
                    processes=bool(rules & PROCESSES),
                    rng=seed,
                )
            )
        spent = (time.process_time() - start) / len(seeds)
        good = [each for each in found if rules & set(each.rules)]
        hits += len(good)
        named = next((f for a in good for f in a.findings if f.rule in rules), None)
        also = sorted({f.rule for a in found for f in a.findings} - rules)
        print(
            f"| {name} | {len(good)} of {len(found)} "
            f"| {named.rule if named else '-'} | {named.severity if named else '-'} "
            f"| {', '.join(a.partition('/')[2] for a in also)} "
            f"| {found[0].n_queries:,} | {spent:.1f} |"
        )
    print(f"\n{hits} of {len(FAULTS) * len(seeds)} found.\n")

    print("| sound model | undoes or weakens | notes | rows | s |")
    print("|---|---|---|---|---|")
    alarms = runs = 0
    for name, build in SOUND.items():
        start, found = time.process_time(), []
        for seed in seeds:
            first = seed == seeds.start
            found.append(audit(build(model), images, labels, processes=first, rng=seed))
        spent = (time.process_time() - start) / len(seeds)
        bad = [each for each in found if not each.sound]
        alarms, runs = alarms + len(bad), runs + len(found)
        notes = sorted({f.rule for a in found for f in a.of("note")})
        wrong = sorted({f.rule for a in bad for f in a.findings})
        print(
            f"| {name} | {len(bad)} of {len(found)} {' '.join(wrong)}"
            f"| {', '.join(notes)} | {found[0].n_queries:,} | {spent:.1f} |"
        )
    bounds = share(alarms, runs)
    print(
        f"\n{alarms} of {runs} sound audits raised anything (95 % interval up to "
        f"{100 * bounds.upper:.2g} %); by the bound, one in a million would."
    )


if __name__ == "__main__":
    main()
