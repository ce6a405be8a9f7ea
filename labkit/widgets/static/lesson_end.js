// LessonEnd: what can be said now, what of the engine is the learner's, and the notebook that comes next.

/** A link that JupyterLab opens beside this notebook, in place; elsewhere the browser follows it. */
function notebookLink(model, file, text) {
  const path = model.widget_manager?.context?.path || "";
  const folder = path.includes("/") ? path.slice(0, path.lastIndexOf("/") + 1) : "";
  return shield(h("a", { class: "lk-btn lk-primary lk-end-link", href: file, "data-key": "next", "data-commandlinker-command": "docmanager:open", "data-commandlinker-args": JSON.stringify({ path: folder + file }) }, text));
}

function render({ model, el }) {
  const root = card(el, "lesson-end", "The end of the lesson");
  function draw() {
    const data = model.get("data");
    const detail = h("p", { class: "lk-sub lk-end-detail" });
    const tell = (box) => {
      detail.textContent = box ? `${box.title}, lesson ${box.lesson}, ${BOX_STATES[box.state].word}: ${box.about}` : data.map.headline;
    };
    tell(null);
    const left = h(
      "div",
      {},
      h("p", { class: "lk-sub", text: `The end of lesson ${data.number}` }),
      h("div", { class: "lk-opening-title", role: "heading", "aria-level": 2, text: data.title }),
      h("p", { class: "lk-sub", text: data.says }),
      h("p", { class: "lk-end-says", text: data.ending }),
      data.sums ? h("p", { class: "lk-end-sums", text: data.sums }) : null,
      data.open ? h("p", { class: "lk-sub" }, "Still open here: ", data.open) : null,
      h("div", { class: "lk-row lk-end-next" }, h("span", { class: "lk-report-next-word", text: "Next" }), notebookLink(model, data.next.file, data.next.words[0].toUpperCase() + data.next.words.slice(1))),
    );
    const right = h("div", { class: "lk-end-map" }, engineBoard(data.map, { onpoint: tell }).root, detail, mapLegend());
    root.replaceChildren(h("div", { class: "lk-opening-layout lk-end-layout" }, left, right));
  }
  const redraw = () => keepFocus(root, draw);
  draw();
  model.on("change:data", redraw);
  return () => model.off("change:data", redraw);
}

export default { render };
