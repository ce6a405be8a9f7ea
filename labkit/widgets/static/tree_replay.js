// A radix tree as its tree log tells it, at any step, and where its nodes stand. Mirrors labkit/observe/tree_log.py and
// labkit/widgets/tree_layout.py; a browser test holds them together.
// A record carries the whole state of its node, so the tree at a step is one number a node: that of its newest record.

const TREE_RECORD_BYTES = 36;
const TREE = Object.freeze({ SET: 1, REMOVED: 2, PATH: 3, ADDED: 1, UPPER: 2, LOWER: 4, TRIMMED: 8, GROWN: 16, ROOT: 0 });
const TREE_FRAMES = 96;

class TreeReplay {
  /** `data`: {records, pages, blocks, blockEnds: bytes; steps: snapshots in the log}. */
  constructor(data) {
    const count = Math.floor(data.records.byteLength / TREE_RECORD_BYTES);
    const view = new DataView(data.records.buffer, data.records.byteOffset, count * TREE_RECORD_BYTES);
    this.count = count;
    this.steps = data.steps;
    this.kind = new Uint8Array(count);
    this.flags = new Uint8Array(count);
    this.delta = new Uint16Array(count);
    this.stepOf = new Uint32Array(count);
    const fields = ["node", "parent", "order", "key", "blocks", "locks", "used"];
    for (const name of fields) this[name] = new Int32Array(count);
    let most = 0;
    for (let i = 0; i < count; i++) {
      const at = i * TREE_RECORD_BYTES;
      this.stepOf[i] = view.getUint32(at, true);
      this.kind[i] = view.getUint8(at + 4);
      this.flags[i] = view.getUint8(at + 5);
      this.delta[i] = view.getUint16(at + 6, true);
      for (let f = 0; f < fields.length; f++) this[fields[f]][i] = view.getInt32(at + 8 + 4 * f, true);
      most = Math.max(most, this.node[i] + 1);
    }
    this.pages = int32(data.pages);
    this.flat = int32(data.blocks);
    this.ends = int32(data.blockEnds);
    this.row = new Int32Array(most).fill(-1); // of each node its newest record, -1 where it is not in the tree
    this.at = 0;
    this.frames = [{ at: 0, row: this.row.slice() }];
    this.seen = new Set(); // what some step of the log shows, for the legend
    const spacing = Math.max(256, Math.ceil(count / TREE_FRAMES));
    while (this.at < count) {
      this.apply(this.at);
      this.note(this.at);
      this.at += 1;
      if (this.at % spacing === 0) this.frames.push({ at: this.at, row: this.row.slice() });
    }
  }

  apply(i) {
    if (this.kind[i] === TREE.SET) this.row[this.node[i]] = i;
    else if (this.kind[i] === TREE.REMOVED) this.row[this.node[i]] = -1;
  }

  note(i) {
    const { seen } = this;
    if (this.kind[i] === TREE.PATH) seen.add("path");
    else if (this.kind[i] === TREE.REMOVED) seen.add("gone");
    else {
      if (this.locks[i] > 0 && this.node[i] !== TREE.ROOT) seen.add("locked");
      if (this.flags[i] & TREE.LOWER) seen.add("split");
      if (this.flags[i] & TREE.TRIMMED) seen.add("gone");
      if (this.flags[i] & (TREE.ADDED | TREE.GROWN) && this.node[i] !== TREE.ROOT) seen.add("added");
    }
  }

  /** How many records belong to the first `steps` snapshots. */
  upTo(steps) {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.stepOf[middle] < steps) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  seek(steps) {
    const target = this.upTo(steps);
    let low = 0;
    let high = this.frames.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.frames[middle].at <= target) low = middle;
      else high = middle - 1;
    }
    const frame = this.frames[low];
    if (this.at > target || this.at < frame.at) {
      this.row.set(frame.row);
      this.at = frame.at;
    }
    while (this.at < target) this.apply(this.at++);
  }

  blocksOf(i) {
    const list = this.blocks[i];
    return this.flat.subarray(list ? this.ends[list - 1] : 0, this.ends[list]);
  }

  /**
   * The tree after `step` snapshots: {ids, row, children, path, touched, now}. Nodes that the step removed are in it
   * once more (`gone`); `row` is each node's record; children are in order; `now` is the latest last use.
   */
  tree(step) {
    this.seek(step);
    const from = step < 1 ? 0 : this.upTo(step - 1);
    const to = step < 1 ? 0 : this.upTo(step);
    const row = new Map();
    const gone = new Set();
    const path = new Map();
    const touched = [];
    const flags = new Map();
    let now = 0;
    for (let id = 0; id < this.row.length; id++) {
      const i = this.row[id];
      if (i < 0) continue;
      row.set(id, i);
      if (this.used[i] > now) now = this.used[i];
    }
    for (let i = from; i < to; i++) {
      const id = this.node[i];
      if (this.kind[i] === TREE.PATH) {
        path.set(id, this.used[i]);
        continue;
      }
      touched.push(id);
      flags.set(id, this.flags[i]);
      if (this.kind[i] === TREE.REMOVED) {
        gone.add(id);
        row.set(id, i);
      }
    }
    const children = new Map();
    for (const [id, i] of row) {
      const parent = this.parent[i];
      if (parent < 0) continue;
      const list = children.get(parent);
      if (list) list.push(id);
      else children.set(parent, [id]);
    }
    for (const list of children.values()) if (list.length > 1) list.sort((a, b) => this.order[row.get(a)] - this.order[row.get(b)] || a - b);
    return { step, row, gone, path, touched, flags, children, now, empty: !row.has(TREE.ROOT) };
  }
}

function int32(bytes) {
  const out = new Int32Array(Math.floor(bytes.byteLength / 4));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < out.length; i++) out[i] = view.getInt32(4 * i, true);
  return out;
}

/** The highest and lowest row of a subtree at each depth, deepest first, all moved by `by`. */
class Outline {
  constructor() {
    this.top = [];
    this.bottom = [];
    this.by = 0;
  }

  push(row) {
    this.top.push(row - this.by);
    this.bottom.push(row - this.by);
  }

  clearOf(other) {
    const a = this.bottom;
    const b = other.top;
    let gap = -Infinity;
    for (let i = 1; i <= Math.min(a.length, b.length); i++) gap = Math.max(gap, a[a.length - i] - b[b.length - i]);
    return gap + this.by - other.by + 1;
  }

  merge(other, down) {
    other.by += down;
    const n = this.top.length;
    const m = other.top.length;
    if (n >= m) {
      for (let i = 1; i <= m; i++) this.bottom[n - i] = other.bottom[m - i] + other.by - this.by;
      return this;
    }
    for (let i = 1; i <= n; i++) other.top[m - i] = this.top[n - i] + this.by - other.by;
    return other;
  }
}

/** [depth, row] of every node from `root` on, as a Map; the smallest row is 0. `children`: a Map of lists. */
function tidy(children, root) {
  const none = [];
  const below = (id) => children.get(id) || none;
  const order = [root];
  for (let i = 0; i < order.length; i++) for (const child of below(order[i])) order.push(child);
  const shift = new Map();
  const middle = new Map();
  const outline = new Map();
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i];
    const list = below(node);
    let merged = null;
    for (const child of list) {
      const mine = outline.get(child);
      outline.delete(child);
      if (!merged) {
        merged = mine;
        shift.set(child, 0);
        continue;
      }
      const down = merged.clearOf(mine);
      shift.set(child, down);
      merged = merged.merge(mine, down);
    }
    merged ??= new Outline();
    const first = list[0];
    const last = list[list.length - 1];
    const at = list.length ? (shift.get(first) + middle.get(first) + shift.get(last) + middle.get(last)) / 2 : 0;
    middle.set(node, at);
    merged.push(at);
    outline.set(node, merged);
  }
  const whole = outline.get(root);
  let base = Infinity;
  for (const top of whole.top) if (top < base) base = top;
  base += whole.by;
  const place = new Map();
  const offset = new Map([[root, -base]]);
  const depth = new Map([[root, 0]]);
  for (const node of order) {
    place.set(node, [depth.get(node), offset.get(node) + middle.get(node)]);
    for (const child of below(node)) {
      offset.set(child, offset.get(node) + shift.get(child));
      depth.set(child, depth.get(node) + 1);
    }
  }
  return place;
}
