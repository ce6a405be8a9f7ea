// The window of steps that a strip shows, what is in focus there, and how both move.

function stripWindow(strip) {
  const { root, model, all, at, n, steps, size, schedule, relayout } = strip;

  function visible() {
    const out = [];
    for (let i = 0; i < n; i++) if (!strip.only || all.wanted[i] >= 0) out.push(i);
    return Int32Array.from(out);
  }

  function setFilter(value) {
    strip.only = value;
    model.set("only_regretted", value);
    model.save_changes();
    refilter();
  }

  function refilter() {
    strip.shown = visible();
    strip.focus = null;
    relayout();
  }

  function setWindow(start, length) {
    strip.span = Math.max(Math.min(1, steps), Math.min(steps, length));
    strip.from = Math.max(0, Math.min(steps - strip.span, start));
    strip.focus = null;
    relayout();
  }

  /** Twice or half as close, around what is in focus, else around the middle. */
  function zoom(factor) {
    const center = strip.focus === null || !strip.lay ? strip.from + strip.span / 2 : focusPlace();
    const length = Math.max(1, Math.min(steps, strip.span / factor));
    const kept = strip.lay && strip.lay.kind === "ticks" && strip.focus !== null ? strip.focus : null;
    setWindow(center - length * ((center - strip.from) / strip.span), length);
    if (kept !== null) {
      layOut();
      if (strip.lay.kind === "ticks") strip.focus = kept;
    }
  }

  function pan(part) {
    setWindow(strip.from + part * strip.span, strip.span);
  }

  const focusPlace = () => (strip.lay.kind === "ticks" ? at[strip.shown[strip.focus]] : strip.from + ((strip.focus + 0.5) / strip.lay.bins.count) * strip.span);

  const plot = () => strip.width - ES_LEFT - ES_RIGHT;

  const xOf = (step) => ES_LEFT + ((step - strip.from) / strip.span) * plot();

  /** Decide between ticks and bins for the window and the width as they are. */
  function layOut() {
    const places = Float64Array.from(strip.shown, (i) => at[i]);
    const first = firstFrom(places, strip.from);
    const stop = strip.from + strip.span >= steps ? strip.shown.length : firstFrom(places, strip.from + strip.span);
    const x = places.slice(first, stop).map(xOf);
    const rows = tickRows(x);
    strip.lay = rows ? { kind: "ticks", first, stop, x, rows } : { kind: "bins", first, stop, bins: binsOf(places, Int32Array.from(strip.shown, (i) => all.wanted[i]), first, stop, strip.from, strip.from + strip.span, plot()) };
  }

  const ready = () => {
    if (strip.stale && root.clientWidth) {
      strip.stale = false;
      size();
      layOut();
    }
    return strip.lay !== null;
  };

  /** One eviction, or one bin, further; the window follows. */
  function move(by) {
    if (!ready() || !strip.shown.length) return;
    if (strip.lay.kind === "ticks") {
      let next = strip.focus === null ? (by > 0 ? strip.lay.first : strip.lay.stop - 1) : strip.focus + by;
      next = Math.max(0, Math.min(strip.shown.length - 1, next));
      if (at[strip.shown[next]] < strip.from || at[strip.shown[next]] >= strip.from + strip.span) {
        setWindow(at[strip.shown[next]] - strip.span / 2, strip.span);
        ready();
        if (strip.lay.kind === "bins") next = binOf(at[strip.shown[next]], strip.from, strip.from + strip.span, strip.lay.bins.count);
      }
      strip.focus = next;
    } else {
      const last = strip.lay.bins.count - 1;
      let next = strip.focus === null ? (by > 0 ? 0 : last) : strip.focus + by;
      if ((next > last && strip.from + strip.span < steps) || (next < 0 && strip.from > 0)) {
        const place = focusPlace();
        setWindow(strip.from + (by > 0 ? 0.5 : -0.5) * strip.span, strip.span);
        ready();
        if (strip.lay.kind === "ticks") {
          next = Math.min(strip.shown.length - 1, firstFrom(Float64Array.from(strip.shown, (i) => at[i]), place));
          strip.focus = next;
          return schedule();
        }
        next = binOf(place, strip.from, strip.from + strip.span, strip.lay.bins.count) + by;
      }
      strip.focus = Math.max(0, Math.min(strip.lay.bins.count - 1, next));
    }
    schedule();
  }

  function toEnd(last) {
    if (!ready() || !strip.shown.length) return;
    if (strip.span < steps) {
      setWindow(last ? steps - strip.span : 0, strip.span);
      ready();
    }
    strip.focus = strip.lay.kind === "ticks" ? (last ? strip.shown.length - 1 : 0) : last ? strip.lay.bins.count - 1 : 0;
    schedule();
  }

  return { visible, setFilter, refilter, setWindow, zoom, pan, plot, xOf, layOut, ready, move, toEnd };
}
