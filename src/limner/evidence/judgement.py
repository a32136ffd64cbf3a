"""Whether a quote proves a claim, judged by rules alone: no model, the same answer always.

    verdict = check(text, quote="recommend it", claim="would recommend")

The quote is found in the stored text, and the sentences around it are read, not only the quote: what stands outside it
can deny it. docs/evidence.md tells the rules in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from limner.evidence.claims import Claim, Word, read_claim
from limner.evidence.clauses import sentence_around
from limner.evidence.comparison import TURNED as COMPARED
from limner.evidence.figures import Figure, same
from limner.evidence.finding import FoldedText, Place, folded_text
from limner.evidence.matching import Hit, hits
from limner.evidence.opinions import Opinion
from limner.evidence.passage import Passage, read_passage
from limner.evidence.records import Polarity
from limner.evidence.stance import HEARSAY, HYPOTHETICAL, OTHERS, QUESTION, WISHED, Stretch
from limner.evidence.verdict import Verdict, verdict
from limner.evidence.wordlists import stem

LONGEST_QUOTE = 4000
"""Characters. A longer quote points at nothing."""

LONGEST_CLAIM = 400
"""Characters of a claim that are read."""

Entails = Callable[[str, str], bool]
"""Whether a quote (first) entails a claim (second) with which it shares no word."""

_EXCUSES = {
    QUESTION: ("askings",),
    HYPOTHETICAL: ("conditions",),
    WISHED: ("wishes",),
    HEARSAY: ("hearsay", "people", "speech"),
    OTHERS: ("people",),
}
"""Tags of words that, claimed themselves, say that the claim is of the same stance (`wife loves it`)."""

ABSENCE = frozenset(
    "no without lack lacks lacked lacking missing "
    "没有 没 无 缺 缺乏 缺少 少了 缺了 不带 不含 不给 还没 也没有 都没有 没有任何".split()
)
"""Negators of things, not of qualities."""

_HAVING = frozenset(["have", "has", "had", "come", "comes", "came", "include", "includes", "get", "got", "provide"])

_RANK = {"supported": 0, "contradicted": 1, "unsupported": 2}


def check(
    text: str,
    quote: str,
    claim: str,
    *,
    polarity: Polarity | None = None,
    lang: str | None = None,
    entails: Entails | None = None,
    simplify: bool = True,
) -> Verdict:
    """Whether a quote from a text proves a claim about its writer.

    Args:
        text: The stored text, unchanged.
        quote: What is given as the proof.
        claim: A short label ("battery life") or a statement ("The customer would recommend it"), in any language.
        polarity: How the writer is said to feel about it; None if the claim stands alone.
        lang: Language of the text; both languages are always read, so that it is needed for nothing yet.
        entails: Asked about a quote and a claim that share no word; without it such a claim is unsupported.
        simplify: Whether a quote in traditional characters is found in simplified ones and the other way round.

    Returns:
        The verdict of the occurrence of the quote that fits best, with its place in `text`.
    """
    del lang
    if not quote.strip():
        return verdict("empty_quote")
    if not claim.strip():
        return verdict("empty_claim")
    if len(quote) > LONGEST_QUOTE:
        return verdict("quote_too_long")
    folded = folded_text(text, simplify)
    places = folded.places(quote)
    if not places:
        return verdict("quote_not_in_text")
    return judge_places(folded, places, claim, polarity, entails)


def check_place(
    text: str,
    start: int,
    end: int,
    claim: str,
    *,
    polarity: Polarity | None = None,
    allowed: Collection[str] = (),
) -> Verdict:
    """As `check`, for a quote whose place is known.

    Args:
        text: The stored text, unchanged.
        start: First character of the quote.
        end: Character behind its last.
        claim: As in `check`; empty if only the quote as a whole is judged: who says it, whether it is said to be so,
            and whether it feels as `polarity` says.
        polarity: As in `check`.
        allowed: Stances that are no objection: a wish is one where an intent is claimed (`asked`, `wished`, ...).
    """
    place = Place(start, end, True)
    if not text[start:end].strip():
        return verdict("empty_quote")
    if end - start > LONGEST_QUOTE:
        return verdict("quote_too_long", start, end)
    if claim and cuts_a_word(text, place):
        return verdict("part_of_a_word", start, end)
    around = sentence_around(text, start, end)
    passage = read_passage(text[around.start : around.end])
    taken = read_claim(claim[:LONGEST_CLAIM])
    judge = _Judge(
        passage,
        start - around.start,
        end - around.start,
        taken,
        polarity,
        claim,
        None,
        whole=not claim,
        allowed=allowed,
    )
    return verdict(judge.reason(), start, end)


def judge_places(
    folded: FoldedText, places: Sequence[Place], claim: str, polarity: Polarity | None, entails: Entails | None
) -> Verdict:
    """The verdict of the place that fits best, the first of several."""
    taken = read_claim(claim[:LONGEST_CLAIM])
    best: Verdict | None = None
    seen: dict[tuple[str, int, int], str] = {}
    for place in places:
        if cuts_a_word(folded.text, place):
            found = verdict("part_of_a_word", place.start, place.end)
        else:
            around = sentence_around(folded.text, place.start, place.end)
            window = folded.text[around.start : around.end]
            key = (window, place.start - around.start, place.end - around.start)
            if key not in seen:
                seen[key] = _Judge(read_passage(window), key[1], key[2], taken, polarity, claim, entails).reason()
            found = verdict(seen[key], place.start, place.end)
        if best is None or _RANK[found.status] < _RANK[best.status]:
            best = found
        if found.supported:
            break
    assert best is not None
    return best


def cuts_a_word(text: str, place: Place) -> bool:
    """Whether a quote begins inside a word or a number, or ends in one but for a common ending (`recommend|ed`)."""
    first, last = text[place.start], text[place.end - 1]
    before, after = text[place.start - 1 : place.start], text[place.end : place.end + 1]
    if _letter(first) and _letter(before):
        return True
    if (first.isdigit() and _in_number(text, place.start)) or (last.isdigit() and _in_number(text, place.end)):
        return True
    if not (_letter(last) and _letter(after)):
        return False
    start = end = place.end
    while start > 0 and _letter(text[start - 1]) and place.end - start < 40:
        start -= 1
    while end < len(text) and _letter(text[end]) and end - place.end < 40:
        end += 1
    return stem(text[start : place.end].lower()) != stem(text[start:end].lower())


_PARTED = re.compile(r"\d[.:]\d|\d,\d{3}(?!\d)")


def _in_number(text: str, at: int) -> bool:
    """Whether a number goes on over an offset; `4,5天` are two, 1,500 is one."""
    if text[at - 1 : at].isdigit() and text[at : at + 1].isdigit():
        return at > 0
    return any(at > p >= 0 and _PARTED.match(text, p) is not None and p + 2 >= at for p in (at - 2, at - 1))


def _letter(character: str) -> bool:
    return character.isalpha() and ord(character) < 0x2E80


@dataclass(slots=True)
class _Judge:
    """One claim held against one place of a quote."""

    passage: Passage
    start: int
    end: int
    claim: Claim
    polarity: Polarity | None
    said: str
    entails: Entails | None
    whole: bool = False
    allowed: Collection[str] = ()

    def reason(self) -> str:
        """The reason code."""
        clauses = self.passage.touched(self.start, self.end)
        if not clauses:
            return "shares_no_words"
        if self.whole:
            return self._judge_whole() or "said"
        figures = self._figures(clauses)
        found, missing = self._matches(clauses)
        entailed = False
        if missing or not (found or self.claim.figures):
            if self.entails is None or not self.entails(self.passage.text[self.start : self.end], self.said):
                if figures and found:
                    return figures
                return "words_missing" if found else "shares_no_words"
            entailed = True
        if figures:
            return figures
        spots = found or {None: [self._whole(clauses)]}
        return self._judge(spots, clauses) or ("entailed" if entailed else "said")

    def _judge_whole(self) -> str:
        """Why the quote as a whole says no feeling of its writer's own, or another one."""
        inside = [o for o in self.passage.opinions if self.start <= o.start < self.end]
        wanted = {"positive": 1, "negative": -1}.get(self.polarity or "", 0)
        meant = [o for o in inside if o.sign == wanted] or inside
        for stretch in self.passage.stretches:
            held = all(stretch.start <= o.start < stretch.end for o in meant) if meant else self._covers(stretch)
            wish = stretch.why == WISHED and wanted < 0
            if held and stretch.why not in self.allowed and not wish:
                return stretch.why
        signs = {self._placed(o) for o in inside if not self._unstated(o)}
        if wanted and signs == {-wanted}:
            return "opposite_feeling"
        denied = any(self.passage.denied[at] % 2 for at in range(self.start, min(self.end, len(self.passage.denied))))
        return "negated" if wanted > 0 and not signs and denied else ""

    def _placed(self, opinion: Opinion) -> int:
        """The sign of an opinion, turned where it is said of what something is compared with."""
        return -opinion.sign if self.passage.zones[opinion.start] == COMPARED else opinion.sign

    def _covers(self, stretch: Stretch) -> bool:
        """Whether a stretch holds most of the quote."""
        shared = min(self.end, stretch.end) - max(self.start, stretch.start)
        return 2 * shared > self.end - self.start

    def _whole(self, clauses: list[int]) -> Hit:
        """The quote itself, for a claim whose words do not stand in it."""
        denied = self.passage.denied[min(self.end, len(self.passage.denied)) - 1] % 2 == 1
        return Hit(self.start, self.end, denied, clauses[-1])

    def _figures(self, clauses: list[int]) -> str:
        """Why the figures of the claim are not those of the quote; empty if they are."""
        said = [f for f in self.passage.figures if f.start < self.end and self.start < f.end]
        if not any(f.sure for f in said):
            bounds = [self.passage.clauses[n] for n in clauses]
            said = [f for f in self.passage.figures if any(c.start <= f.start < c.end for c in bounds)]
        for figure in self.claim.figures:
            if not any(same(figure, other) for other in said):
                return _difference(figure, said)
        return ""

    def _matches(self, clauses: list[int]) -> tuple[dict[Word | None, list[Hit]], bool]:
        """Where each word of the claim stands, and whether one that matters is missing."""
        found: dict[Word | None, list[Hit]] = {}
        missing = False
        for word in self.claim.words:
            places = [hit for n in clauses for hit in hits(word, self.passage, n)]
            if places:
                found[word] = places
            elif not word.generic:
                missing = True
        inside = any(h.start < self.end and self.start < h.end for places in found.values() for h in places)
        return (found, missing) if inside else ({}, True if self.claim.words else missing)

    def _judge(self, found: dict[Word | None, list[Hit]], clauses: list[int]) -> str:
        """Why the claim does not hold of any clause; empty if it holds of one."""
        reasons = []
        for number in self._best_clauses(found):
            chosen = {word: self._nearest(places, number) for word, places in found.items()}
            reason = self._judge_hits(chosen, clauses, number)
            if not reason:
                return ""
            reasons.append(reason)
        return reasons[0]

    def _best_clauses(self, found: dict[Word | None, list[Hit]]) -> list[int]:
        """The clauses in which most of the claim's words stand, those of the quote first."""
        count: dict[int, tuple[int, int]] = {}
        for places in found.values():
            for number in {hit.clause for hit in places}:
                own = any(h.clause == number and h.start < self.end and self.start < h.end for h in places)
                before = count.get(number, (0, 0))
                count[number] = (before[0] + 1, before[1] + own)
        most = max(count.values())
        return [number for number, value in sorted(count.items()) if value == most]

    def _nearest(self, places: list[Hit], clause: int) -> list[Hit]:
        """The places in a clause, inside the quote if there are such; else those in the nearest clause."""
        near = min(abs(h.clause - clause) for h in places)
        chosen = [h for h in places if abs(h.clause - clause) == near]
        inside = [h for h in chosen if h.start < self.end and self.start < h.end]
        return inside or chosen

    def _judge_hits(self, chosen: dict[Word | None, list[Hit]], clauses: list[int], clause: int) -> str:
        anchors = [hit for places in chosen.values() for hit in places]
        return (
            self._not_stated(chosen, anchors)
            or self._compared(chosen)
            or self._feeling(chosen, anchors, clauses, clause)
        )

    def _not_stated(self, chosen: dict[Word | None, list[Hit]], anchors: list[Hit]) -> str:
        """Whether what is claimed is asked, supposed, wished or told of others."""
        for stretch in self.passage.stretches:
            within = [
                all(stretch.start <= h.start < stretch.end for h in places)
                for word, places in chosen.items()
                if len(chosen) == 1 or word is None or not word.generic
            ]
            if not any(within) or stretch.why in self.allowed or self._excused(stretch.why, anchors, stretch.start):
                continue
            if stretch.why == WISHED and self.polarity == "negative" and self._sign_at(anchors) >= 0:
                continue
            return stretch.why
        return ""

    def _excused(self, why: str, anchors: list[Hit], start: int) -> bool:
        """Whether the claim says of itself that it is asked, wished, or told of others."""
        tags = _EXCUSES[why]
        if why in self.claim.stances and why in (WISHED, HEARSAY):
            return True
        for clause in self.passage.clauses:
            for token in clause.tokens:
                if any(tag in token.tags for tag in tags) and any(
                    h.start < token.end and token.start < h.end for h in anchors
                ):
                    return token.start <= start
        return False

    def _compared(self, chosen: dict[Word | None, list[Hit]]) -> str:
        """Whether what is claimed of something is said only of what it is compared with."""
        zones = self.passage.zones
        for word, places in chosen.items():
            standard = all(zones[h.start] == COMPARED for h in places)
            if word is None or word.standard == standard or any(w and w.standard for w in chosen):
                continue
            if standard and not (self.polarity == "negative" and self._turns(places)):
                return "compared_with"
        if self.claim.figures and not any(w and w.standard for w in chosen) and self.polarity != "negative":
            spots = [f for f in self.passage.figures if any(same(c, f) for c in self.claim.figures if c.unit is None)]
            if spots and self.claim.words and all(zones[f.start] == COMPARED and not f.date for f in spots):
                return "compared_with"
        return ""

    def _turns(self, places: list[Hit]) -> bool:
        """Whether what is compared with gets the opposite of what is said, as in `better than`, and is not judged."""
        return self._sign_at(places) == 0 and self._sign(places, [], places[0].clause) < 0

    def _sign_at(self, anchors: list[Hit]) -> int:
        """The feeling said at some places themselves: +1, -1, or 0 if none or both."""
        signs = {o.sign for o in self.passage.opinions if any(o.start < h.end and h.start < o.end for h in anchors)}
        return signs.pop() if len(signs) == 1 else 0

    def _feeling(
        self, chosen: dict[Word | None, list[Hit]], anchors: list[Hit], clauses: list[int], clause: int
    ) -> str:
        """Whether the text denies the claim or says the other feeling."""
        turned = self._turned(chosen)
        wanted = {"positive": 1, "negative": -1}.get(self.polarity or "", 0)
        if turned and self.claim.denies:
            return "not_negated"
        if not wanted:
            return "negated" if turned else ""
        sign = self._sign(anchors, clauses, clause)
        if sign:
            if sign != wanted:
                return "negated" if turned else "opposite_feeling"
            return "negated" if turned and self.claim.sign == wanted else ""
        return "negated" if turned and (wanted > 0 or self.claim.exists or not self._absent(anchors)) else ""

    def _absent(self, anchors: list[Hit]) -> bool:
        """Whether what is denied is a thing that is not there (`no strap`), which may well be what is complained of."""
        for hit in anchors:
            tokens = self.passage.clauses[hit.clause].tokens
            before = [t for t in tokens if t.end <= hit.start and t.tags & {"negators", "undoing"}]
            if before and (before[-1].text in ABSENCE or any(t.text in _HAVING for t in tokens if t.end <= hit.start)):
                return True
        return False

    def _turned(self, chosen: dict[Word | None, list[Hit]]) -> bool:
        """Whether a word is denied in the text and not in the claim, or the other way round, wherever it stands."""
        words = {word: places for word, places in chosen.items() if word is not None and not word.generic}
        judging = {word: places for word, places in words.items() if word.judges}
        return any(all(h.denied != word.denied for h in places) for word, places in (judging or words).items())

    def _sign(self, anchors: list[Hit], clauses: list[int], clause: int) -> int:
        """The feeling that the text says of the claim's words: at them, else nearest to them in quote or clause."""
        at = self._sign_at(anchors)
        if at:
            return self._flipped(at, anchors)
        plain = [o for o in self.passage.opinions if not self._unstated(o)]
        inside = [o for o in plain if o.start < self.end and self.start < o.end]
        for pool in (
            [o for o in inside if o.clause == clause],
            [o for o in plain if o.clause == clause],
            inside,
        ):
            if pool:
                near = min(pool, key=lambda o: min(_gap(o, h) for h in anchors))
                return self._flipped(near.sign, anchors)
        return 0

    def _unstated(self, opinion: Opinion) -> bool:
        return any(s.start <= opinion.start < s.end and s.why not in self.claim.stances for s in self.passage.stretches)

    def _flipped(self, sign: int, anchors: list[Hit]) -> int:
        """What something is compared with gets the opposite of what is said."""
        return -sign if anchors and all(self.passage.zones[h.start] == COMPARED for h in anchors) else sign


def _gap(opinion: Opinion, hit: Hit) -> int:
    return max(0, opinion.start - hit.end, hit.start - opinion.end)


def _difference(figure: Figure, said: Sequence[Figure]) -> str:
    """Why no figure of a quote is the claimed one."""
    if figure.date:
        return "date_differs" if any(other.date for other in said) else "number_missing"
    numbers = [other for other in said if not other.date]
    if any(other.value == figure.value and other.unit != figure.unit for other in numbers):
        return "unit_differs"
    alike = [o for o in numbers if o.unit is None or figure.unit is None or o.unit.dimension == figure.unit.dimension]
    return "number_differs" if alike else "number_missing"
