// How a strip of memory and the share of it over the steps are painted.

/** The painters of a board; a panel `p` brings its canvases, its geometry and its replay. */
function memoryPaint(board) {
  const { family, bar, last } = board;
  const colorFor = (p, seq) => (seq ? board.colors[`s${p.layout.slots[seq] ?? 0}`] : board.colors.held);

  /** Slots [start, stop) of a strip as [x, y, width], one a line that they run over. */
  function* spansOf(p, start, stop) {
    const scale = p.width / p.perLine;
    for (let at = start; at < stop; ) {
      const line = Math.floor(at / p.perLine);
      const end = Math.min(stop, (line + 1) * p.perLine);
      yield [(at - line * p.perLine) * scale, line * (p.lineHeight + 4) + 1, (end - at) * scale];
      at = end;
    }
  }

  function span(p, start, stop, style, wash = null) {
    const { ctx } = p.strip;
    for (const [x, y, w] of spansOf(p, start, stop)) {
      if (wash) {
        ctx.globalAlpha = 0.14;
        ctx.fillStyle = wash;
        ctx.fillRect(x, y, w, p.lineHeight);
        ctx.globalAlpha = 1;
      }
      ctx.fillStyle = style;
      ctx.fillRect(x, y, w, p.lineHeight);
    }
  }

  function outline(p, start, stop, color) {
    const { ctx } = p.strip;
    ctx.strokeStyle = color;
    ctx.lineWidth = 1;
    for (const [x, y, w] of spansOf(p, start, stop)) ctx.strokeRect(x + 0.5, y + 0.5, w - 1, p.lineHeight - 1);
  }

  function drawStrip(p) {
    const { ctx } = p.strip;
    const { colors } = board;
    const pieces = p.replay.pieces();
    const wanted = p.layout.block_size ? 0 : p.replay.wanted();
    ctx.clearRect(0, 0, p.width, p.lines * (p.lineHeight + 4));
    for (const [start, length] of p.replay.holes(pieces)) {
      span(p, start, start + length, colors.free);
      if (length < wanted) span(p, start, start + length, p.pattern("external", colors.dim));
    }
    const scale = p.width / p.perLine;
    for (const piece of pieces) {
      const color = colorFor(p, piece.seq);
      const final = Math.max(piece.used, piece.final);
      span(p, piece.start, piece.start + piece.used, color);
      span(p, piece.start + piece.used, piece.start + final, p.pattern("reservation", color), color);
      span(p, piece.start + final, piece.start + piece.length, p.pattern("internal", color), color);
      if (piece.length * scale > 5) outline(p, piece.start, piece.start + piece.length, color);
      const label = shortLabel(p.layout.names[piece.seq] || "");
      const line = Math.floor(piece.start / p.perLine);
      const room = Math.min(piece.used, (line + 1) * p.perLine - piece.start) * scale;
      ctx.font = `600 11px ${family}`;
      if (label && room > ctx.measureText(label).width + 6) {
        ctx.fillStyle = colors.onfill;
        ctx.fillText(label, (piece.start - line * p.perLine) * scale + Math.min(room / 2, 14), line * (p.lineHeight + 4) + 1 + p.lineHeight / 2);
      }
    }
  }

  function drawChart(p) {
    const { ctx } = p.chart;
    const { colors } = board;
    const high = p.chartHigh;
    ctx.clearRect(0, 0, p.width, high + 14);
    const n = p.series.length;
    const x = (i) => (n > 1 ? (i * (p.width - 1)) / (n - 1) : 0);
    const base = new Array(n).fill(high + 2);
    for (const kind of KINDS_OF_SLOT) {
      const top = base.map((y, i) => y - (high * p.series[i][kind]) / Math.max(1, p.layout.num_slots));
      ctx.beginPath();
      for (let i = 0; i < n; i++) ctx.lineTo(x(i), base[i]);
      for (let i = n - 1; i >= 0; i--) ctx.lineTo(x(i), top[i]);
      if (n === 1) ctx.rect(0, top[0], p.width, base[0] - top[0]);
      ctx.closePath();
      if (kind === "free") ctx.fillStyle = colors.free;
      else {
        ctx.globalAlpha = kind === "used" ? 1 : 0.12;
        ctx.fillStyle = colors.held;
        if (kind !== "external") ctx.fill();
        ctx.globalAlpha = 1;
        ctx.fillStyle = p.chartPattern(kind, kind === "external" ? colors.dim : colors.held);
      }
      ctx.fill();
      if (kind !== "free") {
        ctx.beginPath();
        for (let i = 0; i < n; i++) ctx.lineTo(x(i), top[i]);
        ctx.strokeStyle = colors.panel;
        ctx.lineWidth = 1.2;
        ctx.stroke();
      }
      top.forEach((y, i) => (base[i] = y));
    }
    const at = last ? (bar.step() / last) * (p.width - 1) : 0;
    ctx.fillStyle = colors.ink;
    ctx.fillRect(Math.max(0, Math.min(p.width - 1.5, at - 0.75)), 0, 1.5, high + 4);
    if (!p.chartWords) return;
    ctx.font = `9.5px ${family}`;
    ctx.fillStyle = colors.dim;
    ctx.textAlign = "left";
    ctx.fillText("share of memory over the steps", 0, high + 9);
    ctx.textAlign = "center";
  }

  return { drawStrip, drawChart };
}
