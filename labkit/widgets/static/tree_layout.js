// Where the nodes of a tree stand: one column a depth, leaves in rows, subtrees as close as their outlines allow.
// After Reingold and Tilford (1981, doi 10.1109/TSE.1981.234519).

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
