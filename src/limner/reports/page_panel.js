// The evidence panel: the stored text behind a claim, with the quoted words marked.

let opener = null;

function openPanel(from, heading, kicker, ...content) {
  document.querySelectorAll(".chosen-claim").forEach((element) => element.classList.remove("chosen-claim"));
  opener = from;
  if (from) from.classList.add("chosen-claim");
  const close = h("button", { type: "button", class: "plain close", "aria-label": say("close"), on: { click: closePanel } }, "✕");
  const title = h("h2", { id: "panel-title", tabindex: "-1" }, heading);
  const panel = document.getElementById("panel");
  panel.replaceChildren(
    h("div", { class: "panel-head" }, h("p", { class: "kicker" }, kicker), close, title),
    h("div", { class: "panel-body" }, content),
  );
  panel.hidden = false;
  panel.scrollTop = 0;
  document.body.classList.add("panel-open");
  title.focus({ preventScroll: true });
}

function closePanel() {
  const panel = document.getElementById("panel");
  if (!panel || panel.hidden) return;
  panel.hidden = true;
  panel.replaceChildren();
  document.body.classList.remove("panel-open");
  if (opener) {
    opener.classList.remove("chosen-claim");
    if (opener.isConnected) opener.focus({ preventScroll: true });
  }
  opener = null;
}

// Text with marks; a long one is shortened around them until the reader asks for all of it.
function markedText(text, spans, className) {
  const all = markedParts(text, spans);
  const brief = text.length > 900 ? shortened(all, 160) : all;
  const draw = (parts) => parts.map((part) => (part.marked ? h("mark", {}, part.text) : part.text));
  const paragraph = h("p", { class: className, dir: "auto" }, draw(brief));
  if (brief === all) return paragraph;
  const more = h("button", { type: "button", class: "plain more", on: { click: () => {
    paragraph.replaceChildren(...draw(all));
    more.remove();
  } } }, say("whole_text"));
  return [paragraph, more];
}

function eventLine(event) {
  const facts = [dated(event.ts, true), word("event", event.kind)];
  if (typeof event.rating === "number") facts.push(`★ ${Number(event.rating.toFixed(1))}`);
  if (event.amount) facts.push(event.amount[state.lang === "zh" ? 1 : 0]);
  if (event.role) facts.push(event.role);
  return h("p", { class: "event-line" }, facts.join(" · "));
}

// One event with the quoted words of `evidence` ([event, field, start, end, quote] each) marked in it.
function source(eventId, evidence, checked) {
  const event = EVENTS.get(eventId);
  const foot = h("p", { class: "event-id" }, `${say("event_id")} `, h("code", {}, eventId));
  if (!event) {
    const quotes = evidence.map((span) => h("p", { class: "text" }, h("mark", {}, span[4])));
    return h("article", { class: "source" }, quotes, h("p", { class: "remark" }, say("source_missing")), foot);
  }
  const exact = evidence.filter(([, field, start, end, quote]) => isExact(event[field], start, end, quote));
  const wrong = evidence.filter((span) => !exact.includes(span));
  const spansOf = (field) => exact.filter((span) => span[1] === field).map((span) => [span[2], span[3]]);
  const lines = [["title", "item-title"], ["text_title", "text-title"], ["text", "text"]]
    .filter(([field]) => typeof event[field] === "string" && event[field].trim())
    .map(([field, className]) => markedText(event[field], spansOf(field), className));
  return h(
    "article",
    { class: "source" },
    eventLine(event),
    lines,
    checked && exact.length > 0 && h("p", { class: "remark good" }, `✓ ${say("exact")}`),
    wrong.map((span) => h("p", { class: "remark bad" }, `${say("not_exact")}: `, h("q", {}, span[4]))),
    foot,
  );
}

// All the events of a list of evidence, each once.
function sources(evidence, checked) {
  const byEvent = new Map();
  for (const span of evidence) byEvent.set(span[0], [...(byEvent.get(span[0]) || []), span]);
  return [...byEvent].map(([eventId, spans]) => source(eventId, spans, checked));
}

function traitMeta(trait) {
  return h("p", { class: "trait-meta" }, sign(trait.polarity), h("span", {}, [word("polarity", trait.polarity), ...statusMarks(trait)].join(" · ")), confidence(trait.confidence));
}

function openTrait(trait, from) {
  openPanel(from, trait.label, `${word("kind", trait.kind)} · ${counted("mention", "mentions", trait.mentions)}`,
    traitMeta(trait), sources(trait.evidence, true),
    trait.against.length > 0 && [h("h3", {}, say("against")), sources(trait.against, true)]);
}

function openSentence(person, text, supports, from) {
  const parts = supports.map((support) => supportView(person, support));
  openPanel(from, text, say("rests_sentence"), parts.length ? parts : h("p", { class: "remark" }, say("no_support")));
}

// What a sentence rests on: a trait with its evidence, or a computed fact.
function supportView(person, support) {
  const trait = person.traits.find((candidate) => candidate.id === support);
  if (trait) {
    return h("section", { class: "support" }, h("h3", {}, trait.label, h("small", {}, word("kind", trait.kind))),
      traitMeta(trait), sources(trait.evidence, true));
  }
  const name = support.replace(/^fact:/, "");
  const fact = DATA.facts.find((candidate) => candidate.column === name || candidate.slot === name);
  if (!fact) return h("section", { class: "support" }, h("h3", {}, support));
  return h("section", { class: "support fact" }, h("h3", {}, fact[state.lang]),
    h("p", { class: "fact-value" }, factValue(person, fact.slot)), h("p", { class: "remark good" }, `✓ ${say("computed")}`));
}

function factValue(person, slot) {
  const known = person.facts[slot];
  return known ? known[state.lang === "zh" ? 1 : 0] : say("unknown");
}

function openEvent(eventId, from) {
  const event = EVENTS.get(eventId);
  openPanel(from, event ? word("event", event.kind) : eventId, say("evidence"), source(eventId, [], false),
    event && PEOPLE.has(event.user_id) && h("p", {}, h("a", { href: personLink(event.user_id) }, event.user_id)));
}

function openRefused(claim, from) {
  const [eventId, , , , quote] = claim.evidence[0];
  openPanel(from, claim.label, word("kind", claim.kind),
    h("p", { class: "remark bad" }, `✗ ${word("reason", claim.reason)}`),
    quote && h("p", { class: "claimed" }, `${say("claimed")}: `, h("q", {}, quote)),
    eventId && source(eventId, claim.evidence.filter((span) => span[2] >= 0), false));
}
