// The page's only script: it reads the node's own API, follows its events, and draws. It keeps ten minutes in memory and asks
// nobody else for anything.
"use strict";

const SECONDS = 600;
const $ = (id) => document.getElementById(id);

// What each state of a peer means for the eye: a class of colour, and whether its dot is filled.
const STATES = {
  established: ["up", true, "linked"], held: ["try", true, "on probation"], greeting: ["try", true, "greeting"],
  securing: ["try", false, "securing"], connecting: ["try", false, "connecting"], dialing: ["try", false, "being dialled"],
  "awaiting-inbound": ["wait", false, "its turn to dial"], backoff: ["wait", false, "waits for a redial"],
  dormant: ["rest", false, "dormant"], idle: ["rest", false, "idle"], draining: ["rest", true, "draining"], banned: ["bad", true, "banned"],
};
const look = (state) => STATES[state] || ["rest", false, state];

const peers = new Map();          // id → row of GET /peers
const series = { links: [], dials: [], rtt: [], lag: [] };
let own = null, up = 0, dialsNow = 0, lag = null, sort = { key: "id", down: false }, dirty = true, order = [];

// --- Text ------------------------------------------------------------------------------------------------------------------

const span = (s) => s == null ? "" : s < 1 ? `${Math.round(s * 1000)} ms` : s < 90 ? `${s.toFixed(s < 10 ? 1 : 0)} s`
  : s < 5400 ? `${Math.round(s / 60)} min` : s < 129600 ? `${(s / 3600).toFixed(1)} h` : `${Math.round(s / 86400)} d`;
const since = (t) => t ? span((Date.now() - Date.parse(t)) / 1000) : "";
const clock = (t) => t ? new Date(t).toLocaleTimeString([], { hour12: false }) : "";
const bytes = (n) => n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`;
const began = (p) => p.since || (p.link && p.link.since);
const arrow = (d) => d === "outbound" ? "→ out" : d === "inbound" ? "← in" : "";

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text != null) e.textContent = text;
  if (className) e.className = className;
  return e;
}

async function get(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (!answer.ok && answer.status !== 503) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// --- The table -------------------------------------------------------------------------------------------------------------

const COLUMNS = [
  { key: "id", title: "Peer", value: (p) => p.id },
  { key: "class", title: "Class", value: (p) => p.class },
  { key: "state", title: "State", value: (p) => p.id === own ? "this node" : p.state },
  { key: "direction", title: "Direction", value: (p) => p.link ? arrow(p.link.direction) : "" },
  { key: "since", title: "For", value: (p) => since(began(p)), order: (p) => -Date.parse(began(p) || 0), number: true },
  { key: "rtt", title: "Round trip", value: (p) => p.link && p.link.rttSeconds != null ? `${(p.link.rttSeconds * 1000).toFixed(1)} ms` : "",
    order: (p) => p.link && p.link.rttSeconds != null ? p.link.rttSeconds : -1, number: true },
  { key: "queue", title: "Queue", value: (p) => p.link ? bytes(p.link.queueBytes) : "", order: (p) => p.link ? p.link.queueBytes : -1, number: true },
  { key: "failures", title: "Failures", value: (p) => p.failures || "", order: (p) => p.failures, number: true },
  { key: "next", title: "Next step in", value: (p) => p.next ? span(Math.max(0, (Date.parse(p.next) - Date.now()) / 1000)) : "",
    order: (p) => p.next ? Date.parse(p.next) : Infinity, number: true },
  { key: "reason", title: "Last reason", value: (p) => p.lastCloseReason || "" },
];

function makeColumns() {
  for (const column of COLUMNS) {
    const head = element("th", null, column.number ? "number" : "");
    head.scope = "col";
    const button = element("button", column.title);
    button.type = "button";
    button.onclick = () => {
      sort = { key: column.key, down: sort.key === column.key && !sort.down };
      showTable();
    };
    head.append(button);
    column.head = head;
    $("columns").append(head);
  }
}

// Numbers of an address in their own order, not as text.
const natural = new Intl.Collator("en", { numeric: true }).compare;
const lines = new Map();          // id → its line in the table

function line(id) {
  const made = element("tr");
  made.cells_ = COLUMNS.map((column, index) => {
    const cell = element("td", null, column.number ? "number" : index === 0 ? "mono" : "");
    if (index === 0) {
      const button = element("button", id);
      button.type = "button";
      button.title = "why?";
      button.onclick = () => why(id);
      cell.append(button);
    }
    made.append(cell);
    return cell;
  });
  lines.set(id, made);
  return made;
}

function fill(row) {
  const made = lines.get(row.id) || line(row.id);
  for (let i = 1; i < COLUMNS.length; i++) {
    const text = String(COLUMNS[i].value(row));
    const cell = made.cells_[i];
    if (cell.textContent !== text) cell.textContent = text;
  }
  const [colour, full] = look(row.state);
  const wanted = `state ${colour}${full ? " full" : ""}`;
  if (made.cells_[2].className !== wanted) made.cells_[2].className = wanted;
  return made;
}

function showTable() {
  const column = COLUMNS.find((c) => c.key === sort.key);
  const state = $("state").value, find = $("find").value.trim().toLowerCase();
  const rows = [...peers.values()].filter((p) => (!state || p.state === state) && (!find || p.id.toLowerCase().includes(find)));
  const value = column.order || column.value;
  rows.sort((a, b) => {
    const x = value(a), y = value(b);
    const by = typeof x === "number" ? x - y : natural(String(x), String(y));
    return (by || natural(a.id, b.id)) * (sort.down ? -1 : 1);
  });
  for (const c of COLUMNS) {
    if (c.key === sort.key) c.head.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
    else c.head.removeAttribute("aria-sort");
  }
  const wanted = rows.map((row) => row.id).join();
  if (wanted !== order) {
    order = wanted;
    $("rows").replaceChildren(...rows.map(fill));
  } else rows.forEach(fill);
  for (const id of lines.keys()) if (!peers.has(id)) lines.delete(id);
  $("shown").textContent = rows.length === peers.size ? `${peers.size}` : `${rows.length} of ${peers.size}`;
  $("empty").hidden = rows.length > 0;
  $("empty").textContent = peers.size ? "No peer is like that." : "No peers yet. Name one: reactor-node connect ADDRESS:PORT";
  const present = new Set([...peers.values()].map((p) => p.state));
  const options = ["", ...[...present].sort()];
  if (options.join() !== [...$("state").options].map((o) => o.value).join()) {
    $("state").replaceChildren(...options.map((s) => { const o = element("option", s || "all"); o.value = s; return o; }));
    $("state").value = present.has(state) ? state : "";
  }
}

// --- The picture -----------------------------------------------------------------------------------------------------------

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
let colours = {};
function readColours() {
  for (const name of ["ground", "card", "ink", "soft", "line", "accent", "up", "try", "wait", "rest", "bad", "grid"]) colours[name] = style(name);
}

function surface(canvas) {
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const c = canvas.getContext("2d");
  c.setTransform(scale, 0, 0, scale, 0, 0);
  c.clearRect(0, 0, width, height);
  return { c, width, height };
}

let places = [];                  // where each peer is drawn, for the pointer
let pointed = null;

// Masternodes stand on the inner rings, the others outside; each ring takes what fits.
function layOut(width, height) {
  const all = [...peers.values()].filter((p) => p.id !== own).sort((a, b) => natural(a.id, b.id));
  const groups = [all.filter((p) => p.class === "masternode"), all.filter((p) => p.class !== "masternode")].filter((g) => g.length);
  const size = Math.min(width, height) / 2 - 16, step = all.length > 400 ? 9 : all.length > 120 ? 14 : 24;
  const placed = [];
  let radius = Math.max(34, groups.length === 1 && all.length < 40 ? size * .72 : size * (all.length > 200 ? .2 : .46));
  for (const group of groups) {
    let left = group;
    while (left.length) {
      const room = Math.max(6, Math.floor(2 * Math.PI * radius / step));
      const ring = left.slice(0, room);
      left = left.slice(room);
      ring.forEach((peer, i) => {
        const angle = i / ring.length * 2 * Math.PI - Math.PI / 2;
        placed.push({ peer, angle, radius });
      });
      radius += left.length ? step : Math.max(step * 1.6, size - radius > step * 3 && group !== groups.at(-1) ? Math.min(size - radius, size * .42) : step * 1.6);
    }
  }
  const reach = Math.max(...placed.map((p) => p.radius), 1), shrink = size / reach;
  for (const p of placed) {
    p.x = width / 2 + Math.cos(p.angle) * p.radius * shrink * Math.min(1.25, Math.max(1, width / height * .8));
    p.y = height / 2 + Math.sin(p.angle) * p.radius * shrink;
  }
  return placed;
}

function dot(c, x, y, r, peer) {
  const [colour, full] = look(peer.state);
  c.strokeStyle = c.fillStyle = colours[colour];
  c.lineWidth = 1.8;
  c.beginPath();
  if (peer.class === "masternode") { // a diamond, so that colour is not all that tells
    c.moveTo(x, y - r * 1.35); c.lineTo(x + r * 1.35, y); c.lineTo(x, y + r * 1.35); c.lineTo(x - r * 1.35, y); c.closePath();
  } else c.arc(x, y, r, 0, 2 * Math.PI);
  if (!full) { c.save(); c.fillStyle = colours.card; c.fill(); c.restore(); c.stroke(); } else { c.fill(); }
}

function drawMesh() {
  const { c, width, height } = surface($("mesh"));
  places = layOut(width, height);
  const many = places.length > 60, r = places.length > 400 ? 2.6 : many ? 4 : 6, cx = width / 2, cy = height / 2;
  for (const { x, y, peer } of places) {
    if (peer.state !== "established" && peer.state !== "draining") continue;
    c.strokeStyle = colours.up;
    c.globalAlpha = many ? .22 : .5;
    c.lineWidth = many ? 1 : 1.5;
    c.beginPath(); c.moveTo(cx, cy); c.lineTo(x, y); c.stroke();
    if (!many && peer.link) { // an arrowhead at the end that was dialled
      const towards = peer.link.direction === "outbound" ? .78 : .3, dx = x - cx, dy = y - cy;
      const angle = Math.atan2(dy, dx) + (peer.link.direction === "outbound" ? 0 : Math.PI), px = cx + dx * towards, py = cy + dy * towards;
      c.globalAlpha = .9;
      c.fillStyle = colours.up;
      c.beginPath(); c.moveTo(px, py);
      c.lineTo(px - 8 * Math.cos(angle - .42), py - 8 * Math.sin(angle - .42));
      c.lineTo(px - 8 * Math.cos(angle + .42), py - 8 * Math.sin(angle + .42));
      c.closePath(); c.fill();
    }
  }
  c.globalAlpha = 1;
  for (const { x, y, peer } of places) dot(c, x, y, r, peer);
  c.font = "12px ui-monospace, monospace";
  c.textBaseline = "middle";
  if (places.length <= 24) for (const { x, y, peer, angle } of places) label(c, peer.id, x, y, angle, width);
  c.fillStyle = colours.ink;
  c.beginPath(); c.arc(cx, cy, 10, 0, 2 * Math.PI); c.fill();
  c.fillStyle = colours.card;
  c.beginPath(); c.arc(cx, cy, 4, 0, 2 * Math.PI); c.fill();
  if (pointed) {
    const place = places.find((p) => p.peer.id === pointed);
    if (place) {
      c.strokeStyle = colours.ink; c.lineWidth = 1.5;
      c.beginPath(); c.arc(place.x, place.y, r + 5, 0, 2 * Math.PI); c.stroke();
      tag(c, `${place.peer.id}  ${look(place.peer.state)[2]}`, place.x, place.y - r - 18, width);
    }
  }
  $("mesh").setAttribute("aria-label", `The mesh: ${[...peers.values()].filter((p) => p.state === "established").length} of ${peers.size} peers linked; the table below says the same`);
}

function label(c, text, x, y, angle, width) {
  const w = c.measureText(text).width, right = Math.cos(angle) >= -.01;
  let lx = right ? x + 12 : x - 12 - w, ly = y;
  if (Math.abs(Math.cos(angle)) < .3) { lx = x - w / 2; ly = y + (Math.sin(angle) < 0 ? -16 : 16); }
  lx = Math.max(2, Math.min(width - w - 2, lx));
  c.fillStyle = colours.soft;
  c.fillText(text, lx, ly);
}

function tag(c, text, x, y, width) {
  const w = c.measureText(text).width + 12, lx = Math.max(2, Math.min(width - w - 2, x - w / 2)), ly = Math.max(12, y);
  c.fillStyle = colours.ink;
  c.fillRect(lx, ly - 11, w, 22);
  c.fillStyle = colours.card;
  c.fillText(text, lx + 6, ly);
}

// --- Charts ----------------------------------------------------------------------------------------------------------------

// A scale that ends at 1, 2 or 5 times a power of ten.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((k) => k * power).find((top) => top >= value);
}

function drawChart(name, keys, unit) {
  const { c, width, height } = surface($(name));
  const points = series[name], left = 34, bottom = 15, top = 5, w = width - left - 3, h = height - top - bottom;
  const high = ceiling(Math.max(...points.flatMap((p) => keys.map((k) => p[k] ?? 0)), 0));
  const now = Date.now() / 1000;
  c.font = "10px system-ui, sans-serif";
  c.textBaseline = "middle";
  c.strokeStyle = colours.grid;
  c.fillStyle = colours.soft;
  c.lineWidth = 1;
  for (const part of [0, .5, 1]) {
    const y = Math.round(top + h * (1 - part)) + .5;
    c.beginPath(); c.moveTo(left, y); c.lineTo(width, y); c.stroke();
    c.textAlign = "right";
    c.fillText(+(high * part).toPrecision(3), left - 5, y);
  }
  for (const minutes of [10, 5, 0]) {
    c.textAlign = minutes === 10 ? "left" : minutes === 0 ? "right" : "center";
    c.fillText(minutes ? `−${minutes} min` : "now", left + w * (1 - minutes * 60 / SECONDS), height - 5);
  }
  c.textAlign = "left";
  keys.forEach((key, index) => {
    c.strokeStyle = index === 0 ? colours.accent : colours.wait;
    c.lineWidth = 1.6;
    c.setLineDash(index === 0 ? [] : [4, 3]);
    c.beginPath();
    let drawing = false;
    for (const p of points) {
      if (p[key] == null) { drawing = false; continue; }
      const x = left + w * (1 - (now - p.t) / SECONDS), y = top + h * (1 - p[key] / high);
      if (drawing) c.lineTo(x, y); else c.moveTo(x, y);
      drawing = true;
    }
    c.stroke();
    c.setLineDash([]);
  });
  const last = points.at(-1), text = last ? keys.map((k) => last[k] == null ? "–" : +last[k].toFixed(1)).join(" / ") : "–";
  $(`${name}-now`).textContent = text;
  $(name).setAttribute("aria-label", `${name}: now ${text} ${unit}; the scale ends at ${high}`);
}

function sample() {
  const t = Date.now() / 1000;
  const times = [...peers.values()].map((p) => p.link && p.link.rttSeconds).filter((v) => v != null).sort((a, b) => a - b);
  series.links.push({ t, up });
  series.dials.push({ t, rate: dialsNow });
  series.rtt.push({ t, median: times.length ? times[times.length >> 1] * 1000 : null, worst: times.length ? times.at(-1) * 1000 : null });
  series.lag.push({ t, lag: lag == null ? null : lag * 1000 });
  dialsNow = 0;
  for (const points of Object.values(series)) while (points.length && points[0].t < t - SECONDS) points.shift();
  drawChart("links", ["up"], "links");
  drawChart("dials", ["rate"], "a second");
  drawChart("rtt", ["median", "worst"], "ms");
  drawChart("lag", ["lag"], "ms");
}

// --- The head --------------------------------------------------------------------------------------------------------------

function number(value, text, of) {
  const box = element("div"), b = element("b", value);
  if (of != null) b.append(element("small", ` / ${of}`));
  box.append(b, element("span", text));
  return box;
}

async function readStatus() {
  const [status, slots, loop] = await Promise.all([get("status"), get("slots"), get("loop")]);
  const name = status.advertised || status.listening[0] || "reactor-node";
  own = status.advertised;
  $("name").textContent = name;
  document.title = `${status.links.established} links · ${name}`;
  $("about").textContent = `${status.role} on ${status.network}, ${status.version}, up for ${span(status.uptimeSeconds)}, process ${status.pid}`;
  $("health").textContent = status.health;
  $("health").className = `health ${status.health}`;
  $("reach").hidden = status.reach.inboundSeen || !peers.size;
  $("reach").textContent = status.reach.text;
  up = status.links.established;
  lag = loop.answerSeconds;
  $("numbers").replaceChildren(
    number(status.links.established, "links", slots.maxPeers), number(status.links.masternodes, "masternodes linked", status.peers.masternodes),
    number(status.links.regular, "regular peers linked", slots.regularSlots), number(`${status.links.inbound} ↔ ${status.links.outbound}`, "in ↔ out"),
    number(status.links.dialing, "being dialled", slots.dials.limit), number(slots.pending.now, "not greeted yet", slots.pending.limit),
    number(status.peers.known, "known peers"), number(loop.descriptors.open, "descriptors", loop.descriptors.limit));
}

function makeLegend() {
  for (const state of ["established", "dialing", "backoff", "dormant", "banned"]) {
    const [colour, full, text] = look(state);
    const item = element("li"), mark = element("i", null, `${colour}${full ? " full" : ""}`);
    item.append(mark, text);
    $("legend").append(item);
  }
  $("legend").append(element("li", "◆ masternode"), element("li", "the arrow shows who dialled"));
}

// --- Peers, live -----------------------------------------------------------------------------------------------------------

async function readPeers() {
  const rows = await get("peers");
  peers.clear();
  for (const row of rows) peers.set(row.id, row);
  dirty = true;
}

// Rows that an event named are read again, together: one by one if they are few.
const stale = new Set();
let refreshing = null;
function refresh(id) {
  stale.add(id);
  refreshing ||= setTimeout(async () => {
    refreshing = null;
    const ids = [...stale];
    stale.clear();
    try {
      if (ids.length > 8) await readPeers();
      else await Promise.all(ids.map(async (one) => {
        const answer = await fetch(`peers/${encodeURIComponent(one)}`);
        if (answer.ok) peers.set(one, await answer.json()); else if (answer.status === 404) peers.delete(one);
        lines.get(one)?.classList.add("fresh");
        setTimeout(() => lines.get(one)?.classList.remove("fresh"), 1700);
      }));
    } catch { /* the stream's own state tells that the node is away */ }
    dirty = true;
  }, 120);
}

function transition(event) {
  const item = element("li"), time = element("time", clock(event.at)), button = element("button", event.peer, "mono");
  button.type = "button";
  button.onclick = () => why(event.peer);
  item.append(time, button, said(event));
  return item;
}

function said(event) {
  const text = element("span", null, look(event.to)[0]);
  text.textContent = `${event.of === "link" ? "link " : ""}${event.from} → ${event.to}${event.reason ? `, ${event.reason}` : ""}`;
  return text;
}

function take(event) {
  if (event.of === "link" && event.to === "connecting") dialsNow++;
  if (event.of === "link" && event.to === "established") up++;
  if (event.of === "link" && event.from === "established") up--;
  const row = peers.get(event.peer);
  if (row && event.of === "peer") { row.state = event.to; row.since = event.at; dirty = true; }
  refresh(event.peer);
  const list = $("transitions");
  list.prepend(transition(event));
  while (list.children.length > 100) list.lastChild.remove();
}

function follow() {
  const source = new EventSource("events");
  source.onopen = () => { $("stream").textContent = "live"; readPeers().catch(() => {}); };
  source.onerror = () => { $("stream").textContent = "the node does not answer; trying again"; $("health").textContent = "down"; $("health").className = "health down"; };
  for (const kind of ["link", "peer"]) source.addEventListener(kind, (e) => take(JSON.parse(e.data)));
  source.addEventListener("missed", () => readPeers().catch(() => {}));
}

// --- Why -------------------------------------------------------------------------------------------------------------------

async function why(id) {
  let answer;
  try { answer = await get(`peers/${encodeURIComponent(id)}/why`); } catch { return; }
  $("why-title").textContent = answer.id;
  $("why-sentence").textContent = answer.sentence;
  $("why-advice").textContent = answer.advice || "";
  const facts = [
    ["State", answer.state], ["Wanted", answer.wanted.is ? `by ${answer.wanted.by.join(", ")}` : "no"],
    ["Next", answer.next.step ? `${answer.next.step}${answer.next.seconds != null ? `, in ${span(answer.next.seconds)}` : ""}` : "nothing"],
    ["Turn to dial", answer.turn && answer.turn.text],
    ["Attempts", answer.attempts && `${answer.attempts.dials} dials, ${answer.attempts.established} links, ${answer.attempts.failuresInARow} failures in a row`],
    ["Ban", answer.ban && `${answer.ban.subject} by ${answer.ban.by}${answer.ban.seconds != null ? `, ${span(answer.ban.seconds)} left` : ", for ever"}`],
    ["Last reason", answer.lastCloseReason],
    ["Link", answer.link && `${arrow(answer.link.direction)}, round trip ${answer.link.rttSeconds == null ? "not measured yet" : `${(answer.link.rttSeconds * 1000).toFixed(1)} ms`}, `
      + `${answer.link.misses} misses, queue ${bytes(answer.link.queueBytes)}, in ${bytes(answer.link.bytesIn)}, out ${bytes(answer.link.bytesOut)}`],
  ];
  $("why-facts").replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  $("why-history").replaceChildren(...answer.history.slice().reverse().map((event) => {
    const item = element("li");
    item.append(element("time", clock(event.at)), element("span", event.of), said(event));
    return item;
  }));
  if (!$("why").open) $("why").showModal();
}

// --- Beginning -------------------------------------------------------------------------------------------------------------

function nearest(event) {
  const box = $("mesh").getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = null, distance = 18;
  for (const place of places) {
    const d = Math.hypot(place.x - x, place.y - y);
    if (d < distance) { distance = d; best = place.peer.id; }
  }
  return best;
}

function paint() {
  if (dirty) { dirty = false; showTable(); drawMesh(); }
  requestAnimationFrame(paint);
}

makeColumns();
makeLegend();
readColours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); dirty = true; });
addEventListener("resize", () => { dirty = true; });
$("state").onchange = $("find").oninput = () => { dirty = true; };
$("mesh").onclick = (event) => { const id = nearest(event); if (id) why(id); };
$("mesh").onpointermove = (event) => { const id = nearest(event); if (id !== pointed) { pointed = id; drawMesh(); } };
$("mesh").onpointerleave = () => { pointed = null; drawMesh(); };
follow();
const again = (work, ms) => { const run = () => work().catch(() => {}); run(); setInterval(() => { if (!document.hidden) run(); }, ms); };
again(readStatus, 2000);
again(readPeers, 10000);
setInterval(sample, 1000);
setInterval(() => { if (!document.hidden) dirty = true; }, 5000);
requestAnimationFrame(paint);
