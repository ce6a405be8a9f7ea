// KernelReport: a table with a column for each kernel, bars behind what has an end, and the limits it is held to.

function render({ model, el }) {
  const kernels = model.get("kernels");
  const arch = model.get("arch");
  const limits = model.get("limits");
  const root = card(el, "kernel-report", model.get("title"));
  const number = (n) => n.toLocaleString("en-US");
  const most = Math.max(1, ...kernels.flatMap((k) => k.loads.map(([, n]) => n)));
  const bar = (share, bad = false) =>
    h("span", { class: `lkk-bar ${bad ? "lkk-over" : ""}`, "aria-hidden": "true" }, h("i", { style: { width: `${Math.min(100, 100 * share)}%` } }));
  const row = (name, cell) => h("tr", {}, h("th", { scope: "row", text: name }), kernels.map((k) => h("td", {}, cell(k))));
  const loads = (k) =>
    k.loads.length
      ? k.loads.map(([bits, n]) => h("div", { class: "lkk-load" }, h("span", { class: bits < 32 ? "lk-bad" : "", text: `${bits} bits` }), bar(n / most, bits < 32), h("span", { text: `${n}` })))
      : `widest: ${k.widest} bits`;
  const own = limits.find((row) => row[0] === arch) || limits[0];

  const table = h(
    "table",
    { class: "lkk-table" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), kernels.map((k) => h("th", { scope: "col", text: k.label })))),
    h(
      "tbody",
      {},
      row("registers of a thread, of 255", (k) => [h("b", { class: k.registers > 254 ? "lk-bad" : "", text: number(k.registers) }), bar(k.registers / 255, k.registers > 254)]),
      row("spilled to memory", (k) => (k.spill_bytes ? h("b", { class: "lk-bad", text: `\u26a0 ${number(k.spill_bytes)} bytes of a thread` }) : "nothing")),
      row("loads from memory, by width", loads),
      row(`shared memory of a program, of ${own[2]} KiB`, (k) => [h("b", { text: `${(k.shared_bytes / 1024).toFixed(1)} KiB` }), bar(k.shared_bytes / 1024 / own[2])]),
      row("programs on a multiprocessor", (k) => [h("b", { text: number(k.programs) }), `, bound by ${k.bound}`]),
      row(`occupancy: warps, of ${own[3]}`, (k) => [h("b", { text: `${k.programs * k.warps} (${Math.round(100 * k.share)}%)` }), bar(k.share)]),
    ),
  );
  const held = h(
    "table",
    { class: "lkk-table lkk-limits" },
    h("thead", {}, h("tr", {}, ["one multiprocessor", "registers", "shared memory", "warps", "programs"].map((text) => h("th", { scope: "col", text })))),
    h("tbody", {}, limits.map((r) => h("tr", { class: r[0] === arch ? "lkk-own" : "" }, h("th", { scope: "row", text: r[0] }), [number(r[1]), `${r[2]} KiB`, r[3], r[4]].map((text) => h("td", { text }))))),
  );
  const fold = disclosure("The limits of each architecture", [held, h("p", { class: "lk-sub", text: `${model.get("source")}. A program costs 1 KiB of shared memory more than it asks for.` })], { key: "limits" });
  root.append(
    h("h3", { text: model.get("title") }),
    h("p", { class: "lk-sub", text: model.get("origin") }),
    table,
    h("p", { class: "lk-well lkk-say", text: model.get("say") }),
    fold.button,
    fold.body,
  );
}

export default { render };
