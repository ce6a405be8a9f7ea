// Paints one panel of the storm board. However many windows there are, a column of pixels is drawn once.

const STORM_TOP = 6; // above the highest value
const STORM_STACK = Object.freeze(["held", "cached", "free"]);

/** The next of 1, 2, 2.5, 5, 10 that is not below. */
function stormCeiling(value) {
  if (!(value > 0)) return 1;
  const ten = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].find((step) => step * ten >= value * 0.9999) * ten;
}

/** The greatest value of the lines that share a scale, over all windows. */
function stormMost(data, lines) {
  let most = 0;
  for (const line of lines) for (let at = 0; at < data.length; at++) {
    const value = data.value(at, line.figure);
    if (value > most && value !== Infinity) most = value;
  }
  return most;
}

/**
 * Draw a panel into a canvas context of `width` by `height`.
 * `view`: {from, to} seconds; `before`: the data of an earlier run, whose first line stands pale behind; `bands`:
 * [from, to] seconds in which an alert fires.
 */
function stormPanel(ctx, { panel, data, before, width, height, view, colors, bands }) {
  const base = height - 1;
  const xOf = (seconds) => ((seconds - view.from) / (view.to - view.from)) * width;
  const stack = panel.lines.some((line) => STORM_STACK.includes(line.look));
  const drawn = panel.lines.filter((line) => data.worth(line.figure) !== "absent" && !(line.over && data.worth(line.over) === "absent"));
  const plain = drawn.filter((line) => !line.over);
  const unit = data.figures[panel.lines[0].figure].unit;
  const most = stack ? 1 : stormCeiling(Math.max(stormMost(data, plain), before ? stormMost(before, plain) : 0));
  const yOf = (value, top) => base - (value / top) * (base - STORM_TOP);

  ctx.clearRect(0, 0, width, height);
  ctx.fillStyle = colors.warn;
  ctx.globalAlpha = 0.1;
  for (const [from, to] of bands) ctx.fillRect(xOf(from), 0, xOf(to) - xOf(from), base);
  ctx.globalAlpha = 1;
  ctx.fillStyle = colors.line;
  for (const part of [0.5, 1]) ctx.fillRect(0, Math.round(yOf(part, 1)), width, 1);

  if (before && !stack && plain.length) {
    ctx.strokeStyle = colors.edge;
    ctx.lineWidth = 1;
    ctx.setLineDash([1.5, 2.5]);
    for (const line of plain.slice(0, 1)) strokeLine(before, line, most);
    ctx.setLineDash([]);
  }
  if (stack) paintStack();
  else drawn.forEach(paintLine);
  ctx.fillStyle = colors.edge;
  ctx.fillRect(0, base, width, 1);

  // The scales: what the upper line stands for, on a plate so that a curve does not run through it.
  ctx.textBaseline = "top";
  label(stormNumber(most, stack ? "share" : unit, true), 0, "left", colors.dim);
  if (drawn.some((line) => line.over)) label("100%", width, "right", colors[drawn.find((line) => line.over).color]);

  function label(text, x, align, color) {
    const wide = ctx.measureText(text).width;
    ctx.textAlign = align;
    ctx.globalAlpha = 0.75;
    ctx.fillStyle = colors.panel;
    ctx.fillRect(align === "left" ? x : x - wide - 2, STORM_TOP + 1, wide + 2, 12);
    ctx.globalAlpha = 1;
    ctx.fillStyle = color;
    ctx.fillText(text, x, STORM_TOP + 2);
  }

  /**
   * The stretches of a line without a gap, as points [x, mean, low, high]: a point a window, or where windows are
   * crowded, one for every two pixels.
   */
  function stretches(of, line) {
    const crowded = of.length > width;
    const found = [];
    let stretch = null;
    let at = 0;
    while (at < of.length) {
      const x = xOf((of.begin(at) + of.end(at)) / 2);
      let [sum, known, low, high] = [0, 0, Infinity, -Infinity];
      do {
        const value = of.value(at, line.figure, line.over);
        if (Number.isFinite(value)) {
          sum += value;
          known += 1;
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
        at += 1;
      } while (crowded && at < of.length && xOf(of.end(at)) < x + 2);
      if (!known) stretch = null;
      else if (stretch) stretch.push([x, sum / known, low, high]);
      else found.push((stretch = [[x, sum / known, low, high]]));
    }
    return found;
  }

  function strokeLine(of, line, top) {
    for (const points of stretches(of, line)) {
      ctx.beginPath();
      if (points.length === 1) ctx.arc(points[0][0], yOf(points[0][1], top), 1, 0, 7); // alone between two unknown ones
      points.forEach(([x, mean], i) => (i ? ctx.lineTo(x, yOf(mean, top)) : ctx.moveTo(x, yOf(mean, top))));
      ctx.stroke();
    }
  }

  function tint(line, top, alpha) {
    ctx.fillStyle = colors[line.color];
    ctx.globalAlpha = alpha;
    for (const points of stretches(data, line)) {
      const area = line.look === "area";
      ctx.beginPath();
      for (const [x, mean, , high] of points) ctx.lineTo(x, yOf(area ? mean : high, top));
      for (const [x, , low] of points.reverse()) ctx.lineTo(x, area ? base : yOf(low, top));
      ctx.fill();
    }
    ctx.globalAlpha = 1;
  }

  function paintLine(line) {
    const top = line.over ? 1 : most;
    if (line.look === "area") tint(line, top, 0.14);
    if (data.length > width) tint({ ...line, look: "" }, top, 0.22); // how far the windows of a point lie apart
    ctx.strokeStyle = colors[line.color];
    ctx.lineWidth = 1.6;
    ctx.lineJoin = "round";
    if (line.look === "dash") ctx.setLineDash([4, 3]);
    strokeLine(data, line, top);
    ctx.setLineDash([]);
  }

  /** Held, cached and free above each other: full, slashed, empty. */
  function paintStack() {
    const sum = (at, upTo) => drawn.slice(0, upTo + 1).reduce((total, line) => total + (data.value(at, line.figure) || 0), 0);
    drawn.forEach((line, place) => {
      if (line.look === "free") return;
      ctx.save();
      ctx.beginPath();
      const step = Math.max(1, Math.floor(data.length / (2 * width)));
      const path = (upTo, ats) => {
        for (const at of ats) for (const time of [data.begin(at), data.end(at)].sort((a, b) => (upTo === place ? a - b : b - a))) ctx.lineTo(xOf(time), yOf(upTo < 0 ? 0 : Math.min(1, sum(at, upTo)), 1));
      };
      const ats = [];
      for (let at = 0; at < data.length; at += step) if (Number.isFinite(data.value(at, line.figure))) ats.push(at);
      path(place, ats);
      path(place - 1, ats.reverse());
      ctx.closePath();
      ctx.fillStyle = line.look === "held" ? colors.held : colors.cached;
      ctx.fill();
      if (line.look === "cached") {
        ctx.clip();
        ctx.strokeStyle = colors.edge;
        ctx.lineWidth = 1;
        ctx.beginPath();
        for (let x = -height; x < width; x += 7) {
          ctx.moveTo(x, height);
          ctx.lineTo(x + height, 0);
        }
        ctx.stroke();
      }
      ctx.restore();
    });
  }
}
