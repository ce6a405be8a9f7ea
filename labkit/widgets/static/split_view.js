// The programs of one launch over the multiprocessors of a card, in waves. The counts are made in Python; this draws them.

const SV_LABELS = {
  seqs: "sequences", kv_heads: "KV heads", tokens: "tokens of each sequence", splits: "ranges of each context",
};
const SV_STEP = 14; // pixels of dragging for one step
const [SV_WIDE, SV_HIGH] = [1000, 190];

function render({ model, el }) {
  const root = card(el, "split-view", "Programs over multiprocessors");
  const say = liveRegion(root);
  const numbers = {};
  const outs = {};
  let lost = ""; // what is said where no kernel heard the choice
  const kernel = kernelOf({ model, el }, (words) => {
    lost = words;
    model.set("choice", { ...model.get("answer").for }); // what the picture stands for
    show();
  });

  const choose = (name, value) => {
    const choice = { ...model.get("choice") };
    if (choice[name] === value) return;
    choice[name] = value;
    model.set("choice", choice);
    lost = "";
    kernel.ask(() => model.save_changes());
    show();
  };

  const number = (name) => {
    const values = model.get("choices")[name];
    const at = () => values.indexOf(model.get("choice")[name]);
    const move = (index) => choose(name, values[Math.max(0, Math.min(values.length - 1, index))]);
    const node = h("span", {
      class: "lk-drag", role: "slider", tabindex: 0, "aria-label": SV_LABELS[name], "aria-valuemin": 0, "data-key": name,
      "aria-valuemax": values.length - 1, title: `${SV_LABELS[name]}: drag, or use the arrow keys`,
    });
    keys(node, {
      ArrowRight: () => move(at() + 1), ArrowUp: () => move(at() + 1), ArrowLeft: () => move(at() - 1),
      ArrowDown: () => move(at() - 1), Home: () => move(0), End: () => move(values.length - 1),
    });
    shield(node);
    let from = null;
    node.addEventListener("pointerdown", (event) => {
      from = { x: event.clientX, index: at() };
      node.setPointerCapture(event.pointerId);
      node.focus({ preventScroll: true });
      event.preventDefault();
    });
    node.addEventListener("pointermove", (event) => {
      if (from) move(from.index + Math.round((event.clientX - from.x) / SV_STEP));
    });
    for (const type of ["pointerup", "pointercancel"]) node.addEventListener(type, () => (from = null));
    numbers[name] = { node, at };
    return node;
  };
  const out = (name) => (outs[name] = h("b", { class: "lk-out" }));
  const select = shield(h("select", { class: "lk-pick", "aria-label": "card", on: { change: (e) => choose("card", e.target.value) } },
    model.get("choices").card.map((name) => h("option", { value: name, text: name }))));
  const [chip, seqs, heads, ranges] = ["", "", "", ""].map(() => h("span"));

  const picture = svg("svg", { class: "lk-waves", viewBox: `0 0 ${SV_WIDE} ${SV_HIGH}`, preserveAspectRatio: "none", role: "img" });
  const compare = h("p", { class: "lk-sub" });
  const problem = h("p", { class: "lk-problem lk-bad" });
  root.append(
    h("h3", { text: "Who reads, and who stands idle" }),
    h("p", { class: "lk-sub", text: "Drag a dotted number sideways, or select it and use the arrow keys." }),
    h("p", { class: "lk-sentence" }, number("seqs"), seqs, number("tokens"), " tokens, ", number("kv_heads"), heads, select, chip,
      number("splits"), ranges, out("count"), " in ", out("rounds"), ". The busiest multiprocessor reads ", out("row"),
      " pages one after another; ", out("idle"), " of the chip’s time is idle. States to merge: ", out("states"), "."),
    problem, picture,
    h("p", { class: "lk-sub lk-axis" }, h("span", { text: "a column: one multiprocessor" }),
      h("span", { class: "lk-key" }, h("i", { class: "lk-swatch lk-busy", "aria-hidden": "true" }), "a program, as high as its pages",
        h("i", { class: "lk-swatch lk-idle", "aria-hidden": "true" }), "idle until the last one ends"),
      h("span", { text: "full height: each context in one range" })),
    compare,
  );

  /** Boxes of `columns` columns from wave `wave` on, as one path. */
  function boxes(columns, wave, width, height, gap, seam) {
    const parts = [];
    for (let i = 0; i < columns; i++) parts.push(`M${i * width + gap / 2} ${wave * height + seam / 2}h${width - gap}v${height - seam}h${gap - width}z`);
    return parts.join("");
  }

  function draw(answer) {
    const { multiprocessors, programs, waves, longest, scale } = answer;
    const width = SV_WIDE / multiprocessors;
    const each = (SV_HIGH * longest) / scale;
    const seam = each > 4 ? 1.5 : 0; // seams closer than this would be a grey blur
    const last = programs - (waves - 1) * multiprocessors;
    const nodes = [svg("path", { class: "lk-idle", d: boxes(multiprocessors, 0, width, Math.min(SV_HIGH, each * waves), 1.5, 0) })];
    if (seam) for (let w = 0; w < waves; w++) nodes.push(svg("path", { class: "lk-busy", d: boxes(w === waves - 1 ? last : multiprocessors, w, width, each, 1.5, seam) }));
    else {
      if (waves > 1) nodes.push(svg("path", { class: "lk-busy", d: boxes(multiprocessors, 0, width, each * (waves - 1), 1.5, 0) }));
      nodes.push(svg("path", { class: "lk-busy", d: boxes(last, waves - 1, width, each, 1.5, 0) }));
    }
    picture.replaceChildren(...nodes);
  }

  function show() {
    const choice = model.get("choice");
    const answer = model.get("answer");
    select.value = choice.card;
    for (const [name, { node, at }] of Object.entries(numbers)) {
      node.textContent = choice[name].toLocaleString("en-US");
      node.setAttribute("aria-valuenow", String(at()));
      node.setAttribute("aria-valuetext", node.textContent);
    }
    seqs.textContent = choice.seqs === 1 ? " sequence of " : " sequences of ";
    heads.textContent = choice.kv_heads === 1 ? " KV head, on the " : " KV heads, on the ";
    ranges.textContent = choice.splits === 1 ? " range: " : " ranges: ";
    const fresh = Object.keys(choice).every((name) => answer.for[name] === choice[name]);
    root.classList.toggle("lk-waits", !fresh);
    chip.textContent = ` with its ${answer.multiprocessors} multiprocessors, each context in `;
    for (const [name, node] of Object.entries(outs)) node.textContent = answer[name];
    compare.textContent = answer.compare;
    problem.textContent = lost;
    problem.hidden = !lost;
    draw(answer);
    picture.setAttribute("aria-label", answer.say);
    if (fresh) say(lost || answer.say);
  }

  model.on("change:answer", show);
  model.on("change:choice", show);
  show();
  return () => {
    model.off("change:answer", show);
    model.off("change:choice", show);
    kernel.close();
  };
}

export default { render };
