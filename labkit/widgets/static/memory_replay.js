// Where memory goes at any step of one event log.

const KINDS_OF_SLOT = ["used", "reservation", "internal", "external", "free"];

/** Mirrors labkit/widgets/memory_state.py. */
class MemoryReplay {
  constructor({ records, numSlots, blockSize, wanted }) {
    Object.assign(this, { records, numSlots, blockSize: blockSize || 0, fixed: wanted });
    this.clear();
    this.final = this.foresee();
  }

  clear() {
    this.at = 0;
    this.runs = new Map(); // seq -> {seq, start, length, used, final}
    this.blocks = new Map(); // block -> the same, for paged memory
    this.waiting = new Map(); // seq -> slots it was refused
  }

  /** How far each reservation or block will have been filled when it is returned: waste is judged in hindsight. */
  foresee() {
    const { kind, seq, block, arg, length } = this.records;
    const final = new Int32Array(length);
    const runs = new Map();
    const blocks = new Map();
    for (let i = 0; i < length; i++) {
      if (kind[i] === KIND.RESERVE) runs.set(seq[i], i);
      else if (kind[i] === KIND.ALLOCATE) blocks.set(block[i], i);
      else if (kind[i] === KIND.USE && runs.has(seq[i])) final[runs.get(seq[i])] = Math.max(final[runs.get(seq[i])], arg[i]);
      else if (kind[i] === KIND.FILL && blocks.has(block[i])) final[blocks.get(block[i])] = Math.max(final[blocks.get(block[i])], arg[i]);
    }
    return final;
  }

  seek(steps) {
    const target = this.records.upTo(steps);
    if (target < this.at) this.clear();
    const { kind, seq, block, arg } = this.records;
    for (; this.at < target; this.at++) {
      const i = this.at;
      const size = this.blockSize || 1;
      if (kind[i] === KIND.RESERVE) {
        this.runs.set(seq[i], { seq: seq[i], start: block[i], length: arg[i], used: 0, final: Math.min(arg[i], this.final[i]) });
        this.waiting.delete(seq[i]);
      } else if (kind[i] === KIND.USE && this.runs.has(seq[i])) {
        const run = this.runs.get(seq[i]);
        run.used = Math.min(run.length, Math.max(0, arg[i]));
      } else if (kind[i] === KIND.RELEASE) this.runs.delete(seq[i]);
      else if (kind[i] === KIND.REFUSE) this.waiting.set(seq[i], Math.max(0, arg[i]));
      else if (kind[i] === KIND.ALLOCATE) {
        this.blocks.set(block[i], { seq: seq[i], start: block[i] * size, length: size, used: 0, final: Math.min(size, this.final[i]) });
        this.waiting.delete(seq[i]);
      } else if (kind[i] === KIND.FILL && this.blocks.has(block[i])) this.blocks.get(block[i]).used = Math.min(size, Math.max(0, arg[i]));
      else if (kind[i] === KIND.FREE && arg[i] <= 0) this.blocks.delete(block[i]);
    }
  }

  /** Held pieces in order of place. */
  pieces() {
    return [...this.runs.values(), ...this.blocks.values()].filter((p) => p.start >= 0 && p.length > 0).sort((a, b) => a.start - b.start);
  }

  wanted() {
    if (this.fixed !== null && this.fixed !== undefined && this.fixed > 0) return this.fixed;
    let last = 0;
    for (const slots of this.waiting.values()) last = slots;
    return last;
  }

  holes(pieces) {
    const holes = [];
    let at = 0;
    for (const piece of pieces) {
      if (piece.start > at) holes.push([at, piece.start - at]);
      at = Math.max(at, piece.start + piece.length);
    }
    if (at < this.numSlots) holes.push([at, this.numSlots - at]);
    return holes;
  }

  /** Slots by kind; the five add up to all of memory. */
  counts(pieces = this.pieces()) {
    const out = { used: 0, reservation: 0, internal: 0, external: 0, free: 0 };
    for (const p of pieces) {
      const final = Math.max(p.used, p.final);
      out.used += p.used;
      out.reservation += final - p.used;
      out.internal += p.length - final;
    }
    // Any free block serves in paged memory: no hole is too short.
    const wanted = this.blockSize ? 0 : this.wanted();
    for (const [, length] of this.holes(pieces)) out[length >= wanted ? "free" : "external"] += length;
    return out;
  }
}
