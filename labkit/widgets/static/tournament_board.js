// Eviction policies against each other: hit rate and regret over capacity. All numbers come from Python.

function render({ model, el }) {
  const root = card(el, "tournament-board", model.get("title"));
  let scheduled = 0;
  let lost = ""; // what is said where no kernel heard what was asked
  const kernel = kernelOf({ model, el }, (words) => {
    lost = words;
    model.set("choice", { ...model.get("answer").for }); // what the curves stand for
    update();
  });

  const choose = (change) => {
    const choice = { ...model.get("choice"), ...change };
    model.set("choice", choice);
    lost = "";
    kernel.ask(() => model.save_changes());
    update();
  };
  const pick = (label, values, words, chosen) =>
    shield(h("select", { class: "lk-pick", "aria-label": label, on: { change: (event) => chosen(values[event.target.selectedIndex]) } }, values.map((value) => h("option", { value, text: words(value) }))));
  const offered = model.get("offered");
  const trace = pick("trace", Object.keys(model.get("traces")), (name) => name, (name) => choose({ trace: name }));
  const low = pick("smallest capacity", offered, tbCount, (value) => choose({ low: value, high: Math.max(value, model.get("choice").high) }));
  const high = pick("largest capacity", offered, tbCount, (value) => choose({ high: value, low: Math.min(value, model.get("choice").low) }));
  const busy = h("span", { class: "lk-tour-busy", role: "status" });
  const about = h("p", { class: "lk-sub lk-tour-about" });
  const trouble = h("p", { class: "lk-bad" });
  const again = button("Try again", () => { busy.textContent = "computing"; kernel.ask(() => model.send({ type: "again" })); }, { key: "again" });
  const stop = button("Stop", () => kernel.ask(() => model.send({ type: "stop" })), { key: "stop", kind: "quiet" });
  const problem = h("div", { class: "lk-tour-problem", role: "alert" }, trouble, again);
  const panels = h("div", { class: "lk-tour-panels", role: "slider", tabindex: 0, "aria-label": "Capacity at which the policies are compared", "data-key": "cursor" });
  const bound = model.get("bound");
  const floor = h("p", { class: "lk-sub lk-tour-key" }, svg("svg", { width: 22, height: 12, viewBox: "0 0 22 12", "aria-hidden": "true" }, svg("path", { class: "lk-tour-floor", d: "M0 12V4L22 7V12Z" })), `${bound}'s regret: only more memory moves it. What a policy regrets above that, a better policy could win.`);
  const sentence = h("p", { class: "lk-well lk-tour-sentence", "aria-live": "polite" });
  const hold = h("div", { class: "lk-tour-hold" });
  root.append(
    h("h3", { text: model.get("title") }),
    model.get("subtitle") ? h("p", { class: "lk-sub", text: model.get("subtitle") }) : "",
    h("p", { class: "lk-tour-choices" }, "Trace", trace, "with", low, "to", high, "blocks in the cache", busy, stop),
    about, problem, panels, floor, sentence, hold,
  );
  const charts = TB_CHARTS.map(emptyChart);
  panels.append(...charts.map(({ panel }) => panel));

  /** Index of the capacity under the cursor: the nearest by ratio, as in Python. */
  const at = () => {
    const known = model.get("answer").capacities;
    let best = -1;
    let least = Infinity;
    known.forEach((c, i) => {
      const away = Math.abs(Math.log(c / Math.max(1, board.cursor)));
      if (away < least - 1e-12) [best, least] = [i, away];
    });
    return best;
  };
  const lit = () => {
    const names = model.get("answer").policies.map((p) => p.name);
    return [board.over, board.pinned].find((name) => names.includes(name)) ?? null;
  };

  const light = (name) => {
    if (board.over === name) return;
    board.over = name;
    drawLit();
  };

  // What the rooms of this board share.
  const board = {
    root, model, panels, hold, charts, at, lit, light, drawLit, drawCursor,
    cursor: model.get("cursor"),
    over: null, // the policy under the pointer or the focus
    pinned: null, // the policy that was chosen in the table
  };
  const drawTable = tournamentTable(board);
  tournamentKeys(board);

  function drawCursor() {
    const answer = model.get("answer");
    const index = at();
    for (const chart of charts) drawChartCursor(chart, answer, index);
    panels.setAttribute("aria-valuemin", 0);
    panels.setAttribute("aria-valuemax", Math.max(0, answer.capacities.length - 1));
    panels.setAttribute("aria-valuenow", Math.max(0, index));
    panels.setAttribute("aria-valuetext", index < 0 ? "nothing computed yet" : plural(answer.capacities[index], "block"));
    const words = answer.sentences[index] || "";
    if (sentence.textContent !== words) sentence.textContent = words;
    // While a first capacity is computed the place of sentence and table stays, so that the page does not jump.
    const waits = root.getAttribute("aria-busy") === "true";
    sentence.hidden = !words && !waits;
    if (index >= 0 || !waits) hold.style.minHeight = "";
    else if (hold.offsetHeight) hold.style.minHeight = `${hold.offsetHeight}px`;
    drawTable(answer, index);
    drawLit();
  }

  function drawLit() {
    const name = lit();
    panels.classList.toggle("lk-lit", name !== null);
    for (const chart of charts) for (const [key, group] of chart.curves) group.classList.toggle("lit", key === name);
    for (const row of hold.querySelectorAll("tr[data-policy]")) {
      row.classList.toggle("lit", row.dataset.policy === name);
      row.querySelector(".lk-tour-name").setAttribute("aria-pressed", String(board.pinned === row.dataset.policy));
    }
    root.dataset.lit = name ?? "";
  }

  function update() {
    const choice = model.get("choice");
    const answer = model.get("answer");
    const fresh = ["trace", "low", "high"].every((key) => answer.for[key] === choice[key]);
    const growing = fresh && answer.done < answer.total;
    trace.value = choice.trace;
    low.value = String(choice.low);
    high.value = String(choice.high);
    about.textContent = model.get("traces")[answer.for.trace] || ""; // of what is drawn, until the new curves come
    root.classList.toggle("lk-waits", !fresh || growing);
    root.classList.toggle("lk-grows", growing);
    root.setAttribute("aria-busy", String(!fresh || growing));
    busy.textContent = !fresh ? "waiting for the kernel …" : growing ? `computing: ${answer.done} of ${plural(answer.total, "capacity", "capacities")}` : "";
    stop.hidden = fresh && !growing;
    trouble.textContent = lost || (fresh ? answer.problem : "");
    problem.hidden = !trouble.textContent;
    again.hidden = Boolean(lost);
    schedule();
  }

  function draw() {
    scheduled = 0;
    if (!root.clientWidth) return;
    const answer = model.get("answer");
    for (const chart of charts) drawChart(chart, answer);
    drawCursor();
    root.dataset.drawn = String(answer.capacities.length);
  }
  function schedule() {
    if (!scheduled) scheduled = requestAnimationFrame(draw);
  }

  const moved = () => {
    board.cursor = model.get("cursor");
    schedule();
  };
  const observer = new ResizeObserver(schedule);
  observer.observe(panels);
  model.on("change:answer", update);
  model.on("change:choice", update);
  model.on("change:cursor", moved);
  update();
  return () => {
    model.off("change:answer", update);
    model.off("change:choice", update);
    model.off("change:cursor", moved);
    kernel.close();
    observer.disconnect();
    cancelAnimationFrame(scheduled);
  };
}

export default { render };
