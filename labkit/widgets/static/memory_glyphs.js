// What becomes of a slot, as a pattern: fill styles on a canvas, and the swatches of the legend.

/** Fill styles by kind of slot, in one colour, on a canvas. */
function slotPatterns(ctx) {
  const made = new Map();
  const tile = (size, draw) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size * 2;
    const pen = canvas.getContext("2d");
    pen.scale(2, 2);
    draw(pen, size);
    const pattern = ctx.createPattern(canvas, "repeat");
    pattern.setTransform(new DOMMatrix().scale(0.5));
    return pattern;
  };
  return (kind, color) => {
    const key = `${kind}|${color}`;
    if (!made.has(key)) {
      const stroke = (pen, width) => {
        pen.strokeStyle = color;
        pen.lineWidth = width;
      };
      if (kind === "used") made.set(key, color);
      else if (kind === "reservation") {
        made.set(key, tile(6, (pen, s) => {
          stroke(pen, 1.5);
          for (const d of [-s, 0, s]) {
            pen.beginPath();
            pen.moveTo(d - 1, s + 1);
            pen.lineTo(d + s + 1, -1);
            pen.stroke();
          }
        }));
      } else if (kind === "internal") {
        made.set(key, tile(5, (pen) => {
          pen.fillStyle = color;
          pen.beginPath();
          pen.arc(2.5, 2.5, 1.05, 0, 7);
          pen.fill();
        }));
      } else if (kind === "external") {
        made.set(key, tile(6, (pen, s) => {
          stroke(pen, 1);
          for (const d of [-s, 0, s]) {
            pen.beginPath();
            pen.moveTo(d - 1, s + 1);
            pen.lineTo(d + s + 1, -1);
            pen.moveTo(d - 1, -1);
            pen.lineTo(d + s + 1, s + 1);
            pen.stroke();
          }
        }));
      } else made.set(key, color);
    }
    return made.get(key);
  };
}

/** One swatch of the legend, on a canvas of its own. */
function slotSwatch(canvas, kind, colors) {
  const scale = pixelRatio();
  canvas.width = 18 * scale;
  canvas.height = 12 * scale;
  const ctx = canvas.getContext("2d");
  ctx.scale(scale, scale);
  ctx.fillStyle = kind === "free" ? colors.free : colors.panel;
  ctx.fillRect(0, 0, 18, 12);
  ctx.fillStyle = kind === "free" ? colors.free : slotPatterns(ctx)(kind, kind === "external" ? colors.dim : colors.held);
  ctx.fillRect(0, 0, 18, 12);
  ctx.strokeStyle = kind === "free" ? colors.line : colors.held;
  ctx.strokeRect(0.5, 0.5, 17, 11);
}
