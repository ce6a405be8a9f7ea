// How one block looks: drawn, lettered, or stamped where it is small; and the canvas it stands on.

const STAMPED = 13; // blocks smaller than this carry no letter and are stamped
const LOST_SLOT = 9; // where a stamp has the colour of a sequence: the look of a block that nobody holds and nobody can get

/**
 * One block, wherever it is drawn. `look`: {first, second, refs, cached, lost, clash, level 0..1, label}; first < 0:
 * nobody holds it; of a cached one `content` says what it holds. With a badge it takes 6.5 pixels more at its right and top.
 */
function drawBlock(ctx, x, y, s, look, colors, fills) {
  const round = s >= 22 ? 3 : s >= 13 ? 2 : 0;
  const box = (bx, by, w, height, r = round) => {
    ctx.beginPath();
    if (r) ctx.roundRect(bx, by, w, height, r);
    else ctx.rect(bx, by, w, height);
  };
  const line = (x1, y1, x2, y2) => {
    ctx.moveTo(x1, y1);
    ctx.lineTo(x2, y2);
  };
  if (look.first < 0) {
    ctx.fillStyle = look.cached ? colors.cached : colors.free;
    box(x, y, s, s);
    ctx.fill();
    if (look.cached && s >= 4) {
      const inset = s >= 13 ? 4 : s >= 7 ? 1.5 : 0.5;
      ctx.strokeStyle = colors.dim;
      ctx.lineWidth = s >= 13 ? 1.3 : 1;
      ctx.beginPath();
      line(x + inset, y + s - inset, x + s - inset, y + inset);
      ctx.stroke();
      if (s >= 22 && look.content) drawLetter(ctx, look.content, x, y, s, null, colors);
    }
    return;
  }
  const rim = s >= 9 ? 1 : 0;
  if (look.lost) {
    ctx.save();
    box(x, y, s, s);
    ctx.fillStyle = colors.free;
    ctx.fill();
    ctx.clip();
    ctx.strokeStyle = colors.edge;
    ctx.lineWidth = 1;
    ctx.beginPath();
    for (let at = -s; at < s; at += s >= 13 ? 5 : 3) line(x + at, y, x + at + s, y + s);
    ctx.stroke();
    ctx.restore();
    if (rim) {
      ctx.strokeStyle = colors.edge;
      ctx.lineWidth = 1;
      box(x + 0.5, y + 0.5, s - 1, s - 1);
      ctx.stroke();
    }
    if (s >= STAMPED) drawLetter(ctx, "?", x, y, s, null, colors);
    return;
  }
  const color = fills[look.first];
  const shared = look.refs > 1;
  const other = shared ? fills[look.second] : color;
  const height = (s - 2 * rim) * (s < 6 && look.level > 0 ? 1 : look.level);
  const surface = y + s - rim - height;
  ctx.save();
  box(x, y, s, s);
  ctx.clip();
  const part = (bx, w, c) => {
    ctx.fillStyle = c;
    ctx.globalAlpha = 0.2;
    ctx.fillRect(bx, y, w, s);
    ctx.globalAlpha = 1;
    ctx.fillRect(bx, surface, w, y + s - surface);
  };
  if (shared) {
    part(x, s / 2, color);
    part(x + s / 2, s / 2, other);
    ctx.fillStyle = colors.panel; // the seam: two holders can be told apart from one in grey as well
    ctx.fillRect(x + s / 2 - (s >= 13 ? 0.75 : 0.5), y, s >= 13 ? 1.5 : 1, s);
  } else part(x, s, color);
  ctx.restore();
  if (rim || look.clash) {
    const wide = look.clash ? (s >= 13 ? 2.5 : Math.max(1, s / 6)) : 1;
    if (look.clash && s >= 13) {
      ctx.strokeStyle = colors.panel; // between the red and a fill that may be red itself
      ctx.lineWidth = 4;
      box(x + 2, y + 2, s - 4, s - 4);
      ctx.stroke();
    }
    ctx.strokeStyle = look.clash ? colors.bad : color;
    ctx.lineWidth = wide;
    box(x + wide / 2, y + wide / 2, s - wide, s - wide);
    ctx.stroke();
  }
  if (s >= STAMPED && look.label) drawLetter(ctx, shared && s < 22 ? String(look.refs) : look.label, x, y, s, surface, colors);
  if (shared && s >= 22) {
    ctx.beginPath();
    ctx.arc(x + s - 1, y + 1, 7, 0, 7);
    ctx.fillStyle = look.clash ? colors.bad : colors.panel;
    ctx.fill();
    ctx.strokeStyle = look.clash ? colors.bad : colors.edge;
    ctx.lineWidth = 1;
    ctx.stroke();
    if (ctx.lkFont !== 9.5) ctx.font = `600 ${(ctx.lkFont = 9.5)}px ${ctx.lkFamily}`;
    ctx.fillStyle = look.clash ? colors.panel : colors.ink;
    ctx.fillText(look.refs > 99 ? "99" : String(look.refs), x + s - 1, y + 1.5);
  }
}

/**
 * The letter of a block, whole and in one colour: on the fill in the colour for fills, above it in that of text. Where
 * the fill ends behind the letter (`surface`; null: the ground is hatched), it is text with a rim of the panel's colour.
 */
function drawLetter(ctx, text, x, y, s, surface, colors) {
  const fit = fitted(ctx, text, s);
  if (!fit.text) return;
  if (ctx.lkFont !== fit.size) ctx.font = `600 ${(ctx.lkFont = fit.size)}px ${ctx.lkFamily}`;
  const middle = y + s / 2 + 0.5;
  const half = fit.size / 2 + 2; // capitals are lower than the type, by how much depends on the font
  const covered = surface !== null && surface <= middle - half;
  const bare = surface !== null && surface >= middle + half;
  if (!covered && !bare) {
    ctx.strokeStyle = colors.panel;
    ctx.lineWidth = 4;
    ctx.lineJoin = "round";
    ctx.strokeText(fit.text, x + s / 2, middle);
    ctx.lineJoin = "miter";
  }
  ctx.fillStyle = covered ? colors.onfill : colors.ink;
  ctx.fillText(fit.text, x + s / 2, middle);
}

/** The largest type in which a label fits in a block, else that of its first letter. */
function fitted(ctx, text, s) {
  const fits = (ctx.lkFits ??= new Map());
  const key = `${text}/${s}`;
  let fit = fits.get(key);
  if (!fit) {
    const room = s - (s >= 22 ? 5 : 3);
    const kept = ctx.font;
    const largest = s >= 22 ? 11 : 9;
    const fitsAt = (some, size) => {
      ctx.font = `600 ${size}px ${ctx.lkFamily}`;
      return ctx.measureText(some).width <= room;
    };
    const size = [11, 9, 8].find((px) => px <= largest && fitsAt(text, px));
    fit = size ? { text, size } : { text: text.slice(0, 1), size: largest };
    ctx.font = kept;
    fits.set(key, fit);
  }
  return fit;
}

/**
 * Small blocks are stamped: one look is drawn once and copied from then on, which is some ten times faster than drawing
 * it. Returns `tile(slot, other, refs, cached, level, clash)`, where a slot is 0-7 for a colour, 8 for held by nobody with
 * a name, 9 for lost, -1 for not held; the tile has the canvas and its pixels.
 */
function blockTiles(s, scale, colors) {
  const made = new Map();
  const size = Math.max(1, Math.round(s * scale));
  const fills = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => colors[`s${i}`]).concat(colors.held, colors.edge);
  return (slot, other, refs, cached, level, clash = 0) => {
    const tall = slot < 0 ? 0 : Math.max(level > 0 ? 1 : 0, Math.round(level * size));
    const key = ((((slot + 1) * 11 + (refs > 1 ? other + 1 : 0)) * 2 + cached) * 2 + clash) * 512 + tall;
    let tile = made.get(key);
    if (!tile) {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = size;
      const ctx = canvas.getContext("2d", { willReadFrequently: true });
      ctx.fillStyle = colors.panel;
      ctx.fillRect(0, 0, size, size);
      ctx.scale(size / s, size / s);
      drawBlock(ctx, 0, 0, s, { first: slot, second: other, refs, cached: cached === 1, lost: slot === LOST_SLOT, clash: clash === 1, level: tall / size, label: "" }, colors, fills);
      const pixels = new Uint32Array(ctx.getImageData(0, 0, size, size).data.buffer);
      made.set(key, (tile = { canvas, pixels, size }));
    }
    return tile;
  };
}

/** A canvas that knows its size in CSS pixels. */
function board2d(label) {
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": label });
  const ctx = canvas.getContext("2d");
  return {
    canvas,
    ctx,
    size(width, height, family) {
      const scale = pixelRatio();
      canvas.width = Math.max(1, Math.round(width * scale));
      canvas.height = Math.max(1, Math.round(height * scale));
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      ctx.setTransform(scale, 0, 0, scale, 0, 0);
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.lkFamily = family;
      ctx.lkFont = null;
      ctx.lkFits = null;
    },
  };
}
