// How a radix tree is painted on a canvas: the root at the left, one column a depth, the tokens on the edges. Only what
// lies in the part that is asked for is drawn, whatever the tree's size.

const TREE_SIZES = [
  { row: 48, box: 88, tall: 34, edge: [64, 300], text: 11.5, lines: 2 },
  { row: 32, box: 76, tall: 20, edge: [60, 200], text: 11, lines: 1 },
  { row: 18, box: 26, tall: 11, edge: [30, 70] },
  { row: 9, box: 15, tall: 6, edge: [16, 34] },
  { row: 5, box: 10, tall: 4, edge: [10, 24] },
  { row: 2, box: 9, tall: 2, edge: [6, 40], whole: true },
];
const ROOT_WIDE = 40;
const STUB_WIDE = 66; // the mark of what is folded
const SPINE = 9; // from a box to the line that its children hang on

/**
 * A painter for one log and one canvas. `texts` are the edges' texts, one line each, by key; `pageBytes` the bytes of a
 * page. Returns {paint(scene), forget(), textWide(...)}. A scene is {tree, shown, glide, share, colors, left, top, width, height}: the
 * tree as `TreeReplay.tree` gives it; where its nodes stand (`spots`, `size`, `children`, `stubs`); where they come from
 * and how far they have got, 0 to 1; and the part to be drawn. `forget` is for when fonts or the canvas have changed.
 */
function treePainter(ctx, replay, texts, pageBytes) {
  const scene = { family: "sans-serif", mono: "monospace" };
  const { shadeOf, reached, paintEdgeText, paintBox, forget, textWide } = treeGlyphs(ctx, scene, replay, texts, pageBytes);

  function paint(next) {
    Object.assign(scene, next);
    const { left, top, width, height } = scene;
    const { size } = scene.shown;
    ctx.clearRect(0, 0, width + 1, height + 1);
    ctx.save();
    ctx.translate(-left, -top);
    const { lines, texted, boxes } = inSight();
    strokeLines(lines);
    if (size.text) for (const each of texted) paintEdgeText(...each);
    if (isSmall()) paintMarks(boxes);
    else for (const [id, spot] of boxes) paintBox(id, spot);
    ctx.restore();
  }

  const isSmall = () => scene.shown.size.row < 16;

  /** Where a node stands now: it glides from where it stood before. */
  function spotNow(id) {
    const { glide, share } = scene;
    const spot = scene.shown.spots.get(id);
    if (!glide || share >= 1) return spot;
    const from = glide.from.get(id);
    if (!from) return spot;
    return { ...spot, x: from.x + (spot.x - from.x) * share, y: from.y + (spot.y - from.y) * share };
  }

  /** What lies in the part that is asked for: the lines, as paths; [node, spot, x of its spine] of edges; [node, spot]. */
  function inSight() {
    const { tree, left, top, width, height } = scene;
    const { size, order, children } = scene.shown;
    const crisp = (v) => Math.round(v) + 0.5;
    const inView = (x0, x1, y0, y1) => x1 >= left - 8 && x0 <= left + width + 8 && y1 >= top - 8 && y0 <= top + height + 8;
    const right = (id, spot) => spot.x + (id === TREE.ROOT ? ROOT_WIDE : size.box);
    const small = isSmall();
    const lines = { plain: new Path2D(), lit: new Path2D(), gone: new Path2D() };
    const texted = [];
    const boxes = [];
    for (const id of order) {
      const spot = spotNow(id);
      if (inView(spot.x - 2, right(id, spot) + 14, spot.y - size.row, spot.y + size.row)) boxes.push([id, spot]);
      const list = children.get(id);
      if (!list) continue;
      const px = right(id, spot);
      const spine = crisp(px + (small ? Math.min(SPINE, scene.shown.spots.get(list[0]).edge / 2) : SPINE));
      let low = spot.y;
      let high = spot.y;
      for (const child of list) {
        const to = spotNow(child);
        if (to.y < low) low = to.y;
        if (to.y > high) high = to.y;
      }
      const edge = scene.shown.spots.get(list[0]).edge;
      if (!inView(px, px + edge, low - size.row, high + size.row)) continue;
      lines.plain.moveTo(px, crisp(spot.y));
      lines.plain.lineTo(spine, crisp(spot.y));
      let first = spot.y;
      let last = spot.y;
      for (const child of list) {
        const to = spotNow(child);
        const gone = child >= 0 && tree.gone.has(child);
        const seen = inView(px, to.x, to.y - size.row, to.y + size.row);
        if (!gone) {
          if (to.y < first) first = to.y;
          if (to.y > last) last = to.y;
        }
        const lit = child >= 0 && tree.path.has(child) ? tree.path.get(child) : 0;
        if (lit) {
          const whole = Math.max(1, replay.pages[replay.key[tree.row.get(child)]] * pageBytes);
          const end = spine + (to.x - spine) * Math.min(1, lit / whole);
          lines.lit.moveTo(px, crisp(spot.y));
          lines.lit.lineTo(spine, crisp(spot.y));
          lines.lit.lineTo(spine, crisp(to.y));
          lines.lit.lineTo(end, crisp(to.y));
          if (lit < whole && !small) {
            lines.lit.moveTo(end, crisp(to.y) - 4);
            lines.lit.lineTo(end, crisp(to.y) + 4);
          }
        }
        if (!seen) continue;
        const line = gone ? lines.gone : lines.plain;
        if (gone) {
          line.moveTo(spine, crisp(spot.y));
          line.lineTo(spine, crisp(to.y));
        } else line.moveTo(spine, crisp(to.y));
        line.lineTo(child < 0 ? spine + 5 : to.x, crisp(to.y));
        if (size.text) texted.push([child, to, spine]);
      }
      if (first < last) {
        lines.plain.moveTo(spine, crisp(Math.max(first, top - 20)));
        lines.plain.lineTo(spine, crisp(Math.min(last, top + height + 20)));
      }
    }
    return { lines, texted, boxes };
  }

  /** Edges: those of the path on top, thicker; a gone node's dashed. */
  function strokeLines(lines) {
    const { colors } = scene;
    const { size } = scene.shown;
    const small = isSmall();
    ctx.lineJoin = "round";
    ctx.strokeStyle = colors.edge;
    ctx.lineWidth = 1;
    ctx.globalAlpha = size.whole ? 0.35 : small ? 0.65 : 1;
    ctx.stroke(lines.plain);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colors.dim;
    ctx.setLineDash([3, 2.5]);
    ctx.stroke(lines.gone);
    ctx.setLineDash([]);
    ctx.strokeStyle = colors.accent;
    ctx.lineWidth = small ? 2 : 3;
    ctx.stroke(lines.lit);
  }

  /** Many small nodes: one path a look, so that thousands are a handful of calls. */
  function paintMarks(boxes) {
    const { tree, colors } = scene;
    const { size } = scene.shown;
    const fills = SHADES.map(() => new Path2D());
    const edges = { plain: new Path2D(), locked: new Path2D(), lit: new Path2D(), fresh: new Path2D(), gone: new Path2D() };
    for (const [id, spot] of boxes) {
      if (id < 0) continue;
      const i = tree.row.get(id);
      const y = Math.round(spot.y - size.tall / 2);
      const x = Math.round(spot.x);
      if (id === TREE.ROOT) {
        edges.plain.rect(x + ROOT_WIDE - size.box, y, size.box, size.tall);
        continue;
      }
      if (tree.gone.has(id)) {
        edges.gone.rect(x + 0.5, y + 0.5, size.box - 1, size.tall - 1);
        continue;
      }
      fills[shadeOf(i)].rect(x, y, size.box, size.tall);
      if (replay.locks[i] > 0) edges.locked.rect(x + size.box - 3, y, 3, size.tall);
      if ((tree.flags.get(id) || 0) & TREE.TRIMMED) edges.gone.rect(x + 0.5, y + 0.5, size.box - 1, size.tall - 1);
      if ((tree.flags.get(id) || 0) & (TREE.ADDED | TREE.UPPER | TREE.GROWN)) edges.fresh.rect(x, y, size.box, size.tall);
      else if (reached(id)) edges.lit.rect(x, y, size.box, size.tall);
    }
    ctx.fillStyle = colors.s0;
    fills.forEach((path, shade) => {
      // Without numbers the shade alone says how old a node is, and no text stands on it: it may reach further.
      ctx.globalAlpha = 0.18 + 0.2 * shade;
      ctx.fill(path);
    });
    ctx.globalAlpha = 1;
    ctx.fillStyle = colors.ink;
    ctx.fill(edges.locked);
    ctx.lineWidth = size.tall > 3 ? 1.5 : 1;
    ctx.strokeStyle = colors.edge;
    ctx.stroke(edges.plain);
    ctx.strokeStyle = colors.accent;
    ctx.stroke(edges.lit);
    ctx.strokeStyle = colors.ink;
    ctx.stroke(edges.fresh);
    ctx.strokeStyle = colors.dim;
    ctx.setLineDash([2, 2]);
    ctx.stroke(edges.gone);
    ctx.setLineDash([]);
  }

  return { paint, forget, textWide };
}
