// Paints the cells of a request timeline and the tokens below them.

const TL_LEFT = 76; // the names of the requests
const TL_BELOW = 74; // the tokens of each step
const TL_DOING = Object.freeze({ WAITING: 0, PREFILL: 1, DECODE: 2, PREEMPTED: 3, IDLE: 4, SWAPPED: 5 });
const TL_FLAG = Object.freeze({ BEGINS: 1, CACHED: 2, AGAIN: 4, RESTORED: 8 });

function timelinePaint(board) {
  const { ctx, low } = board;

  /** The cells [start, stop) of a row that look alike and are drawn as one: a single one where there is room. */
  function* runs(row, first, last) {
    const { step, doing, flags } = row;
    let i = firstFrom(step, first);
    while (i < step.length && step[i] <= last) {
      let j = i + 1;
      const again = flags[i] & TL_FLAG.AGAIN;
      if (board.wide < 9) while (j < step.length && step[j] <= last && step[j] === step[j - 1] + 1 && doing[j] === doing[i] && (flags[j] & TL_FLAG.AGAIN) === again) j += 1;
      yield [i, j];
      i = j;
    }
  }

  const xOf = (step) => TL_LEFT + (step - board.from) * board.wide;

  function paintRow(row, number) {
    const { high, wide, colors } = board;
    const y = number * high;
    const fill = board.fills[row.slot];
    const inner = Math.max(2, high - (high > 10 ? 4 : 1));
    const top = y + (high - inner) / 2;
    if (high >= 12) {
      ctx.fillStyle = board.focus && board.focus.row === number ? colors.ink : colors.dim;
      ctx.textAlign = "left";
      ctx.fillText(clip(ctx, row.name, TL_LEFT - 12), 2, y + high / 2);
    }
    for (const [i, j] of runs(row, Math.floor(board.from), Math.ceil(board.from + board.span) - 1)) {
      const x = Math.max(TL_LEFT, xOf(row.step[i]));
      const width = xOf(row.step[j - 1] + 1) - x - (wide > 5 ? 1.5 : 0);
      const middle = top + inner / 2;
      const doing = row.doing[i];
      if (doing === TL_DOING.WAITING || doing === TL_DOING.IDLE) {
        ctx.fillStyle = doing === TL_DOING.IDLE ? fill : colors.faint;
        if (wide >= 5 && doing === TL_DOING.WAITING) for (let k = i; k < j; k++) ctx.fillRect(xOf(row.step[k]) + wide / 2 - 1.5, middle - 1, 3, 2);
        else ctx.fillRect(x, middle - 1, width, 2);
      } else if (doing === TL_DOING.SWAPPED) {
        for (let k = i; k < j; k++) arrow(xOf(row.step[k]) + wide / 2, middle, inner, 1, colors.bad);
      } else if (doing === TL_DOING.PREEMPTED) {
        const arm = Math.min(5, inner / 2, Math.max(2, wide / 2));
        ctx.strokeStyle = colors.bad;
        ctx.lineWidth = high > 8 ? 2 : 1.2;
        ctx.beginPath();
        for (let k = i; k < j; k++) {
          const at = xOf(row.step[k]) + wide / 2;
          ctx.moveTo(at - arm, middle - arm);
          ctx.lineTo(at + arm, middle + arm);
          ctx.moveTo(at + arm, middle - arm);
          ctx.lineTo(at - arm, middle + arm);
        }
        ctx.stroke();
      } else {
        const prefill = doing === TL_DOING.PREFILL;
        ctx.globalAlpha = prefill ? 1 : 0.34;
        ctx.fillStyle = fill;
        ctx.fillRect(x, top, width, inner);
        ctx.globalAlpha = 1;
        if (row.flags[i] & TL_FLAG.RESTORED) arrow(xOf(row.step[i]) + wide / 2, middle, inner, -1, prefill ? colors.onfill : colors.ink);
        if (row.flags[i] & TL_FLAG.AGAIN) hatch(x, top, width, inner, prefill ? colors.panel : fill);
        if (wide >= 9 && high >= 12) {
          const text = prefill && !(row.flags[i] & TL_FLAG.RESTORED) ? String(row.tokens[i]) : "";
          const again = row.flags[i] & TL_FLAG.AGAIN;
          const fits = text && ctx.measureText(text).width + (again ? 13 : 2) <= width; // the hatch is seen on both sides
          if (fits) {
            ctx.textAlign = "center";
            if (again) {
              const plate = ctx.measureText(text).width + 5;
              ctx.fillStyle = fill;
              ctx.fillRect(x + (width - plate) / 2, top + 1, plate, inner - 2);
            }
            ctx.fillStyle = colors.onfill;
            ctx.fillText(text, x + width / 2, middle + 0.5);
          }
        }
      }
    }
  }

  /** Down to the host (1), or back up from it (-1). */
  function arrow(x, y, inner, down, color) {
    const half = Math.min(6, inner / 2 - 1);
    const arm = Math.min(4, half);
    ctx.strokeStyle = color;
    ctx.lineWidth = inner > 8 ? 2 : 1.2;
    ctx.beginPath();
    ctx.moveTo(x, y - down * half);
    ctx.lineTo(x, y + down * half);
    ctx.moveTo(x - arm, y + down * (half - arm));
    ctx.lineTo(x, y + down * half);
    ctx.lineTo(x + arm, y + down * (half - arm));
    ctx.stroke();
  }

  function hatch(x, y, width, height, color) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(x, y, width, height);
    ctx.clip();
    ctx.strokeStyle = color;
    ctx.lineWidth = 1.4;
    ctx.beginPath();
    for (let at = x - height; at < x + width; at += 5) {
      ctx.moveTo(at, y + height);
      ctx.lineTo(at + height, y);
    }
    ctx.stroke();
    ctx.restore();
  }

  /** Each step's tokens: chunks of prompts below, decodes above them, and the budget as a line. */
  function paintLow() {
    const { colors, wide, run } = board;
    const first = Math.max(0, Math.floor(board.from));
    const last = Math.min(run.budgets.length, Math.ceil(board.from + board.span)) - 1;
    let most = 1;
    for (let s = first; s <= last; s++) most = Math.max(most, run.budgets[s]);
    const base = TL_BELOW - 16;
    const tall = (tokens) => (tokens / most) * (base - 8);
    low.textAlign = "left";
    low.fillStyle = colors.dim;
    low.fillText("tokens", 2, base - 6);
    low.textAlign = "right";
    low.fillText(most.toLocaleString("en-US"), TL_LEFT - 8, 9);
    low.fillStyle = colors.edge;
    low.fillRect(TL_LEFT, base, board.width - TL_LEFT, 1);
    for (let s = first; s <= last; s++) {
      const x = xOf(s);
      const width = Math.max(0.6, wide - (wide > 5 ? 1.5 : 0));
      const chunks = tall(run.prefill[s]);
      const decodes = tall(run.decode[s]);
      low.fillStyle = colors.held;
      low.fillRect(x, base - chunks, width, chunks);
      low.globalAlpha = 0.34;
      low.fillRect(x, base - chunks - decodes, width, decodes);
      low.globalAlpha = 1;
      low.fillStyle = colors.accent;
      low.fillRect(x, base - tall(run.budgets[s]) - 1, wide, 1.4);
    }
    low.fillStyle = colors.dim;
    low.textAlign = "center";
    const apart = Math.max(1, Math.ceil(44 / wide));
    for (let s = Math.ceil(first / apart) * apart; s <= last; s += apart) low.fillText(s.toLocaleString("en-US"), xOf(s) + wide / 2, base + 9);
  }

  /** The column of the cell in focus, and its frame. */
  function paintFocus() {
    const { focus, colors, wide, high } = board;
    if (!focus) return;
    const x = Math.max(TL_LEFT, xOf(focus.step));
    ctx.strokeStyle = low.strokeStyle = colors.ink;
    ctx.lineWidth = 1.4;
    low.lineWidth = 1.4;
    ctx.strokeRect(x - 0.7, focus.row * high + 0.7, Math.max(3, wide), high - 1.4);
    low.strokeRect(x - 0.7, 0.7, Math.max(3, wide), TL_BELOW - 18);
  }

  return { paintRow, paintLow, paintFocus };
}
