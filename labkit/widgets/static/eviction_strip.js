// Evictions over time on one canvas: ticks and arcs where each has room, exact counts in bins where not. The layout is
// that of labkit/widgets/strip_layout.py.

const ES_ROWS = 5;
const ES_PITCH = 4; // pixels from one tick to the next in a row
const ES_BIN = 4;
const ES_ARC_BINS = 6;
const ES_LEFT = 40;
const ES_RIGHT = 10;
const ES_ARCS = 104; // height of the arcs
const ES_TICK = 10; // height of one row of ticks
const ES_BARS = 54; // height of the ticks or bars below the line
const ES_SHARE = 76; // height of the panel of the cumulative share
const ES_BASE = ES_ARCS + 8;
const ES_SHARE_TOP = ES_BASE + ES_BARS + 26;
const ES_HIGH = ES_SHARE_TOP + ES_SHARE + 30;

/** Places on the axis of steps: the evictions of one step share its width evenly. */
function placesOf(steps) {
  const out = new Float64Array(steps.length);
  for (let i = 0; i < steps.length; ) {
    let end = i;
    while (end < steps.length && steps[end] === steps[i]) end++;
    for (let k = i; k < end; k++) out[k] = steps[k] + (k - i + 0.5) / (end - i);
    i = end;
  }
  return out;
}

/** The row of each tick at ascending pixels, or null where the rows do not suffice. */
function tickRows(x) {
  const ends = new Array(ES_ROWS).fill(-Infinity);
  const rows = new Uint8Array(x.length);
  for (let i = 0; i < x.length; i++) {
    let row = 0;
    while (row < ES_ROWS && x[i] - ends[row] < ES_PITCH) row++;
    if (row === ES_ROWS) return null;
    ends[row] = x[i];
    rows[i] = row;
  }
  return rows;
}

const binOf = (x, start, stop, count) => Math.min(count - 1, Math.floor(((x - start) / (stop - start)) * count));

/** Exact counts by bin of the evictions [from, to), and arcs between groups of bins. */
function binsOf(at, wanted, from, to, start, stop, width) {
  const count = Math.max(1, Math.floor(width / ES_BIN));
  const groups = Math.ceil(count / ES_ARC_BINS);
  const total = new Uint32Array(count);
  const regretted = new Uint32Array(count);
  const arcs = new Map();
  for (let i = from; i < to; i++) {
    const bin = binOf(at[i], start, stop, count);
    total[bin]++;
    if (wanted[i] < 0) continue;
    regretted[bin]++;
    const source = Math.floor(bin / ES_ARC_BINS);
    const target = wanted[i] < stop ? Math.floor(binOf(wanted[i], start, stop, count) / ES_ARC_BINS) : groups;
    const key = source * (groups + 1) + target;
    arcs.set(key, (arcs.get(key) || 0) + 1);
  }
  return { count, groups, total, regretted, arcs: [...arcs].sort((a, b) => a[0] - b[0]).map(([key, n]) => [Math.floor(key / (groups + 1)), key % (groups + 1), n]) };
}

/** Index of the first element of ascending `values` that is at least `x` (or, with `after`, more than it). */
function firstFrom(values, x, after = false) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (after ? values[middle] <= x : values[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

function render({ model, el }) {
  const root = card(el, "eviction-strip", model.get("title"));
  const raw = bytesOf(model.get("records"));
  const n = Math.floor(raw.byteLength / 16);
  const view = new DataView(raw.buffer, raw.byteOffset, n * 16);
  const column = (offset) => Int32Array.from({ length: n }, (_, i) => view.getInt32(16 * i + offset, true));
  const all = { step: column(0), block: column(4), wanted: column(8), label: column(12) };
  const labels = model.get("labels");
  const steps = Math.max(1, model.get("steps"));
  const at = placesOf(all.step);
  const again = Float64Array.from(all.wanted.filter((w) => w >= 0)).sort();
  let only = model.get("only_regretted");
  let shown = visible(); // indices of the evictions that the filter lets through
  let from = 0; // the window, in steps
  let span = steps;
  let focus = null; // what the pointer or the keys are on: an index into `shown`, or a bin
  let scheduled = 0;
  let colors = {};
  let stale = true;
  let width = 0;
  let lay = null;
  let drag = null;

  const number = (v) => v.toLocaleString("en-US");
  const share = (part, whole) => `${((100 * part) / whole).toFixed(1)}%`;
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": "timeline of evictions", "aria-label": `${model.get("title")}: ${model.get("overview")} Arrow keys go from one to the next, plus and minus zoom, R shows only the regretted.`, "data-key": "strip" });
  const ctx = canvas.getContext("2d");
  const sentence = h("p", { class: "lk-well lk-strip-sentence", "aria-live": "polite" });
  const how = h("p", { class: "lk-sub lk-strip-how" });
  const place = h("span", { class: "lk-strip-window" });
  const filter = button("Only regretted", () => setFilter(!only), { key: "only" });
  const zoomIn = button("Closer", () => zoom(2), { key: "closer", aria: "Closer: half as many steps" });
  const zoomOut = button("Wider", () => zoom(0.5), { key: "wider", aria: "Wider: twice as many steps" });
  const earlier = button("", () => pan(-0.5), { key: "earlier", aria: "Earlier", icon: icon("M9 2 4 7l5 5z") });
  const later = button("", () => pan(0.5), { key: "later", aria: "Later", icon: icon("M5 2l5 5-5 5z") });
  const whole = button("All", () => setWindow(0, steps), { key: "whole", aria: "All steps" });
  const hold = h("div", { class: "lk-strip-hold" }, canvas);
  const sample = (...kids) => svg("svg", { class: "lk-strip-sample", viewBox: "0 0 22 14", "aria-hidden": "true" }, kids);
  root.append(
    h("div", { class: "lk-strip-head" },
      h("h3", { text: model.get("title") }),
      h("div", { class: "lk-strip-counts" },
        h("span", {}, h("b", { text: number(n) }), ` eviction${n === 1 ? "" : "s"}`),
        h("span", {}, h("b", { text: number(again.length) }), " wanted again"),
        n ? h("span", {}, h("b", { class: "lk-strip-big", text: share(again.length, n) }), " regretted") : null)),
    model.get("subtitle") ? h("p", { class: "lk-sub", text: model.get("subtitle") }) : "",
    h("div", { class: "lk-strip-bar" }, filter, zoomIn, zoomOut, earlier, later, whole, place),
    hold, how, sentence,
    h("div", { class: "lk-legend" },
      h("span", { class: "lk-strip-binned" }, sample(svg("rect", { class: "dot", x: 8, y: 2, width: 6, height: 11 })), "wanted again"),
      h("span", { class: "lk-strip-binned" }, sample(svg("rect", { class: "open", x: 8.5, y: 2.5, width: 5, height: 10 })), "never wanted again"),
      h("span", { class: "lk-strip-ticked" }, sample(svg("path", { class: "bad", d: "M4 13V8M4 8C5 0 17 0 18 6" }), svg("circle", { class: "dot", cx: 4, cy: 8, r: 2.4 }), svg("circle", { class: "ring", cx: 18, cy: 8, r: 2.2 })), "evicted, and wanted again at the ring"),
      h("span", { class: "lk-strip-ticked" }, sample(svg("path", { class: "dim", d: "M11 4v7" })), "never wanted again"),
      h("span", {}, "line below: share of the evictions so far that were wanted again so far")),
  );

  function visible() {
    const out = [];
    for (let i = 0; i < n; i++) if (!only || all.wanted[i] >= 0) out.push(i);
    return Int32Array.from(out);
  }

  function setFilter(value) {
    only = value;
    model.set("only_regretted", value);
    model.save_changes();
    refilter();
  }
  function refilter() {
    shown = visible();
    focus = null;
    relayout();
  }

  function setWindow(start, length) {
    span = Math.max(Math.min(1, steps), Math.min(steps, length));
    from = Math.max(0, Math.min(steps - span, start));
    focus = null;
    relayout();
  }
  /** Twice or half as close, around what is in focus, else around the middle. */
  function zoom(factor) {
    const center = focus === null || !lay ? from + span / 2 : focusPlace();
    const length = Math.max(1, Math.min(steps, span / factor));
    const kept = lay && lay.kind === "ticks" && focus !== null ? focus : null;
    setWindow(center - length * ((center - from) / span), length);
    if (kept !== null) {
      layOut();
      if (lay.kind === "ticks") focus = kept;
    }
  }
  function pan(part) {
    setWindow(from + part * span, span);
  }
  const focusPlace = () => (lay.kind === "ticks" ? at[shown[focus]] : from + ((focus + 0.5) / lay.bins.count) * span);

  const plot = () => width - ES_LEFT - ES_RIGHT;
  const xOf = (step) => ES_LEFT + ((step - from) / span) * plot();

  /** Decide between ticks and bins for the window and the width as they are. */
  function layOut() {
    const places = Float64Array.from(shown, (i) => at[i]);
    const first = firstFrom(places, from);
    const stop = from + span >= steps ? shown.length : firstFrom(places, from + span);
    const x = places.slice(first, stop).map(xOf);
    const rows = tickRows(x);
    lay = rows ? { kind: "ticks", first, stop, x, rows } : { kind: "bins", first, stop, bins: binsOf(places, Int32Array.from(shown, (i) => all.wanted[i]), first, stop, from, from + span, plot()) };
  }

  function size() {
    width = Math.max(120, hold.clientWidth);
    const scale = Math.max(1, globalThis.devicePixelRatio || 1);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(ES_HIGH * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${ES_HIGH}px`;
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    colors = colorsOf(root, ["ink", "dim", "line", "edge", "bad", "panel", "sunk", "free"]);
  }

  function arc(x0, x1, color, thick, alpha) {
    const reach = Math.max(2, x1 - x0);
    ctx.beginPath();
    ctx.ellipse((x0 + x1) / 2, ES_BASE, reach / 2, Math.min(ES_ARCS, 12 + ES_ARCS * Math.sqrt(reach / plot())), 0, Math.PI, 2 * Math.PI);
    ctx.strokeStyle = color;
    ctx.lineWidth = thick;
    ctx.globalAlpha = alpha;
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  function dot(x, y, r, full) {
    ctx.beginPath();
    ctx.arc(x, y, r, 0, 7);
    ctx.fillStyle = full ? colors.bad : colors.panel;
    ctx.fill();
    if (full) return;
    ctx.strokeStyle = colors.bad;
    ctx.lineWidth = 1.3;
    ctx.stroke();
  }

  function tick(k, strong) {
    const i = shown[lay.first + k];
    const x = lay.x[k];
    const y = ES_BASE + 2 + lay.rows[k] * ES_TICK;
    const regret = all.wanted[i] >= 0;
    ctx.fillStyle = strong ? colors.ink : regret ? colors.bad : colors.dim;
    ctx.fillRect(x - (strong ? 1.5 : 1), y + (regret ? 0 : 2), strong ? 3 : 2, regret ? 8 : 5);
    if (regret) dot(x, y + 1, strong ? 3 : 2.2, true);
  }

  function drawTicks() {
    const marked = focus === null ? -1 : focus - lay.first;
    const many = lay.x.length > 60;
    for (let k = 0; k < lay.x.length; k++) {
      const w = all.wanted[shown[lay.first + k]];
      if (w >= 0 && k !== marked) arc(lay.x[k], xOf(w), colors.bad, 1, marked >= 0 ? 0.12 : many ? 0.45 : 0.7);
    }
    for (let k = 0; k < lay.x.length; k++) tick(k, false);
    if (marked < 0) for (let k = 0; k < lay.x.length; k++) {
      const w = all.wanted[shown[lay.first + k]];
      if (w >= 0) dot(xOf(w), ES_BASE, many ? 1.6 : 2.2, false);
    }
    if (marked >= 0 && marked < lay.x.length) {
      const w = all.wanted[shown[focus]];
      if (w >= 0) {
        arc(lay.x[marked], xOf(w), colors.bad, 2.4, 1);
        dot(xOf(w), ES_BASE, 3.2, false);
      }
      tick(marked, true);
    }
  }

  function drawBins() {
    const { count, groups, total, regretted, arcs } = lay.bins;
    const pitch = plot() / count;
    const group = (g) => ES_LEFT + Math.min(plot(), (g + 0.5) * ES_ARC_BINS * pitch);
    const most = arcs.reduce((m, a) => Math.max(m, a[2]), 1);
    const lit = focus === null ? -1 : Math.floor(focus / ES_ARC_BINS);
    for (const [source, target, many] of arcs) {
      const x1 = target === groups ? ES_LEFT + plot() + (ES_LEFT + plot() - group(source)) * 0.3 + 20 : group(target);
      arc(group(source), source === target ? group(source) + 3 : x1, colors.bad, 0.5 + (5.5 * many) / most, lit < 0 ? 0.3 : source === lit ? 0.8 : 0.06);
    }
    const top = total.reduce((m, v) => Math.max(m, v), 1);
    const tall = (v) => (ES_BARS * v) / top;
    for (let b = 0; b < count; b++) {
      if (!total[b]) continue;
      const x = ES_LEFT + b * pitch;
      ctx.fillStyle = colors.bad;
      ctx.fillRect(x, ES_BASE + 1, pitch - 0.8, tall(regretted[b]));
      // What was never wanted again hangs below it as a frame: not colour alone tells the two apart.
      const rest = tall(total[b]) - tall(regretted[b]);
      if (rest > 0) {
        ctx.fillStyle = colors.free;
        ctx.strokeStyle = colors.dim;
        ctx.lineWidth = 0.8;
        ctx.fillRect(x, ES_BASE + 1 + tall(regretted[b]), pitch - 0.8, rest);
        ctx.strokeRect(x + 0.4, ES_BASE + 1 + tall(regretted[b]), Math.max(0.4, pitch - 1.6), rest);
      }
    }
    if (focus !== null) {
      ctx.strokeStyle = colors.ink;
      ctx.lineWidth = 1.6;
      ctx.strokeRect(ES_LEFT + focus * pitch - 1, ES_BASE, pitch + 1.2, Math.max(5, tall(total[focus]) + 2));
    }
    ctx.fillStyle = colors.dim;
    ctx.textAlign = "right";
    ctx.fillText(number(top), ES_LEFT - 6, ES_BASE + ES_BARS);
    ctx.fillText("0", ES_LEFT - 6, ES_BASE + 3);
  }

  function drawShare() {
    const y = (v) => ES_SHARE_TOP + ES_SHARE * (1 - v);
    ctx.textAlign = "right";
    for (const v of [0, 0.5, 1]) {
      ctx.fillStyle = colors.line;
      ctx.fillRect(ES_LEFT, y(v) - 0.5, plot(), 1);
      ctx.fillStyle = colors.dim;
      ctx.fillText(`${100 * v}%`, ES_LEFT - 6, y(v));
    }
    ctx.beginPath();
    let began = false;
    for (let px = 0; px <= plot(); px++) {
      // As it was at the end of the step: what a step asks for and what it evicts for that are counted together.
      const moment = Math.floor(from + (px / plot()) * span);
      const made = firstFrom(all.step, moment, true);
      if (!made) continue;
      const v = firstFrom(again, moment, true) / made;
      if (began) ctx.lineTo(ES_LEFT + px, y(v));
      else ctx.moveTo(ES_LEFT + px, y(v));
      began = true;
    }
    ctx.strokeStyle = colors.bad;
    ctx.lineWidth = 1.8;
    ctx.stroke();
    ctx.fillStyle = colors.dim;
    // Ticks of the axis at round steps, about one every 110 pixels.
    const rough = (span * 110) / plot();
    const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
    const gap = Math.max(1, [1, 2, 5, 10].map((m) => m * power).find((v) => v >= rough) || 10 * power);
    ctx.textAlign = "center";
    for (let s = Math.ceil(from / gap) * gap; s <= from + span + 1e-9; s += gap) {
      ctx.fillRect(xOf(s) - 0.5, ES_SHARE_TOP + ES_SHARE, 1, 4);
      ctx.fillText(number(s), Math.max(ES_LEFT, Math.min(width - ES_RIGHT - 8, xOf(s))), ES_SHARE_TOP + ES_SHARE + 12);
    }
    ctx.fillText("step", ES_LEFT + plot() / 2, ES_SHARE_TOP + ES_SHARE + 25);
    ctx.textAlign = "left";
    ctx.fillText("regretted so far", ES_LEFT, ES_SHARE_TOP - 10);
  }

  function words() {
    if (focus === null) return model.get("overview");
    const plain = (v) => plural(v, "step");
    if (lay.kind === "ticks") {
      const i = shown[focus];
      const w = all.wanted[i];
      const content = labels[all.label[i]];
      const what = all.block[i] < 0 ? content || "a block" : `block ${number(all.block[i])}${content ? ` (${content})` : ""}`;
      const fate = w < 0 ? `It was not wanted again up to the end, step ${number(steps - 1)}.` : `It was wanted again at step ${number(w)}, ${plain(w - all.step[i])} later.`;
      return `Step ${number(all.step[i])}: ${what} was evicted. ${fate}`;
    }
    const { count, total, regretted } = lay.bins;
    const low = Math.floor(from + (focus / count) * span);
    const high = Math.max(low, Math.ceil(from + ((focus + 1) / count) * span) - 1);
    const when = low === high ? `In step ${number(low)}` : `Between steps ${number(low)} and ${number(high)}`;
    if (!total[focus]) return `${when} nothing was evicted${only ? " that was wanted again" : ""}.`;
    const part = only ? "all of them wanted again" : `${number(regretted[focus])} of them wanted again (${share(regretted[focus], total[focus])})`;
    return `${when}: ${plural(total[focus], "eviction")}, ${part}. Look closer to see each by itself.`;
  }

  function paint() {
    scheduled = 0;
    if (!root.clientWidth) return;
    if (stale) {
      stale = false;
      size();
      layOut();
    }
    ctx.clearRect(0, 0, width, ES_HIGH);
    ctx.font = `10.5px ${getComputedStyle(root).fontFamily || "sans-serif"}`;
    ctx.textBaseline = "middle";
    ctx.save();
    ctx.beginPath();
    ctx.rect(0, 0, width - 1, ES_HIGH);
    ctx.clip();
    ctx.fillStyle = colors.edge;
    ctx.fillRect(ES_LEFT, ES_BASE - 0.5, plot(), 1);
    if (lay.kind === "ticks") drawTicks();
    else drawBins();
    ctx.restore();
    drawShare();
    const inWindow = lay.stop - lay.first;
    place.textContent = `steps ${number(Math.floor(from))} to ${number(Math.ceil(from + span) - 1)} of ${number(steps)}`;
    const kept = only ? "regretted eviction" : "eviction";
    how.textContent = lay.kind === "ticks" ? `${plural(inWindow, kept)} here, each drawn.` : `${plural(inWindow, kept)} here, counted in ${number(lay.bins.count)} bins, none left out; an arc is as thick as it stands for many.`;
    const text = words();
    if (sentence.textContent !== text) sentence.textContent = text;
    filter.setAttribute("aria-pressed", String(only));
    for (const [node, off] of [[zoomIn, span <= 1], [zoomOut, span >= steps], [earlier, from <= 0], [later, from + span >= steps - 1e-9], [whole, span >= steps]]) node.setAttribute("aria-disabled", String(off));
    for (const kind of ["binned", "ticked"]) for (const node of root.querySelectorAll(`.lk-strip-${kind}`)) node.hidden = (kind === "binned") !== (lay.kind === "bins");
    Object.assign(root.dataset, { kind: lay.kind, shown: inWindow, focus: focus ?? "" });
  }
  function schedule() {
    if (!scheduled) scheduled = requestAnimationFrame(paint);
  }
  function relayout() {
    stale = true;
    schedule();
  }
  const ready = () => {
    if (stale && root.clientWidth) {
      stale = false;
      size();
      layOut();
    }
    return lay !== null;
  };

  /** One eviction, or one bin, further; the window follows. */
  function move(by) {
    if (!ready() || !shown.length) return;
    if (lay.kind === "ticks") {
      let next = focus === null ? (by > 0 ? lay.first : lay.stop - 1) : focus + by;
      next = Math.max(0, Math.min(shown.length - 1, next));
      if (at[shown[next]] < from || at[shown[next]] >= from + span) {
        setWindow(at[shown[next]] - span / 2, span);
        ready();
        if (lay.kind === "bins") next = binOf(at[shown[next]], from, from + span, lay.bins.count);
      }
      focus = next;
    } else {
      const last = lay.bins.count - 1;
      let next = focus === null ? (by > 0 ? 0 : last) : focus + by;
      if ((next > last && from + span < steps) || (next < 0 && from > 0)) {
        const place = focusPlace();
        setWindow(from + (by > 0 ? 0.5 : -0.5) * span, span);
        ready();
        if (lay.kind === "ticks") {
          next = Math.min(shown.length - 1, firstFrom(Float64Array.from(shown, (i) => at[i]), place));
          focus = next;
          return schedule();
        }
        next = binOf(place, from, from + span, lay.bins.count) + by;
      }
      focus = Math.max(0, Math.min(lay.bins.count - 1, next));
    }
    schedule();
  }
  function toEnd(last) {
    if (!ready() || !shown.length) return;
    if (span < steps) {
      setWindow(last ? steps - span : 0, span);
      ready();
    }
    focus = lay.kind === "ticks" ? (last ? shown.length - 1 : 0) : last ? lay.bins.count - 1 : 0;
    schedule();
  }
  const times = (event) => (event.shiftKey ? 10 : 1);
  keys(canvas, {
    ArrowRight: (event) => move(times(event)),
    ArrowLeft: (event) => move(-times(event)),
    ArrowUp: () => undefined,
    ArrowDown: () => undefined,
    PageDown: () => pan(0.5),
    PageUp: () => pan(-0.5),
    Home: () => toEnd(false),
    End: () => toEnd(true),
    "+": () => zoom(2),
    "=": () => zoom(2),
    "-": () => zoom(0.5),
    0: () => setWindow(0, steps),
    r: () => setFilter(!only),
    Escape: () => {
      if (focus === null) return false;
      focus = null;
      schedule();
    },
  });
  shield(canvas);

  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  function hover(event) {
    if (!ready()) return;
    const [x, y] = point(event);
    if (drag) {
      setWindow(drag.from - ((x - drag.x) / plot()) * span, span);
      return;
    }
    let next = null;
    if (y < ES_BASE + ES_BARS + 6 && x > ES_LEFT - 6 && x < width) {
      if (lay.kind === "bins") {
        const bin = Math.floor(((x - ES_LEFT) / plot()) * lay.bins.count);
        next = bin >= 0 && bin < lay.bins.count && lay.bins.total[bin] ? bin : null;
      } else {
        let least = 12;
        for (let k = firstFrom(lay.x, x - least); k < lay.x.length && lay.x[k] <= x + least; k++) {
          const away = Math.abs(lay.x[k] - x) + (y > ES_BASE ? 0.6 * Math.abs(ES_BASE + 6 + lay.rows[k] * ES_TICK - y) : 0);
          if (away < least) [next, least] = [lay.first + k, away];
        }
      }
    }
    if (next === focus) return;
    focus = next;
    schedule();
  }
  canvas.addEventListener("pointermove", hover);
  canvas.addEventListener("pointerleave", () => {
    if (document.activeElement === canvas || focus === null) return;
    focus = null;
    schedule();
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (span >= steps || event.button) return;
    drag = { x: point(event)[0], from };
    canvas.setPointerCapture(event.pointerId);
  });
  for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => (drag = null));

  const filtered = () => {
    if (model.get("only_regretted") === only) return;
    only = model.get("only_regretted");
    refilter();
  };
  const observer = new ResizeObserver(relayout);
  observer.observe(hold);
  const unwatch = onTheme(relayout);
  model.on("change:only_regretted", filtered);
  relayout();
  root.lkBoard = { layout: () => (ready() ? lay : null), width: () => plot(), window: () => [from, span], paint, redo: () => { stale = true; paint(); } };
  return () => {
    model.off("change:only_regretted", filtered);
    observer.disconnect();
    unwatch();
    cancelAnimationFrame(scheduled);
  };
}

export default { render };
