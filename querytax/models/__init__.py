"""Models as people have them, made into the one that everything here asks."""

from querytax.models.adapted import (
    Adapted,
    Declared,
    Model,
    Wrapper,
    as_model,
    ask,
    check_answers,
    compiled_in_place,
    eager,
    evaluating,
    inside,
    is_scripted,
    unanswered,
)

__all__ = [
    "Adapted",
    "Declared",
    "Model",
    "Wrapper",
    "as_model",
    "ask",
    "check_answers",
    "compiled_in_place",
    "eager",
    "evaluating",
    "inside",
    "is_scripted",
    "unanswered",
]
