// A page table in words: the step's sentence, the counts, the legend, and what a block is to those who hear it.

function pageWords(board) {
  const { root, data, replay, bar, sentence, wrong, legend, counts, detail, summary } = board;
  let summaryTimer = 0;

  function labelOf(step) {
    return (board.labels[step - 1] || "").replaceAll("->", "→");
  }

  /** Only what this log shows at some step. */
  function paintLegend() {
    const { seen } = replay;
    const key = [...seen].sort().join();
    if (legend.dataset.seen === key) return;
    legend.dataset.seen = key;
    const means = [seen.has("named") ? "letter = sequence" : "", seen.has("fill") && data.blockSize ? "height = fill" : ""].filter(Boolean).join(", ");
    const entries = [
      [seen.has("held"), "held", `held${means ? ` (${means})` : ""}`],
      [seen.has("shared"), "shared", "shared (badge = references)"],
      [seen.has("clash"), "clash", "two owners: given out twice", "lk-bad"],
      [seen.has("lost"), "lost", "lost: nobody holds it"],
      [seen.has("cached"), "cached", "cached, reference 0 (slash)"],
      [data.numBlocks > 0, "free", "free"],
    ];
    legend.replaceChildren(
      ...entries
        .filter(([shown]) => shown)
        .map(([, kind, words, cls]) => h("span", { class: cls }, h("i", { class: `lk-swatch lk-sw-${kind}`, "aria-hidden": "true" }), words)),
    );
  }

  function paintText() {
    const step = bar.step();
    const c = replay.counts();
    let lost = 0;
    const twice = [];
    for (let b = 0; b < data.numBlocks; b++) {
      if (replay.clash[b]) twice.push(b);
      if (replay.lost.size && replay.isLost(b)) lost += 1;
    }
    const text = step ? `${step}  ${labelOf(step)}` : replay.steps || board.labels.length ? "0  before the first step" : "Nothing has happened yet.";
    if (sentence.textContent !== text) sentence.textContent = text;
    counts.textContent = `free ${c.free.toLocaleString("en-US")} · held ${(c.held - lost).toLocaleString("en-US")}${replay.seen.has("cached") ? ` · cached ${c.cached.toLocaleString("en-US")}` : ""}${lost ? ` · lost ${lost.toLocaleString("en-US")}` : ""}`;
    wrong.textContent = !twice.length ? "" : twice.length === 1 ? `block ${twice[0]} has two owners` : `blocks ${twice.slice(0, 6).join(", ")}${twice.length > 6 ? " …" : ""} have two owners`;
    paintLegend();
    root.dataset.step = step;
    root.dataset.free = c.free;
    root.dataset.held = c.held - lost;
    root.dataset.lost = lost;
    root.dataset.cached = c.cached;
    detail.textContent = board.hover ? describe(board.hover) : "";
    detail.title = detail.textContent;
    clearTimeout(summaryTimer);
    // The long description is for those who read the page by ear: it need not keep up with a scrub.
    summaryTimer = setTimeout(() => (summary.textContent = describeAll(c, lost)), 300);
  }

  function describe(spot) {
    const { block } = spot;
    if (block < 0) return `${board.names[spot.seq]} · logical ${spot.index} · no block`;
    if (block >= data.numBlocks) return `block ${block} is not in the pool`;
    const holders = replay.holders[block];
    if (replay.isLost(block)) return `block ${block} · lost: nobody holds it`;
    if (!holders.length) return `block ${block} · ${replay.cached[block] ? "cached, reference 0" : "free"}`;
    const parts = holders.slice(0, 4).map((seq) => {
      const index = (replay.tables.get(seq) || NONE).indexOf(block);
      return seq ? board.names[seq] + (index >= 0 ? ` (logical ${index})` : "") : "";
    });
    const named = parts.filter(Boolean);
    const who = named.length ? `held by ${named.join(", ")}${holders.length > 4 ? " …" : ""}` : "held";
    const refs = replay.clash[block] ? " · two owners" : holders.length > 1 ? ` · ${holders.length} references` : "";
    const amount = replay.fill[block];
    const full = amount < 0 ? "" : data.blockSize ? ` · ${amount} of ${data.blockSize} tokens` : ` · ${plural(amount, "token")}`;
    return `block ${block} · ${who}${refs}${full}`;
  }

  function describeAll(c, lost) {
    const held = [...replay.tables.entries()].filter(([seq, t]) => t.length && !replay.lost.has(seq)).slice(0, 12);
    const lines = held.map(([seq, table]) => {
      const tokens = replay.tokens(seq);
      return `${board.names[seq]}: ${tokens === null ? "" : `${plural(tokens, "token")} in `}blocks ${table.slice(0, 24).join(", ")}${table.length > 24 ? " and more" : ""}.`;
    });
    return `Pool of ${plural(data.numBlocks, "block")}: ${c.held - lost} held, ${replay.seen.has("cached") ? `${c.cached} cached, ` : ""}${c.free} free${lost ? `, ${lost} lost` : ""}. ${lines.join(" ")}`;
  }

  return { paintText, describe, labelOf, stopWords: () => clearTimeout(summaryTimer) };
}
