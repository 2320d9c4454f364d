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
