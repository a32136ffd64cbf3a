// The two views: an overview of everyone, and the people with one of them open.

const CHUNK = 60; // List rows drawn at a time; the next ones come when the reader gets near the end.

function overview() {
  return h("div", { class: "overview" }, headline(), questionSection(), segmentsSection(), copySection());
}

function headline() {
  const totals = DATA.totals;
  const figures = [["users", totals.users], ["events", totals.events], ["texts", totals.texts],
    ["claims_kept", totals.accepted], ["claims_refused", totals.rejected]].filter(([, n]) => typeof n === "number");
  const shown = DATA.people.length;
  return h("section", { class: "headline" },
    h("h1", { id: "content", tabindex: "-1", dir: "auto" }, DATA.title),
    totals.first && totals.last && h("p", { class: "period" }, say("period", dated(totals.first), dated(totals.last))),
    h("dl", { class: "figures" }, figures.map(([key, n]) => h("div", {}, h("dt", {}, say(key)), h("dd", {}, grouped(n))))),
    shown < totals.users && h("p", { class: "remark" }, say("partial", grouped(shown), grouped(totals.users))));
}

function segmentsSection() {
  if (!DATA.segments.length) return null;
  const most = Math.max(1, ...DATA.segments.map((segment) => segment.users || 0));
  return h("section", { class: "block" }, h("h2", {}, say("segments")),
    h("ul", { class: "segments" }, DATA.segments.map((segment) => segmentCard(segment, most))));
}

function segmentCard(segment, most) {
  const users = segment.users || 0;
  const show = () => {
    Object.assign(state, { segment: segment.id, query: "", language: "" });
    location.hash = "#people";
  };
  const marks = segment.features.filter((feature) => typeof feature.lift === "number").slice(0, 4);
  return h("li", { class: "segment" },
    h("h3", { dir: "auto" }, segment.name),
    h("p", { class: "size" }, h("strong", {}, counted("segment_user", "segment_users", users)),
      DATA.totals.users > 0 && ` · ${percent(users / DATA.totals.users)}`),
    h("div", { class: "size-bar", "aria-hidden": "true" }, h("i", { vars: { w: users / most } })),
    segment.description && h("p", { class: "description", dir: "auto" }, segment.description),
    h("ul", { class: "marks" }, marks.map((feature) => h("li", { title: say("lift", feature.lift.toFixed(1)) },
      h("span", { dir: "auto" }, feature.label), h("b", {}, `×${feature.lift.toFixed(1)}`)))),
    h("button", { type: "button", class: "plain", on: { click: show } }, `${say("show_people")} →`));
}

function haystack(person) {
  person.searched ??= folded([person.id, ...person.merged, ...person.traits.map((trait) => trait.label), ...person.narrative.map(([text]) => text),
    ...person.segments.map(([id]) => segmentName(id)), ...person.traits.flatMap((trait) => trait.evidence.map((span) => span[4]))].join("\n"));
  return person.searched;
}

function foundPeople() {
  const found = DATA.people.filter((person) =>
    (!state.language || person.lang === state.language) &&
    (!state.segment || person.segments.some(([id]) => id === state.segment)) &&
    (!state.query.trim() || matches(haystack(person), state.query.trim())));
  const byName = (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
  return found.sort(state.sort === "id" ? byName : (a, b) => b.traits.length - a.traits.length || byName(a, b));
}

function peopleView() {
  const person = PEOPLE.get(state.person);
  return h("div", { class: `people ${person ? "with-person" : ""}` },
    h("section", { class: "finder", "aria-label": say("people") }, filters(),
      h("div", { class: "found" }, h("span", { id: "found", "aria-live": "polite" }), chooser("sort", [["claims", say("sort_claims")], ["id", say("sort_id")]])),
      h("div", { class: "list", id: "list" })),
    h("div", { class: "stage", id: "stage" }, stage(person)));
}

function stage(person) {
  if (!person) return h("p", { class: "choose" }, say("choose"));
  return [h("a", { class: "back", href: "#people" }, `← ${say("back")}`), personCard(person)];
}

function filters() {
  const search = h("input", { type: "search", id: "search", placeholder: say("search"), "aria-label": say("search"), autocomplete: "off", spellcheck: "false",
    on: { input: (event) => { state.query = event.target.value; fillList(); } } });
  search.value = state.query;
  const segments = DATA.segments.map((segment) => [segment.id, segment.name]);
  return h("div", { class: "filters" }, search,
    chooser("language", [["", say("all")], ["zh", word("language", "zh")], ["en", word("language", "en")]]),
    segments.length > 0 && chooser("segment", [["", say("all")], ...segments]));
}

function chooser(key, options) {
  const select = h("select", { on: { change: (event) => { state[key] = event.target.value; fillList(); } } },
    options.map(([value, label]) => h("option", { value }, label)));
  select.value = state[key];
  return h("label", { class: "chooser" }, h("span", {}, say(key)), select);
}

let watcher = null;

function fillList() {
  const list = document.getElementById("list");
  if (!list) return;
  const found = foundPeople();
  document.getElementById("found").textContent = counted("found_one", "found", found.length);
  if (watcher) watcher.disconnect();
  list.replaceChildren(...(found.length ? [] : [h("p", { class: "remark" }, say("nobody"))]));
  let drawn = 0;
  const more = () => {
    const end = h("div", { class: "end" });
    list.append(...found.slice(drawn, drawn + CHUNK).map(personRow), end);
    drawn += CHUNK;
    if (drawn >= found.length) { end.remove(); return; }
    watcher = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      end.remove();
      more();
    }, { rootMargin: "400px" });
    watcher.observe(end);
  };
  if (found.length) more();
}

function personRow(person) {
  const labels = person.traits.slice(0, 3).map((trait) => h("span", {}, sign(trait.polarity), trait.label));
  return h("a", { class: "row", href: personLink(person.id), "aria-current": person.id === state.person ? "true" : null },
    h("span", { class: "row-head" }, h("b", { dir: "auto" }, person.id), h("span", { class: "tag" }, person.lang === "zh" ? "中" : "EN")),
    h("span", { class: "row-traits", dir: "auto" }, labels.length ? labels : say("nothing_read")));
}
