// What lies above the canvases: the outlines of the blocks that a step or the pointer touches, and the one link.

function pageLink(board) {
  const { data, replay, bar, stage, overlay, left, right, leftView, rightView, rightSide } = board;
  const { outlines, freed, found, link, badges, physicalAt, logicalAt } = board;

  /** What the step itself points at: the block it gave, and everything it touched. */
  function stepFocus(step) {
    const [from, to] = replay.span(step);
    const { kind, seq, block } = replay.records;
    const touched = new Set();
    const gone = new Set();
    const more = new Set(); // one holder more: found in the cache, or shared
    let target = null;
    const limit = Math.min(to, from + 400);
    for (let i = from; i < limit; i++) {
      const b = block[i];
      if (b < 0 || b >= data.numBlocks) continue;
      if (kind[i] === KIND.FREE || kind[i] === KIND.REMOVED) gone.add(b);
      else if (kind[i] <= KIND.COPY || kind[i] === KIND.REUSE || kind[i] === KIND.FILL || kind[i] === KIND.STORED) touched.add(b);
      if (kind[i] === KIND.SHARE || kind[i] === KIND.REUSE) more.add(b);
      if (seq[i] && (kind[i] === KIND.COPY || (!target && kind[i] <= KIND.SHARE) || (!target && kind[i] === KIND.REUSE))) {
        const index = (replay.tables.get(seq[i]) || NONE).indexOf(b);
        if (index >= 0) target = { block: b, seq: seq[i], index };
      }
    }
    for (const b of touched) gone.delete(b);
    return { target, touched: [...touched].slice(0, 48), gone: [...gone].slice(0, 48), more: [...more].slice(0, 48) };
  }

  function paintLink() {
    if (!board.physical) return;
    const base = stage.getBoundingClientRect();
    overlay.setAttribute("height", base.height);
    const onRight = right.canvas.getBoundingClientRect();
    const rightBox = rightView.getBoundingClientRect();
    const squareR = (block, grow = 0) => {
      const [x, y] = physicalAt(block);
      const px = onRight.left - base.left + x;
      const py = onRight.top - base.top + y;
      if (onRight.top + y + board.physical.cell < rightBox.top || onRight.top + y > rightBox.bottom) return null;
      return { x: px, y: py, s: board.physical.cell + grow };
    };
    const squareL = (seq, index) => {
      const row = board.rows.find((r) => r.seq === seq);
      if (!row || index < 0 || !board.logical) return null;
      const [x, y] = logicalAt(row, index);
      const box = left.canvas.getBoundingClientRect();
      const yy = y - leftView.scrollTop;
      if (yy < -1 || yy + board.logical.cell > box.height + 1) return null;
      return { x: box.left - base.left + x, y: box.top - base.top + yy, s: board.logical.cell };
    };
    const frame = ({ x, y, s }, out = 0.5) => `M${x - out} ${y - out}h${s + 2 * out}v${s + 2 * out}h${-s - 2 * out}z`;
    let doubled = [];
    let marks = [];
    let dashes = [];
    let target = null;
    let near = []; // physical blocks with an outline
    if (board.hover) {
      const holders = board.hover.block >= 0 && board.hover.block < data.numBlocks ? replay.holders[board.hover.block] : NONE;
      if (board.hover.block >= 0 && board.hover.block < data.numBlocks) {
        marks.push(squareR(board.hover.block));
        near = [board.hover.block];
      }
      for (const seq of holders.slice(0, 24)) {
        const index = (replay.tables.get(seq) || NONE).indexOf(board.hover.block);
        if (index >= 0) marks.push(squareL(seq, index));
      }
      target = board.hover.seq ? board.hover : null;
      if (board.hover.side === "left") marks.push(squareL(board.hover.seq, board.hover.index));
    } else {
      const focus = stepFocus(bar.step());
      target = focus.target;
      marks = focus.touched.map((b) => squareR(b));
      dashes = focus.gone.map((b) => squareR(b));
      doubled = focus.more.map((b) => squareR(b));
      near = [...focus.touched, ...focus.gone];
      if (target) marks.push(squareL(target.seq, target.index));
    }
    const around = (boxes, out) => boxes.filter(Boolean).map((box) => frame(box, out)).join("");
    outlines.setAttribute("d", around(marks));
    freed.setAttribute("d", around(dashes));
    found.setAttribute("d", around(doubled, 3.5));
    let path = "";
    if (target) {
      const from = squareL(target.seq, target.index);
      const to = target.block >= 0 && target.block < data.numBlocks ? squareR(target.block) : null;
      if (from && to) {
        path = curve(from, to, stage.classList.contains("lk-stacked"));
        link.style.stroke = board.fills[target.seq];
      }
    }
    link.setAttribute("d", path);
    const line = path ? Math.floor(target.block / board.physical.cols) : -1;
    const crossed = line < 0 ? [] : Array.from({ length: target.block - line * board.physical.cols + 1 }, (_, i) => line * board.physical.cols + i);
    paintBadges([...near, ...crossed], squareR);
  }

  /** Reference counts lie above lines and outlines: those of these blocks, drawn once more as in `drawBlock`. */
  function paintBadges(blocks, squareR) {
    const shown = board.physical.cell >= 22 ? [...new Set(blocks)].filter((b) => replay.holders[b].length > 1) : [];
    badges.replaceChildren(
      ...shown.flatMap((b) => {
        const at = squareR(b);
        if (!at) return [];
        const [x, y] = [at.x + at.s - 1, at.y + 1];
        const refs = replay.holders[b].length;
        const cls = replay.clash[b] ? "lk-badge-clash" : null;
        return [svg("circle", { class: cls, cx: x, cy: y, r: 7 }), svg("text", { class: cls, x, y: y + 0.5, text: refs > 99 ? "99" : String(refs) })];
      }),
    );
  }

  function curve(from, to, stacked) {
    const sx = from.x + from.s / 2;
    const ex = to.x + to.s / 2;
    if (stacked) {
      const sy = from.y + from.s;
      const bend = Math.max(16, (to.y - sy) / 2);
      return `M${sx} ${sy}C${sx} ${sy + bend} ${ex} ${to.y - bend} ${ex} ${to.y}`;
    }
    if (!board.physical.numbers || !board.logical.numbers) {
      // It leaves and arrives from above, so that it runs between rows and not through letters.
      return `M${sx} ${from.y}C${sx} ${from.y - 24} ${ex} ${to.y - 24} ${ex} ${to.y}`;
    }
    // Above every row of blocks a lane of a few pixels is free of numbers; between the sides is a gap. It runs in these.
    const lane = 3;
    const gap = stage.clientWidth - rightSide.clientWidth - 14;
    const a = from.y - lane;
    const b = to.y - lane;
    const r = Math.min(6, Math.abs(b - a) / 2);
    const down = Math.sign(b - a);
    const bend = Math.abs(b - a) < 1 ? "" : `H${gap - r}Q${gap} ${a} ${gap} ${a + down * r}V${b - down * r}Q${gap} ${b} ${gap + r} ${b}`;
    return `M${sx} ${from.y}Q${sx} ${a} ${sx + lane} ${a}${bend}${bend ? "" : `L${gap} ${b}`}H${ex - lane}Q${ex} ${b} ${ex} ${to.y}`;
  }

  return { paintLink };
}
