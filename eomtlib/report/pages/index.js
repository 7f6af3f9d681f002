"use strict";
// Names are texts of other people: they reach the page as text and as attributes alone.
const { images, classes, colors } = JSON.parse(document.getElementById("data").textContent);
const grid = document.getElementById("found");
const dialog = document.querySelector("dialog");
const chosen = new Set();
const cards = images.map((image, place) => {
  const card = document.createElement("a");
  const thumb = document.createElement("img");
  const label = document.createElement("span");
  const names = image.classes.map((k) => classes[k]).join(", ") || "nothing found";
  card.href = image.address;
  thumb.loading = "lazy";
  thumb.decoding = "async";
  thumb.src = image.address;
  thumb.alt = `${image.name}: ${names}`;
  label.textContent = image.name;
  label.title = names;
  card.append(thumb, label);
  card.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(place);
  });
  return card;
});
grid.append(...cards);

const counts = classes.map((_, k) => images.filter((image) => image.classes.includes(k)).length);
const order = counts.map((_, k) => k).filter((k) => counts[k]).sort((a, b) => counts[b] - counts[a]);
for (const k of order) {
  const button = document.createElement("button");
  button.append(document.createElement("i"), `${classes[k]} (${counts[k]})`);
  button.firstChild.style.background = `rgb(${colors[k]})`;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    chosen.has(k) ? chosen.delete(k) : chosen.add(k);
    button.setAttribute("aria-pressed", String(chosen.has(k)));
    filter();
  });
  document.getElementById("classes").append(button);
}

function filter() {
  images.forEach((image, place) => {
    cards[place].hidden = ![...chosen].every((k) => image.classes.includes(k));
  });
  const shown = cards.filter((card) => !card.hidden).length;
  document.getElementById("count").textContent = `${shown} of ${images.length} images`;
}

let current = 0;
function show(place) {
  current = place;
  const [large, text] = [dialog.querySelector("img"), dialog.querySelector("p")];
  large.src = images[place].address;
  large.alt = cards[place].querySelector("img").alt;
  text.textContent = large.alt;
  if (!dialog.open) dialog.showModal();
}
function step(by) {
  const shown = cards.flatMap((card, place) => (card.hidden ? [] : [place]));
  const next = shown.indexOf(current) + by;
  if (shown[next] !== undefined) show(shown[next]);
}
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.value === "") dialog.close();
  else if (event.target.value) step(Number(event.target.value));
});
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
dialog.addEventListener("close", () => cards[current].focus());
filter();
