// What stands around a question: its place among the others, the buttons below it, and what became of the answer.

function quizCard(quiz) {
  const { model, questions, stateOf, submit, send, go, cellLink } = quiz;

  function sub(question, state, at = model.get("at")) {
    const head = model.get("head");
    const total = questions().length;
    const bits = [];
    if (head.mode === "prediction") bits.push("Prediction, before the next cell shows it");
    else if (head.mode === "placement" || head.mode === "final" || !head.lesson) bits.push(head.title);
    else bits.push(`Lesson ${head.lesson}`);
    if (total > 1) bits.push(`question ${at + 1} of ${total}`);
    if (question.from && question.from !== head.lesson && (head.mode === "lesson" || head.mode === "prediction" || state.done)) bits.push(`from lesson ${question.from}`);
    if (!state.done && !model.get("photo")) {
      if (question.options && question.type !== "ordering") bits.push(`keys 1–${Math.min(9, question.options.length)}`);
      if (question.type === "multiple") bits.push("choose all that apply");
      if (question.type === "sentences") bits.push("click sentences, or Tab and Space");
      if (question.type === "ordering") bits.push("put in order with the arrows");
    }
    return bits.join(" · ");
  }

  function steps() {
    const total = questions().length;
    if (total < 2) return null;
    return h("nav", { class: "lkq-steps", "aria-label": "questions" }, questions().map((q, i) => {
      const s = stateOf(q.id);
      const here = i === model.get("at");
      const tone = s.correct ? "right" : s.outcome ? "wrong" : "";
      const words = s.correct ? "right" : s.gave_up ? "shown" : s.done ? "not right" : s.attempts ? "not right yet" : "not answered";
      return shield(h("button", { type: "button", class: `lkq-step ${tone} ${here ? "here" : ""}`, "data-key": `step-${i}`, "aria-current": here ? "step" : null, "aria-label": `Question ${i + 1}, ${words}`, title: `Question ${i + 1}, ${words}`, on: { click: () => go(i) } },
        s.correct ? icon(QUIZ_MARKS.right, { filled: false }) : String(i + 1), s.outcome && !s.correct ? h("span", { class: "lkq-x", "aria-hidden": "true", text: "×" }) : null));
    }));
  }

  function foot(question, state) {
    const total = questions().length, at = model.get("at");
    const nextOpen = questions().findIndex((q, i) => i !== at && !stateOf(q.id).done);
    const left = [];
    if (!state.done) left.push(button(model.get("head").mode === "prediction" ? "Keep my prediction" : state.attempts ? "Check again" : "Check answer", submit, { kind: "primary", key: "submit" }));
    if (!state.done && state.attempts && model.get("head").mode !== "prediction") left.push(button("Show the answer", () => send({ type: "reveal", id: question.id }), { key: "reveal" }));
    if (state.waiting) left.push(button("Compare with what the cell showed", () => send({ type: "compare", id: question.id }), { kind: "primary", key: "compare" }));
    if (total > 1) {
      const forward = at < total - 1;
      if (forward) left.push(button("Next question", () => go(at + 1), { kind: state.done ? "primary" : "", key: "next" }));
      else if (state.done && nextOpen >= 0) left.push(button(`Back to question ${nextOpen + 1}`, () => go(nextOpen), { kind: "primary", key: "next" }));
    }
    const result = model.get("result");
    return h("div", { class: "lkq-foot" }, h("div", { class: "lk-row" }, left), total > 1 ? h("span", { class: "lk-sub", text: result.text && result.done === result.total ? "" : `${result.right} of ${total} right so far` }) : null);
  }

  function outcomeLine(question, state) {
    const out = [];
    const o = state.outcome;
    if (quiz.refusal.id === question.id && quiz.refusal.text) out.push(h("p", { class: "lkq-refused" }, h("span", { "aria-hidden": "true", text: "▲ " }), quiz.refusal.text));
    if (state.note) out.push(h("p", { class: "lk-well lkq-waiting" }, rich(state.note)));
    if (o?.note) out.push(h("p", { class: "lk-sub" }, rich(o.note)));
    if (question.type === "short" && o?.revealed) {
      out.push(h("div", { class: "lk-well" }, h("span", { class: "lk-sub", text: state.gave_up ? "An answer that would do: " : "Another answer that would do: " }), o.key));
    }
    if (o?.revealed && !o.correct && !state.gave_up && ["matching", "ordering"].includes(question.type)) out.push(h("div", { class: "lk-well" }, h("span", { class: "lk-sub", text: "The answer: " }), o.key));
    if (o?.explanation || (o?.cell && o.revealed)) out.push(h("div", { class: "lk-well lkq-explain" }, paragraphs(o.explanation || "", ""), o.cell ? cellLink(o.cell) : null));
    if (state.trouble) out.push(h("p", { class: "lkq-refused" }, h("span", { "aria-hidden": "true", text: "▲ " }), state.trouble));
    return out;
  }

  function announce(question, state) {
    const o = state.outcome;
    if (state.waiting) return state.note;
    if (!o) return "";
    const words = { multiple: ["right", "not this"], sentences: ["right", "not this"], matching: ["matched", "not this"], ordering: ["in place", "not here"], short: ["found", "not found"] }[question.type];
    const mine = o.feedback.filter((f) => f.chosen).map((f) => (words ? `${f.text}, ${words[f.right ? 0 : 1]}: ` : "") + f.say);
    const head = state.gave_up ? `The answer: ${o.key}.` : o.correct ? "Right." : "Not right.";
    return [head, o.note, ...(state.gave_up || (o.correct && ["ordering", "matching"].includes(question.type)) ? [] : mine), o.explanation || ""].filter(Boolean).join(" ").replaceAll("`", "");
  }

  return { sub, steps, foot, outcomeLine, announce };
}
