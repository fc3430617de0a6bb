"""Weights found on a model at hand, and what it costs to ask."""

import json
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import querytax as qt
from querytax.certifying import certify
from querytax.cli import main
from querytax.expect import DomainError
from querytax.mixing import mix
from querytax.pricing import affordable, price
from querytax.probes import probe
from querytax.recommend.mixtures import Promise, promising
from querytax.sites import Site
from querytax.statistics import ModelStatistics

EPS = 0.03
SMALL = {
    "betas": (0.001, 0.01, 0.2),
    "n_directions": 2,
    "n_proposals": 4,
    "n_probe": 8,
    "n_flips": 4,
}
MODEL = """
import torch

def load():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
"""


class Planes(nn.Module):
    """Classes by planes through 6x6 images, in double precision."""

    def __init__(self):
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        weight = torch.randn(3, 36, generator=draws, dtype=torch.float64)
        self.register_buffer("weight", weight)

    def forward(self, x):
        return ((x.double().flatten(1) - 0.5)[:, None] * self.weight).sum(2)


def data(n, seed=1):
    draws = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 1, 6, 6, generator=draws)
    return images, Planes()(images).argmax(1)


def mixed(sites, n=40, **changes):
    usual = {"eps": EPS, "max_accuracy_loss": 0.1, "rng": 0, **SMALL}
    return mix(Planes(), *data(n), sites, **{**usual, **changes})


# -- what the accuracy allows -----------------------------------------------------


def test_the_largest_affordable_noise_is_where_the_price_passes():
    model, (images, labels), allowed = Planes(), data(60), 0.05
    found = affordable(model, images, labels, "input", allowed, 1e-3, 1.0)
    assert price(model, images, labels, "input", found)[1] <= allowed
    assert price(model, images, labels, "input", found * 1.04)[1] > allowed
    # The ends of the bracket.
    assert affordable(model, images, labels, "input", 0.99, 1e-3, 1.0) == 1.0
    assert affordable(model, images, labels, "input", 0.0, 0.5, 1.0) == 0.5


# -- weights ----------------------------------------------------------------------


def test_words_without_a_question_are_left_alone():
    plain = mixed(["input", "input*0.5+output"], sigmas={"input": [0.1]})
    assert plain.sites == ("input", "input*0.5+output")
    assert plain.sigmas == {"input": [0.1]}
    assert plain.notes == ()


def test_a_weight_is_found_at_what_the_accuracy_allows():
    word = "input+output:logits*?"
    found = mixed([word, "input"])
    chosen = Site.parse(found.sites[0])
    assert [part.name for part, _ in chosen.parts] == ["input", "output:logits:raw"]
    assert "input" in found.sites
    assert word in found.notes[0]
    assert chosen.name in found.notes[0]
    # Levels about the largest affordable one, which costs what was allowed.
    levels = found.sigmas[chosen.name]
    assert "input" in found.sigmas
    lost = price(Planes(), *data(40), chosen.name, float(levels[5]))[1]
    more = price(Planes(), *data(40), chosen.name, float(levels[5]) * 1.04)[1]
    assert lost <= 0.1 < more
    # Again the same, and levels that were given are kept.
    again = mixed([word, "input"], sigmas={"input": [0.02]})
    assert again.sites == found.sites
    assert again.sigmas["input"] == [0.02]


@pytest.mark.parametrize("first", ["input", "output:logits:raw", "a mixture"])
def test_a_place_that_does_better_alone_is_tried_too(first, monkeypatch):
    """The order is given, the rest is found; the best mixture always stays."""

    def order(stats, levels, **_):
        names = sorted(levels, key=lambda name: ("+" in name) != (first == "a mixture"))
        names.sort(key=lambda name: name != first)
        return [Promise(n, levels[n], (9.0, 9.0, 9.0), 1.0) for n in names]

    monkeypatch.setattr("querytax.mixing.promising", order)
    found = mixed(["input+output:logits*?"])
    mixture, *alone = found.sites
    assert "+" in mixture
    assert alone == ([] if first == "a mixture" else [first])
    assert set(found.sigmas) == set(found.sites)


def test_a_small_probe_sees_what_a_whole_one_sees():
    """Directions and noise belong to the image, not to the sites beside it."""
    levels = {"input": [0.05], "input+output:logits*2": [0.02]}
    asked = {"eps": EPS, "rng": 0, "sigmas": levels, "n_patterns": 0, **SMALL}
    both = probe(Planes(), *data(20), sites=list(levels), **asked)
    asked["sigmas"] = {"input": [0.05]}
    one = probe(Planes(), *data(20), sites=["input"], **asked)
    for name in ("signal", "noise", "flips", "correct"):
        mine, other = (getattr(s.site("input"), name) for s in (both, one))
        np.testing.assert_array_equal(mine, other)
    pair = promising(both, {name: v[0] for name, v in levels.items()})
    assert promising(one, {"input": 0.05})[0] in pair


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("input*?", "2 or 3 places"),
        ("input+nowhere*?", "nowhere"),
        ("input+output+output:logits+a*?", "2 or 3 places, got 4"),
    ],
)
def test_a_bad_word_is_told_before_anything_is_measured(word, says, monkeypatch):
    def never(*_, **__):
        raise AssertionError("measured")

    monkeypatch.setattr("querytax.mixing.affordable", never)
    with pytest.raises(DomainError, match=says):
        mixed([word])


def test_qt_probe_says_who_finds_weights():
    with pytest.raises(DomainError, match="certify, recommend and the shell's probe"):
        qt.probe(Planes(), *data(8), sites=["input+output*?"], eps=EPS)


# -- the whole way ----------------------------------------------------------------


def test_certify_finds_a_weight_and_races_it():
    found = certify(
        Planes(),
        *data(40),
        60,
        held_out=data(60, seed=2),
        site=["input+output:logits*?", "input"],
        eps=EPS,
        protect=0.5,
        max_accuracy_loss=0.3,
        attacker="signhunter",
    )
    raced = {found.site, *(rival.site for rival in found.rivals)}
    assert "input" in raced
    assert any(site.startswith("input+output:logits:raw*") for site in raced)
    assert found.evidence == "certified"
    assert "input+output:logits*? became input+" in found.notes[-1]
    assert all(len(line) <= 80 for line in found.statement().splitlines())


def test_the_shell_probes_a_mixture_and_its_places(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.random((12, 1, 4, 4)).astype(np.float32)
    (tmp_path / "mixed_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    import mixed_model

    y = mixed_model.load()(torch.from_numpy(x)).argmax(1).numpy()
    np.savez("val.npz", x=x, y=y)
    words = ["probe", "mixed_model:load", "--data", "val.npz", "-o", "s.npz"]
    words += ["--eps", "0.05", "--images", "6", "--directions", "2"]
    words += ["--site", "input+1*?", "--max-accuracy-loss", "10%"]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "Note: input+1*? became input+1*" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    stats = ModelStatistics.load("s.npz")
    mixture, *alone = stats.sites
    assert sorted(alone) == ["1", "input"]
    # The file answers the word; one of its places was not asked about.
    words = ["recommend", "s.npz", "--target-queries", "50", "--site", "input+1*?"]
    result = CliRunner().invoke(main, [*words, "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["recommendations"][0]["site"] == mixture
    words[-1] = "input+0*?"
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "got '0'" in result.stderr
