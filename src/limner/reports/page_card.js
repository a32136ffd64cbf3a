// One person: portrait in words, facts, traits, what was refused.

const HERO_FACTS = ["monetary", "frequency", "recency_days", "rating_mean"];
const SHOWN_ELSEWHERE = new Set([...HERO_FACTS, "lang", "ratings"]);

function personCard(person) {
  return h(
    "article",
    { class: "card", "aria-labelledby": "person-name" },
    h("header", { class: "card-head" },
      h("p", { class: "kicker" }, [word("language", person.lang), ...person.segments.map(([id]) => segmentName(id))].join(" · ")),
      h("h1", { id: "person-name", tabindex: "-1", dir: "auto" }, person.id)),
    person.merged.length ? h("p", { class: "byline" }, say("merged", person.merged.join(", "))) : null,
    narrative(person),
    heroFacts(person),
    traitsSection(person),
    factsSection(person),
    activityChart(person.activity),
    refusedSection(person),
  );
}

function segmentName(id) {
  const segment = SEGMENTS.get(id);
  return segment ? segment.name : id;
}

function narrative(person) {
  if (!person.narrative.length) {
    if (person.traits.length) return null;
    return h("div", { class: "nothing" }, h("strong", {}, say("nothing_read")), h("p", {}, say("nothing_read_more")));
  }
  const sentences = person.narrative.map(([text, supports]) => [
    inlineButton("claim sentence", (element) => openSentence(person, text, supports, element), text,
      supports.length > 0 && h("sup", { "aria-hidden": "true" }, supports.length)),
    person.lang === "zh" ? "" : " ",
  ]);
  return h("section", { class: "narrative" },
    h("p", { lang: person.lang, dir: "auto" }, sentences),
    h("p", { class: "byline" }, say("hint"), person.model && h("span", {}, " ", say("model", person.model))));
}

function heroFacts(person) {
  const known = HERO_FACTS.filter((slot) => person.facts[slot]);
  if (!known.length) return null;
  return h("dl", { class: "hero-facts" }, known.map((slot) => {
    const fact = DATA.facts.find((candidate) => candidate.slot === slot);
    return h("div", {}, h("dt", {}, fact[state.lang]), h("dd", {}, factValue(person, slot)));
  }));
}

function factsSection(person) {
  const rest = DATA.facts.filter((fact) => !SHOWN_ELSEWHERE.has(fact.slot));
  const known = rest.filter((fact) => person.facts[fact.slot]);
  const unknown = DATA.facts.filter((fact) => !person.facts[fact.slot]).map((fact) => fact[state.lang]);
  return h("section", { class: "facts" },
    h("h2", {}, say("facts")),
    h("dl", {}, known.map((fact) => h("div", {}, h("dt", {}, fact[state.lang]), h("dd", { dir: "auto" }, factValue(person, fact.slot))))),
    unknown.length > 0 && h("p", { class: "unknown" }, say("not_known", unknown.join(state.lang === "zh" ? "、" : ", "))));
}

function traitsSection(person) {
  if (!person.traits.length) return null;
  const others = person.traits.map((trait) => trait.kind).filter((kind) => !DATA.kinds.includes(kind));
  const kinds = [...DATA.kinds, ...new Set(others)];
  const groups = kinds.map((kind) => [word("kind", kind), person.traits.filter((trait) => trait.holds && trait.kind === kind)]);
  groups.push([say("no_longer"), person.traits.filter((trait) => !trait.holds)]);
  return h("section", { class: "traits" },
    h("h2", {}, say("traits")),
    h("div", { class: "kinds" }, groups.filter(([, traits]) => traits.length).map(([title, traits]) =>
      h("section", { class: "kind" }, h("h3", {}, title), h("ul", {}, traits.map(traitRow))))));
}

function traitRow(trait) {
  const sourcesSaid = counted("mention", "mentions", trait.mentions);
  return h("li", {},
    h("button", { type: "button", class: "claim trait", on: { click: (event) => openTrait(trait, event.currentTarget) } },
      sign(trait.polarity),
      h("span", { class: "label", dir: "auto" }, trait.label),
      h("span", { class: "under" }, [word("polarity", trait.polarity), ...statusMarks(trait), sourcesSaid].join(" · "),
        trait.last && h("span", { class: "last" }, ` · ${say("last_confirmed", dated(trait.last))}`)),
      confidence(trait.confidence)),
    h("div", { class: "for-print" }, trait.evidence.map((span) => h("p", {}, h("q", {}, span[4]), " ", h("code", {}, span[0])))));
}

// What a trait's status adds to it: nothing for one that merely holds now.
function statusMarks(trait) {
  if (trait.status === "current") return [];
  return [word("status", trait.status), trait.closed && say("since", dated(trait.closed)), trait.field && say("in_profile", trait.field)].filter(Boolean);
}

function refusedSection(person) {
  if (!person.refused) return null;
  const more = person.refused - person.rejected.length;
  return h("details", { class: "refused" },
    h("summary", {}, counted("refused_one", "refused", person.refused)),
    h("p", { class: "remark" }, say("refused_why")),
    h("ul", {}, person.rejected.map((claim) => h("li", {},
      h("button", { type: "button", class: "claim", on: { click: (event) => openRefused(claim, event.currentTarget) } },
        h("span", { class: "label", dir: "auto" }, claim.label), h("small", {}, word("kind", claim.kind))),
      h("p", { class: "reason" }, word("reason", claim.reason), claim.evidence[0][4] && [": ", h("q", {}, claim.evidence[0][4])])))),
    more > 0 && h("p", { class: "remark" }, say("refused_more", grouped(more))));
}
