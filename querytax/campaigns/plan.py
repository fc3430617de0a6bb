"""A campaign as frozen data, read from a TOML file; no torch."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from querytax import expect
from querytax.campaigns.tables import Source, Table
from querytax.catalogue import DEFENCES, usual_strength
from querytax.evidence import Contender
from querytax.expect import DomainError
from querytax.plans import NORMS, check_budget
from querytax.sites import Site

__all__ = ["Attackers", "Campaign", "Defended", "Field", "Network", "read_plan"]

ACCESS = ("scores", "top1", "labels")
RECIPES = ("published", "adaptive", "library")
_LAYOUTS = ("NCHW", "NHWC", "NHW", "as is")


@dataclass(frozen=True)
class Network:
    """A model and its data, by the words of the shell.

    Attributes
    ----------
    name : str
    model : str
        ``package.module:function``; or ``demo``, the embedded network, whose data are
        the digits that it has not seen.
    data : str
        An ``.npz``, two ``.npy`` joined by a comma, or a folder; a full path.
    how : tuple of (str, value)
        How the data are read; see :func:`querytax.load_images`.
    surrogate : str
        A network of the attacker's own, like ``model``; empty for none.
    device : str
    """

    name: str
    model: str
    data: str = ""
    how: tuple[tuple[str, Any], ...] = ()
    surrogate: str = ""
    device: str = "cpu"


@dataclass(frozen=True)
class Defended:
    """A defence at several strengths; 0 is none."""

    site: str
    strengths: tuple[float, ...]
    line: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True)
class Attackers:
    """Attacks by their words, with recipes and settings.

    The word ``all`` stands for every attack of this house that access, norm, images and
    budget allow; ``breaker`` for the attack that knows of the defence.
    """

    words: tuple[str, ...]
    recipes: tuple[str, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()
    line: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True)
class Field:
    """Who attacks a network behind one defence; the empty site is none."""

    network: str
    site: str
    contenders: tuple[Contender, ...]


@dataclass(frozen=True)
class Campaign:
    """Attacks x networks x defences x strengths x budgets x seeds x images.

    Attributes
    ----------
    name : str
    images : int
        The first so many that a network gets right, of its data.
    seeds : tuple of int
        Of the attackers' draws and of the noise.
    votes : int
        Fresh queries that confirm a success, odd.
    access : {"scores", "top1", "labels"}
    norm : {"Linf", "L2"}
    eps : tuple of float
        Radii of the perturbation, rising.
    n_queries : tuple of int
        Budgets an image, rising. The largest is run, the others are read off.
    block : int
        Images of a job. Batches decide the last bits of a network's answers, so it is
        part of the plan.
    batch_size : int
        Rows of one forward pass; part of the plan for the same reason.
    networks : tuple of Network
    defences : tuple of Defended
    attacks : tuple of Attackers
    fields : tuple of Field
        Who attacks what; empty until the networks have been seen.
    where : str
        The plan's file, for messages.
    """

    name: str
    images: int
    eps: tuple[float, ...]
    n_queries: tuple[int, ...]
    networks: tuple[Network, ...]
    attacks: tuple[Attackers, ...]
    defences: tuple[Defended, ...] = ()
    seeds: tuple[int, ...] = (0,)
    votes: int = 9
    access: str = "scores"
    norm: str = "Linf"
    block: int = 32
    batch_size: int = 256
    fields: tuple[Field, ...] = ()
    where: str = dataclasses.field(default="", compare=False)

    @property
    def largest(self) -> int:
        """The budget that is run."""
        return self.n_queries[-1]

    def place(self, line: int) -> str:
        """Where something stands in the plan's file, for a message."""
        return f" ({self.where}, line {line})" if self.where and line else ""

    def to_json(self) -> str:
        """The plan as text: the same for the same plan, wherever it was read."""
        data = dataclasses.asdict(self)
        del data["where"]
        for each in (*data["defences"], *data["attacks"]):
            del each["line"]
        return json.dumps(data, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Campaign:
        """What :meth:`to_json` wrote."""
        data = json.loads(text)

        def frozen(value: Any) -> Any:
            return tuple(map(frozen, value)) if isinstance(value, list) else value

        def made(kind: Any, values: Mapping[str, Any]) -> Any:
            return kind(**{name: frozen(value) for name, value in values.items()})

        data["networks"] = tuple(made(Network, each) for each in data["networks"])
        data["defences"] = tuple(made(Defended, each) for each in data["defences"])
        data["attacks"] = tuple(made(Attackers, each) for each in data["attacks"])
        for each in data["fields"]:
            each["contenders"] = [made(Contender, who) for who in each["contenders"]]
        data["fields"] = tuple(made(Field, each) for each in data["fields"])
        return cls(**{name: frozen(value) for name, value in data.items()})


def read_plan(path: str | os.PathLike[str]) -> Campaign:
    """A campaign from a TOML file.

    Raises
    ------
    DomainError
        One line with the place in the file: for a key that there is not, with the
        nearest one, a value that is not as expected, and a plan of nothing.
    """
    source = Source(path)
    top = source.table
    known = ("name", "images", "seeds", "votes", "access", "norm", "eps", "n_queries")
    top.known(*known, "block", "batch_size", "networks", "defences", "attacks")
    norm = top.word("norm", NORMS, "Linf")
    with top.at("eps"):
        eps = top.fractions("eps")
        for each in eps:
            check_budget(each, norm)
    votes = top.whole("votes", 1, 9)
    if votes % 2 == 0:
        raise top.error(f"expected votes odd, got {votes}", "votes")
    name = top.text("name", Path(path).stem)
    networks = [
        _network(each, key, Path(path).resolve().parent)
        for key, each in top.tables("networks").items()
    ]
    attacks = [_attackers(each) for each in top.array("attacks")]
    for title, found in (("networks", networks), ("attacks", attacks)):
        if not found:
            raise top.error(f"expected {title} to name one at least, got none")
    return Campaign(
        name=name,
        images=top.whole("images", 1),
        eps=tuple(sorted(eps)),
        n_queries=tuple(sorted(top.wholes("n_queries", 1))),
        networks=tuple(networks),
        attacks=tuple(attacks),
        defences=tuple(_defended(each) for each in top.array("defences")),
        seeds=tuple(top.wholes("seeds", 0, (0,))),
        votes=votes,
        access=top.word("access", ACCESS, "scores"),
        norm=norm,
        block=top.whole("block", 1, 32),
        batch_size=top.whole("batch_size", 1, 256),
        where=os.fspath(path),
    )


def _network(table: Table, name: str, folder: Path) -> Network:
    table.known(
        *("model", "data", "layout", "scale", "size", "channels", "limit"),
        *("surrogate", "device"),
    )
    model = table.text("model")
    data = table.text("data", "")
    if not data and model != "demo":
        raise table.error(f"expected data for the network {name!r}, got none")
    how: dict[str, Any] = {
        "layout": table.word("layout", _LAYOUTS, None),
        "scale": table.number("scale", None),
        "size": table.wholes("size", 1, None),
        "channels": table.whole("channels", 1, None),
        "limit": table.whole("limit", 1, None),
    }
    if how["size"]:
        how["size"] = tuple(how["size"]) if len(how["size"]) > 1 else how["size"][0]
    given = tuple((key, value) for key, value in how.items() if value is not None)
    parts = [os.fspath(folder / part) for part in data.split(",") if part]
    return Network(
        name=name,
        model=model,
        data=",".join(parts),
        how=given,
        surrogate=table.text("surrogate", ""),
        device=table.text("device", "cpu"),
    )


def _defended(table: Table) -> Defended:
    table.known("site", "strengths")
    with table.at("site"):
        site = Site.parse(table.text("site"))
    usual = usual_strength(site.word) if site.word else None
    if "strengths" not in table and usual is None:
        raise table.error(f"expected strengths of the noise at {site.name}, got none")
    with table.at("strengths"):
        strengths = table.fractions("strengths", (usual,))
        most = DEFENCES[site.word].most if site.word else None
        for each in strengths:
            expect.nonnegative(**{site.strength: each})
            if most is not None and each > most:
                raise DomainError(f"expected {site.strength} <= {most:g}, got {each:g}")
    return Defended(site.name, tuple(sorted(strengths)), table.line())


def _attackers(table: Table) -> Attackers:
    table.known("attack", "recipe", "settings")
    words = tuple(table.texts("attack"))
    recipes = tuple(table.texts("recipe", ()))
    with table.at("recipe"):
        for recipe in recipes:
            expect.one_of(RECIPES, recipe=recipe)
    settings = table.plain("settings")
    if settings and "all" in words:
        raise table.error("expected no settings with all attacks, got some", "settings")
    return Attackers(words, recipes, tuple(sorted(settings.items())), table.line())
