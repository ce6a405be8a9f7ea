// Pointing at nodes of a radix tree, dragging the picture, and walking over it with the arrow keys.

function treeKeys(board) {
  const { root, replay, bar, say, canvas, view, describe, subject, reveal, toggle, schedule } = board;

  function hit(event) {
    if (!board.shown) return null;
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left + view.scrollLeft;
    const y = event.clientY - box.top + view.scrollTop;
    const { size } = board.shown;
    let best = null;
    let distance = Infinity;
    for (const [id, spot] of board.shown.spots) {
      const wide = id === TREE.ROOT ? ROOT_WIDE : size.box;
      const lead = id === TREE.ROOT ? 0 : spot.edge - SPINE; // a node's edge is the node's too
      if (x < spot.x - lead || x > (id < 0 ? spot.x - lead + STUB_WIDE : spot.x + wide + 4)) continue;
      const away = Math.abs(y - spot.y);
      if (away < distance && away <= Math.max(4, size.row / 2)) [best, distance] = [id, away];
    }
    return best;
  }

  function point(id) {
    if (id === board.hover) return;
    board.hover = id;
    schedule();
  }

  let dragged = null;
  canvas.addEventListener("pointermove", (event) => {
    if (dragged && event.buttons) {
      view.scrollLeft = dragged.left - (event.clientX - dragged.x);
      view.scrollTop = dragged.top - (event.clientY - dragged.y);
      dragged.far ||= Math.hypot(event.clientX - dragged.x, event.clientY - dragged.y) > 4;
      return;
    }
    if (!board.walking) point(hit(event));
  });
  canvas.addEventListener("pointerleave", () => !board.walking && point(null));
  canvas.addEventListener("pointerdown", (event) => {
    walk(false);
    pressed = true;
    setTimeout(() => (pressed = false), 0);
    if (event.button === 0 && event.pointerType === "mouse" && canvas.classList.contains("lk-pans")) {
      dragged = { x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop, far: false };
      canvas.setPointerCapture(event.pointerId);
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!dragged || !dragged.far) toggle(hit(event));
    dragged = null;
  });
  canvas.addEventListener("pointercancel", () => (dragged = null));
  view.addEventListener("scroll", schedule);

  // Arrows step through the log, also after a click into the picture. They go from node to node once the canvas was
  // reached by Tab, or after Enter on it; Escape ends that.
  let pressed = false;
  let kept = null;
  function walk(on) {
    board.walking = on;
    root.classList.toggle("lk-walks", on);
    view.classList.toggle("lk-walked", on);
  }
  function to(id) {
    if (id === null || id === undefined || !board.shown) return;
    point(id);
    reveal(id);
    say(describe(id).filter(Boolean).join(" · "));
  }
  canvas.addEventListener("focus", () => {
    walk(kept ?? !pressed);
    kept = null;
    if (board.walking && board.shown) to(board.hover ?? subject() ?? TREE.ROOT);
  });
  canvas.addEventListener("blur", () => {
    kept = document.activeElement === canvas ? board.walking : null;
    walk(false);
    point(null);
  });
  const beside = (by) => {
    const here = board.shown.spots.get(board.hover);
    if (!here) return TREE.ROOT;
    const column = [...board.shown.spots].filter(([, spot]) => spot.depth === here.depth).sort((a, b) => a[1].row - b[1].row);
    const at = column.findIndex(([id]) => id === board.hover) + by;
    return column[Math.max(0, Math.min(column.length - 1, at))][0];
  };
  const walked = (act) => () => {
    if (!board.walking || !board.shown || board.tree.empty) return false;
    to(act());
    return true;
  };
  keys(canvas, {
    ArrowRight: walked(() => (board.hover === null ? TREE.ROOT : (board.shown.children.get(board.hover) || [board.hover])[0])),
    ArrowLeft: walked(() => (board.hover === null || board.hover === TREE.ROOT ? TREE.ROOT : board.hover < 0 ? -1 - board.hover : replay.parent[board.tree.row.get(board.hover)])),
    ArrowUp: walked(() => beside(-1)),
    ArrowDown: walked(() => beside(1)),
    Home: walked(() => TREE.ROOT),
    End: walked(() => subject() ?? TREE.ROOT),
    Escape: () => {
      if (!board.walking) return false;
      point(null);
      bar.root.querySelector("input").focus();
      return true;
    },
    Enter: () => {
      if (!board.walking) {
        walk(true);
        to(board.hover ?? subject() ?? TREE.ROOT);
      } else toggle(board.hover);
      return true;
    },
  });
}
