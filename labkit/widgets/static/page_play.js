// PagePlay: the page table's board, with buttons that ask the kernel for one operation each.

const PP_KEYS = { admit: "n", grow: "g", end: "e", end_twice: "t", restart: "0" };

function render({ model, el }) {
  const root = card(el, "page-play", model.get("title"));
  const say = liveRegion(root);
  const who = h("div", { class: "lk-pp-who", role: "group", "aria-label": "The request that the buttons are about" });
  const press = (operation) => button(null, () => ask(operation), { key: operation, shielded: false });
  const buttons = Object.fromEntries(Object.keys(PP_KEYS).map((operation) => [operation, press(operation)]));
  const said = h("p", { class: "lk-pp-said" });
  const tally = h("span", { class: "lk-mono" });
  const controls = h("div", { class: "lk-pp" },
    h("div", { class: "lk-row" }, buttons.admit, who, buttons.grow, buttons.end, buttons.end_twice),
    said,
    h("div", { class: "lk-row" }, buttons.restart, h("span", { class: "lk-sub" }, tally), h("span", { class: "lk-grow" }), h("span", { class: "lk-sub", text: model.get("whose") })));
  let chosen = "";
  let lost = "";
  let waits = false;
  let board = null;
  let place = null;

  const kernel = kernelOf({ model, el }, (sentence) => {
    waits = false;
    lost = sentence;
    update();
  });

  function build() {
    place?.remove();
    place = h("div");
    root.prepend(place);
    board = pageBoard(place, {
      title: model.get("title"),
      subtitle: model.get("subtitle"),
      numBlocks: model.get("num_blocks"),
      blockSize: model.get("block_size"),
      bytes: bytesOf(model.get("records")),
      step: null,
      names: model.get("names"),
      slots: model.get("slots"),
      labels: model.get("labels"),
    });
    place.querySelector(".lk-board").before(controls);
    keys(place, playKeys);
  }

  function ask(operation) {
    if (waits || (operation !== "admit" && operation !== "restart" && !chosen)) return;
    waits = true;
    lost = "";
    board.bar.seek(board.bar.last()); // whoever has stepped back plays on from the end
    kernel.ask(() => model.send({ type: "do", operation, name: chosen }));
    update();
  }
  function choose(name) {
    chosen = name;
    update();
  }
  const nth = (at) => () => {
    const row = model.get("rows")[at];
    return row ? choose(row.name) : false;
  };
  const playKeys = Object.fromEntries(Object.entries(PP_KEYS).map(([operation, key]) => [key, () => ask(operation)]));
  for (let at = 0; at < 9; at++) playKeys[String(at + 1)] = nth(at);

  function label(operation, ...words) {
    buttons[operation].replaceChildren(h("kbd", { text: PP_KEYS[operation], "aria-hidden": "true" }), ...words);
  }
  const code = (text) => h("code", { class: "lk-inline", text });

  function update() {
    const rows = model.get("rows");
    const calls = model.get("calls");
    const next = model.get("waits");
    if (!rows.some((row) => row.name === chosen)) chosen = rows.length ? rows[rows.length - 1].name : "";
    label("admit", `let ${next.name} in (${next.tokens})`, code(calls.admit));
    label("grow", chosen ? `grow ${chosen}` : "grow", code(calls.grow));
    label("end", chosen ? `end ${chosen}` : "end", code(calls.end));
    label("end_twice", chosen ? `cancel ${chosen} twice` : "cancel twice");
    label("restart", "start over");
    for (const operation of ["grow", "end", "end_twice"]) buttons[operation].setAttribute("aria-disabled", String(!chosen));
    keepFocus(who, () => who.replaceChildren(...rows.map((row) => {
      const pick = button(row.name, () => choose(row.name), { key: `who-${row.name}`, aria: `request ${row.name}, ${row.holds}`, shielded: false });
      pick.classList.add("lk-pp-one");
      pick.style.setProperty("--seq", `var(--lk-s${row.slot})`);
      pick.setAttribute("aria-pressed", String(row.name === chosen));
      return pick;
    })));
    const { text, look } = model.get("said");
    said.textContent = lost || text || "";
    said.classList.toggle("lk-bad", look === "bad" && !lost);
    said.classList.toggle("lk-warn", Boolean(lost));
    tally.textContent = model.get("tally");
    root.dataset.done = model.get("done");
    root.setAttribute("aria-busy", String(waits));
  }

  const moved = () => {
    waits = false;
    lost = "";
    const bytes = bytesOf(model.get("records"));
    const have = board.count() * RECORD_BYTES;
    const labels = model.get("labels");
    if (bytes.byteLength < have || labels.length < board.labels().length) build();
    else board.push(bytes.subarray(have), { names: model.get("names"), slots: model.get("slots"), labels });
    update();
    say(model.get("said").text || board.labels().at(-1) || "");
  };

  model.on("change:done", moved);
  build();
  update();
  return () => {
    model.off("change:done", moved);
    kernel.close();
    board.destroy();
  };
}

export default { render };
