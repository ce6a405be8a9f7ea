// First, back, play, step, last and a scrubber: the same bar under every picture that is a replay of the event log.

const SPEEDS = [0.5, 1, 2, 4];
const PLAY_ICON = "M4 2l7 5-7 5z";
const PAUSE_ICON = "M4.4 2.6v8.8M9.6 2.6v8.8";

/**
 * `onseek(step)` is called with a step from 0 to `last`. Returns {root, set(step), grow(last), step(), stop(), keysFor(node)}.
 * `spoken(step)` gives the slider's spoken value.
 */
function transport({ last = 0, step = 0, onseek, onplay = () => {}, spoken = (s) => `step ${s}` }) {
  const state = { last, step, timer: null, speed: 1, playing: false };
  const jump = (to) => {
    pause();
    move(to);
  };
  const plain = (label, path, to) => button(null, () => jump(to()), { aria: label, icon: icon(path), shielded: false });
  const first = plain("First step", "M3 2v10M12 2L5 7l7 5z", () => 0);
  const back = plain("One step back", "M10 2L4 7l6 5z", () => state.step - 1);
  const play = button(null, () => toggle(), { kind: "primary", aria: "Play", icon: icon(PLAY_ICON), shielded: false });
  const next = plain("One step on", "M4 2l6 5-6 5z", () => state.step + 1);
  const end = plain("Last step", "M2 2l7 5-7 5zM11 2v10", () => state.last);
  const speed = button("1×", () => {
    state.speed = SPEEDS[(SPEEDS.indexOf(state.speed) + 1) % SPEEDS.length];
    speed.textContent = `${state.speed}×`.replace("0.5", "½");
    speed.setAttribute("aria-label", `Speed ${state.speed} times`);
  }, { kind: "quiet", aria: "Speed 1 times", shielded: false });
  const range = h("input", { type: "range", class: "lk-range", min: 0, max: last, step: 1, value: step, "aria-label": "Step", on: { input: () => jump(Number(range.value)) } });
  const place = h("span", { class: "lk-mono lk-place" });
  const root = h("div", { class: "lk-transport", role: "group", "aria-label": "Replay" }, first, back, play, next, end, range, place, speed);

  function move(to) {
    const target = Math.max(0, Math.min(state.last, to));
    if (target === state.step) return;
    state.step = target;
    paint();
    onseek(target);
  }
  function paint() {
    range.max = state.last;
    range.value = state.step;
    range.style.setProperty("--at", state.last ? `${(100 * state.step) / state.last}%` : "0%");
    range.setAttribute("aria-valuetext", spoken(state.step));
    place.textContent = `step ${state.step} / ${state.last}`;
    place.style.minWidth = `${`step ${state.last} / ${state.last}`.length}ch`;
    for (const [node, off] of [[first, state.step === 0], [back, state.step === 0], [next, state.step === state.last], [end, state.step === state.last]]) {
      // aria-disabled, not disabled: the button that was just pressed must keep the focus.
      node.setAttribute("aria-disabled", String(off));
    }
  }
  function paintPlay() {
    play.setAttribute("aria-label", state.playing ? "Pause" : "Play");
    play.setAttribute("title", state.playing ? "Pause" : "Play");
    play.replaceChildren(state.playing ? icon(PAUSE_ICON, { filled: false }) : icon(PLAY_ICON));
  }
  function toggle() {
    if (state.playing) pause();
    else start();
  }
  function start() {
    if (!state.last) return;
    if (state.step >= state.last) move(0);
    state.playing = true;
    paintPlay();
    onplay(true);
    tick();
  }
  function tick() {
    // A short log is read operation by operation; a long one goes by in about half a minute.
    const pace = Math.max(16, Math.min(700, 30000 / Math.max(1, state.last))) / state.speed;
    const stride = pace < 16 ? Math.ceil(16 / pace) : 1;
    state.timer = setTimeout(() => {
      move(state.step + stride);
      if (state.step >= state.last) pause();
      else tick();
    }, Math.max(16, pace));
  }
  function pause() {
    if (!state.playing) return;
    clearTimeout(state.timer);
    state.playing = false;
    paintPlay();
    onplay(false);
  }
  const isButton = (event) => event.target instanceof HTMLElement && event.target.closest("button, summary, a");
  const map = {
    ArrowLeft: () => jump(state.step - 1),
    ArrowRight: () => jump(state.step + 1),
    Home: () => jump(0),
    End: () => jump(state.last),
    " ": (event) => (isButton(event) ? "native" : toggle()),
    Enter: (event) => (isButton(event) ? "native" : false),
  };
  paint();
  return {
    root,
    step: () => state.step,
    last: () => state.last,
    playing: () => state.playing,
    seek: jump,
    /** Make the log longer; whoever stands at its end goes on standing there. */
    grow(to) {
      const follow = state.step === state.last && !state.playing;
      state.last = to;
      if (follow) state.step = to;
      paint();
      return follow;
    },
    stop: pause,
    /** Arrows, Home, End and space on `node` and everything in it. */
    keysFor: (node) => {
      keys(node, map);
      node.classList.add("lk-keyed");
      // A click anywhere in the card gives it the keys that it advertises.
      node.addEventListener("click", (event) => {
        const taken = event.target.closest("button, input, select, a, [tabindex='0']");
        // JupyterLab's cell around the card can take the focus too; only what lies in the card keeps it.
        if (!taken || !node.contains(taken)) range.focus({ preventScroll: true });
      });
    },
  };
}

/**
 * Which keys do what, for those who would not guess. What it says is true wherever the focus is: `lk-keyed` is the part
 * of the page that takes the keys, `lk-walks` on it says that they go from block to block (`walked`: or from what).
 */
function keyHint(walked = "block") {
  const key = (text) => h("kbd", { text });
  return h(
    "span",
    { class: "lk-keys", "aria-hidden": "true" },
    h("span", { class: "lk-keys-away", text: "click, then " }),
    h("span", { class: "lk-keys-step" }, key("←"), key("→"), " step "),
    h("span", { class: "lk-keys-space" }, key("space"), " play"),
    h("span", { class: "lk-keys-walk" }, key("←"), key("→"), key("↑"), key("↓"), ` ${walked} `, key("Esc"), " back to steps"),
  );
}
