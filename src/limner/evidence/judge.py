"""One claim held against one place of a quote: are its words there, are they stated, do they feel as claimed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limner.evidence.claims import Claim, Word
from limner.evidence.comparison import TURNED as COMPARED
from limner.evidence.figures import Figure, same
from limner.evidence.matching import Hit, hits
from limner.evidence.opinions import Opinion
from limner.evidence.passage import Passage
from limner.evidence.records import Polarity
from limner.evidence.stance import HEARSAY, HYPOTHETICAL, OTHERS, QUESTION, WISHED, Stretch

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


@dataclass(frozen=True, slots=True)
class Question:
    """What a quote is asked to prove; see `check`."""

    claim: str | None
    polarity: Polarity | None
    entails: Entails | None
    allowed: frozenset[str]


@dataclass(slots=True)
class Judge:
    """One claim held against one place of a quote."""

    passage: Passage
    start: int
    end: int
    claim: Claim
    asked: Question

    def reason(self) -> str:
        """The reason code."""
        clauses = self.passage.touched(self.start, self.end)
        if not clauses:
            return "shares_no_words"
        if self.asked.claim is None:
            return self._judge_whole() or "said"
        figures = self._figures(clauses)
        found, missing = self._matches(clauses)
        entailed = False
        if missing or not (found or self.claim.figures):
            if self.asked.entails is None or not self.asked.entails(
                self.passage.text[self.start : self.end], self.asked.claim or ""
            ):
                if figures and found:
                    return figures
                return "words_missing" if found else "shares_no_words"
            entailed = True
        if figures:
            return figures
        if entailed and not found:
            return self._judge_whole() or "entailed"
        spots = found or {None: [self._whole(clauses)]}
        return self._judge(spots, clauses) or ("entailed" if entailed else "said")

    def _judge_whole(self) -> str:
        """Why the quote as a whole says no feeling of its writer's own, or another one."""
        inside = [o for o in self.passage.opinions if self.start <= o.start < self.end]
        wanted = {"positive": 1, "negative": -1}.get(self.asked.polarity or "", 0)
        meant = [o for o in inside if o.sign == wanted] or inside
        for stretch in self.passage.stretches:
            held = all(stretch.start <= o.start < stretch.end for o in meant) if meant else self._covers(stretch)
            wish = stretch.why == WISHED and wanted < 0
            if held and stretch.why not in self.asked.allowed and not wish:
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
        spoken = [o for o in self.passage.opinions if o.start < self.end and self.start < o.end]
        inside = inside or bool(self.claim.figures) or (len(clauses) == 1 and bool(spoken))
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
            if (
                not any(within)
                or stretch.why in self.asked.allowed
                or self._excused(stretch.why, anchors, stretch.start)
            ):
                continue
            if stretch.why == WISHED and self.asked.polarity == "negative" and self._sign_at(anchors) >= 0:
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
                if any(tag in token.tags for tag in tags) and any(h.start <= token.start < h.end for h in anchors):
                    return token.start <= start
        return False

    def _compared(self, chosen: dict[Word | None, list[Hit]]) -> str:
        """Whether what is claimed of something is said only of what it is compared with."""
        zones = self.passage.zones
        for word, places in chosen.items():
            standard = all(zones[h.start] == COMPARED for h in places)
            if word is None or word.standard == standard or any(w and w.standard for w in chosen):
                continue
            if standard and not (self.asked.polarity == "negative" and self._turns(places)):
                return "compared_with"
        if self.claim.figures and not any(w and w.standard for w in chosen) and self.asked.polarity != "negative":
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
        wanted = {"positive": 1, "negative": -1}.get(self.asked.polarity or "", 0)
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
        words = {w: places for w, places in chosen.items() if w is not None and (w.judges or not w.generic)}
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
