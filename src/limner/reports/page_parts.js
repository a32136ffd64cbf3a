// Small parts every view is made of. Text reaches the page through text nodes only, never as HTML.

const DATA = JSON.parse(document.getElementById("data").textContent);
const EVENTS = new Map(Object.entries(DATA.events));
const PEOPLE = new Map(DATA.people.map((person) => [person.id, person]));
const SEGMENTS = new Map(DATA.segments.map((segment) => [segment.id, segment]));
const state = { lang: DATA.lang, view: "overview", person: null, query: "", language: "", segment: "", sort: "claims" };

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "vars") for (const [key, set] of Object.entries(value)) element.style.setProperty(`--${key}`, set);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...shown.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

function word(group, key) {
  const words = DATA.words[state.lang][group];
  return Object.hasOwn(words, key) ? words[key] : String(key).replaceAll("_", " ");
}

function say(key, ...values) {
  return filled(DATA.words[state.lang].ui[key], values);
}

function counted(one, many, number) {
  return number === 1 ? say(one) : say(many, grouped(number));
}

function grouped(number) {
  return Math.round(number).toLocaleString("en-US");
}

function percent(share) {
  return `${share > 0 && share < 0.0995 ? (share * 100).toFixed(1).replace(/\.0$/, "") : Math.round(share * 100)}%`;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

// A stored time (ISO, UTC) as a date; with the time of day where `timed` asks for it and it is known.
function dated(iso, timed) {
  const found = /^(\d+)-(\d\d)(?:-(\d\d))?(?:T(\d\d:\d\d))?/.exec(iso || "");
  if (!found) return say("unknown");
  const [, year, month, day, time] = found;
  const clock = timed && time && time !== "00:00" ? `${state.lang === "zh" ? " " : ", "}${time} UTC` : "";
  if (state.lang === "zh") return `${year}年${Number(month)}月${day ? `${Number(day)}日` : ""}${clock}`;
  return `${day ? `${Number(day)} ` : ""}${MONTHS[month - 1]} ${year}${clock}`;
}

function confidenceKey(confidence) {
  if (typeof confidence !== "number") return "unknown";
  const step = DATA.confidence.find(([, least]) => confidence >= least);
  return step ? step[0] : "weak";
}

function polarityTone(polarity) {
  return Object.hasOwn(DATA.signs, polarity) ? polarity : "neutral";
}

// The sign of a polarity: shape and colour.
function sign(polarity) {
  const tone = polarityTone(polarity);
  return h("span", { class: `sign ${tone}`, "aria-hidden": "true" }, DATA.signs[tone]);
}

// A confidence as a bar and a word.
function confidence(value) {
  const key = confidenceKey(value);
  const known = key !== "unknown";
  return h(
    "span",
    { class: "confidence", title: known ? `${say("confidence")} ${value.toFixed(2)}` : null },
    h("span", { class: "bar", "aria-hidden": "true" }, known && h("i", { vars: { w: Math.max(0, Math.min(1, value)) } })),
    h("span", { class: "word" }, word("confidence", key), known && h("small", {}, ` ${value.toFixed(2)}`)),
  );
}

// An element that acts as a button inside running text, where a real button would not wrap.
function inlineButton(className, action, ...children) {
  const run = (event) => {
    if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    action(element);
  };
  const element = h("span", { class: className, role: "button", tabindex: "0", on: { click: run, keydown: run } }, children);
  return element;
}

function chip(text, action, className) {
  const shown = h("span", { class: "chip-text" }, text);
  if (!action) return h("span", { class: `chip ${className || ""}` }, shown);
  return h("button", { type: "button", class: `chip ${className || ""}`, on: { click: (event) => action(event.currentTarget) } }, shown);
}

function personLink(id) {
  return `#u=${encodeURIComponent(id)}`;
}

// Events per month as columns: at most the last 24 months, the empty ones in between included.
function activityChart(months) {
  const inOrder = months.filter(([month]) => /^\d{4}-\d\d$/.test(month));
  if (inOrder.length < 2) return null;
  const index = (month) => Number(month.slice(0, 4)) * 12 + Number(month.slice(5)) - 1;
  const last = index(inOrder[inOrder.length - 1][0]);
  const first = Math.max(index(inOrder[0][0]), last - 23);
  const named = (at) => `${Math.floor(at / 12)}-${String((at % 12) + 1).padStart(2, "0")}`;
  const counts = new Map(inOrder);
  const shown = Array.from({ length: last - first + 1 }, (_, i) => [named(first + i), counts.get(named(first + i)) || 0]);
  const most = shown.reduce((a, b) => (b[1] > a[1] ? b : a));
  const total = shown.reduce((sum, [, n]) => sum + n, 0);
  const label = say("activity_label", grouped(total), dated(shown[0][0]), dated(named(last)), dated(most[0]), grouped(most[1]));
  return h(
    "figure",
    { class: "activity" },
    h("figcaption", {}, say("activity")),
    h("div", { class: "columns", role: "img", "aria-label": label }, shown.map(([month, n]) =>
      h("i", { vars: { h: n / most[1] }, class: n ? "" : "empty", title: `${dated(month)}: ${grouped(n)}` }))),
    h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, dated(shown[0][0])), h("span", {}, dated(named(last)))),
  );
}
