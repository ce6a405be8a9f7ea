// The nodes of a radix tree and the texts on its edges, each by itself, on a canvas.

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

/** What paints one node or edge of the scene that `scene` holds at the time; see `treePainter`. */
function treeGlyphs(ctx, scene, replay, texts, pageBytes) {
  const clock = clockSpan();

  /** The whole range of last uses in the log: a shade means the same age at every step. */
  function clockSpan() {
    let low = Infinity;
    let high = -Infinity;
    for (let i = 0; i < replay.count; i++) {
      if (replay.flags[i] & TREE.GONE || replay.node[i] === TREE.ROOT) continue;
      low = Math.min(low, replay.used[i]);
      high = Math.max(high, replay.used[i]);
    }
    return Math.max(1, high - low);
  }

  /** 4 for what was just used, down to 0 for what has waited for most of the log; by halving, as ages are skewed. */
  function shadeOf(i) {
    const age = scene.tree.now - replay.used[i];
    return Math.max(0, Math.min(4, Math.round(4 * (1 - Math.log1p(age) / Math.log1p(clock)))));
  }

  /** Whether the match went through all of a node's edge: one that ends inside it does not reach the node. */
  function reached(id) {
    const { tree } = scene;
    return tree.path.has(id) && tree.path.get(id) >= replay.pages[replay.key[tree.row.get(id)]] * pageBytes;
  }

  function font(weight, px, face) {
    const wanted = `${weight} ${px}px ${face}`;
    if (ctx.lkFont !== wanted) ctx.font = ctx.lkFont = wanted;
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

  /** The words under an edge. */
  function edgeWords(tree, id) {
    const i = tree.row.get(id);
    const pages = pagesOf(replay.pages[replay.key[i]]);
    const lit = tree.path.has(id) && tree.path.get(id) > 0;
    const partly = lit && tree.path.get(id) < replay.pages[replay.key[i]] * pageBytes;
    const words = partly ? `${Math.floor(tree.path.get(id) / pageBytes)} of ${pages} found` : pages;
    return (tree.flags.get(id) || 0) & TREE.LOWER ? `split · ${words}` : words;
  }

  /** Pixels that an edge needs for all of its text; of a very long text, for its beginning. */
  function textWide(tree, id, size) {
    if (id < 0) return STUB_WIDE;
    const { family, mono } = scene;
    const cut = (tree.flags.get(id) || 0) & TREE.LOWER;
    font(600, size.text, mono);
    let wide = ctx.measureText(texts[replay.key[tree.row.get(id)]].slice(0, 80)).width;
    if (size.lines > 1) {
      font(600, 10, family);
      wide = Math.max(wide, ctx.measureText(edgeWords(tree, id)).width + 4);
    }
    return Math.ceil(wide) + SPINE + (cut ? 13 : 7) + 8;
  }

  function paintEdgeText(id, spot, spine) {
    if (id < 0) return;
    const { tree, colors, family, mono } = scene;
    const { size } = scene.shown;
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
    ctx.fillText(shorten(edgeWords(tree, id), room - 4), x, spot.y + 13);
  }

  function paintBox(id, spot) {
    ctx.textBaseline = "middle";
    if (id === TREE.ROOT) paintRoot(spot);
    else if (id < 0) paintStub(id, spot);
    else paintNode(id, spot);
  }

  function paintRoot({ x, y }) {
    const { colors, family } = scene;
    ctx.fillStyle = colors.sunk;
    ctx.strokeStyle = colors.edge;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.roundRect(x + 0.5, Math.round(y - 10) + 0.5, ROOT_WIDE - 1, 20, 10);
    ctx.fill();
    ctx.stroke();
    ctx.textAlign = "center";
    ctx.fillStyle = colors.dim;
    font(400, 11, family);
    ctx.fillText("root", x + ROOT_WIDE / 2, y + 0.5);
  }

  function paintStub(id, spot) {
    const { shown, colors, family } = scene;
    const rest = shown.stubs.get(id);
    ctx.textAlign = "left";
    ctx.fillStyle = colors.dim;
    font(400, 11, family);
    ctx.fillText(`▸ ${plural(rest.nodes, "node")}`, spot.x - spot.edge + SPINE + 8, spot.y + 0.5);
  }

  function paintNode(id, spot) {
    const { tree, colors, family } = scene;
    const { size } = scene.shown;
    const x = spot.x;
    const y = Math.round(spot.y - size.tall / 2);
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
    if (size.text) paintBoxText(i, spot, gone, flags);
    const wrong = !gone && replay.pages[replay.key[i]] !== replay.blocksOf(i).length;
    if (wrong && size.text) {
      ctx.textAlign = "right";
      ctx.fillStyle = colors.bad;
      font(600, 12, family);
      ctx.fillText("!", x + size.box - 5, y + 11);
    }
    if (replay.locks[i] > 0 && !gone) paintLocks(i, x + size.box, y);
  }

  /** Blocks and last use in a node's box, whose record is `i`. */
  function paintBoxText(i, spot, gone, flags) {
    const { colors, family, mono } = scene;
    const { size } = scene.shown;
    const x = spot.x;
    const y = Math.round(spot.y - size.tall / 2);
    const trimmed = (flags & TREE.TRIMMED) !== 0;
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
      // Room for one line: the blocks, since the shade says how old a node is.
      const taken = replay.locks[i] > 0 && !gone ? pillWide(i) + 6 : 6;
      font(400, 10.5, gone ? family : mono);
      ctx.fillText(gone ? used : blockText(i, size.box - 6 - taken), x + 6, spot.y + 0.5);
    }
  }

  const lockCount = (i) => (replay.locks[i] > 999 ? "999+" : String(replay.locks[i]));
  const pillWide = (i) => 17 + 6 * lockCount(i).length;

  /** The badge at the lower right: a padlock and how many running sequences hold the node. */
  function paintLocks(i, x, y) {
    const { colors, family } = scene;
    const { size } = scene.shown;
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

  /** Fonts of the page as it is now; what was measured in others is dropped. */
  function forget(fonts) {
    Object.assign(scene, fonts);
    ctx.lkFont = null;
    short.clear();
  }

  return { shadeOf, reached, paintEdgeText, paintBox, forget, textWide };
}
