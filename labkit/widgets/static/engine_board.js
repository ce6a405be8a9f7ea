// The engine's boxes: whose each one is, what it does, and which path of the course goes through it.

const BOX_W = 132;
const BOX_H = 46;
const GAP_X = 24;
const GAP_Y = 26;
const BOX_STATES = {
  yours: { mark: "✓ ", word: "yours" },
  reference: { mark: "", word: "the reference stands in" },
  later: { mark: "", word: "comes later" },
};

/** Draw the map. `data`: {boxes: [{name, title, lesson, row, column, about, state, paths}], links, highlight}. */
function engineBoard(data, { onpoint = () => {}, interactive = true } = {}) {
  const rows = 1 + Math.max(0, ...data.boxes.map((b) => b.row));
  const columns = 1 + Math.max(0, ...data.boxes.map((b) => b.column));
  const width = columns * BOX_W + (columns - 1) * GAP_X + 12;
  const height = rows * BOX_H + (rows - 1) * GAP_Y + 24;
  const place = (box) => [6 + box.column * (BOX_W + GAP_X), 16 + box.row * (BOX_H + GAP_Y)];
  const byName = new Map(data.boxes.map((box) => [box.name, box]));
  const lines = data.links.filter(([a, b]) => byName.has(a) && byName.has(b)).map(([a, b]) => {
    const [x, y] = place(byName.get(a));
    const [u, v] = place(byName.get(b));
    return svg("line", { x1: x + BOX_W / 2, y1: y + BOX_H / 2, x2: u + BOX_W / 2, y2: v + BOX_H / 2, class: "lk-map-line" });
  });
  const nodes = data.boxes.map((box, i) => {
    const [x, y] = place(box);
    const lit = box.name === data.highlight;
    const state = BOX_STATES[box.state];
    const node = svg(
      "g",
      {
        class: `lk-map-box lk-map-${box.state} ${lit ? "lk-map-lit" : ""}`,
        transform: `translate(${x} ${y})`,
        tabindex: interactive ? (lit || (!data.highlight && i === 0) ? 0 : -1) : null,
        role: interactive ? "button" : null,
        "aria-label": interactive ? `${box.title}, lesson ${box.lesson}: ${state.word}${lit ? ", lights up in this lesson" : ""}. ${box.about}` : null,
        "data-box": box.name,
      },
      lit ? svg("rect", { x: -5, y: -5, width: BOX_W + 10, height: BOX_H + 10, rx: 10, class: "lk-map-ring" }) : null,
      svg("rect", { width: BOX_W, height: BOX_H, rx: 6, class: "lk-map-face" }),
      svg("text", { x: BOX_W / 2, y: 20, class: "lk-map-title", text: state.mark + box.title }),
      svg("text", { x: BOX_W / 2, y: 36, class: "lk-map-lesson", text: `lesson ${box.lesson}` }),
    );
    if (interactive) {
      node.addEventListener("pointerenter", () => onpoint(box));
      node.addEventListener("pointerleave", () => onpoint(null));
      node.addEventListener("focus", () => onpoint(box));
      node.addEventListener("click", () => node.focus());
    }
    return node;
  });
  const root = svg("svg", { class: "lk-map", viewBox: `0 0 ${width} ${height}`, role: interactive ? "group" : "img", "aria-label": "The parts of the engine", style: { "max-width": `${width}px` } }, lines, nodes);
  if (interactive) {
    const step = (dr, dc) => () => {
      const now = data.boxes[nodes.indexOf(document.activeElement)];
      if (!now) return false;
      const target = data.boxes.findIndex((b) => b.row === now.row + dr && b.column === now.column + dc);
      if (target < 0) return undefined;
      nodes.forEach((n, i) => n.setAttribute("tabindex", i === target ? 0 : -1));
      nodes[target].focus();
      return undefined;
    };
    keys(root, { ArrowLeft: step(0, -1), ArrowRight: step(0, 1), ArrowUp: step(-1, 0), ArrowDown: step(1, 0), Enter: () => {}, " ": () => {} });
  }
  return {
    root,
    /** Dim what a path does not visit. */
    path(name) {
      data.boxes.forEach((box, i) => nodes[i].classList.toggle("lk-map-off", Boolean(name) && !box.paths.includes(name)));
    },
  };
}

/** How the three looks are to be read. */
function mapLegend() {
  const entry = (state, text) => h("span", {}, h("i", { class: `lk-map-key lk-map-key-${state}`, "aria-hidden": "true", text: state === "yours" ? "✓" : "" }), text);
  return h("div", { class: "lk-legend" }, entry("yours", "yours"), entry("reference", "the reference stands in"), entry("later", "comes later"));
}
