// A sentence whose numbers can be dragged. The arithmetic is done in Python; this shows it.

const TC_WORDS = {
  bytes_per_value: (v) => `${8 * v}-bit`,
  gpus: (v) => (v === 1 ? "1 GPU" : `${v} GPUs`),
  gpu_gib: (v) => `${v} GiB`,
  share: (v) => `${Math.round(v * 100)}%`,
  context: (v) => v.toLocaleString("en-US"),
};
const TC_LABELS = {
  bytes_per_value: "number format of the cache",
  gpus: "number of GPUs that share the model",
  gpu_gib: "memory of one GPU",
  share: "share of the memory that the engine may use",
  context: "tokens per request",
};
const TC_STEP = 14; // pixels of dragging for one step

function render({ model, el }) {
  const root = card(el, "token-cost", "What a token costs: a calculator");
  const say = liveRegion(root);
  const numbers = {};
  const outs = {};
  let lost = ""; // what is said where no kernel heard the choice
  const kernel = kernelOf({ model, el }, (words) => {
    lost = words;
    model.set("choice", { ...model.get("answer").for }); // what the numbers stand for
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
    const values = () => model.get("choices")[name];
    const at = () => values().indexOf(model.get("choice")[name]);
    const move = (index) => choose(name, values()[Math.max(0, Math.min(values().length - 1, index))]);
    const node = h("span", {
      class: "lk-drag", role: "slider", tabindex: 0, "aria-label": TC_LABELS[name], "aria-valuemin": 0, "data-key": name,
      "aria-valuemax": values().length - 1, title: `${TC_LABELS[name]}: drag, or use the arrow keys`,
    });
    keys(node, {
      ArrowRight: () => move(at() + 1), ArrowUp: () => move(at() + 1), ArrowLeft: () => move(at() - 1),
      ArrowDown: () => move(at() - 1), Home: () => move(0), End: () => move(values().length - 1),
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
      if (from) move(from.index + Math.round((event.clientX - from.x) / TC_STEP));
    });
    const stop = () => (from = null);
    node.addEventListener("pointerup", stop);
    node.addEventListener("pointercancel", stop);
    numbers[name] = { node, at };
    return node;
  };
  const out = (name) => (outs[name] = h("b", { class: "lk-out" }));

  const select = shield(h("select", { class: "lk-pick", "aria-label": "model", on: { change: (e) => choose("model", e.target.value) } },
    model.get("choices").model.map((name) => h("option", { value: name, text: name }))));
  const rest = h("span", {},
    " costs ", out("token"), " on each GPU. With ", number("share"), " of the memory to use, the weights take ",
    out("weights"), " and the largest step ", out("peak"), "; ", out("cache"), " are left, ", out("blocks"),
    " blocks of 16 tokens. Of requests of ", number("context"), " tokens, ", out("requests"), " fit at once.");
  const sentence = h("p", { class: "lk-sentence" },
    "One token of ", select, ", with a cache in ", number("bytes_per_value"), " numbers, on ", number("gpus"), " of ", number("gpu_gib"), ",", rest);
  const problem = h("p", { class: "lk-problem lk-bad" });
  const shape = h("p", { class: "lk-sub" });
  const bar = h("div", { class: "lk-bar", role: "img" });
  const legend = h("ul", { class: "lk-parts" });
  root.append(h("h3", { text: "What a token costs" }),
    h("p", { class: "lk-sub", text: "Drag a dotted number sideways, or select it and use the arrow keys." }),
    sentence, shape, problem, h("p", { class: "lk-sub lk-bar-title", text: "Memory of one GPU" }), bar, legend);

  function show() {
    const choice = model.get("choice");
    const answer = model.get("answer");
    select.value = choice.model;
    for (const [name, { node, at }] of Object.entries(numbers)) {
      node.textContent = TC_WORDS[name](choice[name]);
      node.setAttribute("aria-valuenow", String(at()));
      node.setAttribute("aria-valuetext", node.textContent);
    }
    const fresh = Object.keys(choice).every((name) => answer.for[name] === choice[name]);
    root.classList.toggle("lk-waits", !fresh);
    for (const [name, node] of Object.entries(outs)) node.textContent = answer[name] || "–";
    shape.textContent = `${choice.model}: ${answer.shape}.${answer.note ? ` ${answer.note}` : ""}`;
    problem.textContent = lost || answer.problem;
    problem.hidden = !problem.textContent;
    bar.hidden = legend.hidden = !answer.parts.length;
    root.querySelector(".lk-bar-title").hidden = !answer.parts.length;
    bar.replaceChildren();
    legend.replaceChildren();
    for (const part of answer.parts) {
      const piece = h("div", { class: `lk-part lk-part-${part.kind}`, style: { width: `${100 * part.share}%` } });
      if (part.kind === "cache" && part.share > 0) {
        const each = (100 * answer.each_share) / part.share;
        // A seam at the end of each request, unless there are too many; the legend then says so.
        if (!answer.crowd) piece.style.setProperty("--each", `${each}%`);
        else piece.classList.add("lk-part-dense");
      }
      bar.append(piece);
      legend.append(h("li", {}, h("span", { class: `lk-swatch lk-part-${part.kind}`, "aria-hidden": "true" }), h("span", { class: "lk-size", text: part.size }), part.words));
    }
    bar.setAttribute("aria-label", answer.parts.map((part) => `${part.size} ${part.words}`).join(", "));
    if (fresh) say(lost || answer.problem || `${answer.token} per token, ${answer.blocks} blocks, ${answer.requests} requests fit at once`);
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
