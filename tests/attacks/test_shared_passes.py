"""What requests share: passes, draws of noise, judgements; and who interrupts them."""

import signal
import time

import pytest
import torch

from querytax.attacks import attack, course
from querytax.attacks.oracle import Request, answer_all
from querytax.attacks.table import find
from querytax.defenses import FeatureNoise, InputNoise, OutputNoise

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(3, 64, generator=GENERATOR, dtype=torch.float64)


class Planes(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.calls = torch.nn.Identity(), 0

    def forward(self, x):
        self.calls += 1
        return self.last(((x.double().flatten(1) - 0.5)[:, None] * WEIGHT).sum(2))


def requests(models):
    made = []
    for i, model in enumerate(models):
        for n in (3, 0, 5):
            draws = torch.Generator().manual_seed(10 * i + n)
            x = torch.rand(n, 1, 8, 8, generator=draws)
            keys = torch.arange(n) + 7 * i
            judged = torch.arange(n) % 2 == 0 if n == 5 else None
            made.append(Request(model, x, keys, keys * 2, judged))
    return made


def test_requests_of_one_defence_are_answered_as_each_alone():
    network = Planes()
    noise = InputNoise(network, 0.2, experiment_seed=1)
    models = [
        noise,
        InputNoise(network, 0.4, experiment_seed=1),
        OutputNoise(noise, 0.3, on="logits", experiment_seed=2),
        OutputNoise(network, 0.3, on="logits", experiment_seed=2),
        FeatureNoise(network, 0.3, "last", experiment_seed=2),
        network,
        noise,
    ]
    together = answer_all(requests(models), 256)
    for request, heard in zip(requests(models), together, strict=True):
        (alone,) = answer_all([request], 256)
        assert len(heard.answers) == len(request.x)
        if len(request.x):
            assert torch.equal(heard.answers, alone.answers)
        assert (heard.clean is None) == (alone.clean is None)
        if heard.clean is not None:
            assert torch.equal(heard.clean, alone.clean)
        assert heard.judged == alone.judged


def test_one_defence_draws_its_noise_once_for_all_that_ask_it(monkeypatch):
    from querytax.defenses import defense

    drawn, kept = [], defense.normals

    def counted(seed, stream, rows, *rest, **more):
        drawn.append(len(rows))
        return kept(seed, stream, rows, *rest, **more)

    monkeypatch.setattr(defense, "normals", counted)
    network = Planes()
    noise = InputNoise(network, 0.2, experiment_seed=1)
    answer_all(requests([noise, noise, noise]), 256)
    assert drawn == [24]
    # One pass for the questions and the judgements of all.
    assert network.calls == 1


@pytest.mark.parametrize("word", ["square", "signhunter", "simba", "eco", "resubmit"])
@pytest.mark.parametrize("incumbent", ["stale", "requery", "mean"])
def test_what_is_said_to_be_asked_again_was_handed_in_before(
    word, incumbent, monkeypatch
):
    seen, again = set(), 0
    put = course.Course._put

    def spy(self, ask):
        nonlocal again
        owner = course._spread(self._keys[ask.rows.numpy()], ask.each)
        names = [
            (key, x.numpy().tobytes()) for key, x in zip(owner, ask.x, strict=True)
        ]
        if ask.again is not None:
            told = [n for n, known in zip(names, ask.again, strict=True) if known]
            assert set(told) <= seen
            again += len(told)
        if ask.submit is True:
            seen.update(names)
        return put(self, ask)

    monkeypatch.setattr(course.Course, "_put", spy)
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    model = InputNoise(Planes(), 0.1, experiment_seed=3)
    labels = model.model(images).argmax(1)
    entry = find(word)
    plan = entry.recipe("adaptive", 0.02, "Linf", (1, 8, 8))
    if word != "resubmit":
        plan = plan.replace(incumbent=incumbent)
    result = attack(model, images, labels, plan, n_queries=120)
    asked = sum(int(rows.sum()) for rows in result.spent.values())
    if word == "resubmit" or incumbent != "stale":
        assert again > 0
        assert result.judged < asked


def test_a_signal_s_own_error_reaches_the_caller(monkeypatch):
    """A timer of the user's is no crash of the attack that it broke into."""

    class Late(Exception):
        pass

    def late(number, frame):
        raise Late

    def engine(plan, block):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            sum(range(100))
        return
        yield

    entry = find("patterns")
    slow = type(entry)(**{**vars(entry), "engine": engine})
    monkeypatch.setattr("querytax.attacks.patterns.ATTACK", slow)
    model, images = Planes(), torch.full((2, 1, 8, 8), 0.6)
    labels = model(images).argmax(1)
    before = signal.signal(signal.SIGALRM, late)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Late):
            attack(model, images, labels, "patterns", eps=0.1, n_queries=50)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
