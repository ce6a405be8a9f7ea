// Keys and pointer of a strip.

function stripKeys(strip) {
  const { canvas, steps, plot, move, toEnd, pan, zoom, setWindow, setFilter, ready, schedule } = strip;
  let drag = null;

  const times = (event) => (event.shiftKey ? 10 : 1);
  keys(canvas, {
    ArrowRight: (event) => move(times(event)),
    ArrowLeft: (event) => move(-times(event)),
    ArrowUp: () => undefined,
    ArrowDown: () => undefined,
    PageDown: () => pan(0.5),
    PageUp: () => pan(-0.5),
    Home: () => toEnd(false),
    End: () => toEnd(true),
    "+": () => zoom(2),
    "=": () => zoom(2),
    "-": () => zoom(0.5),
    0: () => setWindow(0, steps),
    r: () => setFilter(!strip.only),
    Escape: () => {
      if (strip.focus === null) return false;
      strip.focus = null;
      schedule();
    },
  });
  shield(canvas);

  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  function hover(event) {
    if (!ready()) return;
    const [x, y] = point(event);
    if (drag) {
      setWindow(drag.from - ((x - drag.x) / plot()) * strip.span, strip.span);
      return;
    }
    let next = null;
    if (y < ES_BASE + ES_BARS + 6 && x > ES_LEFT - 6 && x < strip.width) {
      if (strip.lay.kind === "bins") {
        const bin = Math.floor(((x - ES_LEFT) / plot()) * strip.lay.bins.count);
        next = bin >= 0 && bin < strip.lay.bins.count && strip.lay.bins.total[bin] ? bin : null;
      } else {
        let least = 12;
        for (let k = firstFrom(strip.lay.x, x - least); k < strip.lay.x.length && strip.lay.x[k] <= x + least; k++) {
          const away = Math.abs(strip.lay.x[k] - x) + (y > ES_BASE ? 0.6 * Math.abs(ES_BASE + 6 + strip.lay.rows[k] * ES_TICK - y) : 0);
          if (away < least) [next, least] = [strip.lay.first + k, away];
        }
      }
    }
    if (next === strip.focus) return;
    strip.focus = next;
    schedule();
  }
  canvas.addEventListener("pointermove", hover);
  canvas.addEventListener("pointerleave", () => {
    if (document.activeElement === canvas || strip.focus === null) return;
    strip.focus = null;
    schedule();
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (strip.span >= steps || event.button) return;
    drag = { x: point(event)[0], from: strip.from };
    canvas.setPointerCapture(event.pointerId);
  });
  for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => (drag = null));
}
