// The quiz card. The page holds questions without keys; what is typed or chosen goes to Python, which answers with
// what may be said to it. One question stands in front at a time; all of it works with the keyboard alone.

const QUIZ_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN";

/** `code` and **bold** as nodes; anything else as text. */
function rich(text) {
  const out = [];
  for (const part of String(text).split(/(`[^`]*`|\*\*[^*]+\*\*)/)) {
    if (!part) continue;
    if (part.length > 1 && part.startsWith("`") && part.endsWith("`")) out.push(h("code", { text: part.slice(1, -1) }));
    else if (part.length > 4 && part.startsWith("**") && part.endsWith("**")) out.push(h("b", { text: part.slice(2, -2) }));
    else out.push(part);
  }
  return out;
}

function paragraphs(text, className) {
  return String(text).split(/\n\s*\n/).filter((p) => p.trim()).map((p) => h("p", { class: className }, rich(p.trim())));
}

const QUIZ_MARKS = { right: "M2.5 7.5 L5.8 10.8 L11.5 3.8", wrong: "M3.5 3.5 L10.5 10.5 M10.5 3.5 L3.5 10.5", up: "M3 8.5 L7 4.5 L11 8.5", down: "M3 5.5 L7 9.5 L11 5.5" };

/** The word beside the colour: a mark and what it means. */
function verdict(right, words) {
  return h("span", { class: `lkq-verdict ${right ? "lk-ok" : "lk-bad"}` }, icon(QUIZ_MARKS[right ? "right" : "wrong"], { filled: false }), words);
}

/** Scroll the notebook to the cell with this id. Cells far away are not in the page until they are scrolled near. */
async function goToCell(model, from, id) {
  const cells = model.widget_manager?.context?.model?.cells;
  const panel = from.closest(".jp-Notebook");
  if (!cells || !panel) return false;
  let index = -1;
  for (let i = 0; i < cells.length; i++) if (cells.get(i).id === id) index = i;
  if (index < 0) return false;
  const scroller = panel.querySelector(".jp-WindowedPanel-outer") || panel;
  const shown = () => panel.querySelector(`.jp-Cell[data-windowed-list-index="${index}"]`) || (panel.querySelectorAll(".jp-Cell").length === cells.length ? panel.querySelectorAll(".jp-Cell")[index] : null);
  for (let tries = 0; tries < 60; tries++) {
    const node = shown();
    if (node) {
      node.scrollIntoView({ block: "center", behavior: reducedMotion() || tries ? "auto" : "smooth" });
      node.classList.add("lkq-target");
      setTimeout(() => node.classList.remove("lkq-target"), 2500);
      return true;
    }
    const here = [...panel.querySelectorAll(".jp-Cell[data-windowed-list-index]")].map((n) => Number(n.dataset.windowedListIndex));
    const down = here.length === 0 || Math.max(...here) < index;
    scroller.scrollTop += (down ? 0.8 : -0.8) * scroller.clientHeight;
    await new Promise((done) => setTimeout(done, 60));
  }
  return false;
}

function render({ model, el }) {
  const root = card(el, "quiz", `Quiz: ${model.get("head").title}`);
  const body = h("div", {});
  root.append(body);
  const say = liveRegion(root);
  const drafts = {}; // by question id: what is chosen or typed and not yet checked
  let asked = null; // the id whose answer is on its way
  let refusal = { id: "", text: "" };

  const questions = () => model.get("questions");
  const stateOf = (id) => model.get("states")[id];
  const current = () => questions()[Math.min(model.get("at"), questions().length - 1)];

  function draft(question) {
    if (!(question.id in drafts)) {
      const kept = stateOf(question.id).answer;
      if (kept !== null && kept !== undefined) drafts[question.id] = structuredClone(kept);
      else if (question.type === "multiple") drafts[question.id] = [];
      else if (question.type === "matching") drafts[question.id] = {};
      else if (question.type === "ordering") drafts[question.id] = question.options.map((o) => o.id);
      else drafts[question.id] = "";
    }
    return drafts[question.id];
  }

  function ready(question) {
    const value = draft(question);
    if (question.type === "multiple") return value.length > 0;
    if (question.type === "matching") return question.lefts.every((l) => value[l.id]);
    return Array.isArray(value) || String(value).trim() !== "";
  }

  const wanted = {
    single: "Choose one of the options first.", multiple: "Choose at least one option first.", predict: "Write or choose what the code shows first.",
    numeric: "Write a number first.", matching: "Match every left side first.", click: "Choose a place in the picture first.", short: "Write a sentence first.", ordering: "",
  };

  function submit() {
    const question = current();
    if (stateOf(question.id).done || asked) return;
    if (!ready(question)) return refuse(question.id, wanted[question.type]);
    asked = question.id;
    refusal = { id: "", text: "" };
    model.send({ type: "answer", id: question.id, answer: draft(question) });
  }

  function refuse(id, text) {
    asked = null;
    refusal = { id, text };
    draw();
    say(text);
  }

  function go(index) {
    const last = questions().length - 1;
    model.set("at", Math.max(0, Math.min(last, index)));
    model.save_changes();
    draw();
    focusFirst();
  }

  /** Focus on what the learner does next in the question in front. */
  function focusFirst() {
    const target = body.querySelector("[data-chosen]") || body.querySelector(".lkq-body :is(input, select, textarea, button):not(:disabled)") || body.querySelector(".lkq-foot button") || body.querySelector(".lkq-legend");
    target?.focus();
    say("");
  }

  // -- the answer forms ---------------------------------------------------------------------------------------

  function saidTo(state, id) {
    return (state.outcome?.feedback || []).find((f) => f.id === id);
  }

  function feedback(said) {
    if (!said || !said.say) return null;
    return h("div", { class: "lkq-fb" }, rich(said.say), said.cell ? [" ", cellLink(said.cell)] : null);
  }

  function cellLink(id) {
    const elsewhere = current().from;
    if (elsewhere && elsewhere !== model.get("head").lesson) return h("span", { class: "lk-sub" }, `See lesson ${elsewhere}, cell `, h("code", { text: id }), ".");
    return shield(h("button", { type: "button", class: "lkq-link", on: { click: async (event) => {
      const found = await goToCell(model, event.target, id);
      if (!found) say(`Look for the cell named ${id} in this lesson.`);
      if (!found) event.target.textContent = `cell ${id}`;
    } } }, "Show the cell"));
  }

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
          refusal = { id: "", text: "" };
          draw();
        } } });
      input.checked = chosen;
      input.disabled = state.done;
      const word = said ? (said.right ? (said.chosen ? "Right" : several ? "Right, not chosen" : "The right answer") : said.chosen ? "Not this" : "") : "";
      const box = h("label", { class: `lkq-opt ${chosen ? "chosen" : ""} ${tone}`, for: id },
        input, h("span", { class: "lkq-text" }, h("span", {}, rich(option.text)), fbId ? h("span", { id: fbId, class: "lkq-said" }, feedback(said)) : null),
        word ? verdict(said.right, word) : h("span", { class: "lkq-key", "aria-hidden": "true", text: state.done || i > 8 ? "" : String(i + 1) }));
      return box;
    });
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
    const text = question.type === "numeric" ? `Your number${question.unit ? `, in ${question.unit}` : ""}${question.within ? ` (within ${question.within} counts)` : ""}` : question.type === "predict" ? "The code shows" : "Your answer";
    const mine = (state.outcome?.feedback || []).filter((f) => question.type !== "short" && f.chosen);
    const others = (state.outcome?.feedback || []).filter((f) => question.type !== "short" && !f.chosen);
    return [
      h("div", { class: `lkq-line ${long ? "long" : ""}` }, h("span", { id: label, class: "lk-sub", text }), h("span", { class: "lkq-with" }, node, question.unit ? h("span", { class: "lk-sub", text: question.unit }) : null)),
      mine.map((f) => h("div", { class: `lkq-note ${f.right ? "right" : "wrong"}` }, h("span", { class: "lkq-text" }, h("b", {}, h("span", { class: "lk-mono", text: f.text })), feedback(f)), verdict(f.right, f.right ? "Right" : "Not this"))),
      others.map((f) => h("div", { class: `lkq-note ${f.right ? "right" : ""}` }, h("span", { class: "lkq-text" }, h("b", {}, h("span", { class: "lk-mono", text: f.text })), feedback(f)), f.right ? verdict(true, "The right answer") : null)),
      long ? points(state) : null,
    ];
  }

  function points(state) {
    if (!state.outcome) return null;
    return h("ul", { class: "lkq-points" }, state.outcome.feedback.map((f) => h("li", { class: `lkq-note ${f.right ? "right" : ""}` },
      h("span", { class: "lkq-text" }, h("b", {}, rich(f.text)), f.given ? h("span", { class: "lk-sub", text: ` by “${f.given}”` }) : null, feedback(f)),
      state.gave_up ? null : f.right ? verdict(true, "Found") : h("span", { class: "lkq-verdict lk-sub", text: "– Not found" }))));
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
        show ? verdict(said.right, said.right ? "In place" : "Not here") : null, buttons);
      keys(row, { ArrowUp: () => move(i, -1, up), ArrowDown: () => move(i, 1, down) });
      return row;
    }));
  }

  function matching(question, state) {
    const value = draft(question);
    // No redraw: whoever types the beginning of an option would lose what was typed so far.
    function choose(select, left) {
      drafts[question.id] = { ...draft(question), [left]: select.value };
      refusal = { id: "", text: "" };
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
        h("span", { class: "lkq-text" }, state.gave_up && said ? h("b", {}, rich(said.given)) : null, show ? feedback(said) : null), show && !state.gave_up ? verdict(said.right, said.right ? "Matched" : "Not this") : null);
    }));
  }

  // -- the picture --------------------------------------------------------------------------------------------

  function paint(shape) {
    const [x, y, w, hgt] = shape.box;
    const color = shape.seq ? `var(--lk-s${shape.seq.charCodeAt(0) - 65})` : "var(--lk-held)";
    const look = shape.look || "plain";
    const parts = [];
    const rect = (props) => svg("rect", { x, y, width: w, height: hgt, rx: 3, ...props });
    if (look === "held" || look === "shared") {
      const level = shape.fill ?? 1;
      parts.push(rect({ fill: `color-mix(in srgb, ${color} 18%, var(--lk-panel))`, stroke: color, "stroke-width": 1.4 }));
      parts.push(svg("rect", { x: x + 1, y: y + 1 + (hgt - 2) * (1 - level), width: w - 2, height: (hgt - 2) * level, rx: 2, fill: color }));
      if (look === "shared") parts.push(svg("circle", { cx: x + w - 1, cy: y + 1, r: 7, fill: "var(--lk-panel)", stroke: "var(--lk-edge)" }), svg("text", { x: x + w - 1, y: y + 4.5, "text-anchor": "middle", class: "lkq-tiny", text: "2" }));
    } else if (look === "cached") {
      parts.push(rect({ fill: "var(--lk-cached)" }), svg("path", { d: `M${x + 4} ${y + hgt - 4}L${x + w - 4} ${y + 4}`, stroke: "var(--lk-edge)", "stroke-width": 1.2 }));
    } else if (look === "free") parts.push(rect({ fill: "var(--lk-free)" }));
    else if (look === "accent") parts.push(rect({ fill: "none", stroke: "var(--lk-accent)", "stroke-width": 1.6 }));
    else parts.push(rect({ fill: "var(--lk-panel)", stroke: "var(--lk-edge)", "stroke-width": 1 }));
    const onFill = (look === "held" || look === "shared") && (shape.fill ?? 1) > 0.6;
    const mark = shape.mark ?? "";
    const cy = y + hgt / 2;
    if (mark !== "") parts.push(svg("text", { x: x + w / 2, y: shape.note !== undefined ? cy - 7 : cy + 4, "text-anchor": "middle", class: `lkq-mark ${onFill ? "on" : ""}`, text: mark }));
    if (shape.note !== undefined) parts.push(svg("text", { x: x + w / 2, y: cy + 15, "text-anchor": "middle", class: `lkq-figure ${onFill ? "on" : ""}`, text: shape.note }));
    return parts;
  }

  function picture(question, state) {
    const { size, label, draw: shapes, regions } = question.picture;
    const value = draft(question);
    const image = svg("svg", { viewBox: `0 0 ${size[0]} ${size[1]}`, role: "img", "aria-label": label, class: "lkq-svg" },
      shapes.map((s) => {
        if (s.line) return svg("polyline", { points: s.line.map((p) => p.join(",")).join(" "), fill: "none", stroke: s.look === "accent" ? "var(--lk-accent)" : s.seq ? `var(--lk-s${s.seq.charCodeAt(0) - 65})` : "var(--lk-edge)", "stroke-width": 1.4, "stroke-dasharray": s.dash ? "4 3" : null });
        if (s.box) return paint(s);
        return svg("text", { x: s.at[0], y: s.at[1], "text-anchor": s.anchor || "start", class: "lkq-write", style: s.size ? { "font-size": `${s.size}px` } : null, text: s.write });
      }), regions.map(paint));
    const nodes = regions.map((region) => {
      const [x, y, w, hgt] = region.box;
      const said = saidTo(state, region.id);
      const tone = said ? (said.right ? "right" : said.chosen ? "wrong" : "") : "";
      const node = h("button", { type: "button", class: `lkq-region ${tone}`, "data-key": `${question.id}-${region.id}`, "data-chosen": value === region.id, "aria-pressed": String(value === region.id), "aria-label": [region.text.replaceAll("`", ""), region.note].filter(Boolean).join(", "), disabled: state.done,
        style: { left: `${(100 * x) / size[0]}%`, top: `${(100 * y) / size[1]}%`, width: `${(100 * w) / size[0]}%`, height: `${(100 * hgt) / size[1]}%` },
        on: { click: () => { if (drafts[question.id] === region.id && event_is_key) return submit(); drafts[question.id] = region.id; refusal = { id: "", text: "" }; draw(); } } },
        tone ? h("span", { class: `lkq-badge ${tone === "right" ? "lk-ok" : "lk-bad"}` }, icon(QUIZ_MARKS[tone === "right" ? "right" : "wrong"], { filled: false })) : null);
      let event_is_key = false;
      node.addEventListener("keydown", () => { event_is_key = true; });
      node.addEventListener("pointerdown", () => { event_is_key = false; });
      return node;
    });
    nodes.forEach((node, i) => {
      const step = (by) => () => nodes[(i + by + nodes.length) % nodes.length].focus();
      keys(node, { ArrowRight: step(1), ArrowDown: step(1), ArrowLeft: step(-1), ArrowUp: step(-1) });
    });
    const texts = Object.fromEntries(regions.map((r) => [r.id, r.text]));
    const chosen = value && texts[value] ? h("p", { class: "lk-sub" }, state.done ? "Chosen: " : "Chosen, not checked yet: ", h("b", {}, rich(texts[value]))) : h("p", { class: "lk-sub", text: "Choose a place in the picture: click it, or go through them with the arrow keys and press Enter." });
    const checked = state.outcome && (state.done || state.answer === value);
    return [h("div", { class: "lkq-picture", role: "group", "aria-label": "places to choose from", style: { "max-width": `${Math.round(size[0] * 1.25)}px` } }, image, nodes), checked && !state.gave_up ? null : state.gave_up ? null : chosen,
      (state.outcome?.feedback || []).map((f) => h("div", { class: `lkq-note ${f.right ? "right" : f.chosen ? "wrong" : ""}` }, h("span", { class: "lkq-text" }, h("b", {}, rich(f.text)), feedback(f)), f.right || f.chosen ? verdict(f.right, f.right ? (f.chosen ? "Right" : "The right answer") : "Not this") : null))];
  }

  function form(question, state) {
    if (question.type === "ordering") return ordering(question, state);
    if (question.type === "matching") return matching(question, state);
    if (question.type === "click") return picture(question, state);
    return question.options ? options(question, state) : field(question, state);
  }

  // -- the card -----------------------------------------------------------------------------------------------

  function sub(question, state) {
    const head = model.get("head");
    const total = questions().length;
    const bits = [];
    if (head.mode === "prediction") bits.push("Prediction, before the next cell shows it");
    else if (head.mode === "placement" || head.mode === "final" || !head.lesson) bits.push(head.title);
    else bits.push(`Lesson ${head.lesson}`);
    if (total > 1) bits.push(`question ${model.get("at") + 1} of ${total}`);
    if (question.from && question.from !== head.lesson && (head.mode === "lesson" || head.mode === "prediction" || state.done)) bits.push(`from lesson ${question.from}`);
    if (!state.done) {
      if (question.options && question.type !== "ordering") bits.push(`keys 1–${Math.min(9, question.options.length)}`);
      if (question.type === "multiple") bits.push("choose all that apply");
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
    if (!state.done && state.attempts && model.get("head").mode !== "prediction") left.push(button("Show the answer", () => model.send({ type: "reveal", id: question.id }), { key: "reveal" }));
    if (state.waiting) left.push(button("Compare with what the cell showed", () => model.send({ type: "compare", id: question.id }), { kind: "primary", key: "compare" }));
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
    if (refusal.id === question.id && refusal.text) out.push(h("p", { class: "lkq-refused" }, h("span", { "aria-hidden": "true", text: "▲ " }), refusal.text));
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
    const words = { multiple: ["right", "not this"], matching: ["matched", "not this"], ordering: ["in place", "not here"], short: ["found", "not found"] }[question.type];
    const mine = o.feedback.filter((f) => f.chosen).map((f) => (words ? `${f.text}, ${words[f.right ? 0 : 1]}: ` : "") + f.say);
    const head = state.gave_up ? `The answer: ${o.key}.` : o.correct ? "Right." : "Not right.";
    return [head, o.note, ...(state.gave_up || (o.correct && ["ordering", "matching"].includes(question.type)) ? [] : mine), o.explanation || ""].filter(Boolean).join(" ").replaceAll("`", "");
  }

  function draw() {
    const had = root.contains(document.activeElement);
    keepFocus(root, () => {
      const question = current();
      const state = stateOf(question.id);
      const legend = h("legend", { class: "lkq-legend", tabindex: "-1" }, rich(question.text.replace(/\n\s*\n/g, "\n")));
      const result = model.get("result");
      body.replaceChildren(
        h("div", { class: "lkq-head" }, h("p", { class: "lk-sub", text: sub(question, state) }), steps()),
        model.get("at") === 0 && !state.done && model.get("head").intro ? h("p", { class: "lk-sub lkq-intro" }, rich(model.get("head").intro)) : "",
        h("fieldset", { class: "lkq-set" }, legend, question.code ? h("pre", { class: "lk-well lkq-code", tabindex: "0", "aria-label": "code", text: question.code }) : null, h("div", { class: `lkq-body lkq-${question.type}` }, form(question, state))),
        h("div", { class: "lkq-out" }, outcomeLine(question, state)),
        foot(question, state),
        result.text ? h("p", { class: "lkq-result", tabindex: "-1" }, rich(result.text)) : "",
      );
    });
    // A form that is done can hold no focus: go on to what comes next, so that the keyboard never falls out of the card.
    if (had && !root.contains(document.activeElement)) (body.querySelector('[data-key="next"], [data-key="compare"]') || body.querySelector(".lkq-result") || body.querySelector(".lkq-legend"))?.focus({ preventScroll: true });
  }

  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.target;
    const typing = target.matches("textarea, select, input:not([type=radio]):not([type=checkbox])");
    const question = current();
    let handled = false;
    if (event.key === "Enter" && !event.shiftKey && target.matches("input, select, textarea, legend, pre, .lkq-result")) {
      submit();
      handled = true;
    } else if (!typing && /^[1-9]$/.test(event.key) && question.options && question.type !== "ordering" && !stateOf(question.id).done) {
      const input = body.querySelectorAll(".lkq-body input")[Number(event.key) - 1];
      if (input) {
        input.focus();
        input.click();
        handled = true;
      }
    }
    if (handled) event.preventDefault();
    if (event.key !== "Tab" && event.key !== "Escape") event.stopPropagation();
  });
  for (const type of ["keypress", "keyup"]) root.addEventListener(type, (event) => { if (event.key !== "Tab" && event.key !== "Escape") event.stopPropagation(); });

  const onStates = () => {
    const question = current();
    const mine = asked === question.id;
    asked = null;
    const had = root.contains(document.activeElement);
    const state = stateOf(question.id);
    if (state.answer !== null && state.done) delete drafts[question.id];
    draw();
    if (mine || had) say(announce(question, state) + (model.get("result").text ? ` ${model.get("result").text}` : ""));
  };
  const onMessage = (message) => {
    if (message?.type === "refused") refuse(message.id, message.text);
    else if (message?.type === "problem") refuse(current().id, message.text);
  };
  model.on("change:states", onStates);
  model.on("change:result", draw);
  model.on("change:at", draw);
  model.on("msg:custom", onMessage);
  draw();
  return () => {
    model.off("change:states", onStates);
    model.off("change:result", draw);
    model.off("change:at", draw);
    model.off("msg:custom", onMessage);
  };
}

export default { render };
