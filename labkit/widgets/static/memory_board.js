// Memory as strips of slots, one strip a layout (contiguous, paged ...), replayed from event logs. Colour says which
// sequence, pattern says what becomes of the slot: used, reserved for later, never used, unusable hole, free.

const KINDS_OF_SLOT = ["used", "reservation", "internal", "external", "free"];
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

/** Where memory goes at any step of one log. Mirrors labkit/widgets/memory_state.py. */
class MemoryReplay {
  constructor({ records, numSlots, blockSize, wanted }) {
    Object.assign(this, { records, numSlots, blockSize: blockSize || 0, fixed: wanted });
    this.clear();
    this.final = this.foresee();
  }

  clear() {
    this.at = 0;
    this.runs = new Map(); // seq -> {seq, start, length, used, final}
    this.blocks = new Map(); // block -> the same, for paged memory
    this.waiting = new Map(); // seq -> slots it was refused
  }

  /** How far each reservation or block will have been filled when it is returned: waste is judged in hindsight. */
  foresee() {
    const { kind, seq, block, arg, length } = this.records;
    const final = new Int32Array(length);
    const runs = new Map();
    const blocks = new Map();
    for (let i = 0; i < length; i++) {
      if (kind[i] === KIND.RESERVE) runs.set(seq[i], i);
      else if (kind[i] === KIND.ALLOCATE) blocks.set(block[i], i);
      else if (kind[i] === KIND.USE && runs.has(seq[i])) final[runs.get(seq[i])] = Math.max(final[runs.get(seq[i])], arg[i]);
      else if (kind[i] === KIND.FILL && blocks.has(block[i])) final[blocks.get(block[i])] = Math.max(final[blocks.get(block[i])], arg[i]);
    }
    return final;
  }

  seek(steps) {
    const target = this.records.upTo(steps);
    if (target < this.at) this.clear();
    const { kind, seq, block, arg } = this.records;
    for (; this.at < target; this.at++) {
      const i = this.at;
      const size = this.blockSize || 1;
      if (kind[i] === KIND.RESERVE) {
        this.runs.set(seq[i], { seq: seq[i], start: block[i], length: arg[i], used: 0, final: Math.min(arg[i], this.final[i]) });
        this.waiting.delete(seq[i]);
      } else if (kind[i] === KIND.USE && this.runs.has(seq[i])) {
        const run = this.runs.get(seq[i]);
        run.used = Math.min(run.length, Math.max(0, arg[i]));
      } else if (kind[i] === KIND.RELEASE) this.runs.delete(seq[i]);
      else if (kind[i] === KIND.REFUSE) this.waiting.set(seq[i], Math.max(0, arg[i]));
      else if (kind[i] === KIND.ALLOCATE) {
        this.blocks.set(block[i], { seq: seq[i], start: block[i] * size, length: size, used: 0, final: Math.min(size, this.final[i]) });
        this.waiting.delete(seq[i]);
      } else if (kind[i] === KIND.FILL && this.blocks.has(block[i])) this.blocks.get(block[i]).used = Math.min(size, Math.max(0, arg[i]));
      else if (kind[i] === KIND.FREE && arg[i] <= 0) this.blocks.delete(block[i]);
    }
  }

  /** Held pieces in order of place. */
  pieces() {
    return [...this.runs.values(), ...this.blocks.values()].filter((p) => p.start >= 0 && p.length > 0).sort((a, b) => a.start - b.start);
  }

  wanted() {
    if (this.fixed !== null && this.fixed !== undefined && this.fixed > 0) return this.fixed;
    let last = 0;
    for (const slots of this.waiting.values()) last = slots;
    return last;
  }

  holes(pieces) {
    const holes = [];
    let at = 0;
    for (const piece of pieces) {
      if (piece.start > at) holes.push([at, piece.start - at]);
      at = Math.max(at, piece.start + piece.length);
    }
    if (at < this.numSlots) holes.push([at, this.numSlots - at]);
    return holes;
  }

  /** Slots by kind; the five add up to all of memory. */
  counts(pieces = this.pieces()) {
    const out = { used: 0, reservation: 0, internal: 0, external: 0, free: 0 };
    for (const p of pieces) {
      const final = Math.max(p.used, p.final);
      out.used += p.used;
      out.reservation += final - p.used;
      out.internal += p.length - final;
    }
    // Any free block serves in paged memory: no hole is too short.
    const wanted = this.blockSize ? 0 : this.wanted();
    for (const [, length] of this.holes(pieces)) out[length >= wanted ? "free" : "external"] += length;
    return out;
  }
}

/** Fill styles by kind of slot, in one colour, on a canvas. */
function slotPatterns(ctx) {
  const made = new Map();
  const tile = (size, draw) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size * 2;
    const pen = canvas.getContext("2d");
    pen.scale(2, 2);
    draw(pen, size);
    const pattern = ctx.createPattern(canvas, "repeat");
    pattern.setTransform(new DOMMatrix().scale(0.5));
    return pattern;
  };
  return (kind, color) => {
    const key = `${kind}|${color}`;
    if (!made.has(key)) {
      const stroke = (pen, width) => {
        pen.strokeStyle = color;
        pen.lineWidth = width;
      };
      if (kind === "used") made.set(key, color);
      else if (kind === "reservation") {
        made.set(key, tile(6, (pen, s) => {
          stroke(pen, 1.5);
          for (const d of [-s, 0, s]) {
            pen.beginPath();
            pen.moveTo(d - 1, s + 1);
            pen.lineTo(d + s + 1, -1);
            pen.stroke();
          }
        }));
      } else if (kind === "internal") {
        made.set(key, tile(5, (pen) => {
          pen.fillStyle = color;
          pen.beginPath();
          pen.arc(2.5, 2.5, 1.05, 0, 7);
          pen.fill();
        }));
      } else if (kind === "external") {
        made.set(key, tile(6, (pen, s) => {
          stroke(pen, 1);
          for (const d of [-s, 0, s]) {
            pen.beginPath();
            pen.moveTo(d - 1, s + 1);
            pen.lineTo(d + s + 1, -1);
            pen.moveTo(d - 1, -1);
            pen.lineTo(d + s + 1, s + 1);
            pen.stroke();
          }
        }));
      } else made.set(key, color);
    }
    return made.get(key);
  };
}

/** `data`: {title, subtitle, step, layouts: [{name, records, num_slots, block_size, names, slots, labels, wanted}]}. */
function memoryBoard(root, data) {
  const family = getComputedStyle(root).fontFamily || "sans-serif";
  const panels = data.layouts.map((layout) => panel(layout));
  const last = Math.max(0, ...panels.map((p) => p.steps));
  let colors = {};
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
    // Above the strips: with four of them the bar and the first strip must be on the screen together.
    bar.root,
    h("div", { class: "lk-memory" }, panels.map((p) => p.root)),
    sentence,
    h("div", { class: "lk-legend" }, swatches.map(({ kind, canvas }) => h("span", {}, canvas, SLOT_WORDS[kind])), h("span", { text: "colour and letter = sequence" })),
    summary,
  );
  bar.keysFor(root);

  function panel(layout) {
    const records = layout.records;
    const replay = new MemoryReplay({ records, numSlots: layout.num_slots, blockSize: layout.block_size, wanted: layout.wanted });
    const steps = Math.max(layout.labels.length, records.length ? records.step[records.length - 1] + 1 : 0);
    const strip = board2d(`${layout.name || "Memory"}: ${plural(layout.num_slots, "slot")}`);
    strip.canvas.setAttribute("role", "img");
    strip.canvas.removeAttribute("tabindex");
    const chart = board2d("Share of memory by kind over the steps");
    chart.canvas.setAttribute("role", "img");
    chart.canvas.removeAttribute("tabindex");
    const numbers = h("div", { class: "lk-memory-numbers" });
    const useful = h("span", { class: "lk-memory-useful" });
    const size = layout.block_size ? `${(layout.num_slots / layout.block_size).toLocaleString("en-US")} blocks of ${layout.block_size}` : "one run a sequence";
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

  const colorFor = (p, seq) => (seq ? colors[`s${p.layout.slots[seq] ?? 0}`] : colors.held);

  function layoutAll() {
    colors = colorsOf(root, BOARD_COLORS);
    for (const p of panels) {
      const width = Math.max(120, p.root.clientWidth);
      const slots = Math.max(1, p.layout.num_slots);
      // Rows of memory, as many as give a slot a pixel and a half, within reason.
      p.lines = Math.max(1, Math.min(10, Math.ceil((slots * 1.5) / width)));
      p.lineHeight = p.lines === 1 ? 30 : p.lines < 4 ? 24 : 17;
      p.perLine = Math.ceil(slots / p.lines);
      p.width = width;
      p.strip.size(width, p.lines * (p.lineHeight + 4), family);
      p.chartHigh = panels.length > 2 ? CHART_LOW : CHART_HIGH;
      // The words below the chart once, under the last: they are the same for all.
      p.chartWords = p === panels[panels.length - 1];
      p.chart.size(width, p.chartHigh + (p.chartWords ? 14 : 4), family);
      p.pattern = slotPatterns(p.strip.ctx);
      p.chartPattern = slotPatterns(p.chart.ctx);
      if (!p.series) sample(p);
      drawChart(p);
    }
    for (const { kind, canvas } of swatches) {
      const scale = Math.max(1, globalThis.devicePixelRatio || 1);
      canvas.width = 18 * scale;
      canvas.height = 12 * scale;
      const ctx = canvas.getContext("2d");
      ctx.scale(scale, scale);
      ctx.fillStyle = kind === "free" ? colors.free : colors.panel;
      ctx.fillRect(0, 0, 18, 12);
      ctx.fillStyle = kind === "free" ? colors.free : slotPatterns(ctx)(kind, kind === "external" ? colors.dim : colors.held);
      ctx.fillRect(0, 0, 18, 12);
      ctx.strokeStyle = kind === "free" ? colors.line : colors.held;
      ctx.strokeRect(0.5, 0.5, 17, 11);
    }
  }

  /** Fill slots [start, stop) of a strip, which may run over several lines. */
  function span(p, start, stop, style, wash = null) {
    const { ctx } = p.strip;
    const scale = p.width / p.perLine;
    for (let at = start; at < stop; ) {
      const line = Math.floor(at / p.perLine);
      const end = Math.min(stop, (line + 1) * p.perLine);
      const x = (at - line * p.perLine) * scale;
      const y = line * (p.lineHeight + 4) + 1;
      const w = (end - at) * scale;
      if (wash) {
        ctx.globalAlpha = 0.14;
        ctx.fillStyle = wash;
        ctx.fillRect(x, y, w, p.lineHeight);
        ctx.globalAlpha = 1;
      }
      ctx.fillStyle = style;
      ctx.fillRect(x, y, w, p.lineHeight);
      at = end;
    }
  }

  function outline(p, start, stop, color) {
    const { ctx } = p.strip;
    const scale = p.width / p.perLine;
    ctx.strokeStyle = color;
    ctx.lineWidth = 1;
    for (let at = start; at < stop; ) {
      const line = Math.floor(at / p.perLine);
      const end = Math.min(stop, (line + 1) * p.perLine);
      ctx.strokeRect((at - line * p.perLine) * scale + 0.5, line * (p.lineHeight + 4) + 1.5, (end - at) * scale - 1, p.lineHeight - 1);
      at = end;
    }
  }

  function drawStrip(p) {
    const { ctx } = p.strip;
    const pieces = p.replay.pieces();
    const wanted = p.layout.block_size ? 0 : p.replay.wanted();
    ctx.clearRect(0, 0, p.width, p.lines * (p.lineHeight + 4));
    for (const [start, length] of p.replay.holes(pieces)) {
      span(p, start, start + length, colors.free);
      if (length < wanted) span(p, start, start + length, p.pattern("external", colors.dim));
    }
    const scale = p.width / p.perLine;
    for (const piece of pieces) {
      const color = colorFor(p, piece.seq);
      const final = Math.max(piece.used, piece.final);
      span(p, piece.start, piece.start + piece.used, color);
      span(p, piece.start + piece.used, piece.start + final, p.pattern("reservation", color), color);
      span(p, piece.start + final, piece.start + piece.length, p.pattern("internal", color), color);
      if (piece.length * scale > 5) outline(p, piece.start, piece.start + piece.length, color);
      const label = shortLabel(p.layout.names[piece.seq] || "");
      const line = Math.floor(piece.start / p.perLine);
      const room = Math.min(piece.used, (line + 1) * p.perLine - piece.start) * scale;
      ctx.font = `600 11px ${family}`;
      if (label && room > ctx.measureText(label).width + 6) {
        ctx.fillStyle = colors.onfill;
        ctx.fillText(label, (piece.start - line * p.perLine) * scale + Math.min(room / 2, 14), line * (p.lineHeight + 4) + 1 + p.lineHeight / 2);
      }
    }
  }

  function drawChart(p) {
    const { ctx } = p.chart;
    const high = p.chartHigh;
    ctx.clearRect(0, 0, p.width, high + 14);
    const n = p.series.length;
    const x = (i) => (n > 1 ? (i * (p.width - 1)) / (n - 1) : 0);
    const base = new Array(n).fill(high + 2);
    for (const kind of KINDS_OF_SLOT) {
      const top = base.map((y, i) => y - (high * p.series[i][kind]) / Math.max(1, p.layout.num_slots));
      ctx.beginPath();
      for (let i = 0; i < n; i++) ctx.lineTo(x(i), base[i]);
      for (let i = n - 1; i >= 0; i--) ctx.lineTo(x(i), top[i]);
      if (n === 1) ctx.rect(0, top[0], p.width, base[0] - top[0]);
      ctx.closePath();
      if (kind === "free") ctx.fillStyle = colors.free;
      else {
        ctx.globalAlpha = kind === "used" ? 1 : 0.12;
        ctx.fillStyle = colors.held;
        if (kind !== "external") ctx.fill();
        ctx.globalAlpha = 1;
        ctx.fillStyle = p.chartPattern(kind, kind === "external" ? colors.dim : colors.held);
      }
      ctx.fill();
      if (kind !== "free") {
        ctx.beginPath();
        for (let i = 0; i < n; i++) ctx.lineTo(x(i), top[i]);
        ctx.strokeStyle = colors.panel;
        ctx.lineWidth = 1.2;
        ctx.stroke();
      }
      top.forEach((y, i) => (base[i] = y));
    }
    const at = last ? (bar.step() / last) * (p.width - 1) : 0;
    ctx.fillStyle = colors.ink;
    ctx.fillRect(Math.max(0, Math.min(p.width - 1.5, at - 0.75)), 0, 1.5, high + 4);
    if (!p.chartWords) return;
    ctx.font = `9.5px ${family}`;
    ctx.fillStyle = colors.dim;
    ctx.textAlign = "left";
    ctx.fillText("share of memory over the steps", 0, high + 9);
    ctx.textAlign = "center";
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
  const board = {
    bar,
    panels,
    destroy() {
      bar.stop();
      cancelAnimationFrame(scheduled);
      observer.disconnect();
      unwatch();
    },
  };
  root.lkBoard = board;
  return board;
}
