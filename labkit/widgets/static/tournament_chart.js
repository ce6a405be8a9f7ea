// One chart of a tournament: where its curves, labels and ticks go, how they are drawn, which curve is under a point.

const TB_HIGH = 232; // of the plot, in pixels
const TB_PAD = { left: 40, top: 10, bottom: 36 };
const TB_BASE = TB_PAD.top + TB_HIGH; // where the plot ends below
const TB_LABEL = 13; // the least distance of two labels
const TB_NEAR = 14; // pixels from a curve within which the pointer is on it
const TB_CHARTS = [
  { key: "hit_rate", title: "Hit rate", words: "share of the blocks found in the cache", top: (answer) => Math.max(0, ...answer.policies.flatMap((p) => p.hit_rate)) },
  { key: "regret", title: "Regret", words: "share of the blocks asked for that had been evicted", floor: true, top: (answer) => Math.max(0, ...answer.policies.flatMap((p) => p.regret)) },
];

const tbCount = (n) => n.toLocaleString("en-US");

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

/** A chart without curves, in a panel of its own. */
function emptyChart(spec) {
  const picture = svg("svg", { class: "lk-tour-svg", "aria-hidden": "true", height: TB_PAD.top + TB_HIGH + TB_PAD.bottom, "data-chart": spec.key });
  const panel = h("div", { class: "lk-tour-panel" }, h("h4", {}, spec.title, h("span", { class: "lk-sub", text: spec.words })), picture);
  return { ...spec, picture, panel, curves: new Map(), x: [], places: new Map() };
}

/** Draw a chart anew: axes, the line of the cursor, curves with their labels. */
function drawChart(chart, answer) {
  const width = Math.max(220, chart.picture.parentNode.clientWidth);
  chart.picture.setAttribute("viewBox", `0 0 ${width} ${TB_PAD.top + TB_HIGH + TB_PAD.bottom}`);
  chart.picture.replaceChildren();
  chart.places.clear();
  chart.curves.clear();
  const longest = Math.max(4, ...answer.policies.map((p) => p.name.length));
  chart.right = width - Math.min(0.34 * width, 50 + 6.4 * Math.min(16, longest));
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
  if (chart.floor) drawFloor(chart, answer, y);
  drawCapacities(chart, answer);
  chart.cursor = svg("line", { class: "lk-tour-cursor", y1: TB_PAD.top, y2: TB_BASE });
  chart.picture.append(chart.cursor);
  drawCurves(chart, answer, y);
}

/** The capacities under a chart, as many of them named as have room. */
function drawCapacities(chart, answer) {
  let free = -Infinity;
  chart.ticks = answer.capacities.map((c, i) => {
    const words = tbCount(c);
    const half = 3.2 * words.length + 3;
    // The last one is always named; one before it gives way.
    const end = i === answer.capacities.length - 1;
    const fits = chart.x[i] - half > free && (end || chart.x[i] + half < chart.x[chart.x.length - 1] - 3.2 * tbCount(answer.capacities[chart.x.length - 1]).length - 3);
    const tick = svg("text", { x: chart.x[i], y: TB_BASE + 15, "text-anchor": "middle" }, words);
    tick.style.display = fits || end ? "" : "none";
    if (fits) free = chart.x[i] + half;
    chart.picture.append(svg("line", { class: "lk-tour-grid", x1: chart.x[i], x2: chart.x[i], y1: TB_BASE, y2: TB_BASE + 4 }), tick);
    return { tick, shown: fits || end };
  });
  chart.picture.append(svg("text", { x: (TB_PAD.left + chart.right) / 2, y: TB_BASE + 31, "text-anchor": "middle" }, "blocks in the cache"));
}

/** What even the bound loses, shaded: no policy gets below it. */
function drawFloor(chart, answer, y) {
  const bound = answer.policies.find((p) => p.role === "bound");
  if (!bound || chart.x.length < 2) return;
  const line = bound[chart.key].map((v, i) => `${chart.x[i].toFixed(1)} ${y(v).toFixed(1)}`);
  chart.picture.append(svg("path", { class: "lk-tour-floor", d: `M${chart.x[0].toFixed(1)} ${TB_BASE}L${line.join("L")}L${chart.x[chart.x.length - 1].toFixed(1)} ${TB_BASE}Z` }));
}

function drawCurves(chart, answer, y) {
  const drawn = answer.policies.map((policy) => ({ policy, points: policy[chart.key].map((v, i) => [chart.x[i], y(v), i]) })).filter(({ points }) => points.length);
  const labels = spread(drawn.map(({ points }) => points[points.length - 1][1]), TB_LABEL, TB_PAD.top + 2, TB_BASE - 4);
  // The bound and one's own lie on top, where curves meet.
  const order = drawn.map((d, i) => ({ ...d, label: labels[i] })).sort((a, b) => ["", "bound", "mine"].indexOf(a.policy.role) - ["", "bound", "mine"].indexOf(b.policy.role));
  for (const { policy, points, label } of order) drawCurve(chart, policy, points, label);
  if (!drawn.length) chart.picture.append(svg("text", { x: (TB_PAD.left + chart.right) / 2, y: TB_PAD.top + TB_HIGH / 2 - 12, "text-anchor": "middle" }, "Nothing is computed yet."));
}

/** One curve through its points, and its label at this height. */
function drawCurve(chart, policy, points, label) {
  const style = tbLook(policy);
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

/** Move the line of a chart to the capacity of this index, -1 for none, and name the capacities beside it where they fit. */
function drawChartCursor(chart, answer, index) {
  chart.cursor.style.display = index < 0 ? "none" : "";
  if (index < 0) return;
  const here = chart.x[index];
  chart.cursor.setAttribute("x1", here);
  chart.cursor.setAttribute("x2", here);
  chart.ticks.forEach(({ tick, shown }, i) => {
    const near = i !== index && Math.abs(chart.x[i] - here) < 3.4 * (tbCount(answer.capacities[i]).length + tbCount(answer.capacities[index]).length) + 4;
    tick.style.display = i === index || (shown && !near) ? "" : "none";
    tick.setAttribute("class", i === index ? "lk-tour-at" : "");
  });
}

/** The policy whose curve or label is nearest to a point of a chart. */
function nearestCurve(chart, x, y) {
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
