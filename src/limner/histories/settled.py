"""What need not be looked at again: users about whom nothing changed since something was made of them.

A reading, or a persona, is made of what is stored about a user, in one way: by this code, with this model and plan.
Its name (a content address) is found by making it up to the point where a model would be asked, which takes a
millisecond or more for each user. Here it is kept beside a hash of all that it is made of, which the database computes
for everyone at once. While the hash is the same, so is the name.

What is kept lies in files of the workspace's `cache` folder, one for each way. They may be deleted: everyone is then
looked at once more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import requires, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import duckdb
import pyarrow as pa

from limner.histories.manifest import Manifest
from limner.histories.replacing import replacing
from limner.histories.store import Store, quote_path
from limner.histories.texts import register_wanted

FOLDER = Path("cache") / "settled"

MOST_FILES = 6
"""Files of one kind that are kept, the newest: each is of one way, and a person goes back and forth between few."""

KEEP_EVERY = 20_000
"""Users after which what was noted is written, so that a run that is killed has noted most of it."""

FEW = 100
"""Up to so many users only the files that hold them are read."""

_MADE_OF = """
SELECT user_id,
    concat(count(*), ' ', bit_xor(md5_number_lower(words)), ' ', bit_xor(md5_number_upper(words))) AS made_of
FROM ({sources}) SEMI JOIN wanted USING (user_id) GROUP BY user_id
"""
"""No two rows of a user are equal, and none is kept in memory, however many a user has."""

_CODE = (".py", ".jinja", ".toml", ".yaml", ".csv")


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of thing that is made of each user.

    Attributes:
        name: Begins the names of the files.
        sources: SQL that gives rows (user_id, words): all that is stored about users and plays a part.
        stored: SQL that gives rows (user_id, key): what was made last.
        shared: Gives what plays a part in everyone's; None if nothing does.
        results: Tables that making it writes; what is in others must not change while it is made.
    """

    name: str
    sources: str
    stored: str
    shared: Callable[[Store, Manifest], object] | None
    results: frozenset[str]


@dataclass(frozen=True, slots=True)
class Noted:
    """One user that was looked at: what the thing made is called, and what is to be known of it, in words."""

    user_id: str
    key: str
    told: str


class Settled:
    """Which of some users need not be looked at.

    Attributes:
        told: What was noted of each user who need not be.
        open: The others, in the order given.
    """

    def __init__(self, store: Store, kind: Kind, way: Sequence[str], users: Sequence[str]) -> None:
        """Compares what is stored with what was noted.

        Args:
            store: The workspace's tables.
            kind: What is made.
            way: How, besides by this code: the model, the plan.
            users: Of whom.
        """
        self._store, self._kind = store, kind
        self._noted: dict[str, Noted] = {}
        present = store.manifest()
        self._basis = _basis(present, kind)
        shared = kind.shared(store, present) if kind.shared else None
        material = json.dumps([code_digest(), *way, repr(shared)])
        digest = hashlib.sha256(material.encode()).hexdigest()
        self._path = store.path / FOLDER / f"{kind.name}-{digest[:16]}.parquet"
        with store.read(present, users=users if len(users) <= FEW else None) as db:
            register_wanted(db, users)
            self._now = db.sql(_MADE_OF.format(sources=kind.sources)).to_arrow_table()
            self.told: Mapping[str, str] = self._same(db)
        self.open = [user for user in users if user not in self.told]

    def _same(self, db: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """The users who are as they were noted, with what was noted."""
        if not self._path.is_file():
            return {}
        db.register("now", self._now)
        query = (
            f"SELECT user_id, told FROM read_parquet({quote_path(self._path)}) k JOIN now USING (user_id, made_of)"
            f" JOIN ({self._kind.stored}) s USING (user_id) WHERE s.key = k.key"
        )
        try:
            return dict(db.execute(query).fetchall())
        except duckdb.Error:
            return {}  # It is derived: what cannot be read is made again.

    def note(self, user: str, key: str, told: str = "") -> None:
        """Notes of a user who was looked at what was made: its content address, and what is to be known of it."""
        self._noted[user] = Noted(user, key, told)
        if len(self._noted) >= KEEP_EVERY:
            self.keep()

    def keep(self) -> None:
        """Writes what was noted, unless something was loaded meanwhile: then it is not known what was looked at."""
        noted, self._noted = self._noted, {}
        if not noted or _basis(self._store.manifest(), self._kind) != self._basis:
            return
        rows = noted.values()
        names = ("user_id", "key", "told")
        table = pa.table({name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in names})
        with suppress(OSError, duckdb.Error):  # A workspace that cannot be written can still be read.
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as temporary:
                self._write(table, temporary)
            self._sweep()

    def _write(self, noted: pa.Table, path: Path) -> None:
        with duckdb.connect() as db:
            db.register("noted", noted)
            db.register("now", self._now)
            query = "SELECT n.user_id, now.made_of, n.key, n.told FROM noted n JOIN now USING (user_id)"
            if self._path.is_file():
                old = f"SELECT user_id, made_of, key, told FROM read_parquet({quote_path(self._path)})"
                query += f" UNION ALL SELECT * FROM ({old}) ANTI JOIN noted USING (user_id)"
            db.execute(f"COPY ({query}) TO {quote_path(path)} (FORMAT parquet, COMPRESSION zstd)")

    def _sweep(self) -> None:
        """Removes the oldest files."""
        found = sorted(self._path.parent.glob(f"{self._kind.name}-*.parquet"), key=lambda path: -path.stat().st_mtime)
        for path in found[MOST_FILES:]:
            path.unlink(missing_ok=True)


def _basis(manifest: Manifest, kind: Kind) -> tuple[str, ...]:
    """The files of all tables that are not written by making it."""
    return tuple(
        file.path for name, table in sorted(manifest.tables.items()) if name not in kind.results for file in table
    )


@cache
def code_digest() -> str:
    """A hash of limner's own code, prompts and word lists and of the versions of its libraries: what all is made by."""
    digest = hashlib.sha256()
    for name, file in sorted(_code(files("limner"), "")):
        digest.update(name.encode() + b"\0" + file.read_bytes())
    for requirement in sorted(requires("limner") or ()):
        if "extra ==" not in requirement:
            name = "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in requirement).split()[0]
            digest.update(_version(name).encode())
    return digest.hexdigest()


def _version(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except ImportError:
        return library


def _code(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name not in ("__pycache__", "sample"):
                found += _code(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_CODE):
            found.append((prefix + entry.name, entry))
    return found
