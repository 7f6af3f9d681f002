"use strict";
const SHAPES = {
  o: "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0", s: "M-5-5h10v10h-10z", D: "M0-7l7 7l-7 7l-7-7z",
  "^": "M0-7l7 12h-14z", v: "M0 7l7-12h-14z", P: "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
  X: "M-6-3l3-3l3 3l3-3l3 3l-3 3l3 3l-3 3l-3-3l-3 3l-3-3l3-3z",
};
const tip = document.getElementById("tip");

function say(lines, near) {
  tip.textContent = lines.join("\n");
  tip.hidden = !lines.length;
  if (tip.hidden) return;
  const [box, own] = [near.getBoundingClientRect(), tip.getBoundingClientRect()];
  const left = Math.min(Math.max(4, box.x + box.width / 2 - own.width / 2), innerWidth - own.width - 4);
  const above = box.y - own.height - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${above < 4 ? box.bottom + 8 : above}px`;
}

function element(parent, name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

// Round numbers between two ends, at most about `room`; of a short logarithmic axis in even steps.
function ticks(low, high, log, room) {
  const inside = (values) => values.filter((value) => value >= low && value <= high);
  for (const steps of log ? [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]] : []) {
    const powers = Array.from({ length: 40 }, (_, k) => 10 ** (k - 20));
    const found = inside(powers.flatMap((power) => steps.map((step) => step * power)));
    if (found.length > 2 && (found.length <= room || steps.length === 1)) return found;
  }
  const raw = (high - low) / Math.max(2, Math.min(room, 6));
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= raw);
  return inside(Array.from({ length: 15 }, (_, k) => (Math.ceil(low / step) + k) * step));
}

function scale(values, { log, least = 0 }, from, to) {
  const [at, back] = log ? [Math.log10, (v) => 10 ** v] : [(v) => v, (v) => v];
  let [low, high] = [Math.min(...values), Math.max(...values)].map(at);
  const margin = Math.max((high - low) * 0.12, (least - (high - low)) / 2, log ? 0.02 : 1e-6);
  [low, high] = [low - margin, high + margin];
  const place = (value) => from + ((at(value) - low) / (high - low)) * (to - from);
  return { place, ends: [back(low), back(high)] };
}

// The nearest place around a point that hits neither an edge nor what is there; better no line.
function label(svg, text, x, y, color, taken, lines, width, height) {
  const made = element(svg, "text", { "aria-hidden": "true" }, text);
  const { width: w, height: h } = made.getBBox();
  const meets = (box) => (t) => box[0] < t[2] && box[2] > t[0] && box[1] < t[3] && box[3] > t[1];
  let best = { cost: Infinity };
  for (let reach = 12; reach < 130; reach += 6)
    for (let k = 0; k < 16; k++) {
      const angle = (k * Math.PI) / 8;
      const left = x + Math.cos(angle) * (reach + w / 2) - w / 2;
      const top = y + Math.sin(angle) * (reach + h / 4) - h / 2;
      const box = [left, top, left + w, top + h];
      const outside = left < 44 || top < 22 || box[2] > width - 4 || box[3] > height - 44;
      const cost = reach + 40 * lines.some(meets(box));
      if (!outside && cost < best.cost && !taken.some(meets(box))) best = { box, reach, cost };
    }
  if (!best.box) return made.remove();
  made.setAttribute("x", best.box[0]);
  made.setAttribute("y", best.box[1] + h * 0.78);
  taken.push(best.box);
  if (best.reach > 20) {
    const end = [Math.min(Math.max(x, best.box[0]), best.box[2]), (best.box[1] + best.box[3]) / 2];
    element(svg, "line", { x1: x, y1: y, x2: end[0], y2: end[1], stroke: color, "stroke-width": 0.8 });
  }
}

function draw(holder, plot) {
  holder.querySelectorAll("svg, .legend").forEach((old) => old.remove());
  const width = Math.max(280, holder.clientWidth);
  const height = Math.round(Math.min(430, Math.max(270, width * 0.5)));
  const svg = element(holder, "svg", { viewBox: `0 0 ${width} ${height}`, role: "group" });
  svg.setAttribute("aria-label", plot.alt ?? `${plot.y.label} over ${plot.x.label}`);
  const all = plot.series.flatMap((series) => series.points);
  const x = scale(all.map((p) => p[0]), plot.x, 48, width - 14);
  const y = scale(all.flatMap((p) => [p[1] - (p[2] ?? 0), p[1] + (p[2] ?? 0)]), plot.y, height - 44, 30);
  const axis = element(svg, "g", { class: "axis" });
  for (const value of ticks(...x.ends, plot.x.log, width / 70)) {
    element(axis, "line", { x1: x.place(value), x2: x.place(value), y1: 30, y2: height - 44, class: "grid" });
    element(axis, "text", { x: x.place(value), y: height - 27, "text-anchor": "middle" }, +value.toPrecision(6));
  }
  for (const value of ticks(...y.ends, plot.y.log, 6)) {
    element(axis, "line", { x1: 48, x2: width - 14, y1: y.place(value), y2: y.place(value), class: "grid" });
    element(axis, "text", { x: 42, y: y.place(value) + 4, "text-anchor": "end" }, +value.toPrecision(6));
  }
  element(axis, "text", { x: width - 14, y: height - 8, "text-anchor": "end" }, plot.x.label);
  element(axis, "text", { x: 8, y: 18 }, plot.y.label);
  const path = (points) => points.map((p, k) => `${k ? "L" : "M"}${x.place(p[0])} ${y.place(p[1])}`).join("");
  if (plot.front) element(svg, "path", { d: path(plot.front), fill: "none", stroke: "var(--soft)", "stroke-dasharray": "5 4" });
  const groups = plot.series.map((series) => {
    const color = series.color;
    const group = element(svg, "g", { class: "series", tabindex: plot.front ? 0 : -1, role: "img" });
    const last = series.points.at(-1);
    const said = series.said ?? [`${plot.x.label} ${last[0]}: ${(+last[1]).toPrecision(4)}`];
    group.setAttribute("aria-label", [series.name, ...said].join(", "));
    if (!plot.front) element(group, "path", { d: path(series.points), fill: "none", stroke: color, "stroke-width": 1.8 });
    for (const point of plot.front ? series.points : [last]) {
      const [px, py] = [x.place(point[0]), y.place(point[1])];
      if (point[2]) element(group, "line", { x1: px, x2: px, y1: y.place(point[1] - point[2]), y2: y.place(point[1] + point[2]), stroke: color });
      const at = `translate(${px} ${py})`;
      const [fill, stroke] = series.hollow ? ["var(--card)", color] : [color, "var(--card)"];
      element(group, "path", { d: SHAPES[series.marker], transform: at, fill, stroke, "stroke-width": series.hollow ? 2 : 1 });
      element(group, "circle", { r: 14, transform: at, fill: "transparent" });
    }
    for (const event of ["mouseenter", "focus", "click"])
      group.addEventListener(event, () => say([series.name, ...said], group.lastChild));
    for (const event of ["mouseleave", "blur"]) group.addEventListener(event, () => say([]));
    return { group, color };
  });
  if (plot.front) {
    const taken = all.map((p) => [x.place(p[0]) - 8, y.place(p[1]) - 8, x.place(p[0]) + 8, y.place(p[1]) + 8]);
    const lines = plot.front.slice(1).flatMap((p, k) => Array.from({ length: 60 }, (_, n) => {
      const at = (axis, i) => axis.place(plot.front[k][i]) + (n / 60) * (axis.place(p[i]) - axis.place(plot.front[k][i]));
      return [at(x, 0), at(y, 1), at(x, 0), at(y, 1)];
    }));
    plot.series.forEach((series, k) => {
      const [px, py] = [x.place(series.points[0][0]), y.place(series.points[0][1])];
      label(svg, series.name, px, py, groups[k].color, taken, lines, width, height);
    });
    return;
  }
  const legend = document.createElement("div");
  legend.className = "legend";
  plot.series.forEach((series, k) => {
    const [button, line] = [document.createElement("button"), document.createElement("i")];
    line.style.borderColor = groups[k].color;
    button.append(line, series.name);
    const fade = (on) => groups.forEach((other, n) => other.group.classList.toggle("faded", on && n !== k));
    for (const event of ["mouseenter", "focus"]) button.addEventListener(event, () => fade(true));
    for (const event of ["mouseleave", "blur"]) button.addEventListener(event, () => fade(false));
    legend.append(button);
  });
  holder.append(legend);
}

for (const holder of document.querySelectorAll(".plot")) {
  const plot = JSON.parse(holder.querySelector("script").textContent);
  let drawn = 0;
  new ResizeObserver(() => {
    if (holder.clientWidth !== drawn) draw(holder, plot);
    drawn = holder.clientWidth;
  }).observe(holder);
}

for (const head of document.querySelectorAll("#models thead th"))
  head.firstElementChild.addEventListener("click", () => {
    const table = head.closest("table");
    const up = head.cellIndex === 0 ? head.ariaSort !== "ascending" : head.ariaSort === "descending";
    table.querySelectorAll("thead th").forEach((other) => (other.ariaSort = "none"));
    head.ariaSort = up ? "ascending" : "descending";
    const value = (row) => row.cells[head.cellIndex].dataset.value;
    const rows = [...table.tBodies[0].rows].sort((a, b) =>
      (value(a) === "") - (value(b) === "") || (up ? 1 : -1) * (value(a) - value(b)));
    table.tBodies[0].append(...rows);
  });
document.addEventListener("keydown", (event) => event.key === "Escape" && say([]));
