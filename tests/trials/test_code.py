"""What another version of an attack's code found is kept, and not believed."""

import pytest
from trial_setting import Planes, numbers, parts, trial

from querytax.attacks.table import find
from querytax.defenses import defend
from querytax.trials import Bench, Store, code, identity
from querytax.trials import bench as room

ENGINE = '''
"""A module{docs}."""

def engine(plan):
    """Its engine{docs}."""
    return {value}{comment}
'''


def digest(folder, name, **changed):
    usual = {"docs": "", "value": "1", "comment": ""}
    (folder / f"{name}.py").write_text(ENGINE.format(**{**usual, **changed}))
    return code._read(name)[0]


def test_words_and_layout_are_no_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    plain = digest(tmp_path, "one")
    assert digest(tmp_path, "two", docs=", described") == plain
    assert digest(tmp_path, "three", comment="  # why") == plain
    assert digest(tmp_path, "four", value="2") != plain


def test_the_sources_are_all_found():
    for name in code._BESIDE:
        assert len(code._read(f"querytax.{name}")[0]) == 128


def test_what_an_attack_runs_is_in_its_code(monkeypatch):
    """Its own module, those that it imports, and what drives all of them."""
    read, touched = code._read, {}

    def changed(name):
        found, imported = read(name)
        return found + touched.get(name, ""), imported

    def of(word, model=None):
        code._code_of.cache_clear()
        return code.code_of(find(word).engine, model)

    monkeypatch.setattr(code, "_read", changed)
    guarded = defend(Planes(), "input", 0.1, experiment_seed=0)
    words = ("square", "nes", "hopskipjump")
    before = [of(word) for word in words], of("nes", guarded)
    for name, hits in (
        ("attacks.square", [True, False, False]),
        ("attacks.boundary_search", [False, False, True]),
        ("attacks.scheduler", [True] * 3),
        ("attacks.course", [True] * 3),
        ("attacks.oracle", [True] * 3),
        ("noise", [True] * 3),
        ("attacks.table", [False] * 3),
        ("defenses.input_noise", [False] * 3),
        ("attacks.rays", [False] * 3),
    ):
        touched[f"querytax.{name}"] = "changed"
        after = [of(word) for word in words]
        assert [a != b for a, b in zip(before[0], after, strict=True)] == hits
        other = of("nes", guarded) != before[1]
        assert other == (hits[1] or name == "defenses.input_noise")
        touched.clear()
    code._code_of.cache_clear()
    assert ([of(word) for word in words], of("nes", guarded)) == before


@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_trials_of_other_code_are_kept_and_not_believed(tmp_path, monkeypatch, sigma):
    asked = [trial(sigma=sigma, n_queries=60)]
    site = asked[0].site

    def bench():
        return Bench(Planes(), parts(), store=Store(tmp_path / "s.db"))

    once = numbers(bench().run(asked))
    assert len(bench().evidence(site)) == 1
    known = bench().store.rows(bench().store.runs()[0])
    with monkeypatch.context() as patch:
        for place in (room, identity):
            patch.setattr(place, "code_of", lambda engine, model: "another")
        later = bench()
        assert len(later.evidence(site)) == 0
        assert later.estimate(asked) > 0.0
        assert numbers(later.run(asked)) == once
        assert len(later.store.runs()) == 2
        assert len(later.evidence(site)) == 1
    # The first code's trials are there as they were.
    assert bench().estimate(asked) == 0.0
    assert bench().store.rows(bench().store.runs()[0]) == known
    assert numbers(bench().run(asked)) == once
