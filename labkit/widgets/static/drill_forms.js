// What a drill asks at each of its steps, and the budget that drains meanwhile.

const DRILL_STEPS = Object.freeze(["Convict", "Rule out", "Look", "Diagnose", "Change", "Score"]);

const DRILL_QUESTIONS = Object.freeze([
  ["What on this board proves the cause?", "Pin one figure where it shows: click it above its panel and drag over the curve, or choose it here. The options come after your evidence."],
  ["What rules another cause out?", "Name that cause, and pin another figure which shows that it is not the one."],
  ["Where do you look next?", "Before you see what it says: what would each answer mean?"],
  ["What is the cause?", ""],
  ["What do you change?", "More memory or servers cannot be had. The change is then tried on ten pairs of runs that you have not seen."],
]);

/** A draft of nothing: the shortest pin, where the board begins and no trouble is yet. */
function drillDraft(state) {
  return { figure: "", first: 0, last: state.least - 1, rival: "", look: "", meanings: {}, cause: "", fixes: [], cost: "" };
}

/** "60–120 s" for windows `first` to `last`. */
function drillSpan(data, first, last) {
  return `${Math.round(data.begin(first))}–${stormTime(data.end(last))}`;
}

function drillForms(drill) {
  const { state, draft, choose, ask, draw } = drill;
  const group = uid("lkd"); // radio buttons of two boards on a page are not each other's
  let pin = null; // the nodes of the pin form that stand now

  const question = (stage, kids, button) => h("fieldset", { class: "lkq-set" },
    h("legend", { class: "lkq-legend lkd-question", tabindex: "-1", text: DRILL_QUESTIONS[stage][0] }),
    DRILL_QUESTIONS[stage][1] ? h("p", { class: "lk-sub lkd-how", text: DRILL_QUESTIONS[stage][1] }) : null, kids, h("div", { class: "lkd-foot" }, button));

  function select(label, value, options, key, onchange) {
    const id = uid("lkd");
    const node = shield(h("select", { id, class: "lkq-field", "data-key": key, on: { change: () => onchange(node.value) } }, h("option", { value: "", text: "choose" }), options));
    node.value = value;
    return h("div", { class: "lkd-field" }, h("label", { class: "lk-sub", for: id, text: label }), node);
  }
  const option = ([value, text]) => h("option", { value, text });

  function radios(name, options, several = false) {
    const chosen = (value) => (several ? draft()[name].includes(value) : draft()[name] === value);
    return options.map(([value, text]) => {
      const input = shield(h("input", { type: several ? "checkbox" : "radio", name: `${group}-${name}`, value, "data-key": `${name}-${value}`, on: { change: () => {
        const others = several ? draft()[name].filter((one) => one !== value) : null;
        draft()[name] = several ? (input.checked ? [...others, value] : others) : value;
        draw();
      } } }));
      input.checked = chosen(value);
      return h("label", { class: `lkq-opt ${chosen(value) ? "chosen" : ""}` }, input, h("span", { class: "lkq-text", text }));
    });
  }

  const go = (text, ready, wanted, message, words = "") => button(text, () => (ready() ? ask({ type: "move", ...message() }, words) : wanted()), { kind: "primary", key: "go", disabled: Boolean(drill.busy()) });
  const missing = (text) => () => {
    const place = document.activeElement?.closest(".lkd-foot");
    place?.querySelector(".lkq-refused")?.remove();
    place?.append(h("span", { class: "lkq-refused", role: "alert", text }));
  };

  // ----- a pin --------------------------------------------------------------------------------------------------

  function pinForm() {
    const { figures } = state();
    const groups = drill.panels.map((panel) => h("optgroup", { label: panel.title }, panel.lines.filter(({ figure }) => figure in figures).map(({ figure }) => option([figure, figures[figure]])))).filter((group) => group.children.length);
    const figure = select("Figure", draft().figure, groups, "figure", (value) => choose({ figure: value }));
    const slider = (label, name) => {
      const id = uid("lkd");
      const node = shield(h("input", { id, type: "range", min: 0, max: drill.data().length - 1, step: 1, "data-key": name }));
      node.addEventListener("input", () => {
        const at = Number(node.value);
        choose(name === "first" ? { first: at, last: Math.max(at, draft().last) } : { last: at, first: Math.min(at, draft().first) });
      });
      return [h("div", { class: "lkd-field lkd-grow" }, h("label", { class: "lk-sub", for: id, text: label }), node), node];
    };
    const [first, from] = slider("From", "first");
    const [last, to] = slider("To", "last");
    pin = { figure: figure.querySelector("select"), from, to, out: h("output", { class: "lkd-pin" }) };
    pinned();
    const wide = `A pin is ${state().least} to ${Math.floor(drill.data().length / 2)} windows wide: half the board at most.`;
    return [h("div", { class: "lkd-fields" }, figure, h("div", { class: "lkd-span" }, first, last)), pin.out, h("p", { class: "lk-sub", text: wide })];
  }

  /** Show the draft of a pin in the nodes that stand. */
  function pinned() {
    if (!pin) return;
    const { figure, first, last } = draft();
    const data = drill.data();
    pin.figure.value = figure;
    for (const [node, at, edge] of [[pin.from, first, data.begin(first)], [pin.to, last, data.end(last)]]) {
      node.value = String(at);
      node.setAttribute("aria-valuetext", `window ${at}, ${stormTime(edge)}`);
    }
    const count = last - first + 1;
    const [least, most] = [state().least, Math.floor(data.length / 2)];
    const about = count < least ? `; ${least} windows at least` : count > most ? `; half the board, ${most} windows, at most` : "";
    pin.out.textContent = `${figure ? `${state().figures[figure]}, ` : "No figure yet; "}${drillSpan(data, first, last)} (windows ${first} to ${last}${about})`;
    pin.out.classList.toggle("lk-warn", Boolean(about));
  }
  const thePin = () => ({ figure: draft().figure, first: draft().first, last: draft().last });

  // ----- the five steps -----------------------------------------------------------------------------------------

  const NOTHING_TOLD = "nothing";
  const steps = [
    () => question(0, pinForm(), go("Pin it", () => draft().figure, missing("Choose a figure first."), () => ({ move: "convict", ...thePin() }))),
    () => question(1, [select("It is not this", draft().rival, Object.entries(state().causes).map(option), "rival", (value) => (draft().rival = value)), pinForm()],
      go("Pin it, and show the options", () => draft().figure && draft().rival, missing("Name a cause and choose a figure first."), () => ({ move: "rule_out", rival: draft().rival, ...thePin() }))),
    () => {
      const { looks, diagnoses } = state().options;
      const look = looks.find(({ name }) => name === draft().look);
      const meanings = [...diagnoses.map((name) => [name, state().causes[name]]), [NOTHING_TOLD, "Nothing: it would tell me nothing"]];
      const given = () => look?.outcomes.map((_, i) => draft().meanings[`${look.name} ${i}`]);
      const outcomes = look?.outcomes.map((says, i) => select(`If it says: “${says}”`, draft().meanings[`${look.name} ${i}`] ?? "", meanings.map(option), `meaning-${i}`, (value) => (draft().meanings[`${look.name} ${i}`] = value)));
      return question(2, [radios("look", looks.map(({ name, what }) => [name, what])), outcomes ? h("div", { class: "lkd-meanings" }, outcomes) : null],
        go("Look", () => look && given().every(Boolean), missing("Choose a look, and say of each answer what it would mean."), () => ({ move: "look", look: look.name, meanings: given().map((name) => (name === NOTHING_TOLD ? null : name)) }), "Looking …"));
    },
    () => question(3, radios("cause", state().options.diagnoses.map((name) => [name, state().causes[name]])), go("This is it", () => draft().cause, missing("Choose one first."), () => ({ move: "diagnose", cause: draft().cause }))),
    () => {
      const { fixes, costs, most } = state().options;
      const count = draft().fixes.length;
      return question(4, [radios("fixes", fixes.map(({ name, title }) => [name, title]), true), h("p", { class: "lk-sub lkd-how", text: `${plural(count, "change")} of ${most} at most${count ? "." : ": all stays as it is."}` }),
        select("And what does that cost?", draft().cost, Object.entries(costs).map(option), "cost", (value) => (draft().cost = value))],
        go(count ? "Change it, and see" : "Change nothing, and see", () => draft().cost, missing("Say what it costs first."), () => ({ move: "fix", fixes: draft().fixes, cost: draft().cost }), "The change is tried on the hidden pairs of runs …"));
    },
  ];

  return {
    pinned,
    node() {
      pin = null;
      return steps[state().stage]();
    },
  };
}

/** What was said so far, a line a move. */
function drillStory({ state, data }) {
  const { stage, pins, moves, options, causes, figures } = state();
  const lines = [];
  const pin = ([figure, first, last]) => `${figures[figure]}, ${drillSpan(data(), first, last)}`;
  if (pins[0]) lines.push(["1 convicts", pin(pins[0])]);
  if (pins[1]) lines.push(["2 rules out", `“${causes[moves.rival]}”`, `by ${pin(pins[1])}`]);
  if (moves.look) {
    const look = options.looks.find(({ name }) => name === moves.look);
    const meant = moves.meanings[look.outcomes.indexOf(moves.outcome)];
    lines.push(["looked", `${look.what}. It says: “${moves.outcome}”`, meant ? `You said that this would mean “${causes[meant]}”.` : "You said that this would mean nothing."]);
  }
  if (moves.cause) lines.push(["cause", causes[moves.cause]]);
  if (stage === 5) lines.push(["changed", options.fixes.filter(({ name }) => moves.fixes.includes(name)).map(({ title }) => title).join("; ") || "nothing", `What you said it costs: “${options.costs[moves.cost]}”.`]);
  return lines.length ? h("dl", { class: "lkd-story" }, lines.map(([name, text, more]) => [h("dt", { text: name }), h("dd", {}, text, more ? h("span", { class: "lk-sub", text: ` ${more}` }) : null)])) : null;
}

/** The error budget: who comes while somebody looks. It begins with the first touch and ends with the change. */
function drillBudget(state) {
  const bar = h("span", { class: "lkd-left" });
  const text = h("span", { class: "lkd-budget-text" });
  const why = h("p", { class: "lk-sub", text: "As long as nobody knows what is wrong, all who come to this server are at risk. The budget is as many as come in ten minutes. It begins to drain when you first touch the board and ends with your change; it is no part of the score, and stands beside your best run." });
  const fold = disclosure("Error budget", why, { key: "budget" });
  const node = h("div", { class: "lkd-budget" }, h("div", { class: "lk-row" }, fold.button, h("span", { class: "lkd-bar", "aria-hidden": "true" }, bar), text), fold.body);
  let since = 0;
  function show() {
    const { looked_s, looking, per_s, budget_s } = state();
    const seconds = looked_s + (looking && since ? (performance.now() - since) / 1000 : 0);
    const total = Math.round(per_s * budget_s);
    const gone = Math.min(total, Math.round(per_s * seconds));
    bar.style.width = `${100 * (1 - gone / total)}%`;
    text.textContent = `${(total - gone).toLocaleString("en-US")} of ${plural(total, "request")} left, ${Math.round(60 * per_s)} a minute go`;
    node.classList.toggle("lkd-spent", gone >= total);
  }
  const timer = setInterval(show, 1000);
  return {
    node,
    /** `live`: the state has just come from the kernel; a saved page has no clock. */
    sync(live) {
      if (live) since = performance.now();
      show();
    },
    close: () => clearInterval(timer),
  };
}
