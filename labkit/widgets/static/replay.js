// The pool as the event log tells it, at any step. Mirrors labkit/observe/pool_state.py; a browser test holds the two together.
// Seeking costs the distance to the nearest keyframe, so a log of a hundred thousand events can be scrubbed.

const STATUS_OF = { [KIND.PREEMPT]: "preempted", [KIND.FINISH]: "finished", [KIND.REFUSE]: "refused" };
const NONE = Object.freeze([]);
const MAX_KEYFRAMES = 96;

class PoolReplay {
  constructor(numBlocks) {
    this.numBlocks = numBlocks;
    this.records = new Records();
    this.single = []; // the holder list [seq], made once a sequence: holder lists are never changed in place
    this.clear();
    this.frames = [this.snapshot()];
    this.spacing = 256;
    this.widest = new Map(); // seq -> most logical blocks it ever had, so that rows keep their place while scrubbing
    this.mostRows = 0;
    this.steps = 0;
    this.scanned = 0; // records whose outcome has been looked at, for `seen`
    this.recent = []; // blocks of the operation that is being looked at
    this.seen = new Set(); // what some operation of the log leaves behind: see `seen` in replay.py
    this.lost = new Set(); // sequences that are no sequences: blocks nobody holds are kept under them
  }

  clear() {
    this.at = 0; // records applied
    this.holders = new Array(this.numBlocks).fill(NONE);
    this.cached = new Uint8Array(this.numBlocks);
    this.fill = new Int32Array(this.numBlocks).fill(-1);
    this.clash = new Uint8Array(this.numBlocks); // allocated to somebody while it was held: a wrong pool
    this.content = new Int32Array(this.numBlocks).fill(-1); // the number of what was stored last
    this.tables = new Map();
    this.loose = new Set(); // sequences of which the log does not say which logical block is which
    this.status = new Map();
  }

  snapshot() {
    const tables = new Map();
    for (const [seq, table] of this.tables) if (table.length) tables.set(seq, table.slice());
    return { at: this.at, holders: this.holders.slice(), cached: this.cached.slice(), fill: this.fill.slice(), clash: this.clash.slice(), content: this.content.slice(), tables, loose: new Set(this.loose), status: new Map(this.status) };
  }

  restore(frame) {
    this.at = frame.at;
    this.holders = frame.holders.slice();
    this.cached = frame.cached.slice();
    this.fill = frame.fill.slice();
    this.clash = frame.clash.slice();
    this.content = frame.content.slice();
    this.loose = new Set(frame.loose);
    this.tables = new Map();
    for (const [seq, table] of frame.tables) this.tables.set(seq, table.slice());
    this.status = new Map(frame.status);
  }

  /** Take in more records. The first pass over them also lays the keyframes. */
  push(bytes) {
    this.records.push(bytes);
    this.goto(this.records.length);
    this.settle();
    const n = this.records.length;
    this.steps = n ? this.records.step[n - 1] + 1 : 0;
  }

  /** Show the pool after the first `steps` operations. */
  seek(steps) {
    this.goto(this.records.upTo(steps));
  }

  goto(target) {
    let low = 0;
    let high = this.frames.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.frames[middle].at <= target) low = middle;
      else high = middle - 1;
    }
    const frame = this.frames[low];
    if (this.at > target || this.at < frame.at) this.restore(frame);
    const { step, kind, seq, block, arg } = this.records;
    while (this.at < target) {
      const i = this.at;
      if (i >= this.scanned) {
        if (i && step[i] !== step[i - 1]) this.settle();
        this.recent.push(block[i]);
        this.scanned = i + 1;
      }
      this.apply(kind[i], seq[i], block[i], arg[i]);
      this.at += 1;
      if (this.at - this.frames[this.frames.length - 1].at >= this.spacing) this.keep();
    }
  }

  /** An operation is over: note what it left behind. What comes and goes inside an operation is never on the screen. */
  settle() {
    const { seen, lost } = this;
    for (const b of this.recent) {
      if (b < 0 || b >= this.numBlocks) continue;
      const holders = this.holders[b];
      if (!holders.length) {
        if (this.cached[b]) seen.add("cached");
        continue;
      }
      seen.add(this.isLost(b) ? "lost" : "held");
      if (holders.length > 1) seen.add(this.clash[b] ? "clash" : "shared");
      if (this.fill[b] >= 0) seen.add("fill");
      if (!seen.has("named") && holders.some((seq) => seq && !lost.has(seq))) seen.add("named");
    }
    this.recent = [];
  }

  keep() {
    this.frames.push(this.snapshot());
    if (this.frames.length <= MAX_KEYFRAMES) return;
    this.frames = this.frames.filter((_, i) => i % 2 === 0);
    this.spacing *= 2;
  }

  apply(kind, seq, block, arg) {
    const known = block >= 0 && block < this.numBlocks;
    switch (kind) {
      case KIND.ALLOCATE:
        if (known && this.holders[block].length) this.clash[block] = 1;
        this.hold(seq, block, arg);
        if (known) {
          this.cached[block] = 0;
          this.fill[block] = -1;
        }
        break;
      case KIND.SHARE:
      case KIND.REUSE:
        this.hold(seq, block, arg);
        break;
      case KIND.COPY:
        this.copy(seq, block, arg);
        break;
      case KIND.FREE:
        this.letGo(seq, block);
        break;
      case KIND.STORED:
        if (known) {
          this.cached[block] = 1;
          this.content[block] = arg;
        }
        break;
      case KIND.REMOVED:
        if (known) this.cached[block] = 0;
        break;
      case KIND.CLEARED:
        this.cached.fill(0);
        break;
      case KIND.FILL:
        if (known) this.fill[block] = arg;
        break;
      default:
        if (STATUS_OF[kind]) this.status.set(seq, STATUS_OF[kind]);
    }
  }

  with(list, seq) {
    if (list.length) return [...list, seq];
    return (this.single[seq] ??= Object.freeze([seq]));
  }

  table(seq) {
    let table = this.tables.get(seq);
    if (!table) {
      this.tables.set(seq, (table = []));
      this.mostRows = Math.max(this.mostRows, this.tables.size);
    }
    return table;
  }

  widen(seq, table) {
    if (table.length > (this.widest.get(seq) || 0)) this.widest.set(seq, table.length);
  }

  hold(seq, block, index) {
    if (block >= 0 && block < this.numBlocks) this.holders[block] = this.with(this.holders[block], seq);
    this.status.delete(seq);
    if (seq === 0) return;
    if (index < 0) {
      this.loose.add(seq);
      if (block < 0) return; // neither which block nor where: there is nothing to show
    }
    const table = this.table(seq);
    if (index < 0 || index > table.length + this.numBlocks) index = table.length;
    while (table.length <= index) table.push(-1);
    table[index] = block;
    this.widen(seq, table);
  }

  copy(seq, block, source) {
    if (block < 0 || block >= this.numBlocks) return;
    if (!this.holders[block].includes(seq)) this.holders[block] = this.with(this.holders[block], seq);
    if (seq !== 0) {
      const table = this.table(seq);
      let at = table.indexOf(source);
      const own = table.indexOf(block);
      if (at >= 0) {
        if (own >= 0 && own !== at) {
          table.splice(own, 1);
          at = table.indexOf(source);
        }
        table[at] = block;
      } else if (own < 0) table.push(block);
      this.widen(seq, table);
    }
    if (source >= 0 && source < this.numBlocks) this.fill[block] = this.fill[source];
  }

  letGo(seq, block) {
    if (block >= 0 && block < this.numBlocks) {
      const list = this.holders[block];
      let at = list.indexOf(seq);
      if (at < 0 && list.length) {
        at = list.length - 1;
        seq = list[at];
      }
      if (at >= 0) this.holders[block] = list.length === 1 ? NONE : list.filter((_, i) => i !== at);
      if (this.holders[block].length < 2) this.clash[block] = 0;
      if (!this.holders[block].length && !this.cached[block]) this.fill[block] = -1;
    }
    const table = this.tables.get(seq);
    if (!table) return;
    const at = table.lastIndexOf(block);
    if (at >= 0 && this.loose.has(seq)) table.splice(at, 1); // no place is known, so none is left empty
    else if (at >= 0) table[at] = -1;
    while (table.length && table[table.length - 1] === -1) table.pop();
    if (!table.length) this.tables.delete(seq);
  }

  /** Whether a block is neither free nor anybody's. */
  isLost(block) {
    const { lost } = this;
    return lost.size > 0 && this.holders[block].length > 0 && this.holders[block].every((seq) => lost.has(seq));
  }

  counts() {
    let held = 0;
    let cached = 0;
    for (let b = 0; b < this.numBlocks; b++) {
      if (this.holders[b].length) held += 1;
      else if (this.cached[b]) cached += 1;
    }
    return { free: this.numBlocks - held - cached, held, cached };
  }

  /** Tokens of a sequence, or null where the log does not say how full its blocks are. */
  tokens(seq) {
    let total = 0;
    for (const block of this.tables.get(seq) || NONE) {
      if (block < 0 || block >= this.numBlocks || this.fill[block] < 0) return null;
      total += this.fill[block];
    }
    return total;
  }

  /** The records of one operation, counted from 1. */
  span(step) {
    return step < 1 ? [0, 0] : [this.records.upTo(step - 1), this.records.upTo(step)];
  }
}

/** The name under which a log keeps blocks that left the pool and that nobody holds. */
const isLost = (name) => (name || "").trim().toLowerCase() === "lost";

/** What stands for a sequence in a block: a name of two characters at most, else its number, else its first letter. */
function shortLabel(name) {
  const text = name.trim();
  if (isLost(text)) return "?";
  if (text.length <= 2) return text;
  const digits = /(\d+)$/.exec(text);
  return digits ? digits[1].slice(-3) : text.slice(0, 1);
}
