// OpeningCard: where a lesson starts. The symptom, what is built, how long it takes, and the box that lights up.

function render({ model, el }) {
  const lesson = model.get("lesson");
  const root = card(el, "opening", `Lesson ${lesson.number}: ${lesson.title}`);
  const map = model.get("map");
  const done = lesson.exercises.filter((e) => e.passed && !e.stretch).length;
  const core = lesson.exercises.filter((e) => !e.stretch);
  const facts = [
    lesson.minutes ? plural(lesson.minutes, "minute") : null,
    core.length ? plural(core.length, "exercise") : null, // stretches count towards nothing, here and at the save point
    lesson.questions ? plural(lesson.questions, "question") : null,
    done ? `${done} passed` : null,
  ].filter(Boolean);
  const left = h(
    "div",
    { class: "lk-opening-text" },
    h("p", { class: "lk-sub", text: [`Lesson ${lesson.number}`, lesson.part].filter(Boolean).join(" · ") }),
    h("div", { class: "lk-opening-title", role: "heading", "aria-level": 2, text: lesson.title }),
    lesson.symptom ? h("p", { class: "lk-opening-symptom", text: lesson.symptom }) : null,
    lesson.builds ? h("p", { class: "lk-opening-builds" }, h("b", { text: "You build  " }), lesson.builds) : null,
    facts.length ? h("p", { class: "lk-opening-facts", text: facts.join(" · ") }) : null,
    lesson.exercises.length
      ? h(
          "ul",
          { class: "lk-opening-exercises" },
          lesson.exercises.map((e) => h("li", {}, h("span", { class: e.passed ? "lk-ok" : "lk-sub", role: "img", "aria-label": e.passed ? "passed" : "open", text: e.passed ? "✓" : "○" }), h("code", { text: e.id }), h("span", { class: "lk-sub", text: `${e.minutes} min${e.stretch ? " · stretch" : ""}` }))),
        )
      : null,
  );
  root.append(h("div", { class: "lk-opening-layout" }, left, map.boxes && map.boxes.length ? h("div", { class: "lk-opening-map" }, engineBoard(map, { interactive: false }).root, h("p", { class: "lk-sub", text: map.note })) : null));
  return () => {};
}

export default { render };
