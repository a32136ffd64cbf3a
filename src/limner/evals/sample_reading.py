"""The bundled sample, read by the model under test into a workspace of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limner.agents.extractor import choose_plan, extract
from limner.agents.portraitist import portray
from limner.evals.task import Setting
from limner.evidence.persona import Persona, read_personas
from limner.histories.store import Store, new_run_id
from limner.sample.load import load_sample


@dataclass(frozen=True, slots=True)
class SampleReading:
    """The sample as the model read it: the workspace, the personas, and why users failed."""

    store: Store
    personas: tuple[Persona, ...]
    failed: dict[str, str]


def sample_store(folder: Path) -> Store:
    """A workspace that holds the sample; loading it again adds nothing."""
    store = Store.open(folder, create=True)
    load_sample(store)
    return store


def read_sample(setting: Setting, users: Sequence[str]) -> SampleReading:
    """Reads users of the sample with the setting's model and merges what it said into traits.

    What was read before, by this or another task of the evaluation, is not asked again.
    """
    store = sample_store(setting.folder / "sample")
    failed = read_users(store, setting, users)
    portray(store, None, users=[user for user in users if user not in failed])
    personas = read_personas(store, [user for user in users if user not in failed])
    return SampleReading(store, tuple(personas), failed)


def read_users(store: Store, setting: Setting, users: Sequence[str]) -> dict[str, str]:
    """Extracts users of a workspace with the setting's model; why users failed, by their id."""
    if not users:
        return {}
    plan = choose_plan(setting.spec)
    summary = extract(
        store,
        setting.model,
        plan,
        users=users,
        run=new_run_id("eval"),
        progress=None if setting.progress is None else (lambda told: _tell(setting, told.done, told.users)),
    )
    return dict(summary.failed)


def _tell(setting: Setting, done: int, users: int) -> None:
    if setting.progress is not None:
        setting.progress(done, users)


def written_words(store: Store) -> dict[str, str]:
    """The words of every event that has any, by event id."""
    with store.read() as db:
        rows = db.execute("SELECT event_id, text FROM events WHERE text IS NOT NULL").fetchall()
    return dict(rows)
