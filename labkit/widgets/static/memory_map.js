// MemoryMap: one strip a layout, all at the same step.

function render({ model, el }) {
  const root = card(el, "memory-map", model.get("title"));
  const buffers = model.get("logs");
  const layouts = model.get("layouts").map((layout, i) => ({ ...layout, records: new Records(bytesOf(buffers[i])) }));
  if (!layouts.length) {
    root.append(h("h3", { text: model.get("title") }), h("p", { class: "lk-sub", text: "There is no memory to show yet." }));
    return () => {};
  }
  const board = memoryBoard(root, { title: model.get("title"), subtitle: model.get("subtitle"), step: model.get("step"), layouts });
  return () => board.destroy();
}

export default { render };
