// The radix tree's board: the picture, the transport under it, and its tools. One canvas as large as the view, which
// scrolls over the tree; nothing is painted where the picture would be the same. What the pointer or the keyboard is on
// is ringed by a node of the page above the canvas.

const TREE_COLORS = ["panel", "sunk", "line", "edge", "ink", "dim", "faint", "accent", "bad", "s0"];

/** Line breaks and tabs of a text as marks, so that an edge's text is one line. */
const oneLine = (text) => text.replaceAll("\r", "").replaceAll("\n", "↵").replaceAll("\t", "⇥");

/** The board's data, from what `get` gives by the names of `board_data` in radix_tree.py. */
function treeData(get) {
  return {
    title: get("title"),
    subtitle: get("subtitle"),
    records: bytesOf(get("records")),
    trees: bytesOf(get("trees")),
    treeEnds: bytesOf(get("tree_ends")),
    treeOf: bytesOf(get("tree_of")),
    pages: bytesOf(get("pages")),
    blocks: bytesOf(get("blocks")),
    blockEnds: bytesOf(get("block_ends")),
    texts: get("texts"),
    labels: get("labels"),
    notes: get("notes"),
    faults: get("faults"),
    pageBytes: get("page_bytes"),
    maxDepth: get("max_depth"),
    step: get("step"),
    fold: get("fold"),
  };
}

/**
 * Build the board in `root`. `data`: {title, subtitle, records, trees, treeEnds, treeOf, pages, blocks, blockEnds, texts,
 * labels, notes, faults, pageBytes, maxDepth, step, fold}. `step` counts snapshots that have been taken; null is the end of the log.
 */
function treeBoard(root, data) {
  const steps = data.labels.length;
  const replay = new TreeReplay(data);
  const texts = data.texts.map(oneLine);
  const family = getComputedStyle(root).fontFamily || "sans-serif";
  let colors = {};
  let scheduled = 0;
  let stale = true;
  let painted = "";
  let retries = 0;

  const subtitle = h("p", { class: "lk-sub", text: data.subtitle || "" });
  subtitle.hidden = !data.subtitle;
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": "Radix tree. Right: first child; left: parent; up and down: the nodes beside it; Enter: fold or open; Escape: back to the steps." });
  const ctx = canvas.getContext("2d");
  const ring = h("div", { class: "lk-tree-ring" });
  ring.hidden = true;
  const space = h("div", { class: "lk-tree-space" }, canvas, ring);
  const view = h("div", { class: "lk-tree-view", tabindex: -1 }, space);
  const said = h("span", {});
  const larger = button("+", () => zoom(-1), { kind: "quiet", aria: "Larger", shielded: false });
  const smaller = button("−", () => zoom(1), { kind: "quiet", aria: "Smaller", shielded: false });
  const foldButton = button("Fold", () => setFold(!board.folding), { kind: "quiet", shielded: false });
  const head = h("div", { class: "lk-tree-head" }, said, h("span", { class: "lk-tree-tools" }, foldButton, smaller, larger));
  const detailText = h("span", { class: "lk-tree-text" });
  const detailFacts = h("span", { class: "lk-tree-facts" });
  const detail = h("div", { class: "lk-tree-detail" }, detailText, detailFacts);
  const sentence = h("span", { class: "lk-board-sentence", "aria-live": "polite" });
  const noteLine = h("span", { class: "lk-tree-note" });
  const faultLine = h("span", { class: "lk-tree-fault lk-bad" });
  const counts = h("span", { class: "lk-tree-counts" });
  const legend = h("div", { class: "lk-tree-legend" }, treeLegend(replay.seen));
  const summary = h("p", { class: "lk-hidden" });
  const say = liveRegion(root);
  const bar = transport({
    last: steps,
    step: 0,
    onseek: () => {
      board.follow = true;
      schedule();
    },
    onplay: (playing) => sentence.setAttribute("aria-live", playing ? "off" : "polite"),
    spoken: (step) => (step ? `step ${step}: ${words.labelOf(step)}` : "before the first step"),
  });
  root.append(
    h("div", { class: "lk-row" }, h("h3", { text: data.title }), keyHint("node")),
    subtitle,
    head,
    view,
    detail,
    bar.root,
    h("div", { class: "lk-well lk-mono lk-tree-log" }, h("span", { class: "lk-board-sentence" }, sentence, noteLine, faultLine), counts),
    legend,
    summary,
  );
  bar.keysFor(root);
  keys(root, { "+": () => zoom(-1), "=": () => zoom(-1), "-": () => zoom(1), f: () => setFold(!board.folding) });
  // Letters are JupyterLab's commands for cells, "d d" deletes one: none of them leaves the card.
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey && (event.key.length === 1 || event.key.startsWith("Arrow"))) event.stopPropagation();
  });

  // What the rooms of this board share: its nodes, and the state that they set and read.
  const board = {
    root, data, replay, texts, bar, say, schedule, toggle,
    canvas, ctx, space, view, sentence, noteLine, faultLine, counts, detailText, detailFacts, summary,
    tree: null, // of the step that is shown: see TreeReplay.tree
    shown: null, // what is drawn of it: {children, stubs, spots, size, ...}
    level: 0,
    folding: false,
    chosen: false, // whether the reader set the level
    open: new Set(), // nodes of which a fold shows all children
    hover: null, // the number of a node, or -1 - parent for the mark of folded children
    walking: false, // whether the arrow keys go from node to node
    moved: true, // the picture may differ from the one on the canvas
    tracked: false, // keep what the keyboard is on in view, once
    follow: true, // bring what the step is about into view
    laidOut: "",
    glide: null, // {from: Map, start}
  };
  const painter = treePainter(ctx, replay, texts, data.pageBytes);
  const words = treeWords(board);
  board.textWide = (id, size) => painter.textWide(board.tree, id, size);
  const { layout, shape, place, subject, reveal } = treePlace(board);
  Object.assign(board, { describe: words.describe, subject, reveal });
  treeKeys(board);

  function paintRing() {
    const { shown, hover } = board;
    const spot = hover === null || !shown ? null : shown.spots.get(hover);
    ring.hidden = !spot;
    if (!spot) return;
    const { size } = shown;
    const tall = hover === TREE.ROOT ? 20 : hover < 0 ? 18 : Math.max(8, size.tall);
    const wide = hover === TREE.ROOT ? ROOT_WIDE : hover < 0 ? STUB_WIDE : Math.max(10, size.box);
    const from = hover < 0 ? spot.x - spot.edge + SPINE + 8 : spot.x;
    Object.assign(ring.style, { left: `${from - 4}px`, top: `${Math.round(spot.y - tall / 2) - 4}px`, width: `${wide + 8}px`, height: `${tall + 8}px` });
  }

  function paintTools() {
    const off = (node, yes) => node.setAttribute("aria-disabled", String(yes));
    off(larger, board.level === 0);
    off(smaller, board.level === TREE_SIZES.length - 1);
    foldButton.textContent = board.folding ? "Unfold" : "Fold";
    foldButton.setAttribute("aria-pressed", String(board.folding));
    foldButton.title = board.folding ? "Show the whole tree (f)" : "Fold what the step is not about (f)";
    const hidden = board.shown ? board.tree.row.size - [...board.shown.spots.keys()].filter((id) => id >= 0).length : 0;
    said.textContent = board.tree.empty ? "" : `the root at the left, tokens on the edges${hidden > 0 ? ` · ${plural(hidden, "node")} folded away` : ""}`;
  }

  function paint() {
    scheduled = 0;
    const step = bar.step();
    const fresh = !board.tree || board.tree.step !== step;
    if (fresh) board.tree = replay.tree(step);
    if (!view.clientWidth) {
      if (retries++ < 8) setTimeout(schedule, 150); // hidden, if only for a moment
      return words.paintText();
    }
    retries = 0;
    if (fresh) words.paintText();
    if (board.laidOut !== shape()) stale = true;
    if (stale) {
      colors = colorsOf(root, TREE_COLORS);
      layout();
      painter.forget({ family, mono: monoOf(root) });
      stale = false;
      board.moved = true;
    }
    if (fresh || !board.shown || board.shown.level !== board.level) {
      place();
      board.moved = true;
    }
    if (board.hover !== null && !board.shown.spots.has(board.hover)) board.hover = null;
    if (board.tracked && board.hover !== null) reveal(board.hover);
    board.tracked = false;
    if (board.follow) {
      const about = subject();
      if (about !== null) reveal(about);
      board.follow = false;
    }
    const share = board.glide ? Math.min(1, (performance.now() - board.glide.start) / 150) : 1;
    const key = `${view.scrollLeft}/${view.scrollTop}`;
    if (board.moved || board.glide || painted !== key) {
      painter.paint({
        tree: board.tree, shown: board.shown, glide: board.glide, colors, share: 1 - (1 - share) ** 2,
        left: view.scrollLeft, top: view.scrollTop, width: view.clientWidth, height: view.clientHeight,
      });
      painted = key;
      board.moved = false;
    }
    if (board.glide && share < 1) schedule();
    else board.glide = null;
    paintRing();
    words.paintDetail();
    paintTools();
    root.dataset.folded = String(board.folding);
    root.dataset.level = board.level;
  }

  function schedule() {
    if (!scheduled) scheduled = requestAnimationFrame(paint);
  }

  function relayout() {
    stale = true;
    schedule();
  }

  function zoom(by) {
    const to = Math.max(0, Math.min(TREE_SIZES.length - 1, board.level + by));
    if (to === board.level) return;
    board.level = to;
    board.chosen = true;
    board.follow = true;
    relayout();
  }

  function setFold(on) {
    data.fold = on;
    board.chosen = false;
    board.follow = true;
    relayout();
  }

  /** Open what is folded at a node, or fold it again. */
  function toggle(id) {
    if (!board.folding || id === null) return;
    const node = id < 0 ? -1 - id : id;
    if (board.shown.stubs.has(-1 - node)) board.open.add(node);
    else if (!board.open.delete(node)) return;
    board.shown = null;
    board.moved = true;
    if (id < 0) board.hover = node;
    board.tracked = board.walking;
    schedule();
  }

  const observer = new ResizeObserver(() => board.laidOut !== shape() && relayout());
  observer.observe(root);
  globalThis.addEventListener("resize", schedule);
  const unwatch = onTheme(relayout);
  if (data.step !== null && data.step !== undefined) bar.seek(data.step);
  else bar.seek(steps);
  relayout();

  const handle = {
    replay,
    bar,
    /** Where each node is drawn now: [number, x, y] in the view's space. */
    spots: () => [...board.shown.spots].map(([id, { x, y }]) => [id, x, y]),
    /** Nodes whose edge is too short for its text. */
    cut: () => [...board.shown.spots].filter(([id, spot]) => id > TREE.ROOT && board.textWide(id, board.shown.size) > spot.edge).map(([id]) => id),
    view,
    repaint: relayout,
    destroy() {
      bar.stop();
      words.stopWords();
      cancelAnimationFrame(scheduled);
      observer.disconnect();
      globalThis.removeEventListener("resize", schedule);
      unwatch();
    },
  };
  root.lkBoard = handle; // for tests and benchmarks, which look at the picture's own state
  return handle;
}
