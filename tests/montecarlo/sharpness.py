"""How sharply a simulation confirms a law: run until an error would show."""

from querytax.montecarlo.runs import estimate

from .agreement import ALPHA


def holds(experiment, law, relative, floor=0.0):
    """The law is in the interval, and one that is off by ``relative`` would not be.

    The run ends as soon as the interval is as narrow as that. An absolute error of
    ``relative`` times ``floor`` is all that is asked for where the law is below it.
    """
    width = relative * max(abs(float(law)), floor)
    found = estimate(
        experiment, rng=1, width=width, max_samples=4e7, alpha=ALPHA, threads=1
    )
    assert found.low <= law <= found.high, (float(law), found)
    assert found.stopped == "width", f"only {found.high - found.low:.3g}, not {width}"
