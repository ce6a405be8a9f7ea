// How a radix tree is painted on a canvas: the root at the left, one column a depth, the tokens on the edges. Only what
// lies in the part that is asked for is drawn, whatever the tree's size.

const TREE_SIZES = [
  { row: 48, box: 108, tall: 34, edge: [86, 260], text: 11.5, lines: 2 },
  { row: 32, box: 84, tall: 20, edge: [70, 200], text: 11, lines: 1 },
  { row: 18, box: 26, tall: 11, edge: [30, 70] },
  { row: 9, box: 15, tall: 6, edge: [16, 34] },
  { row: 5, box: 10, tall: 4, edge: [10, 24] },
  { row: 2, box: 9, tall: 2, edge: [6, 40], whole: true },
];
const ROOT_WIDE = 40;
const STUB_WIDE = 66; // the mark of what is folded
const SPINE = 9; // from a box to the line that its children hang on
const SHADES = [0.05, 0.14, 0.24, 0.34, 0.46]; // of the one hue, oldest use first; text stays readable on all of them

/** Pages by count, for words beside a node. */
const pagesOf = (count) => plural(count, "page");

/** A padlock of about 8 by 10 around (x, y). */
function lockPath(ctx, x, y) {
  ctx.beginPath();
  ctx.arc(x, y - 1.2, 2.3, Math.PI, 0);
  ctx.lineTo(x + 2.3, y + 0.6);
  ctx.moveTo(x - 2.3, y - 1.2);
  ctx.lineTo(x - 2.3, y + 0.6);
  ctx.stroke();
  ctx.fillRect(x - 3.6, y + 0.2, 7.2, 4.6);
}

/**
 * A painter for one log and one canvas. `texts` are the edges' texts, one line each, by key; `pageBytes` the bytes of a
 * page. Returns {paint(scene), forget()}. A scene is {tree, shown, glide, share, colors, left, top, width, height}: the
 * tree as `TreeReplay.tree` gives it; where its nodes stand (`spots`, `size`, `children`, `stubs`); where they come from
 * and how far they have got, 0 to 1; and the part to be drawn. `forget` is for when fonts or the canvas have changed.
 */
function treePainter(ctx, replay, texts, pageBytes) {
  const clock = clockSpan();
  let tree = null;
  let shown = null;
  let glide = null;
  let colors = {};
  let family = "sans-serif";
  let mono = "monospace";

  /** The whole range of last uses in the log: a shade means the same age at every step. */
  function clockSpan() {
    let low = Infinity;
    let high = -Infinity;
    for (let i = 0; i < replay.count; i++) {
      if (replay.kind[i] !== TREE.SET || replay.node[i] === TREE.ROOT) continue;
      low = Math.min(low, replay.used[i]);
      high = Math.max(high, replay.used[i]);
    }
    return Math.max(1, high - low);
  }

  /** 4 for what was just used, down to 0 for what has waited for most of the log; by halving, as ages are skewed. */
  function shadeOf(i) {
    const age = tree.now - replay.used[i];
    return Math.max(0, Math.min(4, Math.round(4 * (1 - Math.log1p(age) / Math.log1p(clock)))));
  }

  function spotNow(id, share) {
    const spot = shown.spots.get(id);
    if (!glide || share >= 1) return spot;
    const from = glide.from.get(id);
    if (!from) return spot;
    return { ...spot, x: from.x + (spot.x - from.x) * share, y: from.y + (spot.y - from.y) * share };
  }

  function paint(scene) {
    ({ tree, shown, glide, colors } = scene);
    const { left, top, width, height, share } = scene;
    const { size, order, children } = shown;
    const crisp = (v) => Math.round(v) + 0.5;
    ctx.clearRect(0, 0, width + 1, height + 1);
    ctx.save();
    ctx.translate(-left, -top);
    const inView = (x0, x1, y0, y1) => x1 >= left - 8 && x0 <= left + width + 8 && y1 >= top - 8 && y0 <= top + height + 8;
    const right = (id, spot) => spot.x + (id === TREE.ROOT ? ROOT_WIDE : size.box);
    const small = size.row < 16;

    // Edges: those of the path on top, thicker; a gone node's dashed.
    const lines = { plain: new Path2D(), lit: new Path2D(), gone: new Path2D() };
    const texted = [];
    const boxes = [];
    for (const id of order) {
      const spot = spotNow(id, share);
      if (inView(spot.x - 2, right(id, spot) + 14, spot.y - size.row, spot.y + size.row)) boxes.push([id, spot]);
      const list = children.get(id);
      if (!list) continue;
      const px = right(id, spot);
      const spine = crisp(px + (small ? Math.min(SPINE, size.edge / 2) : SPINE));
      let low = spot.y;
      let high = spot.y;
      for (const child of list) {
        const to = spotNow(child, share);
        if (to.y < low) low = to.y;
        if (to.y > high) high = to.y;
      }
      if (!inView(px, px + size.edge, low - size.row, high + size.row)) continue;
      lines.plain.moveTo(px, crisp(spot.y));
      lines.plain.lineTo(spine, crisp(spot.y));
      let first = spot.y;
      let last = spot.y;
      for (const child of list) {
        const to = spotNow(child, share);
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

    if (size.text) for (const each of texted) paintEdgeText(...each);
    if (small) paintMarks(boxes);
    else for (const [id, spot] of boxes) paintBox(id, spot);
    ctx.restore();
  }

  /** Whether the match went through all of a node's edge: one that ends inside it does not reach the node. */
  function reached(id) {
    return tree.path.has(id) && tree.path.get(id) >= replay.pages[replay.key[tree.row.get(id)]] * pageBytes;
  }

  function font(weight, px, face) {
    const wanted = `${weight} ${px}px ${face}`;
    if (ctx.lkFont !== wanted) ctx.font = ctx.lkFont = wanted;
  }

  function paintEdgeText(id, spot, spine) {
    if (id < 0) return;
    const { size } = shown;
    const i = tree.row.get(id);
    const cut = (tree.flags.get(id) || 0) & TREE.LOWER;
    const x = spine + (cut ? 13 : 7); // beside the mark of the cut
    const room = spot.x - 6 - x;
    const lit = tree.path.has(id) && tree.path.get(id) > 0;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    font(lit ? 600 : 400, size.text, mono);
    ctx.fillStyle = tree.gone.has(id) ? colors.dim : colors.ink;
    ctx.fillText(shorten(texts[replay.key[i]], room), x, spot.y - 5);
    if (cut) {
      ctx.strokeStyle = colors.ink;
      ctx.lineWidth = 1.6;
      ctx.beginPath();
      for (const dx of [-2, 3]) {
        ctx.moveTo(spine + 4 + dx - 2.5, spot.y + 6);
        ctx.lineTo(spine + 4 + dx + 2.5, spot.y - 5);
      }
      ctx.stroke();
    }
    if (size.lines < 2) return;
    font(cut ? 600 : 400, 10, family);
    ctx.fillStyle = cut ? colors.ink : colors.dim;
    const pages = pagesOf(replay.pages[replay.key[i]]);
    const partly = lit && tree.path.get(id) < replay.pages[replay.key[i]] * pageBytes;
    const words = partly ? `${Math.floor(tree.path.get(id) / pageBytes)} of ${pages} found` : pages;
    ctx.fillText(shorten(cut ? `split · ${words}` : words, room - 4), x, spot.y + 13);
  }

  const short = new Map();
  /** A text cut to `room` pixels in the font that is set. */
  function shorten(text, room) {
    const key = `${ctx.lkFont}/${Math.floor(room)}/${text}`;
    let found = short.get(key);
    if (found === undefined) {
      if (short.size > 20000) short.clear();
      // A first guess by the width of one letter keeps long texts from being measured whole, letter by letter.
      const most = Math.max(1, Math.ceil(room / Math.max(3, ctx.measureText("i").width)) + 2);
      found = room < 8 ? "" : text.length > most ? clip(ctx, `${text.slice(0, most)}…`, room) : clip(ctx, text, room);
      short.set(key, found);
    }
    return found;
  }

  function paintBox(id, spot) {
    const { size } = shown;
    const x = spot.x;
    const y = Math.round(spot.y - size.tall / 2);
    ctx.textBaseline = "middle";
    if (id === TREE.ROOT) {
      ctx.fillStyle = colors.sunk;
      ctx.strokeStyle = colors.edge;
      ctx.lineWidth = 1;
      ctx.beginPath();
      ctx.roundRect(x + 0.5, Math.round(spot.y - 10) + 0.5, ROOT_WIDE - 1, 20, 10);
      ctx.fill();
      ctx.stroke();
      ctx.textAlign = "center";
      ctx.fillStyle = colors.dim;
      font(400, 11, family);
      ctx.fillText("root", x + ROOT_WIDE / 2, spot.y + 0.5);
      return;
    }
    if (id < 0) {
      const rest = shown.stubs.get(id);
      ctx.textAlign = "left";
      ctx.fillStyle = colors.dim;
      font(400, 11, family);
      ctx.fillText(`▸ ${plural(rest.nodes, "node")}`, x - size.edge + SPINE + 8, spot.y + 0.5);
      return;
    }
    const i = tree.row.get(id);
    const gone = tree.gone.has(id);
    const flags = tree.flags.get(id) || 0;
    const lit = reached(id);
    ctx.beginPath();
    ctx.roundRect(x + 0.5, y + 0.5, size.box - 1, size.tall - 1, size.tall > 20 ? 4 : 3);
    ctx.fillStyle = colors.panel;
    ctx.fill();
    if (!gone) {
      ctx.globalAlpha = SHADES[shadeOf(i)];
      ctx.fillStyle = colors.s0;
      ctx.fill();
      ctx.globalAlpha = 1;
    }
    const fresh = (flags & (TREE.ADDED | TREE.UPPER | TREE.GROWN)) !== 0 && !gone;
    const trimmed = (flags & TREE.TRIMMED) !== 0;
    // Dashed is what goes: all of a node, or the end of one that keeps its shade.
    ctx.strokeStyle = gone ? colors.dim : fresh || trimmed ? colors.ink : lit ? colors.accent : colors.edge;
    ctx.lineWidth = gone || trimmed ? 1.3 : fresh || lit ? 2 : 1;
    ctx.setLineDash(gone || trimmed ? [3, 2.5] : []);
    ctx.stroke();
    ctx.setLineDash([]);
    if (size.text) {
      ctx.textAlign = "left";
      ctx.fillStyle = gone ? colors.dim : colors.ink;
      const room = size.box - 12;
      const used = gone ? "evicted" : `t ${replay.used[i]}${trimmed || flags & TREE.GROWN ? ` · ${trimmed ? "−" : "+"}${replay.delta[i]}` : ""}`;
      if (size.lines === 2) {
        font(400, 11, mono);
        ctx.fillText(blockText(i, room), x + 7, y + 11);
        ctx.fillStyle = gone ? colors.dim : colors.ink;
        font(400, 10.5, family);
        ctx.fillText(used, x + 7, y + 25);
      } else {
        font(400, 10.5, family);
        const taken = replay.locks[i] > 0 && !gone ? pillWide(i) + 6 : 6;
        ctx.fillText(shorten(used, size.box - 6 - taken), x + 6, spot.y + 0.5);
      }
    }
    const wrong = !gone && replay.pages[replay.key[i]] !== replay.blocksOf(i).length;
    if (wrong && size.text) {
      ctx.textAlign = "right";
      ctx.fillStyle = colors.bad;
      font(600, 12, family);
      ctx.fillText("!", x + size.box - 5, y + 11);
    }
    if (replay.locks[i] > 0 && !gone) paintLocks(i, x + size.box, y, size);
  }

  const lockCount = (i) => (replay.locks[i] > 999 ? "999+" : String(replay.locks[i]));
  const pillWide = (i) => 17 + 6 * lockCount(i).length;

  /** The badge at the lower right: a padlock and how many running sequences hold the node. */
  function paintLocks(i, x, y, size) {
    ctx.strokeStyle = ctx.fillStyle = colors.ink;
    if (!size.text) {
      ctx.fillRect(x - 5, y + 2, 3, size.tall - 4);
      return;
    }
    const count = lockCount(i);
    const wide = pillWide(i);
    const at = y + size.tall - 17;
    const from = x - wide - 4;
    ctx.beginPath();
    ctx.roundRect(from + 0.5, at + 0.5, wide, 14, 7);
    ctx.fillStyle = colors.panel;
    ctx.fill();
    ctx.lineWidth = 1;
    ctx.strokeStyle = colors.edge;
    ctx.stroke();
    ctx.fillStyle = ctx.strokeStyle = colors.ink;
    ctx.lineWidth = 1.3;
    lockPath(ctx, from + 8, at + 6);
    ctx.textAlign = "left";
    font(600, 10, family);
    ctx.fillText(count, from + 14, at + 8);
  }

  function blockText(i, room) {
    const blocks = replay.blocksOf(i);
    if (!blocks.length) return "no block";
    const parts = [];
    for (let k = 0; k < blocks.length; k++) {
      const rest = blocks.length - k - 1;
      const tail = rest ? ` +${rest}` : "";
      if (k && ctx.measureText([...parts, blocks[k]].join(" ") + tail).width > room) return `${parts.join(" ")} +${blocks.length - k}`;
      parts.push(blocks[k]);
      if (ctx.measureText(parts.join(" ")).width > room) break;
    }
    return parts.join(" ");
  }

  /** Many small nodes: one path a look, so that thousands are a handful of calls. */
  function paintMarks(boxes) {
    const { size } = shown;
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

  /** Fonts of the page as it is now; what was measured in others is dropped. */
  function forget(fonts) {
    ({ family, mono } = fonts);
    ctx.lkFont = null;
    short.clear();
  }

  return { paint, forget };
}
