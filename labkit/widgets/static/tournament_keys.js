// What pointer and keys do over the charts of a tournament: move the cursor over the capacities, light a curve.

function tournamentKeys(board) {
  const { model, panels, charts, at, lit, light, drawLit, drawCursor } = board;

  const moveTo = (index) => {
    const known = model.get("answer").capacities;
    if (!known.length) return;
    const next = known[Math.max(0, Math.min(known.length - 1, index))];
    if (next === board.cursor) return;
    board.cursor = next;
    model.set("cursor", next);
    model.save_changes();
    drawCursor();
  };
  const step = (by) => {
    const rows = model.get("answer").tables[at()] || [];
    if (!rows.length) return;
    const here = rows.findIndex((row) => row.name === lit());
    board.pinned = null;
    light(rows[here < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, here + by))].name);
    const row = rows.find((r) => r.name === board.over);
    panels.setAttribute("aria-valuetext", `${row.name}: hit rate ${row.hit_text}, regret ${row.regret_text}`);
  };
  keys(panels, {
    ArrowRight: () => moveTo(at() + 1),
    ArrowLeft: () => moveTo(at() - 1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Home: () => moveTo(0),
    End: () => moveTo(Infinity),
    Escape: () => {
      if (!lit()) return false;
      board.over = board.pinned = null;
      drawLit();
    },
  });
  shield(panels);
  panels.addEventListener("blur", () => light(null));

  const follow = (event) => {
    const chart = charts.find(({ picture }) => picture.contains(event.target) || picture === event.target);
    if (!chart || !chart.x.length) return light(null);
    const box = chart.picture.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (x < TB_PAD.left - 14) return light(null);
    if (x <= chart.right + 14) moveTo(chart.x.reduce((best, v, i) => (Math.abs(v - x) < Math.abs(chart.x[best] - x) ? i : best), 0));
    light(nearestCurve(chart, x, y));
  };
  panels.addEventListener("pointermove", follow);
  panels.addEventListener("pointerdown", (event) => {
    follow(event);
    panels.focus({ preventScroll: true });
  });
  panels.addEventListener("pointerleave", () => light(null));
}
