// EngineMap: the boxes, the three paths through the course, and a sentence on the box that is pointed at.

function render({ model, el }) {
  const root = card(el, "engine-map", "Your engine");
  let path = model.get("path");

  function draw() {
    const data = model.get("data");
    const rest = data.boxes.find((box) => box.name === data.highlight) || null;
    const detail = h("div", { class: "lk-map-detail" });
    const tell = (box) => {
      const shown = box || rest;
      const lit = shown && shown === rest;
      detail.replaceChildren(
        ...(shown
          ? [h("h4", { text: shown.title }), h("p", { class: "lk-sub", text: `lesson ${shown.lesson} · ${BOX_STATES[shown.state].word}${lit ? " · lights up here" : ""}` }), h("p", { text: shown.about })]
          : [h("p", { class: "lk-sub", text: "Point at a box, or move to it with the arrow keys, to read what it does." })]),
      );
    };
    const board = engineBoard(data, { onpoint: tell });
    tell(null);
    board.path(path);
    root.replaceChildren(
      h("h3", { text: "Your engine" }),
      h("p", { class: "lk-sub", text: data.headline }),
      h("div", { class: "lk-map-layout" }, h("div", { class: "lk-map-hold" }, board.root), h("div", { class: "lk-map-side" }, paths(board, data), detail)),
      mapLegend(),
    );
  }

  function paths(board, data) {
    const name = uid("lk-path");
    const note = h("p", { class: "lk-sub" });
    const paint = () => {
      note.textContent = (data.paths.find((p) => p.name === path) || { note: "" }).note;
    };
    const options = data.paths.map((p) => {
      const input = shield(h("input", { type: "radio", name, value: p.name, "data-key": `path-${p.name}` }));
      input.checked = p.name === path;
      input.addEventListener("change", () => {
        path = p.name;
        board.path(path);
        paint();
        model.set("path", path);
        model.save_changes();
      });
      return h("label", { class: "lk-segment" }, input, h("span", { text: p.name }));
    });
    paint();
    return h("fieldset", { class: "lk-paths" }, h("legend", { class: "lk-hidden", text: "Path through the course" }), h("div", { class: "lk-segments" }, options), note);
  }

  const redraw = () => keepFocus(root, draw);
  draw();
  model.on("change:data", redraw);
  return () => model.off("change:data", redraw);
}

export default { render };
