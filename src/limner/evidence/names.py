"""Under which name a label goes: one name for all wordings of one thing, in both languages.

Names come from three places, the first that speaks wins: a person's decision in the alias table, the taxonomy, and what
an embedding found alike (`group`). The embedding itself is made elsewhere: here come in pairs of labels with their
similarity, and out come groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from limner.evidence.aliases import Alias, Decision, Status, decisions_of
from limner.evidence.labels import canonical
from limner.evidence.taxonomy import Taxonomy

OTHER = "other"
"""The shared name of what a taxonomy does not know."""

MOST_PROPOSED = 200
"""Pairs that a person is asked about at a time, the most similar: nobody decides thousands, and decided ones make
room."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names in force.

    Attributes:
        of: For labels (in `canonical` form) that go under another's name: that name's form.
        known: With a taxonomy, the forms it has, with the entry's name as written; None without one.
    """

    of: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] | None = None

    def key(self, label: str) -> str:
        """What decides whether two labels are one: equal keys, one thing."""
        form = canonical(label)
        return self.of.get(form, form)

    def shared(self, label: str) -> str:
        """The name that all users' wordings share: the entry of the taxonomy or `other` if there is a taxonomy."""
        key = self.key(label)
        return key if self.known is None else self.known.get(key, OTHER)


PLAIN = Names()
"""No aliases: only the common form of labels counts."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label as it occurs in a workspace.

    Attributes:
        text: As written most often.
        first_seen: When it was first written, None if unknown.
        users: How many users it was read of.
    """

    text: str
    first_seen: datetime | None = None
    users: int = 1

    @property
    def form(self) -> str:
        """The common form."""
        return canonical(self.text)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two labels that an embedding finds near, and whether near enough to be one without a person's word."""

    one: str
    other: str
    similarity: float
    sure: bool


class _Groups:
    """Labels in groups that only ever join (union-find)."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._group = {form: {form} for form in forms}

    def of(self, form: str) -> set[str]:
        return self._group[form]

    def join(self, one: str, other: str) -> None:
        joined = self._group[one] | self._group[other]
        for form in joined:
            self._group[form] = joined

    def all(self) -> list[set[str]]:
        return list({id(group): group for group in self._group.values()}.values())


def group(
    labels: Sequence[Label],
    pairs: Sequence[Pair] = (),
    decisions: Sequence[Decision] = (),
    taxonomy: Taxonomy | None = None,
) -> tuple[Alias, ...]:
    """The alias table of a workspace's labels: what goes under whose name, and what a person should look at.

    Accepted aliases and a taxonomy's synonyms are joined first. Then sure pairs are, the most similar first, but only
    if every two labels of the two groups are near at least (complete linkage), so that a chain of near labels does not
    become one; never across a refusal, nor two entries of a taxonomy. A group goes under its taxonomy entry, else the
    name a person accepted, else the label seen first. The result does not depend on the order of what comes in.

    What is near but not joined is proposed, one pair for two groups, unless a person refused it or the taxonomy tells
    them apart; the `MOST_PROPOSED` most similar.

    Args:
        labels: The labels there are.
        pairs: Near pairs of them.
        decisions: What persons accepted and refused.
        taxonomy: The closed vocabulary, if there is one.

    Returns:
        One row for each label that goes or could go under another's name, ordered by name and label.
    """
    known = {label.form: label for label in sorted(labels, key=_age, reverse=True)}
    entry_of = _vocabulary(taxonomy, decisions)
    near = {frozenset((canonical(p.one), canonical(p.other))): p for p in pairs}
    refused = {frozenset((d.form, d.name_form)) for d in decisions if not d.accepted}
    chosen = {d.form: d.name_form for d in decisions if d.accepted}
    groups = _Groups({*known, *entry_of, *chosen, *chosen.values()})
    for form, entry in entry_of.items():
        groups.join(form, canonical(entry))
    for form, name in sorted(chosen.items()):
        groups.join(form, name)
    for key in sorted(near, key=lambda key: (-near[key].similarity, sorted(key))):
        if near[key].sure and len(key) == 2 and _may_join(groups, key, near, refused, entry_of):
            groups.join(*key)
    heads: dict[str, str] = {}
    for members in groups.all():
        heads |= dict.fromkeys(members, _head(members, known, entry_of, chosen))
    rows = [Alias(d.label, d.name, _word(d), _similarity(d, near), d.accepted) for d in decisions]
    best = _most_similar(near)
    written = {**{d.name_form: Label(d.name) for d in decisions if d.accepted}, **known}
    rows += [
        _applied(written[form], heads[form], known, near, best)
        for form in written
        if heads[form] != form and form not in chosen and form not in entry_of
    ]
    entries = {canonical(entry): Label(entry) for entry in entry_of.values()}
    offered = {**known, **{form: entries[canonical(entry)] for form, entry in entry_of.items()}}
    rows += [_proposal(near[key], offered, entries) for key in _apart(near, offered, heads, decisions, entries)]
    return tuple(sorted(rows, key=lambda row: (row.name_form, row.form, row.status)))


def names_of(aliases: Iterable[Alias], taxonomy: Taxonomy | None = None) -> Names:
    """The names that an alias table and a taxonomy put in force."""
    table = tuple(aliases)
    said = {row.form: row.name_form for row in table if row.status == "accepted"}
    of = {row.form: row.name_form for row in table if row.applied}
    known = None
    if taxonomy is not None:
        known = {canonical(entry): entry for entry in taxonomy.entry_of.values()}
        of |= {form: canonical(entry) for form, entry in _vocabulary(taxonomy, decisions_of(table)).items()}
        of = {form: name for form, name in of.items() if form not in known}
    of |= said
    return Names({form: _end(form, of) for form in of}, known)


def _vocabulary(taxonomy: Taxonomy | None, decisions: Sequence[Decision]) -> dict[str, str]:
    """A taxonomy's entry for each label, without the labels that a person put elsewhere."""
    moved = {d.form for d in decisions if d.accepted}
    refused = {frozenset((d.form, d.name_form)) for d in decisions if not d.accepted}
    return {
        form: entry
        for form, entry in (taxonomy.entry_of.items() if taxonomy else ())
        if form not in moved and frozenset((form, canonical(entry))) not in refused
    }


def _end(form: str, of: Mapping[str, str]) -> str:
    """Where a chain of names ends; a name in a circle is its first in alphabetical order."""
    seen = [form]
    while (following := of.get(seen[-1])) is not None:
        if following in seen:
            return min(seen[seen.index(following) :])
        seen.append(following)
    return seen[-1]


def _age(label: Label) -> tuple[bool, datetime, int, str]:
    """Orders labels by first sight, the undated last; then the more used first."""
    return (label.first_seen is None, label.first_seen or datetime.min, -label.users, label.text)


def _may_join(
    groups: _Groups,
    key: frozenset[str],
    near: Mapping[frozenset[str], Pair],
    refused: set[frozenset[str]],
    entry_of: Mapping[str, str],
) -> bool:
    one, other = sorted(key)
    a, b = groups.of(one), groups.of(other)
    if a is b:
        return False
    if len({entry_of[form] for form in a | b if form in entry_of}) > 1:
        return False
    across = [frozenset((x, y)) for x in a for y in b]
    if any(pair in refused for pair in across):
        return False
    return all(pair in near for pair in across) or any(form in entry_of for form in a | b)


def _head(members: set[str], known: Mapping[str, Label], entry_of: Mapping[str, str], chosen: Mapping[str, str]) -> str:
    entries = sorted({canonical(entry_of[form]) for form in members if form in entry_of})
    named = sorted({name for form, name in chosen.items() if form in members} - chosen.keys())
    if entries or named:
        return (entries or named)[0]
    return min(members, key=lambda form: (form not in known, _age(known[form]) if form in known else (), form))


def _most_similar(near: Mapping[frozenset[str], Pair]) -> dict[str, Pair]:
    """The most similar pair of each label."""
    best: dict[str, Pair] = {}
    for key in sorted(near, key=lambda key: (-near[key].similarity, sorted(key))):
        for form in key:
            best.setdefault(form, near[key])
    return best


def _applied(
    label: Label,
    head: str,
    known: Mapping[str, Label],
    near: Mapping[frozenset[str], Pair],
    best: Mapping[str, Pair],
) -> Alias:
    pair = near.get(frozenset((label.form, head))) or best.get(label.form)
    return Alias(
        label.text, known[head].text if head in known else head, "proposed", pair.similarity if pair else None, True
    )


def _apart(
    near: Mapping[frozenset[str], Pair],
    offered: Mapping[str, Label],
    heads: Mapping[str, str],
    decisions: Sequence[Decision],
    entries: Mapping[str, Label],
) -> list[frozenset[str]]:
    """The pairs that a person should look at: the most similar one of every two groups that may be one."""
    asked = {frozenset(heads.get(form, form) for form in (d.form, d.name_form)) for d in decisions}
    found: list[frozenset[str]] = []
    for key in sorted(near, key=lambda key: (-near[key].similarity, sorted(key))):
        groups = frozenset(heads.get(form, form) for form in key)
        if len(groups) < 2 or groups in asked or groups <= entries.keys() or not key <= offered.keys():
            continue
        asked.add(groups)
        found.append(key)
        if len(found) == MOST_PROPOSED:
            break
    return found


def _proposal(pair: Pair, offered: Mapping[str, Label], entries: Mapping[str, Label]) -> Alias:
    """Under which of its two labels a pair would go: the entry of a taxonomy, else the one seen first."""
    both = sorted((offered[canonical(text)] for text in (pair.one, pair.other)), key=_age)
    name, label = sorted(both, key=lambda label: label.form not in entries)
    return Alias(label.text, name.text, "proposed", pair.similarity, False)


def _word(decision: Decision) -> Status:
    return "accepted" if decision.accepted else "refused"


def _similarity(decision: Decision, near: Mapping[frozenset[str], Pair]) -> float | None:
    pair = near.get(frozenset((decision.form, decision.name_form)))
    return pair.similarity if pair else decision.similarity
