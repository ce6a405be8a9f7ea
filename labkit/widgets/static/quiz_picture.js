// The picture of a quiz in which a place is chosen: blocks, lines and words, with a button over each place.

function quizShape(shape) {
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

function quizPicture(quiz) {
  const { draft, drafts, draw, submit, saidTo, feedback } = quiz;

  return function picture(question, state) {
    const { size, label, draw: shapes, regions } = question.picture;
    const value = draft(question);
    const image = svg("svg", { viewBox: `0 0 ${size[0]} ${size[1]}`, role: "img", "aria-label": label, class: "lkq-svg" },
      shapes.map((s) => {
        if (s.line) return svg("polyline", { points: s.line.map((p) => p.join(",")).join(" "), fill: "none", stroke: s.look === "accent" ? "var(--lk-accent)" : s.seq ? `var(--lk-s${s.seq.charCodeAt(0) - 65})` : "var(--lk-edge)", "stroke-width": 1.4, "stroke-dasharray": s.dash ? "4 3" : null });
        if (s.box) return quizShape(s);
        return svg("text", { x: s.at[0], y: s.at[1], "text-anchor": s.anchor || "start", class: "lkq-write", style: s.size ? { "font-size": `${s.size}px` } : null, text: s.write });
      }), regions.map(quizShape));
    const nodes = regions.map((region) => {
      const [x, y, w, hgt] = region.box;
      const said = saidTo(state, region.id);
      const tone = said ? (said.right ? "right" : said.chosen ? "wrong" : "") : "";
      const node = h("button", { type: "button", class: `lkq-region ${tone}`, "data-key": `${question.id}-${region.id}`, "data-chosen": value === region.id, "aria-pressed": String(value === region.id), "aria-label": [region.text.replaceAll("`", ""), region.note].filter(Boolean).join(", "), disabled: state.done,
        style: { left: `${(100 * x) / size[0]}%`, top: `${(100 * y) / size[1]}%`, width: `${(100 * w) / size[0]}%`, height: `${(100 * hgt) / size[1]}%` },
        on: { click: () => { if (drafts[question.id] === region.id && event_is_key) return submit(); drafts[question.id] = region.id; quiz.refusal = { id: "", text: "" }; draw(); } } },
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
      (state.outcome?.feedback || []).map((f) => h("div", { class: `lkq-note ${f.right ? "right" : f.chosen ? "wrong" : ""}` }, h("span", { class: "lkq-text" }, h("b", {}, rich(f.text)), feedback(f)), f.right || f.chosen ? quizVerdict(f.right, f.right ? (f.chosen ? "Right" : "The right answer") : "Not this") : null))];
  };
}
