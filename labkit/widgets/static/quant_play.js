// QuantPlay: a head with an outlier to drag, and its other numbers enlarged over the grid of a page. What is kept and read
// for each choice comes from Python; here the grid is drawn.

const QP_WIDE = 940;
const QP_LABELS = { head: "one per head", all: "one for all heads" };

function render({ model, el }) {
  const root = card(el, "quant-play", "Eight numbers of a head in 8 bits");
  const say = liveRegion(root);
  const numbers = model.get("numbers");
  const largests = model.get("largests");
  const minus = (x, digits) => x.toFixed(digits).replace("-", "−").replace(/^−(0\.?0*)$/, "$1");
  const choose = (name, value) => {
    if (model.get(name) === value) return;
    model.set(name, value);
    model.save_changes();
  };
  const at = () => largests.indexOf(model.get("largest"));
  const move = (i) => choose("largest", largests[Math.max(0, Math.min(largests.length - 1, i))]);

  // ---- the choices
  const radios = (name, legend, values, words) => {
    const group = uid("lk-qp");
    const inputs = values.map((value) => h("input", { type: "radio", name: group, value, "data-key": `${name}-${value}`, on: { change: () => choose(name, value) } }));
    inputs.forEach((input) => shield(input));
    return {
      inputs,
      node: h("fieldset", { class: "lkqp-choice" }, h("legend", { class: "lk-sub", text: legend }),
        h("div", { class: "lk-segments" }, inputs.map((input, i) => h("label", { class: "lk-segment" }, input, h("span", { text: words[i] }))))),
    };
  };
  const formats = Object.keys(model.get("levels"));
  const format = radios("format", "Page", formats, formats);
  const scope = radios("scope", "Scale", ["head", "all"], [QP_LABELS.head, QP_LABELS.all]);

  // ---- the whole head
  const far = model.get("neighbour") + 1;
  const whole = (x) => 10 + ((QP_WIDE - 20) * (x + 2)) / (far + 2);
  const ruler = svg("svg", { class: "lkqp-line", viewBox: `0 0 ${QP_WIDE} 62` });
  ruler.append(svg("line", { class: "lkqp-axis", x1: 0, x2: QP_WIDE, y1: 30, y2: 30 }));
  for (const x of [0, 4, 8, 12, 16, 20, 24]) ruler.append(svg("line", { class: "lkqp-mark", x1: whole(x), x2: whole(x), y1: 26, y2: 34 }), svg("text", { class: "lkqp-text", x: whole(x), y: 57, "text-anchor": "middle" }, String(x)));
  for (const x of numbers) ruler.append(svg("circle", { class: "lkqp-dot", cx: whole(x), cy: 30, r: 4 }));
  const reach = svg("line", { class: "lkqp-reach", y1: 12, y2: 40 });
  const reachText = svg("text", { class: "lkqp-text", y: 12, "text-anchor": "end" });
  const handle = svg("g", { class: "lkqp-handle", role: "slider", tabindex: 0, "data-key": "largest", "aria-label": "the eighth number", "aria-valuemin": 0, "aria-valuemax": largests.length - 1 },
    svg("circle", { r: 13, class: "lkqp-grip" }), svg("circle", { r: 7, class: "lkqp-outlier" }));
  ruler.append(reach, reachText, handle);
  keys(handle, {
    ArrowRight: () => move(at() + 1), ArrowUp: () => move(at() + 1), ArrowLeft: () => move(at() - 1),
    ArrowDown: () => move(at() - 1), Home: () => move(0), End: () => move(largests.length - 1),
  });
  shield(handle);
  let held = false;
  handle.addEventListener("pointerdown", (event) => {
    held = true;
    handle.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    event.preventDefault();
  });
  handle.addEventListener("pointermove", (event) => {
    if (!held) return;
    const box = ruler.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * QP_WIDE;
    const distances = largests.map((value) => Math.abs(whole(value) - x));
    move(distances.indexOf(Math.min(...distances)));
  });
  for (const type of ["pointerup", "pointercancel"]) handle.addEventListener(type, () => (held = false));

  // ---- the seven, enlarged
  const near = (x) => 10 + ((QP_WIDE - 20) * (x + 1)) / 2;
  const lens = svg("svg", { class: "lkqp-line", viewBox: `0 0 ${QP_WIDE} 104`, role: "img" });
  const table = h("table", { class: "lkqp-table" });

  root.append(
    h("h3", { text: "Eight numbers of a head in 8 bits" }),
    h("p", { class: "lk-sub", text: `Drag the large dot sideways, or select it and use the arrow keys. Another head goes up to ${model.get("neighbour")}.` }),
    h("div", { class: "lkqp-choices" }, format.node, scope.node),
    h("p", { class: "lk-sub lkqp-head", text: "The head, and how far its scale reaches" }), ruler,
    h("p", { class: "lk-sub lkqp-head lkqp-legend" }, "The seven small ones, enlarged:", h("i", { class: "lkqp-key lkqp-key-dot" }), "the number", h("i", { class: "lkqp-key lkqp-key-read" }), "what is read", h("i", { class: "lkqp-key lkqp-key-tick" }), "what a page can hold"),
    lens, h("div", { class: "lkqp-scroll" }, table),
  );
  const told = h("p", { class: "lk-well lkqp-say" });
  root.append(told);

  function show() {
    const kind = model.get("format");
    const largest = model.get("largest");
    const answer = model.get("answers")[`${kind} ${model.get("scope")} ${largest}`];
    const levels = model.get("levels")[kind];
    for (const input of format.inputs) input.checked = input.value === kind;
    for (const input of scope.inputs) input.checked = input.value === model.get("scope");
    handle.setAttribute("transform", `translate(${whole(largest)} 30)`);
    handle.setAttribute("aria-valuenow", String(at()));
    handle.setAttribute("aria-valuetext", String(largest));
    const top = answer.scale * levels[levels.length - 1];
    reach.setAttribute("x1", whole(top));
    reach.setAttribute("x2", whole(top));
    reachText.setAttribute("x", whole(top) < 200 ? whole(top) + 6 : whole(top) - 6);
    reachText.setAttribute("text-anchor", whole(top) < 200 ? "start" : "end");
    reachText.textContent = `${levels[levels.length - 1]} × ${answer.scale.toFixed(4)} = ${top.toFixed(1)}`;

    const ticks = levels.flatMap((level) => (level ? [level, -level] : [0])).map((level) => level * answer.scale).filter((x) => Math.abs(x) <= 1.0001);
    lens.replaceChildren(
      svg("path", { class: "lkqp-tick", d: ticks.map((x) => `M${near(x).toFixed(1)} 40V62`).join("") }),
      svg("line", { class: "lkqp-axis", x1: 0, x2: QP_WIDE, y1: 51, y2: 51 }),
    );
    numbers.forEach((x, i) => {
      const read = answer.read[i];
      lens.append(
        svg("path", { class: `lkqp-moved ${i === answer.worst ? "lkqp-worst" : ""}`, d: `M${near(x)} 22L${near(read)} 80` }),
        svg("circle", { class: "lkqp-dot", cx: near(x), cy: 22, r: 5 }),
        svg("path", { class: "lkqp-read", d: `M${near(read)} 73l7 7-7 7-7-7z` }),
        svg("text", { class: "lkqp-text", x: near(x), y: 11, "text-anchor": x > 0.9 ? "end" : "middle" }, minus(x, 2)),
      );
    });
    lens.setAttribute("aria-label", answer.say);

    const all = [...numbers, largest];
    const row = (name, cells) => h("tr", {}, h("th", { scope: "row", text: name }), cells.map((text, i) => h("td", { class: i === answer.worst ? "lkqp-bad" : "", text })));
    table.replaceChildren(h("tbody", {},
      row("number", all.map((x) => minus(x, 2))),
      row("kept", answer.kept.map((x) => String(x).replace("-", "−"))),
      row("read", answer.read.map((x) => minus(x, 4))),
      row("off by", all.map((x, i) => Math.abs(answer.read[i] - x).toFixed(4)))));
    told.textContent = answer.say;
    say(answer.say);
  }

  const names = ["change:largest", "change:format", "change:scope"];
  for (const name of names) model.on(name, show);
  show();
  return () => names.forEach((name) => model.off(name, show));
}

export default { render };
