// The answer forms of a quiz, one a type of question: each shows the draft and what was said to the last answer.

function quizForms(quiz) {
  const { body, say, draft, drafts, draw, saidTo, feedback } = quiz;
  const picture = quizPicture(quiz);

  function options(question, state) {
    const several = question.type === "multiple";
    const name = uid("lkq");
    const value = draft(question);
    return question.options.map((option, i) => {
      const chosen = several ? value.includes(option.id) : value === option.id;
      const said = saidTo(state, option.id);
      const id = uid("lkq-o");
      const fbId = said ? `${id}-f` : null;
      const tone = said ? (said.right ? "right" : said.chosen ? "wrong" : "") : "";
      const input = h("input", {
        type: several ? "checkbox" : "radio", name, id, value: option.id, "data-key": `${question.id}-${option.id}`, "aria-describedby": fbId,
        "data-chosen": chosen, on: { change: () => {
          if (several) drafts[question.id] = input.checked ? [...value.filter((v) => v !== option.id), option.id] : value.filter((v) => v !== option.id);
          else drafts[question.id] = option.id;
          quiz.refusal = { id: "", text: "" };
          draw();
        } } });
      input.checked = chosen;
      input.disabled = state.done;
      const word = said ? (said.right ? (said.chosen ? "Right" : several ? "Right, not chosen" : "The right answer") : said.chosen ? "Not this" : "") : "";
      const box = h("label", { class: `lkq-opt ${chosen ? "chosen" : ""} ${tone}`, for: id },
        input, h("span", { class: "lkq-text" }, h("span", {}, rich(option.text)), fbId ? h("span", { id: fbId, class: "lkq-said" }, feedback(said)) : null),
        word ? quizVerdict(said.right, word) : h("span", { class: "lkq-key", "aria-hidden": "true", text: state.done || i > 8 ? "" : String(i + 1) }));
      return box;
    });
  }

  /** A text whose sentences are chosen where they stand; what is said to them stands below it, by their numbers. */
  function sentences(question, state) {
    const value = draft(question);
    const told = [];
    const text = question.options.flatMap((option, i) => {
      const chosen = value.includes(option.id);
      const said = chosen || state.done ? saidTo(state, option.id) : null;
      const tone = !said ? "" : said.right ? "right" : said.chosen ? "wrong" : "";
      const id = uid("lkq-s");
      const input = h("input", { type: "checkbox", class: "lkq-hidden", value: option.id, "data-key": `${question.id}-${option.id}`, "data-chosen": chosen || (i === 0 && !value.length), "aria-describedby": said ? id : null, on: { change: () => {
        drafts[question.id] = input.checked ? [...value.filter((v) => v !== option.id), option.id] : value.filter((v) => v !== option.id);
        quiz.refusal = { id: "", text: "" };
        draw();
      } } });
      input.checked = chosen;
      input.disabled = state.done;
      if (said) {
        const words = said.right ? (said.chosen ? "Right" : "Right, not chosen") : said.chosen ? "Not this" : "";
        told.push(h("li", { class: `lkq-note ${tone}` }, h("span", { class: "lkq-place lk-mono", "aria-hidden": "true", text: String(i + 1) }), h("span", { id, class: "lkq-text" }, feedback(said)), words ? quizVerdict(said.right, words) : null));
      }
      return [h("label", { class: `lkq-sentence ${chosen ? "chosen" : ""} ${tone}` }, input, h("span", {}, rich(option.text)), h("sup", { class: "lk-mono", "aria-hidden": "true", text: String(i + 1) })), " "];
    });
    return [h("p", { class: "lk-well lkq-draft" }, text), told.length ? h("ol", { class: "lkq-points", "aria-label": "what is said to the sentences" }, told) : null];
  }

  function field(question, state) {
    const long = question.type === "short";
    const label = uid("lkq-l");
    const rows = long ? 3 : Math.max(1, (question.code.match(/print\(/g) || []).length);
    const node = h(long || rows > 1 ? "textarea" : "input", {
      class: `lkq-field ${long ? "" : "lk-mono"}`, "data-key": `${question.id}-field`, "aria-labelledby": label, "data-chosen": true, rows: long || rows > 1 ? rows : null,
      type: long || rows > 1 ? null : "text", inputmode: question.type === "numeric" ? "decimal" : null, autocomplete: "off", spellcheck: long ? "true" : "false",
      on: { input: () => { drafts[question.id] = node.value; } } });
    node.value = draft(question);
    node.disabled = state.done;
    const text = question.type === "numeric" ? `Your number${question.unit ? `, in ${question.unit}` : ""}${question.within ? ` (${question.within} off still counts)` : ""}` : question.type === "predict" ? "The code shows" : "Your answer";
    const mine = (state.outcome?.feedback || []).filter((f) => question.type !== "short" && f.chosen);
    const others = (state.outcome?.feedback || []).filter((f) => question.type !== "short" && !f.chosen);
    return [
      h("div", { class: `lkq-line ${long ? "long" : ""}` }, h("span", { id: label, class: "lk-sub", text }), h("span", { class: "lkq-with" }, node, question.unit ? h("span", { class: "lk-sub", text: question.unit }) : null)),
      mine.map((f) => h("div", { class: `lkq-note ${f.right ? "right" : "wrong"}` }, h("span", { class: "lkq-text" }, h("b", {}, h("span", { class: "lk-mono", text: f.text })), feedback(f)), quizVerdict(f.right, f.right ? "Right" : "Not this"))),
      others.filter((f) => f.right).map(other),
      folded(others.filter((f) => !f.right)),
      long ? points(state) : null,
    ];
  }

  function other(f) {
    return h("div", { class: `lkq-note ${f.right ? "right" : ""}` }, h("span", { class: "lkq-text" }, h("b", {}, h("span", { class: "lk-mono", text: f.text })), feedback(f)), f.right ? quizVerdict(true, "The right answer") : null);
  }

  /** What other answers come from: for whoever wants to know, and below the one that was given. */
  function folded(others) {
    if (!others.length) return null;
    const { button: node, body: box } = disclosure(others.length === 1 ? "Another answer, and what leads to it" : `${others.length} other answers, and what leads to each`, others.map(other));
    return h("div", { class: "lkq-others" }, node, box);
  }

  function points(state) {
    if (!state.outcome) return null;
    return h("ul", { class: "lkq-points" }, state.outcome.feedback.map((f) => h("li", { class: `lkq-note ${f.right ? "right" : ""}` },
      h("span", { class: "lkq-text" }, h("b", {}, rich(f.text)), f.given ? h("span", { class: "lk-sub", text: ` by “${f.given}”` }) : null, feedback(f)),
      state.gave_up ? null : f.right ? quizVerdict(true, "Found") : h("span", { class: "lkq-verdict lk-sub", text: "– Not found" }))));
  }

  function ordering(question, state) {
    const order = state.done && state.gave_up ? state.outcome.feedback.map((f) => f.id) : draft(question);
    const texts = Object.fromEntries(question.options.map((o) => [o.id, o.text]));
    const unmoved = state.answer !== null && JSON.stringify(state.answer) === JSON.stringify(order);
    function move(index, by, key) {
      const to = index + by;
      if (state.done || to < 0 || to >= order.length) return;
      const next = [...order];
      [next[index], next[to]] = [next[to], next[index]];
      drafts[question.id] = next;
      draw();
      const again = body.querySelector(`[data-key="${CSS.escape(key)}"]`);
      (again && !again.disabled ? again : body.querySelector(`[data-key="${CSS.escape(key.replace(/-(up|down)$/, by < 0 ? "-down" : "-up"))}"]`))?.focus();
      say(`${texts[order[index]].replaceAll("`", "")}: now ${to + 1} of ${order.length}.`);
    }
    return h("ol", { class: "lkq-order" }, order.map((id, i) => {
      const said = unmoved || state.gave_up ? saidTo(state, id) : null;
      const show = said && (said.chosen || state.done);
      const up = `${question.id}-${id}-up`, down = `${question.id}-${id}-down`;
      const buttons = state.done ? null : h("span", { class: "lkq-moves" },
        button("", () => move(i, -1, up), { kind: "quiet", key: up, aria: `Move up: ${texts[id].replaceAll("`", "")}`, icon: icon(QUIZ_MARKS.up, { filled: false }), disabled: i === 0 }),
        button("", () => move(i, 1, down), { kind: "quiet", key: down, aria: `Move down: ${texts[id].replaceAll("`", "")}`, icon: icon(QUIZ_MARKS.down, { filled: false }), disabled: i === order.length - 1 }));
      const row = h("li", { class: `lkq-opt ${show ? (said.right ? "right" : "wrong") : ""}` }, h("span", { class: "lkq-place lk-mono", text: String(i + 1) }), h("span", { class: "lkq-text" }, h("span", {}, rich(texts[id])), show && (state.done || !said.right) ? feedback(said) : null),
        show ? quizVerdict(said.right, said.right ? "In place" : "Not here") : null, buttons);
      keys(row, { ArrowUp: () => move(i, -1, up), ArrowDown: () => move(i, 1, down) });
      return row;
    }));
  }

  function matching(question, state) {
    const value = draft(question);
    // No redraw: whoever types the beginning of an option would lose what was typed so far.
    function choose(select, left) {
      drafts[question.id] = { ...draft(question), [left]: select.value };
      quiz.refusal = { id: "", text: "" };
      const row = select.closest(".lkq-opt");
      row.classList.remove("right", "wrong");
      row.querySelector(".lkq-text").replaceChildren();
      row.querySelector(".lkq-verdict")?.remove();
      body.querySelector(".lkq-out .lkq-refused")?.remove();
    }
    return h("div", { class: "lkq-pairs" }, question.lefts.map((left) => {
      const id = uid("lkq-m");
      const said = saidTo(state, left.id);
      const same = state.answer && state.answer[left.id] === value[left.id];
      const show = said && (same || state.gave_up);
      const select = h("select", { id, class: "lkq-field", "data-key": `${question.id}-${left.id}`, on: { change: () => choose(select, left.id) } },
        h("option", { value: "", text: "choose" }), question.sides.map((s) => h("option", { value: s.id, text: s.text.replaceAll("`", "").replaceAll("**", "") })));
      select.value = value[left.id] || "";
      select.disabled = state.done;
      const tone = show && !state.gave_up ? (said.right ? "right" : "wrong") : "";
      return h("div", { class: `lkq-opt ${tone}` }, h("label", { class: "lkq-left", for: id }, rich(left.text)), select,
        h("span", { class: "lkq-text" }, state.gave_up && said ? h("b", {}, rich(said.given)) : null, show ? feedback(said) : null), show && !state.gave_up ? quizVerdict(said.right, said.right ? "Matched" : "Not this") : null);
    }));
  }

  return function form(question, state) {
    if (question.type === "sentences") return sentences(question, state);
    if (question.type === "ordering") return ordering(question, state);
    if (question.type === "matching") return matching(question, state);
    if (question.type === "click") return picture(question, state);
    return question.options ? options(question, state) : field(question, state);
  };
}
