"""What can be found: traits, narratives, evidence and segments as short texts, each with an id that names its source.

Texts are made from the workspace's tables whenever they are needed; the index keeps only vectors and ids. So a thing
that is gone from the tables can never come out of a search, even from an index that was not refreshed yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, unquote

from limner.histories.language import detect
from limner.histories.store import Store

if TYPE_CHECKING:
    import duckdb

Kind = Literal["trait", "persona", "evidence", "segment"]

CONTEXT = 160
"""Characters on each side of a quote within which the ends of its sentence are looked for."""


@dataclass(frozen=True, slots=True)
class Document:
    """One thing that can be found.

    Attributes:
        id: `trait:USER:TRAIT`, `persona:USER`, `evidence:EVENT:FIELD:START:END` or `segment:SEGMENT`, each part
            percent-encoded, so that no user id can look like another id.
        type: The first part of the id.
        user_id: Whose it is; empty for a segment.
        text: What is embedded and shown.
    """

    id: str
    type: Kind
    user_id: str
    text: str


def make_id(kind: Kind, *parts: str) -> str:
    """An id from its parts; `split_id` gives them back exactly."""
    return ":".join((kind, *(quote(part, safe="") for part in parts)))


def split_id(document_id: str) -> tuple[str, ...]:
    """Kind and parts of an id, decoded: `("trait", user, trait)`."""
    kind, *parts = document_id.split(":")
    return (kind, *(unquote(part) for part in parts))


_PHRASES: dict[tuple[str, str], tuple[str, str]] = {
    ("interest", "positive"): ("likes {}", "喜欢{}"),
    ("interest", "negative"): ("not interested in {}", "对{}不感兴趣"),
    ("interest", ""): ("interested in {}", "关注{}"),
    ("intent", "negative"): ("does not want: {}", "不打算：{}"),
    ("intent", ""): ("wants: {}", "打算：{}"),
    ("sentiment", "positive"): ("happy with {}", "对{}满意"),
    ("sentiment", "negative"): ("unhappy with {}", "对{}不满意"),
    ("sentiment", "mixed"): ("mixed feelings about {}", "对{}评价不一"),
    ("sentiment", ""): ("mentions {}", "提到{}"),
    ("need", "negative"): ("does not need {}", "不需要{}"),
    ("need", ""): ("needs {}", "需要{}"),
    ("preference", "negative"): ("avoids {}", "不要{}"),
    ("preference", "mixed"): ("mixed feelings about {}", "对{}评价不一"),
    ("preference", ""): ("prefers {}", "偏好{}"),
    ("objection", ""): ("objects to {}", "不满或顾虑：{}"),
}
"""How a trait reads, by kind and polarity (empty: any other), in English and Chinese."""


def trait_phrase(kind: str, label: str, polarity: str) -> str:
    """A trait as a short phrase in the language of its label: `unhappy with slow delivery`."""
    english, chinese = _PHRASES.get((kind, polarity)) or _PHRASES.get((kind, "")) or ("{}", "{}")
    return (chinese if detect(label) == "zh" else english).replace("{}", label)


def read_documents(
    store: Store, kinds: Sequence[Kind] = ("trait", "persona", "evidence", "segment"), users: set[str] | None = None
) -> Iterator[Document]:
    """The present documents of some kinds, of some users or of all; segments belong to no user and always come."""
    with store.read() as db:
        for kind in kinds:
            source = _SOURCES[kind]
            chosen = users is not None and source.per_user
            query = source.query.format(where="WHERE user_id IN (SELECT unnest($1::VARCHAR[]))" if chosen else "")
            found = db.sql(query, params=[sorted(users or ())] if chosen else None)
            for batch in found.to_arrow_reader(10_000):
                yield from map(source.document, batch.to_pylist())


def count_documents(store: Store) -> int:
    """About how many documents there are: a piece of evidence that two traits of a user share counts twice."""
    with store.read(tables=("personas", "traits", "segments")) as db:
        row = db.execute(_COUNT).fetchone()
    return int(row[0]) if row else 0


def trait_labels(db: duckdb.DuckDBPyConnection) -> list[str]:
    """The distinct labels of all present signals and traits, sorted."""
    labels = "SELECT label FROM signals WHERE status = 'accepted' UNION SELECT label FROM traits"
    return [str(row[0]) for row in db.execute(f"SELECT label FROM ({labels}) ORDER BY label").fetchall()]


def _trait(row: dict[str, Any]) -> Document:
    text = trait_phrase(row["kind"], row["label"], row["polarity"])
    return Document(make_id("trait", row["user_id"], row["trait_id"]), "trait", row["user_id"], text)


def _persona(row: dict[str, Any]) -> Document:
    between = "" if row["language"] == "zh" else " "
    return Document(
        make_id("persona", row["user_id"]), "persona", row["user_id"], between.join(s["text"] for s in row["narrative"])
    )


def _evidence(row: dict[str, Any]) -> Document:
    start, end = row["start"], row["end"]
    text = sentence_around(row["around"], row["offset"], end - start) if row["around"] else row["quote"]
    parts = (row["event_id"], row["field"], str(start), str(end))
    return Document(make_id("evidence", *parts), "evidence", row["user_id"], text)


def _segment(row: dict[str, Any]) -> Document:
    labels = ", ".join(feature["label"] for feature in row["features"] or ())
    text = " — ".join(part for part in (row["name"], row["description"], labels) if part)
    return Document(make_id("segment", row["segment_id"]), "segment", "", text)


_SENTENCE_END = re.compile(r"[.!?]+(?=\s)|[。！？…\n]+")


def sentence_around(text: str, start: int, length: int) -> str:
    """The sentence or sentences of `text` in which the `length` characters from `start` lie.

    >>> sentence_around("Fast. The case is thin. Bye.", 10, 4)
    'The case is thin.'
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    first = max((end for end in ends if end <= start), default=0)
    last = min((end for end in ends if end >= start + length), default=len(text))
    return text[first:last].strip() or text[start : start + length]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where one kind of document comes from: SQL with a `{where}` on users, and what makes a row a document."""

    query: str
    document: Callable[[dict[str, Any]], Document]
    per_user: bool = True


_COUNT = """
SELECT (SELECT count(*) + coalesce(sum(len(evidence)), 0) FROM present_traits)
    + (SELECT count(*) FROM personas WHERE len(narrative) > 0) + (SELECT count(*) FROM segments)
"""

_SOURCES: dict[str, _Source] = {
    "trait": _Source("SELECT user_id, trait_id, kind, label, polarity FROM present_traits {where}", _trait),
    "persona": _Source(
        "SELECT user_id, language, narrative FROM (SELECT * FROM personas {where}) WHERE len(narrative) > 0", _persona
    ),
    "evidence": _Source(
        f"""
        WITH spans AS (
          SELECT DISTINCT user_id, e.event_id AS event_id, e.field AS field, e.start AS start, e."end" AS "end",
            e.quote AS quote
          FROM (SELECT user_id, unnest(evidence) AS e FROM present_traits {{where}})
        ), bodies AS (
          SELECT s.*, CASE s.field WHEN 'text' THEN v.text WHEN 'text_title' THEN v.text_title ELSE v.title END AS body
          FROM spans s LEFT JOIN (SELECT DISTINCT ON (event_id) event_id, text, text_title, title FROM events
            WHERE event_id IN (SELECT event_id FROM spans)) v ON v.event_id = s.event_id
        )
        SELECT user_id, event_id, field, start, "end", quote, least(start, {CONTEXT}) AS "offset",
          substr(body, greatest(start - {CONTEXT}, 0) + 1, least(start, {CONTEXT}) + "end" - start + {CONTEXT})
            AS around
        FROM bodies
        """,
        _evidence,
    ),
    "segment": _Source("SELECT segment_id, name, description, features FROM segments", _segment, per_user=False),
}
