// A radix tree at any step of its tree log. The log keeps a whole tree per step (labkit/observe/trees.py), as the list of its
// records: parents before their children, and these in their order. A browser test holds the two together.

const TREE_FIELDS = ["node", "parent", "key", "blocks", "locks", "used", "found", "flags", "delta"];
const TREE = Object.freeze({ ADDED: 1, UPPER: 2, LOWER: 4, TRIMMED: 8, GROWN: 16, GONE: 32, ROOT: 0 });

class TreeReplay {
  /** `data`: {records, trees, treeEnds, treeOf, pages, blocks, blockEnds: bytes}, as `board_data` in radix_tree.py. */
  constructor(data) {
    const numbers = int32(data.records);
    const fields = TREE_FIELDS.length;
    this.count = numbers.length / fields;
    TREE_FIELDS.forEach((name, f) => (this[name] = Int32Array.from({ length: this.count }, (_, i) => numbers[fields * i + f])));
    this.trees = int32(data.trees);
    this.treeEnds = int32(data.treeEnds);
    this.treeOf = int32(data.treeOf);
    this.pages = int32(data.pages);
    this.flat = int32(data.blocks);
    this.ends = int32(data.blockEnds);
    this.seen = new Set(); // what some step of the log shows, for the legend
    for (let i = 0; i < this.count; i++) if (this.node[i] !== TREE.ROOT) this.note(i);
  }

  note(i) {
    const { seen } = this;
    seen.add("used");
    if (this.found[i] > 0) seen.add("path");
    if (this.flags[i] & (TREE.GONE | TREE.TRIMMED)) seen.add("gone");
    if (this.locks[i] > 0) seen.add("locked");
    if (this.flags[i] & TREE.LOWER) seen.add("split");
    if (this.flags[i] & (TREE.ADDED | TREE.GROWN)) seen.add("added");
  }

  /** The records of the `step`-th step, counted from 1; none before it. */
  recordsOf(step) {
    const tree = step < 1 ? -1 : this.treeOf[step - 1];
    return tree < 0 ? new Int32Array(0) : this.trees.subarray(tree ? this.treeEnds[tree - 1] : 0, this.treeEnds[tree]);
  }

  blocksOf(i) {
    const list = this.blocks[i];
    return this.flat.subarray(list ? this.ends[list - 1] : 0, this.ends[list]);
  }

  /**
   * The tree after `step` snapshots: {row, children, path, touched, flags, gone, now}. Nodes that the step removed are in
   * it once more (`gone`); `row` is each node's record; children are in order; `now` is the latest last use.
   */
  tree(step) {
    const before = new Map(Array.from(this.recordsOf(step - 1), (i) => [this.node[i], i]));
    const same = (a, b) => ["parent", "key", "blocks", "locks", "used"].every((field) => this[field][a] === this[field][b]);
    const tree = { step, row: new Map(), gone: new Set(), path: new Map(), touched: [], flags: new Map(), children: new Map(), now: 0 };
    for (const i of this.recordsOf(step)) {
      const id = this.node[i];
      tree.row.set(id, i);
      if (this.flags[i] & TREE.GONE) tree.gone.add(id);
      else tree.now = Math.max(tree.now, this.used[i]);
      if (this.found[i] >= 0) tree.path.set(id, this.found[i]);
      if (this.flags[i]) tree.flags.set(id, this.flags[i]);
      if (this.flags[i] & TREE.GONE || !before.has(id) || !same(i, before.get(id))) tree.touched.push(id);
      const list = tree.children.get(this.parent[i]);
      if (list) list.push(id);
      else if (id !== TREE.ROOT) tree.children.set(this.parent[i], [id]);
    }
    tree.empty = !tree.row.size;
    return tree;
  }
}

function int32(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Int32Array.from({ length: Math.floor(bytes.byteLength / 4) }, (_, i) => view.getInt32(4 * i, true));
}
