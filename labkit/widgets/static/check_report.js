// CheckReport: one broken rule, the operations that show it, one sentence of cause, and what to do next.

/** While its cell runs again, a report stays where it was, greyed and "checking", until the next one stands there. */
function stayWhileChecking(root) {
  let outputs = null;
  let place = {};
  const observer = new ResizeObserver(() => {
    if (!root.offsetHeight) return; // taken away
    outputs = root.closest(".jp-Cell-outputWrapper");
    if (!outputs) return;
    const [outer, inner] = [outputs, root].map((node) => node.getBoundingClientRect());
    place = { left: `${inner.left - outer.left}px`, top: `${inner.top - outer.top}px`, width: `${inner.width}px`, height: outputs.offsetHeight };
  });
  observer.observe(root);
  return () => {
    observer.disconnect();
    const running = () => outputs.closest(".jp-Cell")?.querySelector(".jp-InputPrompt")?.textContent.includes("*");
    if (!outputs?.isConnected || !running()) return;
    outputs.style.minHeight = `${place.height}px`;
    outputs.style.position = "relative";
    root.inert = true;
    root.classList.replace("lk-check-report", "lk-checking"); // a report no more
    root.setAttribute("aria-label", "Checking");
    Object.assign(root.style, { position: "absolute", left: place.left, top: place.top, width: place.width, margin: 0 });
    root.querySelector(".lk-tag").replaceWith(h("span", { class: "lk-tag lk-sub", role: "status", text: "checking" }));
    outputs.append(root);
    let quiet = 0; // looks since the cell has ended: a report may take a moment to be drawn, or never come
    const look = setInterval(() => {
      quiet = running() ? 0 : quiet + 1;
      if (quiet < 15 && !outputs.querySelector(".lk-check-report")) return;
      clearInterval(look);
      root.remove();
      outputs.style.minHeight = outputs.style.position = "";
    }, 100);
  };
}

function render({ model, el }) {
  const root = card(el, "check-report", "Check report");
  const say = liveRegion(root);
  const verdict = model.get("verdict");
  const replayBox = h("div", { class: "lk-report-replay" });
  const extras = h("div", { class: "lk-report-extras" });
  let board = null;
  const letGo = stayWhileChecking(root);
  const kernel = kernelOf({ model, el }, problem);
  const send = (content) => kernel.ask(() => model.send(content));

  root.append(head(), ...body(), actions(), extras, replayBox);
  root.classList.add(`lk-is-${verdict.verdict}`);
  replayBox.hidden = true;
  for (const text of model.get("opened")) showHint(text, false);
  if (model.get("photo") && hasReplay()) root.querySelector('[data-key="replay"]').click();

  function head() {
    const tag = model.get("tag");
    const time = verdict.seconds && !model.get("photo") ? `${verdict.seconds < 10 ? verdict.seconds.toFixed(1) : Math.round(verdict.seconds)} s` : "";
    const setup = verdict.counterexample ? verdict.counterexample.setup : "";
    const sub = [setup, time].filter(Boolean).join(" · ");
    return h(
      "div",
      { class: "lk-row lk-report-head" },
      h("span", { class: `lk-tag lk-${tag.tone}` }, h("span", { "aria-hidden": "true", text: `${tag.mark} ` }), tag.words),
      h("h3", { text: verdict.rule || model.get("heading") }),
      sub ? h("span", { class: "lk-sub", text: sub }) : null,
    );
  }

  function body() {
    const parts = [];
    const rule = verdict.rules.find((r) => r.name === verdict.rule);
    if (rule && rule.statement) parts.push(h("p", { class: "lk-sub lk-report-statement" }, inline(rule.statement)));
    if (verdict.counterexample) parts.push(operations(verdict.counterexample));
    for (const words of model.get("sentences")) parts.push(h("p", { class: "lk-report-say" }, inline(words)));
    return parts;
  }

  function operations(example) {
    return h(
      "ol",
      { class: "lk-ops", "aria-label": `Operations on ${example.setup || "the part"}` },
      example.steps.map((step) =>
        h(
          "li",
          { class: `lk-op ${step.broken ? "lk-op-broken" : ""}` },
          h("span", { class: "lk-op-n", text: step.n }),
          h("code", { class: "lk-op-call" }, unbroken(step.label)),
          step.broken ? broken(step, example.whose) : held(step),
        ),
      ),
    );
  }

  /** A call or an answer that wraps between its items and never within one. */
  function unbroken(text) {
    return text.split(/(?<=, )/).map((item) => h("span", { class: "lk-item", text: item }));
  }

  function held(step) {
    return h("span", { class: "lk-op-result" }, step.seen ? h("code", {}, unbroken(`→ ${step.seen}`)) : null, note(step));
  }

  function note(step) {
    return step.note ? h("span", { class: "lk-op-note", text: step.note }) : null;
  }

  /** What was expected, and below it what came: row by row, what differs underlined. */
  function broken(step, whose) {
    const { expected, seen } = step.answers;
    const wide = Math.max(...[...expected, ...seen].map((line) => line.reduce((sum, [text]) => sum + text.length + 1, 0)));
    const rows = (lines) => lines.map((line) => h("span", { class: "lk-row-of" }, line.map(([text, differs]) => [h("span", { class: `lk-item ${differs ? "lk-differs" : ""}` }, marked(text, differs)), " "])));
    return h(
      "span",
      { class: `lk-op-result ${wide > 44 || expected.length > 1 || seen.length > 1 ? "lk-op-wide" : ""}` },
      h(
        "span",
        { class: "lk-answers" },
        expected.length ? [h("span", { class: "lk-op-word", text: "expected" }), h("code", {}, rows(expected))] : null,
        h("span", { class: "lk-op-word lk-bad", text: whose }),
        h("code", { class: "lk-op-yours" }, rows(seen)),
      ),
      note(step),
    );
  }

  /** An item whose brackets and comma, which the place asks for, stand outside of the mark. */
  function marked(text, differs) {
    const [, before, inner, after] = /^([\s[({]*)(.*?)([\s\])},]*)$/s.exec(text);
    return differs && inner ? [before, h("mark", { text: inner }), after] : text;
  }

  function actions() {
    const row = h("div", { class: "lk-row lk-report-actions" });
    const bodies = [];
    if (hasReplay() || model.get("can_replay")) {
      const node = button(`Replay from ${model.get("replay_from")}`, () => toggleReplay(node), { kind: "primary", key: "replay" });
      node.setAttribute("aria-expanded", "false");
      row.append(node);
    }
    if (model.get("hints") > 0) row.append(hintButton());
    if (model.get("has_solution")) {
      const node = button("Solution", () => {
        node.disabled = true;
        send({ type: "solution" });
      }, { key: "solution" });
      row.append(node);
    }
    const folds = h("span", { class: "lk-report-folds" });
    const fold = (label, content) => {
      const { button: node, body: box } = disclosure(label, content);
      folds.append(node);
      bodies.push(box);
    };
    if (verdict.printed) fold(`Your code printed ${plural(verdict.printed.trimEnd().split("\n").length, "line")}`, h("pre", { class: "lk-well lk-report-printed", text: verdict.printed.trimEnd() }));
    if (model.get("difference")) fold("Difference to the solution", diff(model.get("difference")));
    const rules = verdict.rules.filter((r) => r.name !== verdict.rule);
    if (rules.length) fold(rulesLabel(rules), ruleList(rules));
    if (folds.childElementCount) row.append(folds);
    const next = model.get("next_step");
    return [next ? h("p", { class: "lk-report-next" }, h("span", { class: "lk-report-next-word", text: "Next" }), " ", next) : null, row.childElementCount ? row : null, ...bodies].filter(Boolean).reduce((box, node) => (box.append(node), box), h("div"));
  }

  function rulesLabel(rules) {
    const count = { held: 0, broken: 0, unknown: 0 };
    for (const rule of rules) count[rule.state] += 1;
    const words = [];
    if (count.held) words.push(`${plural(count.held, "rule")} ${count.held === 1 ? "holds" : "hold"}`);
    if (count.broken) words.push(`${count.broken} more broken`);
    if (count.unknown) words.push(`${count.unknown} not reached`);
    return words.join(" · ");
  }

  function ruleList(rules) {
    const marks = { held: ["✓", "lk-ok", "holds"], broken: ["✕", "lk-bad", "broken"], unknown: ["○", "lk-sub", "not reached"] };
    return h(
      "ul",
      { class: "lk-rules" },
      rules.map((rule) => {
        const [mark, tone, word] = marks[rule.state];
        return h("li", {}, h("span", { class: tone, role: "img", "aria-label": word, text: mark }), h("span", {}, h("b", { text: rule.name }), " ", h("span", { class: "lk-sub" }, inline(rule.statement))));
      }),
    );
  }

  function diff(text) {
    const tone = (line) => (line.startsWith("+") ? "lk-diff-in" : line.startsWith("-") ? "lk-diff-out" : line.startsWith("@@") ? "lk-diff-at" : "");
    const lines = text.split("\n").filter((line) => !line.startsWith("+++") && !line.startsWith("---"));
    return h("div", {}, h("p", { class: "lk-sub", text: "− is yours, + is the solution. Both are right; they are two ways to say it." }), h("pre", { class: "lk-well lk-diff" }, lines.map((line) => h("span", { class: tone(line), text: `${line}\n` }))));
  }

  // Hints and the solution: the words come from the kernel, one at a time, so that none is in the page before it is asked for.

  function hintButton() {
    const node = button("", () => {
      node.disabled = true;
      send({ type: "hint" });
    }, { key: "hint" });
    const paint = () => {
      const shown = extras.querySelectorAll(".lk-hint").length;
      const total = model.get("hints");
      node.textContent = shown < total ? `Hint ${shown + 1} of ${total}` : "No more hints";
      node.disabled = shown >= total;
    };
    hintButton.paint = paint;
    node.textContent = `Hint ${model.get("opened").length + 1} of ${model.get("hints")}`;
    node.disabled = model.get("opened").length >= model.get("hints");
    if (node.disabled) node.textContent = "No more hints";
    return node;
  }

  function showHint(text, fresh) {
    const n = extras.querySelectorAll(".lk-hint").length + 1;
    const isCode = n > 2 || text.includes("\n"); // the last hint is code with a blank
    extras.append(h("div", { class: "lk-hint", tabindex: -1 }, h("span", { class: "lk-hint-n", text: `Hint ${n}` }), isCode ? h("pre", { class: "lk-well", text }) : prose(text)));
    if (fresh) say(`Hint ${n}: ${text}`);
  }

  /** Text in which lines that start with four spaces are code. */
  function prose(text) {
    const box = h("div", { class: "lk-prose" });
    for (const chunk of text.split(/\n(?=\S)|\n\n+/)) {
      const code = /^( {4}|\t)/.test(chunk);
      if (chunk.trim()) box.append(code || chunk.includes("\n    ") ? h("pre", { class: "lk-well", text: chunk }) : h("p", {}, inline(chunk)));
    }
    return box;
  }

  function showSolution(text) {
    extras.append(h("div", { class: "lk-hint" }, h("span", { class: "lk-hint-n", text: "One solution" }), h("pre", { class: "lk-well lk-whole", text })));
    say("The solution is shown.");
  }

  // The replay.

  function hasReplay() {
    return Boolean(model.get("replay").kind);
  }

  function toggleReplay(node) {
    if (!board) {
      if (hasReplay()) openReplay();
      else send({ type: "replay" });
    }
    replayBox.hidden = !replayBox.hidden;
    node.setAttribute("aria-expanded", String(!replayBox.hidden));
  }

  function openReplay() {
    const replay = model.get("replay");
    const inner = h("div", { class: "lk-replay" });
    replayBox.replaceChildren(inner);
    board = replay.kind === "tree" ? treeBoard(inner, treeData((name) => replay[name])) : poolBoard(inner, replay);
  }

  function poolBoard(inner, { title, subtitle, step, names, slots, labels, meta, contents, records: raw }) {
    const bytes = bytesOf(raw);
    const records = new Records(bytes);
    const kinds = new Set(records.kind.subarray(0, records.length));
    const options = { title, subtitle, names, slots, labels, bytes, step, live: false, contents };
    if (kinds.has(KIND.RESERVE) || kinds.has(KIND.RELEASE)) {
      return memoryBoard(inner, { ...options, layouts: [{ name: "", records, num_slots: Number(meta.num_slots) || extent(records), block_size: 0, names, slots, labels, wanted: 0 }] });
    }
    let top = 0;
    for (let i = 0; i < records.length; i++) top = Math.max(top, records.block[i] + 1);
    return pageBoard(inner, { ...options, numBlocks: Number(meta.num_blocks) || top, blockSize: Number(meta.block_size) || 0 });
  }

  function extent(records) {
    let top = 0;
    for (let i = 0; i < records.length; i++) top = Math.max(top, records.block[i] + Math.max(0, records.arg[i]));
    return top;
  }

  function problem(text) {
    extras.querySelector(".lk-report-problem")?.remove();
    extras.append(h("p", { class: "lk-bad lk-report-problem", role: "alert", text }));
    for (const node of root.querySelectorAll('[data-key="solution"]')) node.disabled = false;
    hintButton.paint?.();
  }

  const message = (content) => {
    if (!content) return;
    if (content.type === "hint") {
      if (content.text) showHint(content.text, true);
      hintButton.paint();
      root.querySelector('[data-key="hint"]').focus({ preventScroll: true });
    } else if (content.type === "solution") showSolution(content.text);
    else if (content.type === "problem") problem(content.text);
  };
  const replayed = () => hasReplay() && !board && openReplay();
  model.on("msg:custom", message);
  model.on("change:replay", replayed);
  return () => {
    model.off("msg:custom", message);
    model.off("change:replay", replayed);
    kernel.close();
    letGo();
    if (board) board.destroy();
  };
}

export default { render };
