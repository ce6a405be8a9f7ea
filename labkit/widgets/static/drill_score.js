// What is told after a drill: the score and why, what the change did on the hidden runs, the real incident.

function drillDebrief({ state, data }) {
  const { debrief, figures, hindsight } = state();
  const { points, parts, cause, pairs, par, before, incident, hidden, at_risk } = debrief;
  const pin = ([figure, first, last]) => `${figures[figure]}, ${drillSpan(data(), first, last)}`;
  return h("div", { class: "lkd-debrief" },
    h("h4", { class: "lkd-question lkd-points", tabindex: "-1" }, h("strong", { text: String(Math.round(points)) }), " of 100", hindsight ? h("span", { class: "lk-sub", text: " with hindsight, so not kept as a best run" }) : null),
    h("table", { class: "lkd-parts" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Part" }), h("th", { scope: "col", class: "lkd-n", text: "Points" }), before ? h("th", { scope: "col", class: "lkd-n", text: "Best run" }) : null, h("th", { scope: "col", text: "Why" }))),
      h("tbody", {}, parts.map((part, i) => h("tr", {}, h("th", { scope: "row", text: part.name }),
        h("td", { class: `lkd-n ${part.points === part.of ? "lk-ok" : part.points === 0 ? "lk-bad" : ""}` }, h("b", { text: String(Math.round(part.points)) }), ` of ${part.of}`),
        before ? h("td", { class: "lkd-n lk-sub", text: String(Math.round(before.parts[i])) }) : null, h("td", { text: part.says }))))),
    h("p", { class: "lk-well" }, h("b", { text: "It was this: " }), `“${cause}”. `,
      h("span", { class: "lk-sub" }, `Par: ${pin(par.pins[0])}, and ${pin(par.pins[1])} against “${par.rival}”; ${par.look[0].toLowerCase()}${par.look.slice(1)}; ${par.fixes.length ? `${plural(par.fixes.length, "change")} (${par.fixes.join("; ")})` : "no change"}. `,
        `${plural(at_risk, "request")} came while you looked${before ? `, ${before.at_risk.toLocaleString("en-US")} in your best run, which had ${Math.round(before.points)} points` : ""}.`)),
    pairs.length ? drillPairs(pairs, hidden) : h("p", { class: "lk-sub", text: "Nothing was changed, so there is no before and after." }),
    h("div", { class: "lkd-incident" }, h("h4", {}, "The real one: ", incident.link ? h("a", { href: incident.link, target: "_blank", rel: "noopener", text: incident.name }) : incident.name), h("p", { text: incident.told }), h("p", {}, h("b", { text: "What was done: " }), incident.done)),
  );
}

/** Before and after of each figure: the means, and a dot for each pair at after over before, with the goal as a line. */
function drillPairs(pairs, hidden) {
  const mean = (values) => {
    const known = values.filter((value) => Number.isFinite(value));
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : NaN;
  };
  const number = (value) => (Number.isFinite(value) ? (Math.abs(value) >= 99.5 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(3)))) : "–");
  const row = ({ title, role, goal, at_most, at_least, before, after, met }) => h("tr", {},
    h("th", { scope: "row" }, title, h("span", { class: "lk-sub", text: role === "seen" ? "" : ` ${role}: ${goal}` })),
    h("td", { class: "lkd-n", text: number(mean(before)) }), h("td", { class: "lkd-n" }, h("b", { text: number(mean(after)) })),
    h("td", {}, drillDots(before, after, at_most ?? at_least)),
    h("td", { class: `lkd-n ${role === "seen" ? "" : met >= 9 ? "lk-ok" : "lk-bad"}`, text: role === "seen" ? "" : `${met >= 9 ? "✓" : "×"} ${met} of ${hidden}` }));
  return h("div", {}, h("table", { class: "lkd-parts lkd-pairs" },
    h("caption", { class: "lk-sub", text: `${hidden} pairs of runs with the same requests, without and with your change` }),
    h("thead", {}, h("tr", {}, ["Figure", "Without", "With", "With ÷ without, a dot a pair", "Goal met"].map((text, i) => h("th", { scope: "col", class: i === 0 || i === 3 ? "" : "lkd-n", text })))),
    h("tbody", {}, pairs.map(row))));
}

function drillDots(before, after, goal) {
  const [width, height, most] = [150, 22, 2];
  const x = (ratio) => 6 + (Math.min(most, ratio) / most) * (width - 12);
  const ratios = after.map((value, i) => value / before[i]).filter((ratio) => Number.isFinite(ratio));
  return svg("svg", { class: "lkd-dots", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": ratios.length ? `from ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)} times` : "not known" },
    svg("path", { class: "lkd-axis", d: `M6 ${height - 5}H${width - 6}` }), svg("path", { class: "lkd-one", d: `M${x(1)} 3V${height - 3}` }),
    goal ? svg("path", { class: "lkd-goal", d: `M${x(goal)} 1V${height - 1}` }) : null,
    ratios.map((ratio, i) => svg("circle", { cx: x(ratio), cy: height - 9 - (i % 3) * 4, r: 2.6 })));
}

/** What can be done after the score, and in an endless board what has been played. */
function drillEnd({ state, ask }) {
  const { endless, played, drills } = state();
  return h("div", { class: "lkd-end" },
    h("div", { class: "lk-row" },
      endless ? button("Next drill", () => ask({ type: "next" }, "The next server is looked for …"), { kind: "primary", key: "next" }) : null,
      button("Again, with other numbers", () => ask({ type: "again" }, "Other numbers are drawn …"), { key: "again" })),
    played.length ? h("p", { class: "lk-sub lkd-played" }, `Played ${played.length} of ${drills[1]} drills (first come the ${drills[0]} of lesson 19, then any): `, played.map(({ name, plays, points }, i) => [i ? " · " : "", h("b", { text: name }), ` ${Math.round(points)}${plays > 1 ? ` (best of ${plays})` : ""}`])) : null);
}
