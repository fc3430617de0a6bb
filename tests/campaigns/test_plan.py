"""Plans: what they say, and one line with its place for what is wrong with them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_network import PLAN, planned

from querytax.campaigns import read_plan, run
from querytax.campaigns.jobs import all_jobs, trial_of
from querytax.campaigns.laboratory import Laboratory
from querytax.campaigns.plan import Campaign
from querytax.campaigns.resolving import resolved
from querytax.catalogue import DEFENCES
from querytax.expect import DomainError


def line_of(text, word):
    return next(i for i, line in enumerate(text.splitlines(), 1) if word in line)


# -- reading ----------------------------------------------------------------------


def test_a_plan_is_read(folder):
    plan = read_plan(planned(folder, eps='["8/255", 0.05]', n_queries="[45, 20]"))
    assert plan.eps == (8 / 255, 0.05)
    assert plan.n_queries == (20, 45)
    assert plan.largest == 45
    (network,) = plan.networks
    assert network.data == str(folder / "tiny.npz")
    assert [d.site for d in plan.defences] == ["output:logits:raw", "rls"]
    # A rival without strengths has its published one.
    assert plan.defences[1].strengths == (DEFENCES["rls"].usual,)
    assert plan.attacks[1].settings == (("pairs", 5),)


def test_a_number_alone_is_a_list_of_one(folder):
    one = planned(folder, eps="0.1", n_queries="50", seeds="3")
    plan = read_plan(one)
    assert (plan.eps, plan.n_queries, plan.seeds) == ((0.1,), (50,), (3,))
    named = PLAN.replace('name = "tiny"\n', "")
    assert read_plan(planned(folder, named)).name == "plan"


def test_a_plan_survives_its_text(folder):
    whole, _ = resolved(Laboratory(read_plan(planned(folder))))
    assert Campaign.from_json(whole.to_json()) == whole
    assert list(all_jobs(Campaign.from_json(whole.to_json()))) == list(all_jobs(whole))


def test_how_data_are_read(folder):
    more = 'data = "tiny.npz"\nsize = [8, 8]\nlimit = 20\nlayout = "NCHW"\nscale = 1'
    plan = read_plan(planned(folder, PLAN.replace('data = "tiny.npz"', more)))
    assert dict(plan.networks[0].how) == {
        "layout": "NCHW",
        "scale": 1.0,
        "size": (8, 8),
        "limit": 20,
    }
    laboratory = Laboratory(plan)
    assert len(laboratory.ground("mine").parts["held_out"][0]) == 20
    assert Campaign.from_json(plan.to_json()) == plan


# -- jobs -------------------------------------------------------------------------


def test_jobs_are_every_combination_once(folder):
    whole, left_out = resolved(Laboratory(read_plan(planned(folder))))
    jobs = list(all_jobs(whole))
    assert left_out == {}
    # 3 blocks, 2 seeds; 3 attackers of none and of noise, and a breaker of the rival.
    assert len(jobs) == len(set(jobs)) == 3 * 2 * (3 + 3 + 4)
    assert {(job.first, job.images) for job in jobs} == {(0, 2), (2, 2), (4, 1)}
    breaker = [job for job in jobs if dict(job.contender.changes).keys() - {"pairs"}]
    assert {job.site for job in breaker} == {"rls"}
    # Cut anywhere, all attacks and defences were asked about the same images.
    order = [(job.first, job.seed) for job in jobs]
    assert order == sorted(order)


def test_a_job_is_a_trial_of_the_largest_budget(folder):
    whole, _ = resolved(Laboratory(read_plan(planned(folder))))
    trial = trial_of(next(all_jobs(whole)), whole)
    assert (trial.n_queries, trial.images, trial.sigma) == (45, 2, 0.0)


def test_all_attacks_are_those_that_can_run(folder):
    text = PLAN.replace('["square", "rays"]', '"all"')
    laboratory = Laboratory(read_plan(planned(folder, text)))
    whole, left_out = resolved(laboratory)
    words = {who.attack for field in whole.fields for who in field.contenders}
    assert {"square", "nes", "rays", "patterns", "uniform"} <= words
    assert "surrogate" in left_out["transfer"]
    assert "norm" in left_out["boundary"]
    assert "transfer" not in words
    # Attacks whose two recipes are the same are made once.
    recipes = [w.recipe for w in whole.fields[0].contenders if w.attack == "patterns"]
    assert len(recipes) == 1


def test_a_surrogate_lets_those_in_that_want_one(folder):
    text = PLAN.replace('data = "t', 'surrogate = "tiny_network:other"\ndata = "t')
    text = text.replace('["square", "rays"]', '"transfer"')
    found = run(planned(folder, text, images=2, seeds=0), None)
    assert found.whole


def test_no_defence_is_attacked_once_however_many_begin_at_0(folder):
    text = PLAN.replace('site = "rls"', 'site = "input"\nstrengths = [0, 0.1]')
    whole, _ = resolved(Laboratory(read_plan(planned(folder, text))))
    assert [field.site for field in whole.fields] == ["", "output:logits:raw", "input"]
    bare = re.sub(r"\[\[defences\]\]\n.*?\n\n", "", PLAN, flags=re.DOTALL)
    bare = bare.replace('[[attacks]]\nattack = "breaker"\n', "")
    whole, _ = resolved(Laboratory(read_plan(planned(folder, bare))))
    assert [field.site for field in whole.fields] == [""]


# -- what is wrong ----------------------------------------------------------------


def refused(folder, text, **changes):
    path = planned(folder, text, **changes)
    with pytest.raises(DomainError) as caught:
        run(path, None)
    told = str(caught.value)
    assert "\n" not in told
    return told


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("images = 5", "", "expected images in the plan, got none"),
        ("images = 5", "images = 0", "expected images a whole number >= 1, got 0"),
        ("images = 5", "images = 29", "expected images <= 28, those that the network"),
        ("images = 5", "images = true", "images to be a whole number, got True"),
        ("images = 5", "images = 5.5", "images to be a whole number, got 5.5"),
        ("block = 2", "block = 0", "expected block a whole number >= 1"),
        ("block = 2", "blok = 2", "got 'blok'; did you mean 'block'?"),
        ("votes = 5", "votes = 4", "expected votes odd, got 4"),
        ("votes = 5", 'access = "all"', "expected access to be one of"),
        ("votes = 5", 'norm = "L1"', "expected norm to be one of 'Linf', 'L2'"),
        ("eps = [0.05]", "eps = 8", "expected eps <= 1 for Linf"),
        ("eps = [0.05]", 'eps = "8:255"', "expected eps to be a number"),
        ("eps = [0.05]", "eps = []", "expected eps to have one at least"),
        ("eps = [0.05]", "eps = [0.1, 0.1]", "expected eps once each, got 0.1 twice"),
        ("seeds = [0, 7]", "seeds = [-1]", "expected seeds a whole number >= 0"),
        ("seeds = [0, 7]", "seeds = [1, 1]", "expected seeds once each"),
        ("[20, 45]", "[4, 45]", "first step of square and its votes, got 4"),
        ("[20, 45]", "[20, 1e3]", "n_queries to be a whole number, got 1000.0"),
        ("tiny_network:load", "tiny_network:lod", "expected model to be importable"),
        ("tiny_network:load", "tiny", "expected model as package.module:function"),
        ('data = "tiny.npz"', "", "expected data for the network 'mine', got none"),
        ("tiny.npz", "none.npz", "none.npz"),
        ('data = "t', 'device = "tpu9"\ndata = "t', "expected device to be available"),
        ('data = "t', 'modle = "a"\ndata = "t', "did you mean 'model'?"),
        ('"output:logits:raw"', '"output:logit"', "output:logit"),
        ('"output:logits:raw"', '"layer9"', "layer9"),
        ("strengths = [0, 0.3]", "", "expected strengths of the noise at output"),
        ("strengths = [0, 0.3]", "strengths = [-0.3]", "expected sigma >= 0"),
        ('site = "rls"', 'site = "rls:lo=3"', "expected a setting of rls"),
        ('site = "rls"', 'site = "dare"', "expected data="),
        ('site = "rls"', 'site = "output:logits:raw"\nstrengths = 1', "got 'output"),
        ('["square", "rays"]', '"sqare"', "did you mean 'square'"),
        ('["square", "rays"]', '"boundary"', "expected norm of boundary to be L2"),
        ('["square", "rays"]', '"transfer"', "expected surrogate for transfer"),
        ('["square", "rays"]', '"art:geoda"', "numpy.mat"),
        ('["square", "rays"]', '"art:sqare"', "did you mean 'art:square'"),
        ('["square", "rays"]', '"art:square"', "expected no recipe with art:square"),
        ('"adaptive"', '"adaptiv"', "did you mean 'adaptive'?"),
        ("pairs = 5", "pears = 5", "did you mean 'pairs'"),
        ("pairs = 5", "pairs = [5]", "one number, word or switch"),
        ("pairs = 5", "eps = 0.5", "'eps' of the trial is not"),
        ('attack = "nes"', 'attack = "all"', "expected no settings with all attacks"),
        ('attack = "nes"', 'atack = "nes"', "did you mean 'attack'?"),
        ("[networks.mine]", "[[networks]]", "expected networks as tables"),
        ("[[defences]]", "[[defenses]]", "did you mean 'defences'?"),
        ('name = "tiny"', "name = 3", "expected name to be a word, got 3"),
        ('name = "tiny"', "name = ", "expected plan to be a TOML file"),
    ],
)
def test_bad_plans_are_one_line_with_its_place(folder, old, new, says):
    assert old in PLAN
    if "dare" in new:
        new = f'site = "{next(w for w, d in DEFENCES.items() if d.trained)}"'
    text = PLAN.replace(old, new)
    told = refused(folder, text)
    assert says in told
    assert "plan.toml" in told or "of the network" in told


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("block = 2", "block = -2"),
        ("tiny.npz", 'tiny.npz"\nlimit = "a'),
        ("strengths = [0, 0.3]", 'strengths = "a"'),
        ('"rls"', '"rls:"'),
        ('["square", "rays"]', '"sqare"'),
        ("pairs = 5", "pears = 5"),
        ('attack = "breaker"', 'attack = "braker"'),
    ],
)
def test_the_place_is_the_line(folder, old, new):
    text = PLAN.replace(old, new)
    told = refused(folder, text)
    line = int(re.search(r"line (\d+)", told)[1])
    at = line_of(text, new.splitlines()[-1])
    # Of what the networks alone tell, the line of its table.
    tables = [i for i, s in enumerate(text.splitlines(), 1) if s[:2] == "[[" and i < at]
    assert line in (at, tables[-1] if tables else 0)


KEYS = [
    *("name", "images", "block", "seeds", "eps", "n_queries", "votes", "model", "data"),
    *("site", "strengths", "attack", "recipe", "settings"),
]


@given(st.sampled_from(KEYS), st.data())
def test_a_misspelt_key_is_answered_with_the_right_one(tmp_path_factory, key, data):
    place = data.draw(st.integers(0, len(key)))
    letter = data.draw(st.sampled_from("aeiklnrst"))
    wrong = key[:place] + letter + key[place:]
    where = "attacks.settings" if key == "settings" else key
    new = f"attacks.{wrong}" if key == "settings" else wrong
    text = re.sub(rf"^(\[?){re.escape(where)}\b", rf"\g<1>{new}", PLAN, flags=re.M)
    told = refused(tmp_path_factory.mktemp("p"), text)
    assert f"got {wrong!r}" in told
    assert repr(key) in told
    assert re.search(r"plan\.toml, line \d+", told)


@given(st.text(max_size=200))
def test_no_text_is_more_than_one_line(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("p") / "plan.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DomainError) as caught:
        read_plan(path)
    assert "\n" not in str(caught.value).replace(str(path), "")


def test_nothing_to_attack_is_named(folder):
    text = PLAN[: PLAN.index("[[attacks]]")]
    assert "expected attacks to name one at least" in refused(folder, text)
    alone = f'{text}[[attacks]]\nattack = "breaker"\n'.replace('"rls"', '"input"')
    alone = alone.replace('site = "input"', 'site = "input"\nstrengths = 0.1')
    assert "expected an attack that can run" in refused(folder, alone)
    few = f'{text}[[attacks]]\nattack = "all"\n'
    told = refused(folder, few, n_queries=2)
    assert "expected an attack that can run" in told
    assert "budget below its first step" in told


def test_an_absent_plan_is_named(folder):
    with pytest.raises(DomainError, match=r"absent\.toml.*No such file"):
        read_plan("absent.toml")
