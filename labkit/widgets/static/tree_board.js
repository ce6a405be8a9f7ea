// The radix tree's board: the picture, the transport under it, and what pointer and keys do. One canvas as large as the
// view, which scrolls over the tree; nothing is painted where the picture would be the same. What the pointer or the
// keyboard is on is ringed by a node of the page above the canvas.

const TREE_COLORS = ["panel", "sunk", "line", "edge", "ink", "dim", "faint", "accent", "bad", "s0"];
const TREE_TALLEST = 470; // pixels of the view before it scrolls
const TREE_WHOLE = 620; // of the view in which the whole of a large tree is seen at once, however small
const TREE_TOP = 14;
const TREE_LEFT = 4;
const MOVES_UP_TO = 300; // nodes: a larger tree does not glide, it jumps
const TREE_SAMPLES = 60; // steps at which the size of the tree is taken, for the height of the view

/** Line breaks and tabs of a text as marks, so that an edge's text is one line. */
const oneLine = (text) => text.replaceAll("\r", "").replaceAll("\n", "↵").replaceAll("\t", "⇥");

/** The board's data, from what `get` gives by the names of `board_data` in radix_tree.py. */
function treeData(get) {
  return {
    title: get("title"),
    subtitle: get("subtitle"),
    records: bytesOf(get("records")),
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
 * Build the board in `root`. `data`: {title, subtitle, records, pages, blocks, blockEnds, texts, labels, notes, faults,
 * pageBytes, maxDepth, step, fold}. `step` counts snapshots that have been taken; null is the end of the log.
 */
function treeBoard(root, data) {
  const steps = data.labels.length;
  const replay = new TreeReplay({ ...data, steps });
  const texts = data.texts.map(oneLine);
  const family = getComputedStyle(root).fontFamily || "sans-serif";
  let colors = {};
  let tree = null; // of the step that is shown: see TreeReplay.tree
  let shown = null; // what is drawn of it: {children, stubs, spots, size, ...}
  let level = 0;
  let folding = false;
  let chosen = false; // whether the reader set the level
  const open = new Set(); // nodes of which a fold shows all children
  let hover = null; // the number of a node, or -1 - parent for the mark of folded children
  let scheduled = 0;
  let stale = true;
  let moved = true; // the picture may differ from the one on the canvas
  let tracked = false; // keep what the keyboard is on in view, once
  let follow = true; // bring what the step is about into view
  let laidOut = "";
  let painted = "";
  let glide = null; // {from: Map, start}
  let retries = 0;
  let summaryTimer = 0;
  let measured = null; // {rows, depth} that the log needs as it is drawn now
  const measures = new Map();

  const subtitle = h("p", { class: "lk-sub", text: data.subtitle || "" });
  subtitle.hidden = !data.subtitle;
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": "Radix tree. Right: first child; left: parent; up and down: the nodes beside it; Enter: fold or open; Escape: back to the steps." });
  const ctx = canvas.getContext("2d");
  const painter = treePainter(ctx, replay, texts, data.pageBytes);
  const ring = h("div", { class: "lk-tree-ring" });
  ring.hidden = true;
  const space = h("div", { class: "lk-tree-space" }, canvas, ring);
  const view = h("div", { class: "lk-tree-view", tabindex: -1 }, space);
  const said = h("span", {});
  const larger = button("+", () => zoom(-1), { kind: "quiet", aria: "Larger", shielded: false });
  const smaller = button("−", () => zoom(1), { kind: "quiet", aria: "Smaller", shielded: false });
  const foldButton = button("Fold", () => setFold(!folding), { kind: "quiet", shielded: false });
  const head = h("div", { class: "lk-tree-head" }, said, h("span", { class: "lk-tree-tools" }, foldButton, smaller, larger));
  const detailText = h("span", { class: "lk-tree-text" });
  const detailFacts = h("span", { class: "lk-tree-facts" });
  const detail = h("div", { class: "lk-tree-detail" }, detailText, detailFacts);
  const sentence = h("span", { class: "lk-board-sentence", "aria-live": "polite" });
  const noteLine = h("span", { class: "lk-tree-note" });
  const faultLine = h("span", { class: "lk-tree-fault lk-bad" });
  const counts = h("span", { class: "lk-tree-counts" });
  const legend = h("div", { class: "lk-tree-legend" });
  const summary = h("p", { class: "lk-hidden" });
  const say = liveRegion(root);
  const bar = transport({
    last: steps,
    step: 0,
    onseek: () => {
      follow = true;
      schedule();
    },
    onplay: (playing) => sentence.setAttribute("aria-live", playing ? "off" : "polite"),
    spoken: (step) => (step ? `step ${step}: ${labelOf(step)}` : "before the first step"),
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
  keys(root, { "+": () => zoom(-1), "=": () => zoom(-1), "-": () => zoom(1), f: () => setFold(!folding) });
  // Letters are JupyterLab's commands for cells, "d d" deletes one: none of them leaves the card.
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey && (event.key.length === 1 || event.key.startsWith("Arrow"))) event.stopPropagation();
  });

  function labelOf(step) {
    return (data.labels[step - 1] || "").replaceAll("->", "→");
  }

  // What is drawn: the tree, or the tree folded around what the step is about.

  const arrange = () => (folding ? foldTree(replay, tree, open) : { children: tree.children, stubs: new Map() });

  /** Rows and columns that the log needs at its largest, folded or not, taken at some of its steps. */
  function measure(folded) {
    const known = measures.get(folded);
    if (known) return known;
    const every = Math.max(1, Math.ceil(steps / TREE_SAMPLES));
    const most = { rows: 1, depth: 1 };
    for (let step = steps; step >= 1; step -= every) {
      const then = replay.tree(step);
      if (then.empty) continue;
      const { children } = folded ? foldTree(replay, then, new Set()) : then;
      for (const [depth, row] of tidy(children, TREE.ROOT).values()) {
        if (row + 1 > most.rows) most.rows = row + 1;
        if (depth > most.depth) most.depth = depth;
      }
    }
    measures.set(folded, most);
    return most;
  }

  function geometry() {
    const size = { ...TREE_SIZES[level] };
    if (size.whole) size.row = Math.min(size.row, (TREE_WHOLE - 2 * TREE_TOP) / measured.rows);
    const depth = Math.max(1, folding ? measured.depth : data.maxDepth || measured.depth);
    const column = (view.clientWidth - 2 * TREE_LEFT - ROOT_WIDE - 8) / depth;
    // Where nothing is written on the edges, what room there is goes to the nodes.
    if (!size.text) size.box = Math.floor(Math.max(size.box, Math.min(44, 0.6 * column)));
    const edge = Math.floor(Math.max(size.edge[0], Math.min(size.edge[1], column - size.box)));
    return { ...size, edge, depth };
  }

  const fits = (size, most) => !size.whole && TREE_TOP * 2 + most.rows * size.row <= TREE_TALLEST && ROOT_WIDE + most.depth * (size.box + size.edge[0]) <= view.clientWidth;

  function layout() {
    folding = data.fold ?? !fits(TREE_SIZES[1], measure(false));
    measured = measure(folding);
    if (!chosen) {
      const found = TREE_SIZES.findIndex((size) => fits(size, measured));
      // Folded, the text is worth more than the whole picture; unfolded, the shape is.
      level = found >= 0 ? found : folding ? 1 : TREE_SIZES.length - 1;
      if (folding) level = Math.min(level, 1);
    }
    const scale = pixelRatio();
    const size = geometry();
    const height = Math.ceil(Math.max(64, Math.min(size.whole ? TREE_WHOLE : TREE_TALLEST, 2 * TREE_TOP + measured.rows * size.row)));
    view.style.height = `${height}px`;
    const width = view.clientWidth;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(view.clientHeight * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${view.clientHeight}px`;
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    laidOut = shape();
    shown = null;
  }

  const shape = () => `${root.clientWidth}/${pixelRatio()}`;

  function place() {
    const before = shown;
    const drawn = arrange();
    const at = tree.empty ? new Map() : tidy(drawn.children, TREE.ROOT);
    const size = geometry();
    const spots = new Map();
    let width = 0;
    let height = 0;
    for (const [id, [depth, row]] of at) {
      const x = depth === 0 ? TREE_LEFT : TREE_LEFT + ROOT_WIDE + (depth - 1) * (size.box + size.edge) + size.edge;
      const y = TREE_TOP + (row + 0.5) * size.row;
      spots.set(id, { x, y, depth, row });
      width = Math.max(width, id < 0 ? x - size.edge + 90 : x + size.box + 12);
      height = Math.max(height, y + size.row / 2 + TREE_TOP);
    }
    shown = { ...drawn, spots, size, level, width, height, step: tree.step, order: [...spots.keys()] };
    // The canvas is as large as the view and stands in this space: it must not make it larger.
    space.style.width = `${Math.max(width, view.clientWidth)}px`;
    space.style.height = `${Math.max(height, view.clientHeight)}px`;
    const pans = width > view.clientWidth || height > view.clientHeight;
    canvas.classList.toggle("lk-pans", pans);
    const near = before && before.level === level && Math.abs(before.step - tree.step) <= 1;
    glide = near && !reducedMotion() && spots.size <= MOVES_UP_TO ? { from: before.spots, start: performance.now() } : null;
  }

  /** The node that a step is about: the end of its match path, else the first that it touched. */
  function subject() {
    let deepest = null;
    const look = (id) => {
      const spot = shown.spots.get(id);
      if (spot && (!deepest || spot.depth > shown.spots.get(deepest).depth)) deepest = id;
    };
    for (const id of tree.touched.slice(0, FOLD_FOCUS)) look(id);
    if (deepest === null || deepest === TREE.ROOT) for (const id of tree.path.keys()) look(id);
    return deepest;
  }

  function reveal(id) {
    const spot = shown.spots.get(id);
    if (!spot) return;
    const { size } = shown;
    const left = spot.x - size.edge;
    if (left < view.scrollLeft) view.scrollLeft = Math.max(0, left);
    else if (spot.x + size.box + 8 > view.scrollLeft + view.clientWidth) view.scrollLeft = spot.x + size.box + 8 - view.clientWidth;
    if (spot.y - size.row < view.scrollTop) view.scrollTop = Math.max(0, spot.y - size.row);
    else if (spot.y + size.row > view.scrollTop + view.clientHeight) view.scrollTop = spot.y + size.row - view.clientHeight;
  }

  function paintRing() {
    const spot = hover === null || !shown ? null : shown.spots.get(hover);
    ring.hidden = !spot;
    if (!spot) return;
    const { size } = shown;
    const tall = hover === TREE.ROOT ? 20 : hover < 0 ? 18 : Math.max(8, size.tall);
    const wide = hover === TREE.ROOT ? ROOT_WIDE : hover < 0 ? STUB_WIDE : Math.max(10, size.box);
    const from = hover < 0 ? spot.x - size.edge + SPINE + 8 : spot.x;
    Object.assign(ring.style, { left: `${from - 4}px`, top: `${Math.round(spot.y - tall / 2) - 4}px`, width: `${wide + 8}px`, height: `${tall + 8}px` });
  }

  function paintText() {
    const step = bar.step();
    const sum = { nodes: 0, blocks: 0, locked: 0 };
    for (const [id, i] of tree.row) {
      if (id === TREE.ROOT || tree.gone.has(id)) continue;
      sum.nodes += 1;
      const held = replay.blocksOf(i).length;
      sum.blocks += held;
      if (replay.locks[i] > 0) sum.locked += held;
    }
    const text = step ? `${step}  ${labelOf(step)}` : steps ? "0  before the first step" : "Nothing has happened yet.";
    if (sentence.textContent !== text) sentence.textContent = text;
    noteLine.textContent = step ? data.notes[step - 1] || "" : "";
    faultLine.textContent = step && data.faults[step - 1] ? `The tree is broken: ${data.faults[step - 1]}` : "";
    const free = sum.blocks - sum.locked;
    counts.textContent = `${plural(sum.nodes, "node")} · ${plural(sum.blocks, "block")} · ${sum.locked.toLocaleString("en-US")} locked · ${free.toLocaleString("en-US")} evictable`;
    Object.assign(root.dataset, { step, nodes: sum.nodes, blocks: sum.blocks, locked: sum.locked, gone: tree.gone.size, path: tree.path.size });
    clearTimeout(summaryTimer);
    summaryTimer = setTimeout(() => (summary.textContent = describeAll(sum)), 300);
  }

  function paintDetail() {
    const id = hover !== null && tree && (tree.row.has(hover) || (shown && shown.stubs.has(hover))) ? hover : null;
    const [text, facts] = id === null ? ["", tree && tree.row.size > 1 ? "Point at a node for its text, blocks, locks and last use." : "The tree is empty."] : describe(id);
    if (detailText.textContent !== text) detailText.textContent = text;
    if (detailFacts.textContent !== facts) detailFacts.textContent = facts;
  }

  /** [the node's whole text, the rest of what there is to say of it]. */
  function describe(id) {
    if (id < 0) {
      const rest = shown.stubs.get(id);
      return ["", `${plural(rest.children, "more child", "more children")} of ${named(-1 - id)}: ${plural(rest.nodes, "node")}, ${plural(rest.blocks, "block")} · Enter or a click opens them`];
    }
    if (id === TREE.ROOT) return ["", `root · ${plural((tree.children.get(id) || NOTHING).length, "child", "children")}`];
    const i = tree.row.get(id);
    const blocks = [...replay.blocksOf(i)];
    const start = pagesAbove(id);
    const count = replay.pages[replay.key[i]];
    const parts = [
      named(id),
      `${pagesOf(count)}${count ? ` (${count === 1 ? `page ${start}` : `pages ${start} to ${start + count - 1}`} of a prompt)` : ""}`,
      `${blocks.length === 1 ? "block" : "blocks"} ${blocks.slice(0, 40).join(", ")}${blocks.length > 40 ? `, and ${blocks.length - 40} more` : ""}`,
      `locks ${replay.locks[i]}`,
      `last used ${replay.used[i]}${tree.now > replay.used[i] ? ` (${tree.now - replay.used[i]} ago)` : " (latest)"}`,
    ];
    if (tree.path.has(id)) {
      const found = tree.path.get(id) / data.pageBytes;
      parts.push(found >= count ? "on the match path" : `on the match path: ${Math.floor(found)} of ${pagesOf(count)} found`);
    }
    if (tree.gone.has(id)) parts.push("evicted in this step");
    const flags = tree.flags.get(id) || 0;
    if (flags & TREE.TRIMMED) parts.push(`${pagesOf(replay.delta[i])} evicted off its end in this step`);
    if (flags & TREE.GROWN) parts.push(`${pagesOf(replay.delta[i])} added at its end in this step`);
    if (flags & TREE.UPPER) parts.push("the first part of an edge that was split in this step");
    else if (flags & TREE.LOWER) parts.push("the rest of an edge that was split in this step");
    else if (flags & TREE.ADDED && !tree.gone.has(id)) parts.push("new in this step");
    return [data.texts[replay.key[i]], parts.join(" · ")];
  }

  const named = (id) => (id === TREE.ROOT ? "the root" : `node ${id}`);

  function pagesAbove(id) {
    let sum = 0;
    for (let at = replay.parent[tree.row.get(id)]; at > TREE.ROOT && tree.row.has(at); at = replay.parent[tree.row.get(at)]) sum += replay.pages[replay.key[tree.row.get(at)]];
    return sum;
  }

  function describeAll(sum) {
    const onPath = [...tree.path].filter(([id, found]) => id !== TREE.ROOT && found > 0).map(([id]) => `${named(id)} (${texts[replay.key[tree.row.get(id)]].slice(0, 60)})`);
    return `Radix tree of ${plural(sum.nodes, "node")} and ${plural(sum.blocks, "block")}, ${sum.locked} of them locked. ${onPath.length ? `Match path: ${onPath.slice(0, 12).join(", ")}.` : "No match path in this step."} ${tree.gone.size ? `${plural(tree.gone.size, "node")} evicted in this step.` : ""}`;
  }

  function paintLegend() {
    const swatch = (...kids) => svg("svg", { width: 22, height: 12, viewBox: "0 0 22 12", "aria-hidden": "true" }, ...kids);
    const box = (more) => svg("rect", { x: 2.5, y: 1.5, width: 17, height: 9, rx: 2, fill: "none", ...more });
    const { seen } = replay;
    const entries = [
      ["path", "match path", swatch(svg("path", { d: "M0 6h22", stroke: "var(--lk-accent)", "stroke-width": 3, fill: "none" }))],
      ["locked", "locks: running sequences that hold it", swatch(svg("path", { d: "M8.2 6V4.2a2.8 2.8 0 0 1 5.6 0V6", fill: "none", stroke: "var(--lk-ink)", "stroke-width": 1.4 }), svg("rect", { x: 7, y: 5.6, width: 8, height: 5.4, fill: "var(--lk-ink)" }))],
      ["added", "new in this step", swatch(box({ stroke: "var(--lk-ink)", "stroke-width": 2 }))],
      ["split", "split here", swatch(svg("path", { d: "M0 6h22", stroke: "var(--lk-edge)", fill: "none" }), svg("path", { d: "M6 11l5-10M11 11l5-10", stroke: "var(--lk-ink)", "stroke-width": 1.6, fill: "none" }))],
      ["gone", "evicted in this step", swatch(box({ stroke: "var(--lk-dim)", "stroke-width": 1.3, "stroke-dasharray": "3 2.5" }))],
      ["used", "shade and t: last use, stronger is later", swatch(...SHADES.map((alpha, k) => svg("rect", { x: 1 + 4 * k, y: 1, width: 4, height: 10, fill: "var(--lk-s0)", "fill-opacity": alpha + 0.04 })))],
    ];
    if (replay.count > 1) seen.add("used");
    legend.replaceChildren(...entries.filter(([kind]) => seen.has(kind)).map(([, words, picture]) => h("span", {}, picture, words)));
  }

  function paintTools() {
    const off = (node, yes) => node.setAttribute("aria-disabled", String(yes));
    off(larger, level === 0);
    off(smaller, level === TREE_SIZES.length - 1);
    foldButton.textContent = folding ? "Unfold" : "Fold";
    foldButton.setAttribute("aria-pressed", String(folding));
    foldButton.title = folding ? "Show the whole tree (f)" : "Fold what the step is not about (f)";
    const hidden = shown ? tree.row.size - [...shown.spots.keys()].filter((id) => id >= 0).length : 0;
    said.textContent = tree.empty ? "" : `the root at the left, tokens on the edges${hidden > 0 ? ` · ${plural(hidden, "node")} folded away` : ""}`;
  }

  function paint() {
    scheduled = 0;
    const step = bar.step();
    const fresh = !tree || tree.step !== step;
    if (fresh) tree = replay.tree(step);
    if (!view.clientWidth) {
      if (retries++ < 8) setTimeout(schedule, 150); // hidden, if only for a moment
      return paintText();
    }
    retries = 0;
    if (fresh) paintText();
    if (laidOut !== shape()) stale = true;
    if (stale) {
      colors = colorsOf(root, TREE_COLORS);
      layout();
      painter.forget({ family, mono: monoOf(root) });
      stale = false;
      moved = true;
    }
    if (fresh || !shown || shown.level !== level) {
      place();
      moved = true;
    }
    if (hover !== null && !shown.spots.has(hover)) hover = null;
    if (tracked && hover !== null) reveal(hover);
    tracked = false;
    if (follow) {
      const about = subject();
      if (about !== null) reveal(about);
      follow = false;
    }
    const share = glide ? Math.min(1, (performance.now() - glide.start) / 150) : 1;
    const key = `${view.scrollLeft}/${view.scrollTop}`;
    if (moved || glide || painted !== key) {
      painter.paint({
        tree, shown, glide, colors, share: 1 - (1 - share) ** 2,
        left: view.scrollLeft, top: view.scrollTop, width: view.clientWidth, height: view.clientHeight,
      });
      painted = key;
      moved = false;
    }
    if (glide && share < 1) schedule();
    else glide = null;
    paintRing();
    paintDetail();
    paintTools();
    root.dataset.folded = String(folding);
    root.dataset.level = level;
  }

  function schedule() {
    if (!scheduled) scheduled = requestAnimationFrame(paint);
  }

  function relayout() {
    stale = true;
    schedule();
  }

  function zoom(by) {
    const to = Math.max(0, Math.min(TREE_SIZES.length - 1, level + by));
    if (to === level) return;
    level = to;
    chosen = true;
    follow = true;
    relayout();
  }

  function setFold(on) {
    data.fold = on;
    chosen = false;
    follow = true;
    relayout();
  }

  /** Open what is folded at a node, or fold it again. */
  function toggle(id) {
    if (!folding || id === null) return;
    const node = id < 0 ? -1 - id : id;
    if (shown.stubs.has(-1 - node)) open.add(node);
    else if (!open.delete(node)) return;
    shown = null;
    moved = true;
    if (id < 0) hover = node;
    tracked = walking;
    schedule();
  }

  // Pointing and walking.

  function hit(event) {
    if (!shown) return null;
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left + view.scrollLeft;
    const y = event.clientY - box.top + view.scrollTop;
    const { size } = shown;
    let best = null;
    let distance = Infinity;
    for (const [id, spot] of shown.spots) {
      const wide = id === TREE.ROOT ? ROOT_WIDE : size.box;
      const lead = id === TREE.ROOT ? 0 : size.edge - SPINE; // a node's edge is the node's too
      if (x < spot.x - lead || x > (id < 0 ? spot.x - lead + STUB_WIDE : spot.x + wide + 4)) continue;
      const away = Math.abs(y - spot.y);
      if (away < distance && away <= Math.max(4, size.row / 2)) [best, distance] = [id, away];
    }
    return best;
  }

  function point(id) {
    if (id === hover) return;
    hover = id;
    schedule();
  }

  let dragged = null;
  canvas.addEventListener("pointermove", (event) => {
    if (dragged && event.buttons) {
      view.scrollLeft = dragged.left - (event.clientX - dragged.x);
      view.scrollTop = dragged.top - (event.clientY - dragged.y);
      dragged.far ||= Math.hypot(event.clientX - dragged.x, event.clientY - dragged.y) > 4;
      return;
    }
    if (!walking) point(hit(event));
  });
  canvas.addEventListener("pointerleave", () => !walking && point(null));
  canvas.addEventListener("pointerdown", (event) => {
    walk(false);
    pressed = true;
    setTimeout(() => (pressed = false), 0);
    if (event.button === 0 && event.pointerType === "mouse" && canvas.classList.contains("lk-pans")) {
      dragged = { x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop, far: false };
      canvas.setPointerCapture(event.pointerId);
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!dragged || !dragged.far) toggle(hit(event));
    dragged = null;
  });
  canvas.addEventListener("pointercancel", () => (dragged = null));
  view.addEventListener("scroll", schedule);

  // Arrows step through the log, also after a click into the picture. They go from node to node once the canvas was
  // reached by Tab, or after Enter on it; Escape ends that.
  let walking = false;
  let pressed = false;
  let kept = null;
  function walk(on) {
    walking = on;
    root.classList.toggle("lk-walks", on);
    view.classList.toggle("lk-walked", on);
  }
  function to(id) {
    if (id === null || id === undefined || !shown) return;
    point(id);
    reveal(id);
    say(describe(id).filter(Boolean).join(" · "));
  }
  canvas.addEventListener("focus", () => {
    walk(kept ?? !pressed);
    kept = null;
    if (walking && shown) to(hover ?? subject() ?? TREE.ROOT);
  });
  canvas.addEventListener("blur", () => {
    kept = document.activeElement === canvas ? walking : null;
    walk(false);
    point(null);
  });
  const beside = (by) => {
    const here = shown.spots.get(hover);
    if (!here) return TREE.ROOT;
    const column = [...shown.spots].filter(([, spot]) => spot.depth === here.depth).sort((a, b) => a[1].row - b[1].row);
    const at = column.findIndex(([id]) => id === hover) + by;
    return column[Math.max(0, Math.min(column.length - 1, at))][0];
  };
  const walked = (act) => () => {
    if (!walking || !shown || tree.empty) return false;
    to(act());
    return true;
  };
  keys(canvas, {
    ArrowRight: walked(() => (hover === null ? TREE.ROOT : (shown.children.get(hover) || [hover])[0])),
    ArrowLeft: walked(() => (hover === null || hover === TREE.ROOT ? TREE.ROOT : hover < 0 ? -1 - hover : replay.parent[tree.row.get(hover)])),
    ArrowUp: walked(() => beside(-1)),
    ArrowDown: walked(() => beside(1)),
    Home: walked(() => TREE.ROOT),
    End: walked(() => subject() ?? TREE.ROOT),
    Escape: () => {
      if (!walking) return false;
      point(null);
      bar.root.querySelector("input").focus();
      return true;
    },
    Enter: () => {
      if (!walking) {
        walk(true);
        to(hover ?? subject() ?? TREE.ROOT);
      } else toggle(hover);
      return true;
    },
  });

  const observer = new ResizeObserver(() => laidOut !== shape() && relayout());
  observer.observe(root);
  globalThis.addEventListener("resize", schedule);
  const unwatch = onTheme(relayout);
  paintLegend();
  if (data.step !== null && data.step !== undefined) bar.seek(data.step);
  else bar.seek(steps);
  relayout();

  const board = {
    replay,
    bar,
    tidy,
    /** Where each node is drawn now: [number, x, y] in the view's space. */
    spots: () => [...shown.spots].map(([id, { x, y }]) => [id, x, y]),
    view,
    repaint: relayout,
    destroy() {
      bar.stop();
      clearTimeout(summaryTimer);
      cancelAnimationFrame(scheduled);
      observer.disconnect();
      globalThis.removeEventListener("resize", schedule);
      unwatch();
    },
  };
  root.lkBoard = board; // for tests and benchmarks, which look at the picture's own state
  return board;
}
