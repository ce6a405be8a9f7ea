// AddressPicture: a row per program, the blocks of an argument side by side, and what each load and store touched.

const ADDRESS = { cell: 19, gap: 12, left: 74, top: 40, row: 36 };

function render({ model, el }) {
  const [programs, blocks, words, steps] = ["programs", "blocks", "words", "steps"].map((name) => model.get(name));
  const root = card(el, "address-picture", model.get("title"));
  const size = blocks[0].slots.length;
  const [before, after] = [-1, blocks.length].map((at) => steps.some((step) => step.cells.some(([block]) => block === at)));
  const wide = size * ADDRESS.cell + ADDRESS.gap;
  const outsideWide = 66;
  const x = (block) => ADDRESS.left + (before ? outsideWide : 0) + (block < 0 ? -outsideWide : block * wide);
  const y = (program) => ADDRESS.top + program * ADDRESS.row;
  const width = x(blocks.length) + (after ? outsideWide : 0);
  const height = y(programs.length);

  const picture = svg("svg", { class: "lkap-picture", viewBox: `0 0 ${width} ${height}`, style: { "max-width": `${width * 1.25}px` }, "aria-hidden": "true" });
  picture.append(svg("text", { class: "lkap-head", x: 0, y: 14 }, "program"));
  for (const block of blocks) {
    const mine = block.page !== null;
    picture.append(
      svg("text", { class: mine ? "lkap-head" : "lkap-note", x: x(block.id), y: 14 }, `${words.block} ${block.id}`),
      svg("text", { class: "lkap-note", x: x(block.id), y: 28 }, mine ? (words.row > 1 ? `page ${block.page}` : "") : "another\u2019s"),
    );
  }
  for (const [there, at] of [[before, -1], [after, blocks.length]]) {
    if (there) picture.append(svg("text", { class: "lkap-head lkap-bad", x: x(at), y: 14 }, "outside"));
  }

  // One spot for each program and block: its cells, and below them which steps touched it.
  const spots = [];
  programs.forEach((name, program) => {
    picture.append(svg("text", { class: "lkap-program", x: 0, y: y(program) + 14 }, name));
    const columns = [...(before ? [-1] : []), ...blocks.map((block) => block.id), ...(after ? [blocks.length] : [])];
    for (const at of columns) {
      const inside = at >= 0 && at < blocks.length;
      const kinds = inside ? blocks[at].slots : ["outside"];
      const cells = kinds.map((kind, slot) => {
        const left = x(at) + slot * ADDRESS.cell;
        const fill = svg("rect", { class: "lkap-fill", x: left + 1, width: ADDRESS.cell - 3 });
        const cross = svg("path", { class: "lkap-cross", d: `M${left + 5} ${y(program) + 5}l7 7m0 -7l-7 7` });
        const rim = svg("rect", { class: `lkap-rim lkap-${kind}`, x: left + 1, y: y(program) + 1, width: ADDRESS.cell - 3, height: ADDRESS.cell - 3, rx: 2 });
        return { fill, cross, rim, kind };
      });
      const order = svg("text", { class: "lkap-note lkap-order", x: x(at), y: y(program) + ADDRESS.cell + 9 });
      const frame = svg("rect", { class: "lkap-frame", x: x(at) - 2, y: y(program) - 2, width: cells.length * ADDRESS.cell + 3, height: ADDRESS.cell + 3, rx: 3 });
      const catcher = svg("rect", { class: "lkap-catch", x: x(at) - 2, y: y(program) - 4, width: cells.length * ADDRESS.cell + 4, height: ADDRESS.row });
      const spot = { program, at, cells, order, frame };
      catcher.addEventListener("pointerenter", () => point(spot));
      catcher.addEventListener("pointerleave", () => point(null));
      picture.append(svg("g", {}, cells.map((cell) => [cell.fill, cell.rim, cell.cross]), order, frame, catcher));
      spots.push(spot);
    }
  });

  const stage = h("div", { class: "lkap-stage", tabindex: 0, role: "group", "aria-label": "What each program touched; arrow keys go from place to place" }, picture);
  const say = h("p", { class: "lk-well lkap-say", "aria-live": "polite" });
  const tip = h("p", { class: "lk-sub lkap-tip", "aria-live": "polite" });
  const bar = transport({ last: steps.length, step: model.get("photo") ? steps.length : model.get("step"), spoken: (step) => `${plural(step, "access", "accesses")} drawn`, onseek: (step) => {
    model.set("step", step);
    model.save_changes();
    draw();
  } });
  const token = words.slot === "slot" ? "token" : words.slot;
  const key = (kind, text) => h("span", { class: "lkap-key" }, h("i", { class: `lkap-swatch lkap-${kind}` }), text);
  root.append(
    h("h3", { text: model.get("title") }),
    h("p", { class: "lk-sub", text: model.get("subtitle") }),
    stage,
    h("p", { class: "lk-sub lkap-legend" }, key("touched", "touched"), key("token", `a ${token}, not touched`),
      blocks.some((block) => block.slots.includes("empty")) ? key("empty", `no ${token}`) : "", blocks.some((block) => block.page === null) ? key("other", "another\u2019s") : "", key("wrong", "not the request\u2019s")),
    say,
    tip,
    bar.root,
    h("div", { class: "lk-row" }, h("span", { class: "lk-sub", text: "Below the cells: in which steps they were touched." }), keyHint("place")),
  );

  // ---- pointing and walking
  let pointed = null;
  let walking = false;
  const resting = "Point at cells to see which program asked for which numbers.";
  function point(spot) {
    if (pointed) pointed.frame.classList.remove("lkap-pointed");
    pointed = spot;
    if (spot) spot.frame.classList.add("lkap-pointed");
    tip.textContent = spot ? told(spot) : resting;
  }
  function told(spot) {
    const inside = spot.at >= 0 && spot.at < blocks.length;
    const who = `Program ${programs[spot.program]}, ${inside ? `${words.block} ${spot.at}` : "outside"}`;
    const page = inside && blocks[spot.at].page !== null && words.row > 1 ? `, page ${blocks[spot.at].page}` : "";
    const mine = touching(spot).map((n) => `${steps[n].told} in step ${n + 1}`);
    return `${who}${page}: ${mine.length ? mine.slice(0, 3).join("; ") : "not touched"}${mine.length > 3 ? ` and ${mine.length - 3} more` : ""}.`;
  }
  function touching(spot) {
    const until = bar.step();
    return steps.flatMap((step, n) => (n < until && step.program === spot.program && step.cells.some(([block]) => block === spot.at) ? [n] : []));
  }
  function walk(on) {
    walking = on;
    root.classList.toggle("lk-walks", on);
    if (!on) point(null);
  }
  const columns = spots.length / programs.length;
  const to = (move) => () => {
    if (!walking) return false;
    const at = pointed ? spots.indexOf(pointed) : -1;
    point(spots[Math.max(0, Math.min(spots.length - 1, at < 0 ? 0 : move(at)))]);
    return true;
  };
  keys(stage, {
    ArrowLeft: to((at) => at - 1), ArrowRight: to((at) => at + 1), ArrowUp: to((at) => (at < columns ? at : at - columns)),
    ArrowDown: to((at) => (at + columns < spots.length ? at + columns : at)), Home: to(() => 0), End: to(() => spots.length - 1),
    Escape: () => (walking ? (walk(false), bar.root.querySelector("input").focus(), true) : false),
  });
  let pressed = false;
  stage.addEventListener("pointerdown", () => {
    pressed = true;
    setTimeout(() => (pressed = false), 0);
  });
  stage.addEventListener("focus", () => {
    if (pressed) return;
    walk(true);
    point(spots[0]);
  });
  stage.addEventListener("blur", () => walk(false));
  bar.keysFor(root);

  function draw() {
    const until = bar.step();
    const last = until ? steps[until - 1] : null;
    for (const spot of spots) {
      const mine = touching(spot);
      const numbers = new Map();
      for (const n of mine) {
        for (const [block, slot, first, end] of steps[n].cells) {
          const [low, high] = numbers.get(slot) || [first, end];
          if (block === spot.at) numbers.set(slot, [Math.min(low, first), Math.max(high, end)]);
        }
      }
      spot.cells.forEach(({ fill, cross, rim, kind }, slot) => {
        const [first, end] = numbers.get(slot) || [0, 0];
        const wrong = end > 0 && kind !== "token";
        const inner = ADDRESS.cell - 3;
        fill.setAttribute("y", y(spot.program) + 1 + (wrong ? 0 : (inner * first) / words.row));
        fill.setAttribute("height", wrong ? inner : (inner * (end - first)) / words.row);
        fill.classList.toggle("lkap-wrong", wrong);
        cross.style.display = wrong ? "" : "none";
        rim.style.display = kind === "outside" && !end ? "none" : "";
      });
      const now = last && last.program === spot.program && last.cells.some(([block]) => block === spot.at);
      spot.frame.classList.toggle("lkap-now", Boolean(now));
      spot.order.textContent = mine.length > 3 ? `${mine[0] + 1} \u2026 ${mine[mine.length - 1] + 1}` : mine.map((n) => n + 1).join(" ");
    }
    say.textContent = last ? last.say : "Nothing has run yet.";
    say.classList.toggle("lkap-bad", Boolean(last && last.wrong));
    point(pointed);
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
