"""Extraction over many users: ask, check, store; lose nothing that was answered.

Answers are in the ledger as soon as they are given, so an extraction that was stopped or killed goes on where it was.
Signals are committed now and then, and when it ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from limner.agents.extractor.asking import Known, UserReading, answered, planned_calls
from limner.agents.extractor.check import refused
from limner.agents.extractor.packs import packable
from limner.agents.extractor.plan import Plan
from limner.agents.extractor.prompt import AboutHistory, EventTexts, questions_of
from limner.agents.extractor.proof import check_examples
from limner.agents.extractor.relation import related_in
from limner.agents.extractor.schema import ExtractSummary, Progress
from limner.agents.extractor.storing import Storing, Telling, Totals
from limner.agents.extractor.unchanged import Unchanged, note_read, settled_readings, unchanged
from limner.errors import ModelError, StoppedError, UsageError
from limner.histories.directives import directive_in
from limner.histories.flags import unflagged
from limner.histories.lines import History, build_histories
from limner.histories.merged import resolve
from limner.histories.pacing import Due
from limner.histories.settled import Settled
from limner.histories.store import Store, arrow, new_run_id
from limner.histories.texts import OWN, TextOfUser, user_texts
from limner.serving.client import Client
from limner.serving.engine import slots_of
from limner.serving.request import ChatRequest

CHUNK = 16
"""Users whose questions are in flight together, at least."""

LOOKED_AT = 128
"""Users whose texts are read from the tables together, at least: a query takes as long for one as for a hundred."""

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


@dataclass(frozen=True, slots=True)
class _Looked:
    """A user's questions, and what is stored of the user's last reading."""

    reading: UserReading
    before: _Stored | None

    def changed(self, model: str) -> bool:
        """Whether something else is asked than what the stored signals come from."""
        return self.before is None or self.before.key != self.reading.key(model)


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
    passed: Callable[[Unchanged], None] | None = None,
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
        passed: Given what is stored of users who need not be looked at: nothing about them changed since they were.
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
    chosen = choose_users(store, users, limit)
    settled = settled_readings(store, client.model, plan, chosen)
    totals = Totals(len(chosen))
    storing = Storing(store, client, run, related_in(store.path), settled, totals)
    _pass_over(unchanged(store, settled.told), client, totals, passed)
    telling = Telling(storing, progress)
    telling.tell()
    chunk = chunk or max(CHUNK, USERS_PER_SLOT * slots_of(client.engine))
    looked_at = _looked_at(store, plan, client.model, settled.open, max(chunk, LOOKED_AT))
    due = Due()
    try:
        while looked := list(islice(looked_at, chunk)):
            readings = _changed(client, looked, totals, settled)
            if planned is not None:
                planned(_questions([one.reading for one in looked], readings, client.known, client.model, plan))
            try:
                for _ in answered(client, plan, readings):
                    telling.tell(readings)
            except ModelError:  # A model that never answered leaves the workspace as it was.
                readings = [reading for reading in readings if reading.questions]
                raise
            finally:
                storing.take(readings)
            if due.now():
                storing.commit()
    except StoppedError as stopped:
        storing.commit()
        stopped.summary = _summary(client, run, totals, totals.done)
        raise
    finally:
        storing.commit()
        settled.keep()
    telling.tell()
    return _summary(client, run, totals, totals.users)


def _pass_over(found: Unchanged, client: Client, totals: Totals, passed: Callable[[Unchanged], None] | None) -> None:
    """Counts the users who need not be looked at."""
    totals.done += found.users
    totals.accepted += found.accepted
    totals.reasons.update(found.reasons)
    totals.unread += found.unread
    found.count(client)
    if passed is not None:
        passed(found)


def _summary(client: Client, run: str, totals: Totals, users: int) -> ExtractSummary:
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

    looked_at = _looked_at(store, plan, model, users, LOOKED_AT)
    while looked := list(islice(looked_at, LOOKED_AT)):
        changed = [one.reading for one in looked if one.changed(model)]
        yield _questions([one.reading for one in looked], changed, answered_by_then, model, plan)
        planned.update(q.request.key(model) for r in changed for q in r.questions if packable(q))


def _questions(
    everyone: Sequence[UserReading], changed: Sequence[UserReading], known: Known, model: str, plan: Plan
) -> list[UserQuestions]:
    asked: dict[str, list[ChatRequest]] = {r.user_id: [] for r in changed}
    cached: dict[str, list[ChatRequest]] = {
        r.user_id: [] if r.user_id in asked else [q.request for q in r.questions] for r in everyone
    }
    for call in planned_calls(changed, known, model, plan):
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


def choose_users(
    store: Store, users: Sequence[str] | None, limit: int | None, *, include_flagged: bool = False
) -> list[str]:
    """The users to read, in order of id (or as named), without repeats; flagged accounts if named or asked for.

    Raises:
        UsageError: A named user is unknown, or the workspace has none.
    """
    with store.read() as db:
        known = [row[0] for row in db.execute("SELECT user_id FROM facts ORDER BY user_id").fetchall()]
        users = None if users is None else resolve(db, users)
    if not known:
        raise UsageError(f"There are no users in {store.path}. Load data first with `limner ingest FILE`.")
    if users is None:
        return unflagged(store, known, include_flagged=include_flagged)[:limit]
    named = list(dict.fromkeys(users))
    unknown = sorted(set(named) - set(known))
    if unknown:
        shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        raise UsageError(
            f"No user {shown} in {store.path}. `limner export users --out users.csv` lists the known ones."
        )
    return named[:limit]


def _looked_at(store: Store, plan: Plan, model: str, users: Sequence[str], together: int) -> Iterator[_Looked]:
    for start in range(0, len(users), together):
        readings = list(_readings(store, plan, model, list(users[start : start + together])))
        stored = _stored(store, readings)
        yield from (_Looked(reading, stored.get(reading.user_id)) for reading in readings)


def _readings(store: Store, plan: Plan, model: str, users: list[str]) -> Iterator[UserReading]:
    texts: dict[str, list[TextOfUser]] = {user: [] for user in users}
    for text in user_texts(store, users):
        texts[text.user_id].append(replace(text, title=_told(text.title), category=_told(text.category)))
    histories = {h.user_id: h for h in build_histories(store, users, budget=plan.history_tokens)}
    events = event_texts(store, list(histories.values()))
    for user in users:
        recent = texts[user][-plan.most_texts :]
        sorts = {id(text): directive_in(text.text) for text in recent}
        told = [text for text in recent if not sorts[id(text)]]
        history = histories.get(user)
        lines = history.lines if history else ()
        shown = {id_: events[id_] for line in lines if (id_ := line.event_ids[-1]) in events}
        questions = list(questions_of(plan, told, history, shown))
        stored = {(id_, t.field): t.text for t in recent for id_ in t.event_ids}
        stored.update({(id_, name): words for id_, e in shown.items() for name, words in e.texts.items()})
        refusals = [refused(text, model, sort) for text in recent if (sort := sorts[id(text)])]
        reading = UserReading(user, questions, len(questions), stored, refusals)
        reading.unread, reading.way = len(texts[user]) - len(recent), plan.way
        reading.categories = {id_: event.category for id_, event in shown.items() if event.category}
        yield reading


def event_texts(store: Store, histories: Sequence[History]) -> dict[str, EventTexts]:
    """The stored texts of the last event of every line; what an agent or a system said proves nothing."""
    wanted = [line.event_ids[-1] for history in histories for line in history.lines]
    query = (
        f"SELECT event_id, kind, ts, CASE WHEN {OWN} THEN text_title END AS text_title,"
        f" CASE WHEN {OWN} THEN text END AS text, title, category FROM titled_events"
        " WHERE event_id IN (SELECT unnest($1::VARCHAR[]))"
    )
    with store.read(tables=("events", "items")) as db:
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


def _changed(client: Client, looked: Sequence[_Looked], totals: Totals, settled: Settled) -> list[UserReading]:
    """The users about whom something else is asked than what their stored signals come from.

    For the others nothing is asked: their stored signals count, and their questions count as answered before.
    """
    totals.unread += sum(one.reading.unread for one in looked)
    changed = []
    for one in looked:
        reading, before = one.reading, one.before
        if before is None or one.changed(client.model):
            changed.append(reading)
            continue
        client.count_cached(question.request for question in reading.questions)
        note_read(settled, client.model, [reading])
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
    with store.read(tables=("extractions", "signals")) as db:
        rows = db.execute(query, [[r.user_id for r in readings]]).fetchall()
    stored: dict[str, _Stored] = {}
    for user, key, accepted, reason in rows:
        stored.setdefault(user, _Stored(key, accepted, [])).reasons.extend([reason] if reason else [])
    return stored
