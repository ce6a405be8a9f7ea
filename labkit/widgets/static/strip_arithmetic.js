// Where the evictions of a strip go: ticks in rows where each can be told from the next, else bins that lose none.

const ES_ROWS = 5;
const ES_PITCH = 4; // pixels from one tick to the next in a row
const ES_BIN = 4;
const ES_ARC_BINS = 6;
const ES_LEFT = 40;
const ES_RIGHT = 10;
const ES_ARCS = 104; // height of the arcs
const ES_TICK = 10; // height of one row of ticks
const ES_BARS = 54; // height of the ticks or bars below the line
const ES_SHARE = 76; // height of the panel of the cumulative share
const ES_BASE = ES_ARCS + 8;
const ES_SHARE_TOP = ES_BASE + ES_BARS + 26;
const ES_HIGH = ES_SHARE_TOP + ES_SHARE + 30;

/** Places on the axis of steps: the evictions of one step share its width evenly. */
function placesOf(steps) {
  const out = new Float64Array(steps.length);
  for (let i = 0; i < steps.length; ) {
    let end = i;
    while (end < steps.length && steps[end] === steps[i]) end++;
    for (let k = i; k < end; k++) out[k] = steps[k] + (k - i + 0.5) / (end - i);
    i = end;
  }
  return out;
}

/** The row of each tick at ascending pixels, or null where the rows do not suffice. */
function tickRows(x) {
  const ends = new Array(ES_ROWS).fill(-Infinity);
  const rows = new Uint8Array(x.length);
  for (let i = 0; i < x.length; i++) {
    let row = 0;
    while (row < ES_ROWS && x[i] - ends[row] < ES_PITCH) row++;
    if (row === ES_ROWS) return null;
    ends[row] = x[i];
    rows[i] = row;
  }
  return rows;
}

const binOf = (x, start, stop, count) => Math.min(count - 1, Math.floor(((x - start) / (stop - start)) * count));

/** Exact counts by bin of the evictions [from, to), and arcs between groups of bins. */
function binsOf(at, wanted, from, to, start, stop, width) {
  const count = Math.max(1, Math.floor(width / ES_BIN));
  const groups = Math.ceil(count / ES_ARC_BINS);
  const total = new Uint32Array(count);
  const regretted = new Uint32Array(count);
  const arcs = new Map();
  for (let i = from; i < to; i++) {
    const bin = binOf(at[i], start, stop, count);
    total[bin]++;
    if (wanted[i] < 0) continue;
    regretted[bin]++;
    const source = Math.floor(bin / ES_ARC_BINS);
    const target = wanted[i] < stop ? Math.floor(binOf(wanted[i], start, stop, count) / ES_ARC_BINS) : groups;
    const key = source * (groups + 1) + target;
    arcs.set(key, (arcs.get(key) || 0) + 1);
  }
  return { count, groups, total, regretted, arcs: [...arcs].sort((a, b) => a[0] - b[0]).map(([key, n]) => [Math.floor(key / (groups + 1)), key % (groups + 1), n]) };
}

/** Index of the first element of ascending `values` that is at least `x` (or, with `after`, more than it). */
function firstFrom(values, x, after = false) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (after ? values[middle] <= x : values[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Regret as it was known at the end of a step: regretted evictions of the blocks asked for so far, or their number where
 * `asked` is empty. `again`: when each was wanted again, ascending. `total`: all blocks asked for, 0 where not known.
 */
function regretOf(again, asked) {
  const sums = Float64Array.from(asked);
  for (let i = 1; i < sums.length; i++) sums[i] += sums[i - 1];
  const at = (step) => {
    const count = firstFrom(again, step, true);
    if (!sums.length) return count;
    const upTo = sums[Math.min(step, sums.length - 1)];
    return upTo ? count / upTo : 0;
  };
  let most = sums.length ? 0 : again.length;
  if (sums.length) for (const step of again) most = Math.max(most, at(step));
  // The end of the scale: a round share, or a round number.
  const power = 10 ** Math.floor(Math.log10(Math.max(1, most)));
  const top = sums.length ? [0.05, 0.1, 0.2, 0.3, 0.5, 1].find((v) => v >= most) : [1, 2, 5, 10].map((m) => m * power).find((v) => v >= most);
  return { at, top, total: sums.length ? sums[sums.length - 1] : 0, words: (v) => (sums.length ? `${Math.round(1000 * v) / 10}%` : v.toLocaleString("en-US")) };
}
