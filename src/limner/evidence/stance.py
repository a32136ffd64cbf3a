"""Who says it and whether they say it is so: questions, conditions, wishes, hearsay, and what others feel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from limner.evidence.clauses import Clause
from limner.evidence.wordlists import Token

QUESTION, HYPOTHETICAL, WISHED, HEARSAY, OTHERS = "asked", "hypothetical", "wished", "hearsay", "others_feeling"

_AUXILIARIES = frozenset(
    "do does did is are was were can could will would has have should what why how who where when which am may".split()
)
_BENEFICIARY = frozenset("给帮替为送和跟与同像比带让陪被叫请")
_TOLD = frozenset("跟和对向给")
_POINTING = frozenset(["this", "it", "these", "they", "then", "you", "i"])
_SECOND = frozenset(["you", "your", "anyone", "someone", "anybody", "you're", "yours", "one"])


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a text that its writer does not state as a fact or a feeling of their own, and why not."""

    start: int
    end: int
    why: str


def stretches(clauses: Sequence[Clause]) -> list[Stretch]:
    """Every such part of some clauses."""
    found: list[Stretch] = []
    sentences: dict[int, list[Clause]] = {}
    for clause in clauses:
        sentences.setdefault(clause.sentence, []).append(clause)
    for sentence in sentences.values():
        found += _asked(sentence)
        found += _conditional(sentence)
        for index, clause in enumerate(sentence):
            found += _wished(sentence, index)
            found += _only_with(sentence, index)
            found += _heard(sentence, index)
            found += _others(sentence, index, clause)
            found += _mocked(clause)
    return found


def _asked(sentence: list[Clause]) -> list[Stretch]:
    last = sentence[-1]
    found = []
    if any("rhetorical" in t.tags for c in sentence for t in c.tokens):
        return []
    if any("praise" in t.tags for t in last.tokens) and last.ender in "?？" and last.tokens[0].text in ("what", "why"):
        return []
    if last.ender and last.ender in "?？":
        opened = sentence[0].tokens[0].text in _AUXILIARIES or len(sentence) == 1
        first = sentence[0] if opened else last
        found.append(Stretch(first.start, last.end, QUESTION))
    for clause in sentence:
        for index, token in enumerate(clause.tokens):
            if "askings" not in token.tags:
                continue
            if token.text == "吗":
                found.append(Stretch(clause.start, clause.end, QUESTION))
            elif index == 0 or token.text[0] >= "\u2e80" or token.text.split()[0] not in _AUXILIARIES:
                found.append(Stretch(token.start, clause.end, QUESTION))
    return found


def _conditional(sentence: list[Clause]) -> list[Stretch]:
    found = []
    for number, clause in enumerate(sentence):
        for index, token in enumerate(clause.tokens):
            if "conditions" not in token.tags or "neutral" in token.tags:
                continue
            if token.text[0] >= "\u2e80":
                found += _chinese_condition(sentence, number, index)
            else:
                found += _english_condition(sentence, number, index)
    return found


def _english_condition(sentence: list[Clause], number: int, index: int) -> list[Stretch]:
    clause = sentence[number]
    condition = clause.tokens[index + 1 :]
    if not condition:
        return []
    if condition[0].text in _SECOND:
        stop = next((i for i in range(3, len(condition)) if condition[i].text in _POINTING), len(condition))
        condition = condition[:stop]
    found = [Stretch(clause.tokens[index].start, condition[-1].end, HYPOTHETICAL)]
    unreal = any("unreal" in t.tags or t.text.endswith("ed") for t in condition)
    if not unreal or condition[0].text in _SECOND:
        return found
    for other in [*sentence[:number], Clause(clause.tokens[:index], "", "", 0), *sentence[number + 1 :]]:
        mood = next((t for t in other.tokens if _has_mood(t)), None)
        if mood is not None:
            found.append(Stretch(mood.start, other.end, HYPOTHETICAL))
    return found


def _has_mood(token: Token) -> bool:
    words = [token.text, *(p.text for p in token.parts)]
    return any(w in ("would", "could", "might", "'d") for w in words)


def _chinese_condition(sentence: list[Clause], number: int, index: int) -> list[Stretch]:
    clause = sentence[number]
    token = clause.tokens[index]
    if token.text == "的话":
        found, condition = [Stretch(clause.start, token.end, HYPOTHETICAL)], clause.tokens[:index]
    else:
        found, condition = [Stretch(token.start, clause.end, HYPOTHETICAL)], clause.tokens[index + 1 :]
    if any("addressed" in t.tags for t in condition):
        return found
    for other in sentence[number + 1 :]:
        if other.opener == "contrast":
            break
        if any("consequence" in t.tags for t in other.tokens):
            found.append(Stretch(other.start, other.end, HYPOTHETICAL))
    return found


_BELIEFS = frozenset(["i thought", "i believed", "i figured", "we thought"])
"""What they introduce was given up only if a contrast follows."""

_WISHED_BACK = ("就好了", "就更好了", "就完美了", "就更完美了", "就太好了", "就行了就好", "该多好")


def _wished(sentence: list[Clause], index: int) -> list[Stretch]:
    clause = sentence[index]
    found = []
    for token in clause.tokens:
        if "wishes" not in token.tags or token.tags & {"reality", "blame", "praise"}:
            continue
        if token.text in _BELIEFS and not any(c.opener == "contrast" for c in sentence[index + 1 :]):
            continue
        if token.text in _WISHED_BACK:
            start = sentence[index - 1].start if index and sentence[index - 1].opener != "contrast" else clause.start
            found.append(Stretch(start, token.end, WISHED))
        else:
            found.append(Stretch(token.start, clause.end, WISHED))
    return found


_WHAT = re.compile(r"(.{1,3})什么\1|(?:这|那|就这)也(?:叫|算|能叫|能算).+")


def _mocked(clause: Clause) -> list[Stretch]:
    """好什么好 and its like: words said to be denied."""
    said = "".join(t.text for t in clause.tokens)
    return [Stretch(clause.start, clause.end, QUESTION)] if _WHAT.search(said) else []


def _only_with(sentence: list[Clause], index: int) -> list[Stretch]:
    """`would be perfect with a longer cord`: it is not."""
    tokens = sentence[index].tokens
    for at, token in enumerate(tokens[:-2]):
        if not (_has_mood(token) and any(t.text in ("be", "been") for t in tokens[at + 1 : at + 4])):
            continue
        if any("negators" in t.tags for t in tokens[at : at + 4]):
            continue
        later = [t.text for t in tokens[at + 2 :]] + [t.text for c in sentence[index + 1 :] for t in c.tokens]
        if any(word in ("with", "if", "without") for word in later):
            return [Stretch(token.start, sentence[index].end, HYPOTHETICAL)]
    return []


def _heard(sentence: list[Clause], index: int) -> list[Stretch]:
    clause = sentence[index]
    token = next((t for t in clause.tokens if "hearsay" in t.tags), None)
    if token is None:
        return []
    return [Stretch(token.start, _said_until(sentence, index), HEARSAY)]


def _said_until(sentence: list[Clause], index: int) -> int:
    """Where what somebody says ends: with the sentence, a contrast, or the writer's own voice."""
    before, end = sentence[index], sentence[index].end
    for clause in sentence[index + 1 :]:
        if before.ender == " " or clause.opener == "contrast" or any("selves" in t.tags for t in clause.tokens[:2]):
            break
        before, end = clause, clause.end
    return end


def _others(sentence: list[Clause], index: int, clause: Clause) -> list[Stretch]:
    tokens = clause.tokens
    for at, token in enumerate(tokens):
        if "people" not in token.tags or not _is_subject(tokens, at):
            continue
        for later in range(at + 1, min(at + 7, len(tokens))):
            word = tokens[later]
            if ("selves" in word.tags and tokens[later - 1].text not in _TOLD) or (
                word.text == "and" and later + 1 < len(tokens)
            ):
                break
            if "feelings" in word.tags and not _is_noun_like(tokens, later):
                return [Stretch(word.start, clause.end, OTHERS)]
            if "speech" in word.tags:
                return [Stretch(word.start, _said_until(sentence, index), HEARSAY)]
    return []


def _is_subject(tokens: list[Token], at: int) -> bool:
    before = tokens[at - 1] if at else None
    after = tokens[at + 1] if at + 1 < len(tokens) else None
    if tokens[at].text[0] >= "\u2e80":
        if after is not None and after.text == "的":
            return False
        owner = tokens[at - 2] if before is not None and before.text == "我" and at > 1 else before
        if before is not None and "selves" in before.tags and before.text not in ("我", "我们", "咱"):
            return False
        return owner is None or owner.text[-1] not in _BENEFICIARY
    if after is not None and after.text == "'s":
        return False
    if before is not None and before.text in ("for", "to", "with", "by", "from", "of"):
        return False
    possessor = tokens[at - 2].text if at > 1 and before is not None else ""
    return possessor not in ("for", "to", "with", "by", "from", "of", "like")


def _is_noun_like(tokens: list[Token], at: int) -> bool:
    """Whether a word of feeling is no feeling here (`needs to`, `looks like`)."""
    before = tokens[at - 1].text if at else ""
    return tokens[at].text == "like" and before in (
        "looks",
        "sounds",
        "feels",
        "look",
        "sound",
        "feel",
        "is",
        "was",
        "just",
        "it",
    )
