"""Every way to ship a defence: its noise stays fresh, or one line says what to do."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from querytax.defenses import InputNoise, defend, fresh
from querytax.expect import DomainError

SITES = ["input", "output", "output:logits", "stem", "head:before", "input+stem+output"]
REMEDY = "do that to the model alone, and put the defence around the result"


@pytest.fixture(params=SITES)
def defence(request, model):
    return defend(model, request.param, 0.3)


def noise_differs(one, other, images) -> bool:
    """Whether two never answer the same. Reflected answers are at times exactly 1."""
    return bool((one(images) != other(images)).double().mean() > 0.8)


# -- copies and files ---------------------------------------------------------------


def saved(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    "torch.save": saved,
    "DataParallel": lambda m: m._replicate_for_data_parallel(),
}


@pytest.mark.parametrize("way", COPIES)
def test_no_two_copies_share_noise(defence, images, way):
    defence(images)
    twins = [COPIES[way](defence) for _ in range(2)]
    if way == "DataParallel":
        for twin in twins:
            twin._modules = dict(defence._modules)
    for one, other in ((defence, twins[0]), (defence, twins[1]), twins):
        assert noise_differs(one, other, images)
        assert noise_differs(one, one, images)


def test_a_file_holds_no_noise_and_no_seed(defence, images):
    """The same bytes, whatever was drawn before."""
    before = pickle.dumps(defence)
    defence.eval()
    for _ in range(3):
        defence(images)
    defence.reset()
    first = pickle.dumps(defence)
    for _ in range(3):
        defence(images)
    defence.reset()
    assert pickle.dumps(defence) == first
    assert b"seed" in before
    parts = [part for part in defence.modules() if hasattr(part, "seed")]
    assert parts
    assert all(part.seed is None for part in parts)


def test_a_state_dict_holds_weights_and_a_count(defence, model, images):
    defence(images)
    state = defence.state_dict()
    extra = {name: value for name, value in state.items() if "_extra_state" in name}
    assert all(value == 7 for value in extra.values())
    assert len(state) - len(extra) == len(model.state_dict())
    other = defend(copy.deepcopy(model), SITES[0], 0.3)
    other.load_state_dict(InputNoise(model, 0.3).state_dict())
    assert noise_differs(other, defend(model, SITES[0], 0.3), images)


def test_data_parallel_without_devices(defence, images):
    around = nn.DataParallel(defence)
    assert noise_differs(around, around, images)


def test_functional_calls(defence, images):
    weights = dict(defence.named_parameters())
    torch.func.functional_call(defence, weights, (images,))
    assert noise_differs(
        lambda x: torch.func.functional_call(defence, weights, (x,)), defence, images
    )


def test_the_type_of_the_weights_is_followed(defence, images):
    defence(images)
    for kind in (torch.float64, torch.bfloat16, torch.float32):
        assert defence.to(kind)(images).dtype == kind
    with torch.device("meta"):
        weights = copy.deepcopy(defence.state_dict())
    for name, value in defence.state_dict().items():
        weights[name] = value.double() if value.is_floating_point() else value
    defence.load_state_dict(weights, assign=True)
    assert defence(images).dtype == torch.float64


# -- processes ----------------------------------------------------------------------


def in_forks(work, count: int) -> list[bytes]:
    """What ``work`` returns in children of this process."""
    found = []
    for _ in range(count):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(write, work())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            found.append(pipe.read())
        os.waitpid(child, 0)
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forks_share_no_noise(defence, images):
    defence(images)
    # What was made ahead in the parent would be answered by every child.
    fresh.add_noise(torch.zeros(1, 4), 1.0)

    def work() -> bytes:
        return defence(images).numpy().tobytes()

    answers = [*in_forks(work, 3), work(), defence(images).numpy().tobytes()]
    assert len({len(a) for a in answers}) == 1
    values = torch.tensor(np.array([np.frombuffer(a, np.float32) for a in answers]))
    for i in range(len(values)):
        for j in range(i):
            assert (values[i] != values[j]).double().mean() > 0.8


def served(file: bytes, images: Tensor) -> list[float]:
    guarded = torch.load(io.BytesIO(file), weights_only=False)
    return guarded(images).flatten().tolist()


def test_workers_that_are_spawned(model, images):
    file = io.BytesIO()
    torch.save(defend(model, "input+stem", 0.3), file)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        jobs = [pool.apply_async(served, (file.getvalue(), images)) for _ in range(2)]
        answers = [torch.tensor(job.get(120)) for job in jobs]
    assert (answers[0] != answers[1]).all()


STARTED = """
import json, torch
from querytax.defenses import defend

torch.manual_seed(0)
defence = defend(torch.nn.Flatten(), {!r}, 0.3)
print(json.dumps([defence(torch.zeros(2, n)).flatten().tolist() for n in (5, 2000)]))
"""


@pytest.mark.parametrize("site", ["input", "output:logits"])
def test_a_program_that_is_started_again(site):
    words = [sys.executable, "-c", STARTED.format(site)]
    runs = [subprocess.run(words, capture_output=True, check=True) for _ in range(2)]
    for first, second in zip(*(json.loads(run.stdout) for run in runs), strict=True):
        # In float32 one in millions of draws is another one's by chance.
        assert (torch.tensor(first) == torch.tensor(second)).double().mean() < 0.01


class Served(torch.utils.data.Dataset):
    def __init__(self, defence, image):
        self.defence, self.image = defence, image

    def __len__(self):
        return 8

    def __getitem__(self, _):
        return self.defence(self.image[None])[0].detach()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_data_loader(start, model, images):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"needs {start}")
    loader = torch.utils.data.DataLoader(
        Served(defend(model, "input+stem+output:logits", 0.3), images[0]),
        batch_size=1,
        num_workers=2,
        multiprocessing_context=start,
    )
    rows = torch.cat(list(loader))
    for i in range(8):
        for j in range(i):
            assert (rows[i] != rows[j]).double().mean() > 0.5


# -- recorders and compilers --------------------------------------------------------


def export(m, x, **how):
    return torch.export.export(m, (x,), **how)


def onnx(m, x):
    return torch.onnx.export(m, (x,), io.BytesIO(), dynamo=False)


def fx(m, x):
    return torch.fx.symbolic_trace(m)


def make_fx(m, x):
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(m)(x)


RECORDERS = {
    "jit.trace": lambda m, x: torch.jit.trace(m, (x,)),
    "jit.trace_module": lambda m, x: torch.jit.trace_module(m, {"forward": (x,)}),
    "jit.script": lambda m, x: torch.jit.script(m),
    "export": export,
    "export, strict": lambda m, x: export(m, x, strict=True),
    "onnx": onnx,
    "fx": fx,
    "make_fx": make_fx,
    "vmap": lambda m, x: torch.vmap(m)(x[:, None]),
}


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("way", RECORDERS)
@pytest.mark.parametrize("site", ["input", "output", "stem", "input+output"])
def test_a_recording_is_refused_in_one_line(site, way, within, seed, model, images):
    guarded = defend(model, site, 0.3, experiment_seed=seed)
    shipped = nn.Sequential(guarded, nn.Softmax(dim=1)) if within else guarded
    with warnings.catch_warnings():
        # Of torch's own retirement.
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(Exception, match=REMEDY) as caught:
            RECORDERS[way](shipped, images)
    if way != "export, strict":
        # Dynamo puts an error of its own around ours.
        assert caught.type is DomainError
        assert "\n" not in str(caught.value)
    assert noise_differs(guarded, guarded, images) or seed is not None


def aot(m, x):
    from torch._functorch.aot_autograd import aot_export_module

    return aot_export_module(m, (x,), trace_joint=False)


def fake(m, x):
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        return m(torch.empty(7, 3, 6, 6))


LOOKS = {
    **RECORDERS,
    "aot": aot,
    "fake": fake,
    "functionalize": lambda m, x: torch.func.functionalize(m)(x),
    "grad": lambda m, x: torch.func.grad(lambda y: m(y).sum())(x),
    "jvp": lambda m, x: torch.func.jvp(m, (x,), (x,)),
}


@pytest.mark.parametrize("way", LOOKS)
def test_a_defence_that_was_looked_at_answers_on(way, defence, images):
    """What is made ahead must not come from a look at it."""
    fresh._stock.ready = {}
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore", DeprecationWarning)
        LOOKS[way](defence, images)
    for part in (images, images[:1]):
        assert noise_differs(defence, defence, part)
        assert type(defence(part)) is Tensor


REMEDIES = {
    "jit.trace": lambda m, x: torch.jit.trace(m, (x,)),
    "jit.script": lambda m, x: torch.jit.script(m),
    "export": lambda m, x: export(m, x).module(),
    "fx": fx,
    "compile": lambda m, x: torch.compile(m, backend="eager"),
}


class Plain(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(108, 5))


@pytest.mark.parametrize("way", REMEDIES)
@pytest.mark.parametrize("site", ["input", "output", "input+output:logits"])
def test_the_remedy(way, site, images):
    torch.manual_seed(0)
    plain = Plain().eval().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        recorded = REMEDIES[way](plain, images)
    guarded = defend(recorded, site, 0.3)
    assert noise_differs(guarded, guarded, images)
    guarded = defend(recorded, site, 0.0)
    exact = plain(images).softmax(1) if site == "output" else plain(images)
    assert torch.allclose(guarded(images), exact)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("how", ["itself", "within", "in place"])
def test_a_compiled_defence_draws_at_every_call(defence, images, how, backend):
    torch.compiler.reset()
    if how == "in place":
        defence.compile(backend=backend)
        compiled = defence
    else:
        inside = nn.Sequential(defence, nn.Softmax(1)) if how == "within" else defence
        compiled = torch.compile(inside, backend=backend)
    answers = [compiled(images) for _ in range(12)]
    assert defence.n_queries == 84
    for i in range(12):
        for j in range(i):
            assert (answers[i] != answers[j]).double().mean() > 0.5


def test_one_graph_for_all_is_refused(defence, images):
    torch.compiler.reset()
    compiled = torch.compile(defence, backend="eager", fullgraph=True)
    with pytest.raises(
        Exception, match="compile_the_model_alone_and_put_the_defence_around_it"
    ):
        compiled(images)


def test_a_model_compiled_first_stays_compiled(images):
    from torch._dynamo.testing import CompileCounter

    torch.compiler.reset()
    counter = CompileCounter()
    plain = Plain().requires_grad_(False)
    guarded = defend(torch.compile(plain, backend=counter), "input+output", 0.3)
    for answer in (guarded, torch.compile(guarded, backend="eager")):
        answer(images)
    assert counter.frame_count == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_graph_is_refused(model, images):
    guarded, x = defend(model.cuda(), "input", 0.3), images.cuda()
    guarded(x)
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(DomainError, match=REMEDY), torch.cuda.graph(graph):
        guarded(x)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_noise_on_cuda(defence, images):
    defence.cuda()
    assert defence(images.cuda()).device.type == "cuda"
    assert noise_differs(defence, defence, images.cuda())


def test_the_page_on_production_runs(tmp_path, monkeypatch, model, images):
    import querytax as qt

    page = Path(__file__).parents[2] / "docs" / "production.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    torch.save(model.state_dict(), "weights.pt")
    names = {"qt": qt, "torch": torch, "build": lambda: copy.deepcopy(model)}
    exec(block, names)
    assert noise_differs(names["guarded"], names["guarded"], images)
    assert not (names["guarded"](images) == model(images)).any()
