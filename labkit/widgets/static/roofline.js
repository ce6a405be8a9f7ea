// Roofline: operations a second over operations per byte, both axes logarithmic. Every sentence and every figure comes
// from Python; here they are placed.

function render({ model, el }) {
  const cards = model.get("cards");
  const points = model.get("points");
  const says = model.get("says");
  const root = card(el, "roofline", model.get("title"));
  const [WIDE, HIGH, LEFT, TOP, BELOW] = [720, 330, 98, 14, 44];
  const log = Math.log10;
  const xs = [...points.map((p) => p.intensity), ...cards.map((c) => c.ridge)];
  const [x0, x1] = [Math.min(...xs) / 3, Math.max(...xs) * 4];
  const top = Math.max(...cards.map((c) => c.peak)) * 1.6;
  const low = Math.min(...cards.map((c) => c.bandwidth)) * Math.min(...points.map((p) => p.intensity)) / 2;
  const x = (v) => LEFT + ((WIDE - LEFT - 12) * (log(v) - log(x0))) / (log(x1) - log(x0));
  const y = (v) => TOP + ((HIGH - TOP - BELOW) * (log(top) - log(v))) / (log(top) - log(low));
  const best = (c, p) => Math.min(c.peak, p.intensity * c.bandwidth);

  const picture = svg("svg", { class: "lkr-picture", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img" });
  for (let e = Math.ceil(log(x0)); 10 ** e <= x1; e++) {
    picture.append(
      svg("line", { class: "lkr-grid", x1: x(10 ** e), x2: x(10 ** e), y1: TOP, y2: HIGH - BELOW }),
      svg("text", { class: "lkr-tick", x: x(10 ** e), y: HIGH - BELOW + 15, "text-anchor": "middle" }, (10 ** e).toLocaleString("en-US")),
    );
  }
  for (let e = Math.ceil(log(low)); 10 ** e <= top; e++) {
    const words = e >= 12 ? `${10 ** (e - 12)} Tflop/s` : `${10 ** (e - 9)} Gflop/s`;
    picture.append(
      svg("line", { class: "lkr-grid", x1: LEFT, x2: WIDE - 12, y1: y(10 ** e), y2: y(10 ** e) }),
      svg("text", { class: "lkr-tick", x: LEFT - 6, y: y(10 ** e) + 4, "text-anchor": "end" }, words),
    );
  }
  picture.append(svg("text", { class: "lkr-axis", x: (LEFT + WIDE) / 2, y: HIGH - 8, "text-anchor": "middle" }, "operations per byte (flop/byte)"));
  const roofs = cards.map((c) => {
    const d = `M${x(x0)} ${y(Math.max(low, x0 * c.bandwidth))} L${x(c.ridge)} ${y(c.peak)} L${x(x1)} ${y(c.peak)}`;
    const node = svg("path", { class: "lkr-roof", d });
    picture.append(node);
    return node;
  });
  const ridge = svg("line", { class: "lkr-ridge" });
  const ridgeText = svg("text", { class: "lkr-tick lkr-ridgetext" });
  const slope = svg("text", { class: "lkr-name", "text-anchor": "end" });
  const flat = svg("text", { class: "lkr-name", "text-anchor": "end" });
  picture.append(ridge, ridgeText, slope, flat);
  const dots = points.map((p, i) => {
    const node = svg("g", { class: `lkr-dot lkr-c${i}`, on: { pointerenter: () => look(i), click: () => pick("point", i) } },
      svg("line", { class: "lkr-drop" }), svg("circle", { r: 10 }), svg("text", { "text-anchor": "middle" }, "ABCDEF"[i]));
    picture.append(node);
    return node;
  });

  const choose = (name, labels, spoken) => {
    const nodes = labels.map((label, i) => button(label, () => pick(name, i), { key: `${name}-${i}` }));
    arrows(nodes, name);
    return { nodes, root: h("div", { class: "lk-row", role: "group", "aria-label": spoken }, nodes) };
  };
  function arrows(nodes, name) {
    nodes.forEach((node, i) => {
      const go = (to) => () => {
        const next = (to + nodes.length) % nodes.length;
        pick(name, next);
        nodes[next].focus();
      };
      keys(node, { ArrowRight: go(i + 1), ArrowDown: go(i + 1), ArrowLeft: go(i - 1), ArrowUp: go(i - 1) });
      if (name === "point") node.addEventListener("focus", () => look(i)), node.addEventListener("pointerenter", () => look(i));
    });
  }
  const cardButtons = choose("card", cards.map((c) => c.name), "Card");
  const pointButtons = choose("point", points.map((p, i) => `${"ABCDEF"[i]}  ${p.name}`), "Kernel");
  const say = h("p", { class: "lk-well lkr-say", "aria-live": "polite" });
  const source = h("span", { class: "lk-sub" });
  const sub = model.get("subtitle");
  root.append(
    h("h3", { text: model.get("title") }),
    sub ? h("p", { class: "lk-sub", text: sub }) : "",
    h("div", { class: "lk-row lkr-choice" }, h("span", { class: "lk-sub", text: "Card" }), cardButtons.root, source),
    picture,
    h("div", { class: "lk-row lkr-choice" }, h("span", { class: "lk-sub", text: "Kernel" }), pointButtons.root),
    say,
    h("p", { class: "lk-sub", text: "At best: a point lies on the roof, where the data sheet ends. Nothing here was measured." }),
  );
  let seen = model.get("point");

  function pick(name, i) {
    model.set(name, i);
    model.save_changes();
    seen = model.get("point");
    draw();
  }
  function look(i) {
    seen = i;
    draw();
  }
  function draw() {
    const [at, chosen] = [model.get("card"), model.get("point")];
    const c = cards[at];
    roofs.forEach((node, i) => node.classList.toggle("lkr-on", i === at));
    for (const [name, value] of [["x1", x(c.ridge)], ["x2", x(c.ridge)], ["y1", y(c.peak)], ["y2", HIGH - BELOW]]) ridge.setAttribute(name, value);
    ridgeText.setAttribute("x", x(c.ridge) + 6);
    ridgeText.setAttribute("y", HIGH - BELOW - 8);
    ridgeText.textContent = `ridge ${c.ridge.toFixed(0)}`;
    flat.setAttribute("x", WIDE - 14);
    flat.setAttribute("y", y(c.peak) + 28);
    flat.textContent = `${(c.peak / 1e12).toFixed(0)} Tflop/s: its arithmetic`;
    slope.setAttribute("x", x(c.ridge / 4) - 8);
    slope.setAttribute("y", y((c.ridge / 4) * c.bandwidth) - 8);
    slope.textContent = `${(c.bandwidth / 1e12).toFixed(2)} TB/s: its memory`;
    dots.forEach((node, i) => {
      const [px, py] = [x(points[i].intensity), y(best(c, points[i]))];
      node.classList.toggle("lkr-seen", i === seen);
      const [drop, circle, text] = node.children;
      for (const [name, value] of [["x1", px], ["x2", px], ["y1", py], ["y2", HIGH - BELOW]]) drop.setAttribute(name, value);
      circle.setAttribute("cx", px);
      circle.setAttribute("cy", py);
      text.setAttribute("x", px);
      text.setAttribute("y", py + 4);
    });
    cardButtons.nodes.forEach((node, i) => node.setAttribute("aria-pressed", String(i === at)));
    pointButtons.nodes.forEach((node, i) => node.setAttribute("aria-pressed", String(i === chosen)));
    source.textContent = c.source;
    say.textContent = says[at][seen];
    picture.setAttribute("aria-label", `Roofline of the ${c.name}. ${says[at].join(" ")}`);
  }

  draw();
  const changed = () => {
    seen = model.get("point");
    draw();
  };
  model.on("change:card", changed);
  model.on("change:point", changed);
  return () => {
    model.off("change:card", changed);
    model.off("change:point", changed);
  };
}

export default { render };
