// AttentionPlay: one query and a few keys in the plane. Every number is computed here from the two arrows; nothing is
// rounded before it is shown. Drag a tip, or focus it and use the arrow keys.

const SPAN = 3;
const SIDE = 264;
const HALF = SIDE / 2;
const UNIT = (HALF - 14) / SPAN;
const toX = (x) => HALF + x * UNIT;
const toY = (y) => HALF - y * UNIT;
const two = (x) => (x === -Infinity ? "\u2212\u221e" : (Math.abs(x) < 0.005 ? 0 : x).toFixed(2).replace("-", "\u2212"));
const share = (w) => `${(w * 100).toFixed(w > 0 && w < 0.0995 ? 1 : 0)}%`;
const snap = (x) => Math.round(Math.max(-SPAN, Math.min(SPAN, x)) * 10) / 10 || 0;

function plane(label) {
  const node = svg("svg", { class: "lka-plane", viewBox: `0 0 ${SIDE} ${SIDE}`, role: "group", "aria-label": label });
  for (let i = -SPAN; i <= SPAN; i++) {
    const kind = i === 0 ? "lka-axis" : "lka-grid";
    node.append(
      svg("line", { class: kind, x1: toX(i), x2: toX(i), y1: toY(-SPAN), y2: toY(SPAN) }),
      svg("line", { class: kind, x1: toX(-SPAN), x2: toX(SPAN), y1: toY(i), y2: toY(i) }),
    );
  }
  node.append(
    svg("text", { class: "lka-unit", x: toX(1), y: toY(0) + 12, "text-anchor": "middle" }, "1"),
    svg("text", { class: "lka-unit", x: toX(0) - 5, y: toY(1) + 4, "text-anchor": "end" }, "1"),
  );
  return node;
}

function render({ model, el }) {
  const root = card(el, "attention-play", model.get("title"));
  const count = model.get("K").length;
  const all = Array.from({ length: count }, (_, i) => i);
  const fresh = () => ({
    q: [...model.get("q")],
    k: model.get("K").map((p) => [...p]),
    v: model.get("V").map((p) => [...p]),
    gone: new Set(model.get("hidden")),
  });
  let state = fresh();
  const first = fresh();
  const maskable = model.get("maskable");
  let lit = -1;

  // ---- the numbers, all from the state
  function compute() {
    const dots = state.k.map((k) => k[0] * state.q[0] + k[1] * state.q[1]);
    const scores = dots.map((d, i) => (state.gone.has(i) ? -Infinity : d / Math.SQRT2));
    const top = Math.max(...scores);
    const e = scores.map((s) => Math.exp(s - top));
    const total = e.reduce((a, b) => a + b, 0);
    const weights = e.map((x) => x / total);
    const mix = [0, 1].map((c) => weights.reduce((sum, w, i) => sum + w * state.v[i][c], 0));
    return { dots, scores, weights, mix };
  }

  // ---- the parts
  const color = (i) => ({ "--lka-c": `var(--lk-s${i % 8})` });
  // The query has a sequence's colour no more than its mixture has: both are drawn in ink.
  const ink = { "--lka-c": "var(--lk-ink)" };
  const left = plane("Query and keys");
  const right = plane("Values and their mixture");
  // Shown while a key is pointed at: the query's line across the picture, the way along it, and the drop from the key.
  const ray = svg("line", { class: "lka-ray" });
  const along = svg("line", { class: "lka-along", x1: toX(0), y1: toY(0) });
  const foot = svg("line", { class: "lka-foot" });
  const end = svg("circle", { class: "lka-end", r: 4.5 });
  left.append(ray, along);
  const hull = svg("polygon", { class: "lka-hull" });
  const pulls = all.map((i) => svg("line", { class: "lka-pull", style: color(i) }));
  const mixMark = svg("path", { class: "lka-mix", d: "M0 -8 8 0 0 8 -8 0Z" });
  right.append(hull, ...pulls);

  function tip(board, name, label, style, point, i, shaft) {
    const line = shaft ? svg("line", { class: "lka-shaft", x1: toX(0), y1: toY(0) }) : null;
    const node = svg(
      "g",
      { class: "lka-tip", tabindex: 0, role: "slider", "aria-label": label, "aria-valuemin": -SPAN, "aria-valuemax": SPAN, "data-name": name },
      svg("circle", { class: "lka-ring", r: 15 }),
      svg("circle", { class: "lka-dot", r: 11 }),
      svg("text", { y: 3.6 }, name),
    );
    const group = svg("g", { style, class: i < 0 ? "lka-query" : "" }, line, node);
    board.append(group);
    const move = (x, y) => {
      const to = [snap(x), snap(y)];
      const at = point();
      if (to[0] === at[0] && to[1] === at[1]) return;
      [at[0], at[1]] = to;
      update(true);
    };
    node.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      node.focus({ preventScroll: true });
      node.setPointerCapture(event.pointerId);
    });
    node.addEventListener("pointermove", (event) => {
      if (!node.hasPointerCapture(event.pointerId)) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(board.getScreenCTM().inverse());
      move((at.x - HALF) / UNIT, (HALF - at.y) / UNIT);
    });
    node.addEventListener("pointerup", () => keep());
    for (const type of ["pointerenter", "focus"]) node.addEventListener(type, () => light(i));
    for (const type of ["pointerleave", "blur"]) node.addEventListener(type, () => light(-1));
    const by = (dx, dy) => (event) => {
      const size = event.shiftKey ? 0.5 : 0.1;
      move(point()[0] + dx * size, point()[1] + dy * size);
      keep();
    };
    keys(node, { ArrowLeft: by(-1, 0), ArrowRight: by(1, 0), ArrowUp: by(0, 1), ArrowDown: by(0, -1) });
    return () => {
      const [x, y] = point();
      node.setAttribute("transform", `translate(${toX(x)} ${toY(y)})`);
      node.setAttribute("aria-valuenow", x);
      node.setAttribute("aria-valuetext", `${two(x)}, ${two(y)}`);
      if (line) {
        line.setAttribute("x2", toX(x));
        line.setAttribute("y2", toY(y));
      }
      if (i >= 0) {
        group.setAttribute("class", state.gone.has(i) ? "lka-gone" : "");
        node.setAttribute("class", lit === i ? "lka-tip lka-on" : "lka-tip");
      }
    };
  }

  const tips = [
    ...all.map((i) => tip(left, `k${i}`, `key ${i}`, color(i), () => state.k[i], i, true)),
    tip(left, "q", "query", ink, () => state.q, -1, true),
    ...all.map((i) => tip(right, `v${i}`, `value ${i}`, color(i), () => state.v[i], i, false)),
  ];
  left.append(foot, end);
  right.append(mixMark);
  mixMark.style.pointerEvents = "none";

  const rows = all.map((i) => {
    const fill = h("div", { class: "lka-fill" });
    const cells = { dot: h("td"), score: h("td"), part: h("td"), fill };
    const see = maskable
      ? shield(h("input", { type: "checkbox", checked: !state.gone.has(i), "aria-label": `key ${i} can be seen`, on: { change: (e) => toggle(i, e.target.checked) } }))
      : null;
    cells.see = see;
    cells.row = h(
      "tbody",
      { style: color(i), on: { mouseenter: () => light(i), mouseleave: () => light(-1) } },
      h(
        "tr",
        {},
        h("td", {}, h("span", { class: "lka-chip", text: `k${i}` })),
        maskable ? h("td", {}, see) : null,
        cells.dot,
        cells.score,
        cells.part,
      ),
      h("tr", { "aria-hidden": "true" }, h("td", { class: "lka-bar", colspan: maskable ? 5 : 4 }, h("div", { class: "lka-track" }, fill))),
    );
    return cells;
  });
  const sum = h("div", { class: "lka-sum" });
  const task = model.get("task");
  const say = h("div", { class: "lka-say lk-well", "aria-live": "polite" });
  const reset = button("Reset", () => {
    state = { q: [...first.q], k: first.k.map((p) => [...p]), v: first.v.map((p) => [...p]), gone: new Set(first.gone) };
    rows.forEach((r, i) => r.see && (r.see.checked = !state.gone.has(i)));
    update(true);
    keep();
  });

  root.append(
    h("div", { class: "lka-head" }, h("h3", { text: model.get("title") }), reset),
    task ? h("p", { class: "lka-task", text: task }) : "",
    h("p", { class: "lk-sub", text: "Drag a tip, or choose it with Tab and move it with the arrow keys (Shift: larger steps)." }),
    h(
      "div",
      { class: "lka-body" },
      h("div", {}, h("h4", { text: "Query and keys" }), left),
      h(
        "div",
        { class: "lka-table" },
        h("h4", { text: "Scores and weights" }),
        h(
          "table",
          { class: "lka-rows" },
          h("thead", {}, h("tr", {}, ["key", maskable ? "seen" : null, "q\u00b7k", "q\u00b7k / \u221a2", "weight"].filter(Boolean).map((t) => h("th", { scope: "col", text: t })))),
          rows.map((r) => r.row),
        ),
        sum,
      ),
      h("div", {}, h("h4", { text: "Values and their mixture" }), right),
    ),
    say,
  );

  // ---- what happens
  function toggle(i, seen) {
    if (!seen && state.gone.size >= count - 1) {
      rows[i].see.checked = true;
      say.textContent = `k${i} is the last key that can be seen and stays: with every score at \u2212\u221e, softmax would divide 0 by 0.`;
      return;
    }
    if (seen) state.gone.delete(i);
    else state.gone.add(i);
    update(true);
    keep();
  }

  function light(i) {
    if (lit === i) return;
    lit = i;
    update(false);
  }

  // Each set tells of a change at once; until all four are set, the model is half old.
  let keeping = false;

  function keep() {
    keeping = true;
    model.set("q", [...state.q]);
    model.set("K", state.k.map((p) => [...p]));
    model.set("V", state.v.map((p) => [...p]));
    model.set("hidden", [...state.gone].sort());
    keeping = false;
    model.save_changes();
  }

  function update(told) {
    const { dots, scores, weights, mix } = compute();
    tips.forEach((draw) => draw());
    rows.forEach((r, i) => {
      r.dot.textContent = two(dots[i]);
      r.score.textContent = two(scores[i]);
      r.fill.style.width = `${weights[i] * 100}%`;
      r.part.textContent = share(weights[i]);
      r.row.className = [lit === i ? "lka-on" : "", state.gone.has(i) ? "lka-gone" : ""].join(" ");
      pulls[i].setAttribute("x1", toX(state.v[i][0]));
      pulls[i].setAttribute("y1", toY(state.v[i][1]));
      pulls[i].setAttribute("x2", toX(mix[0]));
      pulls[i].setAttribute("y2", toY(mix[1]));
      pulls[i].setAttribute("stroke-width", weights[i] === 0 ? 0 : 0.8 + 5 * weights[i]);
    });
    hull.setAttribute("points", state.v.filter((_, i) => !state.gone.has(i)).map((p) => `${toX(p[0])},${toY(p[1])}`).join(" "));
    mixMark.setAttribute("transform", `translate(${toX(mix[0])} ${toY(mix[1])})`);
    const size = Math.hypot(...state.q);
    const shown = lit >= 0 && size > 0;
    for (const part of [ray, along, foot, end]) part.style.display = shown ? "" : "none";
    if (shown) {
      // From the key to its foot on the line of the query: q.k is the length of q times how far along it the foot lies.
      const t = dots[lit] / size ** 2;
      const far = SPAN / Math.max(Math.abs(state.q[0]), Math.abs(state.q[1]));
      const at = { x: toX(t * state.q[0]), y: toY(t * state.q[1]) };
      const put = (node, ends) => Object.entries(ends).forEach(([name, value]) => node.setAttribute(name, value));
      put(ray, { x1: toX(-far * state.q[0]), y1: toY(-far * state.q[1]), x2: toX(far * state.q[0]), y2: toY(far * state.q[1]) });
      put(along, { x2: at.x, y2: at.y });
      put(foot, { x1: toX(state.k[lit][0]), y1: toY(state.k[lit][1]), x2: at.x, y2: at.y });
      put(end, { cx: at.x, cy: at.y });
      for (const part of [along, foot, end]) part.setAttribute("style", `--lka-c: var(--lk-s${lit % 8})`);
    }
    sum.replaceChildren(
      h("div", { text: all.map((i) => `${weights[i].toFixed(2)}\u00b7v${i}`).join(" + ") }),
      h("div", {}, "= ", h("span", { class: "lka-key", text: `(${two(mix[0])}, ${two(mix[1])})` })),
    );
    const best = weights.indexOf(Math.max(...weights));
    const words = Math.max(...weights) - Math.min(...weights.filter((_, i) => !state.gone.has(i))) < 1e-9 && count - state.gone.size > 1
      ? `All scores are equal: every value seen counts the same, and the mixture (${two(mix[0])}, ${two(mix[1])}) is their mean.`
      : `k${best} has the highest score, ${two(scores[best])}; v${best} makes up ${share(weights[best])} of the mixture (${two(mix[0])}, ${two(mix[1])}).`;
    const lies = () => `k${lit} lies ${two(dots[lit] / size)} along the query's line, and the query is ${two(size)} long: ${two(dots[lit] / size)} \u00b7 ${two(size)} = ${two(dots[lit])} = q\u00b7k${lit}.`;
    if (shown && !told) say.textContent = lies();
    else if (told || !shown) say.textContent = words;
  }

  update(true);
  const changed = () => {
    if (keeping) return;
    state = fresh();
    rows.forEach((r, i) => r.see && (r.see.checked = !state.gone.has(i)));
    update(true);
  };
  for (const name of ["q", "K", "V", "hidden"]) model.on(`change:${name}`, changed);
  return () => {
    for (const name of ["q", "K", "V", "hidden"]) model.off(`change:${name}`, changed);
  };
}

export default { render };
