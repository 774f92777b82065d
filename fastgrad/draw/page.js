"use strict";
const svg = document.querySelector("main svg"), area = document.getElementById("drawing");
const details = document.getElementById("details"), search = document.getElementById("search");
const whole = svg.viewBox.baseVal, all = [whole.x, whole.y, whole.width, whole.height];
svg.removeAttribute("role");
let view = [...all];
const show = () => svg.setAttribute("viewBox", view.join(" "));
function zoom(factor, x = view[0] + view[2] / 2, y = view[1] + view[3] / 2) {
  view = [x - (x - view[0]) * factor, y - (y - view[1]) * factor, view[2] * factor, view[3] * factor];
  show();
}
const move = (dx, dy) => { view[0] += dx * view[2]; view[1] += dy * view[3]; show(); };
const reset = () => { view = [...all]; show(); };
function place(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [point.x, point.y];
}
area.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(event.deltaY < 0 ? 0.85 : 1 / 0.85, ...place(event));
}, { passive: false });
let held = null, moved = false;
area.addEventListener("pointerdown", event => { held = place(event); moved = false; });
area.addEventListener("pointermove", event => {
  if (held === null || !event.buttons) return;
  const [x, y] = place(event);
  moved = moved || Math.hypot(x - held[0], y - held[1]) > 0.005 * view[2];
  view[0] += held[0] - x; view[1] += held[1] - y; show();
});
addEventListener("pointerup", () => { held = null; });
const keys = { "+": () => zoom(0.8), "=": () => zoom(0.8), "-": () => zoom(1.25), "0": reset,
  ArrowLeft: () => move(-0.1, 0), ArrowRight: () => move(0.1, 0), ArrowUp: () => move(0, -0.1), ArrowDown: () => move(0, 0.1) };
area.addEventListener("keydown", event => {
  if (!(event.key in keys)) return;
  event.preventDefault(); keys[event.key]();
});
document.getElementById("in").onclick = () => zoom(0.8);
document.getElementById("out").onclick = () => zoom(1.25);
document.getElementById("whole").onclick = reset;

const nodes = [...document.querySelectorAll(".node")], groups = [...document.querySelectorAll(".group")];
for (const element of [...nodes, ...groups]) {
  element.setAttribute("tabindex", "0");
  const tell = () => { details.textContent = element.querySelector("title").textContent; };
  element.addEventListener("pointerenter", tell);
  element.addEventListener("focus", tell);
}
search.addEventListener("input", () => {
  const text = search.value.trim().toLowerCase();
  let count = 0;
  for (const node of nodes) {
    const hit = text !== "" && node.querySelector("title").textContent.toLowerCase().includes(text);
    node.classList.toggle("found", hit);
    node.classList.toggle("missed", text !== "" && !hit);
    count += hit;
  }
  document.getElementById("found").textContent = text === "" ? "" : `${count} found`;
});

const around = new Map(groups.map(group => [group.dataset.frame, group.dataset.around]));
const folded = new Set();
function isInside(frame) {
  for (let at = frame; at !== undefined; at = around.get(at)) if (folded.has(at)) return true;
  return false;
}
function outermost(frame) {
  let found = null;
  for (let at = frame; at !== undefined; at = around.get(at)) if (folded.has(at)) found = at;
  return found;
}
function refresh() {
  for (const element of [...nodes, ...groups, ...document.querySelectorAll(".name")])
    element.classList.toggle("hidden", isInside(element.dataset.around));
  for (const edge of document.querySelectorAll("[data-ends]")) {
    const [one, other] = edge.dataset.ends.split(" ").map(outermost);
    // an arrow inside a folded group goes; one that enters or leaves it stays
    edge.classList.toggle("hidden", one !== null && one === other);
  }
  for (const group of groups) group.setAttribute("aria-expanded", String(!folded.has(group.dataset.frame)));
}
for (const group of groups) {
  group.setAttribute("role", "button");
  group.setAttribute("aria-label", group.querySelector("title").textContent);
  const toggle = () => {
    const frame = group.dataset.frame;
    if (!folded.delete(frame)) folded.add(frame);
    refresh();
  };
  group.addEventListener("click", () => { if (!moved) toggle(); });
  group.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
  });
}
refresh();
