// OnlineSoftmax: the pages of one request in the order of its table, what has been read of them, and the running state
// beside that of two passes. The states come from Python; here exp(score - m) is all that is computed.

const SLOT = 42;
const GAP = 22;
const TOP = 40;
const HIGH = 112;
const two = (x) => (x === null ? "\u2212\u221e" : (Math.abs(x) < 0.005 ? 0 : x).toFixed(2).replace("-", "\u2212"));

function render({ model, el }) {
  const pages = model.get("pages");
  const states = model.get("states");
  const exact = model.get("exact");
  const root = card(el, "online-softmax", model.get("title"));
  const all = pages.flatMap((page) => page.scores).filter((score) => score !== null);
  const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
  const y = (score) => TOP + (HIGH * (high - score)) / (high - low || 1);
  const slots = pages[0].scores.length;
  const x = (page, slot = 0) => 4 + page * (slots * SLOT + GAP) + slot * SLOT;
  const width = x(pages.length) - GAP + 4;
  const bottom = TOP + HIGH;

  // ---- the pages
  const picture = svg("svg", { class: "lko-pages", viewBox: `0 0 ${width} ${bottom + 54}`, style: { "max-width": `${width * 1.2}px` }, role: "img" });
  picture.append(svg("line", { class: "lko-zero", x1: 0, x2: width, y1: y(0), y2: y(0) }));
  const drawn = pages.map((page, i) => {
    const group = svg(
      "g",
      {},
      svg("rect", { class: "lko-page", x: x(i) - 3, y: TOP - 8, width: slots * SLOT + 6, height: HIGH + 58, rx: 6 }),
      svg("text", { class: "lko-head", x: x(i), y: 14 }, `page ${i}`),
      svg("text", { class: "lko-block", x: x(i), y: 27 }, `block ${page.block}`),
    );
    const weights = page.scores.map((score, slot) => {
      const middle = x(i, slot) + SLOT / 2;
      if (score === null) {
        group.append(
          svg("rect", { class: "lko-empty", x: x(i, slot) + 7, y: TOP, width: SLOT - 14, height: HIGH }),
          svg("text", { class: "lko-number lko-dim", x: middle, y: bottom + 28 }, "empty"),
        );
        return null;
      }
      const [from, to] = [y(Math.max(score, 0)), y(Math.min(score, 0))];
      const weight = svg("text", { class: "lko-number lko-weight", x: middle, y: bottom + 40 });
      group.append(
        svg("rect", { class: "lko-bar", x: x(i, slot) + 7, y: from, width: SLOT - 14, height: Math.max(1.5, to - from) }),
        svg("text", { class: "lko-number", x: middle, y: bottom + 22 }, two(score)),
        weight,
      );
      return { weight, score };
    });
    picture.append(group);
    return { group, weights };
  });
  const line = svg("line", { class: "lko-max", x1: 0 });
  const mark = svg("text", { class: "lko-maxmark" });
  picture.append(line, mark);

  // ---- the state beside two passes
  const cells = {};
  const row = (name, what, due) => {
    cells[name] = h("td", { class: "lko-now" });
    return h("tr", {}, h("th", { scope: "row" }, h("b", { text: name }), ` ${what}`), cells[name], h("td", { text: due }));
  };
  const span = Math.max(1, ...states.flatMap((s) => s.out || []).concat(exact.out).map(Math.abs)) * 1.1;
  const at = (v) => `${50 + (50 * v) / span}%`;
  const tracks = exact.out.map((due, i) => {
    const now = h("i", { class: "lko-dot" });
    return { now, node: h("div", { class: "lko-track", "aria-hidden": "true" }, h("span", { class: "lko-axis" }), h("i", { class: "lko-due", style: { left: at(due) } }), now), i };
  });
  const table = h(
    "table",
    { class: "lko-state" },
    h("thead", {}, h("tr", {}, ["", "so far", "two passes"].map((text) => h("th", { scope: "col", text })))),
    h("tbody", {}, row("m", "largest score", two(exact.m)), row("l", "sum of exp(score \u2212 m)", two(exact.l)),
      row("acc / l", "output", exact.out.map(two).join(", "))),
  );
  const say = h("p", { class: "lk-well lko-say", "aria-live": "polite" });
  const bar = transport({
    last: pages.length,
    step: model.get("step"),
    spoken: (step) => `${plural(step, "page")} read`,
    onseek: (step) => {
      model.set("step", step);
      model.save_changes();
      draw();
    },
  });
  const sub = model.get("subtitle");
  root.append(
    h("h3", { text: model.get("title") }),
    sub ? h("p", { class: "lk-sub", text: sub }) : "",
    h("div", { class: "lko-body" }, picture,
      h("div", { class: "lko-beside" }, table, h("div", {}, tracks.map((track) => track.node),
        h("p", { class: "lk-sub lko-legend" }, h("i", { class: "lko-dot" }), "output so far", h("i", { class: "lko-due" }), "two passes")))),
    say,
    bar.root,
    h("div", { class: "lk-row" }, h("span", { class: "lk-sub", text: "Under each bar: the score, then exp(score \u2212 m) with the m of now." }), keyHint()),
  );
  bar.keysFor(root);

  function draw() {
    const step = bar.step();
    const state = states[step];
    drawn.forEach(({ group, weights }, i) => {
      group.setAttribute("class", `${i < step ? "lko-read" : ""} ${i === step - 1 ? "lko-last" : ""}`);
      for (const slot of weights) if (slot) slot.weight.textContent = i < step ? two(Math.exp(slot.score - state.m)) : "";
    });
    for (const node of [line, mark]) node.style.display = step ? "" : "none";
    if (step) {
      const to = x(step - 1) + slots * SLOT;
      line.setAttribute("x2", to);
      line.setAttribute("y1", y(state.m));
      line.setAttribute("y2", y(state.m));
      mark.setAttribute("x", to + 4);
      mark.setAttribute("y", y(state.m) + 4);
      mark.textContent = "m";
    }
    cells.m.textContent = two(state.m);
    cells.l.textContent = two(state.l);
    cells["acc / l"].textContent = state.out ? state.out.map(two).join(", ") : "0 / 0";
    for (const { now, i } of tracks) {
      now.style.display = state.out ? "" : "none";
      if (state.out) now.style.left = at(state.out[i]);
    }
    root.classList.toggle("lko-met", step === pages.length);
    say.textContent = state.say;
    picture.setAttribute("aria-label", `${plural(step, "page")} of ${pages.length} read. ${state.say}`);
  }

  draw();
  const changed = () => {
    if (model.get("step") !== bar.step()) bar.seek(model.get("step"));
  };
  model.on("change:step", changed);
  return () => {
    bar.stop();
    model.off("change:step", changed);
  };
}

export default { render };
