"""Closed forms, true ones only, each declared once and vectorised over arrays."""

# The topics as a stranger may look for them, in the order of an attack.
GROUPS = {
    "what makes S": [
        "snr",
        "efficiency",
        "ratio",
        "log_ratio",
        "estimators",
        "finite_difference",
        "second_moment",
        "angle",
        "directions",
        "drift",
    ],
    "S behind rivals of noise": [
        "scaling",
        "reversal",
        "low_confidence",
        "mixture",
        "quantization",
    ],
    "one comparison": [
        "misstep",
        "repeats",
        "sign_bound",
        "boundary",
        "bisection",
        "labels",
    ],
    "many steps": [
        "query_ratio",
        "additive",
        "contraction",
        "convergence",
        "passage",
        "search",
        "records",
        "smoothing",
        "stationarity",
    ],
    "what it costs the user": ["accuracy", "margin", "bias"],
    "what no attacker can beat": ["floors", "blind", "blind_counts"],
}
