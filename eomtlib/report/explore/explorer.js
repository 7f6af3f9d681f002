
/* The viewer with a kernel behind it, as the view of a widget. It stands below viewer.js in one
   module, and calls what stands there. */

const LARGEST = 8e6; // bytes of a file: Jupyter's server takes messages of 10 MB
const CLAMP = 6; // as in shown.py

function explorer({ model, el }) {
  const waiting = new Map();
  const me = Math.random();
  const status = add(el, "p", {
    class: "ex-status",
    text: "This needs a running kernel in JupyterLab; figures below show the first image.",
  });
  model.on("msg:custom", (reply) => waiting.get(reply.to)?.(reply));

  /** Asks the kernel; null after an error, which is shown. */
  async function ask(kind, content = {}, buffers = []) {
    const id = `${me} ${waiting.size}`;
    const answer = new Promise((resolve) => waiting.set(id, resolve));
    el.ariaBusy = true;
    model.send({ kind, id, ...content }, undefined, buffers);
    const reply = await answer;
    el.ariaBusy = false;
    status.textContent = reply.error ?? "";
    status.classList.toggle("ex-error", !!reply.error);
    return reply.error ? null : reply;
  }

  ask("begin").then((begun) => begun && begin(begun));

  function begin({ data, model: first, shared, threshold, colors }) {
    let layer = Infinity; // the last
    let picked = null; // a query: what the kernel says of it, and its pictures
    const tables = {
      masks: Uint32Array.from(colors, (_, i) => heat(1 / (1 + Math.exp(CLAMP * (1 - i / 127.5))))),
      attention: Uint32Array.from(colors, (_, i) => heat(i / 255)),
    };
    const scratch = canvas(1, 1);
    const told = {}; // captions by model

    function heat(share) {
      const color = packed(colors[Math.round(255 * share)]);
      return (color & 0xffffff) + Math.round(255 * (0.3 + 0.65 * share)) * 0x1000000;
    }

    const view = mount(el, data, { start: { model: first }, onShow: show, onPick: pick, paint });
    el.append(status);
    const veil = document.createElement("div"); // takes the photo's colours away under a mask
    veil.className = "ex-veil";
    view.root.querySelector(".ev-sheet img").after(veil);
    const panel = add(view.side, "div", { class: "ex-panel" });
    const heading = add(panel, "strong");
    const look = labelled(panel, "show", "select", { onchange: step });
    for (const value of ["masks", "attention"]) add(look, "option", { value, text: value });
    const slider = labelled(panel, "layer", "input", {
      type: "range", min: 0, step: 1, oninput: () => { layer = +slider.value; step(); },
    });
    const says = add(panel, "output");
    const scale = add(panel, "div", { class: "ex-scale" });
    scale.style.background = `linear-gradient(90deg, ${
      colors.filter((_, i) => i % 51 === 0).map((color) => `rgb(${color})`)})`;
    const back = add(panel, "button", {
      text: "back to segments", type: "button", onclick: () => { picked = null; step(); },
    });
    const least = labelled(panel, "score above", "input", {
      type: "number", min: 0, max: 0.95, step: 0.05, value: threshold, onchange: () => {
        threshold = Math.min(0.95, Math.max(0, +least.value || 0));
        for (const image of data.images) image.layers = {};
        show(view.state);
      },
    });
    const caption = add(panel, "small");
    const form = add(el, "form", { class: "ex-open", onsubmit: (event) => {
      event.preventDefault();
      if (path.value.trim()) open({ path: path.value });
    } });
    const file = labelled(form, "your own image", "input", {
      type: "file", accept: "image/*", onchange: async () => {
        const [chosen] = file.files;
        if (!chosen) return;
        file.value = "";
        if (chosen.size > LARGEST) {
          status.textContent = `${chosen.name} has ${(chosen.size / 1e6).toFixed(1)} MB, and the `
            + "server takes 8; give its path instead.";
        } else open({ name: chosen.name }, [await chosen.arrayBuffer()]);
      },
    });
    const hint = { type: "text", placeholder: "file or folder" };
    const path = labelled(form, "or its path", "input", hint);
    add(form, "button", { text: "open" });
    add(form, "small", { text: shared ? `All models: ${shared}.` : "" });
    show(view.state);
    step();

    async function open(content, buffers) {
      const opened = await ask("open", content, buffers);
      if (!opened) return;
      data.images.push(...opened.images);
      view.refresh();
      view.set({ image: opened.first });
    }

    /** Fetches what is chosen and not there. */
    async function show({ image, model: chosen, against }) {
      if (picked && (picked.model !== chosen || picked.image !== image)) {
        const { query, model: of } = picked;
        picked = null;
        if (of === chosen) follow({ image, query, x: null, y: null });
      }
      const own = data.images[image];
      own.layers ??= {};
      for (const which of [chosen, against]) {
        if (typeof which !== "number" || own.layers[which]) continue;
        const seen = await ask("see", { image, model: which, threshold, has_photo: !!own.photo });
        if (!seen) return;
        if (seen.picture) {
          Object.assign(own, { photo: seen.picture.photo, target: seen.picture.target });
        }
        own.layers[which] = seen.layers;
        own.figures = seen.figures;
        told[which] = seen;
        seen.layers.forEach(ready);
      }
      step();
    }

    /** The query behind a segment, or behind the pixel that was clicked. */
    function pick({ segment, image, model: chosen, x, y }) {
      if (chosen !== view.state.model) return;
      follow({ image, query: x === null ? segment.query : null, x, y });
    }

    async function follow({ image, query, x, y }) {
      const { model: chosen } = view.state;
      const count = data.images[image].layers?.[chosen]?.length ?? 0;
      const place = { x, y, layer: count ? Math.min(layer, count - 1) : -1, threshold };
      const found = await ask("query", { image, model: chosen, query, ...place });
      if (!found || view.state.image !== image || view.state.model !== chosen) return;
      for (const name of ["masks", "attention"]) {
        if (!found[name]) continue;
        const { width, height, data: rgba } = await pixels(found[name]);
        found[name] = painted(width, height, (i) => packed(rgba.subarray(4 * i, 4 * i + 3)));
      }
      picked = { ...found, image, model: chosen };
      step();
    }

    function shown() {
      return picked?.attention && look.value === "attention" ? "attention" : "masks";
    }

    /** What the slider is at: of a query its masks or attention, else the segmentation. */
    function step() {
      const { image, model: chosen } = view.state;
      const own = data.images[image];
      const layers = own.layers?.[chosen] ?? [];
      const texts = shown() === "attention" ? picked.looks : picked?.says ?? layers;
      const last = Math.max(0, texts.length - 1);
      const at = Math.min(layer, last);
      slider.max = last;
      slider.value = at;
      for (const [which, all] of Object.entries(own.layers ?? {})) {
        const wanted = +which === chosen && !picked ? layer : Infinity;
        own.maps[which] = all[Math.min(wanted, all.length - 1)];
      }
      heading.textContent = picked ? `query ${picked.query}` : "segments";
      look.parentNode.hidden = !picked?.attention;
      back.hidden = scale.hidden = !picked;
      const name = shown() === "attention" ? `block ${at + 1}` : layers[at]?.layer ?? "";
      scale.dataset.of = shown() === "attention" ? "attention, 0 to its largest" : "mask, 0 to 1";
      says.textContent = picked ? `${name}: ${texts[at]}` : name;
      least.parentNode.hidden = !told[chosen]?.has_threshold;
      caption.textContent = [told[chosen]?.caption, ...told[chosen]?.notes ?? []].join(" ");
      veil.hidden = !picked;
      view.refresh();
    }

    /** A mask or an attention map in colours, a mask's border at one half in white. */
    function paint(context, { image, model: chosen, opacity }, cut) {
      if (!picked || picked.image !== image || picked.model !== chosen) return false;
      const sheet = picked[shown()];
      veil.style.width = `${100 * cut / context.canvas.width}%`;
      const { width, height } = context.canvas;
      if (scratch.width !== width || scratch.height !== height) {
        Object.assign(scratch, { width, height });
      }
      const inside = scratch.getContext("2d", { willReadFrequently: true });
      const isMask = shown() === "masks";
      inside.imageSmoothingEnabled = isMask;
      const count = (isMask ? picked.says : picked.looks).length;
      const tall = sheet.height / count;
      const top = Math.min(layer, count - 1) * tall;
      inside.drawImage(sheet, 0, top, sheet.width, tall, 0, 0, width, height);
      const drawn = inside.getImageData(0, 0, width, height);
      const values = new Uint32Array(drawn.data.buffer);
      const claims = new Uint8Array(values.length);
      const table = tables[shown()];
      for (let i = 0; i < values.length; i++) {
        const grey = values[i] & 255;
        const own = claims[i] = grey >> 7;
        const border = isMask && (i >= width && own !== claims[i - width]
          || i % width && own !== claims[i - 1]);
        values[i] = border ? 0xffffffff : table[grey];
      }
      inside.putImageData(drawn, 0, 0);
      context.save();
      context.globalAlpha = Math.sqrt(opacity);
      context.drawImage(scratch, 0, 0, cut, height, 0, 0, cut, height);
      context.restore();
      return true;
    }
  }
}

export default { render: explorer };
