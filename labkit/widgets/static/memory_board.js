// Memory as strips of slots, one strip a layout (contiguous, paged ...), replayed from event logs. Colour says which
// sequence, pattern says what becomes of the slot: used, reserved for later, never used, unusable hole, free.

const SLOT_WORDS = {
  used: "used: holds a token",
  reservation: "reservation: will be used later",
  internal: "internal: held, never used",
  external: "external: free, but no hole fits",
  free: "free",
};
const SAMPLES = 240;
// Height of the share of memory over the steps in px: less where several strips stand below each other.
const CHART_HIGH = 44;
const CHART_LOW = 24;
// On a low screen (px of the window) four strips, the bar above them and the sentence below must fit together.
const LOW_SCREEN = 800;
const CHART_LOWEST = 13;
const LINE_LOWEST = 22;

/** `data`: {title, subtitle, step, layouts: [{name, records, num_slots, block_size, names, slots, labels, wanted}]}. */
function memoryBoard(root, data) {
  const family = getComputedStyle(root).fontFamily || "sans-serif";
  const panels = data.layouts.map((layout) => panel(layout));
  const last = Math.max(0, ...panels.map((p) => p.steps));
  let scheduled = 0;
  let stale = true;
  let retries = 0;
  const sentence = h("div", { class: "lk-well lk-mono lk-memory-log", "aria-live": "polite" });
  const summary = h("p", { class: "lk-hidden" });
  const bar = transport({
    last,
    step: 0,
    onseek: () => schedule(),
    onplay: (playing) => sentence.setAttribute("aria-live", playing ? "off" : "polite"),
    spoken: (step) => `step ${step}`,
  });
  const swatches = KINDS_OF_SLOT.map((kind) => ({ kind, canvas: h("canvas", { class: "lk-slot-swatch", "aria-hidden": "true" }) }));
  root.append(
    h("div", { class: "lk-row" }, h("h3", { text: data.title }), keyHint()),
    data.subtitle ? h("p", { class: "lk-sub", text: data.subtitle }) : "",
    // Above the strips: with four of them, bar, legend and the first strip must be on the screen together.
    bar.root,
    h("div", { class: "lk-legend" }, swatches.map(({ kind, canvas }) => h("span", {}, canvas, SLOT_WORDS[kind])), h("span", { text: "colour and letter = sequence" })),
    h("div", { class: "lk-memory" }, panels.map((p) => p.root)),
    sentence,
    summary,
  );
  bar.keysFor(root);
  const board = {
    family, bar, last, panels,
    colors: {},
    destroy() {
      bar.stop();
      cancelAnimationFrame(scheduled);
      observer.disconnect();
      unwatch();
    },
  };
  const { drawStrip, drawChart } = memoryPaint(board);

  /** A canvas to be looked at, without keys of its own. */
  function still(words) {
    const made = board2d(words);
    made.canvas.setAttribute("role", "img");
    made.canvas.removeAttribute("tabindex");
    return made;
  }

  function panel(layout) {
    const records = layout.records;
    const replay = new MemoryReplay({ records, numSlots: layout.num_slots, blockSize: layout.block_size, wanted: layout.wanted });
    const steps = Math.max(layout.labels.length, records.length ? records.step[records.length - 1] + 1 : 0);
    const strip = still(`${layout.name || "Memory"}: ${plural(layout.num_slots, "slot")}`);
    const chart = still("Share of memory by kind over the steps");
    const numbers = h("div", { class: "lk-memory-numbers" });
    const useful = h("span", { class: "lk-memory-useful" });
    const size = layout.block_size ? `${(layout.num_slots / layout.block_size).toLocaleString("en-US")} blocks of ${layout.block_size}` : "one run per sequence";
    const node = h(
      "div",
      { class: "lk-memory-panel" },
      h("div", { class: "lk-row lk-memory-head" }, layout.name ? h("h4", { text: layout.name }) : null, h("span", { class: "lk-sub", text: `${plural(layout.num_slots, "slot")} · ${size}` }), useful),
      h("div", { class: "lk-memory-strip" }, strip.canvas),
      numbers,
      h("div", { class: "lk-memory-chart" }, chart.canvas),
    );
    return { layout, replay, steps, strip, chart, numbers, useful, root: node, series: null };
  }

  function sample(p) {
    const count = Math.min(SAMPLES, last + 1);
    p.series = [];
    for (let i = 0; i < count; i++) {
      const step = count > 1 ? Math.round((i * last) / (count - 1)) : 0;
      p.replay.seek(step);
      p.series.push({ step, ...p.replay.counts() });
    }
  }

  function layoutAll() {
    board.colors = colorsOf(root, BOARD_COLORS);
    const squeezed = panels.length > 2 && window.innerHeight < LOW_SCREEN;
    root.classList.toggle("lk-memory-low", squeezed);
    for (const p of panels) {
      const width = Math.max(120, p.root.clientWidth);
      const slots = Math.max(1, p.layout.num_slots);
      // Rows of memory, as many as give a slot a pixel and a half, within reason.
      p.lines = Math.max(1, Math.min(10, Math.ceil((slots * 1.5) / width)));
      p.lineHeight = p.lines === 1 ? (squeezed ? LINE_LOWEST : 30) : p.lines < 4 ? 24 : 17;
      p.perLine = Math.ceil(slots / p.lines);
      p.width = width;
      p.strip.size(width, p.lines * (p.lineHeight + 4), family);
      p.chartHigh = squeezed ? CHART_LOWEST : panels.length > 2 ? CHART_LOW : CHART_HIGH;
      // The words below the chart once, under the last: they are the same for all.
      p.chartWords = !squeezed && p === panels[panels.length - 1];
      p.chart.size(width, p.chartHigh + (p.chartWords ? 14 : 4), family);
      p.pattern = slotPatterns(p.strip.ctx);
      p.chartPattern = slotPatterns(p.chart.ctx);
      if (!p.series) sample(p);
    }
    for (const { kind, canvas } of swatches) slotSwatch(canvas, kind, board.colors);
  }

  function paint() {
    scheduled = 0;
    if (!root.clientWidth) {
      if (retries++ < 8) setTimeout(schedule, 150);
      return;
    }
    retries = 0;
    if (stale) {
      stale = false;
      layoutAll();
    }
    const step = bar.step();
    const said = [];
    for (const p of panels) {
      p.replay.seek(step);
      const counts = p.replay.counts();
      drawStrip(p);
      drawChart(p);
      p.numbers.replaceChildren(...KINDS_OF_SLOT.map((kind) => h("span", {}, h("span", { class: "lk-sub", text: `${kind} ` }), h("span", { class: "lk-mono", text: `${counts[kind].toLocaleString("en-US")} (${share(counts[kind], p.layout.num_slots)})` }))));
      const taken = counts.used + counts.reservation + counts.internal;
      p.useful.textContent = taken ? `${share(counts.used, p.layout.num_slots)} of memory is used` : "nobody is in memory";
      Object.assign(p.root.dataset, counts);
      const label = (p.layout.labels[step - 1] || "").replaceAll("->", "→");
      if (label) said.push(panels.length > 1 && p.layout.name ? `${p.layout.name}: ${label}` : label);
    }
    const text = step ? `${step}  ${[...new Set(said)].join("\n   ")}` : last ? "0  before the first step" : "Nothing has happened yet.";
    if (sentence.textContent !== text) sentence.textContent = text;
    root.dataset.step = step;
    summary.textContent = panels.map((p) => `${p.layout.name || "Memory"}: ${KINDS_OF_SLOT.map((kind) => `${kind} ${p.root.dataset[kind]}`).join(", ")} of ${p.layout.num_slots} slots.`).join(" ");
  }

  const share = (part, whole) => `${whole ? Math.round((100 * part) / whole) : 0}%`;

  function schedule() {
    if (!scheduled) scheduled = requestAnimationFrame(paint);
  }
  const relayout = () => {
    stale = true;
    schedule();
  };
  const observer = new ResizeObserver(relayout);
  observer.observe(root);
  const unwatch = onTheme(relayout);
  bar.seek(data.step ?? last);
  relayout();
  root.lkBoard = board;
  return board;
}
