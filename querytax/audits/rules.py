"""The rules: their stable words, how bad each is, and what mends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["RULES", "SEVERITIES", "Rule"]

# The worst first.
SEVERITIES = ("undoes", "weakens", "note")


@dataclass(frozen=True)
class Rule:
    """One thing that an audit looks for.

    Attributes
    ----------
    severity : {"undoes", "weakens", "note"}
        Of a finding, unless that says otherwise.
    about : str
        The fault, as a sentence.
    remedy : str
    """

    severity: str
    about: str
    remedy: str


_FRESH = "draw noise from the operating system at every call, as qt.defend does"
_HOLD = "keep no generator in the model: draw from the operating system at every call"
_SHAPE = "draw one value for each number of each row: randn(x.shape)"
_EVERY = "add the noise in every mode, for every batch size and type"

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # -- a model's noise ------------------------------------------------------
        "noise/none": Rule(
            "note",
            "The same question is always answered alike.",
            "none needed for a deterministic defence; its breaker is another one",
        ),
        "noise/repeats-every-call": Rule(
            "undoes",
            "Each call draws the noise of the call before.",
            "do not seed inside the forward pass: " + _FRESH,
        ),
        "noise/repeats-with-period": Rule(
            "undoes",
            "The noise comes round again after a number of queries.",
            "do not derive noise from a counter or a list: " + _FRESH,
        ),
        "noise/function-of-input": Rule(
            "weakens",
            "The noise follows from the image alone.",
            _FRESH,
        ),
        "noise/function-of-rounded-input": Rule(
            "weakens",
            "The noise follows from the rounded image alone: near-duplicates share it.",
            _FRESH,
        ),
        "noise/cached": Rule(
            "weakens",
            "An image that was asked before is answered from memory.",
            "cache nothing behind noise, or cache the answer without it",
        ),
        "noise/shared-in-batch": Rule(
            "undoes",
            "All rows of a batch carry one noise: differences are without it.",
            _SHAPE,
        ),
        "noise/correlated-in-batch": Rule(
            "weakens",
            "The noises of the rows of a batch have a part in common.",
            _SHAPE,
        ),
        "noise/repeats-across-copies": Rule(
            "undoes", "A copy of the model draws the noise of the other.", _HOLD
        ),
        "noise/repeats-across-pickles": Rule(
            "undoes", "Two models loaded from one pickle draw the same noise.", _HOLD
        ),
        "noise/repeats-across-forks": Rule(
            "undoes", "Two forked workers draw the same noise.", _HOLD
        ),
        "noise/repeats-after-restart": Rule(
            "undoes",
            "A process that is started anew draws the noise of the one before.",
            "seed nothing when the model is made or imported: " + _FRESH,
        ),
        "noise/repeats-from-state-dict": Rule(
            "undoes",
            "Loading a state dict brings its noise back.",
            "keep the state of generators and counters out of buffers",
        ),
        "noise/repeats-after-seeding": Rule(
            "weakens",
            "Seeding a global generator repeats the noise; attack libraries do it.",
            "draw from no global generator: " + _FRESH,
        ),
        "noise/known-generator": Rule(
            "undoes",
            "The noise is that of a known generator under a seed that can be guessed.",
            _FRESH,
        ),
        "noise/guessable-seed": Rule(
            "weakens",
            "A generator in the model was seeded with a number that can be guessed.",
            _HOLD,
        ),
        "noise/linear-congruence": Rule(
            "undoes",
            "The next noise is a linear function of the last, modulo a number.",
            _FRESH,
        ),
        "noise/absent-in-evaluation": Rule(
            "undoes", "There is noise in training mode alone.", _EVERY
        ),
        "noise/absent-in-training": Rule(
            "weakens", "There is noise in evaluation mode alone.", _EVERY
        ),
        "noise/absent-at-batch-size": Rule(
            "undoes", "Batches of some size are answered without noise.", _EVERY
        ),
        "noise/absent-at-dtype": Rule(
            "undoes", "Images of some type are answered without noise.", _EVERY
        ),
        "noise/absent-by-grad-mode": Rule(
            "undoes", "Without or with gradients recorded there is no noise.", _EVERY
        ),
        "noise/absent-at-constant-images": Rule(
            "weakens",
            "Some image of one colour is answered without noise.",
            "add noise to all pixels, and do not clip it away at the ends of [0, 1]",
        ),
        "noise/hidden-by-rounding": Rule(
            "weakens",
            "Most images are answered alike: rounding takes the noise away.",
            "add noise after rounding, or more than half a step of it",
        ),
        "noise/same-for-all-classes": Rule(
            "undoes",
            "All classes carry one noise: margins and softmax are without it.",
            "draw one value for each class",
        ),
        "noise/scales-all-classes": Rule(
            "undoes",
            "All classes are multiplied by one random number: ratios are without it.",
            "draw one value for each class, or add noise to the image",
        ),
        # -- its answers ----------------------------------------------------------
        "answers/sum-tells-noise": Rule(
            "undoes",
            "The sum of a row tells its noise.",
            "renormalise, or draw independent noise for each class",
        ),
        "answers/sum-not-one": Rule(
            "note",
            "Rows of probabilities do not sum to 1: that there is noise shows.",
            "none needed where noise need not be hidden; libraries may refuse the rows",
        ),
        "answers/outside-unit": Rule(
            "note",
            "Some probabilities lie outside [0, 1].",
            "none needed; libraries may refuse them (OutputNoise(form='reflect'))",
        ),
        "answers/counter": Rule(
            "weakens",
            "A column counts the queries, or tells the time.",
            "answer classes alone",
        ),
        "answers/time-tells-noise": Rule(
            "note",
            "How long an answer takes goes with the size of its noise.",
            "draw noise in a time that does not depend on it",
        ),
        # -- an evaluation --------------------------------------------------------
        "result/noisy-success": Rule(
            "undoes",
            "Successes rest on a noisy answer that fresh ones do not confirm.",
            "ask again, 9 times, and count a success by their majority",
        ),
        "result/unconfirmed": Rule(
            "weakens",
            "Nothing says that successes were confirmed by fresh answers.",
            "ask again, 9 times, and say how many successes that leaves",
        ),
        "result/stale-incumbent": Rule(
            "weakens",
            "The attack's best answers are lucky: asked again they are worse.",
            'ask the incumbent again: incumbent="requery" or "mean"',
        ),
        "result/miscounted": Rule(
            "undoes",
            "The queries that are reported are not the rows that were asked.",
            "count rows in forward, not calls or iterations",
        ),
        "result/duplicates": Rule(
            "weakens",
            "Many questions were asked before, of a model that answers them alike.",
            "report distinct queries too",
        ),
        "result/successes-only": Rule(
            "undoes",
            "An average of queries leaves out the runs that did not succeed.",
            "treat unfinished runs as censored: qt.QueryCount",
        ),
        "result/over-budget": Rule(
            "undoes",
            "Runs took more queries than the budget.",
            "count such successes as failures at this budget",
        ),
        "result/outside-ball": Rule(
            "undoes",
            "Final images lie farther off than eps, or outside [0, 1].",
            "project, and judge what is left",
        ),
        "result/never-moved": Rule(
            "undoes",
            "The attack gave back the images that it was given.",
            "look at what it asked: an attack that stands still shows no robustness",
        ),
        "result/broken-start": Rule(
            "undoes",
            "Runs that found no start count as robust.",
            "give starts, or leave these runs out and say so",
        ),
        "result/crashed": Rule(
            "undoes",
            "Runs that crashed or were cut short count as robust.",
            "leave them out of rates, or run them to the end",
        ),
        "result/misclassified-at-start": Rule(
            "undoes",
            "Images that were wrong from the start count as successes.",
            "attack the images that the model gets right",
        ),
        "result/own-noise": Rule(
            "weakens",
            "The model was taken for deterministic and answers with noise.",
            "confirm by votes; judge by the model without noise where it is known",
        ),
        "result/no-seed": Rule(
            "note", "No seed is told: nobody can make it again.", "tell the seed"
        ),
        "result/few-runs": Rule(
            "note", "So few runs bound a rate loosely.", "attack more images"
        ),
    }
)
