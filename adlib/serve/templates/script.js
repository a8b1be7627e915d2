// Keys, the map's opacity, and the threshold that is dragged. Pages work without it.
"use strict";

const one = (selector) => document.querySelector(selector);
const kept = {
  get(name, otherwise) {
    try { return sessionStorage.getItem(name) ?? otherwise; } catch { return otherwise; }
  },
  set(name, value) {
    try { sessionStorage.setItem(name, value); } catch { /* private windows */ }
  },
};

// Keys
const help = one("#help");
const helpButton = one("#help-button");
helpButton.hidden = false;
helpButton.addEventListener("click", () => help.showModal());

function follow(selector) {
  const link = one(selector);
  if (link) link.click();
}

function step(by) {
  const cards = [...document.querySelectorAll(".card")];
  if (!cards.length) return follow(by > 0 ? "main a[rel=next]" : "main a[rel=prev]");
  const at = cards.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : -1) : at + by;
  if (cards[next]) return cards[next].focus();
  if (at >= 0) follow(by > 0 ? "main a[rel=next]" : "main a[rel=prev]");
}

const actions = {
  j: () => step(1), ArrowRight: () => step(1),
  k: () => step(-1), ArrowLeft: () => step(-1),
  g: () => follow("#say .good"),
  d: () => follow("#say .defect"),
  u: () => follow(one("#undo button") ? "#undo button" : "#say .undo"),
  o: () => follow("#map-on"),
  l: () => follow("#to-list"),
  c: () => one("#comment")?.focus(),
  "?": () => help.showModal(),
};

document.addEventListener("keydown", (event) => {
  const inside = event.target.closest("input, select, textarea, dialog");
  if (event.key === "Escape" && event.target.id === "comment") event.target.blur();
  const slides = inside?.type === "range" && !event.key.startsWith("Arrow");
  const writes = inside && inside.type !== "checkbox" && !slides;
  if (writes || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const act = actions[event.key];
  if (act) { event.preventDefault(); act(); }
});

// A second press before the next page has come must not be for this result again.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
window.addEventListener("pageshow", () => {  // also when a browser goes back to it
  for (const form of document.querySelectorAll("form")) delete form.dataset.sent;
});

// Filters act at once
for (const select of document.querySelectorAll(".filters select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// The map over the image
const controls = one("#controls");
if (controls) {
  controls.hidden = false;
  const map = one("#map"), lines = one("#lines");
  const opacity = one("#opacity"), mapOn = one("#map-on"), linesOn = one("#lines-on");
  const show = () => {
    if (map) map.style.opacity = mapOn.checked ? opacity.value / 100 : 0;
    if (linesOn) lines.classList.toggle("off", !linesOn.checked);
  };
  for (const input of [opacity, mapOn, linesOn]) {
    if (!input) continue;
    const value = input.type === "checkbox" ? "checked" : "value";
    const before = kept.get(input.id, null);
    if (before !== null) input[value] = input === opacity ? before : before === "true";
    input.addEventListener("input", () => {
      if (input === opacity) mapOn.checked = true;
      kept.set(input.id, input[value]);
      show();
    });
  }
  show();
}
document.addEventListener("error", (event) => {  // no broken signs
  if (event.target.tagName === "IMG") event.target.classList.add("gone");
}, true);

// What the image was compared with: the server asks its model, which takes a while
const compared = one("#compared[data-from]");
if (compared) {
  fetch(compared.dataset.from, { credentials: "same-origin" })
    .then((answer) => answer.text())
    .then((text) => { compared.innerHTML = text; })
    .catch(() => { compared.textContent = "The server does not answer."; });
}

// The threshold of the histogram
const histogram = one("#histogram");
if (histogram) {
  const scores = JSON.parse(histogram.dataset.scores), edges = scores.edges;
  const first = Number(histogram.dataset.at);
  const slider = one("#threshold"), reset = one("#reset");
  one("#threshold-label").hidden = false;
  const say = (selector, text) => { one(selector).textContent = text; };
  const set = (at) => {
    slider.value = at;
    for (const line of histogram.querySelectorAll("line")) {
      line.setAttribute("x1", at);
      line.setAttribute("x2", at);
    }
    for (const area of histogram.querySelectorAll(".fails")) {
      area.setAttribute("x", at);
      area.setAttribute("width", edges.length - 1 - at);
    }
    const threshold = Number(edges[at].toPrecision(4));
    slider.setAttribute("aria-valuetext", String(threshold));
    say("#chosen", threshold);
    say("#chosen-note", at === first ? "(that of the model)" : "");
    reset.hidden = at === first;
    for (const name of ["all", "good", "defect"]) {
      const total = scores[name][edges.length - 1], passed = scores[name][at];
      const count = name === "defect" ? passed : total - passed;
      say(`#rate-${name}`, total ? `${(100 * count / total).toFixed(2)} %` : "-");
      say(`#count-${name}`, `${count.toLocaleString("en")} of ${total.toLocaleString("en")}`);
    }
  };
  slider.addEventListener("input", () => set(Number(slider.value)));
  reset.addEventListener("click", () => { set(first); slider.focus(); });
  for (const strip of histogram.querySelectorAll("svg")) {
    const drag = (event) => {
      if (!event.buttons) return;
      const box = strip.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      set(Math.round(Math.min(1, Math.max(0, share)) * (edges.length - 1)));
    };
    strip.addEventListener("pointerdown", (event) => {
      strip.setPointerCapture(event.pointerId);
      drag(event);
    });
    strip.addEventListener("pointermove", drag);
  }
}
