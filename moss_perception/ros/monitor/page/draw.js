// Draws the camera picture with its candidates, and the scores over time.

const GOOD = '#3cc85a', POOR = '#eb6e32', SELECTED = '#50beff', RIM = '#000b';
// Matplotlib's inferno at five places; weak motion is transparent.
const INFERNO = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
const FINGER = 0.35;
const SECONDS = 60;

export function colourOf(row, state) {
  if (row.index === state.selected) return SELECTED;
  return row.score >= (state.threshold ?? 0.5) ? GOOD : POOR;
}

// Match a canvas to its size on the screen; returns its context in CSS pixels.
function fitted(canvas, ratio) {
  const width = canvas.clientWidth, height = ratio ? width / ratio : canvas.clientHeight;
  const scale = Math.min(window.devicePixelRatio || 1, 2);
  if (ratio) canvas.style.aspectRatio = String(ratio);
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return [context, width, height];
}

// The motion map covers the square into which the image was fitted, centred.
function heatImage(motion) {
  const bytes = atob(motion.values), image = new ImageData(motion.columns, motion.rows);
  for (let i = 0; i < bytes.length; i++) {
    const value = bytes.charCodeAt(i) / 255, at = value * (INFERNO.length - 1);
    const low = Math.min(Math.floor(at), INFERNO.length - 2), part = at - low;
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] = INFERNO[low][c] * (1 - part) + INFERNO[low + 1][c] * part;
    }
    // Most of an image differs a little from its middle.
    image.data[4 * i + 3] = 255 * 0.8 * Math.max(0, (value - 0.3) / 0.7);
  }
  const canvas = document.createElement('canvas');
  canvas.width = motion.columns;
  canvas.height = motion.rows;
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}

function gripperPath(left, right) {
  const along = [right[0] - left[0], right[1] - left[1]];
  const across = [-along[1] * FINGER / 2, along[0] * FINGER / 2];
  return [[left[0] + across[0], left[1] + across[1]], [left[0] - across[0], left[1] - across[1]],
    left, right, [right[0] + across[0], right[1] + across[1]],
    [right[0] - across[0], right[1] - across[1]]];
}

function stroke(context, points, colour, width) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineJoin = context.lineCap = 'round';
  context.stroke();
}

export function drawPicture(canvas, bitmap, state, withMotion) {
  const size = state.picture?.size ?? [4, 3];
  const [context, width, height] = fitted(canvas, size[0] / size[1]);
  if (!bitmap) return;
  context.drawImage(bitmap, 0, 0, width, height);
  // Motion and candidates belong to the frame of the newest scores.
  if (state.picture?.stamp !== state.stamp) return;
  if (withMotion && state.motion) {
    const side = Math.max(width, height);
    context.drawImage(heatImage(state.motion), (width - side) / 2, (height - side) / 2, side, side);
  }
  drawDefault(context, state.default?.point, width, height);
  const order = state.candidates.filter((row) => row.fingers && row.score !== null)
    .sort((a, b) => rank(a, state) - rank(b, state));
  for (const row of order) drawGripper(context, row, state, width, height);
  const taken = [];
  for (const row of order.reverse()) drawLabel(context, row, state, width, height, taken);
}

// The best and the selected candidate are drawn last, over the others.
function rank(row, state) {
  return row.score + 2 * (row.index === state.best) + 4 * (row.index === state.selected);
}

function middle(row, width, height) {
  return [(row.fingers[0][0] + row.fingers[1][0]) / 2 * width,
    (row.fingers[0][1] + row.fingers[1][1]) / 2 * height];
}

function drawGripper(context, row, state, width, height) {
  const [left, right] = row.fingers.map(([x, y]) => [x * width, y * height]);
  const marked = row.index === state.best || row.index === state.selected;
  const thick = (marked ? 3.5 : 2) * Math.max(1, width / 500), path = gripperPath(left, right);
  stroke(context, path, marked ? '#fff' : RIM, thick + 2.5);
  stroke(context, path, colourOf(row, state), thick);
}

function drawLabel(context, row, state, width, height, taken) {
  const [x, y] = middle(row, width, height), line = Math.max(12, width / 36);
  const names = [];
  if (row.index === state.best) names.push('best');
  if (row.index === state.selected) names.push('selected');
  const text = [...names, `${row.index}: ${row.score.toFixed(2)}`].join(' ');
  context.font = `600 ${line * 0.8}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + line * 0.5;
  for (const [dx, dy] of [[1, -1], [1, 1], [-1, -1], [-1, 1], [1, 3], [-1, 3], [1, -3], [-1, -3]]) {
    const box = [x + dx * line * 0.8 - (dx < 0 ? wide : 0), y + dy * line * 0.8 - line / 2, wide, line * 1.1];
    const inside = box[0] >= 0 && box[1] >= 0 && box[0] + wide <= width && box[1] + line * 1.1 <= height;
    if (!inside || taken.some((one) => overlap(one, box))) continue;
    taken.push(box);
    context.fillStyle = names.length ? colourOf(row, state) : '#000b';
    context.fillRect(...box);
    context.fillStyle = names.length ? '#000' : colourOf(row, state);
    context.textBaseline = 'middle';
    context.fillText(text, box[0] + line * 0.25, box[1] + line * 0.58);
    return;
  }
}

function overlap(a, b) {
  return a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3];
}

function drawDefault(context, point, width, height) {
  if (!point) return;
  const [x, y] = [point[0] * width, point[1] * height], r = Math.max(5, width / 60);
  for (const [colour, thick] of [[RIM, 4], ['#fff', 1.5]]) {
    stroke(context, [[x - r, y], [x + r, y]], colour, thick);
    stroke(context, [[x, y - r], [x, y + r]], colour, thick);
  }
}

export function drawChart(canvas, history, state) {
  const [context, width, height] = fitted(canvas), style = getComputedStyle(canvas);
  const of = (name) => style.getPropertyValue(name).trim();
  const left = 30, bottom = 20, right = 6, top = 8;
  const x = (time) => width - right - (state.now - time) / SECONDS * (width - left - right);
  const y = (score) => height - bottom - score * (height - bottom - top);
  context.font = '11px system-ui, sans-serif';
  context.fillStyle = of('--soft');
  for (const score of [0, 0.5, 1]) {
    stroke(context, [[left, y(score)], [width - right, y(score)]], of('--line'), 1);
    context.textBaseline = 'middle';
    context.fillText(score.toFixed(1), 6, y(score));
  }
  for (const ago of [60, 40, 20, 0]) {
    context.textAlign = ago === 0 ? 'right' : ago === 60 ? 'left' : 'center';
    context.textBaseline = 'alphabetic';
    context.fillText(ago ? `${ago} s ago` : 'now', x(state.now - ago), height - 5);
  }
  context.textAlign = 'left';
  for (const part of parts(history)) drawPart(context, history, part, x, y, of('--blue'));
  const limit = state.threshold ?? 0.5;
  context.setLineDash([4, 4]);
  stroke(context, [[left, y(limit)], [width - right, y(limit)]], of('--soft'), 1);
  context.setLineDash([]);
  for (const attempt of state.attempts.last) drawAttempt(context, attempt, state, x, y, left, of);
}

// Pieces of the history without a gap, each of one kind.
function parts(history) {
  const found = [];
  let part = [];
  history.time.forEach((time, i) => {
    const gap = i && (time - history.time[i - 1] > 0.6 || history.listed[i] !== history.listed[i - 1]);
    if (gap && part.length) { found.push(part); part = []; }
    if (history.score[i] !== null) part.push(i);
  });
  return part.length ? [...found, part] : found;
}

function drawPart(context, history, part, x, y, blue) {
  const at = (i, sign) => [x(history.time[i]),
    y(Math.min(1, Math.max(0, history.score[i] + sign * (history.uncertainty[i] ?? 0))))];
  const colour = history.listed[part[0]] ? blue : '#8a929b';
  context.beginPath();
  [...part.map((i) => at(i, 1)), ...[...part].reverse().map((i) => at(i, -1))]
    .forEach(([a, b], i) => (i ? context.lineTo(a, b) : context.moveTo(a, b)));
  context.globalAlpha = 0.2;
  context.fillStyle = colour;
  context.fill();
  context.globalAlpha = 1;
  stroke(context, part.map((i) => at(i, 0)), colour, history.listed[part[0]] ? 2 : 1.2);
}

function drawAttempt(context, attempt, state, x, y, left, of) {
  const at = x(attempt.time);
  if (at < left) return;
  const colour = attempt.executed ? of(attempt.success ? '--good' : '--poor') : of('--soft');
  context.setLineDash([2, 3]);
  stroke(context, [[at, y(0)], [at, y(1)]], colour, 1);
  context.setLineDash([]);
  context.fillStyle = colour;
  context.font = '700 14px system-ui, sans-serif';
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillText(attempt.executed ? (attempt.success ? '●' : '✕') : '○', at, y(attempt.score ?? 0.97));
  context.textAlign = 'left';
}
