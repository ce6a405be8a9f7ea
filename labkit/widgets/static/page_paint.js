// The two canvases of a page table: only what changed since the last step is painted.

function pagePaint(board) {
  const { data, replay, family, left, right, leftSpace, leftView, placeRows, physicalAt, logicalAt } = board;

  const onDevice = (v) => Math.round(v * pixelRatio()) / pixelRatio();

  function lookOf(block) {
    const holders = replay.holders[block];
    const amount = replay.fill[block];
    return {
      first: holders.length ? holders[0] : -1,
      second: holders.length > 1 ? holders[1] : -1,
      refs: holders.length,
      cached: replay.cached[block] === 1,
      content: board.contentOf(block),
      lost: replay.isLost(block),
      clash: replay.clash[block] === 1,
      level: levelOf(amount),
      label: holders.length ? labelFor(holders) : "",
    };
  }

  function labelFor(holders) {
    const one = shortLabel(board.names[holders[0]] || "");
    if (holders.length < 2) return one;
    const two = shortLabel(board.names[holders[1]] || "");
    return one.length + two.length <= 2 ? one + two : one;
  }

  /**
   * Whatever came before, the canvas must show what a full redraw would. Blocks with numbers and badges reach over into
   * each other's room and are few: there one change paints all. Smaller ones keep to their own pixels and are painted
   * one by one.
   */
  function paintPhysical() {
    const { ctx } = right;
    const s = board.physical.cell;
    const changed = [];
    for (let b = 0; b < data.numBlocks; b++) {
      const holders = replay.holders[b];
      const one = !holders.length && replay.cached[b] ? replay.content[b] + 1 : holders.length ? ((holders[0] + 1) & 0xffff) | (((holders.length > 1 ? holders[1] + 1 : 0) & 0xffff) << 16) : 0;
      const two = ((replay.fill[b] + 1) & 0xffff) | (Math.min(255, holders.length) << 16) | (replay.cached[b] << 24) | (replay.clash[b] << 25);
      if (!board.drawn.fresh && board.drawn.a[b] === one >>> 0 && board.drawn.b[b] === two >>> 0) continue;
      board.drawn.a[b] = one;
      board.drawn.b[b] = two;
      changed.push(b);
    }
    if (!changed.length) return;
    if (board.physical.numbers) {
      ctx.clearRect(0, 0, board.physical.width + 1, board.physical.height + 1);
      ctx.lkFont = null;
      ctx.font = `9.5px ${board.mono}`;
      for (let b = 0; b < data.numBlocks; b++) {
        const [x, y] = physicalAt(b);
        ctx.fillStyle = replay.clash[b] ? board.colors.bad : board.colors.dim;
        ctx.fillText(String(b), x + s / 2, y + s + 9);
      }
      for (let b = 0; b < data.numBlocks; b++) {
        const [x, y] = physicalAt(b);
        drawBlock(ctx, x, y, s, lookOf(b), board.colors, board.fills);
      }
    } else {
      if (board.drawn.fresh) paintLineNumbers();
      if (s < STAMPED) paintStamps(changed);
      else {
        const scale = pixelRatio();
        for (const b of changed) {
          const [x, y] = physicalAt(b).map(onDevice);
          const side = Math.ceil(s * scale) / scale;
          ctx.clearRect(x, y, side, side);
          drawBlock(ctx, x, y, s, lookOf(b), board.colors, board.fills);
        }
      }
    }
    board.drawn.fresh = false;
  }

  function paintLineNumbers() {
    const { ctx } = right;
    ctx.clearRect(0, 0, board.physical.width + 1, board.physical.height + 1);
    ctx.lkFont = null;
    ctx.fillStyle = board.colors.dim;
    ctx.font = `9.5px ${board.mono}`;
    ctx.textAlign = "right";
    const every = Math.max(1, Math.ceil(14 / board.physical.py));
    for (let line = 0; line < board.physical.lines; line += every) {
      ctx.fillText(String(line * board.physical.cols), board.physical.x0 - 6, TOP + line * board.physical.py + board.physical.cell / 2);
    }
    ctx.textAlign = "center";
  }

  function paintStamps(blocks) {
    let top = Infinity;
    let bottom = 0;
    for (const b of blocks) {
      const line = Math.floor(b / board.physical.cols);
      stamp(b, b - line * board.physical.cols, line);
      if (line < top) top = line;
      if (line > bottom) bottom = line;
    }
    const { image, scale } = board.physical;
    const from = Math.floor(top * board.physical.py * scale);
    const height = Math.min(image.height, Math.ceil((bottom + 1) * board.physical.py * scale)) - from;
    right.ctx.putImageData(image, Math.round(board.physical.x0 * scale), Math.round(TOP * scale), 0, from, image.width, height);
  }

  function levelOf(amount) {
    return amount < 0 || !data.blockSize ? 1 : Math.min(1, amount / data.blockSize);
  }

  function slotOf(seq) {
    return replay.lost.has(seq) ? LOST_SLOT : seq ? (board.slots[seq] ?? 0) : 8;
  }

  function stamp(block, column, line) {
    const { scale, image, pixels, tile } = board.physical;
    const holders = replay.holders[block];
    const held = holders.length;
    const { pixels: from, size } = tile(
      held ? slotOf(holders[0]) : -1,
      held > 1 ? slotOf(holders[1]) : -1,
      held,
      held ? 0 : replay.cached[block],
      held ? levelOf(replay.fill[block]) : 0,
      replay.clash[block],
    );
    const left = Math.round(column * board.physical.px * scale);
    let at = Math.round(line * board.physical.py * scale) * image.width + left;
    for (let y = 0, i = 0; y < size; y++, at += image.width) for (let x = 0; x < size; x++) pixels[at + x] = from[i++];
  }

  function paintLogical() {
    if (!board.logical) return;
    board.rows = placeRows();
    const total = board.rows.length ? board.rows[board.rows.length - 1].y + board.rows[board.rows.length - 1].height : TOP;
    leftSpace.style.height = `${Math.max(total, 1)}px`;
    const height = Math.min(board.logical.viewHeight, Math.max(total, 1));
    const scrollTop = onDevice(Math.min(leftView.scrollTop, Math.max(0, total - height)));
    const key = `${board.logical.width}x${height}/${pixelRatio()}`;
    if (left.key !== key) {
      left.size(board.logical.width, height, family);
      left.key = key;
      left.rows = new Map();
    }
    const { ctx } = left;
    const s = board.logical.cell;
    const painted = new Map();
    // Each row owns its lines of pixels: it is cleared and drawn within them, so no row can damage another.
    const only = (from, to, draw) => {
      const y0 = onDevice(from);
      const y1 = onDevice(to);
      ctx.save();
      ctx.beginPath();
      ctx.rect(0, y0, board.logical.width + 1, y1 - y0);
      ctx.clip();
      ctx.clearRect(0, y0, board.logical.width + 1, y1 - y0);
      ctx.lkFont = null;
      draw();
      ctx.restore();
      ctx.lkFont = null;
    };
    const lead = 3; // a row's letters reach a little above its blocks
    const first = board.rows.length ? board.rows[0].y - scrollTop - lead : height;
    let end = Math.max(0, first);
    if (first > 0) only(0, first, () => {});
    for (const row of board.rows) {
      const y0 = row.y - scrollTop;
      if (y0 + row.height < lead || y0 - lead > height) continue;
      // A row that looks as it did is left alone.
      const mark = `${row.seq}/${row.height}/${replay.status.get(row.seq) || ""}/${row.table.map((block) => `${block}:${replay.fill[block] ?? ""}`).join()}`;
      painted.set(y0, mark);
      end = y0 + row.height - lead;
      if (left.rows.get(y0) !== mark) only(y0 - lead, end, () => paintRow(row, y0, s, scrollTop, height));
    }
    if (end < height) only(end, height, () => {});
    left.rows = painted;
  }

  function paintRow(row, y0, s, scrollTop, height) {
    const { ctx } = left;
    const name = board.names[row.seq] || "";
    const empty = row.table.length === 0;
    ctx.textAlign = "left";
    ctx.lkFont = null;
    ctx.fillStyle = empty ? board.colors.dim : board.fills[row.seq];
    if (s >= 16) {
      ctx.font = `600 13px ${family}`;
      ctx.fillText(clip(ctx, name, board.logical.lw - 8), 0, y0 + 7);
      ctx.font = `10px ${family}`;
      ctx.fillStyle = board.colors.dim;
      ctx.fillText(noteOf(row), 0, y0 + 22);
    } else {
      ctx.font = `600 11px ${family}`;
      const short = clip(ctx, name, board.logical.lw - 46);
      ctx.fillText(short, 0, y0 + s / 2 + 0.5);
      const after = ctx.measureText(short).width + 5;
      ctx.font = `9.5px ${family}`;
      ctx.fillStyle = board.colors.dim;
      ctx.fillText(noteOf(row), after, y0 + s / 2 + 0.5);
    }
    ctx.textAlign = "center";
    for (let i = 0; i < row.table.length; i++) {
      const [x, yy] = logicalAt(row, i);
      const y = yy - scrollTop;
      if (y + s < 0 || y > height) continue;
      const block = row.table[i];
      const known = block >= 0 && block < data.numBlocks;
      const amount = known ? replay.fill[block] : -1;
      const level = levelOf(amount);
      if (board.logical.tile) {
        ctx.drawImage(board.logical.tile(block === -1 ? -1 : slotOf(row.seq), -1, 1, 0, level).canvas, x, y, s, s);
      } else if (block === -1) drawBlock(ctx, x, y, s, { first: -1, cached: false }, board.colors, board.fills);
      else drawBlock(ctx, x, y, s, { first: row.seq, second: -1, refs: 1, level, label: shortLabel(name) }, board.colors, board.fills);
      if (board.logical.numbers) {
        ctx.lkFont = null;
        ctx.font = `9.5px ${board.mono}`;
        ctx.fillStyle = board.colors.dim;
        ctx.fillText(block < 0 ? "–" : String(block), x + s / 2, y + s + 8);
      }
    }
  }

  function noteOf(row) {
    const status = replay.status.get(row.seq);
    if (!row.table.length) return status || "no blocks";
    const tokens = replay.tokens(row.seq);
    return tokens === null ? plural(row.table.length, "block") : `${tokens.toLocaleString("en-US")} tok`;
  }

  return { paintPhysical, paintLogical };
}
