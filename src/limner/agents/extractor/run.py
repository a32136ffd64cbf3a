"""Extraction over many users: ask, check, store; lose nothing that was answered.

Answers are in the ledger as soon as they are given, so an extraction that was stopped or killed goes on where it was.
Signals are committed a chunk of users at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from limner.agents.extractor.asking import Known, UserReading, answered, planned_calls
from limner.agents.extractor.check import refused
from limner.agents.extractor.packs import packable
from limner.agents.extractor.plan import Plan
from limner.agents.extractor.prompt import AboutHistory, EventTexts, questions_of
from limner.agents.extractor.proof import check_examples
from limner.agents.extractor.relation import Related, related_in, with_relations
from limner.agents.extractor.schema import ExtractSummary, Progress
from limner.errors import StoppedError, UsageError
from limner.evidence.records import Signal
from limner.histories.directives import directive_in
from limner.histories.flags import unflagged
from limner.histories.lines import History, build_histories
from limner.histories.store import Store, arrow, new_run_id
from limner.histories.texts import OWN, TextOfUser, user_texts
from limner.serving.client import Client
from limner.serving.engine import slots_of
from limner.serving.request import ChatRequest

CHUNK = 16
"""Users whose questions are in flight together and whose signals are committed together, at least."""

USERS_PER_SLOT = 4
"""So many users for each call that the engine has under way at once: where a chunk ends, fewer calls are under way."""


@dataclass(frozen=True, slots=True)
class UserQuestions:
    """What is to be known about one user.

    Attributes:
        user_id: The user.
        lang: The language of most of the questions.
        requests: What would be asked, unless the ledger has the answer.
        cached: Questions that need no asking: answered before, or with those of another user.
        read: How many clauses and texts are read.
        changed: False if the stored signals come from just these, so that nothing is asked.
    """

    user_id: str
    lang: str
    requests: tuple[ChatRequest, ...]
    cached: tuple[ChatRequest, ...]
    read: int
    changed: bool


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is stored of a user's last reading: the key of what was asked, and what came of it."""

    key: str
    accepted: int
    reasons: list[str]


@dataclass
class _Totals:
    users: int
    done: int = 0
    accepted: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    unread: int = 0


def extract(
    store: Store,
    client: Client,
    plan: Plan,
    *,
    users: Sequence[str] | None = None,
    limit: int | None = None,
    run: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    planned: Callable[[Sequence[UserQuestions]], None] | None = None,
    chunk: int | None = None,
) -> ExtractSummary:
    """Reads users' histories and stores the signals, accepted and rejected.

    Args:
        store: The workspace's tables.
        client: The model, behind its ledger. An answered question is not asked again.
        plan: How much is asked at once.
        users: Whose histories; everyone's if None, ordered by id.
        limit: Only the first so many of them.
        run: The run's id, as the client writes it into the ledger.
        progress: Told after every user, and now and then in between.
        planned: Given a chunk of users' questions before they are asked.
        chunk: Users whose questions go out together; by what the engine has under way at once if None.

    Returns:
        What was done. Users whose answers stayed unusable after one repair question are in `failed`; everything else is
        stored, and a second extraction asks about the failed ones only.

    Raises:
        UsageError: A named user is not in the workspace, or there are no users at all.
        ModelError: The model as a whole is unusable. What was answered before is kept.
        BudgetError: A limit of the run is reached. Users answered whole are stored, the other answers are kept.
        PendingError: The same, where questions were only written into a file.
    """
    check_examples()
    run = run or new_run_id("extract")
    related = related_in(store.path)
    chosen = choose_users(store, users, limit)
    totals = _Totals(len(chosen))
    chunk = chunk or max(CHUNK, USERS_PER_SLOT * slots_of(client.engine))
    for start in range(0, len(chosen), chunk):
        everyone = list(_readings(store, plan, client.model, chosen[start : start + chunk], totals))
        readings = _changed(store, client, everyone, totals)
        if planned is not None:
            planned(_questions(everyone, readings, client.known, client.model))
        stopped: StoppedError | None = None
        try:
            for _ in answered(client, plan, readings):
                _tell(progress, totals, readings)
        except StoppedError as error:
            stopped = error
            readings = [reading for reading in readings if not reading.open]
        _relate(readings, related)
        _commit(store, client.model, run, readings, totals)
        client.forget([request for reading in readings if reading.failure for request in reading.malformed])
        _tell(progress, totals, [])
        if stopped is not None:
            stopped.summary = _summary(client, run, totals, totals.done)
            raise stopped
    return _summary(client, run, totals, totals.users)


def _summary(client: Client, run: str, totals: _Totals, users: int) -> ExtractSummary:
    usage = client.usage
    return ExtractSummary(
        run=run,
        users=users,
        failed=totals.failed,
        calls=usage.calls,
        cached_calls=usage.cached_calls,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        seconds=usage.seconds,
        accepted=totals.accepted,
        rejected=sum(totals.reasons.values()),
        reasons=dict(totals.reasons),
        unread_texts=totals.unread,
    )


def planned_questions(
    store: Store, model: str, plan: Plan, users: Sequence[str], known: Known
) -> Iterator[list[UserQuestions]]:
    """What would be asked about users, a chunk at a time; nothing is asked.

    Args:
        store: The workspace's tables.
        model: The model's name in the cache key.
        plan: How much is asked at once.
        users: Known users.
        known: Gives the keys of those requests that are answered.
    """
    planned: set[str] = set()

    def answered_by_then(requests: Iterable[ChatRequest]) -> set[str]:
        keys = {request.key(model): request for request in requests}
        found = {*keys} & planned
        return found | known(request for key, request in keys.items() if key not in found)

    for start in range(0, len(users), CHUNK):
        everyone = list(_readings(store, plan, model, list(users[start : start + CHUNK]), _Totals(0)))
        stored = _stored(store, everyone)
        changed = [r for r in everyone if r.user_id not in stored or stored[r.user_id].key != r.key(model)]
        yield _questions(everyone, changed, answered_by_then, model)
        planned.update(q.request.key(model) for r in changed for q in r.questions if packable(q))


def _questions(
    everyone: Sequence[UserReading], changed: Sequence[UserReading], known: Known, model: str
) -> list[UserQuestions]:
    asked: dict[str, list[ChatRequest]] = {r.user_id: [] for r in changed}
    cached: dict[str, list[ChatRequest]] = {
        r.user_id: [] if r.user_id in asked else [q.request for q in r.questions] for r in everyone
    }
    for call in planned_calls(changed, known, model):
        first, *others = [(reading.user_id, one.request) for one in call.asked for reading, _ in one.of]
        (cached if call.known else asked)[first[0]].append(call.request)
        for user, request in others:
            if user != first[0]:
                cached[user].append(request)
    return [
        UserQuestions(
            user_id=r.user_id,
            lang=r.lang,
            requests=tuple(asked.get(r.user_id, ())),
            cached=tuple(cached[r.user_id]),
            read=sum(not isinstance(q.about, AboutHistory) for q in r.questions),
            changed=r.user_id in asked,
        )
        for r in everyone
    ]


def choose_users(store: Store, users: Sequence[str] | None, limit: int | None) -> list[str]:
    """The users to read, in order of id (or as named), without repeats; flagged accounts only if they are named.

    Raises:
        UsageError: A named user is unknown, or the workspace has none.
    """
    with store.read() as db:
        known = [row[0] for row in db.execute("SELECT user_id FROM facts ORDER BY user_id").fetchall()]
    if not known:
        raise UsageError(f"There are no users in {store.path}. Load data first with `limner ingest FILE`.")
    if users is None:
        return unflagged(store, known)[:limit]
    named = list(dict.fromkeys(users))
    unknown = sorted(set(named) - set(known))
    if unknown:
        shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        raise UsageError(
            f"No user {shown} in {store.path}. `limner export users --out users.csv` lists the known ones."
        )
    return named[:limit]


def _readings(store: Store, plan: Plan, model: str, users: list[str], totals: _Totals) -> Iterator[UserReading]:
    texts: dict[str, list[TextOfUser]] = {user: [] for user in users}
    for text in user_texts(store, users):
        texts[text.user_id].append(replace(text, title=_told(text.title), category=_told(text.category)))
    histories = {h.user_id: h for h in build_histories(store, users, budget=plan.history_tokens)}
    events = event_texts(store, list(histories.values()))
    for user in users:
        recent = texts[user][-plan.most_texts :]
        totals.unread += len(texts[user]) - len(recent)
        sorts = {id(text): directive_in(text.text) for text in recent}
        told = [text for text in recent if not sorts[id(text)]]
        questions = list(questions_of(plan, told, histories.get(user), events))
        stored = {(id_, t.field): t.text for t in recent for id_ in t.event_ids}
        stored.update({(id_, name): words for id_, e in events.items() for name, words in e.texts.items()})
        refusals = [refused(text, model, sort) for text in recent if (sort := sorts[id(text)])]
        reading = UserReading(user, questions, len(questions), stored, refusals)
        reading.categories = {id_: event.category for id_, event in events.items() if event.category}
        yield reading


def event_texts(store: Store, histories: Sequence[History]) -> dict[str, EventTexts]:
    """The stored texts of the last event of every line; what an agent or a system said proves nothing."""
    wanted = [line.event_ids[-1] for history in histories for line in history.lines]
    query = (
        f"SELECT event_id, kind, ts, CASE WHEN {OWN} THEN text_title END AS text_title,"
        f" CASE WHEN {OWN} THEN text END AS text, title, category FROM titled_events"
        " WHERE event_id IN (SELECT unnest($1::VARCHAR[]))"
    )
    with store.read() as db:
        rows = arrow(db, query, [wanted]).to_pylist()
    return {
        row["event_id"]: EventTexts(
            row["kind"],
            row["ts"],
            {n: row[n] for n in ("text_title", "text", "title") if row[n] and not directive_in(row[n])},
            _told(row["category"] or ""),
        )
        for row in rows
    }


def _told(name: str) -> str:
    """The name of an item or category, empty if it speaks to a machine."""
    return "" if directive_in(name) else name


def _relate(readings: list[UserReading], related: Related) -> None:
    """Accepts the tags of a chunk of users that share no word with their proof but are near it in meaning."""
    signals = {s.signal_id: s for reading in readings for s in reading.signals}
    categories = {id_: category for reading in readings for id_, category in reading.categories.items()}
    settled = {s.signal_id: s for s in with_relations(list(signals.values()), categories, related)}
    for reading in readings:
        reading.signals = [settled[s.signal_id] for s in reading.signals]
        for signal in reading.signals:
            reading.verify(signal)


def _changed(store: Store, client: Client, readings: list[UserReading], totals: _Totals) -> list[UserReading]:
    """The users about whom something else is asked than what their stored signals come from.

    For the others nothing is asked: their stored signals count, and their questions count as answered before.
    """
    stored = _stored(store, readings)
    changed = []
    for reading in readings:
        before = stored.get(reading.user_id)
        if before is None or before.key != reading.key(client.model):
            changed.append(reading)
            continue
        client.count_cached(question.request for question in reading.questions)
        totals.done += 1
        totals.accepted += before.accepted
        totals.reasons.update(before.reasons)
    return changed


def _stored(store: Store, readings: Sequence[UserReading]) -> dict[str, _Stored]:
    """What is stored of the last reading of users, by user id."""
    query = (
        "SELECT e.user_id, e.history_key, e.accepted, s.reason FROM extractions e LEFT JOIN signals s"
        " ON s.user_id = e.user_id AND s.status = 'rejected' WHERE e.user_id IN (SELECT unnest($1::VARCHAR[]))"
    )
    with store.read() as db:
        rows = db.execute(query, [[r.user_id for r in readings]]).fetchall()
    stored: dict[str, _Stored] = {}
    for user, key, accepted, reason in rows:
        stored.setdefault(user, _Stored(key, accepted, [])).reasons.extend([reason] if reason else [])
    return stored


def _commit(store: Store, model: str, run: str, readings: list[UserReading], totals: _Totals) -> None:
    """Stores the signals of the users that were read whole."""
    rows: list[dict[str, Any]] = []
    heads: list[dict[str, Any]] = []
    for reading in readings:
        totals.done += 1
        if reading.failure:
            totals.failed[reading.user_id] = reading.failure
            continue
        unique = list({s.signal_id: s for s in reading.signals}.values())
        rejected = [s.reason for s in unique if s.status == "rejected"]
        totals.accepted += len(unique) - len(rejected)
        totals.reasons.update(rejected)
        rows += [_row(signal) for signal in unique]
        heads.append(
            {
                "user_id": reading.user_id,
                "history_key": reading.key(model),
                "model": model,
                "accepted": len(unique) - len(rejected),
                "rejected": len(rejected),
            }
        )
    if heads:
        with store.commit("extract", run=run) as commit:
            commit.add("signals", rows)
            commit.add("extractions", heads)
            commit.summary.update(users=len(heads), signals=len(rows))


def _row(signal: Signal) -> dict[str, Any]:
    row = asdict(signal)
    return {**row, **row.pop("evidence")}


def _tell(progress: Callable[[Progress], None] | None, totals: _Totals, readings: list[UserReading]) -> None:
    if progress is None:
        return
    whole = [r for r in readings if not r.open]
    accepted = sum(s.status == "accepted" for r in readings for s in r.signals)
    rejected = sum(s.status == "rejected" for r in readings for s in r.signals)
    progress(
        Progress(
            totals.users,
            totals.done + len(whole),
            len(totals.failed),
            totals.accepted + accepted,
            sum(totals.reasons.values()) + rejected,
        )
    )
