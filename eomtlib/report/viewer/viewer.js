/* Segmentations over their photo, drawn in the page from data that is there: an ES module without
   imports, for a static page as for a widget. `data.py` beside it makes and describes the data. */

const MISTAKE = [255, 0, 220];
const EDGE = 1024; // pixels that a small picture's longer side is drawn with: lines are thin
const GRIP = 14; // pixels of the curtain's grip, as in viewer.css

/** Appends an element; a class for `class`, properties for all other names. Text stays text. */
export function add(parent, tag, { class: name = "", text = "", ...properties } = {}) {
  const node = Object.assign(document.createElement(tag), properties);
  node.className = name;
  if (text) node.textContent = text;
  parent.append(node);
  return node;
}

/** A control with its name beside it. */
export function labelled(parent, name, tag, properties) {
  const label = add(parent, "label", { text: name });
  return add(label, tag, { ariaLabel: name, ...properties });
}

/** A picture's pixels, from its address. */
export async function pixels(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const context = canvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height);
}

export function canvas(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** A canvas whose every pixel `color(index)` gives as `packed` does; 0 is transparent. */
export function painted(width, height, color) {
  const made = canvas(width, height);
  const colors = new Uint32Array(width * height);
  for (let i = 0; i < colors.length; i++) colors[i] = color(i);
  const image = new ImageData(new Uint8ClampedArray(colors.buffer), width, height);
  made.getContext("2d").putImageData(image, 0, 0);
  return made;
}

export function packed([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

const cache = new WeakMap();
/** What is drawn of an entry of the data, made once: `now` is null until `done` is. */
function ready(entry) {
  if (!cache.has(entry)) {
    const made = { now: null };
    made.done = decoded(entry).then((drawn) => { made.now = drawn; });
    cache.set(entry, made);
  }
  return cache.get(entry);
}

/** The id of each pixel, with what is drawn of it; ids begin at 1, 0 is no segment. */
async function decoded(entry) {
  const { data, width, height } = await pixels(entry.map);
  const ids = new Uint32Array(width * height);
  for (let i = 0; i < ids.length; i++) {
    ids[i] = data[4 * i] + 256 * data[4 * i + 1] + 65536 * data[4 * i + 2];
  }
  const segments = [null, ...entry.segments];
  const colors = segments.map((segment) => segment ? packed(segment.color) : 0);
  const fill = painted(width, height, (i) => colors[ids[i]]);
  const scale = enlargement(width, height);
  const drawn = edges(ids, segments, width, height, scale);
  return { ids, width, height, segments, fill, scale, ...drawn };
}

function enlargement(width, height) {
  return Math.max(1, Math.floor(EDGE / Math.max(width, height)));
}

/** The borders of segments in white and in their colours, and where each has room for its name. */
function edges(ids, segments, width, height, scale) {
  const [white, colored] = [0, 1].map(() => canvas(width * scale, height * scale));
  const [thin, thick] = [white.getContext("2d"), colored.getContext("2d")];
  const line = scale > 4 ? 2 : 1;
  thin.fillStyle = "white";
  // Inside of a pixel, along its side towards (dx, dy).
  const bar = (context, by, x, y, dx, dy) => context.fillRect(
    x * scale + (dx > 0 ? scale - by : 0), y * scale + (dy > 0 ? scale - by : 0),
    dx ? by : scale, dy ? by : scale);
  const border = (x, y, dx, dy) => {
    bar(thin, line, x, y, dx, dy);
    for (const [column, row, sign] of [[x, y, 1], [x + dx, y + dy, -1]]) {
      const segment = segments[ids[row * width + column]];
      if (!segment) continue;
      thick.fillStyle = `rgb(${segment.color})`;
      bar(thick, Math.min(2 * line, scale), column, row, sign * dx, sign * dy);
    }
  };
  const spots = segments.map(() => ({ length: 0, x: 0, first: 0, last: 0 }));
  for (let y = 0; y < height; y++) {
    for (let x = 0, start = 0; x < width; x++) {
      const i = y * width + x;
      if (y + 1 < height && ids[i + width] !== ids[i]) border(x, y, 0, 1);
      if (x + 1 < width && ids[i + 1] === ids[i]) continue;
      if (x + 1 < width) border(x, y, 1, 0);
      // Of the longest runs of pixels, the middle one of the first that lie below each other.
      const spot = spots[ids[i]];
      const length = x + 1 - start;
      if (length > spot.length) Object.assign(spot, { length, x: start, first: y, last: y });
      else if (length === spot.length && start === spot.x && y === spot.last + 1) spot.last = y;
      start = x + 1;
    }
  }
  return { white, colored, spots };
}

/**
 * Puts a viewer into an element.
 *
 * @param element - that it fills.
 * @param data - as `data.viewer_data` makes it. Its owner may change it and call `refresh`.
 * @param options - any of: `start`, of the state below, such as `model`, and `against`: a model's
 *     place, "target" or ""; `onPick({segment, image, model, x, y})`, of a click, segment null
 *     where none is, x and y null from the list;
 *     `onShow(state)`, of another choice, so that what lacks can be fetched; `paint(context,
 *     state, cut)`, draws left of a column in place of segments and returns true if it did.
 * @returns `{state, root, side, refresh(), set(changes)}`; `side` has room for more controls, and
 *     `drawn` of the root's dataset counts pictures.
 */
export function mount(element, data, options = {}) {
  const state = {
    image: 0, model: 0, against: "", opacity: 0.45, outlines: false, names: true, wrong: false,
    curtain: 0.5, zoom: 1, x: 0, y: 0, over: 0, ...options.start,
  };
  const root = add(element, "div", { class: "ev", tabIndex: 0 });
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own, of arrow keys
  const bar = add(root, "div", { class: "ev-bar" });
  const choice = (name) => labelled(bar, name, "select", {
    onchange: ({ target: { value } }) => set({ [name]: /^\d+$/.test(value) ? +value : value }),
  });
  const model = choice("model");
  const against = choice("against");
  const opacity = labelled(bar, "opacity", "input", {
    type: "range", min: 0, max: 1, step: 0.01, oninput: () => set({ opacity: +opacity.value }),
  });
  const tick = (name, text) => labelled(bar, text, "input", {
    type: "checkbox", onchange: ({ target }) => set({ [name]: target.checked }),
  });
  const ticks = {
    names: tick("names", "names"), outlines: tick("outlines", "outlines only"),
    wrong: tick("wrong", "wrong here"),
  };
  const zoomed = [["−", 1 / 1.5], ["+", 1.5], ["whole image", 0]].map(([text, factor]) =>
    add(bar, "button", {
      text, type: "button", title: factor > 1 ? "zoom in" : factor ? "zoom out" : "",
      onclick: () => zoom(factor, stage.clientWidth / 2, stage.clientHeight / 2),
    }));
  add(bar, "button", { text: "save", type: "button", title: "as a file", onclick: save });
  const body = add(root, "div", { class: "ev-body" });
  const stage = add(body, "div", { class: "ev-stage" });
  const sheet = add(stage, "div", { class: "ev-sheet" });
  const photo = add(sheet, "img", { draggable: false });
  const above = add(sheet, "canvas");
  const curtain = add(stage, "input", {
    class: "ev-curtain", type: "range", min: 0, max: 1, step: 0.001, ariaLabel: "curtain",
    oninput: () => set({ curtain: +curtain.value }),
  });
  const ends = ["left", "right"].map((end) => add(stage, "span", { class: `ev-end ev-${end}` }));
  const tip = add(stage, "output", { class: "ev-tip", hidden: true });
  const side = add(body, "div", { class: "ev-side" });
  const list = add(side, "ul", { class: "ev-list" });
  const thumbs = add(root, "div", { class: "ev-thumbs" });

  const image = () => data.images[state.image];
  const entry = (which) =>
    which === "target" ? image().target : which === "" ? null : image().maps[which];
  const named = (which) => {
    const name = which === "target" ? "target" : data.models[which];
    const figure = entry(which)?.figure || image().figures?.[which];
    return figure ? `${name} · ${figure}` : name;
  };

  /** Everything that words say, again. */
  function refresh() {
    const target = image().target;
    const models = data.models.map((_, place) => [place, named(place)]);
    const others = [["", "nothing"], ...(target ? [["target", "target"]] : []), ...models];
    if (state.against === "target" && !target) state.against = "";
    for (const [select, pairs] of [[model, models], [against, others]]) {
      select.replaceChildren();
      for (const [value, text] of pairs) add(select, "option", { value, text });
    }
    model.value = state.model;
    against.value = state.against;
    model.parentNode.hidden = data.models.length < 2;
    against.parentNode.hidden = others.length < 3;
    opacity.value = state.opacity;
    curtain.value = state.curtain;
    for (const [name, box] of Object.entries(ticks)) box.checked = state[name];
    ticks.wrong.parentNode.hidden = !target;
    const { title, photo: address = "", size } = image();
    if (photo.getAttribute("src") !== address) photo.src = address;
    photo.alt = title;
    stage.style.setProperty("--ratio", size[0] / size[1]);
    stage.classList.toggle("ev-small", Math.max(...size) < EDGE / 4);
    curtain.hidden = state.against === "";
    ends.forEach((end, i) => {
      end.hidden = state.against === "";
      end.textContent = end.hidden ? "" : named(i ? state.against : state.model);
    });
    list.replaceChildren();
    state.over = 0; // what the pointer was over is gone
    entry(state.model)?.segments.forEach((segment, i) => {
      const item = add(add(list, "li"), "button", {
        type: "button", onclick: () => pick(i + 1),
        onpointerenter: () => set({ over: i + 1 }), onpointerleave: () => set({ over: 0 }),
      });
      // As it is over a middle grey, so that the list and the picture agree.
      add(item, "i").style.background =
        `color-mix(in srgb, rgb(${segment.color}) var(--ev-opacity), #808080)`;
      item.append(said(segment));
    });
    if (thumbs.children.length !== data.images.length) fillThumbs();
    [...thumbs.children].forEach((thumb, i) => thumb.ariaPressed = i === state.image);
    thumbs.hidden = data.images.length < 2;
    draw();
  }

  function fillThumbs() {
    thumbs.replaceChildren();
    data.images.forEach(({ title, thumbnail, photo: whole }, i) => {
      const onclick = () => set({ image: i });
      const thumb = add(thumbs, "button", { type: "button", title, onclick });
      add(thumb, "img", { src: thumbnail ?? whole, alt: title });
    });
  }

  let asked = 0;
  /** The canvas, once what it needs is decoded. */
  async function draw() {
    const turn = ++asked;
    const wanted = [entry(state.model), entry(state.against), image().target].filter(Boolean);
    const missing = wanted.map(ready).filter(({ now }) => !now);
    if (missing.length) {
      await Promise.all(missing.map(({ done }) => done));
      if (turn !== asked) return;
    }
    root.style.setProperty("--ev-opacity", `${100 * state.opacity}%`);
    const [width, height] = image().size;
    const scale = enlargement(width, height);
    if (above.width !== width * scale || above.height !== height * scale) {
      Object.assign(above, { width: width * scale, height: height * scale });
    }
    const context = above.getContext("2d");
    context.clearRect(0, 0, above.width, above.height);
    sheet.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`;
    zoomed[2].disabled = state.zoom === 1;
    const share = (GRIP / 2 + state.curtain * (stage.clientWidth - GRIP) - state.x)
      / (stage.clientWidth * state.zoom || 1);
    const cut = state.against === "" ? above.width : Math.min(1, Math.max(0, share)) * above.width;
    if (!options.paint?.(context, state, cut)) one(context, entry(state.model), 0, cut);
    if (state.against !== "") one(context, entry(state.against), cut, above.width);
    root.dataset.drawn = Number(root.dataset.drawn ?? 0) + 1;
  }

  /** One segmentation between two columns of the canvas. */
  function one(context, which, from, to) {
    if (!which || to <= from) return;
    const made = ready(which).now;
    const { width, height } = above;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, height);
    context.clip();
    context.imageSmoothingEnabled = false;
    context.globalAlpha = state.opacity;
    const isWrong = state.wrong && image().target;
    const layer = isWrong ? mistakes(which, made) : made.fill;
    if (isWrong || !state.outlines) context.drawImage(layer, 0, 0, width, height);
    context.globalAlpha = 1;
    const lines = state.outlines && !isWrong ? made.colored : made.white;
    context.drawImage(lines, 0, 0, width, height);
    if (state.over && which === entry(state.model)) {
      const black = packed([0, 0, 0]);
      const others = painted(made.width, made.height, (i) =>
        made.ids[i] === state.over ? 0 : black);
      context.globalAlpha = 0.6;
      context.drawImage(others, 0, 0, width, height);
      context.globalAlpha = 1;
    }
    if (state.names) write(context, made);
    context.restore();
  }

  /** Where a class is not the target's; where the target is void nothing is wrong. */
  function mistakes(which, made) {
    const target = ready(image().target).now;
    const name = (decoded, i) => decoded.segments[decoded.ids[i]]?.name;
    const color = packed(MISTAKE);
    return made.mistakes ??= painted(made.width, made.height, (i) =>
      target.ids[i] && name(target, i) !== name(made, i) ? color : 0);
  }

  /** Names where there is room for them. */
  function write(context, made) {
    const size = 13 * above.width / (stage.clientWidth || above.width);
    context.font = `600 ${size}px system-ui, sans-serif`;
    Object.assign(context, {
      textAlign: "center", textBaseline: "middle", lineJoin: "round", lineWidth: size / 4,
      strokeStyle: "rgba(0, 0, 0, 0.8)", fillStyle: "white",
    });
    const taken = [];
    const longest = made.spots.map((spot, id) => ({ ...spot, name: made.segments[id]?.name }))
      .filter(({ name }) => name).sort((one, other) => other.length - one.length);
    for (const spot of longest) {
      const wide = context.measureText(spot.name).width / 2;
      const x = (spot.x + spot.length / 2) * made.scale;
      const middle = (spot.first + spot.last + 1) / 2 * made.scale;
      const y = Math.min(Math.max(middle, size), above.height - size);
      const meets = (one) => Math.abs(one.x - x) < one.wide + wide && Math.abs(one.y - y) < size;
      if (2 * wide > spot.length * made.scale || taken.some(meets)) continue;
      taken.push({ x, y, wide });
      context.strokeText(spot.name, x, y);
      context.fillText(spot.name, x, y);
    }
  }

  function said({ name, score, query }) {
    const number = score === null ? "" : ` ${score.toFixed(2)}`;
    return `${name}${number}${query === null ? "" : ` · query ${query}`}`;
  }

  function set(changes) {
    const before = { ...state };
    Object.assign(state, changes);
    const moved = ["image", "model", "against"].some((name) => state[name] !== before[name]);
    if (state.image !== before.image) Object.assign(state, { zoom: 1, x: 0, y: 0, over: 0 });
    if (moved) options.onShow?.({ ...state });
    if (moved) refresh();
    else draw();
  }

  /** Zooms about a place of the stage; 0 for the whole image. */
  function zoom(factor, x, y) {
    const wanted = factor ? Math.min(16, Math.max(1, state.zoom * factor)) : 1;
    const by = wanted / state.zoom;
    moveTo(x - by * (x - state.x), y - by * (y - state.y), wanted);
  }

  function moveTo(x, y, zoomTo = state.zoom) {
    const within = (value, length) => Math.min(0, Math.max(value, length * (1 - zoomTo)));
    set({ zoom: zoomTo, x: within(x, stage.clientWidth), y: within(y, stage.clientHeight) });
  }

  /** The place under the pointer: on the stage, and the pixel of the photo. */
  function at(event) {
    const box = stage.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const [width, height] = image().size;
    const pixel = (value, moved, length, count) =>
      Math.min(count - 1, Math.max(0, Math.floor((value - moved) / state.zoom / length * count)));
    const [column, row] = [
      pixel(x, state.x, box.width, width), pixel(y, state.y, box.height, height)];
    const isRight = state.against !== ""
      && x > GRIP / 2 + state.curtain * (box.width - GRIP);
    const which = isRight ? state.against : state.model;
    const made = entry(which) && ready(entry(which)).now;
    return { x, y, column, row, which, id: made?.ids[row * width + column] ?? 0 };
  }

  function save() {
    const whole = canvas(above.width, above.height);
    const context = whole.getContext("2d");
    context.imageSmoothingEnabled = !stage.classList.contains("ev-small");
    for (const layer of [photo, above]) context.drawImage(layer, 0, 0, above.width, above.height);
    const name = `${image().title} ${named(state.model)}.png`.replace(/[^\w. -]+/g, "-");
    Object.assign(document.createElement("a"), { href: whole.toDataURL(), download: name }).click();
  }

  function pick(id, which = state.model, column = null, row = null) {
    const segment = entry(which)?.segments[id - 1] ?? null;
    options.onPick?.({ segment, id, image: state.image, model: which, x: column, y: row });
  }

  let dragged = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.target !== curtain) dragged = { ...at(event), from: [state.x, state.y], far: false };
  });
  stage.addEventListener("pointermove", (event) => {
    const here = at(event);
    if (dragged) {
      dragged.far ||= Math.hypot(here.x - dragged.x, here.y - dragged.y) > 4;
      if (dragged.far && state.zoom > 1) {
        moveTo(dragged.from[0] + here.x - dragged.x, dragged.from[1] + here.y - dragged.y);
      }
    }
    const segment = entry(here.which)?.segments[here.id - 1];
    const target = image().target && ready(image().target).now;
    const truth = target?.segments[target.ids[here.row * target.width + here.column]]?.name;
    const what = segment ? said(segment) : "no segment";
    tip.textContent = truth && truth !== segment?.name ? `${what} (target: ${truth})` : what;
    tip.hidden = !entry(here.which);
    tip.classList.toggle("ev-left-of", here.x > stage.clientWidth / 2);
    Object.assign(tip.style, { left: `${here.x}px`, top: `${here.y}px` });
  });
  stage.addEventListener("pointerleave", () => { tip.hidden = true; dragged = null; });
  stage.addEventListener("pointerup", (event) => {
    if (dragged && !dragged.far) {
      const here = at(event);
      pick(here.id, here.which, here.column, here.row);
    }
    dragged = null;
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    const { x, y } = at(event);
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, x, y);
  }, { passive: false });
  root.addEventListener("keydown", (event) => {
    if (event.target.matches("select, textarea, input:not([type=checkbox])")) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && data.images[state.image + step]) set({ image: state.image + step });
    const factor = { "+": 1.5, "-": 1 / 1.5, 0: 0 }[event.key];
    if (factor !== undefined) zoom(factor, stage.clientWidth / 2, stage.clientHeight / 2);
    if (step || factor !== undefined) event.preventDefault();
  });
  new ResizeObserver(() => draw()).observe(stage);

  refresh();
  return { state, root, side, set, refresh };
}
