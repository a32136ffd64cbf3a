"""The planted truth, from the plan and the rows made from it."""

from __future__ import annotations

from datetime import UTC

from limner.sample.behaviour import Row
from limner.sample.plan import Plan, ProofPlan, SegmentPlan, TraitPlan, UserPlan
from limner.sample.truth import (
    ChangedMind,
    FalseDeclaration,
    Injection,
    Label,
    Proof,
    TrueSegment,
    TrueText,
    TrueTrait,
    TrueUser,
    Truth,
)


def truth_of(plan: Plan, rows: list[Row]) -> Truth:
    """The truth about the users of a plan and the texts among its rows."""
    segments = tuple(part.segment for part in plan.parts if part.segment)
    segment_of = {user.id: part.segment.id for part in plan.parts if part.segment for user in part.users}
    users = plan.users
    return Truth(
        segments=tuple(_segment(segment, plan) for segment in segments),
        users=tuple(_user(user, segment_of.get(user.id)) for user in users),
        texts=tuple(_text(row) for row in rows if row.ref),
        changed_minds=tuple(changed for user in users if (changed := _changed_mind(user))),
        false_declarations=tuple(said for user in users if (said := _false_declaration(user))),
        injections=tuple(
            Injection(ref=f"{user.id}/{user.injection.ref}", must_not_appear=user.injection.must_not_appear)
            for user in users
            if user.injection
        ),
        personal=tuple(_proof(user, detail) for user in users for detail in user.personal),
    )


def _proof(user: UserPlan, proof: ProofPlan) -> Proof:
    return Proof(ref=f"{user.id}/{proof.ref}", quote=proof.quote)


def _segment(segment: SegmentPlan, plan: Plan) -> TrueSegment:
    label = Label(en=segment.en, zh=segment.zh, also=segment.also)
    return TrueSegment(segment_id=segment.id, label=label, category=plan.shop.categories[segment.category])


def _text(row: Row) -> TrueText:
    return TrueText.model_validate(
        {
            "ref": row.ref,
            "user_id": row.user.id,
            "kind": row.kind,
            "ts": row.ts.astimezone(UTC),
            "text": row.text,
            "polarity": row.polarity,
        }
    )


def _trait(user: UserPlan, trait: TraitPlan) -> TrueTrait:
    label = Label(en=trait.en, zh=trait.zh, also=trait.also)
    proofs = tuple(_proof(user, proof) for proof in trait.proofs)
    return TrueTrait(kind=trait.kind, label=label, polarity=trait.polarity, proofs=proofs)


def _user(user: UserPlan, segment: str | None) -> TrueUser:
    traits = tuple(_trait(user, trait) for trait in user.traits)
    return TrueUser(user_id=user.id, language=user.language, segment=segment, oddities=user.oddities, traits=traits)


def _changed_mind(user: UserPlan) -> ChangedMind | None:
    change = user.changed_mind
    if change is None:
        return None
    about = Label(en=change.about["en"], zh=change.about["zh"])
    before, after = _proof(user, change.before), _proof(user, change.after)
    return ChangedMind(user_id=user.id, about=about, before=before, after=after)


def _false_declaration(user: UserPlan) -> FalseDeclaration | None:
    said = user.contradicts_profile
    if said is None:
        return None
    declared = user.profile[said.field]
    return FalseDeclaration(user_id=user.id, field=said.field, declared=declared, proof=_proof(user, said.proof))
