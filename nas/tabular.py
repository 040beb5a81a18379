"""Tabular benchmarks: evaluations of a problem in a file, which strategies query without training.

As NAS-Bench-101 has them (C. Ying et al., "NAS-Bench-101: towards reproducible neural architecture
search", ICML 2019): networks, the columns that each came to from some seeds, and the seconds that
took. The file is JSON lines: a head, which says of which problem they are, and an evaluation a
line, by genome and seed.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from ..flow.errors import ConfigError, RunError
from ..flow.files import write_atomic
from .problem import Problem
from .space import Genome
from .store import Evaluation

FORMAT = 1
#: Evaluations of a file, and bytes of a line, at most.
MOST, LONGEST = 2_000_000, 1 << 20
AGAIN = "'spikeloom table export' writes such a file"


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """A data set: images of two splits, and their digest."""

    name: str
    train: int
    validation: int
    digest: str


class About(Struct, frozen=True, forbid_unknown_fields=True):
    """All that evaluations depend on. network: as `space.network`. settings: of the evaluator."""

    network: str
    data: Data
    settings: dict[str, object]


class Head(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line. problem: digest of `about`. columns: those of every evaluation. sha256: of
    all lines after this one. spikeloom: the version that wrote it.
    """

    kind: Literal["spikeloom table"] = "spikeloom table"
    format: int = FORMAT
    spikeloom: str
    problem: str
    about: About
    columns: tuple[str, ...]
    networks: int
    evaluations: int
    sha256: str


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An evaluation. columns: None for a score or an accuracy that there is not. seconds: what it
    took. stopped: why a training ended early. features: what predicts cells, where anything does.
    """

    genome: Genome
    seed: int
    seconds: float
    columns: dict[str, float | None]
    epochs: int = 0
    stopped: str | None = None
    features: dict[str, float] | None = None

    @property
    def result(self) -> tuple:
        """What the same evaluation, made again, should come to."""
        return self.columns, self.epochs, self.stopped, self.features

    def evaluation(self, settings: str, id: str) -> Evaluation:
        """As a store would have it."""
        return Evaluation(
            genome=self.genome, seed=self.seed, settings=settings, id=id, generation=0, position=0,
            accuracy=self.columns.get("accuracy"), epochs=self.epochs, stopped=self.stopped,
            seconds=self.seconds, estimate=self.columns, features=self.features)


def row_of(item: Evaluation) -> Row:
    """An evaluation of a store."""
    columns = dict(item.estimate)
    if item.accuracy is not None:
        columns["accuracy"] = item.accuracy
    return Row(genome=item.genome, seed=item.seed, seconds=round(item.seconds, 6), columns=columns,
               epochs=item.epochs, stopped=item.stopped, features=item.features)


def about(task: Problem, evaluator) -> About:
    """What evaluations of a problem depend on; what a search allows, or how it looks, is no part
    of that.
    """
    data = task.data
    return About(task.experiment.space.network,
                 Data(data.name, len(data.train), len(data.validation), data.digest),
                 json.loads(json.dumps(evaluator.about)))


class Table:
    """Evaluations of one problem: `rows` by genome, those of each in the order of their seeds."""

    def __init__(self, about: About, rows: Iterable[Row]) -> None:
        self.about = about
        self.rows: dict[Genome, list[Row]] = {}
        for row in sorted(rows, key=lambda row: (row.genome, row.seed)):
            self.rows.setdefault(row.genome, []).append(row)

    @property
    def problem(self) -> str:
        """The digest of the problem."""
        plain = json.dumps(msgspec.to_builtins(self.about), sort_keys=True)
        return _digest(plain.encode())[:16]

    @property
    def evaluations(self) -> int:
        return sum(map(len, self.rows.values()))

    @property
    def seconds(self) -> float:
        """What all of it took."""
        return math.fsum(row.seconds for each in self.rows.values() for row in each)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the first row, and so of all."""
        first = next(iter(self.rows.values()), None)
        return tuple(first[0].columns) if first else ()

    def merged(self, other: "Table", where: str) -> tuple["Table", int]:
        """With what another one has and this one lacks; and how many of their evaluations differ,
        of which these here are kept. Raises RunError for one of another problem.
        """
        check_same(other.about, self.about, where)
        known = {(row.genome, row.seed): row for each in self.rows.values() for row in each}
        differs = 0
        for each in other.rows.values():
            for row in each:
                kept = known.setdefault((row.genome, row.seed), row)
                differs += kept.result != row.result
        return Table(self.about, known.values()), differs

    def save(self, path: Path) -> str:
        """Write the file; returns the digest of its lines."""
        lines = b"".join(msgspec.json.encode(row) + b"\n" for each in self.rows.values()
                         for row in each)
        head = Head(spikeloom=metadata.version("spikeloom"), problem=self.problem, about=self.about,
                    columns=self.columns, networks=len(self.rows), evaluations=self.evaluations,
                    sha256=_digest(lines))
        write_atomic(path, msgspec.json.encode(head) + b"\n" + lines)
        return head.sha256


def load(path: Path) -> tuple[Table, Head]:
    """What `Table.save` wrote; RunError for what is not that, whole and unchanged, with the line.
    """
    try:
        with open(path, "rb") as file:
            head = _head(file.readline(LONGEST + 1), path)
            rows, digest = [], hashlib.sha256()
            for number in range(2, head.evaluations + 2):
                line = file.readline(LONGEST + 1)
                digest.update(line)
                rows.append(_row(line, head, f"{path}: line {number}"))
            rest = file.readline(LONGEST)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    if rest:
        raise RunError(f"{path}: line {head.evaluations + 2} must not be there, after the "
                       f"{head.evaluations} evaluations that its head names; {AGAIN}")
    table = Table(head.about, rows)
    for each in table.rows.values():
        for one, other in pairwise(each):
            if one.seed == other.seed:
                raise RunError(f"{path}: has network {one.genome} twice from seed {one.seed}; "
                               f"{AGAIN}")
    for name, found, said in (("lines", digest.hexdigest(), head.sha256),
                              ("problem", table.problem, head.problem)):
        if found != said:
            raise RunError(f"{path}: is damaged or was changed, the digest of its {name} is "
                           f"{found[:16]}, not {said[:16]}; {AGAIN}")
    return table, head


def _head(line: bytes, path: Path) -> Head:
    try:
        plain = msgspec.json.decode(line, type=dict)
        if plain.get("kind") != "spikeloom table":
            raise RunError(f"{path}: is no table of evaluations; {AGAIN}")
        if plain.get("format") != FORMAT:
            raise RunError(f"{path}: has table format {plain.get('format')}, this version reads "
                           f"{FORMAT}; export it again with this version")
        head = msgspec.convert(plain, Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunError(f"{path}: line 1 must be the head of a table ({error}); {AGAIN}") from error
    if not 1 <= head.evaluations <= MOST:
        raise RunError(f"{path}: must have 1..{MOST:,} evaluations, not {head.evaluations}; "
                       f"{AGAIN}")
    return head


def _row(line: bytes, head: Head, where: str) -> Row:
    if not line.endswith(b"\n"):
        why = "is too long" if len(line) > LONGEST else "is missing or cut short"
        raise RunError(f"{where} {why}, of {head.evaluations} evaluations; {AGAIN}")
    try:
        row = msgspec.json.decode(line, type=Row)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunError(f"{where} must be an evaluation ({error}); {AGAIN}") from error
    if set(row.columns) != set(head.columns):
        raise RunError(f"{where} must have the columns {', '.join(head.columns)}, not "
                       f"{', '.join(row.columns)}; {AGAIN}")
    if not (row.seconds >= 0 and row.seed >= 0 and row.epochs >= 0):
        raise RunError(f"{where} must have a seed, epochs and seconds of at least 0, not "
                       f"{row.seed}, {row.epochs} and {row.seconds}; {AGAIN}")
    return row


def check_same(found: About, wanted: About, where: str) -> None:
    """Raise RunError for a table of another problem, with the first thing that differs."""
    for name, old, new in _differences(*map(msgspec.to_builtins, (found, wanted)), ""):
        raise RunError(f"{where}: is of another problem, {name} is {_said(old)} there and "
                       f"{_said(new)} here; export a table of this one, or leave this one out")


def _differences(found: object, wanted: object, name: str):
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in sorted({*found, *wanted}):
            yield from _differences(found.get(key), wanted.get(key), f"{name}.{key}".lstrip("."))
    elif found != wanted:
        yield name, found, wanted


def _said(value: object) -> str:
    return "not set" if value is None else json.dumps(value)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
