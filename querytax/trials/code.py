"""What an attack's code is, in a short name that changes when the code does."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from querytax.defenses import Defense

__all__ = ["code_of"]

_LENGTH = 8
_OURS = "querytax"
# What drives every attack: counts, votes, merged questions, and the draws behind them.
_DRIVES = "querytax.attacks.run"
_ATTACKS = "querytax.attacks."
# What else decides a draw or a loss.
_BESIDE = ("noise", "losses", "plans", "models.rows", "defenses._box_muller")
# Of the attacks' own modules, those that decide nothing: one is a list of all.
_ASIDE = {"querytax.attacks.table", "querytax.attacks.workers"}


def code_of(engine: Callable[..., Any], model: object) -> str:
    """What the code of an attack on a defence is, in 16 hexadecimal digits.

    Of the attack's module and those of the attacks' that it imports, of what drives
    attacks, of draws and losses, and of the defences around the model: whatever runs,
    but for docstrings, comments and layout. The version of the package alone where the
    sources are not at hand.

    Parameters
    ----------
    engine : callable
        The attack's.
    model : nn.Module or callable
        With its defences, or none.

    Examples
    --------
    >>> from querytax.attacks.table import find
    >>> one, other = (code_of(find(name).engine, None) for name in ("nes", "square"))
    >>> one == other
    False
    """
    modules = {engine.__module__}
    while isinstance(model, Defense):
        modules |= {one.__module__ for one in type(model).__mro__}
        model = model.model
    return _code_of(frozenset(m for m in modules if m.startswith(f"{_OURS}.")))


@functools.cache
def _code_of(modules: frozenset[str]) -> str:
    digest = hashlib.blake2b(digest_size=_LENGTH)
    found = {name: _read(name)[0] for name in (f"{_OURS}.{one}" for one in _BESIDE)}
    todo = [*modules, _DRIVES]
    while todo:
        name = todo.pop()
        if name not in found:
            found[name], more = _read(name)
            todo += more
    for name in sorted(found):
        digest.update(f"|{name}:{found[name]}".encode())
    return digest.hexdigest()


@functools.cache
def _read(name: str) -> tuple[str, tuple[str, ...]]:
    """A digest of a module's code, and which modules of ours it imports."""
    spec = find_spec(name)
    source = getattr(spec.loader, "get_source", lambda _: None)(name) if spec else None
    if source is None:
        from querytax import __version__

        return __version__, ()
    tree = ast.parse(source)
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
        elif isinstance(node, ast.Import):
            imported += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported += [_named(node.module, one.name) for one in node.names]
    ours = tuple(one for one in imported if one.startswith(_ATTACKS))
    ours = tuple(one for one in ours if one not in _ASIDE)
    return hashlib.blake2b(ast.dump(tree).encode()).hexdigest(), ours


@functools.cache
def _named(package: str, name: str) -> str:
    """The module that a word is imported from."""
    if f"{package}." != _ATTACKS:
        return package
    try:
        inside = find_spec(f"{package}.{name}")
    except ModuleNotFoundError:
        inside = None
    return f"{package}.{name}" if inside else package
