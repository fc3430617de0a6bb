"""What a recommendation found, in a line for the head of a figure."""

from __future__ import annotations

import math

from querytax.recommend import Recommendation
from querytax.words import count, percent

__all__ = ["called", "finding", "place_of"]

# As their authors write them; a word that is missing here is its own name.
_CALLED = {
    "nes": "NES",
    "nestop1": "NES top-1",
    "neslabels": "NES label-only",
    "zosignsgd": "ZO-signSGD",
    "spsa": "SPSA",
    "nattack": "NAttack",
    "bandits": "Bandits",
    "zoo": "ZOO",
    "autozoom": "AutoZOOM",
    "simba": "SimBA",
    "simbadct": "SimBA-DCT",
    "square": "Square",
    "signhunter": "SignHunter",
    "genattack": "GenAttack",
    "eco": "ECO",
    "prgf": "P-RGF",
    "subspace": "Subspace",
    "boundary": "Boundary",
    "opt": "OPT",
    "signopt": "Sign-OPT",
    "hopskipjump": "HopSkipJump",
    "popskipjump": "PopSkipJump",
    "geoda": "GeoDA",
    "cgba": "CGBA",
    "rays": "RayS",
    "signflip": "Sign-Flip",
    "patterns": "Blind patterns",
    "uniform": "Uniform noise",
    "transfer": "Transfer",
    "resubmit": "Resubmission",
}


def called(attack: str) -> str:
    """What people call an attack, by its word."""
    return _CALLED.get(attack, attack)


def place_of(site: str) -> tuple[str, str]:
    """Where the noise is, in words, and its unit."""
    # A layer may be called what matplotlib reads as a formula.
    site = site.replace("$", r"\$")
    if "+" in site:
        return site.replace("+", " + "), "times each place's weight"
    return {
        "input": ("the input", "pixel units"),
        "output": ("the outputs", "units of the answer"),
    }.get(site.split(":")[0], (f"layer {site}", "units of the layer"))


def finding(rec: Recommendation) -> str:
    """What was found: the noise, the attack that binds, and how far it gets.

    A number and its % are not parted where the text is wrapped.
    """
    return _said(rec).replace(" %", "\N{NO-BREAK SPACE}%")


def _said(rec: Recommendation) -> str:
    if rec.status == "OUT_OF_REGIME":
        return "These statistics cannot answer the question"
    if rec.binding == "blind patterns" and rec.ceiling is not None:
        return (
            f"No noise is enough: blind patterns break {_exposed(rec)} for "
            f"{_queries(rec.ceiling[1])}, where {count(rec.target_queries)} "
            "were asked for"
        )
    return _tried(rec) if rec.standings else _by_laws(rec)


def _queries(number: float) -> str:
    return f"{count(number)} {'query' if number == 1 else 'queries'}"


def _by_laws(rec: Recommendation) -> str:
    """Nothing was tried, or not enough yet."""
    if rec.wants or rec.wants_price:
        return "Not answered yet: trials are missing"
    target, low = count(rec.target_queries), rec.predicted_queries[0]
    # The attack that the laws say needs fewest.
    who = called(rec.predicted_by[0][0]) if rec.predicted_by else "NES"
    needs = f"{who} needs {_queries(low)}" if math.isfinite(low) else f"{who} stalls"
    match rec.status:
        case "PREDICTED":
            return (
                f"By the laws alone, {_noise(rec)} {who} needs {target} queries "
                f"or more for {_exposed(rec)}"
            )
        case "INFEASIBLE":
            return (
                "By the laws alone, no noise that the accuracy allows is enough: the "
                f"most that {who} can be made to need is {_queries(low)}, where "
                f"{target} were asked for"
            )
    return (
        f"By the laws alone, not decided: {_noise(rec)} {needs}, where {target} were "
        "asked for, and no more noise was probed"
    )


def _tried(rec: Recommendation) -> str:
    best, exposed = rec.standings[0], 1.0 - rec.protect
    name, tried = called(best.contender.attack), count(best.n_queries)
    target = count(rec.target_queries)
    low, share, high = best.share
    if share <= exposed:
        held = f"{_keeps(rec, name)} below {_exposed(rec)} for {tried} queries"
        match rec.status, rec.binding:
            case (("FEASIBLE" | "NO_NOISE_NEEDED"), _):
                return f"{_keeps(rec, name)} below {_exposed(rec)} for {target} queries"
            case "PREDICTED", _:
                return f"{held}; for {target} it is a prediction"
            case "INFEASIBLE", "trial budget":
                return f"{held}; by the laws NES needs fewer than {target}"
            case "INFEASIBLE", "max_accuracy_loss":
                return f"{held}, but costs more accuracy than is allowed"
            case _, "trial budget":
                return f"{held}; whether for {target} is open"
    breaks = f"{_noise(rec)} {name} breaks {100 * share:.0f} % of the images"
    if rec.status == "INFEASIBLE":
        none = "No noise that the accuracy allows is enough"
        still = breaks.replace(f"{name} breaks", f"{name} still breaks")
        return f"{none}: {still} within {tried} queries"
    span = f"({100 * low:.0f} to {100 * high:.0f} %)"
    ends = f"within {tried} queries; {percent(exposed)} may fall"
    if rec.binding == "max_accuracy_loss":
        ends += ", and the price is not known well enough"
    return f"Not decided: {breaks} {span} {ends}"


def _keeps(rec: Recommendation, name: str) -> str:
    """Who is held, and by what."""
    n = len(rec.considered)
    who = f"the best of {n} attacks, {name}," if n > 1 else name
    if rec.sigma > 0:
        return f"Noise of {rec.sigma:.3g} keeps {who}"
    return f"Without noise {who} stays"


def _noise(rec: Recommendation) -> str:
    return f"with noise of {rec.sigma:.3g}" if rec.sigma > 0 else "without noise"


def _exposed(rec: Recommendation) -> str:
    return f"{percent(1.0 - rec.protect)} of the images"
