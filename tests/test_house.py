"""The rules of the house: arrows, cheap imports, public names, examples, linters."""

import ast
import doctest
import importlib
import inspect
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import querytax

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "querytax"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in HOUSE.rglob("*.py")
)
HEAVY = ("torch", "numba", "sympy", "matplotlib", "scipy.stats", "sklearn")


def run(*command, **options):
    return subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, cwd=ROOT, **options
    )


def file_of(module):
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(module, lazy=True):
    """Modules that a file names in imports; without ``lazy`` those it runs at once."""
    found = set()

    def visit(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}: a relative import"
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    found.add(full if full in MODULES else child.module)
            typing_only = (
                isinstance(child, ast.If)
                and isinstance(child.test, ast.Name)
                and child.test.id == "TYPE_CHECKING"
            )
            deferred = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
            if not typing_only and (lazy or not deferred):
                visit(child)

    visit(ast.parse(file_of(module).read_text()))
    return found


def within(name, room):
    return name == room or name.startswith(room + ".")


def room(name):
    return [m for m in MODULES if within(m, f"querytax.{name}")]


def ours(module, lazy=True):
    """The house's modules that a module imports, packages above them included."""
    direct = {m for m in imports(module, lazy) if within(m, "querytax")}
    above = {m.rpartition(".")[0] for m in direct}
    return direct | (above - {"", "querytax"})


# -- imports are paid when used ---------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import querytax",
        "from querytax.cli import main; main(['--help'], standalone_mode=False)",
        "from querytax.cli import main; main(['probe', '-h'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_loaded(code):
    more = f"; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = run(sys.executable, "-c", code + more)
    assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines()[-1] == "[]"


def test_the_laws_load_nothing_heavy():
    code = (
        "from querytax.theory.law import laws; laws(); import sys; "
        "print([m for m in ('torch', 'numba', 'sympy', 'matplotlib') "
        "if m in sys.modules])"
    )
    assert run(sys.executable, "-c", code).stdout.strip() == "[]"


# -- arrows -----------------------------------------------------------------------


def test_the_checker_sees_imports():
    """It would pass vacuously if it found none."""
    assert "querytax.recommend.inverter" in imports("querytax.certifying")
    assert "querytax.figures" in ours("querytax.report_recommend")
    assert "querytax.figures" not in ours("querytax.report_recommend", lazy=False)
    assert "torch" in imports("querytax.certifying", lazy=False)
    assert len(MODULES) > 30


@pytest.mark.parametrize("module", room("theory"))
def test_theory_stands_alone(module):
    for name in imports(module):
        if within(name, "querytax"):
            plain = {"querytax.expect", "querytax.parameters"}
            assert name in plain or within(name, "querytax.theory")
        barred = {"torch", "numba", "matplotlib"}
        if not within(module, "querytax.theory.symbolic"):
            barred.add("sympy")
        assert name.split(".")[0] not in barred


PLAIN = ("evidence", "counts", "words", "report_recommend", "statistics", "sites")


@pytest.mark.parametrize(
    "module", [*room("recommend"), *(f"querytax.{name}" for name in PLAIN)]
)
def test_a_recommendation_needs_no_torch(module):
    """Nor does anything that it imports at once, however deep."""
    seen, todo = set(), [module]
    while todo:
        at = todo.pop()
        if at in seen or at not in MODULES:
            continue
        seen.add(at)
        names = imports(at, lazy=False)
        assert not any(within(n, "torch") for n in names), at
        todo += [n for n in ours(at, lazy=False) if n != "querytax"]


@pytest.mark.parametrize("module", room("recommend"))
def test_the_answer_does_not_know_those_who_measure(module):
    """Not even when it is used: trials come to it as plain data."""
    for name in ours(module):
        for barred in ("attacks", "trials", "probes", "defenses", "certifying"):
            assert not within(name, f"querytax.{barred}")


MEASURE = ("probes", "attacks", "defenses", "trials", "campaigns", "audits")


@pytest.mark.parametrize("module", [m for r in MEASURE for m in room(r)])
def test_those_who_measure_do_not_know_the_answer(module):
    for name in ours(module):
        assert not within(name, "querytax.theory")
        assert not within(name, "querytax.recommend")
        assert not within(name, "querytax.validation")


@pytest.mark.parametrize("module", room("montecarlo") or ["querytax.noise"])
def test_simulations_do_not_import_the_laws(module):
    assert not any(within(name, "querytax.theory") for name in ours(module))


# Who may import whom, where only some may: the report when it is asked to draw, and the
# names of the package when they are used.
ON_TOP = {
    "certifying": ("report_recommend",),
    "report": ("cli_laws",),
    "audits": ("audits", "report_audit", "cli_audit"),
    "campaigns": ("campaigns", "report_campaign", "cli_campaign"),
    "report_attacks": ("cli_attack", "report_recommend"),
    "report_audit": ("cli_audit",),
    "report_campaign": ("cli_campaign",),
    "report_recommend": ("cli_recommend",),
    "report_sites": ("cli_sites",),
    "figures": ("cli_figures", "figures", "report_recommend", "reproductions"),
    "trials": ("campaigns", "certifying", "report_recommend", "trials"),
}
# The one method of a lower room that draws, when it is called.
DRAWS = {("querytax.recommend.recommendation", "figures")}


@pytest.mark.parametrize("module", MODULES)
def test_figures_reports_and_cli_sit_on_top(module):
    for name in ours(module):
        for place, known in ON_TOP.items():
            if within(name, f"querytax.{place}") and (module, place) not in DRAWS:
                assert any(within(module, f"querytax.{who}") for who in known), name
        if name == "querytax.cli" or name.startswith("querytax.cli_"):
            assert module == "querytax.__main__" or module.startswith("querytax.cli")


@pytest.mark.parametrize("module", MODULES)
def test_nothing_draws_before_it_is_asked(module):
    for name in ours(module, lazy=False):
        if within(name, "querytax.figures"):
            drawing = ("querytax.figures", "querytax.reproductions")
            assert any(within(module, place) for place in drawing)


@pytest.mark.parametrize("module", MODULES)
def test_nobody_reaches_into_a_private_module_of_another_room(module):
    for name in ours(module):
        parent, _, last = name.rpartition(".")
        if last.startswith("_"):
            home = module.rpartition(".")[0]
            assert parent == home or within(module, "querytax.validation")


# -- public names and examples ----------------------------------------------------


@pytest.mark.parametrize("name", querytax.__all__)
def test_a_public_name_resolves_and_is_documented(name):
    value = getattr(querytax, name)
    if name == "__version__":
        assert isinstance(value, str)
        return
    lines = (value.__doc__ or "").strip().splitlines()
    assert lines, f"{name} has no docstring"
    assert lines[0].endswith((".", "?")), f"{name}: {lines[0]!r} is no sentence"
    if isinstance(value, type) and issubclass(value, Exception):
        return
    underlined = {a.strip() for a, b in itertools.pairwise(lines) if "---" in b}
    assert underlined & {"Parameters", "Attributes", "Returns"}, name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        querytax.nonsense  # noqa: B018
    assert set(querytax.__all__) <= set(dir(querytax))


def examples(name):
    """Doctests of a module; of a law's function too, which is wrapped elsewhere."""
    finder, module = doctest.DocTestFinder(), importlib.import_module(name)
    yield from finder.find(module)
    for public, value in vars(module).items():
        inner = inspect.unwrap(value) if callable(value) else value
        if inner is not value and inner.__module__ == name:
            yield from finder.find(inner, f"{name}.{public}", module)


@pytest.mark.parametrize("module", [m for m in MODULES if not m.endswith("__main__")])
def test_examples_in_docstrings_run(module):
    runner = doctest.DocTestRunner()
    assert all(runner.run(test).failed == 0 for test in examples(module))


def test_there_are_examples():
    counts = {m: sum(len(t.examples) for t in examples(m)) for m in MODULES}
    assert sum(counts.values()) > 150
    assert counts["querytax.theory.misstep"] >= 5


# -- linters ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "querytax", "tests", "benchmarks"),
        ("mypy",),
    ],
    ids=["ruff check", "ruff format", "mypy"],
)
def test_linters_are_content(command):
    pytest.importorskip(command[0])
    out = run(sys.executable, "-m", *command)
    assert out.returncode == 0, out.stdout + out.stderr


def test_no_tracked_file_names_a_machine_path():
    if not shutil.which("git") or run("git", "rev-parse").returncode:
        pytest.skip("needs a git checkout")
    for place in ("/wor" + "k/", "/roo" + "t/"):
        out = run("git", "grep", "-lIF", place)
        assert out.stdout == "", f"{place} in {out.stdout}"
