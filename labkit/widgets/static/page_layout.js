// Where the blocks of a page table lie: the pool's on the right, each sequence's own in rows on the left.

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
const STABLE_ROWS = 14; // up to so many sequences keep a row of their own for the whole log

/** Sets `board.physical`, `board.logical` and what they were made for; the rest is asked. */
function pageLayout(board) {
  const { data, replay, family, stage, overlay, left, right, leftSide, leftView } = board;

  function layout() {
    if (!data.numBlocks) return;
    const width = stage.clientWidth;
    if (!width) return;
    board.laidOut = shape();
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
    board.physical = layoutPhysical(rightWidth);
    right.size(board.physical.width, board.physical.height, family);
    if (board.physical.cell < STAMPED) {
      const scale = pixelRatio();
      const image = right.ctx.createImageData(Math.ceil(board.physical.cols * board.physical.px * scale) + 1, Math.ceil(board.physical.lines * board.physical.py * scale) + 1);
      Object.assign(board.physical, { scale, image, pixels: new Uint32Array(image.data.buffer), tile: blockTiles(board.physical.cell, scale, board.colors) });
    }
    board.drawn = { a: new Uint32Array(data.numBlocks), b: new Uint32Array(data.numBlocks), fresh: true };
    if (hasSequences) {
      board.logical = layoutLogical(leftWidth, Math.max(270, Math.min(TALLEST, board.physical.height)));
      leftView.style.maxHeight = `${board.logical.viewHeight}px`;
      board.logical.tile = board.logical.cell < STAMPED ? blockTiles(board.logical.cell, pixelRatio(), board.colors) : null;
      left.key = ""; // the canvas is made anew
    } else board.logical = null;
    board.widestSeen = signature();
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
    const wide = Math.min(104, Math.max(58, 16 + Math.max(...widest.map(([seq]) => (board.names[seq] || "").length)) * 8));
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
    if (!board.logical) return [];
    const shown = board.logical.stable ? board.logical.order : [...replay.tables.entries()].filter(([seq, t]) => t.length && !replay.lost.has(seq)).map(([seq]) => seq).sort((a, b) => a - b);
    let y = TOP;
    return shown.map((seq) => {
      const table = replay.tables.get(seq) || NONE;
      const room = board.logical.stable ? replay.widest.get(seq) : table.length;
      const height = rowHeight(board.logical, Math.ceil(Math.max(1, room) / board.logical.cols));
      const row = { seq, table, y, height };
      y += height;
      return row;
    });
  }

  function physicalAt(block) {
    return [board.physical.x0 + (block % board.physical.cols) * board.physical.px, TOP + Math.floor(block / board.physical.cols) * board.physical.py];
  }

  function logicalAt(row, index) {
    return [board.logical.lw + (index % board.logical.cols) * board.logical.px, row.y + Math.floor(index / board.logical.cols) * board.logical.py];
  }

  function signature() {
    let sum = 0;
    for (const count of replay.widest.values()) sum += count;
    return `${replay.widest.size}/${sum}/${replay.mostRows > STABLE_ROWS ? replay.mostRows : 0}`;
  }

  return { layout, shape, placeRows, physicalAt, logicalAt, signature };
}
