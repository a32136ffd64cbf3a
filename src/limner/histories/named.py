"""Named sources: a file `sources.toml` says once where data comes from and how it is read, and loads follow it.

[orders]
from = "postgresql://reader:${SHOP_PASSWORD}@db.example.com/shop"
table = "orders"
increment = "updated_at"
map = "maps/orders.toml"

[reviews]
from = "exports/reviews/"
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from limner.errors import LimnerError, UsageError
from limner.histories.addresses import fill, is_address, parse_address
from limner.histories.databases import ENGINES, TableSource, check, table_source
from limner.histories.finding import Found, find_sources
from limner.histories.load import Progress, ingest
from limner.histories.mapping import KINDS, Mapping
from limner.histories.marks import Marks
from limner.histories.repeats import Policy
from limner.histories.store import Store
from limner.histories.summary import IngestSummary
from limner.histories.topics import SCHEMES, TopicSource, count_entries

SOURCES_FILE = Path("sources.toml")
"""Where named sources are looked for if nothing else is said."""


@dataclass(frozen=True, slots=True)
class NamedSource:
    """One source of a sources file.

    Attributes:
        name: Its name.
        places: Paths, patterns or one address, as written: `${NAME}` is not filled in yet.
        table, query: What is read of a database.
        increment: The column of a database that grows with each new or changed row.
        kind: The table its rows go to; None: by the mapping, else guessed.
        mapping: How its columns are read; None: guessed.
        repeats: Keep or drop exact repeats; None: by the kind of event.
        options: Options for a store of objects, as written.
    """

    name: str
    places: tuple[str, ...]
    table: str = ""
    query: str = ""
    increment: str = ""
    kind: str | None = None
    mapping: Mapping | None = None
    repeats: Policy | None = None
    options: Dict[str, Any] = field(default_factory=dict)

    @property
    def way(self) -> str:
        """How its files are read, in short: a file read in another way is read again."""
        how = (self.kind, self.repeats, self.mapping.to_toml() if self.mapping else "")
        return hashlib.sha256(json.dumps(how).encode()).hexdigest()[:16]

    @property
    def shown(self) -> str:
        """Where it is, as it may be printed."""
        try:
            return ", ".join(parse_address(p).shown if is_address(p) else p for p in self.places)
        except UsageError:
            return ", ".join(p.rpartition("@")[2] if is_address(p) else p for p in self.places)

    @property
    def has_mark(self) -> bool:
        """Whether it is read up to a mark: a table or query of a database, or a stream."""
        if self.table or self.query or self.increment:
            return True
        try:
            return any(parse_address(p).scheme in (*ENGINES, *SCHEMES) for p in self.places if is_address(p))
        except UsageError:
            return False

    def find(self) -> Found:
        """What it stands for now.

        Raises:
            LimnerError: A place is not there, a variable is not set, a store does not answer.
        """
        if self.table or self.query or self.increment:
            address = parse_address(self.places[0])
            own = {"table": self.table, "query": self.query, "increment": self.increment}
            merged = {**address.own, **{name: value for name, value in own.items() if value}}
            source = table_source(replace(address, own=merged))
            return Found((replace(source, name=f"{self.name}/{source.table or 'query'}"),), address.shown)
        options = {name: fill(v).text if isinstance(v, str) else v for name, v in self.options.items()}
        return find_sources(self.places, options)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one named source in a load.

    Attributes:
        source: The source.
        summary: The account; None if it failed.
        error: Why it failed; None if it did not.
    """

    source: NamedSource
    summary: IngestSummary | None
    error: LimnerError | None = None


@dataclass(frozen=True, slots=True)
class SourceState:
    """A named source as `limner sources` tells of it.

    Attributes:
        source: The source.
        mark: The highest value read of a database; empty for others.
        parts: Files or objects read so far, of a database 1.
        last_load: When something of it was last stored, UTC; empty if never.
        last_rows: Rows read then.
        last_stored: Rows added then.
    """

    source: NamedSource
    mark: str
    parts: int
    last_load: str
    last_rows: int
    last_stored: int


def read_sources(path: Path | str = SOURCES_FILE) -> tuple[NamedSource, ...]:
    """Reads a sources file; relative paths in it are taken from its folder.

    Raises:
        UsageError: It is not there, not TOML, or says something that has no meaning.
    """
    path = Path(path).expanduser()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no sources file {path}. Name paths to load, or write one: docs/sources.md."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a TOML file: {error}. See docs/sources.md for its form.") from error
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}. Check the path and its permissions.") from error
    if not raw:
        raise UsageError(f"{path} names no source. See docs/sources.md for its form.")
    try:
        return tuple(_source(name, section, path.parent) for name, section in raw.items())
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def choose(sources: Iterable[NamedSource], names: Iterable[str]) -> tuple[NamedSource, ...]:
    """The sources of these names, all if there are none.

    Raises:
        UsageError: There is no source of a name.
    """
    known = {source.name: source for source in sources}
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise UsageError(f"There is no source {name!r}. Known: {', '.join(known)}.")
    return tuple(known[name] for name in wanted) if wanted else tuple(known.values())


def ingest_sources(
    store: Store, sources: Iterable[NamedSource], *, again: bool = False, progress: Progress | None = None
) -> Iterator[Outcome]:
    """Loads what is new of each source, one commit a source; one that fails does not keep the others from loading.

    Args:
        store: The workspace.
        sources: Which.
        again: Read all of it, not only what is new.
        progress: Told of each file or table.
    """
    for source in sources:
        marks = Marks.of(store, source.name, source.way, again=again)
        try:
            summary = ingest(
                store,
                source.find(),
                kind=source.kind,
                mapping=source.mapping,
                repeats=source.repeats,
                progress=progress,
                marks=marks,
            )
            yield Outcome(source, summary)
        except LimnerError as error:
            yield Outcome(source, None, error)


def check_source(source: NamedSource, store: Store | None = None) -> str:
    """Tries whether a source can be read, and says in a few words what a load would find.

    Raises:
        LimnerError: It cannot; the message holds no secret.
    """
    found = source.find()
    pending = Marks.of(store, source.name, source.way).pending(found.sources) if store else found.sources
    tables = [one for one in pending if isinstance(one, TableSource)]
    if tables:
        return f"{sum(check(table) for table in tables):,} rows to read"
    topics = [one for one in pending if isinstance(one, TopicSource)]
    if topics:
        return f"{sum(count_entries(topic) for topic in topics):,} entries to read"
    return f"{len(pending):,} of {len(found.sources):,} files to read"


def source_states(store: Store | None, sources: Iterable[NamedSource]) -> list[SourceState]:
    """How far each source has been read."""
    states: list[SourceState] = []
    runs = {r.run: r for r in store.manifest().runs if "source" in r.summary} if store else {}
    for source in sources:
        rows = store.rows("SELECT * FROM marks WHERE source = $1 ORDER BY seq", [source.name]) if store else []
        last = runs.get(rows[-1]["run"]) if rows else None
        told = last.summary if last else {}
        mark = str(json.loads(rows[-1]["state"])) if rows and source.has_mark else ""
        states.append(
            SourceState(
                source, mark, len(rows), last.committed if last else "", told.get("rows", 0), told.get("stored", 0)
            )
        )
    return states


def _source(name: str, section: Any, folder: Path) -> NamedSource:
    """One section of a sources file."""
    if not isinstance(section, dict):
        raise UsageError(f'[{name}] must be a table such as from = "orders.csv"')
    for key in section:
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(_KEYS)}"
            raise UsageError(f"[{name}] has an unknown key {key!r} ({hint})")
    for key in ("table", "query", "increment", "kind", "map", "repeats"):
        if not isinstance(section.get(key, ""), str):
            raise UsageError(f"[{name}] {key} must be a text in quotes")
    places = [section.get("from")] if isinstance(section.get("from"), str) else section.get("from")
    if not isinstance(places, list) or not places or not all(isinstance(p, str) for p in places):
        raise UsageError(f"[{name}] needs from: a path, a pattern, an address, or a list of paths")
    if (kind := section.get("kind")) is not None and kind not in KINDS:
        raise UsageError(f"[{name}] kind must be one of: {', '.join(KINDS)}")
    if (repeats := section.get("repeats")) not in (None, "keep", "drop"):
        raise UsageError(f"[{name}] repeats must be keep or drop")
    if section.get("table") and section.get("query"):
        raise UsageError(f"[{name}] has a table and a query; give one of them")
    if {"table", "query", "increment"} & set(section) and not (len(places) == 1 and is_address(places[0])):
        raise UsageError(f"[{name}] names a table, query or increment, but `from` is no address of a database")
    return NamedSource(
        name,
        tuple(_placed(p, folder) for p in places),
        section.get("table", ""),
        section.get("query", ""),
        section.get("increment", ""),
        kind,
        _mapping(name, section, folder),
        cast("Policy | None", repeats),
        _options(name, section),
    )


def _placed(place: str, folder: Path) -> str:
    """A place with its relative path taken from a folder."""
    if not is_address(place):
        return str(folder / Path(place).expanduser())
    path = place.removeprefix(_SQLITE)
    if path == place or path.startswith(("/", "~", "${")):
        return place
    return f"{_SQLITE}/{(folder.absolute() / path).as_posix().lstrip('/')}"


_SQLITE = "sqlite:///"


def _mapping(name: str, section: Dict[str, Any], folder: Path) -> Mapping | None:
    """The mapping that a section names or holds."""
    if "map" in section and "mapping" in section:
        raise UsageError(f"[{name}] has map and mapping; give one of them")
    if "map" in section:
        return Mapping.load(folder / section["map"])
    if "mapping" not in section:
        return None
    if not isinstance(section["mapping"], dict):
        raise UsageError(f"[{name}.mapping] must be a table as in a mapping file")
    return Mapping.from_dict(section["mapping"])


def _options(name: str, section: Dict[str, Any]) -> dict[str, Any]:
    options = section.get("options", {})
    if not isinstance(options, dict):
        raise UsageError(f'[{name}.options] must be a table such as key = "${{S3_KEY}}"')
    return options


_KEYS = ("from", "table", "query", "increment", "kind", "map", "mapping", "repeats", "options")
"""What a section may say."""
