// One play of a drill: the board to pin on, what is asked now, what was said so far, and in the end the score.
// The kernel takes or refuses each move; the page holds a draft of the next one and nothing that is not to be seen yet.

function render(view) {
  const { model, el } = view;
  const root = card(el, "drill-board", "Drill");
  const say = liveRegion(root);
  const state = () => model.get("state");
  const title = h("span", { class: "lk-sub" });
  const steps = h("ol", { class: "lkd-steps", "aria-label": "Steps" });
  const headline = h("p", { class: "lkd-headline" });
  const budget = drillBudget(state);
  const box = h("div", { class: "lkd-charts" });
  const shows = h("div", { class: "lk-row lkd-shows", role: "group", "aria-label": "What the panels show" });
  const task = h("div", { class: "lkd-task" });
  const tail = h("div", { class: "lkd-tail" });
  root.append(h("div", { class: "lkd-head" }, h("div", { class: "lk-storm-title" }, h("h3", { text: "Drill" }), title), steps), headline, budget.node, task, shows, box, tail);

  let draft = {};
  let busy = ""; // what is waited for
  let refused = "";
  let asWas = false; // after the score: the board as it was, instead of the one with the changes
  let stage = -1;
  let numbers = ""; // of the play that is shown
  let begun = false;

  let asked = false; // something that the player waits for: that somebody looks is told, and missed by nobody
  const kernel = kernelOf(view, (sentence) => asked && refuse(sentence));
  function ask(message, words = "") {
    if (busy) return;
    asked = true;
    refused = "";
    busy = words;
    if (words) draw();
    kernel.ask(() => model.send(message));
  }
  function refuse(sentence) {
    busy = "";
    refused = sentence;
    draw();
    say(sentence);
  }

  // ----- the board ----------------------------------------------------------------------------------------------

  const picking = () => state().stage < 2 && !busy;
  const charts = stormView(view, box, {
    bare: true,
    windows: () => (model.get("fixed")?.byteLength && !asWas ? [model.get("fixed"), model.get("rows")] : [model.get("rows"), null]),
    pick: {
      figure: (name) => picking() && choose({ figure: name }),
      drag(panel, first, last) {
        if (!picking()) return;
        const figures = panel.lines.map(({ figure }) => figure).filter((name) => name in state().figures);
        if (!figures.length) return;
        const figure = figures.includes(draft.figure) ? draft.figure : figures[0];
        choose(first === last ? { figure } : { figure, first, last });
      },
    },
  });

  function choose(change) {
    Object.assign(draft, change);
    refused = "";
    task.querySelector(".lkq-refused")?.remove();
    form.pinned();
    mark();
  }

  /** The pins on the panels: those that stand, the one that is being chosen, those of the best run and of the par. */
  function mark() {
    const { pins, ghost, debrief } = state();
    const found = pins.map((pin, i) => [pin, "stands", String(i + 1)]);
    const pinnedOn = !model.get("fixed")?.byteLength || asWas; // pins say nothing of the run with the changes
    if (state().stage < 2 && draft.figure) found.push([[draft.figure, draft.first, draft.last], "draft", ""]);
    const best = debrief.parts ? debrief.before : state().stage >= 2 && ghost;
    if (best) for (const pin of best.pins) found.push([pin, "best", "best"]);
    if (debrief.par) for (const pin of debrief.par.pins) found.push([pin, "par", "par"]);
    const count = charts.data().length;
    for (const { panel, plot, node } of charts.places) {
      for (const old of plot.querySelectorAll(".lkd-mark")) old.remove();
      const here = found.filter(([[figure]]) => pinnedOn && panel.lines.some((line) => line.figure === figure));
      for (const [[, first, last], kind, text] of here) {
        plot.append(h("span", { class: `lkd-mark lkd-${kind}`, "aria-hidden": "true", style: { left: `${(100 * first) / count}%`, width: `${(100 * (last + 1 - first)) / count}%` } }, text ? h("b", { text }) : null));
      }
      for (const entry of node.querySelectorAll(".lk-storm-pick")) {
        const figure = entry.dataset.figure;
        entry.setAttribute("aria-pressed", String((state().stage < 2 && draft.figure === figure) || pins.some(([name]) => name === figure)));
        entry.setAttribute("aria-disabled", String(state().stage >= 2));
      }
    }
    box.dataset.picking = state().stage < 2 ? "1" : "";
  }

  // ----- what is asked ------------------------------------------------------------------------------------------

  const drill = { state, draft: () => draft, choose, ask, draw: () => draw(), data: () => charts.data(), panels: model.get("panels"), busy: () => busy };
  const form = drillForms(drill);

  function draw(moved = false) {
    const { name, share, moves, rewind, debrief, trouble, ghost } = state();
    const had = task.contains(document.activeElement) || tail.contains(document.activeElement);
    const best = ghost && !debrief.parts ? ` · best run ${Math.round(ghost.points)} of 100, ${plural(ghost.changes, "change")}, ${plural(ghost.at_risk, "request")} of the budget` : "";
    title.textContent = `${name || "a server that somebody else runs"}${best}`;
    headline.textContent = state().headline;
    steps.replaceChildren(...DRILL_STEPS.map((text, i) => h("li", { class: i < state().stage ? "done" : i === state().stage ? "here" : "", "aria-current": i === state().stage ? "step" : null }, h("span", { text: i < state().stage ? "✓" : String(i + 1), "aria-hidden": "true" }), text)));
    keepFocus(root, () => {
      task.replaceChildren(...[
        drillStory(drill),
        debrief.parts ? drillDebrief(drill) : form.node(),
        busy ? h("p", { class: "lk-sub lkd-busy", role: "status", text: busy }) : null,
        refused ? h("p", { class: "lkq-refused", role: "alert", text: refused }) : null,
        debrief.parts ? drillEnd(drill) : null,
      ].filter(Boolean));
      if (rewind && !busy) task.querySelector(".lkd-foot")?.append(button("Take the last move back", () => ask({ type: "rewind" }), { kind: "quiet", key: "rewind" }), state().hindsight ? h("span", { class: "lk-sub", text: "Played with hindsight: the score is told, and not kept as a best run." }) : "");
      tail.replaceChildren(
        h("p", { class: "lk-sub lkd-share" }, "The same numbers for somebody else: ", h("code", { class: "lk-inline", text: share }), trouble ? ` ${trouble}` : ""),
      );
    });
    if (had && (moved || !root.contains(document.activeElement))) task.querySelector(".lkd-question")?.focus({ preventScroll: !moved });
    drawShows();
    mark();
    root.dataset.stage = state().stage;
    root.dataset.outcome = moves.outcome;
  }

  function drawShows() {
    shows.hidden = !model.get("fixed")?.byteLength;
    if (shows.hidden) return;
    const way = (text, was) => {
      const node = button(text, () => {
        asWas = was;
        charts.load();
        draw();
      }, { key: `shows-${was}` });
      node.setAttribute("aria-pressed", String(asWas === was));
      return node;
    };
    shows.replaceChildren(way("With your change (dotted: without)", false), way("As it was", true));
  }

  function told(live = true) {
    const now = state();
    const moved = now.stage !== stage;
    if (now.stage === 0) begun = now.looking;
    if (now.share !== numbers || now.stage < stage) draft = drillDraft(now);
    else if (moved) Object.assign(draft, { figure: "" });
    [stage, numbers] = [now.stage, now.share];
    if (moved) refused = "";
    [busy, asked] = ["", false];
    budget.sync(Boolean(live));
    draw(moved);
    if (moved && task.querySelector(".lkd-question")) say(task.querySelector(".lkd-question").textContent);
  }
  const message = (content) => {
    if (content?.type === "refused" || content?.type === "problem") refuse(content.text);
    else if (content?.type === "tried") {
      busy = `The change is tried on the hidden pairs of runs: ${content.pairs + 1} of 10 …`;
      const line = task.querySelector(".lkd-busy");
      if (line) line.textContent = busy;
    }
  };
  // The budget drains from the first touch on; without a kernel it does not.
  const begin = () => {
    if (begun || state().stage > 4) return;
    begun = true;
    kernel.ask(() => model.send({ type: "begin" }));
  };
  for (const type of ["pointerdown", "keydown"]) root.addEventListener(type, begin, { passive: true });
  const changed = () => {
    asWas = false;
    charts.load();
    mark();
  };
  model.on("change:state", told);
  model.on("change:fixed", changed);
  model.on("change:rows", mark);
  model.on("msg:custom", message);
  told(false);
  return () => {
    model.off("change:state", told);
    model.off("change:fixed", changed);
    model.off("change:rows", mark);
    model.off("msg:custom", message);
    budget.close();
    kernel.close();
    charts.close();
  };
}

export default { render };
