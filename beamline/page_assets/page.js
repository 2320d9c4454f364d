// What the server cannot do for the page: the theme of the viewer's machine, the keyboard, and noticing a lost server.
"use strict";
const page = document.getElementById("page");

function withTheme(theme) {
  const address = new URL(location.href);
  address.searchParams.set("theme", theme);
  location.replace(address);
}

if (!page.dataset.themeChosen && matchMedia("(prefers-color-scheme: dark)").matches) withTheme("dark");
document.getElementById("theme")?.addEventListener("click", () =>
  withTheme(page.classList.contains("dark") ? "light" : "dark"));

// Arrow keys move the pixel, unless something is being typed.
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
let steps = 0;
addEventListener("keydown", (event) => {
  const typed = event.composedPath()[0];
  if (!(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return;
  if (typed instanceof HTMLElement && typed.matches("input, textarea, select")) return;
  const box = window.Bokeh?.documents[0]?.get_model_by_name("set_pixel");
  if (!box) return;
  event.preventDefault();
  steps += 1; // a step twice the same way must be a change of the value
  box.value = `${KEYS[event.key]} ${steps}`;
});

// The cells of a map are square: its frame is the largest of its shape for which its place has room.
const shapes = {};

function fit(place) {
  const map = window.Bokeh?.documents[0]?.get_model_by_name(place.dataset.map);
  const view = map && window.Bokeh.index.find_one(map);
  if (!view?.frame?.bbox.width) return false;
  const shape = (shapes[map.name] ??= map.frame_width / map.frame_height);
  const { width, height } = view.frame.bbox;
  const room = [place.clientWidth - (view.bbox.width - width), place.clientHeight - (view.bbox.height - height)];
  const high = Math.max(Math.floor(Math.min(room[0] / shape, room[1])), 40);
  const wide = Math.round(high * shape);
  if (Math.abs(wide - map.frame_width) + Math.abs(high - map.frame_height) > 1)
    map.setv({ frame_width: wide, frame_height: high });
  return true;
}

// Bokeh 3.9 makes the browser work out the style of the whole page again for each axis it paints: it writes anew where the
// axis stands, though it stands there already, and asks the style sheet for each colour, width and size of letters. That is
// a third of the browser's time. The style of these figures is in their models alone.
function sparePaints(place) {
  const view = window.Bokeh.index.find_one(window.Bokeh.documents[0].get_model_by_name(place.dataset.map));
  const owner = (kind, name) => (!kind || Object.hasOwn(kind, name) ? kind : owner(Object.getPrototypeOf(kind), name));
  const [sheet, visual] = [owner(view.style, "_update"), owner(view.visuals.background_fill, "_get_css_value")];
  if (sheet)
    sheet._update = function (css) {
      if (this.el.textContent !== css) this.el.textContent = css;
    };
  if (visual) visual._get_css_value = () => "";
  const [plot, size] = [owner(view, "base_font_size"), view.base_font_size];
  if (plot) Object.defineProperty(plot, "base_font_size", { get: () => size });
}

// The server sends the next panel when the last one is drawn: it is, when the frame after it begins.
function tellDrawn() {
  const model = window.Bokeh.documents[0].get_model_by_name("drawn");
  const tell = () => {
    const sent = model.start;
    requestAnimationFrame(() => requestAnimationFrame(() => (model.end = sent)));
  };
  model.properties.start.change.connect(tell);
  tell();
}

const places = [...document.querySelectorAll("[data-map]")];
const watched = new ResizeObserver((entries) => entries.forEach((entry) => fit(entry.target)));
function fitAll() {
  if (places.map(fit).every(Boolean)) {
    sparePaints(places[0]);
    tellDrawn();
    places.forEach((place) => watched.observe(place));
  } else setTimeout(fitAll, 100);
}
if (places.length) fitAll();

// Copied through the clipboard where the browser has one for this page; it has none for plain HTTP from elsewhere.
for (const button of document.querySelectorAll("[data-copies]"))
  button.addEventListener("click", async () => {
    const text = window.Bokeh.documents[0].get_model_by_name(button.dataset.copies).value;
    const box = document.createElement("textarea");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      box.value = text;
      button.after(box);
      box.select();
      document.execCommand("copy");
    }
    box.remove();
    button.textContent = "copied";
    setTimeout(() => (button.textContent = "Copy as Python"), 2000);
  });

// A server that is gone, or another than before, or another run: say so, and begin anew when it is back.
// A page whose connection broke while the server lives gets no more signs of life: it begins anew too.
let lost = 0;
let beat = { text: "", at: Date.now() };

function silent() {
  const text = window.Bokeh?.documents[0]?.get_model_by_name("text_beat")?.text;
  if (text !== beat.text || document.hidden) beat = { text, at: Date.now() };
  return page.dataset.run !== "" && Date.now() - beat.at > 20000;
}

async function look() {
  try {
    const answer = await fetch("/alive", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    const state = await answer.json();
    const moved = !page.dataset.pinned && state.run !== page.dataset.run;
    if (state.epoch !== page.dataset.epoch || moved || lost > 2 || silent()) location.reload();
    lost = 0;
  } catch {
    lost += 1;
  }
  document.getElementById("lost").hidden = lost === 0;
  setTimeout(look, 2000);
}
setTimeout(look, 2000);
