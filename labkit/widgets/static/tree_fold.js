// A radix tree folded around what a step is about: its match path, what it touched, and a few children beside each.

const FOLD_KEEPS = 3; // children that a fold leaves in sight beside those that the step is about
const FOLD_FOCUS = 40; // nodes of one step that a fold keeps open
const NOTHING = Object.freeze([]);

/**
 * What is drawn of a folded tree: {children, stubs}. In `children` a number below 0, -1 - parent, stands for the children
 * of that parent that are not drawn; `stubs` says how many {children, nodes, blocks} each such mark stands for. Nodes in
 * `open` show all their children.
 */
function foldTree(replay, tree, open) {
  const { children } = tree;
  const keep = new Set();
  const lift = (id) => {
    for (let at = id; at >= 0 && !keep.has(at) && tree.row.has(at); at = replay.parent[tree.row.get(at)]) keep.add(at);
  };
  for (const id of tree.path.keys()) lift(id);
  for (const id of tree.touched.slice(0, FOLD_FOCUS)) lift(id);
  lift(TREE.ROOT);
  const out = new Map();
  const stubs = new Map();
  const todo = [TREE.ROOT];
  while (todo.length) {
    const id = todo.pop();
    const all = children.get(id) || NOTHING;
    if (!all.length) continue;
    const few = open.has(id) ? Infinity : keep.has(id) ? FOLD_KEEPS : 0;
    let extra = few;
    let list = all.filter((child) => keep.has(child) || open.has(child) || extra-- > 0);
    if (few && list.length + 1 === all.length) list = all; // a mark for one child takes as much room as the child
    if (list.length < all.length) {
      const rest = { children: all.length - list.length, nodes: 0, blocks: 0 };
      const drawn = new Set(list);
      for (const child of all) {
        if (drawn.has(child)) continue;
        const below = sizeBelow(replay, tree, child);
        rest.nodes += below.nodes + 1;
        rest.blocks += below.blocks + replay.blocksOf(tree.row.get(child)).length;
      }
      stubs.set(-1 - id, rest);
      list = [...list, -1 - id];
    }
    out.set(id, list);
    for (const child of list) if (child >= 0) todo.push(child);
  }
  return { children: out, stubs };
}

/** Nodes and blocks below a node, itself not counted. */
function sizeBelow(replay, tree, id) {
  const sum = { nodes: 0, blocks: 0 };
  const todo = [...(tree.children.get(id) || NOTHING)];
  while (todo.length) {
    const at = todo.pop();
    sum.nodes += 1;
    sum.blocks += replay.blocksOf(tree.row.get(at)).length;
    const below = tree.children.get(at);
    if (below) for (const child of below) todo.push(child);
  }
  return sum;
}
