// The canvas of a strip: arcs above the line, ticks or bins below it, and regret as it grew.

function stripPaint(strip) {
  const { ctx, all, regretAt, number, plot, xOf } = strip;

  function arc(x0, x1, color, thick, alpha) {
    const reach = Math.max(2, x1 - x0);
    ctx.beginPath();
    ctx.ellipse((x0 + x1) / 2, ES_BASE, reach / 2, Math.min(ES_ARCS, 12 + ES_ARCS * Math.sqrt(reach / plot())), 0, Math.PI, 2 * Math.PI);
    ctx.strokeStyle = color;
    ctx.lineWidth = thick;
    ctx.globalAlpha = alpha;
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  function dot(x, y, r, full) {
    ctx.beginPath();
    ctx.arc(x, y, r, 0, 7);
    ctx.fillStyle = full ? strip.colors.bad : strip.colors.panel;
    ctx.fill();
    if (full) return;
    ctx.strokeStyle = strip.colors.bad;
    ctx.lineWidth = 1.3;
    ctx.stroke();
  }

  function tick(k, strong) {
    const i = strip.shown[strip.lay.first + k];
    const x = strip.lay.x[k];
    const y = ES_BASE + 2 + strip.lay.rows[k] * ES_TICK;
    const regret = all.wanted[i] >= 0;
    ctx.fillStyle = strong ? strip.colors.ink : regret ? strip.colors.bad : strip.colors.dim;
    ctx.fillRect(x - (strong ? 1.5 : 1), y + (regret ? 0 : 2), strong ? 3 : 2, regret ? 8 : 5);
    if (regret) dot(x, y + 1, strong ? 3 : 2.2, true);
  }

  function drawTicks() {
    const marked = strip.focus === null ? -1 : strip.focus - strip.lay.first;
    const many = strip.lay.x.length > 60;
    for (let k = 0; k < strip.lay.x.length; k++) {
      const w = all.wanted[strip.shown[strip.lay.first + k]];
      if (w >= 0 && k !== marked) arc(strip.lay.x[k], xOf(w), strip.colors.bad, 1, marked >= 0 ? 0.12 : many ? 0.45 : 0.7);
    }
    for (let k = 0; k < strip.lay.x.length; k++) tick(k, false);
    if (marked < 0) for (let k = 0; k < strip.lay.x.length; k++) {
      const w = all.wanted[strip.shown[strip.lay.first + k]];
      if (w >= 0) dot(xOf(w), ES_BASE, many ? 1.6 : 2.2, false);
    }
    if (marked >= 0 && marked < strip.lay.x.length) {
      const w = all.wanted[strip.shown[strip.focus]];
      if (w >= 0) {
        arc(strip.lay.x[marked], xOf(w), strip.colors.bad, 2.4, 1);
        dot(xOf(w), ES_BASE, 3.2, false);
      }
      tick(marked, true);
    }
  }

  function drawBins() {
    const { count, groups, total, regretted, arcs } = strip.lay.bins;
    const pitch = plot() / count;
    const group = (g) => ES_LEFT + Math.min(plot(), (g + 0.5) * ES_ARC_BINS * pitch);
    const most = arcs.reduce((m, a) => Math.max(m, a[2]), 1);
    const lit = strip.focus === null ? -1 : Math.floor(strip.focus / ES_ARC_BINS);
    for (const [source, target, many] of arcs) {
      const x1 = target === groups ? ES_LEFT + plot() + (ES_LEFT + plot() - group(source)) * 0.3 + 20 : group(target);
      arc(group(source), source === target ? group(source) + 3 : x1, strip.colors.bad, 0.5 + (5.5 * many) / most, lit < 0 ? 0.3 : source === lit ? 0.8 : 0.06);
    }
    const top = total.reduce((m, v) => Math.max(m, v), 1);
    const tall = (v) => (ES_BARS * v) / top;
    for (let b = 0; b < count; b++) {
      if (!total[b]) continue;
      const x = ES_LEFT + b * pitch;
      ctx.fillStyle = strip.colors.bad;
      ctx.fillRect(x, ES_BASE + 1, pitch - 0.8, tall(regretted[b]));
      // What was never wanted again hangs below it as a frame: not colour alone tells the two apart.
      const rest = tall(total[b]) - tall(regretted[b]);
      if (rest > 0) {
        ctx.fillStyle = strip.colors.free;
        ctx.strokeStyle = strip.colors.dim;
        ctx.lineWidth = 0.8;
        ctx.fillRect(x, ES_BASE + 1 + tall(regretted[b]), pitch - 0.8, rest);
        ctx.strokeRect(x + 0.4, ES_BASE + 1 + tall(regretted[b]), Math.max(0.4, pitch - 1.6), rest);
      }
    }
    if (strip.focus !== null) {
      ctx.strokeStyle = strip.colors.ink;
      ctx.lineWidth = 1.6;
      ctx.strokeRect(ES_LEFT + strip.focus * pitch - 1, ES_BASE, pitch + 1.2, Math.max(5, tall(total[strip.focus]) + 2));
    }
    ctx.fillStyle = strip.colors.dim;
    ctx.textAlign = "right";
    ctx.fillText(number(top), ES_LEFT - 6, ES_BASE + ES_BARS);
    ctx.fillText("0", ES_LEFT - 6, ES_BASE + 3);
  }

  function drawShare() {
    const { top } = regretAt;
    const y = (v) => ES_SHARE_TOP + ES_SHARE * (1 - v / top);
    ctx.textAlign = "right";
    for (const v of [0, top / 2, top]) {
      ctx.fillStyle = strip.colors.line;
      ctx.fillRect(ES_LEFT, y(v) - 0.5, plot(), 1);
      ctx.fillStyle = strip.colors.dim;
      ctx.fillText(regretAt.words(v), ES_LEFT - 6, y(v));
    }
    ctx.beginPath();
    let began = false;
    for (let px = 0; px <= plot(); px++) {
      // As it was at the end of the step: what a step asks for and what it evicts for that are counted together.
      const moment = Math.floor(strip.from + (px / plot()) * strip.span);
      if (!firstFrom(all.step, moment, true)) continue; // nothing was evicted yet
      const v = regretAt.at(moment);
      if (began) ctx.lineTo(ES_LEFT + px, y(v));
      else ctx.moveTo(ES_LEFT + px, y(v));
      began = true;
    }
    ctx.strokeStyle = strip.colors.bad;
    ctx.lineWidth = 1.8;
    ctx.stroke();
    ctx.fillStyle = strip.colors.dim;
    // Ticks of the axis at round steps, about one every 110 pixels.
    const rough = (strip.span * 110) / plot();
    const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
    const gap = Math.max(1, [1, 2, 5, 10].map((m) => m * power).find((v) => v >= rough) || 10 * power);
    ctx.textAlign = "center";
    for (let s = Math.ceil(strip.from / gap) * gap; s <= strip.from + strip.span + 1e-9; s += gap) {
      ctx.fillRect(xOf(s) - 0.5, ES_SHARE_TOP + ES_SHARE, 1, 4);
      ctx.fillText(number(s), Math.max(ES_LEFT, Math.min(strip.width - ES_RIGHT - 8, xOf(s))), ES_SHARE_TOP + ES_SHARE + 12);
    }
    ctx.fillText("step", ES_LEFT + plot() / 2, ES_SHARE_TOP + ES_SHARE + 25);
    ctx.textAlign = "left";
    ctx.fillText(regretAt.total ? "regret so far" : "wanted again so far", ES_LEFT, ES_SHARE_TOP - 10);
  }

  return { drawTicks, drawBins, drawShare };
}
