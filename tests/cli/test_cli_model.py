"""Recommend for a model at hand."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from shell import call, refused, told

from querytax import certifying
from querytax.cli import main
from querytax.recommend import Recommendation

MODEL_WORDS = ("recommend", "--model", "tiny_model:load", "--data", "val.npz")
SMALL = ("--target-queries", 20, "--protect", 0.4, "--max-accuracy-loss", 0.3)
ONE = (*MODEL_WORDS, *SMALL, "--attacker", "signhunter", "--eps", 0.05)


def test_recommend_for_a_model_and_again_from_its_store(project, monkeypatch):
    """All attacks; what is in the store is not attacked again."""
    from querytax.trials import bench

    words = (*MODEL_WORDS, *SMALL, "--site", "input", "--eps", 0.05)
    words = (*words, "--effort", "quick", "--store", "s.db")
    first = told(*words)
    (rec,) = (Recommendation.from_json(r) for r in first["recommendations"])
    assert rec.status in ("FEASIBLE", "NO_NOISE_NEEDED")
    assert rec.evidence == "certified"
    assert rec.certified_to == 20
    assert dict(rec.images) == {"calibration": 6, "held_out": 6}
    assert len(rec.considered) > 20
    assert first["attacks"] == []

    def never(*_, **__):
        raise AssertionError("attacked again")

    monkeypatch.setattr(bench, "attack_all", never)
    assert told(*words) == first
    text = call(*words).stdout
    assert f"{rec.status}, certified against the best of all attackers" in text
    assert rec.statement() in text
    table = text[text.index(" attack ") :]
    assert rec.standings[0].contender.name in table
    assert "inf" not in table
    assert ">20" in table


def test_held_out_images_sites_and_a_figure(project):
    rng = np.random.default_rng(1)
    x = rng.random((30, 1, 4, 4)).astype(np.float32)
    import tiny_model
    import torch

    y = tiny_model.load()(torch.from_numpy(x)).argmax(1).numpy()
    np.savez("more.npz", x=x, y=y)
    np.savez("none.npz", x=x[:0], y=y[:0])
    np.savez("single.npz", x=x[:1], y=y[:1])
    sites = ("--site", "input", "--site", "output")
    job = told(*ONE, *sites, "--held-out", "more.npz", "-o", "fig.png")
    (rec,) = (Recommendation.from_json(r) for r in job["recommendations"])
    assert dict(rec.images) == {"calibration": 12, "held_out": 30}
    assert [r.site for r in rec.rivals] == ["output:probabilities:reflect"]
    assert job["figure"] == "fig.png"
    assert (project / "fig.png").read_bytes().startswith(b"\x89PNG")
    assert "signhunter" in (project / "fig.csv").read_text()
    # A surrogate and other networks are models as well.
    own = ("--surrogate", "tiny_model:load", "--network", "hard=tiny_model:load")
    words = (*ONE, "--held-out", "single.npz", "--site", "input", *own)
    (rec,) = told(*words, code=4)["recommendations"]
    assert rec["status"] == "UNRESOLVED"
    assert "images" in rec["binding"]
    words = (*ONE, "--held-out", "none.npz", "--site", "input")
    assert "expected images, got none (in 'none.npz')" in refused(*words)


def test_a_model_with_its_statistics_is_not_probed(project, monkeypatch):
    small = ("--images", 3, "--directions", 2, "--site", "input", "--eps", 0.05)
    call("probe", "tiny_model:load", "--data", "val.npz", "-o", "s.npz", *small)

    def never(*_, **__):
        raise AssertionError("probed")

    monkeypatch.setattr(certifying, "probe", never)
    # The only place that was probed, with the budget of the probe.
    words = ("recommend", "s.npz", *ONE[1:-2])
    (rec,) = told(*words)["recommendations"]
    assert rec["site"] == "input"
    assert rec["plan"]["eps"] == 0.05
    says = "expected the budget of the statistics, Linf eps 0.05, got Linf eps 0.1"
    assert says in refused(*words, "--eps", 0.1)
    assert "got L2 eps 0.05" in refused(*words, "--norm", "L2")
    assert "expected site to be one of 'input'" in refused(*words, "--site", "output")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--network", "hard"), "expected --network NAME=MODULE:FUNCTION, got 'hard'"),
        (("--network", "=a:b"), "expected --network NAME=MODULE:FUNCTION, got '=a:b'"),
        (("--network", "a=no_module:f"), "model to be importable, got 'no_module:f'"),
        (("--surrogate", "tiny_model:absent"), "has no attribute 'absent'"),
        (("--held-out", "absent.npz"), "'absent.npz': No such file"),
        (
            ("--data", "one.npz"),
            "expected images two at least, to hold some out, got 1",
        ),
        (("--attacker", "squares"), "did you mean 'square'"),
        (("--attacker", "nes", "--access", "labels"), "access of nes to be scores"),
        (("--attacker", "transfer"), "expected surrogate for transfer"),
        (("--pairs", 3), "expected no pairs with --model: attacks bring their own"),
        (("--probe", 0.1, "--loss", "ce"), "expected no probe, loss with --model"),
        (("--site", "layer9"), "'layer9'"),
        (("--site", "best"), "site to be a list of those to choose among, got 'best'"),
        (("--store", "no/s.db"), "expected store to be a file of trials"),
        (("--store", "val.npz"), "expected store to be a file of trials"),
        (("--seed", -1), "expected rng a whole number >= 0, got -1"),
        (("--eps", 2), "expected eps <= 1 for Linf"),
        (("--protect", 1), "protect in (0, 1), got 1"),
        (("-o", "f.gif"), "path to end in .png"),
        (("-o", "no/f.png"), "a writable path"),
        (("absent-stats.npz",), "'absent-stats.npz': No such file"),
    ],
)
def test_bad_questions_for_a_model_are_one_line(project, words, says):
    x = np.full((1, 1, 4, 4), 0.5)
    np.savez("one.npz", x=x, y=np.array([0]))
    before = sorted(p.name for p in project.iterdir() if p.is_file())
    assert says in refused(*ONE, *words)
    assert sorted(p.name for p in project.iterdir() if p.is_file()) == before


def test_the_usual_budget_is_the_norm_s(project):
    words = (*ONE[:-2], "--norm", "L2")
    job = json.loads(CliRunner().invoke(main, [*map(str, words), "--json"]).stdout)
    assert job["recommendations"][0]["plan"]["eps"] == 1.0
