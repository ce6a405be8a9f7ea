// Helpers that every widget of the course shares. Joined in front of the widget's own file: no imports, no network.
// Text from Python or the learner only ever becomes text nodes, never markup.

const SVG_NS = "http://www.w3.org/2000/svg";

/** Make an HTML element. Props: `class`, `style` (object), `on` ({event: handler}), `text`, data-*, aria-*, attributes. */
function h(tag, props = {}, ...kids) {
  return fill(document.createElement(tag), props, kids);
}

/** Make an SVG element. */
function svg(tag, props = {}, ...kids) {
  return fill(document.createElementNS(SVG_NS, tag), props, kids);
}

function fill(node, props, kids) {
  for (const [key, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (key === "style" && typeof value === "object") {
      for (const [name, v] of Object.entries(value)) node.style.setProperty(name, v);
    } else if (key === "text") node.textContent = value;
    else if (value === true) node.setAttribute(key, "");
    else node.setAttribute(key, String(value));
  }
  for (const kid of kids.flat(Infinity)) {
    if (kid === null || kid === undefined || kid === false) continue;
    node.append(kid instanceof Node ? kid : document.createTextNode(String(kid)));
  }
  return node;
}

let lkSerial = 0;

/** An id no other node of the page has, for aria-labelledby and friends. */
function uid(prefix = "lk") {
  lkSerial += 1;
  return `${prefix}-${lkSerial}-${Math.random().toString(36).slice(2, 7)}`;
}

/** The root of a widget. It carries `.lk`, on which every token is a CSS variable. */
function card(el, name, label) {
  const root = h("section", { class: `lk lk-card lk-${name}`, "aria-label": label });
  el.append(root);
  return root;
}

/**
 * Handle keys on `node`: `map` gives a function by key name ("ArrowLeft", " ", "a"). A handled key reaches neither
 * the browser (scrolling) nor JupyterLab (cell commands). A handler that returns false lets the key pass; one that
 * returns "native" leaves it to the browser (space on a button) but still keeps it from JupyterLab.
 * Keys held with Ctrl, Alt or Meta always pass.
 */
function keys(node, map) {
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const answer = Object.hasOwn(map, event.key) ? map[event.key](event) : false;
    if (answer === false) return;
    if (answer !== "native") event.preventDefault();
    event.stopPropagation();
  });
}

/**
 * Keep JupyterLab's shortcuts away from a control that has keys of its own (a text field, a slider, a button): its
 * keys still do what the browser makes of them, but go no further. Tab and Escape pass.
 */
function shield(node) {
  const stop = (event) => {
    if (event.key !== "Tab" && event.key !== "Escape" && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  };
  for (const type of ["keydown", "keypress", "keyup"]) node.addEventListener(type, stop);
  return node;
}

/** True where the reader asked for less motion. */
function reducedMotion() {
  return typeof matchMedia === "function" && matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** A polite live region inside `root`; returns `say(text)`. Saying the same text twice speaks once. */
function liveRegion(root, politeness = "polite") {
  const node = h("div", { class: "lk-hidden", "aria-live": politeness, role: politeness === "assertive" ? "alert" : "status" });
  root.append(node);
  return (text) => {
    if (node.textContent !== text) node.textContent = text;
  };
}

/** Run `redraw`, then give focus back to the node that carries the same `data-key` as the one that had it. */
function keepFocus(root, redraw) {
  const active = document.activeElement;
  const key = active && root.contains(active) ? active.getAttribute("data-key") : null;
  const range = key && "selectionStart" in active && active.type !== "range" ? [active.selectionStart, active.selectionEnd] : null;
  redraw();
  if (key === null) return;
  const next = root.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!next || next === document.activeElement) return;
  next.focus({ preventScroll: true });
  if (range && range[0] !== null && next.setSelectionRange) next.setSelectionRange(range[0], range[1]);
}

/** A button. `kind`: "primary", "quiet" or nothing. Its key presses stay in the widget. */
function button(label, onclick, { kind = "", key = null, aria = null, icon = null, disabled = false, shielded = true } = {}) {
  const node = h("button", { type: "button", class: `lk-btn ${kind ? `lk-${kind}` : ""}`, "data-key": key, "aria-label": aria, title: aria, disabled, on: { click: onclick } }, icon, label);
  return shielded ? shield(node) : node;
}

/** A 14 by 14 icon from one path. */
function icon(path, { filled = true } = {}) {
  return svg(
    "svg",
    { width: 14, height: 14, viewBox: "0 0 14 14", "aria-hidden": "true", class: "lk-icon" },
    svg("path", { d: path, fill: filled ? "currentColor" : "none", stroke: "currentColor", "stroke-width": 1.4, "stroke-linejoin": "round", "stroke-linecap": "round" }),
  );
}

/** A disclosure: a button that shows and hides `body`. */
function disclosure(label, body, { open = false, key = null, onopen = null } = {}) {
  const id = uid("lk-fold");
  const mark = h("span", { class: "lk-fold-mark", "aria-hidden": "true" });
  const node = shield(h("button", { type: "button", class: "lk-fold", "aria-expanded": String(open), "aria-controls": id, "data-key": key }, h("span", { class: "lk-fold-label", text: label }), mark));
  const box = h("div", { class: "lk-fold-body", id }, body);
  box.hidden = !open;
  node.addEventListener("click", () => {
    box.hidden = !box.hidden;
    node.setAttribute("aria-expanded", String(!box.hidden));
    if (!box.hidden && onopen) onopen();
  });
  return { button: node, body: box };
}

/** Colours of the theme the node stands in, resolved so that a canvas can use them. */
function colorsOf(node, names) {
  const probe = h("span", { style: { display: "none" } });
  node.append(probe);
  const out = {};
  for (const name of names) {
    probe.style.color = `var(--lk-${name})`;
    out[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return out;
}

/** Call `changed()` when JupyterLab changes its theme; returns the function that stops it. */
function onTheme(changed) {
  const watch = new MutationObserver(() => changed());
  watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  return () => watch.disconnect();
}

/** Device pixels a CSS pixel, for canvases: never less than one. */
function pixelRatio() {
  return Math.max(1, globalThis.devicePixelRatio || 1);
}

/** The monospaced face of the theme, for canvases. */
function monoOf(node) {
  return getComputedStyle(node).getPropertyValue("--lk-mono") || "monospace";
}

/** A text cut to `width` pixels in the font that the canvas has set. */
function clip(ctx, text, width) {
  if (ctx.measureText(text).width <= width) return text;
  let keep = text.length;
  while (keep > 1 && ctx.measureText(`${text.slice(0, keep)}…`).width > width) keep -= 1;
  return `${text.slice(0, keep)}…`;
}

/** Bytes as anywidget hands them over: a DataView, a typed array, or nothing yet. */
function bytesOf(value) {
  if (!value) return new Uint8Array(0);
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

const RECORD_BYTES = 16;

/** The event log's kinds, as labkit.observe.events.Kind numbers them. */
const KIND = Object.freeze({
  ALLOCATE: 1, SHARE: 2, COPY: 3, FREE: 4, STORED: 5, REMOVED: 6, CLEARED: 7, REUSE: 8, FILL: 9, PREEMPT: 11,
  FINISH: 15, RESERVE: 16, RELEASE: 17, REFUSE: 18, USE: 19,
});

/** Columns of a growing log: `push(bytes)` appends records of 16 bytes (step u4, kind u1, flags u1, seq u2, block i4, arg i4). */
class Records {
  constructor(bytes = null) {
    this.length = 0;
    this.room = 0;
    this.step = new Uint32Array(0);
    this.kind = new Uint8Array(0);
    this.seq = new Uint16Array(0);
    this.block = new Int32Array(0);
    this.arg = new Int32Array(0);
    if (bytes) this.push(bytes);
  }

  push(bytes) {
    const count = Math.floor(bytes.byteLength / RECORD_BYTES);
    this.reserve(this.length + count);
    const view = new DataView(bytes.buffer, bytes.byteOffset, count * RECORD_BYTES);
    for (let i = 0; i < count; i++) {
      const at = i * RECORD_BYTES;
      const to = this.length + i;
      this.step[to] = view.getUint32(at, true);
      this.kind[to] = view.getUint8(at + 4);
      this.seq[to] = view.getUint16(at + 6, true);
      this.block[to] = view.getInt32(at + 8, true);
      this.arg[to] = view.getInt32(at + 12, true);
    }
    this.length += count;
  }

  reserve(count) {
    if (count <= this.room) return;
    const room = Math.max(count, this.room * 2, 256);
    for (const name of ["step", "kind", "seq", "block", "arg"]) {
      const wider = new this[name].constructor(room);
      wider.set(this[name].subarray(0, this.length));
      this[name] = wider;
    }
    this.room = room;
  }

  /** How many records belong to the first `steps` operations. */
  upTo(steps) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.step[middle] < steps) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** "1 block", "2 blocks". */
function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en-US")} ${count === 1 ? one : many}`;
}

/** Text in which `words` between backticks are code. */
function inline(text) {
  return text.split(/(`[^`]+`)/).map((piece) => (piece.length > 2 && piece.startsWith("`") && piece.endsWith("`") ? h("code", { class: "lk-inline", text: piece.slice(1, -1) }) : piece));
}
