// What each request did in each step, on one canvas; below it the tokens of each step against the budget.

function render({ model, el }) {
  const root = card(el, "request-timeline", model.get("title"));
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": "timeline of requests", "data-key": "cells" });
  const lowCanvas = h("canvas", { "aria-hidden": "true" });
  const hold = h("div", { class: "lk-timeline-hold" }, canvas);
  const sentence = h("p", { class: "lk-well lk-timeline-sentence", "aria-live": "polite" });
  const place = h("span", { class: "lk-timeline-window" });
  const zoomIn = button("Closer", () => zoom(2), { key: "closer", aria: "Closer: half as many steps" });
  const zoomOut = button("Wider", () => zoom(0.5), { key: "wider", aria: "Wider: twice as many steps" });
  const earlier = button("", () => pan(-0.5), { key: "earlier", aria: "Earlier", icon: icon("M9 2 4 7l5 5z") });
  const later = button("", () => pan(0.5), { key: "later", aria: "Later", icon: icon("M5 2l5 5-5 5z") });
  const bar = h("div", { class: "lk-timeline-bar" }, zoomIn, zoomOut, earlier, later, place);
  const choices = model.get("runs").map((run, i) => button(run.name, () => choose(i), { key: `run-${i}` }));
  const sample = (...kids) => svg("svg", { class: "lk-timeline-sample", viewBox: "0 0 22 14", "aria-hidden": "true" }, kids);
  root.append(
    h("h3", { text: model.get("title") }),
    model.get("subtitle") ? h("p", { class: "lk-sub", text: model.get("subtitle") }) : "",
    choices.length > 1 ? h("div", { class: "lk-timeline-bar", role: "group", "aria-label": "Which run is shown" }, choices) : "",
    bar, hold, lowCanvas, sentence,
    h("div", { class: "lk-legend" },
      h("span", {}, sample(svg("rect", { class: "full", x: 1, y: 1, width: 20, height: 12 })), "a piece of its prompt (how many tokens)"),
      h("span", {}, sample(svg("rect", { class: "pale", x: 1, y: 1, width: 20, height: 12 })), "one token of its answer"),
      h("span", {}, sample(svg("rect", { class: "full", x: 1, y: 1, width: 20, height: 12 }), svg("path", { class: "again", d: "M1 13 13 1M7 13 19 1M13 13l8-8" })), "computed again"),
      h("span", {}, sample(svg("path", { class: "wait", d: "M4 7h3M10 7h3M16 7h3" })), "waits"),
      h("span", {}, sample(svg("path", { class: "rests", d: "M1 7h20" })), "in memory, no budget left for it"),
      h("span", {}, sample(svg("path", { class: "bad", d: "M6 2l10 10M16 2 6 12" })), "gives its memory up"),
      model.get("runs").some((run) => run.swaps) && h("span", {}, sample(svg("path", { class: "bad", d: "M7 2v10M3 8l4 4 4-4" }), svg("path", { class: "up", d: "M16 12V2M12 6l4-4 4 4" })), "to the host, and back"),
      h("span", {}, sample(svg("path", { class: "budget", d: "M1 3h20" })), "token budget")),
  );
  const board = { root, ctx: canvas.getContext("2d"), low: lowCanvas.getContext("2d"), from: 0, span: 1, focus: null, width: 0, wide: 0, high: 20, colors: {}, fills: [], run: null };
  const { paintRow, paintLow, paintFocus } = timelinePaint(board);
  let scheduled = 0;

  function choose(index) {
    if (index !== model.get("shown")) {
      model.set("shown", index);
      model.save_changes();
    }
    board.run = timelineRun(model.get("runs")[index]);
    choices.forEach((node, i) => node.setAttribute("aria-pressed", String(i === index)));
    board.from = 0;
    board.span = Math.max(1, board.run.steps);
    board.focus = null;
    relayout();
  }

  function window_(from, span) {
    const steps = Math.max(1, board.run.steps);
    board.span = Math.max(Math.min(4, steps), Math.min(steps, span));
    board.from = Math.max(0, Math.min(steps - board.span, from));
    schedule();
  }
  function zoom(factor) {
    const center = board.focus ? board.focus.step + 0.5 : board.from + board.span / 2;
    const span = board.span / factor;
    window_(center - span * ((center - board.from) / board.span), span);
  }
  const pan = (part) => window_(board.from + part * board.span, board.span);

  function move(steps, rows) {
    const { run } = board;
    if (!run.rows.length) return;
    const at = board.focus || { row: 0, step: Math.floor(board.from) - (steps > 0 ? 1 : 0) };
    const step = Math.max(0, Math.min(run.steps - 1, at.step + steps));
    board.focus = { step, row: Math.max(0, Math.min(run.rows.length - 1, at.row + rows)) };
    if (step < board.from) board.from = step;
    else if (step >= board.from + board.span) board.from = step - board.span + 1;
    const y = board.focus.row * board.high;
    if (y < hold.scrollTop) hold.scrollTop = y;
    else if (y + board.high > hold.scrollTop + hold.clientHeight) hold.scrollTop = y + board.high - hold.clientHeight;
    schedule();
  }

  keys(canvas, {
    ArrowRight: (event) => move(event.shiftKey ? 10 : 1, 0),
    ArrowLeft: (event) => move(event.shiftKey ? -10 : -1, 0),
    ArrowDown: () => move(0, board.focus ? 1 : 0),
    ArrowUp: () => move(0, board.focus ? -1 : 0),
    PageDown: () => pan(0.5),
    PageUp: () => pan(-0.5),
    Home: () => move(-1e9, 0),
    End: () => move(1e9, 0),
    "+": () => zoom(2),
    "=": () => zoom(2),
    "-": () => zoom(0.5),
    Escape: () => {
      if (!board.focus) return false;
      board.focus = null;
      schedule();
    },
  });
  shield(canvas);
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const step = Math.floor(board.from + (event.clientX - box.left - TL_LEFT) / board.wide);
    const row = Math.floor((event.clientY - box.top) / board.high);
    const inside = event.clientX - box.left >= TL_LEFT && step < board.run.steps && row >= 0 && row < board.run.rows.length;
    board.focus = inside ? { row, step } : null;
    schedule();
  });
  canvas.addEventListener("pointerleave", () => {
    if (document.activeElement === canvas) return;
    board.focus = null;
    schedule();
  });

  function size() {
    const { rows } = board.run;
    board.width = Math.max(200, hold.clientWidth || root.clientWidth);
    board.high = rows.length <= 14 ? 22 : rows.length <= 40 ? 14 : 6;
    board.wide = Math.min(46, (board.width - TL_LEFT - 2) / board.span);
    const scale = pixelRatio();
    for (const [node, ctx, tall] of [[canvas, board.ctx, Math.max(1, rows.length) * board.high], [lowCanvas, board.low, TL_BELOW]]) {
      node.width = Math.round(board.width * scale);
      node.height = Math.round(tall * scale);
      node.style.width = `${board.width}px`;
      node.style.height = `${tall}px`;
      ctx.setTransform(scale, 0, 0, scale, 0, 0);
      ctx.font = `${board.high >= 18 ? 11.5 : 10}px ${getComputedStyle(root).fontFamily || "sans-serif"}`;
      ctx.textBaseline = "middle";
    }
    board.colors = colorsOf(root, ["ink", "dim", "faint", "edge", "bad", "panel", "held", "accent", "onfill"]);
    const slots = colorsOf(root, Array.from({ length: 8 }, (_, i) => `s${i}`));
    board.fills = Array.from({ length: 8 }, (_, i) => slots[`s${i}`]);
  }

  function paint() {
    scheduled = 0;
    if (!root.clientWidth) return;
    size();
    const { run } = board;
    run.rows.forEach(paintRow);
    paintLow();
    paintFocus();
    const said = board.focus ? timelineWords(run, board.focus) : run.overview;
    if (sentence.textContent !== said) sentence.textContent = said;
    canvas.setAttribute("aria-label", `${model.get("title")}: ${run.overview} Arrow keys go from cell to cell, plus and minus zoom.`);
    const all = board.span >= run.steps;
    bar.hidden = all && board.wide >= 9;
    place.textContent = all ? `all ${plural(run.steps, "step")}` : `steps ${Math.floor(board.from)} to ${Math.ceil(board.from + board.span) - 1} of ${run.steps.toLocaleString("en-US")}`;
    for (const [node, off] of [[zoomIn, board.span <= 4], [zoomOut, all], [earlier, board.from <= 0], [later, board.from + board.span >= run.steps]]) node.setAttribute("aria-disabled", String(off));
    Object.assign(root.dataset, { steps: run.steps, rows: run.rows.length, focus: board.focus ? `${board.focus.row},${board.focus.step}` : "", from: Math.floor(board.from) });
  }
  function schedule() {
    if (!scheduled) scheduled = requestAnimationFrame(paint);
  }
  const relayout = schedule;
  const observer = new ResizeObserver(relayout);
  observer.observe(root);
  const unwatch = onTheme(relayout);
  const changed = () => choose(model.get("shown"));
  model.on("change:shown", changed);
  choose(model.get("shown"));
  return () => {
    model.off("change:shown", changed);
    observer.disconnect();
    unwatch();
    cancelAnimationFrame(scheduled);
  };
}

export default { render };
