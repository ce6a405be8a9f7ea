// What the radix tree's board says in words: the sentence of a step, the counts, what there is to say of a node.

function treeWords(board) {
  const { root, data, replay, texts, bar, sentence, noteLine, faultLine, counts, detailText, detailFacts, summary } = board;
  const steps = data.labels.length;
  let summaryTimer = 0;

  function labelOf(step) {
    return (data.labels[step - 1] || "").replaceAll("->", "→");
  }

  function paintText() {
    const { tree } = board;
    const step = bar.step();
    const sum = { nodes: 0, blocks: 0, locked: 0 };
    for (const [id, i] of tree.row) {
      if (id === TREE.ROOT || tree.gone.has(id)) continue;
      sum.nodes += 1;
      const held = replay.blocksOf(i).length;
      sum.blocks += held;
      if (replay.locks[i] > 0) sum.locked += held;
    }
    const text = step ? `${step}  ${labelOf(step)}` : steps ? "0  before the first step" : "Nothing has happened yet.";
    if (sentence.textContent !== text) sentence.textContent = text;
    noteLine.textContent = step ? data.notes[step - 1] || "" : "";
    faultLine.textContent = step && data.faults[step - 1] ? `The tree is broken: ${data.faults[step - 1]}` : "";
    const free = sum.blocks - sum.locked;
    counts.textContent = `${plural(sum.nodes, "node")} · ${plural(sum.blocks, "block")} · ${sum.locked.toLocaleString("en-US")} locked · ${free.toLocaleString("en-US")} evictable`;
    Object.assign(root.dataset, { step, nodes: sum.nodes, blocks: sum.blocks, locked: sum.locked, gone: tree.gone.size, path: tree.path.size });
    clearTimeout(summaryTimer);
    summaryTimer = setTimeout(() => (summary.textContent = describeAll(sum)), 300);
  }

  function paintDetail() {
    const { tree, shown, hover } = board;
    const id = hover !== null && tree && (tree.row.has(hover) || (shown && shown.stubs.has(hover))) ? hover : null;
    const [text, facts] = id === null ? ["", tree && tree.row.size > 1 ? "Point at a node for its text, blocks, locks and last use." : "The tree is empty."] : describe(id);
    if (detailText.textContent !== text) detailText.textContent = text;
    if (detailFacts.textContent !== facts) detailFacts.textContent = facts;
  }

  /** [the node's whole text, the rest of what there is to say of it]. */
  function describe(id) {
    const { tree, shown } = board;
    if (id < 0) {
      const rest = shown.stubs.get(id);
      return ["", `${plural(rest.children, "more child", "more children")} of ${named(-1 - id)}: ${plural(rest.nodes, "node")}, ${plural(rest.blocks, "block")} · Enter or a click opens them`];
    }
    if (id === TREE.ROOT) return ["", `root · ${plural((tree.children.get(id) || NOTHING).length, "child", "children")}`];
    const i = tree.row.get(id);
    const blocks = [...replay.blocksOf(i)];
    const start = pagesAbove(id);
    const count = replay.pages[replay.key[i]];
    const parts = [
      named(id),
      `${pagesOf(count)}${count ? ` (${count === 1 ? `page ${start}` : `pages ${start} to ${start + count - 1}`} of a prompt)` : ""}`,
      `${blocks.length === 1 ? "block" : "blocks"} ${blocks.slice(0, 40).join(", ")}${blocks.length > 40 ? `, and ${blocks.length - 40} more` : ""}`,
      `locks ${replay.locks[i]}`,
      `last used ${replay.used[i]}${tree.now > replay.used[i] ? ` (${tree.now - replay.used[i]} ago)` : " (latest)"}`,
    ];
    if (tree.path.has(id)) {
      const found = tree.path.get(id) / data.pageBytes;
      parts.push(found >= count ? "on the match path" : `on the match path: ${Math.floor(found)} of ${pagesOf(count)} found`);
    }
    if (tree.gone.has(id)) parts.push("evicted in this step");
    const flags = tree.flags.get(id) || 0;
    if (flags & TREE.TRIMMED) parts.push(`${pagesOf(replay.delta[i])} evicted off its end in this step`);
    if (flags & TREE.GROWN) parts.push(`${pagesOf(replay.delta[i])} added at its end in this step`);
    if (flags & TREE.UPPER) parts.push("the first part of an edge that was split in this step");
    else if (flags & TREE.LOWER) parts.push("the rest of an edge that was split in this step");
    else if (flags & TREE.ADDED && !tree.gone.has(id)) parts.push("new in this step");
    return [data.texts[replay.key[i]], parts.join(" · ")];
  }

  const named = (id) => (id === TREE.ROOT ? "the root" : `node ${id}`);

  function pagesAbove(id) {
    const { row } = board.tree;
    let sum = 0;
    for (let at = replay.parent[row.get(id)]; at > TREE.ROOT && row.has(at); at = replay.parent[row.get(at)]) sum += replay.pages[replay.key[row.get(at)]];
    return sum;
  }

  function describeAll(sum) {
    const { tree } = board;
    const onPath = [...tree.path].filter(([id, found]) => id !== TREE.ROOT && found > 0).map(([id]) => `${named(id)} (${texts[replay.key[tree.row.get(id)]].slice(0, 60)})`);
    return `Radix tree of ${plural(sum.nodes, "node")} and ${plural(sum.blocks, "block")}, ${sum.locked} of them locked. ${onPath.length ? `Match path: ${onPath.slice(0, 12).join(", ")}.` : "No match path in this step."} ${tree.gone.size ? `${plural(tree.gone.size, "node")} evicted in this step.` : ""}`;
  }

  return { labelOf, paintText, paintDetail, describe, stopWords: () => clearTimeout(summaryTimer) };
}

/** The legend's entries for what a log shows. */
function treeLegend(seen) {
  const swatch = (...kids) => svg("svg", { width: 22, height: 12, viewBox: "0 0 22 12", "aria-hidden": "true" }, ...kids);
  const box = (more) => svg("rect", { x: 2.5, y: 1.5, width: 17, height: 9, rx: 2, fill: "none", ...more });
  const entries = [
    ["path", "match path", swatch(svg("path", { d: "M0 6h22", stroke: "var(--lk-accent)", "stroke-width": 3, fill: "none" }))],
    ["locked", "locks: running sequences that hold it", swatch(svg("path", { d: "M8.2 6V4.2a2.8 2.8 0 0 1 5.6 0V6", fill: "none", stroke: "var(--lk-ink)", "stroke-width": 1.4 }), svg("rect", { x: 7, y: 5.6, width: 8, height: 5.4, fill: "var(--lk-ink)" }))],
    ["added", "new in this step", swatch(box({ stroke: "var(--lk-ink)", "stroke-width": 2 }))],
    ["split", "split here", swatch(svg("path", { d: "M0 6h22", stroke: "var(--lk-edge)", fill: "none" }), svg("path", { d: "M6 11l5-10M11 11l5-10", stroke: "var(--lk-ink)", "stroke-width": 1.6, fill: "none" }))],
    ["gone", "evicted in this step", swatch(box({ stroke: "var(--lk-dim)", "stroke-width": 1.3, "stroke-dasharray": "3 2.5" }))],
    ["used", "shade and t: last use, stronger is later", swatch(...SHADES.map((alpha, k) => svg("rect", { x: 1 + 4 * k, y: 1, width: 4, height: 10, fill: "var(--lk-s0)", "fill-opacity": alpha + 0.04 })))],
  ];
  return entries.filter(([kind]) => seen.has(kind)).map(([, words, picture]) => h("span", {}, picture, words));
}
