// The radix tree's picture: the root at the left, one column a depth, the tokens on the edges. One canvas as large as
// the view, which scrolls over the tree; only what is in view is drawn, whatever the tree's size, and nothing at all
// where the picture would be the same. What the pointer or the keyboard is on is ringed by a node above the canvas.

const TREE_COLORS = ["panel", "sunk", "line", "edge", "ink", "dim", "faint", "accent", "bad", "s0"];
const TREE_SIZES = [
  { row: 48, box: 108, tall: 34, edge: [86, 260], text: 11.5, lines: 2 },
  { row: 32, box: 84, tall: 20, edge: [70, 200], text: 11, lines: 1 },
  { row: 18, box: 26, tall: 11, edge: [30, 70] },
  { row: 9, box: 15, tall: 6, edge: [16, 34] },
  { row: 5, box: 10, tall: 4, edge: [10, 24] },
  { row: 2, box: 9, tall: 2, edge: [6, 40], whole: true },
];
const TREE_TALLEST = 470; // pixels of the view before it scrolls
const TREE_WHOLE = 620; // of the view in which the whole of a large tree is seen at once, however small
const TREE_TOP = 14;
const TREE_LEFT = 4;
const ROOT_WIDE = 40;
const STUB_WIDE = 66; // the mark of what is folded
const SPINE = 9; // from a box to the line that its children hang on
const SHADES = [0.05, 0.14, 0.24, 0.34, 0.46]; // of the one hue, oldest use first; text stays readable on all of them
const FOLD_KEEPS = 3; // children that a fold leaves in sight beside those that the step is about
const FOLD_FOCUS = 40; // nodes of one step that a fold keeps open
const MOVES_UP_TO = 300; // nodes: a larger tree does not glide, it jumps
const SAMPLES = 60; // steps at which the size of the tree is taken, for the height of the view

/** Line breaks and tabs of a text as marks, so that an edge's text is one line. */
const oneLine = (text) => text.replaceAll("\r", "").replaceAll("\n", "↵").replaceAll("\t", "⇥");

/** Pages by count, for words beside a node. */
const pagesOf = (count) => plural(count, "page");

/** A padlock of about 8 by 10 around (x, y). */
function lockPath(ctx, x, y) {
  ctx.beginPath();
  ctx.arc(x, y - 1.2, 2.3, Math.PI, 0);
  ctx.lineTo(x + 2.3, y + 0.6);
  ctx.moveTo(x - 2.3, y - 1.2);
  ctx.lineTo(x - 2.3, y + 0.6);
  ctx.stroke();
  ctx.fillRect(x - 3.6, y + 0.2, 7.2, 4.6);
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
  const clock = clockSpan();
  let colors = {};
  let mono = "monospace";
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
  let measured = null;

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

  function labelOf(step) {
    return (data.labels[step - 1] || "").replaceAll("->", "→");
  }

  /** The whole range of last uses in the log: a shade means the same age at every step. */
  function clockSpan() {
    let low = Infinity;
    let high = -Infinity;
    for (let i = 0; i < replay.count; i++) {
      if (replay.kind[i] !== TREE.SET || replay.node[i] === TREE.ROOT) continue;
      low = Math.min(low, replay.used[i]);
      high = Math.max(high, replay.used[i]);
    }
    return Math.max(1, high - low);
  }

  /** 4 for what was just used, down to 0 for what has waited for most of the log; by halving, as ages are skewed. */
  function shadeOf(i) {
    const age = tree.now - replay.used[i];
    return Math.max(0, Math.min(4, Math.round(4 * (1 - Math.log1p(age) / Math.log1p(clock)))));
  }

  // What is drawn: the tree, or the tree folded around what the step is about.

  function arrange() {
    const { children } = tree;
    if (!folding) return { children, stubs: new Map() };
    const keep = new Set();
    const lift = (id) => {
      for (let at = id; at >= 0 && !keep.has(at) && tree.row.has(at); at = replay.parent[tree.row.get(at)]) keep.add(at);
    };
    for (const id of tree.path.keys()) lift(id);
    for (const id of tree.touched.slice(0, FOLD_FOCUS)) lift(id);
    lift(TREE.ROOT);
    const out = new Map();
    const stubs = new Map();
    const todo = [TREE.ROOT];
    while (todo.length) {
      const id = todo.pop();
      const all = children.get(id) || NOTHING;
      if (!all.length) continue;
      let extra = open.has(id) ? Infinity : keep.has(id) ? FOLD_KEEPS : 0;
      let list = all.filter((child) => keep.has(child) || open.has(child) || extra-- > 0);
      if (extra && list.length + 1 === all.length) list = all; // a mark for one child takes as much room as the child
      if (list.length < all.length) {
        const rest = { children: all.length - list.length, nodes: 0, blocks: 0 };
        const drawn = new Set(list);
        for (const child of all) {
          if (drawn.has(child)) continue;
          const below = sizeBelow(child);
          rest.nodes += below.nodes + 1;
          rest.blocks += below.blocks + replay.blocksOf(tree.row.get(child)).length;
        }
        stubs.set(-1 - id, rest);
        list = [...list, -1 - id];
      }
      out.set(id, list);
      for (const child of list) if (child >= 0) todo.push(child);
    }
    return { children: out, stubs };
  }

  /** Nodes and blocks below a node, itself not counted. */
  function sizeBelow(id) {
    const sum = { nodes: 0, blocks: 0 };
    const todo = [...(tree.children.get(id) || NOTHING)];
    while (todo.length) {
      const at = todo.pop();
      sum.nodes += 1;
      sum.blocks += replay.blocksOf(tree.row.get(at)).length;
      const below = tree.children.get(at);
      if (below) for (const child of below) todo.push(child);
    }
    return sum;
  }

  /** Rows and columns that the log needs at its largest, taken at some of its steps. */
  function measure() {
    const every = Math.max(1, Math.ceil(steps / SAMPLES));
    const kept = [tree, folding, shown];
    const most = { rows: 1, depth: 1 };
    for (let step = steps; step >= 1; step -= every) {
      tree = replay.tree(step);
      if (tree.empty) continue;
      for (const [depth, row] of tidy(arrange().children, TREE.ROOT).values()) {
        if (row + 1 > most.rows) most.rows = row + 1;
        if (depth > most.depth) most.depth = depth;
      }
    }
    [tree, folding, shown] = kept;
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
    if (!measured) {
      if (data.fold === null || data.fold === undefined) {
        measured = measure();
        folding = !fits(TREE_SIZES[1], measured);
        if (folding) measured = measure();
      } else {
        folding = data.fold;
        measured = measure();
      }
    }
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

  // Painting.

  function spotNow(id, share) {
    const spot = shown.spots.get(id);
    if (!glide || share >= 1) return spot;
    const from = glide.from.get(id);
    if (!from) return spot;
    return { ...spot, x: from.x + (spot.x - from.x) * share, y: from.y + (spot.y - from.y) * share };
  }

  function paintTree(share = 1) {
    const { size, order, children } = shown;
    const left = view.scrollLeft;
    const top = view.scrollTop;
    const width = view.clientWidth;
    const height = view.clientHeight;
    const crisp = (v) => Math.round(v) + 0.5;
    ctx.clearRect(0, 0, width + 1, height + 1);
    ctx.save();
    ctx.translate(-left, -top);
    const inView = (x0, x1, y0, y1) => x1 >= left - 8 && x0 <= left + width + 8 && y1 >= top - 8 && y0 <= top + height + 8;
    const right = (id, spot) => spot.x + (id === TREE.ROOT ? ROOT_WIDE : size.box);
    const small = size.row < 16;

    // Edges: those of the path on top, thicker; a gone node's dashed.
    const lines = { plain: new Path2D(), lit: new Path2D(), gone: new Path2D() };
    const texted = [];
    const boxes = [];
    for (const id of order) {
      const spot = spotNow(id, share);
      if (inView(spot.x - 2, right(id, spot) + 14, spot.y - size.row, spot.y + size.row)) boxes.push([id, spot]);
      const list = children.get(id);
      if (!list) continue;
      const px = right(id, spot);
      const spine = crisp(px + (small ? Math.min(SPINE, size.edge / 2) : SPINE));
      let low = spot.y;
      let high = spot.y;
      for (const child of list) {
        const to = spotNow(child, share);
        if (to.y < low) low = to.y;
        if (to.y > high) high = to.y;
      }
      if (!inView(px, px + size.edge, low - size.row, high + size.row)) continue;
      lines.plain.moveTo(px, crisp(spot.y));
      lines.plain.lineTo(spine, crisp(spot.y));
      let first = spot.y;
      let last = spot.y;
      for (const child of list) {
        const to = spotNow(child, share);
        const gone = child >= 0 && tree.gone.has(child);
        const seen = inView(px, to.x, to.y - size.row, to.y + size.row);
        if (!gone) {
          if (to.y < first) first = to.y;
          if (to.y > last) last = to.y;
        }
        const lit = child >= 0 && tree.path.has(child) ? tree.path.get(child) : 0;
        if (lit) {
          const whole = Math.max(1, replay.pages[replay.key[tree.row.get(child)]] * data.pageBytes);
          const end = spine + (to.x - spine) * Math.min(1, lit / whole);
          lines.lit.moveTo(px, crisp(spot.y));
          lines.lit.lineTo(spine, crisp(spot.y));
          lines.lit.lineTo(spine, crisp(to.y));
          lines.lit.lineTo(end, crisp(to.y));
          if (lit < whole && !small) {
            lines.lit.moveTo(end, crisp(to.y) - 4);
            lines.lit.lineTo(end, crisp(to.y) + 4);
          }
        }
        if (!seen) continue;
        const line = gone ? lines.gone : lines.plain;
        if (gone) {
          line.moveTo(spine, crisp(spot.y));
          line.lineTo(spine, crisp(to.y));
        } else line.moveTo(spine, crisp(to.y));
        line.lineTo(child < 0 ? spine + 5 : to.x, crisp(to.y));
        if (size.text) texted.push([child, to, spine]);
      }
      if (first < last) {
        lines.plain.moveTo(spine, crisp(Math.max(first, top - 20)));
        lines.plain.lineTo(spine, crisp(Math.min(last, top + height + 20)));
      }
    }
    ctx.lineJoin = "round";
    ctx.strokeStyle = colors.edge;
    ctx.lineWidth = 1;
    ctx.globalAlpha = size.whole ? 0.35 : small ? 0.65 : 1;
    ctx.stroke(lines.plain);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colors.dim;
    ctx.setLineDash([3, 2.5]);
    ctx.stroke(lines.gone);
    ctx.setLineDash([]);
    ctx.strokeStyle = colors.accent;
    ctx.lineWidth = small ? 2 : 3;
    ctx.stroke(lines.lit);

    if (size.text) for (const each of texted) paintEdgeText(...each);
    if (small) paintMarks(boxes);
    else for (const [id, spot] of boxes) paintBox(id, spot);
    ctx.restore();
  }

  /** Whether the match went through all of a node's edge: one that ends inside it does not reach the node. */
  function reached(id) {
    return tree.path.has(id) && tree.path.get(id) >= replay.pages[replay.key[tree.row.get(id)]] * data.pageBytes;
  }

  function font(weight, px, face) {
    const wanted = `${weight} ${px}px ${face}`;
    if (ctx.lkFont !== wanted) ctx.font = ctx.lkFont = wanted;
  }

  function paintEdgeText(id, spot, spine) {
    if (id < 0) return;
    const { size } = shown;
    const i = tree.row.get(id);
    const x = spine + 7;
    const room = spot.x - 6 - x;
    const lit = tree.path.has(id) && tree.path.get(id) > 0;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    font(lit ? 600 : 400, size.text, mono);
    ctx.fillStyle = tree.gone.has(id) ? colors.dim : colors.ink;
    ctx.fillText(shorten(texts[replay.key[i]], room), x, spot.y - 5);
    const cut = (tree.flags.get(id) || 0) & TREE.LOWER;
    if (cut) {
      ctx.strokeStyle = colors.ink;
      ctx.lineWidth = 1.6;
      ctx.beginPath();
      for (const dx of [-2, 3]) {
        ctx.moveTo(spine + 4 + dx - 2.5, spot.y + 6);
        ctx.lineTo(spine + 4 + dx + 2.5, spot.y - 5);
      }
      ctx.stroke();
    }
    if (size.lines < 2) return;
    font(cut ? 600 : 400, 10, family);
    ctx.fillStyle = cut ? colors.ink : colors.dim;
    const pages = pagesOf(replay.pages[replay.key[i]]);
    const partly = lit && tree.path.get(id) < replay.pages[replay.key[i]] * data.pageBytes;
    const words = partly ? `${Math.floor(tree.path.get(id) / data.pageBytes)} of ${pages} found` : pages;
    ctx.fillText(shorten(cut ? `split · ${words}` : words, room - 4), x + (cut ? 6 : 0), spot.y + 13);
  }

  const short = new Map();
  /** A text cut to `room` pixels in the font that is set. */
  function shorten(text, room) {
    const key = `${ctx.lkFont}/${Math.floor(room)}/${text}`;
    let found = short.get(key);
    if (found === undefined) {
      if (short.size > 20000) short.clear();
      // A first guess by the width of one letter keeps long texts from being measured whole, letter by letter.
      const most = Math.max(1, Math.ceil(room / Math.max(3, ctx.measureText("i").width)) + 2);
      found = room < 8 ? "" : text.length > most ? clip(ctx, `${text.slice(0, most)}…`, room) : clip(ctx, text, room);
      short.set(key, found);
    }
    return found;
  }

  function paintBox(id, spot) {
    const { size } = shown;
    const x = spot.x;
    const y = Math.round(spot.y - size.tall / 2);
    ctx.textBaseline = "middle";
    if (id === TREE.ROOT) {
      ctx.fillStyle = colors.sunk;
      ctx.strokeStyle = colors.edge;
      ctx.lineWidth = 1;
      ctx.beginPath();
      ctx.roundRect(x + 0.5, Math.round(spot.y - 10) + 0.5, ROOT_WIDE - 1, 20, 10);
      ctx.fill();
      ctx.stroke();
      ctx.textAlign = "center";
      ctx.fillStyle = colors.dim;
      font(400, 11, family);
      ctx.fillText("root", x + ROOT_WIDE / 2, spot.y + 0.5);
      return;
    }
    if (id < 0) {
      const rest = shown.stubs.get(id);
      ctx.textAlign = "left";
      ctx.fillStyle = colors.dim;
      font(400, 11, family);
      ctx.fillText(`▸ ${plural(rest.nodes, "node")}`, x - size.edge + SPINE + 8, spot.y + 0.5);
      return;
    }
    const i = tree.row.get(id);
    const gone = tree.gone.has(id);
    const flags = tree.flags.get(id) || 0;
    const lit = reached(id);
    ctx.beginPath();
    ctx.roundRect(x + 0.5, y + 0.5, size.box - 1, size.tall - 1, size.tall > 20 ? 4 : 3);
    ctx.fillStyle = colors.panel;
    ctx.fill();
    if (!gone) {
      ctx.globalAlpha = SHADES[shadeOf(i)];
      ctx.fillStyle = colors.s0;
      ctx.fill();
      ctx.globalAlpha = 1;
    }
    const fresh = (flags & (TREE.ADDED | TREE.UPPER)) !== 0 && !gone;
    const trimmed = (flags & TREE.TRIMMED) !== 0;
    // Dashed is what goes: all of a node, or the end of one that keeps its shade.
    ctx.strokeStyle = gone ? colors.dim : fresh || trimmed ? colors.ink : lit ? colors.accent : colors.edge;
    ctx.lineWidth = gone || trimmed ? 1.3 : fresh || lit ? 2 : 1;
    ctx.setLineDash(gone || trimmed ? [3, 2.5] : []);
    ctx.stroke();
    ctx.setLineDash([]);
    if (size.text) {
      ctx.textAlign = "left";
      ctx.fillStyle = gone ? colors.dim : colors.ink;
      const room = size.box - 12;
      const used = gone ? "evicted" : `t ${replay.used[i]}${trimmed ? ` · −${replay.lost[i]}` : ""}`;
      if (size.lines === 2) {
        font(400, 11, mono);
        ctx.fillText(blockText(i, room), x + 7, y + 11);
        ctx.fillStyle = gone ? colors.dim : colors.ink;
        font(400, 10.5, family);
        ctx.fillText(used, x + 7, y + 25);
      } else {
        font(400, 10.5, family);
        const taken = replay.locks[i] > 0 && !gone ? pillWide(i) + 6 : 6;
        ctx.fillText(shorten(used, size.box - 6 - taken), x + 6, spot.y + 0.5);
      }
    }
    const wrong = !gone && replay.pages[replay.key[i]] !== replay.blocksOf(i).length;
    if (wrong && size.text) {
      ctx.textAlign = "right";
      ctx.fillStyle = colors.bad;
      font(600, 12, family);
      ctx.fillText("!", x + size.box - 5, y + 11);
    }
    if (replay.locks[i] > 0 && !gone) paintLocks(i, x + size.box, y, size);
  }

  const lockCount = (i) => (replay.locks[i] > 999 ? "999+" : String(replay.locks[i]));
  const pillWide = (i) => 17 + 6 * lockCount(i).length;

  /** The badge at the lower right: a padlock and how many running sequences hold the node. */
  function paintLocks(i, x, y, size) {
    ctx.strokeStyle = ctx.fillStyle = colors.ink;
    if (!size.text) {
      ctx.fillRect(x - 5, y + 2, 3, size.tall - 4);
      return;
    }
    const count = lockCount(i);
    const wide = pillWide(i);
    const at = y + size.tall - 17;
    const from = x - wide - 4;
    ctx.beginPath();
    ctx.roundRect(from + 0.5, at + 0.5, wide, 14, 7);
    ctx.fillStyle = colors.panel;
    ctx.fill();
    ctx.lineWidth = 1;
    ctx.strokeStyle = colors.edge;
    ctx.stroke();
    ctx.fillStyle = ctx.strokeStyle = colors.ink;
    ctx.lineWidth = 1.3;
    lockPath(ctx, from + 8, at + 6);
    ctx.textAlign = "left";
    font(600, 10, family);
    ctx.fillText(count, from + 14, at + 8);
  }

  function blockText(i, room) {
    const blocks = replay.blocksOf(i);
    if (!blocks.length) return "no block";
    const parts = [];
    for (let k = 0; k < blocks.length; k++) {
      const rest = blocks.length - k - 1;
      const tail = rest ? ` +${rest}` : "";
      if (k && ctx.measureText([...parts, blocks[k]].join(" ") + tail).width > room) return `${parts.join(" ")} +${blocks.length - k}`;
      parts.push(blocks[k]);
      if (ctx.measureText(parts.join(" ")).width > room) break;
    }
    return parts.join(" ");
  }

  /** Many small nodes: one path a look, so that thousands are a handful of calls. */
  function paintMarks(boxes) {
    const { size } = shown;
    const fills = SHADES.map(() => new Path2D());
    const edges = { plain: new Path2D(), locked: new Path2D(), lit: new Path2D(), fresh: new Path2D(), gone: new Path2D() };
    for (const [id, spot] of boxes) {
      if (id < 0) continue;
      const i = tree.row.get(id);
      const y = Math.round(spot.y - size.tall / 2);
      const x = Math.round(spot.x);
      if (id === TREE.ROOT) {
        edges.plain.rect(x + ROOT_WIDE - size.box, y, size.box, size.tall);
        continue;
      }
      if (tree.gone.has(id)) {
        edges.gone.rect(x + 0.5, y + 0.5, size.box - 1, size.tall - 1);
        continue;
      }
      fills[shadeOf(i)].rect(x, y, size.box, size.tall);
      if (replay.locks[i] > 0) edges.locked.rect(x + size.box - 3, y, 3, size.tall);
      if ((tree.flags.get(id) || 0) & TREE.TRIMMED) edges.gone.rect(x + 0.5, y + 0.5, size.box - 1, size.tall - 1);
      if ((tree.flags.get(id) || 0) & (TREE.ADDED | TREE.UPPER)) edges.fresh.rect(x, y, size.box, size.tall);
      else if (reached(id)) edges.lit.rect(x, y, size.box, size.tall);
    }
    ctx.fillStyle = colors.s0;
    fills.forEach((path, shade) => {
      // Without numbers the shade alone says how old a node is, and no text stands on it: it may reach further.
      ctx.globalAlpha = 0.18 + 0.2 * shade;
      ctx.fill(path);
    });
    ctx.globalAlpha = 1;
    ctx.fillStyle = colors.ink;
    ctx.fill(edges.locked);
    ctx.lineWidth = size.tall > 3 ? 1.5 : 1;
    ctx.strokeStyle = colors.edge;
    ctx.stroke(edges.plain);
    ctx.strokeStyle = colors.accent;
    ctx.stroke(edges.lit);
    ctx.strokeStyle = colors.ink;
    ctx.stroke(edges.fresh);
    ctx.strokeStyle = colors.dim;
    ctx.setLineDash([2, 2]);
    ctx.stroke(edges.gone);
    ctx.setLineDash([]);
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
    if (flags & TREE.TRIMMED) parts.push(`${pagesOf(replay.lost[i])} evicted off its end in this step`);
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
      mono = monoOf(root);
      ctx.lkFont = null;
      short.clear();
      layout();
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
      paintTree(1 - (1 - share) ** 2);
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
    folding = on;
    data.fold = on;
    measured = null;
    chosen = false;
    follow = true;
    relayout();
  }

  /** Open what is folded at a node, or fold it again. */
  function toggle(id) {
    if (!folding || id === null) return;
    const node = id < 0 ? -1 - id : id;
    if (id < 0) open.add(node);
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
  const while_walking = (act) => () => {
    if (!walking || !shown || tree.empty) return false;
    to(act());
    return true;
  };
  keys(canvas, {
    ArrowRight: while_walking(() => (hover === null ? TREE.ROOT : (shown.children.get(hover) || [hover])[0])),
    ArrowLeft: while_walking(() => (hover === null || hover === TREE.ROOT ? TREE.ROOT : hover < 0 ? -1 - hover : replay.parent[tree.row.get(hover)])),
    ArrowUp: while_walking(() => beside(-1)),
    ArrowDown: while_walking(() => beside(1)),
    Home: while_walking(() => TREE.ROOT),
    End: while_walking(() => subject() ?? TREE.ROOT),
    Escape: () => {
      point(null);
      bar.root.querySelector("input").focus();
    },
    Enter: () => {
      if (!walking) {
        walk(true);
        to(hover ?? subject() ?? TREE.ROOT);
      } else toggle(hover);
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

const NOTHING = Object.freeze([]);

/** Device pixels a CSS pixel, for canvases: never less than one. */
function pixelRatio() {
  return Math.max(1, globalThis.devicePixelRatio || 1);
}

function monoOf(node) {
  return getComputedStyle(node).getPropertyValue("--lk-mono") || "monospace";
}

/** A text cut to `width` pixels in the font that is set. */
function clip(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let keep = text.length;
  while (keep > 1 && context.measureText(`${text.slice(0, keep)}…`).width > width) keep -= 1;
  return `${text.slice(0, keep)}…`;
}
