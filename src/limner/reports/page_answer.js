// An answer with its numbered sources, and copy variants with their checks.

function questionSection() {
  const given = DATA.answer;
  if (!given) return null;
  const cited = given.citations || [];
  const lines = String(given.answer || (given.abstained ? say("abstained") : "")).split(/\n+/);
  return h("section", { class: `block question ${given.abstained ? "abstained" : ""}` }, h("h2", {}, say("question")),
    h("blockquote", { lang: given.language, dir: "auto" }, given.question),
    h("div", { class: "answer", lang: given.language, dir: "auto" }, lines.map((line) => h("p", {}, withMarks(line, cited)))),
    !given.abstained && typeof given.n === "number" && h("p", { class: "remark good" }, `✓ ${counted("rests_on_one", "rests_on", given.n)}`),
    cited.length > 0 && h("div", { class: "chips" }, h("span", { class: "kicker" }, say("citations")), cited.map(citation)));
}

// A line of an answer whose marks, such as [1] or [2-5], open the sources they number.
function withMarks(line, cited) {
  return answerParts(line).map((part) => {
    const found = part.numbers.filter((number) => cited[number - 1]).map((number) => [number, cited[number - 1]]);
    if (!found.length) return part.text;
    return h("button", { type: "button", class: "cited", on: { click: (event) => openCitations(found, event.currentTarget) } },
      part.text.slice(1, -1).replaceAll("-", "–"));
  });
}

function openCitations(found, from) {
  openPanel(from, found.map(([number]) => `[${number}]`).slice(0, 12).join(" "), say("citations"), found.map(([, given]) => cited(given)));
}

// What a citation names, for the panel.
function cited({ type, id }) {
  const key = String(id);
  if (type === "event") {
    const event = EVENTS.get(key);
    return [source(key, [], false), event && PEOPLE.has(event.user_id) && personLine(event.user_id)];
  }
  if (type === "user") return personLine(key);
  const segment = SEGMENTS.get(key);
  return h("section", { class: "support" }, h("h3", {}, segmentName(key), h("small", {}, say("segment"))),
    segment && segment.description && h("p", { dir: "auto" }, segment.description));
}

function personLine(id) {
  const person = PEOPLE.get(id);
  if (!person) return h("p", {}, id);
  return h("section", { class: "support" }, h("h3", {}, h("a", { href: personLink(id) }, id)),
    h("p", { lang: person.lang, dir: "auto" }, person.narrative.map(([text]) => text).join(person.lang === "zh" ? "" : " ")));
}

// What a click on a citation does, by its type; false where the page does not hold what it names.
const CITATIONS = {
  user: (id) => PEOPLE.has(id) && (() => { location.hash = personLink(id); }),
  event: (id) => EVENTS.has(id) && ((from) => openEvent(id, from)),
  segment: (id) => SEGMENTS.has(id) && (() => { state.segment = id; location.hash = "#people"; }),
};

function citation({ type, id }, index) {
  const find = Object.hasOwn(CITATIONS, type) ? CITATIONS[type] : () => false;
  const shown = type === "segment" ? segmentName(id) : id;
  return chip(`${index + 1} · ${shown}`, find(String(id)), type);
}

function copySection() {
  const given = DATA.copy;
  if (!given) return null;
  return h("section", { class: "block" },
    h("h2", {}, say("copy")), h("p", { class: "period" }, say("copy_for", word("channel", given.channel), given.segment)),
    h("ol", { class: "variants" }, (given.variants || []).map((variant, index) => variantCard(variant, index + 1))));
}

function variantCard(variant, number) {
  const uses = variant.uses || [];
  return h("li", { class: "variant" },
    h("p", { class: "kicker" }, say("variant", number)),
    h("div", { class: "message", dir: "auto" },
      variant.headline && h("h3", {}, variant.headline),
      String(variant.body || "").split(/\n+/).map((line) => h("p", {}, line)),
      variant.cta && h("p", { class: "cta" }, variant.cta)),
    uses.length > 0 && h("div", { class: "chips" }, h("span", { class: "kicker" }, say("uses")), uses.map((use) => chip(String(use).replace(/^trait:/, "")))),
    h("ul", { class: "checks" }, checkRows(variant.checks || [])));
}

// The checks that failed or have something to say, one to a row; the names of the others together.
function checkRows(checks) {
  const row = (ok, name, detail) => h("li", { class: ok ? "good" : "bad" },
    h("span", { "aria-hidden": "true" }, ok ? "✓" : "✗"), h("b", {}, name),
    h("span", { class: "unseen" }, say(ok ? "check_passed" : "check_failed")), detail && h("span", { class: "detail" }, detail));
  const telling = checks.filter((check) => !check.ok || check.detail);
  const silent = checks.filter((check) => check.ok && !check.detail).map((check) => word("rule", check.rule));
  return [...telling.map((check) => row(check.ok, word("rule", check.rule), check.detail)),
    silent.length > 0 && row(true, silent.join(" · "), null)];
}
