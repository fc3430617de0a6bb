"""Time of each law over the bare numpy or scipy expression it cannot do without.

Run ``python benchmarks/theory_speed.py``. One line per law: microseconds for an array
of 30,000 values (1,000 images at 30 noise levels), the ratio to the expression, and
the ratio to it for one float.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np
from scipy import special

from querytax.theory import accuracy, misstep, query_ratio, repeats, snr

S = np.geomspace(1e-12, 1e3, 30_000)
OUTPUTS = np.random.default_rng(0).dirichlet(np.full(10, 0.3), 1000)
GAPS = OUTPUTS.max(axis=1, keepdims=True) - OUTPUTS

PAIRS: list[tuple[str, Callable, Callable]] = [
    (
        "query_ratio.best_step",
        lambda s: query_ratio.best_step(s, 3072, 50),
        lambda s: 1 + 3072 / 3123 / s,
    ),
    (
        "query_ratio.best_minibatch",
        lambda s: query_ratio.best_minibatch(s, 0.2),
        lambda s: -np.log(0.64 + 0.04 / s),
    ),
    (
        "misstep.fixed_direction",
        misstep.fixed_direction,
        lambda s: special.ndtr(-np.sqrt(s)),
    ),
    (
        "misstep.random_direction",
        misstep.random_direction,
        lambda s: np.arctan(1 / np.sqrt(s)) / np.pi,
    ),
    ("repeats.fixed", lambda s: repeats.fixed(s, 0.01), lambda s: 5.4 / s),
    ("snr.output raw", lambda s: snr.output(1e-4, s), lambda s: 5e-5 / s**2),
    (
        "snr.output clip",
        lambda s: snr.output(1e-4, s, output=0.1, form="clip"),
        lambda s: special.erfcx(0.1 / s) / s**2,
    ),
    (
        "snr.output reflect, best",
        lambda s: snr.output(1e-4, s, output=0.1, form="reflect"),
        lambda s: special.erfcx(0.1 / s) / s**2,
    ),
    (
        "snr.output reflect, log",
        lambda s: snr.output(1e-4, s, output=0.1, form="reflect", reading="log"),
        lambda s: special.dawsn(0.1 / s) ** 2 / s**2,
    ),
]


def best(function: Callable, argument: object, number: int) -> float:
    return (
        min(timeit.repeat(lambda: function(argument), number=number, repeat=5)) / number
    )


def main() -> None:
    print(f"{'law':32}{'us':>10}{'array ratio':>14}{'float ratio':>14}")
    for name, law, bare in PAIRS:
        array = best(law, S, 3)
        wide = array / best(bare, S, 3)
        single = best(law, 0.3, 200) / best(bare, 0.3, 200)
        print(f"{name:32}{array * 1e6:10.0f}{wide:14.1f}{single:14.1f}")
    tables: list[tuple[str, Callable]] = [
        (
            "accuracy.misclassification",
            lambda s: accuracy.misclassification(OUTPUTS, s),
        ),
        ("accuracy.largest_sigma", lambda s: accuracy.largest_sigma(OUTPUTS, 0.01)),
        (
            "accuracy.largest_sigma_mean",
            lambda s: accuracy.largest_sigma_mean(OUTPUTS, 0.01),
        ),
    ]
    bare = best(lambda s: special.ndtr(-GAPS / s), 0.1, 3)
    print(f"\n1,000 rows of 10 classes, over one ndtr a class ({bare * 1e6:.0f} us)")
    for name, law in tables:
        time = best(law, 0.1, 1)
        print(f"{name:32}{time * 1e6:10.0f}{time / bare:14.1f}")


if __name__ == "__main__":
    main()
