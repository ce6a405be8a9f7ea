// A block size to drag, and a few sequences cut into blocks of that size. The arithmetic was done in Python.

const BSP_STEP = 18; // pixels of dragging for one step

function render({ model, el }) {
  const root = card(el, "block-size-play", "What a block size does to the last block");
  const say = liveRegion(root);
  const sizes = model.get("sizes");
  const at = () => sizes.indexOf(model.get("block_size"));
  const move = (index) => {
    const size = sizes[Math.max(0, Math.min(sizes.length - 1, index))];
    if (size === model.get("block_size")) return;
    model.set("block_size", size);
    model.save_changes();
  };

  const number = h("span", {
    class: "lk-drag", role: "slider", tabindex: 0, "aria-label": "tokens per block", "aria-valuemin": 0, "data-key": "size",
    "aria-valuemax": sizes.length - 1, title: "tokens per block: drag, or use the arrow keys",
  });
  keys(number, {
    ArrowRight: () => move(at() + 1), ArrowUp: () => move(at() + 1), ArrowLeft: () => move(at() - 1),
    ArrowDown: () => move(at() - 1), Home: () => move(0), End: () => move(sizes.length - 1),
  });
  shield(number);
  let from = null;
  number.addEventListener("pointerdown", (event) => {
    from = { x: event.clientX, index: at() };
    number.setPointerCapture(event.pointerId);
    number.focus({ preventScroll: true });
    event.preventDefault();
  });
  number.addEventListener("pointermove", (event) => {
    if (from) move(from.index + Math.round((event.clientX - from.x) / BSP_STEP));
  });
  const stop = () => (from = null);
  number.addEventListener("pointerup", stop);
  number.addEventListener("pointercancel", stop);

  const outs = {};
  const out = (name) => (outs[name] = h("b", { class: "lk-out" }));
  const rows = model.get("rows");
  const bars = rows.map((row) => {
    const held = h("div", { class: "lk-held", style: { "--seq": `var(--lk-s${row.slot})` } }, h("div", { class: "lk-used" }), h("div", { class: "lk-seams" }));
    const words = h("span", { class: "lk-words" });
    return { row, held, words, node: h("li", {}, h("span", { class: "lk-name", style: { color: `var(--lk-s${row.slot})` }, text: row.name }), h("div", { class: "lk-track" }, held, words)) };
  });
  root.append(
    h("h3", { text: "What a block size does to the last block" }),
    h("p", { class: "lk-sub", text: "Drag the dotted number sideways, or select it and use the arrow keys." }),
    h("p", { class: "lk-sentence" }, "In blocks of ", number, `, these ${rows.length} sequences leave `, out("empty"),
      " slots empty, ", out("share"), " of what they hold: ", out("mean"), " per sequence, where (B − 1) / 2 is ", out("rule"),
      ". Their tables have ", out("entries"), " entries."),
    h("ul", { class: "lk-rows" }, bars.map((bar) => bar.node)),
    h("p", { class: "lk-sub lk-legend" }, h("span", { class: "lk-swatch lk-swatch-used", "aria-hidden": "true" }), "holds a token",
      h("span", { class: "lk-swatch lk-swatch-empty", "aria-hidden": "true" }), "empty end of the last block"),
  );

  function show() {
    const size = model.get("block_size");
    const answer = model.get("answers")[String(size)];
    const scale = model.get("scale");
    number.textContent = size.toLocaleString("en-US");
    number.setAttribute("aria-valuenow", String(at()));
    number.setAttribute("aria-valuetext", size === 1 ? "1 token per block" : `${number.textContent} tokens per block`);
    for (const [name, node] of Object.entries(outs)) node.textContent = answer[name];
    bars.forEach(({ row, held, words }, i) => {
      const blocks = answer.blocks[i];
      const slots = blocks * size;
      held.style.width = `calc((100% - 240px) * ${slots / scale})`;
      held.firstChild.style.width = `${(100 * row.tokens) / slots}%`;
      // Seams closer than this would be a grey blur.
      held.classList.toggle("lk-dense", size / scale < 1 / 200);
      held.style.setProperty("--each", `${100 / blocks}%`);
      const count = blocks === 1 ? "1 block" : `${blocks.toLocaleString("en-US")} blocks`;
      words.textContent = `${row.tokens.toLocaleString("en-US")} tokens, ${count}, ${(slots - row.tokens).toLocaleString("en-US")} empty`;
    });
    say(`Blocks of ${number.textContent}: ${answer.empty} slots empty, ${answer.mean} per sequence, ${answer.entries} table entries`);
  }

  model.on("change:block_size", show);
  show();
  return () => model.off("change:block_size", show);
}

export default { render };
