"""The tables of a workspace: their columns, and how the current state is seen through appended files.

Every file that a run writes carries two more columns, `run` (the run's id) and `seq` (the commit's number, growing
by one). A table's `current` query turns the rows of all its files into the present state.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TS = pa.timestamp("us")
"""Times are stored as UTC without a zone, to the microsecond."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """What one kind of event is: whether equal repeats inside one load are separate happenings, and whether it is text.

    Attributes:
        name: The stored name.
        repeats: True if two equal rows are two happenings (two sales), False if they are one (a review sent twice).
        weight: How much one such event tells about a person, for choosing lines (0 to 1).
    """

    name: str
    repeats: bool
    weight: float


EVENT_KINDS: dict[str, EventKind] = {
    kind.name: kind
    for kind in (
        EventKind("view", True, 0.2),
        EventKind("click", True, 0.2),
        EventKind("search", True, 0.6),
        EventKind("cart", True, 0.4),
        EventKind("favourite", True, 0.5),
        EventKind("order", True, 0.6),
        EventKind("return", True, 0.7),
        EventKind("review", False, 1.0),
        EventKind("rating", False, 0.4),
        EventKind("chat", False, 0.9),
        EventKind("support", False, 0.9),
        EventKind("post", False, 0.9),
        EventKind("share", True, 0.4),
        EventKind("coupon", True, 0.3),
        EventKind("campaign", False, 0.1),
        EventKind("other", True, 0.1),
    )
}
"""The known kinds. A source's own words are mapped to these by name; what is not known becomes `other`."""

TEXT_FIELDS = ("text_title", "text", "title")
"""The event fields that evidence may quote, the most personal last but one: `title` is the item's, not the person's."""

_EVENT_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("event_id", pa.string()),
    ("user_id", pa.string()),
    ("ts", TS),
    ("kind", pa.string()),
    ("item_id", pa.string()),
    ("title", pa.string()),
    ("category", pa.string()),
    ("text_title", pa.string()),
    ("text", pa.string()),
    ("rating", pa.float64()),
    ("price", pa.float64()),
    ("quantity", pa.float64()),
    ("amount", pa.float64()),
    ("currency", pa.string()),
    ("channel", pa.string()),
    ("device", pa.string()),
    ("place", pa.string()),
    ("session_id", pa.string()),
    ("role", pa.string()),
    ("lang", pa.string()),
    ("attrs", pa.string()),
    ("ordinal", pa.int32()),
    ("source", pa.string()),
)


ALL = "SELECT * FROM {raw}"
"""Every row of every file is shown."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a workspace.

    Attributes:
        name: The table's name, of its folder and of its view.
        columns: Column names and Arrow types, without `run` and `seq`.
        user: The column whose hash chooses the bucket; None for tables that are not per user.
        current: SQL over `{raw}` (all rows of all files) that gives the present rows.
        kept: SQL over `{raw}` for the rows that must not be lost, where these are more than the present ones.
        grown: Whether columns were added after the first version, so that older files lack them; they are null there.
    """

    name: str
    columns: tuple[tuple[str, pa.DataType], ...]
    user: str | None
    current: str = ALL
    grown: bool = False
    kept: str = ""

    @property
    def superseded(self) -> bool:
        """Whether a row may come to be shown no more because of a later one."""
        return self.current != ALL

    @property
    def lasting(self) -> str:
        """SQL over `{raw}` for the rows that decide what is shown, now and after whatever is committed."""
        return self.kept or self.current

    @property
    def group(self) -> int:
        """Rows of a group in a file: so few that reading one user unpacks few others, not so few that files grow."""
        return 20_480 if self.name == "events" else 4_096

    @property
    def most(self) -> int:
        """About how many rows a file has at most: to find one user's, all that is said of its groups is read."""
        return 24 * self.group

    @property
    def order(self) -> tuple[str, ...]:
        """The columns by which the rows of a file are sorted, so that those of one user or item are found quickly."""
        return _ORDERS.get(self.name, (self.user,) if self.user else ())

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of a file, `run` and `seq` included."""
        return pa.schema([*self.columns, ("run", pa.string()), ("seq", pa.int64())])


_ORDERS = {"events": ("user_id", "ts"), "items": ("item_id",)}
"""How tables are sorted that are not just sorted by user."""


def _latest(key: str) -> str:
    return f"SELECT * FROM {{raw}} QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY seq DESC) = 1"


def _with_head(head: str) -> str:
    """Rows of the commit that last wrote this user's row in the table `head`."""
    return f"SELECT r.* FROM {{raw}} r JOIN {head} h ON r.user_id = h.user_id AND r.seq = h.seq"


_SPAN: tuple[tuple[str, pa.DataType], ...] = (
    ("event_id", pa.string()),
    ("field", pa.string()),
    ("start", pa.int32()),
    ("end", pa.int32()),
    ("quote", pa.string()),
)

EVIDENCE = pa.list_(pa.struct([*_SPAN]))

_COUNTED = pa.list_(pa.struct([("value", pa.string()), ("n", pa.int64())]))

_FACT_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("user_id", pa.string()),
    ("as_of", TS),
    ("events", pa.int64()),
    ("texts", pa.int64()),
    ("kinds", _COUNTED),
    ("first_seen", TS),
    ("last_seen", TS),
    ("recency_days", pa.float64()),
    ("frequency", pa.int64()),
    ("monetary", pa.float64()),
    ("currency", pa.string()),
    ("average_order", pa.float64()),
    ("return_rate", pa.float64()),
    ("rating_mean", pa.float64()),
    ("ratings", pa.int64()),
    ("events_30d", pa.int64()),
    ("events_90d", pa.int64()),
    ("trend_30d", pa.float64()),
    ("trend_90d", pa.float64()),
    ("top_categories", _COUNTED),
    ("top_items", _COUNTED),
    ("top_hours", _COUNTED),
    ("top_weekdays", _COUNTED),
    ("top_devices", _COUNTED),
    ("top_places", _COUNTED),
    ("top_channels", _COUNTED),
    ("ties", pa.int64()),
    ("lang", pa.string()),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table("events", _EVENT_COLUMNS, "user_id"),
        Table(
            "items",
            (
                ("item_id", pa.string()),
                ("title", pa.string()),
                ("category", pa.string()),
                ("price", pa.float64()),
                ("currency", pa.string()),
                ("text", pa.string()),
                ("attrs", pa.string()),
                ("source", pa.string()),
            ),
            None,
            _latest("item_id"),
        ),
        Table(
            "users",
            (("user_id", pa.string()), ("lang", pa.string()), ("attrs", pa.string()), ("source", pa.string())),
            "user_id",
            _latest("user_id"),
        ),
        Table(
            "ties",
            (
                ("user_id", pa.string()),
                ("other_id", pa.string()),
                ("kind", pa.string()),
                ("weight", pa.float64()),
                ("ts", TS),
                ("source", pa.string()),
            ),
            "user_id",
            _latest("user_id, other_id, kind"),
        ),
        Table(
            "marks",
            (("source", pa.string()), ("part", pa.string()), ("state", pa.string())),
            None,
            _latest("source, part"),
        ),
        Table("facts", _FACT_COLUMNS, "user_id", _latest("user_id")),
        Table(
            "extractions",
            (
                ("user_id", pa.string()),
                ("history_key", pa.string()),
                ("model", pa.string()),
                ("accepted", pa.int32()),
                ("rejected", pa.int32()),
            ),
            "user_id",
            _latest("user_id"),
        ),
        Table(
            "signals",
            (
                ("signal_id", pa.string()),
                ("user_id", pa.string()),
                ("kind", pa.string()),
                ("label", pa.string()),
                ("polarity", pa.string()),
                ("confidence", pa.float64()),
                ("ts", TS),
                ("lang", pa.string()),
                *_SPAN,
                ("status", pa.string()),
                ("reason", pa.string()),
                ("prompt", pa.string()),
                ("model", pa.string()),
            ),
            "user_id",
            _with_head("extractions"),
        ),
        Table(
            "personas",
            (
                ("user_id", pa.string()),
                ("language", pa.string()),
                ("narrative", pa.list_(pa.struct([("text", pa.string()), ("supports", pa.list_(pa.string()))]))),
                ("narrated_by", pa.string()),
                ("model", pa.string()),
                ("traits_key", pa.string()),
            ),
            "user_id",
            _latest("user_id"),
        ),
        Table(
            "traits",
            (
                ("trait_id", pa.string()),
                ("user_id", pa.string()),
                ("kind", pa.string()),
                ("label", pa.string()),
                ("polarity", pa.string()),
                ("confidence", pa.float64()),
                ("mentions", pa.int32()),
                ("first_seen", TS),
                ("last_confirmed", TS),
                ("evidence", EVIDENCE),
                ("canonical", pa.string()),
                ("strength", pa.float64()),
                ("status", pa.string()),
                ("superseded_by", pa.string()),
                ("closed", TS),
                ("against", EVIDENCE),
                ("declared_in", pa.string()),
            ),
            "user_id",
            f"""SELECT * REPLACE (
                coalesce(canonical, label) AS canonical, coalesce(status, 'current') AS status,
                coalesce(superseded_by, '') AS superseded_by, coalesce(against, []) AS against,
                coalesce(declared_in, '') AS declared_in
            ) FROM ({_with_head("personas")})""",
            grown=True,
            kept=_with_head("personas"),
        ),
        Table(
            "segments",
            (
                ("segment_id", pa.string()),
                ("name", pa.string()),
                ("description", pa.string()),
                ("origin", pa.string()),
                ("users", pa.int64()),
                (
                    "features",
                    pa.list_(
                        pa.struct(
                            [
                                ("label", pa.string()),
                                ("kind", pa.string()),
                                ("share", pa.float64()),
                                ("lift", pa.float64()),
                            ]
                        )
                    ),
                ),
                ("criterion", pa.string()),
                ("model", pa.string()),
            ),
            None,
            "SELECT * FROM {raw} QUALIFY seq = max(seq) OVER (PARTITION BY origin)",
        ),
        Table(
            "memberships",
            (
                ("segment_id", pa.string()),
                ("user_id", pa.string()),
                ("origin", pa.string()),
                ("confidence", pa.float64()),
                ("reason", pa.string()),
            ),
            "user_id",
            "SELECT * FROM {raw} QUALIFY seq = max(seq) OVER (PARTITION BY origin)",
        ),
        Table(
            "identities",
            (("member_id", pa.string()), ("user_id", pa.string()), ("reason", pa.string()), ("key", pa.string())),
            "member_id",
            _latest("member_id"),
        ),
        Table(
            "imputed",
            (
                ("key", pa.string()),
                ("table_name", pa.string()),
                ("column_name", pa.string()),
                ("value", pa.float64()),
                ("way", pa.string()),
            ),
            None,
            "SELECT * FROM {raw} QUALIFY seq = max(seq) OVER (PARTITION BY table_name, column_name)",
        ),
        Table(
            "flags",
            (
                ("user_id", pa.string()),
                ("flag", pa.string()),
                ("reason", pa.string()),
                ("value", pa.float64()),
                ("at_least", pa.float64()),
            ),
            "user_id",
            "SELECT * FROM (SELECT * FROM {raw} QUALIFY seq = max(seq) OVER ()) WHERE user_id <> ''",
            kept="SELECT * FROM {raw} QUALIFY seq = max(seq) OVER ()",
        ),
    )
}
"""Every table, in an order in which each `current` query only names tables before it (`traits` reads `personas`)."""

HEADS = ("extractions", "personas")
"""Tables whose newest row of a user says which rows of other tables are the present ones."""

TITLED_EVENTS = """
SELECT e.* REPLACE (
    coalesce(nullif(e.title, ''), i.title) AS title,
    coalesce(nullif(e.category, ''), i.category) AS category
)
FROM events e LEFT JOIN items i ON i.item_id = e.item_id
"""
"""Events as evidence and exports see them: an event without a title of its own has its item's."""

PRESENT_TRAITS = """
SELECT * FROM traits WHERE status IN ('declared', 'current', 'conflict')
"""
"""Traits that speak of users as of now. What is superseded or expired is history and must steer nothing."""
