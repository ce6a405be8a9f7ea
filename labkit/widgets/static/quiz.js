// The quiz card. The page holds questions without keys; what is typed or chosen goes to Python, which answers with
// what may be said to it. One question stands in front at a time; all of it works with the keyboard alone.

function render({ model, el }) {
  const root = card(el, "quiz", `Quiz: ${model.get("head").title}`);
  const body = h("div", {});
  root.append(body);
  const say = liveRegion(root);
  const drafts = {}; // by question id: what is chosen or typed and not yet checked

  const questions = () => model.get("questions");
  const stateOf = (id) => model.get("states")[id];
  const several = (question) => ["multiple", "sentences"].includes(question.type);
  const current = () => questions()[Math.min(model.get("at"), questions().length - 1)];

  const kernel = kernelOf({ model, el }, (words) => refuse(current().id, words));
  const send = (message) => kernel.ask(() => model.send(message));

  // What the rooms of this card share.
  const quiz = {
    model, body, say, drafts, questions, stateOf, current, draft, draw, submit, send, go,
    asked: null, // the id whose answer is on its way
    refusal: { id: "", text: "" },
  };
  Object.assign(quiz, quizFeedback(quiz));
  const form = quizForms(quiz);
  const { sub, steps, foot, outcomeLine, announce } = quizCard(quiz);

  function draft(question) {
    if (!(question.id in drafts)) {
      const kept = stateOf(question.id).answer;
      if (kept !== null && kept !== undefined) drafts[question.id] = structuredClone(kept);
      else if (several(question)) drafts[question.id] = [];
      else if (question.type === "matching") drafts[question.id] = {};
      else if (question.type === "ordering") drafts[question.id] = question.options.map((o) => o.id);
      else drafts[question.id] = "";
    }
    return drafts[question.id];
  }

  function ready(question) {
    const value = draft(question);
    if (several(question)) return value.length > 0;
    if (question.type === "matching") return question.lefts.every((l) => value[l.id]);
    return Array.isArray(value) || String(value).trim() !== "";
  }

  const wanted = {
    single: "Choose one of the options first.", multiple: "Choose at least one option first.", sentences: "Choose at least one sentence first.", predict: "Write or choose what the code shows first.",
    numeric: "Write a number first.", matching: "Match every left side first.", click: "Choose a place in the picture first.", short: "Write a sentence first.", ordering: "",
  };

  function submit() {
    const question = current();
    if (stateOf(question.id).done || quiz.asked) return;
    if (!ready(question)) return refuse(question.id, wanted[question.type]);
    quiz.asked = question.id;
    quiz.refusal = { id: "", text: "" };
    send({ type: "answer", id: question.id, answer: draft(question) });
  }

  function refuse(id, text) {
    quiz.asked = null;
    quiz.refusal = { id, text };
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

  function ask(question, state) {
    const legend = h("legend", { class: "lkq-legend", tabindex: "-1" }, rich(question.text.replace(/\n\s*\n/g, "\n")));
    return [
      h("fieldset", { class: "lkq-set" }, legend, question.code ? h("pre", { class: "lk-well lkq-code", tabindex: "0", "aria-label": "code", text: question.code }) : null, h("div", { class: `lkq-body lkq-${question.type}` }, form(question, state))),
      h("div", { class: "lkq-out" }, outcomeLine(question, state)),
    ];
  }

  /** Every question below the one before it, for the photograph: nobody turns the pages of a picture. */
  function drawAll() {
    body.replaceChildren(...questions().map((question, at) => {
      const state = stateOf(question.id);
      return h("div", { class: "lkq-one" }, h("p", { class: "lk-sub", text: sub(question, state, at) }), ask(question, state),
        question.sides ? h("p", { class: "lk-sub" }, "to match with: ", question.sides.flatMap((side, i) => [i ? " · " : "", rich(side.text)])) : null);
    }));
  }

  function draw() {
    if (model.get("photo")) return drawAll();
    const had = root.contains(document.activeElement);
    keepFocus(root, () => {
      const question = current();
      const state = stateOf(question.id);
      const result = model.get("result");
      body.replaceChildren(
        h("div", { class: "lkq-head" }, h("p", { class: "lk-sub", text: sub(question, state) }), steps()),
        model.get("at") === 0 && !state.done && model.get("head").intro ? h("p", { class: "lk-sub lkq-intro" }, rich(model.get("head").intro)) : "",
        ...ask(question, state),
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
    const mine = quiz.asked === question.id;
    quiz.asked = null;
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
    kernel.close();
  };
}

export default { render };
