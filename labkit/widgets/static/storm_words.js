// Numbers and sentences of the storm board: texts are data in which {figure} and {part/whole} stand for a window's numbers.

/** A figure as a person reads it, with its unit unless `bare`. */
function stormNumber(value, unit, bare = false) {
  if (!Number.isFinite(value)) return "not known";
  if (unit === "share") return `${Math.round(100 * value)}%`;
  if (unit === "s") return value < 0.0995 ? `${Number((1000 * value).toPrecision(2))} ms` : value < 0.9995 ? `${Math.round(1000 * value)} ms` : `${value < 99.5 ? Number(value.toPrecision(2)) : Math.round(value).toLocaleString("en-US")} s`;
  const whole = unit === "requests";
  const text = whole || value >= 99.5 || value === 0 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(2)));
  return bare || whole ? text : `${text}${unit === "1/s" ? "/s" : ` ${unit}`}`;
}

/** A text with its places filled from window `at`; null where a figure in it is not known. */
function stormText(template, data, at, bare = true) {
  let known = true;
  const text = template.replace(/\{(\w+)(?:\/(\w+))?\}/g, (_, name, over) => {
    const value = data.value(at, name, over);
    known &&= Number.isFinite(value);
    return known ? stormNumber(value, over ? "share" : data.figures[name].unit, bare) : "";
  });
  return known ? text : null;
}

/** What happened in a window, one sentence. */
function stormSentence(panels, data, at) {
  if (at < 0) return "Nothing has happened yet.";
  const told = panels.map((panel) => panel.says.map((clause) => stormText(clause, data, at)).filter(Boolean).join(", ")).filter(Boolean);
  return `At ${stormTime(data.end(at))}: ${told.join("; ") || "nothing is known of this window"}.`;
}

/** A distance of ticks on a time axis, in seconds, that is not below `least`. */
function stormTick(least) {
  return [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400].find((step) => step >= least) ?? 86400 * Math.ceil(least / 86400);
}

function stormTime(seconds) {
  if (seconds < 600) return `${seconds < 10 && seconds % 1 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 600) return `${minutes} min${Math.round(seconds % 60) ? ` ${Math.round(seconds % 60)} s` : ""}`;
  return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
}

/** The windows of a board: float32 rows, one after the other, that grow. */
class StormData {
  constructor(names, figures, bytes) {
    this.figures = figures;
    this.absent = new Set(Object.keys(figures).filter((name) => figures[name].worth === "absent"));
    this.width = names.length;
    this.column = Object.fromEntries(names.map((name, i) => [name, i]));
    this.length = 0;
    this.numbers = new Float32Array(0);
    this.push(bytes);
  }

  push(bytes) {
    const more = new Float32Array(bytes.slice().buffer, 0, Math.floor(bytes.byteLength / 4 / this.width) * this.width);
    const used = this.length * this.width;
    if (used + more.length > this.numbers.length) {
      const wider = new Float32Array(Math.max(used + more.length, 2 * used));
      wider.set(this.numbers.subarray(0, used));
      this.numbers = wider;
    }
    this.numbers.set(more, used);
    this.length += more.length / this.width;
  }

  /** A figure of a window, or its share of another one; NaN where that is not known. */
  value(at, name, over = "") {
    if (this.absent.has(name) || this.absent.has(over)) return NaN;
    const from = at * this.width;
    const value = this.numbers[from + this.column[name]];
    if (!over) return value;
    const whole = this.numbers[from + this.column[over]];
    return whole > 0 ? value / whole : NaN;
  }

  worth(name) {
    return this.figures[name].worth;
  }

  end(at) {
    return this.numbers[at * this.width];
  }

  begin(at) {
    return this.end(at) - this.numbers[at * this.width + 1];
  }

  /** The window in which a time lies. */
  windowAt(seconds) {
    let low = 0;
    let high = this.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.end(middle) < seconds) low = middle + 1;
      else high = middle;
    }
    return high;
  }
}
