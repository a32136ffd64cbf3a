"""The word lists of `words/*.toml`, and finding their entries in a text."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from limner.evidence.folding import plain

ANY_FORM = frozenset(
    ["undoing", "praise", "blame", "positive", "negative", "dimensions", "people", "feelings", "speech", "asides"]
)
"""English sections whose entries match every inflected form."""

LATIN = r"[a-z0-9\u00df-\u024f]+(?:'[a-z]+)*"
_token = re.compile(rf"({LATIN})|([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])|(\s+)|(.)", re.DOTALL)

_TYPED = {
    f"{verb}nt": (base, "not")
    for verb, base in (
        ("do", "do"), ("does", "does"), ("did", "did"), ("ca", "can"), ("wo", "will"), ("is", "is"), ("was", "was"),
        ("are", "are"), ("were", "were"), ("would", "would"), ("could", "could"), ("should", "should"),
        ("have", "have"), ("has", "has"), ("had", "had"), ("must", "must"), ("need", "need"),
    )
}  # fmt: skip
"""Negated verbs typed without their apostrophe."""

_SHORT = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}


@dataclass(slots=True)
class Token:
    """A word, a Chinese character, a phrase of the lists, a mark or white space in a text.

    Attributes:
        text: What it says, folded; `not` for `n't`.
        start, end: Where it stands, in characters.
        tags: The sections of the lists that it is in.
    """

    text: str
    start: int
    end: int
    tags: frozenset[str] = frozenset()
    parts: list[Token] = field(default_factory=list)


@dataclass(frozen=True)
class WordLists:
    """Entries of one language, by their first word (English) or character (Chinese), the longest first.

    Each entry is the sequence of its words or characters, whether it matches in any form, and its section.
    """

    by_first: Mapping[str, list[tuple[tuple[str, ...], str]]]
    by_first_stem: Mapping[str, list[tuple[tuple[str, ...], str]]]
    pairs: Mapping[str, str]
    sections: Mapping[str, frozenset[str]]


def _entries(section: Mapping[str, str]) -> list[str]:
    return [entry.strip() for entry in re.split(r"[,，\n]", section["entries"]) if entry.strip()]


@cache
def sections(lang: str) -> Mapping[str, frozenset[str]]:
    """The entries of each section of a language's lists, as they are written there."""
    source = files("limner.evidence").joinpath(f"words/{lang}.toml").read_text(encoding="utf-8")
    return {name: frozenset(_entries(section)) for name, section in tomllib.loads(source).items()}


@cache
def word_lists(lang: str) -> WordLists:
    """The lists of a language (`zh` or `en`), read once."""
    named = sections(lang)
    by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    by_stem: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    pairs = dict(p.split("=") for p in named.get("pairs", ()))
    for name, entries in named.items():
        if name in ("pairs", "resultatives", "unlike"):
            continue
        for entry in entries:
            words = tuple(entry) if lang == "zh" else tuple(t.text for t in _words(entry) if t.text != " ")
            if lang == "en" and name in ANY_FORM:
                stems = tuple(w if w in _OWN_FORM else _stem(pairs.get(w, w)) for w in words)
                by_stem.setdefault(stems[0], []).append((stems, name))
            else:
                by_first.setdefault(words[0], []).append((words, name))
    return WordLists(by_first, by_stem, pairs, named)


@cache
def _stemmer() -> object:
    from snowballstemmer import stemmer

    return stemmer("english")


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    if len(word) < 4 or not word.isascii():
        return word
    return str(_stemmer().stemWord(word))  # type: ignore[attr-defined]


_OWN_FORM = frozenset(
    "quite useful usefully several fully news during only rugged helpful exceptional exceptionally wonderful grateful "
    "effective responsive chipped affordable hardly security organic".split()
)
"""Words that a stemmer would take for forms of others (`quit`, `rug`)."""


def stem(word: str) -> str:
    """The common form of an English word's inflected forms (`broke`, `broken`, `breaks`: `break`)."""
    if word in _OWN_FORM:
        return word
    word = word_lists("en").pairs.get(word, word)
    for ending in ("ier", "iest"):
        if len(word) > len(ending) + 2 and word.endswith(ending):
            word = word[: -len(ending)] + "y"
    return _stem(word)


def _words(text: str) -> list[Token]:
    """Words, Chinese characters, marks and white space of a folded text, in order."""
    found: list[Token] = []
    for match in _token.finditer(text):
        word, start, end = match[0], match.start(), match.end()
        if not match[1]:
            found.append(Token(word if not match[3] else " ", start, end))
        elif word.endswith("n't") and len(word) > 3:
            head = word[:-3]
            found.append(Token(_SHORT.get(head, head), start, end - 3))
            found.append(Token("not", end - 3, end))
        elif word == "cannot" or word in _TYPED:
            head, tail = ("can", "not") if word == "cannot" else _TYPED[word]
            cut = end - 3 if word == "cannot" else end - 2
            found += [Token(head, start, cut), Token(tail, cut, end)]
        elif "'" in word:
            cut = start + word.index("'")
            found += [Token(text[start:cut], start, cut), Token(text[cut:end], cut, end)]
        else:
            found.append(Token(word, start, end))
    return found


def read(text: str) -> list[Token]:
    """The tokens of a text, phrases of the lists joined, the longest first; white space is kept as tokens."""
    words = _words(plain(text))
    stems = [stem(w.text) if w.text[:1].isalpha() and w.text.isascii() else w.text for w in words]
    return _joined(words, stems)


_JUDGING = {"positive", "negative", "praise", "blame", "dimensions"}
_LIGHT = frozenset("不没无未很太真挺超最更好极了的得地着过是有又也都还就蛮可多大小")


def _cuts(words: list[Token]) -> dict[int, tuple[int, str]]:
    """For each offset of a Chinese character the start and the text of the segmented word that it belongs to."""
    if not any(w.text[0] >= "\u3400" for w in words):
        return {}
    text = ["\0"] * (words[-1].end)
    for w in words:
        if len(w.text) == 1:
            text[w.start] = w.text
    return {at: (start, word) for start, word in segments("".join(text)) for at in range(start, start + len(word))}


def _fits(start: int, end: int, cuts: Mapping[int, tuple[int, str]], names: set[str]) -> bool:
    """Whether an entry ends where a word ends, and a single character is not a piece of another word (好 of 爱好)."""
    last, word = cuts.get(end - 1, (start, ""))
    if last > start and last + len(word) > end:
        return False
    if last > start or len(word) <= end - start or not names <= _JUDGING:
        return True
    return all(c in _LIGHT for c in word[: start - last] + word[end - last :])


def _joined(words: list[Token], stems: list[str]) -> list[Token]:
    english, chinese = word_lists("en"), word_lists("zh")
    solid = [i for i, w in enumerate(words) if w.text != " "]
    rank = {index: at for at, index in enumerate(solid)}
    texts, forms = [words[i].text for i in solid], [stems[i] for i in solid]
    cuts = _cuts(words)
    out: list[Token] = []
    index = 0
    while index < len(words):
        word = words[index]
        if word.text == " ":
            out.append(word)
            index += 1
            continue
        at = rank[index]
        hits: dict[int, set[str]] = {}
        lists = english if word.text.isascii() else chinese
        for entry, name in lists.by_first.get(word.text, ()):
            if tuple(texts[at : at + len(entry)]) == entry:
                hits.setdefault(len(entry), set()).add(name)
        for entry, name in lists.by_first_stem.get(forms[at], ()):
            if tuple(forms[at : at + len(entry)]) == entry:
                hits.setdefault(len(entry), set()).add(name)
        if lists is chinese:
            hits = {
                n: names
                for n, names in hits.items()
                if words[solid[at + n - 1]].end - word.start == n and _fits(word.start, word.start + n, cuts, names)
            }
        size = max(hits, default=1)
        last = solid[at + size - 1]
        inner = [w for w in words[index : last + 1] if w.text != " "]
        joined = "".join(t.text for t in inner) if lists is chinese else " ".join(t.text for t in inner)
        tags = frozenset(hits.get(size, ()))
        out.append(Token(joined, word.start, words[last].end, tags, inner if size > 1 else []))
        index = last + 1
    return out


_han_run = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")


@cache
def _segmenter() -> Any:
    from rjieba import Jieba

    return Jieba()


def segments(text: str) -> list[tuple[int, str]]:
    """Offset and text of each Chinese word of a text, as a segmenter cuts it."""
    found = []
    for run in _han_run.finditer(text):
        at = run.start()
        for word in _segmenter().cut(run[0]):
            found.append((at, word))
            at += len(word)
    return found
