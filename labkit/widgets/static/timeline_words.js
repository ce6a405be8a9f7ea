// The cells of a run by rows, and what a sentence says of one.

function timelineRun(saved) {
  const raw = bytesOf(saved.cells);
  const count = Math.floor(raw.byteLength / 16);
  const view = new DataView(raw.buffer, raw.byteOffset, count * 16);
  const steps = saved.budgets.length;
  const rows = saved.names.map((name, i) => ({ name, slot: saved.slots[i], step: [], tokens: [], doing: [], flags: [], again: [] }));
  const prefill = new Float64Array(steps);
  const decode = new Float64Array(steps);
  for (let i = 0; i < count; i++) {
    const step = view.getUint32(16 * i, true);
    const row = rows[view.getUint32(16 * i + 4, true)];
    const tokens = view.getUint32(16 * i + 8, true);
    const doing = view.getUint8(16 * i + 12);
    row.step.push(step);
    row.tokens.push(tokens);
    row.doing.push(doing);
    row.flags.push(view.getUint8(16 * i + 13));
    row.again.push(view.getUint16(16 * i + 14, true));
    if (doing === 1) prefill[step] += tokens;
    if (doing === 2) decode[step] += tokens;
  }
  return { rows, steps, prefill, decode, budgets: saved.budgets, overview: saved.overview };
}

function timelineWords(run, { row, step }) {
  const { name, step: steps, tokens, doing, flags, again: twice } = run.rows[row];
  const i = firstFrom(steps, step);
  const used = run.prefill[step] + run.decode[step];
  const whole = `${used.toLocaleString("en-US")} of ${run.budgets[step].toLocaleString("en-US")} tokens of the budget are spent.`;
  const at = `Step ${step}, ${name}:`;
  if (i >= steps.length || steps[i] !== step) return `${at} ${step < steps[0] ? "has not come yet" : "has ended"}. ${whole}`;
  const some = twice[i] < tokens[i] ? `${twice[i].toLocaleString("en-US")} of them ` : "";
  const again = flags[i] & 4 ? `, ${some}computed before and lost` : "";
  const back = flags[i] & 8 ? "what it had computed comes back from the host, and it " : "";
  const begins = flags[i] & 1 ? `is let in${flags[i] & 2 ? ", a part of it found in the cache," : ""} and ` : "";
  const told = [
    "waits.",
    `${begins}${back}computes ${plural(tokens[i], "token")} of what it has${again}.`,
    `${begins}${back}computes one token and gives the next${again}.`,
    "gives its memory up and goes back to the queue.",
    "is in memory, but the budget is spent before it.",
    "gives its memory up; what it has computed is copied to the host.",
  ][doing[i]];
  return `${at} ${told} ${whole}`;
}
