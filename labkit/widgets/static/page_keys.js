// Pointing at blocks of a page table, and walking over them with the arrow keys.

function pageKeys(board) {
  const { root, data, replay, bar, say, left, right, leftView, rightView, physicalAt, logicalAt, describe, schedule } = board;
  let walking = null; // the canvas in which the arrow keys go from block to block

  function hitRight(event) {
    const box = right.canvas.getBoundingClientRect();
    const x = event.clientX - box.left - board.physical.x0;
    const y = event.clientY - box.top - TOP;
    const col = Math.floor(x / board.physical.px);
    const line = Math.floor(y / board.physical.py);
    if (x < 0 || y < 0 || col >= board.physical.cols) return null;
    const block = line * board.physical.cols + col;
    return block < data.numBlocks ? spotOf(block) : null;
  }

  function spotOf(block) {
    const seq = replay.holders[block].find((s) => s !== 0) || 0;
    return { side: "right", block, seq, index: seq ? (replay.tables.get(seq) || NONE).indexOf(block) : -1 };
  }

  function hitLeft(event) {
    const box = left.canvas.getBoundingClientRect();
    const y = event.clientY - box.top + leftView.scrollTop;
    const x = event.clientX - box.left - board.logical.lw;
    const row = board.rows.find((r) => y >= r.y && y < r.y + r.height);
    if (!row || x < 0) return null;
    const index = Math.floor((y - row.y) / board.logical.py) * board.logical.cols + Math.floor(x / board.logical.px);
    if (index >= row.table.length || Math.floor(x / board.logical.px) >= board.logical.cols) return null;
    return { side: "left", seq: row.seq, index, block: row.table[index] };
  }

  function point(spot) {
    const key = spot && `${spot.side}${spot.seq}/${spot.index}/${spot.block}`;
    if (key === (board.hover && board.hover.key)) return;
    board.hover = spot && { ...spot, key };
    schedule();
  }

  right.canvas.addEventListener("pointermove", (event) => board.physical && point(hitRight(event)));
  left.canvas.addEventListener("pointermove", (event) => board.logical && point(hitLeft(event)));
  // Arrow keys step through the log, also after a click into the picture. They go from block to block once a canvas
  // was reached by Tab, or after Enter on it; Escape ends that.
  function walk(canvas) {
    walking = canvas;
    root.classList.toggle("lk-walks", canvas !== null);
    for (const view of [leftView, rightView]) view.classList.toggle("lk-walked", canvas !== null && view.contains(canvas));
  }
  for (const { canvas } of [left, right]) {
    let pressed = false;
    let kept = null; // whether it was walked in when the whole window lost the focus
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("pointerdown", () => {
      pressed = true;
      walk(null);
      setTimeout(() => (pressed = false), 0);
    });
    canvas.addEventListener("focus", () => {
      walk((kept ?? !pressed) ? canvas : null);
      kept = null;
    });
    canvas.addEventListener("blur", () => {
      kept = document.activeElement === canvas ? walking === canvas : null;
      walk(null);
      point(null);
    });
  }
  /** The keys of a canvas, while it is walked in; `start` begins. */
  const walkKeys = (canvas, map, start) => {
    const only = (act) => (event) => (walking === canvas ? act(event) : false);
    const begin = () => {
      if (walking === canvas) return false;
      walk(canvas);
      return start();
    };
    keys(canvas, { ...Object.fromEntries(Object.entries(map).map(([key, act]) => [key, only(act)])), Enter: begin });
  };
  const toBlock = (block) => {
    const spot = spotOf(Math.max(0, Math.min(data.numBlocks - 1, block)));
    point(spot);
    say(describe(spot));
    const [, y] = physicalAt(spot.block);
    if (y < rightView.scrollTop) rightView.scrollTop = y - TOP;
    else if (y + board.physical.py > rightView.scrollTop + rightView.clientHeight) rightView.scrollTop = y + board.physical.py - rightView.clientHeight;
  };
  const here = () => (board.hover && board.hover.side === "right" ? board.hover.block : null);
  const move = (by) => () => toBlock(here() === null ? 0 : here() + by());
  const away = () => {
    point(null);
    bar.root.querySelector("input").focus();
  };
  walkKeys(right.canvas, {
    ArrowLeft: move(() => -1),
    ArrowRight: move(() => 1),
    ArrowUp: move(() => -board.physical.cols),
    ArrowDown: move(() => board.physical.cols),
    Home: () => toBlock(0),
    End: () => toBlock(data.numBlocks - 1),
    Escape: away,
  }, () => toBlock(here() ?? 0));
  const toLogical = (dr, di) => () => {
    const live = board.rows.filter((r) => r.table.length);
    if (!live.length) return;
    let at = board.hover && board.hover.side === "left" ? live.findIndex((r) => r.seq === board.hover.seq) : -1;
    let index = at < 0 ? 0 : board.hover.index + di;
    at = at < 0 ? 0 : Math.max(0, Math.min(live.length - 1, at + dr));
    const row = live[at];
    index = Math.max(0, Math.min(row.table.length - 1, index));
    const spot = { side: "left", seq: row.seq, index, block: row.table[index] };
    const [, y] = logicalAt(row, index);
    if (y < leftView.scrollTop) leftView.scrollTop = y - TOP;
    else if (y + board.logical.py > leftView.scrollTop + leftView.clientHeight) leftView.scrollTop = y + board.logical.py - leftView.clientHeight;
    point(spot);
    say(`${board.names[row.seq]}, logical ${index}: ${describe(spot)}`);
  };
  walkKeys(left.canvas, {
    ArrowLeft: toLogical(0, -1),
    ArrowRight: toLogical(0, 1),
    ArrowUp: toLogical(-1, 0),
    ArrowDown: toLogical(1, 0),
    Home: toLogical(0, -1e9),
    End: toLogical(0, 1e9),
    Escape: away,
  }, toLogical(0, 0));
}
