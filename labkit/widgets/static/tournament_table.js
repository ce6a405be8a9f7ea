// The standings of a tournament at one capacity, as a table; a policy's name lights its curve, a click keeps it lit.

function tournamentTable(board) {
  const { root, model, hold } = board;

  return function drawTable(answer, index) {
    const rows = answer.tables[index] || [];
    const roles = new Map(answer.policies.map((policy) => [policy.name, policy]));
    const name = (row) => {
      const node = shield(h("button", { type: "button", class: "lk-tour-name", "data-key": `row-${row.name}`, "aria-pressed": String(board.pinned === row.name), title: "Show this curve alone" }, tbSample(roles.get(row.name)), row.name));
      node.addEventListener("click", () => {
        board.pinned = board.pinned === row.name ? null : row.name;
        board.over = null;
        board.drawLit();
      });
      node.addEventListener("focus", () => board.light(row.name));
      node.addEventListener("blur", () => board.light(null));
      return node;
    };
    const line = (row) =>
      h("tr", { class: roles.get(row.name).role, "data-policy": row.name, on: { pointerenter: () => board.light(row.name), pointerleave: () => board.light(null) } },
        h("th", { scope: "row" }, name(row)), h("td", { text: row.hit_text }), h("td", { text: row.behind_text || "" }), h("td", { text: row.evictions_text }), h("td", { text: row.regret_text }));
    keepFocus(root, () => hold.replaceChildren(
      rows.length || answer.refused.length
        ? h("table", { class: "lk-tour-table" },
            h("caption", { text: index >= 0 ? `At ${plural(answer.capacities[index], "block")}, best first. Distance in percentage points.` : "" }),
            h("thead", {}, h("tr", {}, ["policy", "hit rate", `below ${model.get("bound")}`, "evictions", "regret"].map((text) => h("th", { scope: "col", text })))),
            h("tbody", {}, rows.map(line), answer.refused.map((row) => h("tr", { class: row.name === model.get("mine") ? "mine" : "" }, h("th", { scope: "row" }, h("span", { class: "lk-tour-name", text: row.name })), h("td", { class: "lk-tour-why", colspan: 4 }, h("span", { class: "lk-bad", text: "refused: " }), row.reason)))))
        : [],
    ));
  };
}
