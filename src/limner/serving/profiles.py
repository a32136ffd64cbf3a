"""What was measured of models: how each is asked, as one table in files.

Three files, the first that has a model counts: `profiles.toml` in the workspace, the one in the user's settings
(`limner models tune` writes these), and the shipped one. A model that none of them has was not measured: the shipped
file says how models of its kind are asked. Profiles go by what answers (`Engine.model`), not by what somebody typed.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from limner.errors import UsageError
from limner.serving.prices import settings_folder

FILE = "profiles.toml"
"""The file's name, in a workspace and in the user's settings."""

SHIPPED = Path(__file__).with_name(FILE)

PLANS = ("small", "joint")
"""How much is asked at once: what these mean says `limner.agents.extractor.plan`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one plan reached with a model.

    Attributes:
        plan: The plan.
        score: From 0 to 1.
        low, high: Its 95 % interval.
        tokens: Read and written for it, all of them billed.
        calls: Questions asked.
    """

    plan: str
    score: float
    low: float
    high: float
    tokens: int
    calls: int


@dataclass(frozen=True, slots=True)
class Profile:
    """How a model is asked.

    Attributes:
        model: Its name in the cache key; of a default the kind of its spec.
        plan: How much it is asked at once.
        spec: What a person typed when it was measured.
        context: Tokens that it reads and writes together; None if unknown.
        concurrency: Calls at once; None for the engine's own choice.
        positive_from: By language, the probability of the positive word from which a text counts as positive. Where it
            says nothing the word itself counts.
        measured: The day it was measured; empty for a default.
        suite: Fingerprint of the texts it was measured on.
        by: What it was measured with.
        scores: What each plan reached.
        rates: Answers a second, by calls at once.
        file: Where it stands.
    """

    model: str
    plan: str
    spec: str = ""
    context: int | None = None
    concurrency: int | None = None
    positive_from: Mapping[str, float] = field(default_factory=dict)
    measured: str = ""
    suite: str = ""
    by: str = ""
    scores: tuple[Measured, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    file: Path = SHIPPED

    @property
    def own(self) -> bool:
        """Whether it stands in a person's file."""
        return self.file != SHIPPED

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "file": str(self.file)}


@dataclass(frozen=True, slots=True)
class ProfileTable:
    """All profiles.

    Attributes:
        profiles: Of measured models, in the order in which they are looked at.
        defaults: Of models that nobody measured, by the kind of their spec.
        files: The files they may stand in, the first looked at first, whether they are there or not.
    """

    profiles: tuple[Profile, ...]
    defaults: Mapping[str, Profile]
    files: tuple[Path, ...]

    def find(self, model: str) -> Profile | None:
        """What was measured of a model, by its name in the cache key."""
        return next((profile for profile in self.profiles if profile.model == model), None)

    def of(self, spec: str) -> Profile:
        """The profile of a model spec: what was measured, else what holds for models of its kind."""
        model = model_of(spec)
        return (self.find(model) if model else None) or self.defaults[kind_of(spec)]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "files": [{"path": str(file), "there": file.is_file()} for file in self.files],
            "profiles": [profile.to_dict() for profile in self.profiles],
            "defaults": [profile.to_dict() for profile in self.defaults.values()],
        }


def kind_of(spec: str) -> str:
    """The kind of a model spec: `embedded`, `vllm`, `openai` or `http`, which also stands for what is none of these."""
    scheme = spec.strip().partition(":")[0]
    return scheme if scheme in ("embedded", "vllm", "openai") else "http"


def model_of(spec: str) -> str:
    """The model's name in the cache key; empty if there is no such model. Nothing is loaded or contacted."""
    from limner.serving import engine_of

    try:
        return engine_of(spec).model
    except UsageError:
        return ""


def profile_of(spec: str, workspace: Path | None = None) -> Profile:
    """How the model of a spec is asked. See `read_profiles`."""
    return read_profiles(workspace).of(spec)


def read_profiles(workspace: Path | None = None) -> ProfileTable:
    """The table: the workspace's own entries before the user's before the shipped ones.

    Args:
        workspace: The workspace folder, if there is one.

    Raises:
        UsageError: A file cannot be read, or an entry is no profile.
    """
    files = [settings_folder() / FILE, SHIPPED]
    if workspace is not None:
        files.insert(0, workspace.expanduser() / FILE)
    profiles = tuple(profile for file in files for profile in read_entries(file))
    return ProfileTable(profiles, _defaults(), tuple(files))


def read_entries(file: Path) -> tuple[Profile, ...]:
    """The entries of a file; none if it is not there.

    Raises:
        UsageError: It cannot be read, or an entry is no profile.
    """
    try:
        state = file.stat()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UsageError(f"Cannot read the profiles in {file}: {error.strerror}.") from error
    return _read(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _read(file: Path, _changed: int, _size: int) -> tuple[Profile, ...]:
    """The entries of a file, read once for each state of it."""
    entries = _tables(file, "profile")
    return tuple(_profile(file, f"Entry {number} of {file}", entry) for number, entry in enumerate(entries, 1))


@lru_cache(maxsize=1)
def _defaults() -> Mapping[str, Profile]:
    entries = _tables(SHIPPED, "default")
    return {entry["kind"]: Profile(entry["kind"], entry["plan"]) for entry in entries}


def _tables(file: Path, name: str) -> list[Any]:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8-sig")).get(name, [])
    except OSError as error:
        raise UsageError(f"Cannot read the profiles in {file}: {error.strerror}.") from error
    except ValueError as error:  # Not TOML, or not UTF-8.
        raise UsageError(
            f"The profiles in {file} cannot be read: {error}. Repair or delete it; `limner models tune` writes it anew."
        ) from error
    return found if isinstance(found, list) else [found]


def _profile(file: Path, where: str, entry: Any) -> Profile:
    """One entry of a file, checked."""
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is no profile. Write [[profile]] and below it model, plan and what else is known.")
    known = {name: read for name, (read, _) in _FIELDS.items()}
    unknown = sorted(set(entry) - set(known))
    if unknown:
        raise UsageError(f"{where} has an unknown field {unknown[0]!r}. Known: {', '.join(known)}.")
    if not entry.get("model") or entry.get("plan") not in PLANS:
        raise UsageError(f"{where} needs a model and a plan: {' or '.join(PLANS)}.")
    values = {}
    for name, value in entry.items():
        read, form = _FIELDS[name]
        try:
            values[name] = read(value)
        except (TypeError, ValueError, KeyError) as error:
            raise UsageError(f"{where}: {name} must be {form}, not {value!r}.") from error
    return replace(Profile(**values), file=file)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError
    return value


def _number(value: Any, most: float = math.inf) -> float:
    if isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError
    return float(value)


def _shares(value: Any) -> dict[str, float]:
    shares = {name: _number(share, 1.0) for name, share in dict(value).items()}
    if not all(name in ("zh", "en") and 0 < share < 1 for name, share in shares.items()):
        raise ValueError
    return shares


def _rates(value: Any) -> dict[str, float]:
    return {name: _number(rate) for name, rate in dict(value).items() if re.fullmatch("[0-9]+", name)}


def _scores(value: Any) -> tuple[Measured, ...]:
    found = []
    for plan, said in dict(value).items():
        score, low, high = (_number(said[name], 1.0) for name in ("score", "low", "high"))
        found.append(Measured(plan, score, low, high, int(said["tokens"]), int(said["calls"])))
    return tuple(found)


_FIELDS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "model": (_text, "a model's name"),
    "plan": (_text, "a plan"),
    "spec": (_text, "a model spec"),
    "context": (_count, "a whole number of tokens"),
    "concurrency": (_count, "a whole number of calls"),
    "positive_from": (_shares, "a number between 0 and 1 for zh, en or both"),
    "measured": (_text, 'a day, such as "2026-01-31"'),
    "suite": (_text, "a fingerprint"),
    "by": (_text, "a text"),
    "scores": (_scores, "score, low, high, tokens and calls for each plan"),
    "rates": (_rates, "answers a second by calls at once"),
}
"""How each field of an entry is read, and what it must be, in words."""
