// The page table's picture: sequences and their logical blocks on one side, the pool's physical blocks on the other.
// Blocks live on two canvases (10,000 of them are one canvas, not 10,000 nodes) and only cells that changed are painted
// again; the one link and the outlines lie above them in an SVG that takes no pointer.

const BOARD_COLORS = ["panel", "sunk", "line", "edge", "ink", "dim", "faint", "accent", "free", "cached", "held", "onfill", "bad", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];

/**
 * Build the board in `root`. `data`: {title, subtitle, numBlocks, blockSize, names, slots, labels, bytes, step, live}.
 * `step` counts operations that have happened; null is the end of the log.
 */
function pageBoard(root, data) {
  const replay = new PoolReplay(data.numBlocks);
  const family = getComputedStyle(root).fontFamily || "sans-serif";
  let scheduled = 0;
  let retries = 0;
  let finds = false; // whether some operation makes one holder more of a block
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
  const found = svg("path", { class: "lk-outline lk-found" });
  const link = svg("path", { class: "lk-link" });
  const badges = svg("g", { class: "lk-badges" });
  const overlay = svg("svg", { class: "lk-overlay", "aria-hidden": "true" }, freed, found, outlines, link, badges);
  const leftSide = h("div", { class: "lk-board-side" }, h("div", { class: "lk-board-head" }, "sequences → logical blocks"), leftView);
  const rightSide = h("div", { class: "lk-board-side" }, h("div", { class: "lk-board-head" }, rightHead), rightView);
  const stage = h("div", { class: "lk-board" }, leftSide, rightSide, overlay, detail);
  const nothing = h("p", { class: "lk-sub lk-board-empty", text: "There are no blocks to show: the pool has size 0." });
  nothing.hidden = data.numBlocks > 0;
  const sentence = h("span", { class: "lk-board-sentence", "aria-live": "polite" });
  const longest = h("span", { class: "lk-board-sizer", "aria-hidden": "true" }); // keeps the card's height while it plays
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
    spoken: (step) => (step ? `step ${step}: ${words.labelOf(step)}` : "before the first step"),
  });
  root.append(
    h("div", { class: "lk-row" }, h("h3", { text: data.title }), chip, keyHint()),
    subtitle,
    nothing,
    stage,
    bar.root,
    h("div", { class: "lk-well lk-mono lk-board-log" }, h("span", { class: "lk-board-said" }, longest, sentence), wrong, counts),
    legend,
    summary,
  );
  stage.hidden = data.numBlocks === 0;
  bar.keysFor(root);

  // What the rooms of this board share: its nodes, and the state that they set and read.
  const board = {
    root, data, replay, family, bar, say, stage, overlay, outlines, freed, found, link, badges, schedule,
    left, right, leftSide, leftSpace, leftView, rightSide, rightView, detail, sentence, wrong, legend, counts, summary,
    finds: () => finds,
    names: data.names,
    slots: data.slots,
    labels: data.labels,
    colors: {},
    mono: "monospace",
    fills: [],
    hover: null, // {side, block, seq, index}: what the pointer or the keyboard is on
    physical: null, // geometry of each side
    logical: null,
    rows: [],
    drawn: { a: new Uint32Array(0), b: new Uint32Array(0), fresh: true },
    laidOut: "", // the width and the pixel ratio for which the canvases were made
    widestSeen: "",
  };
  const words = pageWords(board);
  const place = pageLayout(board);
  Object.assign(board, { describe: words.describe, contentOf: words.contentOf, placeRows: place.placeRows, physicalAt: place.physicalAt, logicalAt: place.logicalAt });
  const painter = pagePaint(board);
  const lines = pageLink(board);
  pageKeys(board);

  function findLost() {
    replay.lost = new Set(board.names.flatMap((name, seq) => (isLost(name) ? [seq] : [])));
  }

  function recolor() {
    board.colors = colorsOf(root, BOARD_COLORS);
    board.mono = monoOf(root);
    board.fills = board.names.map((_, i) => (i === 0 ? board.colors.held : board.colors[`s${board.slots[i] ?? 0}`]));
  }

  function paint() {
    scheduled = 0;
    replay.seek(bar.step());
    if (!stage.clientWidth && data.numBlocks) {
      // Hidden, if only for a moment (JupyterLab does that while it changes its theme): look again, a few times.
      if (retries++ < 8) setTimeout(schedule, 150);
      return words.paintText();
    }
    retries = 0;
    words.paintText();
    if (data.numBlocks && board.laidOut !== place.shape()) stale = true; // the page's zoom changes without a word
    if (stale) {
      recolor();
      place.layout();
      stale = false;
    }
    if (board.physical) {
      painter.paintPhysical();
      painter.paintLogical();
      lines.paintLink();
    }
  }

  function schedule() {
    if (!scheduled) scheduled = requestAnimationFrame(paint);
  }

  function relayout() {
    stale = true;
    schedule();
  }

  leftView.addEventListener("scroll", schedule);
  rightView.addEventListener("scroll", schedule);

  const observer = new ResizeObserver(() => relayout());
  observer.observe(stage);
  globalThis.addEventListener("resize", schedule);
  const unwatch = onTheme(relayout);

  /** Take in more of the log. Returns the number of records now held. */
  function push(bytes, more = {}) {
    if (more.names) [board.names, board.slots] = [more.names, more.slots];
    if (more.labels) board.labels = more.labels;
    findLost();
    const from = replay.records.length;
    replay.push(bytes);
    const { kind, length } = replay.records;
    for (let i = from; !finds && i < length; i++) finds = kind[i] === KIND.SHARE || kind[i] === KIND.REUSE;
    longest.textContent = `${board.labels.length}  ${board.labels.reduce((a, b) => (b.length > a.length ? b : a), "")}`;
    recolor();
    const follow = bar.grow(Math.max(board.labels.length, replay.steps));
    if (place.signature() !== board.widestSeen) stale = true;
    schedule();
    return { count: replay.records.length, follow };
  }

  push(data.bytes);
  if (data.step !== null && data.step !== undefined) bar.seek(data.step);
  else bar.seek(bar.last());
  relayout();

  const handle = {
    replay,
    push,
    bar,
    labels: () => board.labels,
    count: () => replay.records.length,
    /** The log grows no more. */
    setLive(live) {
      chip.hidden = !live;
    },
    /** [x, y, side] of each physical block on its canvas. */
    cells: () => Array.from({ length: data.numBlocks }, (_, block) => [...place.physicalAt(block), board.physical.cell]),
    /** Paint every block again at the next frame. */
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
