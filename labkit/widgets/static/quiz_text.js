// The words of a quiz: text with code and bold, marks with a word beside them, feedback, and the way to a cell.

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
function quizVerdict(right, words) {
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

/** What was said to parts of an answer. */
function quizFeedback(quiz) {
  const { model, say, current } = quiz;

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

  return { saidTo, feedback, cellLink };
}
