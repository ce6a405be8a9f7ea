// How the curves of a tournament are told apart: tone, line and mark.

// Told apart without colour: by mark first, by line second. The bound is a plain heavy line, one's own is dashed.
const TB_TONES = [2, 1, 3, 4, 6, 7, 5, 0];
const TB_LINES = ["", "2 3", "9 2 2 2", "", "2 3", "9 2 2 2", "", "2 3"];
const TB_MARKS = ["disc", "square", "up", "diamond", "ring", "cross", "down", "plus"];
const TB_OWN_LINE = "7 4";

function tbMark(kind, x, y, r = 3.6) {
  const at = (d, extra = "") => svg("path", { class: `lk-tour-mark ${extra}`, d });
  const p = (dx, dy) => `${(x + dx * r).toFixed(1)} ${(y + dy * r).toFixed(1)}`;
  if (kind === "square") return at(`M${p(-0.9, -0.9)}L${p(0.9, -0.9)}L${p(0.9, 0.9)}L${p(-0.9, 0.9)}Z`);
  if (kind === "up") return at(`M${p(0, -1.15)}L${p(1.1, 0.9)}L${p(-1.1, 0.9)}Z`);
  if (kind === "down") return at(`M${p(0, 1.15)}L${p(1.1, -0.9)}L${p(-1.1, -0.9)}Z`);
  if (kind === "diamond") return at(`M${p(0, -1.25)}L${p(1.25, 0)}L${p(0, 1.25)}L${p(-1.25, 0)}Z`);
  if (kind === "cross") return at(`M${p(-0.9, -0.9)}L${p(0.9, 0.9)}M${p(-0.9, 0.9)}L${p(0.9, -0.9)}`, "line");
  if (kind === "plus") return at(`M${p(0, -1.1)}L${p(0, 1.1)}M${p(-1.1, 0)}L${p(1.1, 0)}`, "line");
  if (kind === "star") {
    const tip = (k) => p(1.5 * (k % 2 ? 0.45 : 1) * Math.sin((k * Math.PI) / 5), -1.5 * (k % 2 ? 0.45 : 1) * Math.cos((k * Math.PI) / 5));
    return at(`M${[...Array(10).keys()].map(tip).join("L")}Z`);
  }
  return svg("circle", { class: `lk-tour-mark ${kind === "ring" ? "open" : ""}`, cx: x.toFixed(1), cy: y.toFixed(1), r: kind === "ring" ? r * 0.85 : r * 0.95 });
}

/** The tone, the line and the mark of a policy; the bound has none of them. */
function tbLook(policy) {
  if (policy.role === "bound") return { tone: "", line: "", mark: "" };
  if (policy.role === "mine") return { tone: "", line: TB_OWN_LINE, mark: "star" };
  const i = policy.look % TB_MARKS.length;
  return { tone: `var(--lk-s${TB_TONES[i]})`, line: TB_LINES[i], mark: TB_MARKS[i] };
}

/** A piece of a policy's curve, as it stands before the policy's name. */
function tbSample(policy) {
  const style = tbLook(policy);
  const group = svg("g", { class: `lk-tour-curve ${policy.role}` }, svg("path", { class: "line", d: "M1 7h36", "stroke-dasharray": style.line || null }), style.mark ? tbMark(style.mark, 19, 7) : []);
  if (style.tone) group.style.setProperty("--tone", style.tone);
  return svg("svg", { class: "lk-tour-sample", viewBox: "0 0 38 14", "aria-hidden": "true" }, group);
}
