"""Negation: how often each character of a text is denied, once (so turned around) or twice (so not)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from limner.evidence.clauses import Clause
from limner.evidence.wordlists import Token, stem, word_lists

_DENIERS = frozenset("不没無无未非别勿莫")
_PRONOUNS = frozenset("我你您他她它这那也都还就又却并真太很")

IDIOMS = ("praise", "blame")
"""Sections whose entries say a feeling as a whole: a negator inside them denies nothing outside."""


@dataclass(slots=True)
class _Reach:
    """What denies the next word: how many negators, and whether a judging word has used them up."""

    count: int = 0
    used: bool = False


def denials(clauses: Sequence[Clause], length: int) -> list[int]:
    """For each character of a text of some length how many negators deny it."""
    denied = [0] * length
    reach = _Reach()
    for at, clause in enumerate(clauses):
        before = clauses[at - 1] if at else None
        if before is not None and not _runs_on(before, clause, reach):
            reach = _Reach()
        first = reach.count
        for index, token in enumerate(clause.tokens):
            _take(clause.tokens, index, token, reach, denied)
        _deny_backwards(clause, denied)
        _undo_frames(clause, first, denied)
    return denied


_FRAMES = (
    (
        r"(?:can|could) ?not (?:\S+ ){0,3}?"
        r"(?:recommend|praise|thank|stress|emphasize|express|say|get|overstate)\w*\b.*\benough",
        1,
    ),
    (r"(?:can|could) ?not (?:be|have been|ask for|imagine|find|wish for)\b.*\b(?:\w+er|better|more|worse)\b", 1),
    (
        r"(?:never|nothing|not) (?:\w+ ){0,3}(?:been|seen|had|found|owned|used|tasted|felt|heard) "
        r"(?:\w+ ){0,4}(?:better|happier|nicer)\b",
        1,
    ),
    (r"非.{1,8}(?:不可|莫属)", 0),
)
"""Sayings in two pieces in which a negator denies nothing: a pattern over a clause's words; whether it is English."""


def _undo_frames(clause: Clause, first: int, denied: list[int]) -> None:
    """Takes back what a negator denied inside a saying that means the opposite (`can't recommend it enough`)."""
    for pattern, spaced in _frames():
        words = [raw for t in clause.tokens for raw in (t.parts or [t])]
        said, starts = "", []
        for raw in words:
            starts.append(len(said))
            said += raw.text + (" " if spaced else "")
        match = pattern.search(said)
        if match is None:
            continue
        for at, raw in zip(starts, words, strict=True):
            if match.start() <= at < match.end() + (20 if spaced else 0):
                _mark(raw, first, denied)
        for token in clause.tokens:
            if "blame" in token.tags and any(p.start == token.start for p in words[: len(starts)]):
                inside = match.start() <= starts[next(i for i, p in enumerate(words) if p.start == token.start)]
                denied[token.start] = first + (1 if inside else 0)


@cache
def _frames() -> tuple[tuple[re.Pattern[str], int], ...]:
    return tuple((re.compile(pattern), spaced) for pattern, spaced in _FRAMES)


def _deny_backwards(clause: Clause, denied: list[int]) -> None:
    """Denies what stands before `才怪` and its like in the clause, and the word before `-free`."""
    last = clause.tokens[-1]
    if last.text in _POSTPOSED and len(clause.tokens) > 1:
        for earlier in clause.tokens[:-1]:
            _mark(earlier, denied[earlier.start] + 1, denied)
    for index, token in enumerate(clause.tokens):
        if "behind" in token.tags:
            for earlier in clause.tokens[:index]:
                _mark(earlier, denied[earlier.start] + 1, denied)
        elif token.text == "free" and index > 0 and clause.tokens[index - 1].text not in _FREE_OF_CHARGE:
            before = (
                clause.tokens[index - 1] if clause.tokens[index - 1].text != "-" else clause.tokens[max(0, index - 2)]
            )
            if before.tags & {"negative", "blame"} or clause.tokens[index - 1].text == "-":
                _mark(before, denied[before.start] + 1, denied)


_POSTPOSED = frozenset(["都没有", "也没有", "没有", "都没", "也没", "全没有"])
"""Deny what stands before them if nothing stands behind."""

_FREE_OF_CHARGE = frozenset(["a", "the", "for", "is", "was", "got", "are"])


def _runs_on(before: Clause, clause: Clause, reach: _Reach) -> bool:
    """Whether a negator reaches from one clause into the next: over a comma right behind it, and over an aside."""
    if clause.opener or before.sentence != clause.sentence or before.ender not in (",", "，", "、", "", '"', "("):
        return False
    last = before.tokens[-1]
    if last.text in _POSTPOSED:
        return False
    if "negators" in last.tags and last.text not in ("no", "nothing", "none"):
        return True
    return reach.count > 0 and not reach.used and all(t.tags & {"asides", "negators"} for t in before.tokens)


def _take(tokens: list[Token], index: int, token: Token, reach: _Reach, denied: list[int]) -> None:
    tags = token.tags
    if tags & set(IDIOMS):
        _idiom(token, reach.count, denied)
        reach.used = True
        return
    if "neutral" in tags:
        _mark(token, reach.count, denied)
        return
    chinese = token.text[:1] >= "\u2e80"
    if "negators" in tags or "worse_than" in tags:
        if _is_potential(tokens, index):
            for verb in tokens[max(0, index - 2) : index]:
                _mark(verb, reach.count + 1, denied)
            return
        if (chinese and reach.used) or token.text == "nor":
            reach.count = 0
        _mark(token, reach.count, denied)
        if chinese and index == len(tokens) - 1:
            for part in token.parts[1:]:  # 声音不大: with nothing behind it, it denies its own word.
                _mark(part, reach.count + 1, denied)
        reach.count, reach.used = reach.count + 1, False
        return
    if chinese and reach.used and "transparent" in tags and token.text in _DEGREES:
        reach.count = 0
    _mark(token, reach.count, denied)
    if "undoing" in tags and not _as_noun(tokens, index):
        reach.count += 1
    elif tags & {"positive", "negative"}:
        reach.used = True


_DEGREES = frozenset(["很", "非常", "特别", "十分", "挺", "真", "更", "最", "还", "都", "也", "就", "太"])


def _as_noun(tokens: list[Token], index: int) -> bool:
    """Whether an undoing verb stands as a noun (`a lack`, `the loss`): it then still undoes only with `of`."""
    before = tokens[index - 1].text if index else ""
    after = tokens[index + 1].text if index + 1 < len(tokens) else ""
    return (
        before in ("the", "a", "an", "this", "bus", "to")
        and tokens[index].text in ("stop", "fail", "quit")
        and (before != "to" or after == "")
    )


def _is_potential(tokens: list[Token], index: int) -> bool:
    """Whether a 不 stands between a verb and its result (装不上): it denies the verb before it."""
    if tokens[index].text != "不" or not 0 < index < len(tokens) - 1:
        return False
    before, after = tokens[index - 1].text, tokens[index + 1].text
    result = word_lists("zh").sections["resultatives"]
    return (
        not tokens[index + 1].tags & {"positive", "negative"}
        and before >= "\u2e80"
        and before not in _PRONOUNS
        and not tokens[index - 1].tags
        and after in result
    )


def _idiom(token: Token, outer: int, denied: list[int]) -> None:
    """Inside an idiom a negator denies what follows it in the idiom, but never the feeling that the idiom says.

    In `can't recommend enough` the recommending stands; in `no complaints` the complaints are denied.
    """
    inner = 0
    praise = "praise" in token.tags
    lists = word_lists("zh" if token.text[:1] >= "\u2e80" else "en").sections
    for part in token.parts or [token]:
        good = part.text in lists["positive"]
        _mark(part, outer + (0 if praise and good else inner), denied)
        if part.text in _DENIERS or part.text in ("not", "no", "never", "nothing", "without", "zero", "none"):
            inner = 1
        elif not praise and part.text.isascii() and stem(part.text) in _undoing():
            inner += 1


@cache
def _undoing() -> frozenset[str]:
    return frozenset(stem(word) for word in word_lists("en").sections["undoing"] if " " not in word)


def _mark(token: Token, count: int, denied: list[int]) -> None:
    for at in range(token.start, token.end):
        denied[at] = count
