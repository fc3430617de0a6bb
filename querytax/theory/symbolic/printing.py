"""A law in LaTeX, and the expression that a formula of one line states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import sympy as sp
from sympy.parsing import sympy_parser as parser

from querytax.parameters import Parameter
from querytax.theory.symbolic import _normal

if TYPE_CHECKING:
    from querytax.theory.law import Law

__all__ = ["in_latex", "latex_of", "read"]


class _Named(sp.Function):
    """A function that prints under its own sign."""

    def _latex(self, printer: object, exp: str | None = None) -> str:
        inside = ", ".join(printer._print(a) for a in self.args)  # type: ignore[attr-defined]
        value = rf"{self.sign}\left({inside}\right)"
        return rf"\left({value}\right)^{{{exp}}}" if exp else value


class _Phi(_Named):
    sign = r"\Phi"


class _Quantile(_Named):
    sign = r"\Phi^{-1}"


# A longer expression says less than the formula in words.
_LONGEST = 400


def latex_of(entry: Law) -> str:
    """A law in LaTeX, in the vocabulary's symbols, without delimiters.

    It is that of the law's derivation; where that is long, of whole tables, of one word
    among several or in pieces, that of the formula's text.

    Examples
    --------
    >>> from querytax.theory.law import find
    >>> latex_of(find("snr.averaged"))
    'M S'
    """
    from querytax.theory.symbolic.derivation import derive

    shown = derive(entry.name).law
    words = any(p.is_word for p in entry.parameters.values())
    if entry.tables or words or not isinstance(shown, sp.Expr):
        return in_latex(entry.formula)
    shown = shown.replace(sp.erfc, lambda u: 2 * _Phi(-sp.sqrt(2) * u))
    shown = shown.replace(sp.erf, lambda u: 1 - 2 * _Phi(-sp.sqrt(2) * u))
    shown = shown.replace(sp.erfinv, lambda p: _Quantile((p + 1) / 2) / sp.sqrt(2))
    if any(not _plain(part) for part in sp.preorder_traversal(shown)):
        return in_latex(entry.formula)
    names = {s: _symbol(s.name, entry.parameters) for s in shown.atoms(sp.Symbol)}
    text = str(sp.latex(shown, symbol_names={k: v for k, v in names.items() if v}))
    return text if len(text) <= _LONGEST else in_latex(entry.formula)


def _plain(part: sp.Basic) -> bool:
    """Whether readers of LaTeX know it: no piece, no function of our own."""
    if isinstance(part, sp.Piecewise):
        return False
    own = type(part).__module__.startswith(__name__.partition(".")[0])
    return not own or isinstance(part, (_Named, sp.Integral, sp.Sum))


def _symbol(name: str, parameters: Mapping[str, Parameter]) -> str:
    """A parameter's LaTeX, an element's of a table, or nothing for other symbols."""
    if name in parameters:
        return parameters[name].latex
    table, _, places = name.partition("_")
    while table not in parameters and places:
        part, _, places = places.partition("_")
        table = f"{table}_{part}"
    if table not in parameters:
        return ""
    latex = parameters[table].latex
    if not places:
        return latex
    return re.sub(r"_\w$", "", latex) + "_{" + places.replace("_", ",") + "}"


_LETTERS = "αβγδεζηθκλμνξπρστφψωΓΔΘΛΣΠΦΨΩ"
_NAMES = (
    "alpha beta gamma delta varepsilon zeta eta theta kappa lambda mu nu xi pi rho "
    "sigma tau varphi psi omega Gamma Delta Theta Lambda sum prod Phi Psi Omega"
)
_TEX = {
    **{a: f"\\{b} " for a, b in zip(_LETTERS, _NAMES.split(), strict=True)},
    **dict(zip("₀₁₂₃₊₋", ("_0", "_1", "_2", "_3", "_+", "_-"), strict=True)),
    **dict(zip("²³⁴ⁱⁿ½", ("^2", "^3", "^4", "^i", "^n", r"\tfrac12 "), strict=True)),
    **{"⁻¹": "^{-1}", "⁻": "^-", "∫": r"\int ", "‖": r"\Vert ", "∇": r"\nabla "},
    **{"⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil "},
    **{"<=": r"\le ", ">=": r"\ge ", "±": r"\pm ", "∂": r"\partial ", "·": r"\cdot "},
}


def in_latex(formula: str) -> str:
    """A formula of one line in LaTeX, sign by sign.

    Examples
    --------
    >>> in_latex("P = Φ(-√(n S)), n whole")
    'P = \\\\Phi (-\\\\sqrt{n S}), n \\\\text{ whole }'
    """
    words = r"(?<!\w)[A-Za-z]{3,}(?: [A-Za-z]{2,})*(?![\w(])"
    text = re.sub(words, r"\\text{ \g<0> }", formula)
    text = re.sub(r"(?<!\w)[A-Za-z]{2,}(?=\()", r"\\operatorname{\g<0>}", text)
    while (start := text.find("√(")) >= 0:
        end = _closing(text, start + 1)
        text = f"{text[:start]}\\sqrt{{{text[start + 2 : end]}}}{text[end + 1 :]}"
    text = re.sub(r"√(\w+)", r"\\sqrt{\1}", text)
    for sign, tex in _TEX.items():
        text = text.replace(sign, tex)
    return text


def _closing(text: str, start: int) -> int:
    """Where the bracket that opens at ``start`` closes; the end if nowhere."""
    depth = 0
    for k, sign in enumerate(text[start:], start):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return k
    return len(text)


_SIGNS = {"⁻¹": "**-1", "²": "**2", "³": "**3", "⁴": "**4", "½": "(1/2)", "π": "pi"}
_FUNCTIONS = {
    "Phi": _normal.Phi,
    "phi": _normal.phi,
    "quantile": _normal.quantile,
    "arctan": sp.atan,
    "arcsin": sp.asin,
    "arccos": sp.acos,
    "artanh": sp.atanh,
    "ln": sp.log,
    "min": sp.Min,
    "max": sp.Max,
}


def read(formula: str, parameters: Mapping[str, Parameter]) -> sp.Expr:
    """The expression that a formula of one line states, in symbols of its parameters.

    It may use the vocabulary's symbols, the signs of arithmetic, √, Φ, Φ⁻¹, φ, |x|,
    and functions such as ``exp``, ``ln``, ``arctan`` and ``min``.

    Raises
    ------
    ValueError
        If it is not of this kind.

    Examples
    --------
    >>> from querytax.parameters import PARAMETERS
    >>> read("P = arctan(1/√S)/π", {"snr": PARAMETERS["snr"]})
    atan(1/sqrt(snr))/pi
    """
    text = formula.partition(";")[0]
    left, equals, right = text.partition("=")
    if equals and re.fullmatch(r"\s*[^\d\s()/*+^√|<>-]+\s*", left):
        text = right
    symbols: dict[str, object] = {}
    ordered = sorted(parameters.values(), key=lambda p: -len(p.symbol))
    for k, p in enumerate(p for p in ordered if not p.is_word):
        whole = {"integer": True} if p.domain.whole else {}
        sign = {"positive": True} if p.domain.low >= 0.0 else {"real": True}
        symbols[f"v{k}v"] = sp.Symbol(p.name, **{**sign, **whole})
        text = re.sub(
            rf"(?<![^\W\d_]){re.escape(p.symbol)}(?![^\W\d_])", f" v{k}v ", text
        )
    text = text.replace("Φ⁻¹", " quantile ").replace("Φ", " Phi ").replace("φ", " phi ")
    for sign_, plain in _SIGNS.items():
        text = text.replace(sign_, plain)
    text = re.sub(r"√\s*\(", " sqrt(", text)
    text = re.sub(r"√\s*(\w+)", r" sqrt(\1)", text)
    text = re.sub(r"\|([^|]*)\|", r" Abs(\1)", text)
    rules = (
        *parser.standard_transformations,
        parser.implicit_multiplication,
        parser.convert_xor,
    )
    try:
        found = parser.parse_expr(
            text, {**symbols, **_FUNCTIONS}, transformations=rules
        )
    except (SyntaxError, TypeError, ValueError, parser.TokenError) as error:
        raise ValueError(f"expected a formula to read, got {formula!r}") from error
    known = set(symbols.values())
    if not isinstance(found, sp.Expr) or not found.free_symbols <= known:
        raise ValueError(f"expected a formula to read, got {formula!r}")
    return found
