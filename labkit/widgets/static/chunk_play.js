// ChunkPlay: the mask of a prompt, cut into chunks. What a chunk reads, computes and hides was counted in Python; here
// cells are coloured by those bounds, and two numbers can be dragged.

const CELL = 19;
const LEFT = 34;
const TOP = 40;
const DRAG = 18; // pixels of dragging for one step

function render({ model, el }) {
  const root = card(el, "chunk-play", "A prompt in chunks");
  const [tokens, page, blocks] = ["tokens", "page", "blocks"].map((name) => model.get(name));
  const chunks = () => model.get("answers")[`${model.get("chunk")}/${model.get("window")}`];

  // ---- a number of the sentence, to be dragged
  function number(name, values, label, words) {
    const at = () => values.indexOf(model.get(name));
    const move = (index) => {
      const value = values[Math.max(0, Math.min(values.length - 1, index))];
      if (value === model.get(name)) return;
      model.set(name, value);
      model.save_changes();
      changed();
    };
    const node = h("span", {
      class: "lkc-drag", role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": 0, "aria-valuemax": values.length - 1,
      "data-key": name, title: `${label}: drag, or use the arrow keys`,
    });
    keys(node, {
      ArrowRight: () => move(at() + 1), ArrowUp: () => move(at() + 1), ArrowLeft: () => move(at() - 1),
      ArrowDown: () => move(at() - 1), Home: () => move(0), End: () => move(values.length - 1),
    });
    shield(node);
    let from = null;
    node.addEventListener("pointerdown", (event) => {
      from = { x: event.clientX, index: at() };
      node.setPointerCapture(event.pointerId);
      node.focus({ preventScroll: true });
      event.preventDefault();
    });
    node.addEventListener("pointermove", (event) => {
      if (from) move(from.index + Math.round((event.clientX - from.x) / DRAG));
    });
    for (const type of ["pointerup", "pointercancel"]) node.addEventListener(type, () => (from = null));
    const paint = () => {
      node.textContent = words(model.get(name));
      node.setAttribute("aria-valuenow", String(at()));
      node.setAttribute("aria-valuetext", node.textContent);
    };
    return { node, paint };
  }
  const size = number("chunk", model.get("sizes"), "tokens of a chunk", (n) => plural(n, "token"));
  const width = number("window", model.get("windows"), "window", (n) => (n ? `the last ${plural(n, "key")}` : "all keys"));

  // ---- the picture
  const side = tokens * CELL;
  const x = (key) => LEFT + key * CELL;
  const y = (query) => TOP + query * CELL;
  const picture = svg("svg", { class: "lkc-mask", viewBox: `0 0 ${LEFT + side + 6} ${TOP + side + 6}`, role: "img", "aria-label": "queries against keys" });
  blocks.forEach((block, i) => {
    const middle = x(i * page) + (page * CELL) / 2;
    picture.append(
      svg("text", { class: "lkc-head", x: middle, y: 12 }, `page ${i}`),
      svg("text", { class: "lkc-block", x: middle, y: 24 }, `block ${block}`),
    );
  });
  const cells = [];
  for (let query = 0; query < tokens; query++) {
    picture.append(
      svg("text", { class: "lkc-number lkc-row", x: LEFT - 5, y: y(query) + 13 }, String(query)),
      svg("text", { class: "lkc-number", x: x(query) + CELL / 2, y: TOP - 4 }, String(query)),
    );
    for (let key = 0; key < tokens; key++) {
      const box = svg("rect", { x: x(key) + 1.5, y: y(query) + 1.5, width: CELL - 3, height: CELL - 3, rx: 2 });
      const cross = svg("path", { class: "lkc-cross", d: `M${x(key) + 5} ${y(query) + 14}l9 -9` });
      picture.append(box, cross);
      cells.push({ query, key, box, cross });
    }
  }
  for (let i = 1; i < blocks.length; i++) picture.append(svg("line", { class: "lkc-seam", x1: x(i * page), x2: x(i * page), y1: TOP - 12, y2: y(tokens) }));
  const band = svg("rect", { class: "lkc-band", rx: 3 });
  picture.append(band);

  // ---- the counts
  const kinds = [["past", "keys of earlier chunks read"], ["own", "keys of its own read"], ["cells", "cells computed"], ["masked", "of them hidden"]];
  const outs = {};
  const table = h(
    "table",
    { class: "lkc-counts" },
    h("thead", {}, h("tr", {}, ["", "this chunk", "so far"].map((text) => h("th", { scope: "col", text })))),
    h("tbody", {}, kinds.map(([name, words]) => {
      outs[name] = [h("td"), h("td")];
      return h("tr", {}, h("th", { scope: "row", text: words }), outs[name]);
    })),
  );
  const legend = h("ul", { class: "lkc-legend" }, [["past", "key from a page of an earlier chunk"], ["own", "key of the chunk itself"],
    ["masked", "computed, then hidden"], ["done", "seen by an earlier chunk"]].map(([kind, words]) =>
    h("li", {}, svg("svg", { width: 16, height: 16, viewBox: "0 0 16 16", "aria-hidden": "true" },
      svg("rect", { class: `lkc-${kind}`, x: 1, y: 1, width: 14, height: 14, rx: 2 }),
      kind === "masked" ? svg("path", { class: "lkc-cross lkc-shown", d: "M4 12l8 -8" }) : ""), words)));
  const say = h("p", { class: "lk-well lkc-say", "aria-live": "polite" });
  const bar = transport({
    last: chunks().length,
    step: model.get("step"),
    spoken: (step) => (step ? `chunk ${step - 1}` : "no chunk yet"),
    onseek: (step) => {
      model.set("step", step);
      model.save_changes();
      draw();
    },
  });
  root.append(
    h("h3", { text: "A prompt in chunks" }),
    h("p", { class: "lkc-sentence" }, `A prompt of ${tokens} tokens comes in chunks of `, size.node, ", and each token sees ", width.node, " up to its own."),
    h("div", { class: "lkc-beside" }, picture, h("div", {}, table, legend)),
    say,
    bar.root,
    h("div", { class: "lk-row" }, h("span", { class: "lk-sub", text: "Rows: tokens that ask. Columns: keys. A tile is a page here." }), keyHint()),
  );
  bar.keysFor(root);

  function changed() {
    bar.grow(chunks().length);
    bar.seek(Math.min(bar.step(), chunks().length));
    if (bar.step() !== model.get("step")) {
      model.set("step", bar.step());
      model.save_changes();
    }
    draw();
  }

  function draw() {
    size.paint();
    width.paint();
    const [all, step, window] = [chunks(), bar.step(), model.get("window")];
    const now = step ? all[step - 1] : null;
    for (const { query, key, box, cross } of cells) {
      const chunk = all.slice(0, step).find((one) => query >= one.first && query < one.stop);
      const computed = chunk && key >= chunk.from && key < chunk.to;
      const seen = key <= query && (!window || key > query - window);
      let kind = "blank";
      if (computed && chunk !== now) kind = seen ? "done" : "blank";
      else if (computed) kind = !seen ? "masked" : key >= chunk.first ? "own" : "past";
      box.setAttribute("class", `lkc-${kind}`);
      cross.setAttribute("class", `lkc-cross ${kind === "masked" ? "lkc-shown" : ""}`);
    }
    band.style.display = now ? "" : "none";
    if (now) {
      const place = { x: x(now.from) - 1, y: y(now.first) - 1, width: (now.to - now.from) * CELL + 2, height: (now.stop - now.first) * CELL + 2 };
      for (const [name, value] of Object.entries(place)) band.setAttribute(name, value);
    }
    for (const [name] of kinds) {
      outs[name][0].textContent = now ? now[name] : 0;
      outs[name][1].textContent = now ? now.total[name] : 0;
    }
    say.textContent = now ? now.say : "No chunk has come yet. Step, and watch which cells the first one computes.";
  }
  draw();
  for (const name of ["chunk", "window"]) model.on(`change:${name}`, changed);
  return () => {
    bar.stop();
    for (const name of ["chunk", "window"]) model.off(`change:${name}`, changed);
  };
}

export default { render };
