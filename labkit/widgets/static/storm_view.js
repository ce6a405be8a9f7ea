// A server's life in windows: panels that are data, one cursor over all of them, and the alerts that fire at it.
// The storm board is this and nothing else; the drill board has it inside.

/**
 * Draw the model's windows into `root`. `bare`: without title and alerts. `windows()`: the bytes to draw and those to
 * compare with, where it is not the model's `rows` and `before`. `pick`: lets figures and stretches of windows be chosen:
 * `figure(name)` from a legend, `drag(panel, first, last)` in a plot (first = last: a click). Returns the places of the
 * panels, `load()` to draw anew, and `close()`.
 */
function stormView(view, root, { bare = false, windows = null, pick = null } = {}) {
  const { model } = view;
  const panels = model.get("panels");
  const knobs = stormKnobs(view, root);
  const where = h("span", { class: "lk-sub" });
  const sentence = h("p", { class: "lk-well lk-storm-sentence", "aria-live": "polite" });
  const alerts = h("div", { class: "lk-storm-alerts", role: "status" });
  const why = h("p", { class: "lk-sub lk-storm-why", id: uid("lk-why"), role: "status" });
  const marks = h("p", { class: "lk-sub lk-storm-marks" });
  const track = h("canvas", { class: "lk-storm-track", tabindex: 0, role: "slider", "aria-label": "Time", "data-key": "time" });
  const playhead = h("span", { class: "lk-storm-cursor", "aria-hidden": "true" });
  const places = panels.map((panel) => stormPlace(panel));
  const [big, small] = [["big", 3], ["small", 4]].map(([size, most]) => {
    const nodes = places.filter(({ panel }) => panel.big === (size === "big")).map(({ node }) => node);
    return h("div", { class: `lk-storm-grid lk-storm-${size}`, style: { "--lk-columns": Math.min(most, nodes.length) || 1 } }, nodes);
  });
  alerts.hidden = bare;
  root.append(...[bare ? null : h("div", { class: "lk-storm-title" }, h("h3", { text: model.get("title") }), where), knobs.node, big, small, h("div", { class: "lk-storm-span" }, h("p", { class: "lk-sub", text: "One time for all panels; each shows the whole of it:" }), marks), h("div", { class: "lk-storm-time" }, track, playhead), sentence, alerts, why].filter(Boolean));

  let data = null;
  let before = null; // the run that the board opened with, once a knob was turned
  let fired = []; // all alerts
  let pinned = null; // the window that keys or a click chose
  let hover = null; // the one under the pointer
  let colors = {};
  let scheduled = 0;
  let dirty = true;
  let closed = false;
  let unseen = 0; // paints in a row that found no place
  let opened = ""; // the figure whose worth is told

  /** A panel's place in the page: heading, legend, canvas. */
  function stormPlace(panel) {
    const canvas = h("canvas", { "aria-hidden": "true" });
    const cursor = h("span", { class: "lk-storm-cursor", "aria-hidden": "true" });
    const none = h("p", { class: "lk-storm-none" });
    const plot = h("div", { class: "lk-storm-plot" }, canvas, cursor, none);
    const headline = h("strong", { class: "lk-storm-number" });
    const note = h("span", { class: "lk-sub" });
    const legend = h("div", { class: "lk-storm-legend" });
    const node = h("div", { class: "lk-storm-panel" }, h("div", { class: "lk-storm-head" }, h("h4", { text: panel.title }), h("span", { class: "lk-storm-now" }, headline, " ", note)), legend, plot);
    const place = { panel, node, canvas, cursor, none, plot, headline, note, legend, values: [] };
    plot.addEventListener("pointermove", (event) => point(plot, event));
    plot.addEventListener("pointerleave", () => point(null));
    if (pick) dragging(panel, plot);
    else plot.addEventListener("click", () => {
      pinned = hover;
      track.focus({ preventScroll: true });
      schedule();
    });
    return place;
  }

  /** From where a pointer goes down to where it goes up. */
  function dragging(panel, plot) {
    let from = null;
    plot.addEventListener("pointerdown", (event) => {
      point(plot, event);
      from = hover;
      plot.setPointerCapture(event.pointerId);
    });
    plot.addEventListener("pointermove", () => from !== null && hover !== from && pick.drag(panel, Math.min(from, hover), Math.max(from, hover)));
    plot.addEventListener("pointerup", () => {
      if (from !== null && hover === from) pick.drag(panel, from, from);
      from = null;
    });
    plot.addEventListener("pointercancel", () => (from = null));
  }

  /** The legend once for each state of what figures are worth. */
  function legends() {
    for (const place of places) {
      place.values = [];
      place.legend.replaceChildren(...place.panel.lines.map((line) => {
        const value = h("span", { class: "lk-mono" });
        place.values.push([line, value]);
        const worth = [line.figure, line.over].filter(Boolean).map((name) => [name, data.worth(name)]).find(([, worth]) => worth !== "exact");
        const told = [swatch(line), line.label, " ", value];
        return h("span", { class: "lk-storm-entry" }, pick && data.worth(line.figure) !== "absent" ? picker(line, told) : told, worth ? mark(...worth) : null);
      }));
      const known = place.panel.lines.some((line) => data.worth(line.figure) !== "absent");
      place.canvas.hidden = !known;
      place.none.hidden = known;
      place.none.textContent = known ? "" : `Not told by this source. ${data.figures[place.panel.lines[0].figure].why}`;
    }
    const unmarked = places.every(({ panel }) => panel.lines.every((line) => data.worth(line.figure) === "exact"));
    marks.textContent = `${before ? "Dotted: the run that the board opened with. " : ""}${unmarked ? "Every figure here is exact." : "A figure without a mark is exact; a mark says what it is instead."}`;
  }

  function picker(line, told) {
    const node = shield(h("button", { type: "button", class: "lk-storm-pick", "data-figure": line.figure, "data-key": `pick-${line.figure}`, "aria-pressed": "false", title: data.figures[line.figure].title }, told));
    node.addEventListener("click", () => pick.figure(line.figure));
    return node;
  }

  function mark(name, worth) {
    const node = shield(h("button", { type: "button", class: `lk-storm-worth lk-storm-${worth}`, "data-key": `worth-${name}`, "aria-expanded": String(opened === name), "aria-controls": why.id, "aria-label": `${data.figures[name].title}: ${worth}. Why?`, title: data.figures[name].why, text: worth }));
    node.addEventListener("click", () => {
      opened = opened === name ? "" : name;
      tell();
    });
    return node;
  }

  function tell() {
    const figure = data.figures[opened];
    why.hidden = !figure || figure.worth === "exact";
    why.textContent = why.hidden ? "" : `${figure.title[0].toUpperCase()}${figure.title.slice(1)}: ${figure.worth === "proxy" ? "a proxy" : "absent"}. ${figure.why}`;
    for (const node of root.querySelectorAll(".lk-storm-worth")) node.setAttribute("aria-expanded", String(node.dataset.key === `worth-${opened}`));
  }

  function swatch(line) {
    const box = svg("svg", { class: "lk-storm-swatch", viewBox: "0 0 18 10", "aria-hidden": "true" });
    if (!STORM_STACK.includes(line.look)) box.append(svg("path", { d: "M1 5h16", style: `stroke: var(--lk-${line.color})`, "stroke-width": 2, "stroke-dasharray": line.look === "dash" ? "4 3" : null }));
    else {
      box.append(svg("rect", { class: `lk-storm-${line.look}`, x: 1.5, y: 0.5, width: 15, height: 9 }));
      if (line.look === "cached") box.append(svg("path", { class: "lk-storm-slash", d: "M4 9.5 12 .5M9 9.5 16.5 1" }));
    }
    return box;
  }

  // ----- the cursor ---------------------------------------------------------------------------------------------

  const span = () => (data.length ? { from: data.begin(0), to: data.end(data.length - 1) } : { from: 0, to: 1 });
  const shownAt = () => Math.min(hover ?? pinned ?? data.length - 1, data.length - 1);

  function point(node, event) {
    if (node === null || !data.length) hover = null;
    else {
      const box = node.getBoundingClientRect();
      const { from, to } = span();
      hover = data.windowAt(from + Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * (to - from));
    }
    schedule();
  }
  function go(to) {
    if (!data.length) return;
    hover = null;
    pinned = Math.max(0, Math.min(data.length - 1, to));
    schedule();
  }
  const page_ = () => Math.max(2, Math.round(data.length / 10));
  keys(track, {
    ArrowRight: (event) => go(shownAt() + (event.shiftKey ? 10 : 1)),
    ArrowLeft: (event) => go(shownAt() - (event.shiftKey ? 10 : 1)),
    ArrowUp: () => go(shownAt() + 1),
    ArrowDown: () => go(shownAt() - 1),
    PageUp: () => go(shownAt() + page_()),
    PageDown: () => go(shownAt() - page_()),
    Home: () => go(0),
    End: () => go(data.length - 1),
    Escape: () => {
      if (pinned === null) return false;
      pinned = null;
      schedule();
    },
  });
  shield(track);
  let held = false;
  track.addEventListener("pointerdown", (event) => {
    held = true;
    track.setPointerCapture(event.pointerId);
    point(track, event);
    pinned = hover;
  });
  track.addEventListener("pointermove", (event) => {
    point(track, event);
    if (held) pinned = hover;
  });
  track.addEventListener("pointerup", () => (held = false));
  track.addEventListener("pointerleave", () => point(null));

  // ----- painting -----------------------------------------------------------------------------------------------

  function surface(canvas, width, height) {
    const scale = pixelRatio();
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const ctx = canvas.getContext("2d");
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    ctx.font = `10.5px ${getComputedStyle(root).fontFamily || "sans-serif"}`;
    return ctx;
  }

  function paintPanels() {
    colors = colorsOf(root, ["ink", "dim", "faint", "line", "edge", "bad", "warn", "panel", "held", "cached", "free", "accent", ...Array.from({ length: 8 }, (_, i) => `s${i}`)]);
    const view = span();
    for (const { panel, canvas, plot } of places) {
      if (canvas.hidden || !plot.clientWidth) continue;
      const { clientWidth: width, clientHeight: height } = plot;
      const bands = fired.filter(({ convicts }) => panel.lines.some(({ figure }) => convicts.includes(figure))).map(({ from_s, until_s }) => [from_s, until_s]);
      stormPanel(surface(canvas, width, height), { panel, data, before, width, height, view, colors, bands });
    }
    paintTrack(view);
  }

  /** Time, and above it a bar for each alert while it fires. */
  function paintTrack(view) {
    const width = track.parentNode.clientWidth;
    const height = track.clientHeight;
    const ctx = surface(track, width, height);
    const xOf = (seconds) => ((seconds - view.from) / (view.to - view.from)) * width;
    const rules = [...new Set(fired.map(({ rule }) => rule))];
    ctx.fillStyle = colors.warn;
    for (const { rule, from_s, until_s } of fired) ctx.fillRect(xOf(from_s), 1 + 4 * rules.indexOf(rule), Math.max(2, xOf(until_s) - xOf(from_s)), 3);
    ctx.fillStyle = colors.edge;
    ctx.fillRect(0, 14, width, 1);
    const step = stormTick((view.to - view.from) / Math.max(2, Math.floor(width / 90)));
    ctx.textBaseline = "top";
    for (let time = Math.ceil(view.from / step) * step; time <= view.to; time += step) {
      const x = xOf(time);
      ctx.fillStyle = colors.edge;
      ctx.fillRect(Math.min(width - 1, x), 14, 1, 4);
      ctx.fillStyle = colors.dim;
      const text = stormTime(time);
      const wide = ctx.measureText(text).width;
      ctx.textAlign = "left";
      ctx.fillText(text, Math.max(0, Math.min(width - wide, x - wide / 2)), 20);
    }
  }

  function paint() {
    scheduled = 0;
    if (!root.clientWidth) {
      // JupyterLab hides a notebook for a frame while it changes its theme, too short for the observer of sizes.
      if (unseen++ < 20) setTimeout(schedule, 100);
      return;
    }
    unseen = 0;
    if (dirty) {
      dirty = false;
      paintPanels();
    }
    const at = shownAt();
    const view = span();
    const firing = fired.filter(({ first, last }) => first <= at && at <= last);
    const middle = at < 0 ? 0 : (data.begin(at) + data.end(at)) / 2;
    const chosen = hover !== null || pinned !== null;
    for (const { cursor, plot, none } of [...places, { cursor: playhead, plot: track }]) {
      cursor.hidden = !chosen || at < 0 || none?.hidden === false;
      cursor.style.transform = `translateX(${((middle - view.from) / (view.to - view.from)) * plot.clientWidth}px)`;
    }
    for (const { panel, headline, note, values } of places) {
      headline.textContent = panel.headline && ((at >= 0 && stormText(panel.headline, data, at)) || "–");
      headline.classList.toggle("lk-bad", firing.some(({ convicts }) => convicts.includes(panel.lines[0].figure)));
      note.textContent = (at >= 0 && panel.note && stormText(panel.note, data, at)) || "";
      for (const [line, value] of values) {
        const { unit, worth } = data.figures[line.figure];
        value.textContent = at < 0 || worth === "absent" ? "" : stormNumber(data.value(at, line.figure, line.over), line.over ? "share" : unit, true).replace("not known", "–");
      }
    }
    where.textContent = [model.get("source"), at < 0 ? "" : `t = ${stormTime(data.end(at))}`, model.get("live") ? "live" : ""].filter(Boolean).join(" · ");
    put(sentence, stormSentence(panels, data, at));
    paintAlerts(firing);
    track.setAttribute("aria-valuemin", "0");
    track.setAttribute("aria-valuemax", String(Math.max(0, data.length - 1)));
    track.setAttribute("aria-valuenow", String(Math.max(0, at)));
    track.setAttribute("aria-valuetext", [stormSentence(panels, data, at), ...firing.map(({ title }) => `Alert: ${title}.`)].join(" "));
    Object.assign(root.dataset, { windows: data.length, at, line: colors.line, alerts: firing.map(({ rule }) => rule).join(" ") });
  }

  function put(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  let alertsShown = null;
  function paintAlerts(firing) {
    const key = JSON.stringify([firing, fired]);
    if (key === alertsShown) return;
    alertsShown = key;
    const lines = firing.map((alert) => h("p", { class: "lk-storm-alert" }, h("strong", { text: `▲ ${alert.title}` }), h("span", { class: "lk-storm-since", text: ` since ${stormTime(alert.from_s)}. ` }), alert.sentence));
    const elsewhere = fired.length ? ` ${plural(fired.length, "alert")} at another time: ${fired.map(({ title, from_s, until_s }) => `${title} ${Math.round(from_s)}–${stormTime(until_s)}`).join(", ")}.` : "";
    alerts.replaceChildren(...(lines.length ? lines : [h("p", { class: "lk-storm-calm", text: `No alert in this window.${elsewhere}` })]));
  }

  function schedule() {
    if (!scheduled && !closed) scheduled = requestAnimationFrame(paint);
  }
  function relayout() {
    dirty = true;
    schedule();
  }

  // ----- what comes from the kernel -----------------------------------------------------------------------------

  function load() {
    const [shown, compared] = windows ? windows() : [model.get("rows"), model.get("before")];
    data = new StormData(model.get("names"), model.get("figures"), bytesOf(shown));
    const first = bytesOf(compared);
    before = first.byteLength ? new StormData(model.get("names"), model.get("figures"), first) : null;
    fired = model.get("alerts");
    keepFocus(root, legends);
    tell();
    relayout();
  }
  const message = (content, buffers) => {
    if (content?.type !== "rows") return;
    if (content.from > data.length) return; // an earlier batch is missing: all of them come with the state
    const bytes = bytesOf(buffers[0]);
    data.length = content.from;
    data.push(bytes);
    fired = content.alerts;
    relayout();
  };
  model.on("change:rows change:figures change:alerts change:before", load);
  model.on("change:live change:source", relayout);
  model.on("msg:custom", message);
  const observer = new ResizeObserver(relayout);
  observer.observe(root);
  const unwatch = onTheme(relayout);
  load();
  return {
    places,
    load,
    data: () => data,
    close() {
      model.off("change:rows change:figures change:alerts change:before", load);
      model.off("change:live change:source", relayout);
      model.off("msg:custom", message);
      closed = true;
      knobs.close();
      observer.disconnect();
      unwatch();
      cancelAnimationFrame(scheduled);
    },
  };
}
