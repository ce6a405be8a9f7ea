// ProgressOverview: lessons with what is passed, the questions answered, the hints opened, and what comes next.

function render({ model, el }) {
  const root = card(el, "progress", "Progress");
  function draw() {
    const data = model.get("data");
    root.replaceChildren(
      h("h3", { text: data.title }),
      h("p", { class: "lk-sub", text: data.headline }),
      data.rows.length ? table(data) : h("p", { class: "lk-sub", text: "There are no lessons to show." }),
      data.next ? h("p", { class: "lk-report-next" }, h("span", { class: "lk-report-next-word", text: "Next" }), " ", data.next) : "",
      data.note ? h("p", { class: "lk-sub", text: data.note }) : "",
    );
  }

  function table(data) {
    return h(
      "div",
      { class: "lk-progress-hold" },
      h(
        "table",
        { class: "lk-progress-table" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Lesson" }), h("th", { scope: "col", text: "Exercises" }), h("th", { scope: "col", class: "lk-num", text: "Questions" }), h("th", { scope: "col", class: "lk-num", text: "Hints" }))),
        h("tbody", {}, data.rows.map((row) => line(row, data.rows.length === 1))),
      ),
    );
  }

  function line(row, wide) {
    const marks = row.exercises.map((e) => {
      const state = e.passed ? "passed" : e.attempts ? "tried" : "open";
      const mark = { passed: "✓", tried: "–", open: "" }[state];
      const words = `${e.title || e.id}: ${e.passed ? "passed" : e.attempts ? `${plural(e.attempts, "attempt")}, not passed yet` : "open"}${e.stretch ? ", stretch" : ""}`;
      const box = h("span", { class: `lk-mark lk-mark-${state} ${e.stretch ? "lk-mark-stretch" : ""}`, role: "img", "aria-label": words, title: words, text: mark });
      return wide ? h("span", { class: "lk-mark-named" }, box, h("code", { text: e.id }), h("span", { class: "lk-sub", text: e.stretch ? "stretch" : `${e.minutes} min` })) : box;
    });
    const { answered, correct, total } = row.questions;
    const asked = total ? `${correct} / ${total}` : answered ? `${correct} / ${answered}` : "–";
    return h(
      "tr",
      { class: row.next ? "lk-progress-now" : "" },
      h("th", { scope: "row" }, h("span", { class: "lk-mono lk-sub", text: `${row.number}  ` }), row.title, row.next ? h("span", { class: "lk-hidden", text: " (next)" }) : null),
      h("td", {}, h("div", { class: "lk-marks" }, marks.length ? marks : h("span", { class: "lk-sub", text: "none" }))),
      h("td", { class: "lk-num lk-mono", text: asked }),
      h("td", { class: "lk-num lk-mono", text: row.hints ? String(row.hints) : "–" }),
    );
  }
  const redraw = () => keepFocus(root, draw);
  draw();
  model.on("change:data", redraw);
  return () => model.off("change:data", redraw);
}

export default { render };
