// The page table's picture: sequences and their logical blocks on one side, the pool's physical blocks on the other.
// Blocks live on two canvases (10,000 of them are one canvas, not 10,000 nodes) and only cells that changed are painted
// again; the one link and the outlines lie above them in an SVG that takes no pointer.

const BOARD_COLORS = ["panel", "sunk", "line", "edge", "ink", "dim", "faint", "accent", "free", "cached", "held", "onfill", "bad", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];
const PHYSICAL_SIZES = [
  { cell: 28, px: 40, py: 50, numbers: true },
  { cell: 28, px: 34, py: 46, numbers: true },
  { cell: 26, px: 31, py: 44, numbers: true },
  { cell: 22, px: 27, py: 38, numbers: true },
  { cell: 17, px: 20, py: 20 },
  { cell: 13, px: 15, py: 15 },
  { cell: 9, px: 11, py: 11 },
  { cell: 7, px: 8, py: 8 },
  { cell: 5, px: 6, py: 6 },
  { cell: 4, px: 5, py: 5 },
  { cell: 3, px: 4, py: 4 },
];
const LOGICAL_SIZES = [
  { cell: 28, px: 36, py: 44, numbers: true },
  { cell: 22, px: 27, py: 37, numbers: true },
  { cell: 16, px: 19, py: 20 },
  { cell: 11, px: 13, py: 13 },
  { cell: 8, px: 9, py: 9 },
  { cell: 6, px: 7, py: 7 },
];
const TALLEST = 460; // pixels a side may take before it shrinks, then scrolls
const MANY = 2000; // a pool from here on is a texture: it may be taller, and its cells show no fill height
const TOP = 10; // room above the first row for badges
const STAMPED = 13; // blocks smaller than this carry no letter and are stamped
const STABLE_ROWS = 14; // up to so many sequences keep a row of their own for the whole log

const LOST_SLOT = 9; // where a stamp has the colour of a sequence: the look of a block that nobody holds and nobody can get

/**
 * One block, wherever it is drawn. `look`: {first, second, refs, cached, lost, clash, level 0..1, label}; first < 0:
 * nobody holds it. With a badge it takes 6.5 pixels more at its right and top.
 */
function drawBlock(ctx, x, y, s, look, colors, fills) {
  const round = s >= 22 ? 3 : s >= 13 ? 2 : 0;
  const box = (bx, by, w, height, r = round) => {
    ctx.beginPath();
    if (r) ctx.roundRect(bx, by, w, height, r);
    else ctx.rect(bx, by, w, height);
  };
  const line = (x1, y1, x2, y2) => {
    ctx.moveTo(x1, y1);
    ctx.lineTo(x2, y2);
  };
  if (look.first < 0) {
    ctx.fillStyle = look.cached ? colors.cached : colors.free;
    box(x, y, s, s);
    ctx.fill();
    if (look.cached && s >= 4) {
      const inset = s >= 13 ? 4 : s >= 7 ? 1.5 : 0.5;
      ctx.strokeStyle = colors.dim;
      ctx.lineWidth = s >= 13 ? 1.3 : 1;
      ctx.beginPath();
      line(x + inset, y + s - inset, x + s - inset, y + inset);
      ctx.stroke();
    }
    return;
  }
  const rim = s >= 9 ? 1 : 0;
  if (look.lost) {
    ctx.save();
    box(x, y, s, s);
    ctx.fillStyle = colors.free;
    ctx.fill();
    ctx.clip();
    ctx.strokeStyle = colors.edge;
    ctx.lineWidth = 1;
    ctx.beginPath();
    for (let at = -s; at < s; at += s >= 13 ? 5 : 3) line(x + at, y, x + at + s, y + s);
    ctx.stroke();
    ctx.restore();
    if (rim) {
      ctx.strokeStyle = colors.edge;
      ctx.lineWidth = 1;
      box(x + 0.5, y + 0.5, s - 1, s - 1);
      ctx.stroke();
    }
    if (s >= STAMPED) drawLetter(ctx, "?", x, y, s, null, colors);
    return;
  }
  const color = fills[look.first];
  const shared = look.refs > 1;
  const other = shared ? fills[look.second] : color;
  const height = (s - 2 * rim) * (s < 6 && look.level > 0 ? 1 : look.level);
  const surface = y + s - rim - height;
  ctx.save();
  box(x, y, s, s);
  ctx.clip();
  const part = (bx, w, c) => {
    ctx.fillStyle = c;
    ctx.globalAlpha = 0.2;
    ctx.fillRect(bx, y, w, s);
    ctx.globalAlpha = 1;
    ctx.fillRect(bx, surface, w, y + s - surface);
  };
  if (shared) {
    part(x, s / 2, color);
    part(x + s / 2, s / 2, other);
    ctx.fillStyle = colors.panel; // the seam: two holders can be told apart from one in grey as well
    ctx.fillRect(x + s / 2 - (s >= 13 ? 0.75 : 0.5), y, s >= 13 ? 1.5 : 1, s);
  } else part(x, s, color);
  ctx.restore();
  if (rim || look.clash) {
    const wide = look.clash ? (s >= 13 ? 2.5 : Math.max(1, s / 6)) : 1;
    if (look.clash && s >= 13) {
      ctx.strokeStyle = colors.panel; // between the red and a fill that may be red itself
      ctx.lineWidth = 4;
      box(x + 2, y + 2, s - 4, s - 4);
      ctx.stroke();
    }
    ctx.strokeStyle = look.clash ? colors.bad : color;
    ctx.lineWidth = wide;
    box(x + wide / 2, y + wide / 2, s - wide, s - wide);
    ctx.stroke();
  }
  if (s >= STAMPED && look.label) drawLetter(ctx, shared && s < 22 ? String(look.refs) : look.label, x, y, s, surface, colors);
  if (shared && s >= 22) {
    ctx.beginPath();
    ctx.arc(x + s - 1, y + 1, 7, 0, 7);
    ctx.fillStyle = look.clash ? colors.bad : colors.panel;
    ctx.fill();
    ctx.strokeStyle = look.clash ? colors.bad : colors.edge;
    ctx.lineWidth = 1;
    ctx.stroke();
    if (ctx.lkFont !== 9.5) ctx.font = `600 ${(ctx.lkFont = 9.5)}px ${ctx.lkFamily}`;
    ctx.fillStyle = look.clash ? colors.panel : colors.ink;
    ctx.fillText(look.refs > 99 ? "99" : String(look.refs), x + s - 1, y + 1.5);
  }
}

/**
 * The letter of a block, whole and in one colour: on the fill in the colour for fills, above it in that of text. Where
 * the fill ends behind the letter (`surface`; null: the ground is hatched), it is text with a rim of the panel's colour.
 */
function drawLetter(ctx, text, x, y, s, surface, colors) {
  const fit = fitted(ctx, text, s);
  if (!fit.text) return;
  if (ctx.lkFont !== fit.size) ctx.font = `600 ${(ctx.lkFont = fit.size)}px ${ctx.lkFamily}`;
  const middle = y + s / 2 + 0.5;
  const half = fit.size / 2 + 2; // capitals are lower than the type, by how much depends on the font
  const covered = surface !== null && surface <= middle - half;
  const bare = surface !== null && surface >= middle + half;
  if (!covered && !bare) {
    ctx.strokeStyle = colors.panel;
    ctx.lineWidth = 4;
    ctx.lineJoin = "round";
    ctx.strokeText(fit.text, x + s / 2, middle);
    ctx.lineJoin = "miter";
  }
  ctx.fillStyle = covered ? colors.onfill : colors.ink;
  ctx.fillText(fit.text, x + s / 2, middle);
}

/** The largest type in which a label fits in a block, else that of its first letter. */
function fitted(ctx, text, s) {
  const fits = (ctx.lkFits ??= new Map());
  const key = `${text}/${s}`;
  let fit = fits.get(key);
  if (!fit) {
    const room = s - (s >= 22 ? 5 : 3);
    const kept = ctx.font;
    const largest = s >= 22 ? 11 : 9;
    const fitsAt = (some, size) => {
      ctx.font = `600 ${size}px ${ctx.lkFamily}`;
      return ctx.measureText(some).width <= room;
    };
    const size = [11, 9, 8].find((px) => px <= largest && fitsAt(text, px));
    fit = size ? { text, size } : { text: text.slice(0, 1), size: largest };
    ctx.font = kept;
    fits.set(key, fit);
  }
  return fit;
}

/**
 * Small blocks are stamped: one look is drawn once and copied from then on, which is some ten times faster than drawing
 * it. Returns `tile(slot, other, refs, cached, level, clash)`, where a slot is 0-7 for a colour, 8 for held by nobody with
 * a name, 9 for lost, -1 for not held; the tile has the canvas and its pixels.
 */
function blockTiles(s, scale, colors) {
  const made = new Map();
  const size = Math.max(1, Math.round(s * scale));
  const fills = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => colors[`s${i}`]).concat(colors.held, colors.edge);
  return (slot, other, refs, cached, level, clash = 0) => {
    const tall = slot < 0 ? 0 : Math.max(level > 0 ? 1 : 0, Math.round(level * size));
    const key = ((((slot + 1) * 11 + (refs > 1 ? other + 1 : 0)) * 2 + cached) * 2 + clash) * 512 + tall;
    let tile = made.get(key);
    if (!tile) {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = size;
      const ctx = canvas.getContext("2d", { willReadFrequently: true });
      ctx.fillStyle = colors.panel;
      ctx.fillRect(0, 0, size, size);
      ctx.scale(size / s, size / s);
      drawBlock(ctx, 0, 0, s, { first: slot, second: other, refs, cached: cached === 1, lost: slot === LOST_SLOT, clash: clash === 1, level: tall / size, label: "" }, colors, fills);
      const pixels = new Uint32Array(ctx.getImageData(0, 0, size, size).data.buffer);
      made.set(key, (tile = { canvas, pixels, size }));
    }
    return tile;
  };
}

/** A canvas that knows its size in CSS pixels. */
function board2d(label) {
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": label });
  const ctx = canvas.getContext("2d");
  return {
    canvas,
    ctx,
    size(width, height, family) {
      const scale = pixelRatio();
      canvas.width = Math.max(1, Math.round(width * scale));
      canvas.height = Math.max(1, Math.round(height * scale));
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      ctx.setTransform(scale, 0, 0, scale, 0, 0);
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.lkFamily = family;
      ctx.lkFont = null;
      ctx.lkFits = null;
    },
  };
}

/**
 * Build the board in `root`. `data`: {title, subtitle, numBlocks, blockSize, names, slots, labels, bytes, step, live}.
 * `step` counts operations that have happened; null is the end of the log.
 */
function pageBoard(root, data) {
  const replay = new PoolReplay(data.numBlocks);
  const family = getComputedStyle(root).fontFamily || "sans-serif";
  let names = data.names;
  let slots = data.slots;
  let labels = data.labels;
  let colors = {};
  let mono = "monospace";
  let fills = [];
  let hover = null; // {side, block, seq, index}: what the pointer or the keyboard is on
  let scheduled = 0;
  let physical = null; // geometry of each side
  let logical = null;
  let rows = [];
  let drawn = { a: new Uint32Array(0), b: new Uint32Array(0), fresh: true };
  let laidOut = ""; // the width and the pixel ratio for which the canvases were made
  let widestSeen = "";
  let summaryTimer = 0;
  let retries = 0;
  let stale = true; // the layout or the colours are no longer those of the page

  const subtitle = h("p", { class: "lk-sub", text: data.subtitle || "" });
  subtitle.hidden = !data.subtitle;
  const chip = h("span", { class: "lk-tag lk-live", text: "live" });
  chip.hidden = !data.live;
  const left = board2d("Logical blocks. Up and down: sequence; left and right: block; Escape: back to the steps.");
  const right = board2d("Physical blocks. Arrow keys move from block to block; Escape: back to the steps.");
  const leftSpace = h("div", { class: "lk-board-space" }, left.canvas);
  const leftView = h("div", { class: "lk-board-view", tabindex: -1 }, leftSpace);
  const rightView = h("div", { class: "lk-board-view", tabindex: -1 }, right.canvas);
  const detail = h("span", { class: "lk-board-detail" });
  const rightHead = h("span", { text: `physical blocks (pool of ${data.numBlocks.toLocaleString("en-US")})` });
  const outlines = svg("path", { class: "lk-outline" });
  const freed = svg("path", { class: "lk-outline lk-freed" });
  const link = svg("path", { class: "lk-link" });
  const badges = svg("g", { class: "lk-badges" });
  const overlay = svg("svg", { class: "lk-overlay", "aria-hidden": "true" }, freed, outlines, link, badges);
  const leftSide = h("div", { class: "lk-board-side" }, h("div", { class: "lk-board-head" }, "sequences → logical blocks"), leftView);
  const rightSide = h("div", { class: "lk-board-side" }, h("div", { class: "lk-board-head" }, rightHead), rightView);
  const stage = h("div", { class: "lk-board" }, leftSide, rightSide, overlay, detail);
  const nothing = h("p", { class: "lk-sub lk-board-empty", text: "There are no blocks to show: the pool has size 0." });
  nothing.hidden = data.numBlocks > 0;
  const sentence = h("span", { class: "lk-board-sentence", "aria-live": "polite" });
  const wrong = h("span", { class: "lk-board-wrong lk-bad" });
  const legend = h("div", { class: "lk-legend" });
  const counts = h("span", { class: "lk-board-counts" });
  const summary = h("p", { class: "lk-hidden" });
  const say = liveRegion(root);
  const bar = transport({
    last: 0,
    step: 0,
    onseek: () => schedule(),
    onplay: (playing) => sentence.setAttribute("aria-live", playing ? "off" : "polite"),
    spoken: (step) => (step ? `step ${step}: ${labelOf(step)}` : "before the first step"),
  });
  root.append(
    h("div", { class: "lk-row" }, h("h3", { text: data.title }), chip, keyHint()),
    subtitle,
    nothing,
    stage,
    bar.root,
    h("div", { class: "lk-well lk-mono lk-board-log" }, sentence, wrong, counts),
    legend,
    summary,
  );
  stage.hidden = data.numBlocks === 0;
  let walking = null; // the canvas in which the arrow keys go from block to block
  bar.keysFor(root);

  function labelOf(step) {
    return (labels[step - 1] || "").replaceAll("->", "→");
  }

  /** Only what this log shows at some step. */
  function paintLegend() {
    const { seen } = replay;
    const key = [...seen].sort().join();
    if (legend.dataset.seen === key) return;
    legend.dataset.seen = key;
    const means = [seen.has("named") ? "letter = sequence" : "", seen.has("fill") && data.blockSize ? "height = fill" : ""].filter(Boolean).join(", ");
    const entries = [
      [seen.has("held"), "held", `held${means ? ` (${means})` : ""}`],
      [seen.has("shared"), "shared", "shared (badge = references)"],
      [seen.has("clash"), "clash", "two owners: given out twice", "lk-bad"],
      [seen.has("lost"), "lost", "lost: nobody holds it"],
      [seen.has("cached"), "cached", "cached, reference 0 (slash)"],
      [data.numBlocks > 0, "free", "free"],
    ];
    legend.replaceChildren(
      ...entries
        .filter(([shown]) => shown)
        .map(([, kind, words, cls]) => h("span", { class: cls }, h("i", { class: `lk-swatch lk-sw-${kind}`, "aria-hidden": "true" }), words)),
    );
  }

  const onDevice = (v) => Math.round(v * pixelRatio()) / pixelRatio();

  function findLost() {
    replay.lost = new Set(names.flatMap((name, seq) => (isLost(name) ? [seq] : [])));
  }

  function recolor() {
    colors = colorsOf(root, BOARD_COLORS);
    mono = monoOf(root);
    fills = names.map((_, i) => (i === 0 ? colors.held : colors[`s${slots[i] ?? 0}`]));
  }

  // Where things are.

  function layout() {
    if (!data.numBlocks) return;
    const width = stage.clientWidth;
    if (!width) return;
    laidOut = shape();
    const widest = sequences();
    const hasSequences = widest.length > 0;
    const stacked = width < 640;
    stage.classList.toggle("lk-stacked", stacked);
    leftSide.hidden = !hasSequences;
    const longest = Math.max(1, ...widest.map(([, count]) => count));
    // The share of the left side follows what it has to hold, within limits.
    const wish = hasSequences ? Math.min(data.numBlocks > MANY ? 0.32 : 0.44, Math.max(0.26, (84 + longest * 36) / width)) : 0;
    const gap = hasSequences && !stacked ? 28 : 0;
    const leftWidth = !hasSequences ? 0 : stacked ? width : Math.floor(width * wish);
    const rightWidth = stacked || !hasSequences ? width : width - leftWidth - gap;
    stage.style.setProperty("--left", `${leftWidth}px`);
    physical = layoutPhysical(rightWidth);
    right.size(physical.width, physical.height, family);
    if (physical.cell < STAMPED) {
      const scale = pixelRatio();
      const image = right.ctx.createImageData(Math.ceil(physical.cols * physical.px * scale) + 1, Math.ceil(physical.lines * physical.py * scale) + 1);
      Object.assign(physical, { scale, image, pixels: new Uint32Array(image.data.buffer), tile: blockTiles(physical.cell, scale, colors) });
    }
    drawn = { a: new Uint32Array(data.numBlocks), b: new Uint32Array(data.numBlocks), fresh: true };
    if (hasSequences) {
      logical = layoutLogical(leftWidth, Math.max(270, Math.min(TALLEST, physical.height)));
      leftView.style.maxHeight = `${logical.viewHeight}px`;
      logical.tile = logical.cell < STAMPED ? blockTiles(logical.cell, pixelRatio(), colors) : null;
      left.key = ""; // the canvas is made anew
    } else logical = null;
    widestSeen = signature();
    overlay.setAttribute("width", width);
  }

  /** [sequence, most blocks it ever has] of those that get a row: "lost" is no sequence. */
  function sequences() {
    return [...replay.widest.entries()].filter(([seq]) => !replay.lost.has(seq)).sort((p, q) => p[0] - q[0]);
  }

  const shape = () => `${stage.clientWidth}/${pixelRatio()}`;

  function layoutPhysical(width) {
    const n = data.numBlocks;
    for (const size of PHYSICAL_SIZES) {
      const x0 = size.numbers ? 1 : 8 + 7 * String(n).length;
      let cols = Math.max(1, Math.floor((width - x0 - 8 + (size.px - size.cell)) / size.px));
      if (n > cols) cols = cols >= 16 ? cols - (cols % 16) : cols >= 4 ? cols - (cols % 4) : cols;
      else cols = n;
      const lines = Math.ceil(n / cols);
      const height = TOP + lines * size.py;
      const last = size === PHYSICAL_SIZES[PHYSICAL_SIZES.length - 1];
      // The roomy looks are for pools that fit in a few rows of sixteen, as on paper.
      const tallest = size.px === 40 ? 260 : n > MANY ? 550 : TALLEST;
      const narrow = size.px > 31 && cols < 16 && n > cols;
      if ((height <= tallest && !narrow) || last) return { ...size, x0, cols, lines, width: Math.min(width, x0 + cols * size.px + 8), height };
    }
    return null;
  }

  function layoutLogical(width, target) {
    const widest = sequences();
    const stable = widest.length <= STABLE_ROWS;
    const wide = Math.min(104, Math.max(58, 16 + Math.max(...widest.map(([seq]) => (names[seq] || "").length)) * 8));
    let chosen = null;
    for (const size of LOGICAL_SIZES) {
      const lw = size.cell >= 16 ? wide : wide + 34;
      const cols = Math.max(1, Math.floor((width - lw - 2) / size.px));
      const rowHeights = widest.map(([, count]) => rowHeight(size, Math.ceil(count / cols)));
      const total = TOP + (stable ? rowHeights.reduce((a, b) => a + b, 0) : replay.mostRows * Math.max(...rowHeights));
      chosen = { ...size, lw, cols, stable, width, order: widest.map(([seq]) => seq), total };
      if (total <= target + 12) break;
    }
    chosen.viewHeight = Math.min(chosen.total + 2, Math.max(target, 200) + 12);
    return chosen;
  }

  /** Height of a sequence's row: two lines of text beside large blocks, one beside small ones. */
  function rowHeight(size, lines) {
    return size.numbers ? lines * size.py : Math.max(size.cell >= 16 ? 32 : 17, lines * size.py + 6);
  }

  /** Rows of the left side at this step: {seq, table, y, height}. */
  function placeRows() {
    if (!logical) return [];
    const shown = logical.stable ? logical.order : [...replay.tables.entries()].filter(([seq, t]) => t.length && !replay.lost.has(seq)).map(([seq]) => seq).sort((a, b) => a - b);
    let y = TOP;
    return shown.map((seq) => {
      const table = replay.tables.get(seq) || NONE;
      const room = logical.stable ? replay.widest.get(seq) : table.length;
      const height = rowHeight(logical, Math.ceil(Math.max(1, room) / logical.cols));
      const row = { seq, table, y, height };
      y += height;
      return row;
    });
  }

  function physicalAt(block) {
    return [physical.x0 + (block % physical.cols) * physical.px, TOP + Math.floor(block / physical.cols) * physical.py];
  }

  function logicalAt(row, index) {
    return [logical.lw + (index % logical.cols) * logical.px, row.y + Math.floor(index / logical.cols) * logical.py];
  }

  function signature() {
    let sum = 0;
    for (const count of replay.widest.values()) sum += count;
    return `${replay.widest.size}/${sum}/${replay.mostRows > STABLE_ROWS ? replay.mostRows : 0}`;
  }

  // Painting.

  function lookOf(block) {
    const holders = replay.holders[block];
    const amount = replay.fill[block];
    return {
      first: holders.length ? holders[0] : -1,
      second: holders.length > 1 ? holders[1] : -1,
      refs: holders.length,
      cached: replay.cached[block] === 1,
      lost: replay.isLost(block),
      clash: replay.clash[block] === 1,
      level: levelOf(amount),
      label: holders.length ? labelFor(holders) : "",
    };
  }

  function labelFor(holders) {
    const one = shortLabel(names[holders[0]] || "");
    if (holders.length < 2) return one;
    const two = shortLabel(names[holders[1]] || "");
    return one.length + two.length <= 2 ? one + two : one;
  }

  /**
   * Whatever came before, the canvas must show what a full redraw would. Blocks with numbers and badges reach over into
   * each other's room and are few: there one change paints all. Smaller ones keep to their own pixels and are painted
   * one by one.
   */
  function paintPhysical() {
    const { ctx } = right;
    const s = physical.cell;
    const changed = [];
    for (let b = 0; b < data.numBlocks; b++) {
      const holders = replay.holders[b];
      const one = holders.length ? ((holders[0] + 1) & 0xffff) | (((holders.length > 1 ? holders[1] + 1 : 0) & 0xffff) << 16) : 0;
      const two = ((replay.fill[b] + 1) & 0xffff) | (Math.min(255, holders.length) << 16) | (replay.cached[b] << 24) | (replay.clash[b] << 25);
      if (!drawn.fresh && drawn.a[b] === one >>> 0 && drawn.b[b] === two >>> 0) continue;
      drawn.a[b] = one;
      drawn.b[b] = two;
      changed.push(b);
    }
    if (!changed.length) return;
    if (physical.numbers) {
      ctx.clearRect(0, 0, physical.width + 1, physical.height + 1);
      ctx.lkFont = null;
      ctx.font = `9.5px ${mono}`;
      for (let b = 0; b < data.numBlocks; b++) {
        const [x, y] = physicalAt(b);
        ctx.fillStyle = replay.clash[b] ? colors.bad : colors.dim;
        ctx.fillText(String(b), x + s / 2, y + s + 9);
      }
      for (let b = 0; b < data.numBlocks; b++) {
        const [x, y] = physicalAt(b);
        drawBlock(ctx, x, y, s, lookOf(b), colors, fills);
      }
    } else {
      if (drawn.fresh) paintLineNumbers();
      if (s < STAMPED) paintStamps(changed);
      else {
        const scale = pixelRatio();
        for (const b of changed) {
          const [x, y] = physicalAt(b).map(onDevice);
          const side = Math.ceil(s * scale) / scale;
          ctx.clearRect(x, y, side, side);
          drawBlock(ctx, x, y, s, lookOf(b), colors, fills);
        }
      }
    }
    drawn.fresh = false;
  }

  function paintLineNumbers() {
    const { ctx } = right;
    ctx.clearRect(0, 0, physical.width + 1, physical.height + 1);
    ctx.lkFont = null;
    ctx.fillStyle = colors.dim;
    ctx.font = `9.5px ${mono}`;
    ctx.textAlign = "right";
    const every = Math.max(1, Math.ceil(14 / physical.py));
    for (let line = 0; line < physical.lines; line += every) {
      ctx.fillText(String(line * physical.cols), physical.x0 - 6, TOP + line * physical.py + physical.cell / 2);
    }
    ctx.textAlign = "center";
  }

  function paintStamps(blocks) {
    let top = Infinity;
    let bottom = 0;
    for (const b of blocks) {
      const line = Math.floor(b / physical.cols);
      stamp(b, b - line * physical.cols, line);
      if (line < top) top = line;
      if (line > bottom) bottom = line;
    }
    const { image, scale } = physical;
    const from = Math.floor(top * physical.py * scale);
    const height = Math.min(image.height, Math.ceil((bottom + 1) * physical.py * scale)) - from;
    right.ctx.putImageData(image, Math.round(physical.x0 * scale), Math.round(TOP * scale), 0, from, image.width, height);
  }

  function levelOf(amount) {
    return amount < 0 || !data.blockSize ? 1 : Math.min(1, amount / data.blockSize);
  }

  function slotOf(seq) {
    return replay.lost.has(seq) ? LOST_SLOT : seq ? (slots[seq] ?? 0) : 8;
  }

  function stamp(block, column, line) {
    const { scale, image, pixels, tile } = physical;
    const holders = replay.holders[block];
    const held = holders.length;
    const { pixels: from, size } = tile(
      held ? slotOf(holders[0]) : -1,
      held > 1 ? slotOf(holders[1]) : -1,
      held,
      held ? 0 : replay.cached[block],
      held ? levelOf(replay.fill[block]) : 0,
      replay.clash[block],
    );
    const left = Math.round(column * physical.px * scale);
    let at = Math.round(line * physical.py * scale) * image.width + left;
    for (let y = 0, i = 0; y < size; y++, at += image.width) for (let x = 0; x < size; x++) pixels[at + x] = from[i++];
  }

  function paintLogical() {
    if (!logical) return;
    rows = placeRows();
    const total = rows.length ? rows[rows.length - 1].y + rows[rows.length - 1].height : TOP;
    leftSpace.style.height = `${Math.max(total, 1)}px`;
    const height = Math.min(logical.viewHeight, Math.max(total, 1));
    const scrollTop = onDevice(Math.min(leftView.scrollTop, Math.max(0, total - height)));
    const key = `${logical.width}x${height}/${pixelRatio()}`;
    if (left.key !== key) {
      left.size(logical.width, height, family);
      left.key = key;
      left.rows = new Map();
    }
    const { ctx } = left;
    const s = logical.cell;
    const painted = new Map();
    // Each row owns its lines of pixels: it is cleared and drawn within them, so no row can damage another.
    const only = (from, to, draw) => {
      const y0 = onDevice(from);
      const y1 = onDevice(to);
      ctx.save();
      ctx.beginPath();
      ctx.rect(0, y0, logical.width + 1, y1 - y0);
      ctx.clip();
      ctx.clearRect(0, y0, logical.width + 1, y1 - y0);
      ctx.lkFont = null;
      draw();
      ctx.restore();
      ctx.lkFont = null;
    };
    const lead = 3; // a row's letters reach a little above its blocks
    const first = rows.length ? rows[0].y - scrollTop - lead : height;
    let end = Math.max(0, first);
    if (first > 0) only(0, first, () => {});
    for (const row of rows) {
      const y0 = row.y - scrollTop;
      if (y0 + row.height < lead || y0 - lead > height) continue;
      // A row that looks as it did is left alone.
      const mark = `${row.seq}/${row.height}/${replay.status.get(row.seq) || ""}/${row.table.map((block) => `${block}:${replay.fill[block] ?? ""}`).join()}`;
      painted.set(y0, mark);
      end = y0 + row.height - lead;
      if (left.rows.get(y0) !== mark) only(y0 - lead, end, () => paintRow(row, y0, s, scrollTop, height));
    }
    if (end < height) only(end, height, () => {});
    left.rows = painted;
  }

  function paintRow(row, y0, s, scrollTop, height) {
    const { ctx } = left;
    const name = names[row.seq] || "";
    const empty = row.table.length === 0;
    ctx.textAlign = "left";
    ctx.lkFont = null;
    ctx.fillStyle = empty ? colors.dim : fills[row.seq];
    if (s >= 16) {
      ctx.font = `600 13px ${family}`;
      ctx.fillText(clip(ctx, name, logical.lw - 8), 0, y0 + 7);
      ctx.font = `10px ${family}`;
      ctx.fillStyle = colors.dim;
      ctx.fillText(noteOf(row), 0, y0 + 22);
    } else {
      ctx.font = `600 11px ${family}`;
      const short = clip(ctx, name, logical.lw - 46);
      ctx.fillText(short, 0, y0 + s / 2 + 0.5);
      const after = ctx.measureText(short).width + 5;
      ctx.font = `9.5px ${family}`;
      ctx.fillStyle = colors.dim;
      ctx.fillText(noteOf(row), after, y0 + s / 2 + 0.5);
    }
    ctx.textAlign = "center";
    for (let i = 0; i < row.table.length; i++) {
      const [x, yy] = logicalAt(row, i);
      const y = yy - scrollTop;
      if (y + s < 0 || y > height) continue;
      const block = row.table[i];
      const known = block >= 0 && block < data.numBlocks;
      const amount = known ? replay.fill[block] : -1;
      const level = levelOf(amount);
      if (logical.tile) {
        ctx.drawImage(logical.tile(block === -1 ? -1 : slotOf(row.seq), -1, 1, 0, level).canvas, x, y, s, s);
      } else if (block === -1) drawBlock(ctx, x, y, s, { first: -1, cached: false }, colors, fills);
      else drawBlock(ctx, x, y, s, { first: row.seq, second: -1, refs: 1, level, label: shortLabel(name) }, colors, fills);
      if (logical.numbers) {
        ctx.lkFont = null;
        ctx.font = `9.5px ${mono}`;
        ctx.fillStyle = colors.dim;
        ctx.fillText(block < 0 ? "–" : String(block), x + s / 2, y + s + 8);
      }
    }
  }

  function noteOf(row) {
    const status = replay.status.get(row.seq);
    if (!row.table.length) return status || "no blocks";
    const tokens = replay.tokens(row.seq);
    return tokens === null ? plural(row.table.length, "block") : `${tokens.toLocaleString("en-US")} tok`;
  }

  /** What the step itself points at: the block it gave, and everything it touched. */
  function stepFocus(step) {
    const [from, to] = replay.span(step);
    const { kind, seq, block } = replay.records;
    const touched = new Set();
    const gone = new Set();
    let target = null;
    const limit = Math.min(to, from + 400);
    for (let i = from; i < limit; i++) {
      const b = block[i];
      if (b < 0 || b >= data.numBlocks) continue;
      if (kind[i] === KIND.FREE || kind[i] === KIND.REMOVED) gone.add(b);
      else if (kind[i] <= KIND.COPY || kind[i] === KIND.REUSE || kind[i] === KIND.FILL || kind[i] === KIND.STORED) touched.add(b);
      if (seq[i] && (kind[i] === KIND.COPY || (!target && kind[i] <= KIND.SHARE) || (!target && kind[i] === KIND.REUSE))) {
        const index = (replay.tables.get(seq[i]) || NONE).indexOf(b);
        if (index >= 0) target = { block: b, seq: seq[i], index };
      }
    }
    for (const b of touched) gone.delete(b);
    return { target, touched: [...touched].slice(0, 48), gone: [...gone].slice(0, 48) };
  }

  function paintLink() {
    if (!physical) return;
    const base = stage.getBoundingClientRect();
    overlay.setAttribute("height", base.height);
    const onRight = right.canvas.getBoundingClientRect();
    const rightBox = rightView.getBoundingClientRect();
    const squareR = (block, grow = 0) => {
      const [x, y] = physicalAt(block);
      const px = onRight.left - base.left + x;
      const py = onRight.top - base.top + y;
      if (onRight.top + y + physical.cell < rightBox.top || onRight.top + y > rightBox.bottom) return null;
      return { x: px, y: py, s: physical.cell + grow };
    };
    const squareL = (seq, index) => {
      const row = rows.find((r) => r.seq === seq);
      if (!row || index < 0 || !logical) return null;
      const [x, y] = logicalAt(row, index);
      const box = left.canvas.getBoundingClientRect();
      const yy = y - leftView.scrollTop;
      if (yy < -1 || yy + logical.cell > box.height + 1) return null;
      return { x: box.left - base.left + x, y: box.top - base.top + yy, s: logical.cell };
    };
    const frame = ({ x, y, s }) => `M${x - 0.5} ${y - 0.5}h${s + 1}v${s + 1}h${-s - 1}z`;
    let marks = [];
    let dashes = [];
    let target = null;
    let near = []; // physical blocks with an outline
    if (hover) {
      const holders = hover.block >= 0 && hover.block < data.numBlocks ? replay.holders[hover.block] : NONE;
      if (hover.block >= 0 && hover.block < data.numBlocks) {
        marks.push(squareR(hover.block));
        near = [hover.block];
      }
      for (const seq of holders.slice(0, 24)) {
        const index = (replay.tables.get(seq) || NONE).indexOf(hover.block);
        if (index >= 0) marks.push(squareL(seq, index));
      }
      target = hover.seq ? hover : null;
      if (hover.side === "left") marks.push(squareL(hover.seq, hover.index));
    } else {
      const focus = stepFocus(bar.step());
      target = focus.target;
      marks = focus.touched.map((b) => squareR(b));
      dashes = focus.gone.map((b) => squareR(b));
      near = [...focus.touched, ...focus.gone];
      if (target) marks.push(squareL(target.seq, target.index));
    }
    outlines.setAttribute("d", marks.filter(Boolean).map(frame).join(""));
    freed.setAttribute("d", dashes.filter(Boolean).map(frame).join(""));
    let path = "";
    if (target) {
      const from = squareL(target.seq, target.index);
      const to = target.block >= 0 && target.block < data.numBlocks ? squareR(target.block) : null;
      if (from && to) {
        path = curve(from, to, stage.classList.contains("lk-stacked"));
        link.style.stroke = fills[target.seq];
      }
    }
    link.setAttribute("d", path);
    const line = path ? Math.floor(target.block / physical.cols) : -1;
    const crossed = line < 0 ? [] : Array.from({ length: target.block - line * physical.cols + 1 }, (_, i) => line * physical.cols + i);
    paintBadges([...near, ...crossed], squareR);
  }

  /** Reference counts lie above lines and outlines: those of these blocks, drawn once more as in `drawBlock`. */
  function paintBadges(blocks, squareR) {
    const shown = physical.cell >= 22 ? [...new Set(blocks)].filter((b) => replay.holders[b].length > 1) : [];
    badges.replaceChildren(
      ...shown.flatMap((b) => {
        const at = squareR(b);
        if (!at) return [];
        const [x, y] = [at.x + at.s - 1, at.y + 1];
        const refs = replay.holders[b].length;
        const cls = replay.clash[b] ? "lk-badge-clash" : null;
        return [svg("circle", { class: cls, cx: x, cy: y, r: 7 }), svg("text", { class: cls, x, y: y + 0.5, text: refs > 99 ? "99" : String(refs) })];
      }),
    );
  }

  function curve(from, to, stacked) {
    const sx = from.x + from.s / 2;
    const ex = to.x + to.s / 2;
    if (stacked) {
      const sy = from.y + from.s;
      const bend = Math.max(16, (to.y - sy) / 2);
      return `M${sx} ${sy}C${sx} ${sy + bend} ${ex} ${to.y - bend} ${ex} ${to.y}`;
    }
    if (!physical.numbers || !logical.numbers) {
      // It leaves and arrives from above, so that it runs between rows and not through letters.
      return `M${sx} ${from.y}C${sx} ${from.y - 24} ${ex} ${to.y - 24} ${ex} ${to.y}`;
    }
    // Above every row of blocks a lane of a few pixels is free of numbers; between the sides is a gap. It runs in these.
    const lane = 3;
    const gap = stage.clientWidth - rightSide.clientWidth - 14;
    const a = from.y - lane;
    const b = to.y - lane;
    const r = Math.min(6, Math.abs(b - a) / 2);
    const down = Math.sign(b - a);
    const bend = Math.abs(b - a) < 1 ? "" : `H${gap - r}Q${gap} ${a} ${gap} ${a + down * r}V${b - down * r}Q${gap} ${b} ${gap + r} ${b}`;
    return `M${sx} ${from.y}Q${sx} ${a} ${sx + lane} ${a}${bend}${bend ? "" : `L${gap} ${b}`}H${ex - lane}Q${ex} ${b} ${ex} ${to.y}`;
  }

  function paintText() {
    const step = bar.step();
    const c = replay.counts();
    let lost = 0;
    const twice = [];
    for (let b = 0; b < data.numBlocks; b++) {
      if (replay.clash[b]) twice.push(b);
      if (replay.lost.size && replay.isLost(b)) lost += 1;
    }
    const text = step ? `${step}  ${labelOf(step)}` : replay.steps || labels.length ? "0  before the first step" : "Nothing has happened yet.";
    if (sentence.textContent !== text) sentence.textContent = text;
    counts.textContent = `free ${c.free.toLocaleString("en-US")} · held ${(c.held - lost).toLocaleString("en-US")} · cached ${c.cached.toLocaleString("en-US")}${lost ? ` · lost ${lost.toLocaleString("en-US")}` : ""}`;
    wrong.textContent = !twice.length ? "" : twice.length === 1 ? `block ${twice[0]} has two owners` : `blocks ${twice.slice(0, 6).join(", ")}${twice.length > 6 ? " …" : ""} have two owners`;
    paintLegend();
    root.dataset.step = step;
    root.dataset.free = c.free;
    root.dataset.held = c.held - lost;
    root.dataset.lost = lost;
    root.dataset.cached = c.cached;
    detail.textContent = hover ? describe(hover) : "";
    detail.title = detail.textContent;
    clearTimeout(summaryTimer);
    // The long description is for those who read the page by ear: it need not keep up with a scrub.
    summaryTimer = setTimeout(() => (summary.textContent = describeAll(c, lost)), 300);
  }

  function describe(spot) {
    const { block } = spot;
    if (block < 0) return `${names[spot.seq]} · logical ${spot.index} · no block`;
    if (block >= data.numBlocks) return `block ${block} is not in the pool`;
    const holders = replay.holders[block];
    if (replay.isLost(block)) return `block ${block} · lost: nobody holds it`;
    if (!holders.length) return `block ${block} · ${replay.cached[block] ? "cached, reference 0" : "free"}`;
    const parts = holders.slice(0, 4).map((seq) => {
      const index = (replay.tables.get(seq) || NONE).indexOf(block);
      return seq ? names[seq] + (index >= 0 ? ` (logical ${index})` : "") : "";
    });
    const named = parts.filter(Boolean);
    const who = named.length ? `held by ${named.join(", ")}${holders.length > 4 ? " …" : ""}` : "held";
    const refs = replay.clash[block] ? " · two owners" : holders.length > 1 ? ` · ${holders.length} references` : "";
    const amount = replay.fill[block];
    const full = amount < 0 ? "" : data.blockSize ? ` · ${amount} of ${data.blockSize} tokens` : ` · ${plural(amount, "token")}`;
    return `block ${block} · ${who}${refs}${full}`;
  }

  function describeAll(c, lost) {
    const held = [...replay.tables.entries()].filter(([seq, t]) => t.length && !replay.lost.has(seq)).slice(0, 12);
    const lines = held.map(([seq, table]) => {
      const tokens = replay.tokens(seq);
      return `${names[seq]}: ${tokens === null ? "" : `${plural(tokens, "token")} in `}blocks ${table.slice(0, 24).join(", ")}${table.length > 24 ? " and more" : ""}.`;
    });
    return `Pool of ${plural(data.numBlocks, "block")}: ${c.held - lost} held, ${c.cached} cached, ${c.free} free${lost ? `, ${lost} lost` : ""}. ${lines.join(" ")}`;
  }

  function paint() {
    scheduled = 0;
    replay.seek(bar.step());
    if (!stage.clientWidth && data.numBlocks) {
      // Hidden, if only for a moment (JupyterLab does that while it changes its theme): look again, a few times.
      if (retries++ < 8) setTimeout(schedule, 150);
      return paintText();
    }
    retries = 0;
    paintText();
    if (data.numBlocks && laidOut !== shape()) stale = true; // the page's zoom changes without a word
    if (stale) {
      recolor();
      layout();
      stale = false;
    }
    if (physical) {
      paintPhysical();
      paintLogical();
      paintLink();
    }
  }

  function schedule() {
    if (!scheduled) scheduled = requestAnimationFrame(paint);
  }

  function relayout() {
    stale = true;
    schedule();
  }

  // Pointing.

  function hitRight(event) {
    const box = right.canvas.getBoundingClientRect();
    const x = event.clientX - box.left - physical.x0;
    const y = event.clientY - box.top - TOP;
    const col = Math.floor(x / physical.px);
    const line = Math.floor(y / physical.py);
    if (x < 0 || y < 0 || col >= physical.cols) return null;
    const block = line * physical.cols + col;
    return block < data.numBlocks ? spotOf(block) : null;
  }

  function spotOf(block) {
    const seq = replay.holders[block].find((s) => s !== 0) || 0;
    return { side: "right", block, seq, index: seq ? (replay.tables.get(seq) || NONE).indexOf(block) : -1 };
  }

  function hitLeft(event) {
    const box = left.canvas.getBoundingClientRect();
    const y = event.clientY - box.top + leftView.scrollTop;
    const x = event.clientX - box.left - logical.lw;
    const row = rows.find((r) => y >= r.y && y < r.y + r.height);
    if (!row || x < 0) return null;
    const index = Math.floor((y - row.y) / logical.py) * logical.cols + Math.floor(x / logical.px);
    if (index >= row.table.length || Math.floor(x / logical.px) >= logical.cols) return null;
    return { side: "left", seq: row.seq, index, block: row.table[index] };
  }

  function point(spot) {
    const key = spot && `${spot.side}${spot.seq}/${spot.index}/${spot.block}`;
    if (key === (hover && hover.key)) return;
    hover = spot && { ...spot, key };
    schedule();
  }

  right.canvas.addEventListener("pointermove", (event) => physical && point(hitRight(event)));
  left.canvas.addEventListener("pointermove", (event) => logical && point(hitLeft(event)));
  // Arrow keys step through the log, also after a click into the picture. They go from block to block once a canvas
  // was reached by Tab, or after Enter on it; Escape ends that.
  function walk(canvas) {
    walking = canvas;
    root.classList.toggle("lk-walks", canvas !== null);
    for (const view of [leftView, rightView]) view.classList.toggle("lk-walked", canvas !== null && view.contains(canvas));
  }
  for (const { canvas } of [left, right]) {
    let pressed = false;
    let kept = null; // whether it was walked in when the whole window lost the focus
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("pointerdown", () => {
      pressed = true;
      walk(null);
      setTimeout(() => (pressed = false), 0);
    });
    canvas.addEventListener("focus", () => {
      walk((kept ?? !pressed) ? canvas : null);
      kept = null;
    });
    canvas.addEventListener("blur", () => {
      kept = document.activeElement === canvas ? walking === canvas : null;
      walk(null);
      point(null);
    });
  }
  /** The keys of a canvas, while it is walked in; `start` begins. */
  const walkKeys = (canvas, map, start) => {
    const only = (act) => (event) => (walking === canvas ? act(event) : false);
    const begin = () => {
      if (walking === canvas) return false;
      walk(canvas);
      return start();
    };
    keys(canvas, { ...Object.fromEntries(Object.entries(map).map(([key, act]) => [key, only(act)])), Enter: begin });
  };
  const toBlock = (block) => {
    const spot = spotOf(Math.max(0, Math.min(data.numBlocks - 1, block)));
    point(spot);
    say(describe(spot));
    const [, y] = physicalAt(spot.block);
    if (y < rightView.scrollTop) rightView.scrollTop = y - TOP;
    else if (y + physical.py > rightView.scrollTop + rightView.clientHeight) rightView.scrollTop = y + physical.py - rightView.clientHeight;
  };
  const here = () => (hover && hover.side === "right" ? hover.block : null);
  const move = (by) => () => toBlock(here() === null ? 0 : here() + by());
  const away = () => {
    point(null);
    bar.root.querySelector("input").focus();
  };
  walkKeys(right.canvas, {
    ArrowLeft: move(() => -1),
    ArrowRight: move(() => 1),
    ArrowUp: move(() => -physical.cols),
    ArrowDown: move(() => physical.cols),
    Home: () => toBlock(0),
    End: () => toBlock(data.numBlocks - 1),
    Escape: away,
  }, () => toBlock(here() ?? 0));
  const toLogical = (dr, di) => () => {
    const live = rows.filter((r) => r.table.length);
    if (!live.length) return;
    let at = hover && hover.side === "left" ? live.findIndex((r) => r.seq === hover.seq) : -1;
    let index = at < 0 ? 0 : hover.index + di;
    at = at < 0 ? 0 : Math.max(0, Math.min(live.length - 1, at + dr));
    const row = live[at];
    index = Math.max(0, Math.min(row.table.length - 1, index));
    const spot = { side: "left", seq: row.seq, index, block: row.table[index] };
    const [, y] = logicalAt(row, index);
    if (y < leftView.scrollTop) leftView.scrollTop = y - TOP;
    else if (y + logical.py > leftView.scrollTop + leftView.clientHeight) leftView.scrollTop = y + logical.py - leftView.clientHeight;
    point(spot);
    say(`${names[row.seq]}, logical ${index}: ${describe(spot)}`);
  };
  walkKeys(left.canvas, {
    ArrowLeft: toLogical(0, -1),
    ArrowRight: toLogical(0, 1),
    ArrowUp: toLogical(-1, 0),
    ArrowDown: toLogical(1, 0),
    Home: toLogical(0, -1e9),
    End: toLogical(0, 1e9),
    Escape: away,
  }, toLogical(0, 0));
  leftView.addEventListener("scroll", schedule);
  rightView.addEventListener("scroll", schedule);

  const observer = new ResizeObserver(() => relayout());
  observer.observe(stage);
  globalThis.addEventListener("resize", schedule);
  const unwatch = onTheme(relayout);

  /** Take in more of the log. Returns the number of records now held. */
  function push(bytes, more = {}) {
    if (more.names) [names, slots] = [more.names, more.slots];
    if (more.labels) labels = more.labels;
    findLost();
    replay.push(bytes);
    recolor();
    const follow = bar.grow(Math.max(labels.length, replay.steps));
    if (signature() !== widestSeen) stale = true;
    schedule();
    return { count: replay.records.length, follow };
  }

  push(data.bytes);
  if (data.step !== null && data.step !== undefined) bar.seek(data.step);
  else bar.seek(bar.last());
  relayout();

  const board = {
    replay,
    push,
    bar,
    labels: () => labels,
    count: () => replay.records.length,
    /** The log grows no more. */
    setLive(live) {
      chip.hidden = !live;
    },
    /** [x, y, side] of each physical block on its canvas. */
    cells: () => Array.from({ length: data.numBlocks }, (_, block) => [...physicalAt(block), physical.cell]),
    /** Paint every block again at the next frame. */
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
