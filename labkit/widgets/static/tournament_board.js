// Eviction policies against each other: hit rate and regret over capacity. All numbers come from Python.

const TB_HIGH = 232; // of the plot, in pixels
const TB_PAD = { left: 40, top: 10, bottom: 36 };
const TB_LABEL = 13; // the least distance of two labels
const TB_NEAR = 14; // pixels from a curve within which the pointer is on it
// Told apart without colour: by mark first, by line second. The bound is a plain heavy line, one's own is dashed.
const TB_TONES = [2, 1, 3, 4, 6, 7, 5, 0];
const TB_LINES = ["", "2 3", "9 2 2 2", "", "2 3", "9 2 2 2", "", "2 3"];
const TB_MARKS = ["disc", "square", "up", "diamond", "ring", "cross", "down", "plus"];
const TB_OWN_LINE = "7 4";

/** Where y values go so that no two labels touch: order kept, the least distance kept, moved as a group. */
function spread(wanted, gap, low, high) {
  const order = wanted.map((y, i) => [y, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const groups = [];
  for (const [y, i] of order) {
    groups.push({ sum: y, items: [i], top: 0 });
    for (;;) {
      const last = groups[groups.length - 1];
      const size = (last.items.length - 1) * gap;
      last.top = Math.max(low, Math.min(high - size, last.sum / last.items.length - size / 2));
      const before = groups[groups.length - 2];
      if (!before || before.top + before.items.length * gap <= last.top + 1e-9) break;
      before.sum += last.sum;
      before.items.push(...last.items);
      groups.pop();
    }
  }
  const out = new Array(wanted.length);
  for (const group of groups) group.items.forEach((i, k) => (out[i] = group.top + k * gap));
  return out;
}

/** The end of a scale from 0 that holds `most`, and the distance of its lines. */
function scaleTo(most) {
  for (const [top, step] of [[0.05, 0.01], [0.1, 0.02], [0.2, 0.05], [0.3, 0.1], [0.4, 0.1], [0.5, 0.1], [0.6, 0.2], [0.8, 0.2]]) if (most <= top) return [top, step];
  return [1, 0.25];
}

function tbMark(kind, x, y, r = 3.6) {
  const at = (d, extra = "") => svg("path", { class: `lk-tour-mark ${extra}`, d });
  const p = (dx, dy) => `${(x + dx * r).toFixed(1)} ${(y + dy * r).toFixed(1)}`;
  if (kind === "square") return at(`M${p(-0.9, -0.9)}L${p(0.9, -0.9)}L${p(0.9, 0.9)}L${p(-0.9, 0.9)}Z`);
  if (kind === "up") return at(`M${p(0, -1.15)}L${p(1.1, 0.9)}L${p(-1.1, 0.9)}Z`);
  if (kind === "down") return at(`M${p(0, 1.15)}L${p(1.1, -0.9)}L${p(-1.1, -0.9)}Z`);
  if (kind === "diamond") return at(`M${p(0, -1.25)}L${p(1.25, 0)}L${p(0, 1.25)}L${p(-1.25, 0)}Z`);
  if (kind === "cross") return at(`M${p(-0.9, -0.9)}L${p(0.9, 0.9)}M${p(-0.9, 0.9)}L${p(0.9, -0.9)}`, "line");
  if (kind === "plus") return at(`M${p(0, -1.1)}L${p(0, 1.1)}M${p(-1.1, 0)}L${p(1.1, 0)}`, "line");
  if (kind === "star") {
    const tip = (k) => p(1.5 * (k % 2 ? 0.45 : 1) * Math.sin((k * Math.PI) / 5), -1.5 * (k % 2 ? 0.45 : 1) * Math.cos((k * Math.PI) / 5));
    return at(`M${[...Array(10).keys()].map(tip).join("L")}Z`);
  }
  return svg("circle", { class: `lk-tour-mark ${kind === "ring" ? "open" : ""}`, cx: x.toFixed(1), cy: y.toFixed(1), r: kind === "ring" ? r * 0.85 : r * 0.95 });
}

function render({ model, el }) {
  const root = card(el, "tournament-board", model.get("title"));
  const bound = model.get("bound");
  let cursor = model.get("cursor");
  let over = null; // the policy under the pointer or the focus
  let pinned = null; // the policy that was chosen in the table
  let scheduled = 0;

  const count = (n) => n.toLocaleString("en-US");
  const choose = (change) => {
    const choice = { ...model.get("choice"), ...change };
    model.set("choice", choice);
    model.save_changes();
    update();
  };
  const pick = (label, values, words, chosen) =>
    shield(h("select", { class: "lk-pick", "aria-label": label, on: { change: (event) => chosen(values[event.target.selectedIndex]) } }, values.map((value) => h("option", { value, text: words(value) }))));
  const offered = model.get("offered");
  const trace = pick("trace", Object.keys(model.get("traces")), (name) => name, (name) => choose({ trace: name }));
  const low = pick("smallest capacity", offered, count, (value) => choose({ low: value, high: Math.max(value, model.get("choice").high) }));
  const high = pick("largest capacity", offered, count, (value) => choose({ high: value, low: Math.min(value, model.get("choice").low) }));
  const busy = h("span", { class: "lk-tour-busy", role: "status" });
  const about = h("p", { class: "lk-sub lk-tour-about" });
  const trouble = h("p", { class: "lk-bad" });
  const again = button("Try again", () => { busy.textContent = "computing"; model.send({ type: "again" }); }, { key: "again" });
  const stop = button("Stop", () => model.send({ type: "stop" }), { key: "stop", kind: "quiet" });
  const problem = h("div", { class: "lk-tour-problem", role: "alert" }, trouble, again);
  const panels = h("div", { class: "lk-tour-panels", role: "slider", tabindex: 0, "aria-label": "Capacity at which the policies are compared", "data-key": "cursor" });
  const sentence = h("p", { class: "lk-well lk-tour-sentence", "aria-live": "polite" });
  const hold = h("div", { class: "lk-tour-hold" });
  root.append(
    h("h3", { text: model.get("title") }),
    model.get("subtitle") ? h("p", { class: "lk-sub", text: model.get("subtitle") }) : "",
    h("p", { class: "lk-tour-choices" }, "Trace", trace, "with", low, "to", high, "blocks in the cache", busy, stop),
    about, problem, panels, sentence, hold,
  );
  const charts = [
    { key: "hit_rate", title: "Hit rate", words: "share of the blocks found in the cache", top: (answer) => Math.max(0, ...answer.policies.flatMap((p) => p.hit_rate)) },
    { key: "regret", title: "Regret", words: "share of the evictions wanted again", top: (answer) => Math.max(0, ...answer.policies.flatMap((p) => p.regret.map((v) => v ?? 0))) },
  ].map((chart) => {
    const picture = svg("svg", { class: "lk-tour-svg", "aria-hidden": "true", height: TB_PAD.top + TB_HIGH + TB_PAD.bottom, "data-chart": chart.key });
    panels.append(h("div", { class: "lk-tour-panel" }, h("h4", {}, chart.title, h("span", { class: "lk-sub", text: chart.words })), picture));
    return { ...chart, picture, curves: new Map(), x: [], places: new Map() };
  });

  const look = (policy) => {
    if (policy.role === "bound") return { tone: "", line: "", mark: "" };
    if (policy.role === "mine") return { tone: "", line: TB_OWN_LINE, mark: "star" };
    const i = policy.look % TB_MARKS.length;
    return { tone: `var(--lk-s${TB_TONES[i]})`, line: TB_LINES[i], mark: TB_MARKS[i] };
  };

  /** Index of the capacity under the cursor: the nearest by ratio, as in Python. */
  const at = () => {
    const known = model.get("answer").capacities;
    let best = -1;
    let least = Infinity;
    known.forEach((c, i) => {
      const away = Math.abs(Math.log(c / Math.max(1, cursor)));
      if (away < least - 1e-12) [best, least] = [i, away];
    });
    return best;
  };
  const lit = () => {
    const names = model.get("answer").policies.map((p) => p.name);
    return names.includes(over) ? over : names.includes(pinned) ? pinned : null;
  };

  const moveTo = (index) => {
    const known = model.get("answer").capacities;
    if (!known.length) return;
    const next = known[Math.max(0, Math.min(known.length - 1, index))];
    if (next === cursor) return;
    cursor = next;
    model.set("cursor", next);
    model.save_changes();
    drawCursor();
  };
  const light = (name) => {
    if (over === name) return;
    over = name;
    drawLit();
  };
  const step = (by) => {
    const rows = model.get("answer").tables[at()] || [];
    if (!rows.length) return;
    const here = rows.findIndex((row) => row.name === lit());
    pinned = null;
    light(rows[here < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, here + by))].name);
    const row = rows.find((r) => r.name === over);
    panels.setAttribute("aria-valuetext", `${row.name}: hit rate ${row.hit_text}, regret ${row.regret_text}`);
  };
  keys(panels, {
    ArrowRight: () => moveTo(at() + 1),
    ArrowLeft: () => moveTo(at() - 1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Home: () => moveTo(0),
    End: () => moveTo(Infinity),
    Escape: () => {
      if (!lit()) return false;
      over = pinned = null;
      drawLit();
    },
  });
  shield(panels);
  panels.addEventListener("blur", () => light(null));

  const follow = (event) => {
    const chart = charts.find(({ picture }) => picture.contains(event.target) || picture === event.target);
    if (!chart || !chart.x.length) return light(null);
    const box = chart.picture.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (x < TB_PAD.left - 14) return light(null);
    if (x <= chart.right + 14) moveTo(chart.x.reduce((best, v, i) => (Math.abs(v - x) < Math.abs(chart.x[best] - x) ? i : best), 0));
    light(nearest(chart, x, y));
  };
  panels.addEventListener("pointermove", follow);
  panels.addEventListener("pointerdown", (event) => {
    follow(event);
    panels.focus({ preventScroll: true });
  });
  panels.addEventListener("pointerleave", () => light(null));

  /** The policy whose curve or label is nearest to a point of a chart. */
  function nearest(chart, x, y) {
    let best = null;
    let least = TB_NEAR;
    for (const [name, { points, label }] of chart.places) {
      if (x > chart.right + 6) {
        if (label && Math.abs(label - y) < Math.min(least, TB_LABEL / 2)) [best, least] = [name, Math.abs(label - y)];
        continue;
      }
      for (let i = 0; i < points.length; i++) {
        const [ax, ay] = points[i];
        const [bx, by] = points[Math.min(i + 1, points.length - 1)];
        const long = (bx - ax) ** 2 + (by - ay) ** 2;
        const t = long ? Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / long)) : 0;
        const away = Math.hypot(ax + t * (bx - ax) - x, ay + t * (by - ay) - y);
        if (away < least) [best, least] = [name, away];
      }
    }
    return best;
  }

  function drawChart(chart, answer) {
    const width = Math.max(220, chart.picture.parentNode.clientWidth);
    chart.picture.setAttribute("viewBox", `0 0 ${width} ${TB_PAD.top + TB_HIGH + TB_PAD.bottom}`);
    chart.picture.replaceChildren();
    chart.places.clear();
    chart.curves.clear();
    const longest = Math.max(4, ...answer.policies.map((p) => p.name.length));
    const room = Math.min(0.34 * width, 50 + 6.4 * Math.min(16, longest));
    chart.right = width - room;
    const [first, last] = answer.range;
    const x = (c) => (last > first ? TB_PAD.left + 8 + (Math.log(c / first) / Math.log(last / first)) * (chart.right - TB_PAD.left - 8) : (TB_PAD.left + chart.right) / 2);
    const [top, gap] = scaleTo(answer.capacities.length ? chart.top(answer) : 1);
    const y = (v) => TB_PAD.top + TB_HIGH * (1 - v / top);
    chart.x = answer.capacities.map(x);
    for (let v = 0; v <= top + 1e-9; v += gap) {
      chart.picture.append(
        svg("line", { class: "lk-tour-grid", x1: TB_PAD.left, x2: chart.right + 4, y1: y(v), y2: y(v) }),
        svg("text", { x: TB_PAD.left - 6, y: y(v) + 3.5, "text-anchor": "end" }, `${Math.round(100 * v)}%`),
      );
    }
    const base = TB_PAD.top + TB_HIGH;
    let free = -Infinity;
    chart.ticks = answer.capacities.map((c, i) => {
      const words = count(c);
      const half = 3.2 * words.length + 3;
      // The last one is always named; one before it gives way.
      const end = i === answer.capacities.length - 1;
      const fits = chart.x[i] - half > free && (end || chart.x[i] + half < chart.x[chart.x.length - 1] - 3.2 * count(answer.capacities[chart.x.length - 1]).length - 3);
      const tick = svg("text", { x: chart.x[i], y: base + 15, "text-anchor": "middle" }, words);
      tick.style.display = fits || end ? "" : "none";
      if (fits) free = chart.x[i] + half;
      chart.picture.append(svg("line", { class: "lk-tour-grid", x1: chart.x[i], x2: chart.x[i], y1: base, y2: base + 4 }), tick);
      return { tick, shown: fits || end };
    });
    chart.picture.append(svg("text", { x: (TB_PAD.left + chart.right) / 2, y: base + 31, "text-anchor": "middle" }, "blocks in the cache"));
    chart.cursor = svg("line", { class: "lk-tour-cursor", y1: TB_PAD.top, y2: base });
    chart.picture.append(chart.cursor);

    const drawn = answer.policies.map((policy) => ({ policy, points: policy[chart.key].flatMap((v, i) => (v === null ? [] : [[chart.x[i], y(v), i]])) })).filter(({ points }) => points.length);
    const labels = spread(drawn.map(({ points }) => points[points.length - 1][1]), TB_LABEL, TB_PAD.top + 2, base - 4);
    // The bound and one's own lie on top, where curves meet.
    const order = drawn.map((d, i) => ({ ...d, label: labels[i] })).sort((a, b) => ["", "bound", "mine"].indexOf(a.policy.role) - ["", "bound", "mine"].indexOf(b.policy.role));
    for (const { policy, points, label } of order) {
      const style = look(policy);
      const group = svg("g", { class: `lk-tour-curve ${policy.role}`, "data-policy": policy.name });
      if (style.tone) group.style.setProperty("--tone", style.tone);
      const end = points[points.length - 1];
      let d = "";
      points.forEach(([px, py, i], k) => (d += `${k && points[k - 1][2] === i - 1 ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`));
      const mid = chart.right + 10;
      group.append(
        svg("path", { class: "lk-tour-leader", d: `M${end[0].toFixed(1)} ${end[1].toFixed(1)}L${mid} ${label.toFixed(1)}` }),
        svg("path", { class: "line", d, "stroke-dasharray": style.line || null }),
        ...(style.mark ? points.map(([px, py]) => tbMark(style.mark, px, py)) : []),
        svg("path", { class: "line", d: `M${mid} ${label}h20`, "stroke-dasharray": style.line || null }),
        ...(style.mark ? [tbMark(style.mark, mid + 10, label)] : []),
        svg("text", { x: mid + 25, y: label + 3.8 }, policy.name.length > 16 ? `${policy.name.slice(0, 15)}…` : policy.name, svg("title", { text: policy.name })),
      );
      chart.picture.append(group);
      chart.curves.set(policy.name, group);
      chart.places.set(policy.name, { points, label });
    }
    if (!drawn.length) chart.picture.append(svg("text", { x: (TB_PAD.left + chart.right) / 2, y: TB_PAD.top + TB_HIGH / 2 - 12, "text-anchor": "middle" }, answer.capacities.length ? "Nothing is evicted at these sizes." : "Nothing is computed yet."));
  }

  function drawCursor() {
    const answer = model.get("answer");
    const index = at();
    for (const chart of charts) {
      chart.cursor.style.display = index < 0 ? "none" : "";
      if (index < 0) continue;
      chart.cursor.setAttribute("x1", chart.x[index]);
      chart.cursor.setAttribute("x2", chart.x[index]);
      const here = chart.x[index];
      chart.ticks.forEach(({ tick, shown }, i) => {
        const near = i !== index && Math.abs(chart.x[i] - here) < 3.4 * (count(answer.capacities[i]).length + count(answer.capacities[index]).length) + 4;
        tick.style.display = i === index || (shown && !near) ? "" : "none";
        tick.setAttribute("class", i === index ? "lk-tour-at" : "");
      });
    }
    panels.setAttribute("aria-valuemin", 0);
    panels.setAttribute("aria-valuemax", Math.max(0, answer.capacities.length - 1));
    panels.setAttribute("aria-valuenow", Math.max(0, index));
    panels.setAttribute("aria-valuetext", index < 0 ? "nothing computed yet" : plural(answer.capacities[index], "block"));
    const words = answer.sentences[index] || "";
    if (sentence.textContent !== words) sentence.textContent = words;
    // While a first capacity is computed the place of sentence and table stays, so that the page does not jump.
    const waits = root.getAttribute("aria-busy") === "true";
    sentence.hidden = !words && !waits;
    if (index >= 0 || !waits) hold.style.minHeight = "";
    else if (hold.offsetHeight) hold.style.minHeight = `${hold.offsetHeight}px`;
    drawTable(answer, index);
    drawLit();
  }

  function drawTable(answer, index) {
    const rows = answer.tables[index] || [];
    const roles = new Map(answer.policies.map((policy) => [policy.name, policy]));
    const sample = (policy) => {
      const style = look(policy);
      const group = svg("g", { class: `lk-tour-curve ${policy.role}` }, svg("path", { class: "line", d: "M1 7h36", "stroke-dasharray": style.line || null }), style.mark ? tbMark(style.mark, 19, 7) : []);
      if (style.tone) group.style.setProperty("--tone", style.tone);
      return svg("svg", { class: "lk-tour-sample", viewBox: "0 0 38 14", "aria-hidden": "true" }, group);
    };
    const name = (row) => {
      const node = shield(h("button", { type: "button", class: "lk-tour-name", "data-key": `row-${row.name}`, "aria-pressed": String(pinned === row.name), title: "Show this curve alone" }, sample(roles.get(row.name)), row.name));
      node.addEventListener("click", () => {
        pinned = pinned === row.name ? null : row.name;
        over = null;
        drawLit();
      });
      node.addEventListener("focus", () => light(row.name));
      node.addEventListener("blur", () => light(null));
      return node;
    };
    const line = (row) =>
      h("tr", { class: roles.get(row.name).role, "data-policy": row.name, on: { pointerenter: () => light(row.name), pointerleave: () => light(null) } },
        h("th", { scope: "row" }, name(row)), h("td", { text: row.hit_text }), h("td", { text: row.behind_text || "" }), h("td", { text: row.evictions_text }), h("td", { text: row.regret_text }));
    keepFocus(root, () => hold.replaceChildren(
      rows.length || answer.refused.length
        ? h("table", { class: "lk-tour-table" },
            h("caption", { text: index >= 0 ? `At ${plural(answer.capacities[index], "block")}, best first. Distance in percentage points.` : "" }),
            h("thead", {}, h("tr", {}, ["policy", "hit rate", `below ${bound}`, "evictions", "regret"].map((text) => h("th", { scope: "col", text })))),
            h("tbody", {}, rows.map(line), answer.refused.map((row) => h("tr", { class: row.name === model.get("mine") ? "mine" : "" }, h("th", { scope: "row" }, h("span", { class: "lk-tour-name", text: row.name })), h("td", { class: "lk-tour-why", colspan: 4 }, h("span", { class: "lk-bad", text: "refused: " }), row.reason)))))
        : [],
    ));
  }

  function drawLit() {
    const name = lit();
    panels.classList.toggle("lk-lit", name !== null);
    for (const chart of charts) for (const [key, group] of chart.curves) group.classList.toggle("lit", key === name);
    for (const row of hold.querySelectorAll("tr[data-policy]")) {
      row.classList.toggle("lit", row.dataset.policy === name);
      row.querySelector(".lk-tour-name").setAttribute("aria-pressed", String(pinned === row.dataset.policy));
    }
    root.dataset.lit = name ?? "";
  }

  function update() {
    const choice = model.get("choice");
    const answer = model.get("answer");
    const fresh = ["trace", "low", "high"].every((key) => answer.for[key] === choice[key]);
    const growing = fresh && answer.done < answer.total;
    trace.value = choice.trace;
    low.value = String(choice.low);
    high.value = String(choice.high);
    about.textContent = model.get("traces")[choice.trace] || "";
    root.classList.toggle("lk-waits", !fresh || growing);
    root.classList.toggle("lk-grows", growing);
    root.setAttribute("aria-busy", String(!fresh || growing));
    busy.textContent = !fresh ? "waiting for the kernel …" : growing ? `computing: ${answer.done} of ${plural(answer.total, "capacity", "capacities")}` : "";
    stop.hidden = fresh && !growing;
    trouble.textContent = fresh ? answer.problem : "";
    problem.hidden = !trouble.textContent;
    schedule();
  }

  function draw() {
    scheduled = 0;
    if (!root.clientWidth) return;
    const answer = model.get("answer");
    for (const chart of charts) drawChart(chart, answer);
    drawCursor();
    root.dataset.drawn = String(answer.capacities.length);
  }
  function schedule() {
    if (!scheduled) scheduled = requestAnimationFrame(draw);
  }

  const moved = () => {
    cursor = model.get("cursor");
    schedule();
  };
  const observer = new ResizeObserver(schedule);
  observer.observe(panels);
  model.on("change:answer", update);
  model.on("change:choice", update);
  model.on("change:cursor", moved);
  update();
  return () => {
    model.off("change:answer", update);
    model.off("change:choice", update);
    model.off("change:cursor", moved);
    observer.disconnect();
    cancelAnimationFrame(scheduled);
  };
}

export default { render };
