// Receives the state over a WebSocket, shows it, and sends what the buttons ask for.

import { drawChart, drawPicture } from './draw.js';

const $ = (id) => document.getElementById(id);
const TOKEN = 'moss_monitor_token';
const WRONG_TOKEN = 4401, FOREIGN = 4403;
// The server says something each second.
const SILENT_MS = 4000;
const EMPTY = { time: [], score: [], uncertainty: [], listed: [] };

let socket = null, picture = null, bitmap = null, state = null, history = EMPTY, waitMs = 500, busy = null;
let heard = 0, awaits = false;

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    sessionStorage.setItem(TOKEN, given);
    window.history.replaceState(null, '', location.pathname);
  }
  return sessionStorage.getItem(TOKEN) ?? '';
}

function connect() {
  socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/live`);
  socket.binaryType = 'blob';
  expectMore();
  socket.onopen = () => {
    waitMs = 500;
    // What the page has shown may be of another run.
    picture = bitmap = state = null;
    history = EMPTY;
    socket.send(JSON.stringify({ token: takeToken() }));
    ask();
  };
  socket.onmessage = receive;
  socket.onclose = (event) => lost(event.code);
}

function lost(code) {
  // What the old connection may still say is of no interest.
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.close();
  socket = null;
  awaits = false;
  link(false, code === WRONG_TOKEN ? 'no access' : 'not connected');
  document.body.classList.add('stale');
  if (code === WRONG_TOKEN || code === FOREIGN) {
    status('stale', 'no access', 'This page needs its token: open the address that moss monitor has printed.');
    return;
  }
  status('stale', 'lost', 'moss monitor does not answer: it has ended, or the network is down. Trying again.');
  setTimeout(connect, waitMs);
  waitMs = Math.min(2 * waitMs, 5000);
}

function isOpen() {
  return socket?.readyState === WebSocket.OPEN;
}

function ask() {
  if (!isOpen()) return;
  socket.send('{"next":1}');
  expectMore();
}

function expectMore() {
  heard = performance.now();
  awaits = true;
}

// A network that goes down closes no connection. A hidden page asks for nothing, and its clock runs slowly.
function listen() {
  if (document.visibilityState === 'visible' && awaits && performance.now() - heard > SILENT_MS) lost();
}

async function receive(event) {
  const from = socket;
  heard = performance.now();
  if (event.data instanceof Blob) {
    // Several lost frames are no reason to end.
    picture = event.data.size ? createImageBitmap(event.data, { imageOrientation: 'none' }).catch(() => null) : null;
    return;
  }
  const message = JSON.parse(event.data);
  if (message.history) history = message.history;
  if (message.answer) answered(message.answer);
  if (message.state) {
    awaits = false;
    // The candidates are drawn on their own picture, which came before them.
    const decoded = await picture;
    if (from !== socket) return;
    bitmap = decoded;
    state = message.state;
    // When the tab is hidden nothing is drawn, and so nothing is asked for.
    requestAnimationFrame(() => {
      if (from !== socket) return;
      show();
      ask();
    });
  }
}

function link(on, text) {
  $('link').textContent = text;
  $('link').dataset.on = on ? 'yes' : 'no';
}

function status(level, word, message) {
  $('status').dataset.level = level;
  $('level').textContent = word;
  $('message').textContent = message;
}

// Texts only: names in messages are other people's.
function text(id, value) {
  const shown = value === null || value === undefined || value === '' ? '–' : String(value);
  if ($(id).textContent !== shown) $(id).textContent = shown;
}

const two = (value) => (value === null || value === undefined ? '–' : value.toFixed(2));
const one = (value) => (value === null || value === undefined ? '–' : value.toFixed(1));
const ms = (pair) => (pair[0] === null ? null : `${one(pair[0])}, ${one(pair[1])} ms`);

function total(counts) {
  const entries = Object.entries(counts), sum = entries.reduce((all, [, n]) => all + n, 0);
  return sum ? `${sum} (${entries.map(([name, n]) => `${name.replaceAll('_', ' ')} ${n}`).join(', ')})` : '0';
}

function rowOf(index) {
  return index === null || index === undefined ? undefined : state.candidates[index];
}

function show() {
  const present = state.phase === 'present';
  document.body.classList.toggle('stale', !present);
  document.body.dataset.phase = state.phase;
  link(true, `live, ${state.viewers} ${state.viewers === 1 ? 'viewer' : 'viewers'}`);
  status(state.level, present ? state.level : state.phase, state.message);
  text('predictor', state.predictor);
  document.title = `${present ? state.level : state.phase}: ${state.predictor}`;
  showFacts();
  showButtons(present);
  showTables();
  drawPicture($('picture'), bitmap, state, $('motion').checked);
  text('nothing', bitmap ? ' ' : state.picture_problem || (state.topic ? `no image on ${state.topic} yet` : 'no images yet'));
  drawChart($('chart'), history, state);
}

function showFacts() {
  const best = rowOf(state.best), selected = state.old ? undefined : rowOf(state.selected), attempts = state.attempts;
  text('best', state.old ? `none for ${Math.round(state.now - state.scored)} s` : best ? `${two(best.score)} ± ${two(best.uncertainty)}` : state.none_scored || 'none');
  text('selected', selected ? `no. ${selected.index}, ${two(selected.score)}` : state.gate || null);
  $('selected').dataset.is = selected ? 'yes' : 'no';
  text('attempted', attempts.count ? `${attempts.succeeded} of ${attempts.executed} held` : 'none yet');
  const [fill, size] = state.window ?? [0, 0];
  $('fill').value = size ? fill / size : 0;
  text('window', size ? `${fill} of ${size}` : null);
  text('rate', state.rate_hz === null ? null : `${one(state.rate_hz)}, ${one(state.score_rate_hz)} a second`);
  const { level, target, costs_ms: costs } = state.budget;
  text('budget', level ? level + (level === target ? '' : ` (target ${target})`) + (costs[level] ? `, ${one(costs[level])} ms` : '') : null);
  for (const name of ['inference', 'decode', 'age']) text(name, ms(state.latency_ms[name]));
  text('lost', `${state.counts.dropped}, ${state.counts.missing}`);
  text('refused', total(state.refused));
  text('resets', total(state.resets));
  text('threshold', two(state.threshold ?? 0.5));
  const of = state.checkpoint;
  text('checkpoint', of.model ? `${of.model} ${of.sha256.slice(0, 12)} on ${of.engine}, ${of.device}, ${of.threads} threads` : null);
  const known = state.ood.score !== null;
  $('ood').dataset.out = known ? (state.ood.out ? 'yes' : 'no') : 'unknown';
  $('ood').lastElementChild.textContent = known
    ? `${state.ood.out ? 'OUT OF DISTRIBUTION: do not trust the scores' : 'in distribution'} (OOD score ${two(state.ood.score)})`
    : 'OOD score not known yet';
}

function showButtons(present) {
  const pause = $('pause');
  pause.dataset.do = state.paused ? 'resume' : 'pause';
  text('pause', state.paused ? 'Resume' : 'Pause');
  $('recorder').hidden = !state.recorder;
  text('recording', state.recorder);
  for (const button of document.querySelectorAll('button')) {
    const recording = state.recorder === 'recording', own = button.classList.contains('recorder');
    button.disabled = busy !== null || (own ? (button.dataset.do === 'start') === recording : !present);
  }
}

function fillRows(body, rows) {
  const known = JSON.stringify(rows);
  if (body.dataset.known === known) return;
  body.dataset.known = known;
  body.replaceChildren(...rows.map(([kind, ...cells]) => {
    const row = document.createElement('tr');
    row.className = kind;
    row.append(...cells.map((cell) => {
      const one = document.createElement('td');
      one.textContent = cell;
      return one;
    }));
    return row;
  }));
}

function showTables() {
  const limit = state.threshold ?? 0.5;
  $('candidates').classList.toggle('old', state.old);
  fillRows($('candidates').tBodies[0], state.candidates.map((row) => [
    `${row.index === state.selected ? 'selected ' : ''}${row.score === null ? '' : row.score >= limit ? 'good' : 'poor'}`,
    row.index, two(row.score), two(row.uncertainty),
    row.reason || [row.index === state.best && 'best', row.index === state.selected && 'selected'].filter(Boolean).join(', ')]));
  fillRows($('attempts').tBodies[0], [...state.attempts.last].reverse().slice(0, 10).map((each) => [
    each.executed ? (each.success ? 'good' : 'poor') : '', each.attempt,
    each.executed ? (each.success ? 'held' : 'failed') : 'not executed', two(each.score), each.object, each.motion]));
  const ages = [...state.events].reverse().slice(0, 20).map((each) => [Math.round(state.now - each.time), each]);
  $('events').replaceChildren(...ages.map(([ago, each]) => {
    const item = document.createElement('li'), time = document.createElement('time');
    time.textContent = ago < 100 ? `${ago} s ago` : `${Math.round(ago / 60)} min ago`;
    item.dataset.kind = each.kind;
    item.append(time, each.text);
    return item;
  }));
}

function answered(answer) {
  clearTimeout(busy);
  busy = null;
  $('answer').textContent = `${answer.action}: ${answer.text}`;
  $('answer').dataset.done = answer.done ? 'yes' : 'no';
  if (state) showButtons(state.phase === 'present');
}

for (const button of document.querySelectorAll('button')) {
  button.addEventListener('click', () => {
    if (!isOpen() || busy !== null) return;
    socket.send(JSON.stringify({ do: button.dataset.do }));
    // An answer that never comes must not lock the buttons.
    busy = setTimeout(() => { busy = null; }, 7000);
  });
}
addEventListener('resize', () => state && isOpen() && show());
document.addEventListener('visibilitychange', () => { heard = performance.now(); });
setInterval(listen, 1000);
connect();
