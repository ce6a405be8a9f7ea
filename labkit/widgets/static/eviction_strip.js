// Evictions over time on one canvas: ticks and arcs where each has room, exact counts in bins where not.

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
  const regretAt = regretOf(again, int32(bytesOf(model.get("asked"))));
  let scheduled = 0;

  const number = (v) => v.toLocaleString("en-US");
  const share = (part, whole) => `${((100 * part) / whole).toFixed(1)}%`;
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": "timeline of evictions", "aria-label": `${model.get("title")}: ${model.get("overview")} Arrow keys go from one to the next, plus and minus zoom, R shows only the regretted.`, "data-key": "strip" });
  const ctx = canvas.getContext("2d");
  const sentence = h("p", { class: "lk-well lk-strip-sentence", "aria-live": "polite" });
  const how = h("p", { class: "lk-sub lk-strip-how" });
  const place = h("span", { class: "lk-strip-window" });
  const filter = button("Only regretted", () => strip.setFilter(!strip.only), { key: "only" });
  const zoomIn = button("Closer", () => strip.zoom(2), { key: "closer", aria: "Closer: half as many steps" });
  const zoomOut = button("Wider", () => strip.zoom(0.5), { key: "wider", aria: "Wider: twice as many steps" });
  const earlier = button("", () => strip.pan(-0.5), { key: "earlier", aria: "Earlier", icon: icon("M9 2 4 7l5 5z") });
  const later = button("", () => strip.pan(0.5), { key: "later", aria: "Later", icon: icon("M5 2l5 5-5 5z") });
  const whole = button("All", () => strip.setWindow(0, steps), { key: "whole", aria: "All steps" });
  const hold = h("div", { class: "lk-strip-hold" }, canvas);
  const sample = (...kids) => svg("svg", { class: "lk-strip-sample", viewBox: "0 0 22 14", "aria-hidden": "true" }, kids);
  root.append(
    h("div", { class: "lk-strip-head" },
      h("h3", { text: model.get("title") }),
      h("div", { class: "lk-strip-counts" },
        h("span", {}, h("b", { text: number(n) }), ` eviction${n === 1 ? "" : "s"}`),
        h("span", {}, h("b", { text: number(again.length) }), " wanted again"),
        regretAt.total ? h("span", {}, h("b", { class: `lk-strip-big${again.length ? " lk-strip-felt" : ""}`, text: share(again.length, regretAt.total) }), " regret") : null)),
    model.get("subtitle") ? h("p", { class: "lk-sub", text: model.get("subtitle") }) : "",
    h("div", { class: "lk-strip-bar" }, filter, zoomIn, zoomOut, earlier, later, whole, place),
    hold, how, sentence,
    h("div", { class: "lk-legend" },
      h("span", { class: "lk-strip-binned" }, sample(svg("rect", { class: "dot", x: 8, y: 2, width: 6, height: 11 })), "wanted again"),
      h("span", { class: "lk-strip-binned" }, sample(svg("rect", { class: "open", x: 8.5, y: 2.5, width: 5, height: 10 })), "never wanted again"),
      h("span", { class: "lk-strip-ticked" }, sample(svg("path", { class: "bad", d: "M4 13V8M4 8C5 0 17 0 18 6" }), svg("circle", { class: "dot", cx: 4, cy: 8, r: 2.4 }), svg("circle", { class: "ring", cx: 18, cy: 8, r: 2.2 })), "evicted, and wanted again at the ring"),
      h("span", { class: "lk-strip-ticked" }, sample(svg("path", { class: "dim", d: "M11 4v7" })), "never wanted again"),
      h("span", {}, regretAt.total ? "line below: regret so far, of the blocks asked for so far" : "line below: evictions wanted again so far")),
  );

  // What the rooms of this strip share.
  const strip = {
    root, model, canvas, ctx, all, at, regretAt, n, steps, number, size, schedule, relayout,
    only: model.get("only_regretted"),
    shown: null, // indices of the evictions that the filter lets through
    from: 0, // the window, in steps
    span: steps,
    focus: null, // what the pointer or the keys are on: an index into `shown`, or a bin
    colors: {},
    stale: true,
    width: 0,
    lay: null,
  };
  Object.assign(strip, stripWindow(strip));
  strip.shown = strip.visible();
  const { drawTicks, drawBins, drawShare } = stripPaint(strip);
  stripKeys(strip);

  function size() {
    strip.width = Math.max(120, hold.clientWidth);
    const scale = Math.max(1, globalThis.devicePixelRatio || 1);
    canvas.width = Math.round(strip.width * scale);
    canvas.height = Math.round(ES_HIGH * scale);
    canvas.style.width = `${strip.width}px`;
    canvas.style.height = `${ES_HIGH}px`;
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    strip.colors = colorsOf(root, ["ink", "dim", "line", "edge", "bad", "panel", "sunk", "free"]);
  }

  function words() {
    if (strip.focus === null) return model.get("overview");
    const plain = (v) => plural(v, "step");
    if (strip.lay.kind === "ticks") {
      const i = strip.shown[strip.focus];
      const w = all.wanted[i];
      const content = labels[all.label[i]];
      const what = all.block[i] < 0 ? content || "a block" : `block ${number(all.block[i])}${content ? ` (${content})` : ""}`;
      const fate = w < 0 ? `It was not wanted again up to the end, step ${number(steps - 1)}.` : `It was wanted again at step ${number(w)}, ${plain(w - all.step[i])} later.`;
      return `Step ${number(all.step[i])}: ${what} was evicted. ${fate}`;
    }
    const { count, total, regretted } = strip.lay.bins;
    const low = Math.floor(strip.from + (strip.focus / count) * strip.span);
    const high = Math.max(low, Math.ceil(strip.from + ((strip.focus + 1) / count) * strip.span) - 1);
    const when = low === high ? `In step ${number(low)}` : `Between steps ${number(low)} and ${number(high)}`;
    if (!total[strip.focus]) return `${when} nothing was evicted${strip.only ? " that was wanted again" : ""}.`;
    const part = strip.only ? "all of them wanted again" : `${number(regretted[strip.focus])} of them wanted again`;
    return `${when}: ${plural(total[strip.focus], "eviction")}, ${part}. Look closer to see each by itself.`;
  }

  function paint() {
    scheduled = 0;
    if (!root.clientWidth) return;
    if (strip.stale) {
      strip.stale = false;
      size();
      strip.layOut();
    }
    ctx.clearRect(0, 0, strip.width, ES_HIGH);
    ctx.font = `10.5px ${getComputedStyle(root).fontFamily || "sans-serif"}`;
    ctx.textBaseline = "middle";
    ctx.save();
    ctx.beginPath();
    ctx.rect(0, 0, strip.width - 1, ES_HIGH);
    ctx.clip();
    ctx.fillStyle = strip.colors.edge;
    ctx.fillRect(ES_LEFT, ES_BASE - 0.5, strip.plot(), 1);
    if (strip.lay.kind === "ticks") drawTicks();
    else drawBins();
    ctx.restore();
    drawShare();
    const inWindow = strip.lay.stop - strip.lay.first;
    place.textContent = `steps ${number(Math.floor(strip.from))} to ${number(Math.ceil(strip.from + strip.span) - 1)} of ${number(steps)}`;
    const kept = strip.only ? "regretted eviction" : "eviction";
    how.textContent = strip.lay.kind === "ticks" ? `${plural(inWindow, kept)} here, each drawn.` : `${plural(inWindow, kept)} here, counted in ${number(strip.lay.bins.count)} bins, none left out; an arc is as thick as it stands for many.`;
    const text = words();
    if (sentence.textContent !== text) sentence.textContent = text;
    filter.setAttribute("aria-pressed", String(strip.only));
    for (const [node, off] of [[zoomIn, strip.span <= 1], [zoomOut, strip.span >= steps], [earlier, strip.from <= 0], [later, strip.from + strip.span >= steps - 1e-9], [whole, strip.span >= steps]]) node.setAttribute("aria-disabled", String(off));
    for (const kind of ["binned", "ticked"]) for (const node of root.querySelectorAll(`.lk-strip-${kind}`)) node.hidden = (kind === "binned") !== (strip.lay.kind === "bins");
    Object.assign(root.dataset, { kind: strip.lay.kind, shown: inWindow, focus: strip.focus ?? "" });
  }
  function schedule() {
    if (!scheduled) scheduled = requestAnimationFrame(paint);
  }
  function relayout() {
    strip.stale = true;
    schedule();
  }

  const filtered = () => {
    if (model.get("only_regretted") === strip.only) return;
    strip.only = model.get("only_regretted");
    strip.refilter();
  };
  const observer = new ResizeObserver(relayout);
  observer.observe(hold);
  const unwatch = onTheme(relayout);
  model.on("change:only_regretted", filtered);
  relayout();
  root.lkBoard = { layout: () => (strip.ready() ? strip.lay : null), width: () => strip.plot(), window: () => [strip.from, strip.span], paint, redo: () => { strip.stale = true; paint(); } };
  return () => {
    model.off("change:only_regretted", filtered);
    observer.disconnect();
    unwatch();
    cancelAnimationFrame(scheduled);
  };
}

export default { render };
