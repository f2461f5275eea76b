// The page's script, in six files that the node joins into one: what all of them use stands here. It reads the node's own API,
// follows its events, and draws. It keeps ten minutes in memory and asks nobody else for anything.
"use strict";

const $ = (id) => document.getElementById(id);

// What each state of a peer means for the eye: a class of colour, and whether its dot is filled.
const STATES = {
  established: ["up", true, "linked"], held: ["try", true, "on probation"], greeting: ["try", true, "greeting"],
  securing: ["try", false, "securing"], connecting: ["try", false, "connecting"], dialing: ["try", false, "being dialled"],
  "awaiting-inbound": ["wait", false, "its turn to dial"], backoff: ["wait", false, "waits for a redial"],
  dormant: ["rest", false, "dormant"], idle: ["rest", false, "idle"], draining: ["rest", true, "draining"], banned: ["bad", true, "banned"],
  unresolved: ["bad", false, "name without an address"], self: ["rest", false, "this node"],
};
const look = (state) => STATES[state] || ["rest", false, state];

const peers = new Map();          // id → row of GET /peers
let own = null;                   // the id under which this node itself may stand among them

// --- Text ------------------------------------------------------------------------------------------------------------------

const span = (s) => s == null ? "" : s < 1 ? `${Math.round(s * 1000)} ms` : s < 90 ? `${s.toFixed(s < 10 ? 1 : 0)} s`
  : s < 5400 ? `${Math.round(s / 60)} min` : s < 129600 ? `${(s / 3600).toFixed(1)} h` : `${Math.round(s / 86400)} d`;
const since = (t) => t ? span(Math.max(0, Date.now() - Date.parse(t)) / 1000) : "";
const clockFormat = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const clock = (t) => t ? clockFormat.format(new Date(t)) : "";
const bytes = (n) => n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`;
const began = (p) => (p.link && p.link.since) || p.since;
const arrow = (d) => d === "outbound" ? "→ out" : d === "inbound" ? "← in" : "";

// Numbers in an address compare as numbers: each is written with five digits, once for each id.
const keys = new Map();
function order(id) {
  let key = keys.get(id);
  if (key === undefined) keys.set(id, key = id.replace(/\d+/g, (digits) => digits.padStart(5, "0")));
  return key;
}
const compare = (x, y) => x < y ? -1 : x > y ? 1 : 0;

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text != null) e.textContent = text;
  if (className) e.className = className;
  return e;
}

// Text that stands already is left alone: writing it again costs a layout.
function write(node, text) {
  if (node.said_ !== text) node.textContent = node.said_ = text;
}

async function get(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (!answer.ok && answer.status !== 503) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// --- Drawing ---------------------------------------------------------------------------------------------------------------

// Each part is drawn in a frame of its own, after something has changed and not before `rest` milliseconds since it was drawn
// last: however much happens, the reader's own keys and clicks find the page free.
function part(draw, rest) {
  let last = -Infinity, waits = false, isDue = false;
  const paint = (now) => {
    waits = false;
    if (!isDue) return;
    if (document.hidden) return;
    isDue = false;
    last = now;
    draw();
  };
  const invalidate = () => {
    isDue = true;
    if (waits) return;
    waits = true;
    const left = rest() - (performance.now() - last);
    if (left <= 0) requestAnimationFrame(paint); else setTimeout(() => requestAnimationFrame(paint), left);
  };
  document.addEventListener("visibilitychange", () => { if (isDue && !document.hidden) invalidate(); });
  return invalidate;
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const colours = {};
function readColours() {
  for (const name of ["ground", "card", "ink", "soft", "line", "accent", "up", "try", "wait", "rest", "bad", "grid"]) colours[name] = style(name);
}

// How large a canvas is, kept: to ask costs a layout.
const sizes = new Map();
const watchSize = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) sizes.set(target, [contentRect.width, contentRect.height]);
  drawMesh();
  drawCharts();
});

function surface(canvas) {
  if (!sizes.has(canvas)) {
    sizes.set(canvas, [canvas.clientWidth, canvas.clientHeight]);
    watchSize.observe(canvas);
  }
  const scale = window.devicePixelRatio || 1, [width, height] = sizes.get(canvas);
  const w = Math.round(width * scale), h = Math.round(height * scale);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const c = canvas.getContext("2d");
  c.setTransform(scale, 0, 0, scale, 0, 0);
  c.clearRect(0, 0, width, height);
  return { c, width, height };
}
