"""What an answer says of a model that is hardly ever right, and of its own sigma."""

import dataclasses
import math

import numpy as np
import pytest
from synthetic_statistics import synthetic

from querytax.recommend import recommend_sigma


def shifted(by, n=40):
    """Statistics of the same model with labels that are not those of its classes."""
    stats = synthetic(n=n)
    labels = (stats.labels + by) % stats.logits.shape[1]
    return dataclasses.replace(stats, labels=labels)


@pytest.mark.parametrize("target", [10, 3e3])
def test_labels_that_are_shifted_are_no_answer(target):
    right = recommend_sigma(shifted(0), target, max_accuracy_loss=0.5)
    wrong = recommend_sigma(shifted(1), target, max_accuracy_loss=0.5)
    assert right.status == "PREDICTED"
    assert wrong.status == "UNRESOLVED"
    assert wrong.exit_code == 4
    assert "are the labels those of its classes" in wrong.notes[-1]
    said = " ".join(wrong.statement().split())
    assert "right no more often than a guess. Look at the labels first." in said


def test_an_untrained_model_is_no_answer():
    """It names one class, and is right as often as that class comes."""
    stats = shifted(0)
    classes = stats.logits.shape[1]
    labels = np.arange(len(stats.labels)) % classes
    logits = np.zeros_like(stats.logits)
    logits[:, 1] = 1.0
    untrained = dataclasses.replace(stats, labels=labels, logits=logits)
    rec = recommend_sigma(untrained, 3e3, max_accuracy_loss=0.5)
    assert rec.status == "UNRESOLVED"
    assert rec.binding == "accuracy"


def test_a_weak_model_gets_a_word_and_its_answer():
    stats = shifted(0)
    n = len(stats.labels)
    labels = np.arange(n) % 20
    logits = np.zeros((n, 20))
    logits[np.arange(n), np.where(np.arange(n) % 5 < 2, labels, labels + 1) % 20] = 9.0
    weak = dataclasses.replace(stats, labels=labels, logits=logits)
    rec = recommend_sigma(weak, 3e3, max_accuracy_loss=0.5)
    assert weak.accuracy == pytest.approx(0.4)
    assert rec.status == "PREDICTED"
    assert "the model is right on 40 %" in rec.notes[-1]


def test_one_class_alone_is_no_guess():
    """Where all labels are the same a right model looks like a constant one."""
    stats = shifted(0)
    labels = np.zeros_like(stats.labels)
    logits = np.zeros_like(stats.logits)
    logits[:, 0] = 9.0
    alone = dataclasses.replace(stats, labels=labels, logits=logits)
    rec = recommend_sigma(alone, 3e3, max_accuracy_loss=0.5)
    assert rec.status == "PREDICTED"
    assert not any("right on" in note for note in rec.notes)


def test_what_was_searched_is_not_the_uncertainty():
    rec = recommend_sigma(shifted(0), 3e3, max_accuracy_loss=0.5)
    low, high = rec.sigma_searched
    assert high == rec.sigma
    assert low > 0.98 * high
    assert rec.sigma_interval[0] <= rec.sigma <= rec.sigma_interval[1] < math.inf


@pytest.mark.parametrize("images", [4, 5, 40])
def test_two_classes_that_trade_places_get_a_word(images):
    """The model is right on most images, and on none of those two classes."""
    stats = shifted(0)
    said = np.repeat(np.arange(10), images)
    labels = np.where(said == 3, 5, np.where(said == 5, 3, said))
    logits = 9.0 * np.eye(10)[said]
    swapped = dataclasses.replace(stats, labels=labels, logits=logits)
    rec = recommend_sigma(swapped, 3e3, max_accuracy_loss=0.5)
    assert rec.status == "PREDICTED"
    told = [note for note in rec.notes if "labels those of its classes" in note]
    if images < 5:
        assert told == []
    else:
        assert told[0].startswith(
            f"of {images} images labelled 3 the model calls {images} 5"
        )
    right = dataclasses.replace(swapped, labels=said)
    rec = recommend_sigma(right, 3e3, max_accuracy_loss=0.5)
    assert not any("labelled" in note for note in rec.notes)
