// What of a radix tree is drawn, how large, and where: the whole tree, or the tree folded around what the step is about.

const TREE_TALLEST = 470; // pixels of the view before it scrolls
const TREE_WHOLE = 620; // of the view in which the whole of a large tree is seen at once, however small
const TREE_TOP = 14;
const TREE_LEFT = 4;
const WIDEST_BOX = 124;
const MOVES_UP_TO = 300; // nodes: a larger tree does not glide, it jumps
const TREE_SAMPLES = 60; // steps at which the size of the tree is taken, for the height of the view

function treePlace(board) {
  const { root, data, replay, canvas, ctx, space, view } = board;
  const steps = data.labels.length;
  const measures = new Map();
  let measured = null; // {rows, depth} that the log needs as it is drawn now

  const arrange = () => (board.folding ? foldTree(replay, board.tree, board.open) : { children: board.tree.children, stubs: new Map() });

  /** Rows and columns that the log needs at its largest, folded or not, taken at some of its steps. */
  function measure(folded) {
    const known = measures.get(folded);
    if (known) return known;
    const every = Math.max(1, Math.ceil(steps / TREE_SAMPLES));
    const most = { rows: 1, depth: 1 };
    for (let step = steps; step >= 1; step -= every) {
      const then = replay.tree(step);
      if (then.empty) continue;
      const { children } = folded ? foldTree(replay, then, new Set()) : then;
      for (const [depth, row] of tidy(children, TREE.ROOT).values()) {
        if (row + 1 > most.rows) most.rows = row + 1;
        if (depth > most.depth) most.depth = depth;
      }
    }
    measures.set(folded, most);
    return most;
  }

  function geometry() {
    const size = { ...TREE_SIZES[board.level] };
    if (size.whole) size.row = Math.min(size.row, (TREE_WHOLE - 2 * TREE_TOP) / measured.rows);
    const depth = Math.max(1, board.folding ? measured.depth : data.maxDepth || measured.depth);
    const column = (view.clientWidth - 2 * TREE_LEFT - ROOT_WIDE - 8) / depth;
    // Where nothing is written on the edges, what room there is goes to the nodes.
    if (!size.text) size.box = Math.floor(Math.max(size.box, Math.min(44, 0.6 * column)));
    const edge = Math.floor(Math.max(size.edge[0], Math.min(size.edge[1], column - size.box)));
    return { ...size, edge, least: size.edge[0], most: size.edge[1], depth };
  }

  /** Pixels for edges and boxes. */
  const inside = () => view.clientWidth - 2 * TREE_LEFT - ROOT_WIDE - 10;

  /** How wide the edges of each depth are, from 1 on: as wide as their texts, and where that is too much the widest give way. */
  function columns(at, size) {
    const deepest = Math.max(0, ...[...at.values()].map(([depth]) => depth));
    if (!size.text) return new Array(deepest + 1).fill(size.edge);
    const wide = new Array(deepest + 1).fill(size.least);
    for (const [id, [depth]] of at) if (depth) wide[depth] = Math.max(wide[depth], Math.min(size.most, board.textWide(id, size)));
    const room = inside() - deepest * size.box;
    const sum = (most) => wide.slice(1).reduce((all, each) => all + Math.min(each, most), 0);
    let most = size.most;
    while (most > size.least && sum(most) > room) most -= 1;
    return wide.map((each) => Math.min(each, most));
  }

  const fits = (size, most) => !size.whole && TREE_TOP * 2 + most.rows * size.row <= TREE_TALLEST && ROOT_WIDE + most.depth * (size.box + size.edge[0]) <= view.clientWidth;

  function layout() {
    board.folding = data.fold ?? !fits(TREE_SIZES[1], measure(false));
    measured = measure(board.folding);
    if (!board.chosen) {
      const found = TREE_SIZES.findIndex((size) => fits(size, measured));
      // Folded, the text is worth more than the whole picture; unfolded, the shape is.
      board.level = found >= 0 ? found : board.folding ? 1 : TREE_SIZES.length - 1;
      if (board.folding) board.level = Math.min(board.level, 1);
    }
    const scale = pixelRatio();
    const size = geometry();
    const height = Math.ceil(Math.max(64, Math.min(size.whole ? TREE_WHOLE : TREE_TALLEST, 2 * TREE_TOP + measured.rows * size.row)));
    view.style.height = `${height}px`;
    const width = view.clientWidth;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(view.clientHeight * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${view.clientHeight}px`;
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    board.laidOut = shape();
    board.shown = null;
  }

  const shape = () => `${root.clientWidth}/${pixelRatio()}`;

  function place() {
    const before = board.shown;
    const drawn = arrange();
    const at = board.tree.empty ? new Map() : tidy(drawn.children, TREE.ROOT);
    const size = geometry();
    const spots = new Map();
    let width = 0;
    let height = 0;
    const edges = columns(at, size);
    // What room is left goes to the boxes: more of the blocks can be named.
    const deepest = edges.length - 1;
    const left = inside() - edges.slice(1).reduce((sum, edge) => sum + edge, deepest * size.box);
    if (size.text && left > 0 && deepest) size.box = Math.min(WIDEST_BOX, size.box + Math.floor(left / deepest));
    const lefts = [TREE_LEFT, TREE_LEFT + ROOT_WIDE + edges[1]];
    for (let depth = 2; depth < edges.length; depth++) lefts.push(lefts[depth - 1] + size.box + edges[depth]);
    for (const [id, [depth, row]] of at) {
      const x = lefts[depth];
      const edge = edges[depth];
      const y = TREE_TOP + (row + 0.5) * size.row;
      spots.set(id, { x, y, depth, row, edge });
      width = Math.max(width, id < 0 ? x - edge + 90 : x + size.box + 12);
      height = Math.max(height, y + size.row / 2 + TREE_TOP);
    }
    board.shown = { ...drawn, spots, size, level: board.level, width, height, step: board.tree.step, order: [...spots.keys()] };
    // The canvas is as large as the view and stands in this space: it must not make it larger.
    space.style.width = `${Math.max(width, view.clientWidth)}px`;
    space.style.height = `${Math.max(height, view.clientHeight)}px`;
    const pans = width > view.clientWidth || height > view.clientHeight;
    canvas.classList.toggle("lk-pans", pans);
    const near = before && before.level === board.level && Math.abs(before.step - board.tree.step) <= 1;
    board.glide = near && !reducedMotion() && spots.size <= MOVES_UP_TO ? { from: before.spots, start: performance.now() } : null;
  }

  /** The node that a step is about: the end of its match path, else the first that it touched. */
  function subject() {
    let deepest = null;
    const look = (id) => {
      const spot = board.shown.spots.get(id);
      if (spot && (!deepest || spot.depth > board.shown.spots.get(deepest).depth)) deepest = id;
    };
    for (const id of board.tree.touched.slice(0, FOLD_FOCUS)) look(id);
    if (deepest === null || deepest === TREE.ROOT) for (const id of board.tree.path.keys()) look(id);
    return deepest;
  }

  function reveal(id) {
    const spot = board.shown.spots.get(id);
    if (!spot) return;
    const { size } = board.shown;
    const left = spot.x - spot.edge;
    if (left < view.scrollLeft) view.scrollLeft = Math.max(0, left);
    else if (spot.x + size.box + 8 > view.scrollLeft + view.clientWidth) view.scrollLeft = spot.x + size.box + 8 - view.clientWidth;
    if (spot.y - size.row < view.scrollTop) view.scrollTop = Math.max(0, spot.y - size.row);
    else if (spot.y + size.row > view.scrollTop + view.clientHeight) view.scrollTop = spot.y + size.row - view.clientHeight;
  }

  return { layout, shape, place, subject, reveal };
}
