// Start, routes and keys. The address after # says what is shown, so that the browser's back button works.

function topBar() {
  const link = (view, label) => h("a", { href: `#${view}`, "aria-current": state.view === view ? "page" : null }, label);
  const other = state.lang === "zh" ? "en" : "zh";
  const setLanguage = () => { state.lang = other; draw(); };
  return h("header", { class: "top" },
    h("a", { class: "skip", href: "#", on: { click: (event) => { event.preventDefault(); focusContent(); } } }, say("skip")),
    h("span", { class: "brand" }, h("span", { class: "seal", "aria-hidden": "true" }, state.lang === "zh" ? "像" : "L"), "limner"),
    !DATA.single && h("nav", {}, link("overview", say("overview")), link("people", say("people"))),
    h("span", { class: "tools" },
      h("button", { type: "button", lang: other, on: { click: setLanguage } }, other === "zh" ? "中文" : "English"),
      h("button", { type: "button", "aria-label": say("theme"), title: say("theme"), on: { click: switchTheme } }, "◐"),
      h("button", { type: "button", class: "print", on: { click: () => window.print() } }, say("print"))));
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

function focusContent() {
  const target = document.querySelector("main h1") || document.querySelector("main");
  target.focus();
}

function content() {
  if (DATA.single) return h("div", { class: "alone" }, personCard(DATA.people[0]));
  return state.view === "people" ? peopleView() : overview();
}

function draw() {
  closePanel();
  document.documentElement.lang = state.lang === "zh" ? "zh-CN" : "en";
  document.getElementById("page").replaceChildren(
    topBar(),
    h("main", { tabindex: "-1" }, content()),
    h("aside", { id: "panel", role: "dialog", "aria-labelledby": "panel-title", hidden: true }),
    h("footer", { class: "foot" }, say("made", dated(DATA.made))),
  );
  fillList();
}

function route() {
  const hash = location.hash;
  const was = state.view;
  if (hash.startsWith("#u=")) {
    let id = "";
    try { id = decodeURIComponent(hash.slice(3)); } catch { id = ""; }
    Object.assign(state, { view: "people", person: PEOPLE.has(id) ? id : null });
  } else if (hash === "#people") Object.assign(state, { view: "people", person: null });
  else Object.assign(state, { view: "overview", person: null });
  if (was === "people" && state.view === "people" && document.getElementById("stage")) showPerson();
  else draw();
  if (state.person || was !== state.view) window.scrollTo(0, 0);
}

// Changes the open person without drawing the list again, so that its place and the search stay.
function showPerson() {
  closePanel();
  const person = PEOPLE.get(state.person);
  document.querySelector(".people").classList.toggle("with-person", Boolean(person));
  document.getElementById("stage").replaceChildren(...[stage(person)].flat());
  document.querySelectorAll(".row").forEach((row) => {
    if (person && row.getAttribute("href") === personLink(person.id)) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  });
  if (!person) fillList();
}

function onKey(event) {
  if (event.key === "Escape") closePanel();
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName || "");
  if (event.key === "/" && !typing && !DATA.single) {
    event.preventDefault();
    if (state.view !== "people") location.hash = "#people";
    setTimeout(() => document.getElementById("search")?.focus());
  }
  if ((event.key === "ArrowDown" || event.key === "ArrowUp") && document.activeElement?.classList.contains("row")) {
    const next = event.key === "ArrowDown" ? document.activeElement.nextElementSibling : document.activeElement.previousElementSibling;
    if (next?.classList.contains("row")) { event.preventDefault(); next.focus(); }
  }
}

addEventListener("hashchange", route);
addEventListener("keydown", onKey);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((element) => { element.open = true; }));
if (DATA.single) draw();
else { state.view = ""; route(); }
