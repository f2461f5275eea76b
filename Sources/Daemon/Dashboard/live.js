// The page's life: the head, the peers and every transition as it comes.

// --- The head --------------------------------------------------------------------------------------------------------------

const boxes = new Map();
function number(text, value, of) {
  let box = boxes.get(text);
  if (!box) {
    box = { value: document.createTextNode(""), of: element("small") };
    const outer = element("div"), b = element("b");
    b.append(box.value, box.of);
    outer.append(b, element("span", text));
    $("numbers").append(outer);
    boxes.set(text, box);
  }
  write(box.value, String(value));
  write(box.of, of == null ? "" : ` / ${of}`);
}

function health(word) {
  write($("health"), word);
  $("health").className = `health ${word}`;
}

let most = null;                  // as many links as the table holds
async function readStatus() {
  const [status, slots, loop] = await Promise.all([get("status"), get("slots"), get("loop")]);
  const name = status.advertised || status.listening[0] || "reactor-node";
  own = status.advertised;
  write($("name"), name);
  document.title = `${status.links.established} links · ${name}`;
  write($("about"), `${status.role} on ${status.network}, ${status.version}, up for ${span(status.uptimeSeconds)}, process ${status.pid}`);
  health(status.health);
  $("reach").hidden = status.reach.inboundSeen || !status.reach.inboundExpected || !peers.size;
  write($("reach"), status.reach.text);
  gauges.up = status.links.established;
  gauges.lag = loop.answerSeconds;
  most = slots.maxPeers;
  number("links", gauges.up, most);
  number("masternodes linked", status.links.masternodes, status.peers.masternodes);
  number("regular peers linked", status.links.regular, slots.regularSlots);
  number("in ↔ out", `${status.links.inbound} ↔ ${status.links.outbound}`);
  number("being dialled", status.links.dialing, slots.dials.limit);
  number("not greeted yet", slots.pending.now, slots.pending.limit);
  number("known peers", status.peers.known);
  number("descriptors", loop.descriptors.open, loop.descriptors.limit);
}

// --- Peers, live -----------------------------------------------------------------------------------------------------------

let readAt = -Infinity;           // when all rows were read last
async function readPeers() {
  readAt = performance.now();
  const rows = await get("peers");
  peers.clear();
  for (const row of rows) peers.set(row.id, row);
  for (const id of keys.keys()) if (!peers.has(id)) keys.delete(id);
  drawTable();
  drawMesh();
}

// Rows that an event named are read again. Of a long table those alone, if they are few; else all, and not too often. A peer that
// may have left the book is not asked for by name: a browser complains of an answer that says so.
const LONG = 200;
const stale = new Set();
let reading = null;
function refresh(id) {
  stale.add(id);
  reading ||= setTimeout(readStale, 150);
}

async function readStale() {
  const ids = [...stale], isShort = peers.size <= LONG;
  try {
    if (!isShort && ids.length <= 8 && ids.every((id) => peers.has(id) && peers.get(id).state !== "idle")) {
      stale.clear();
      await Promise.all(ids.map(async (id) => peers.set(id, await get(`peers/${encodeURIComponent(id)}`))));
      drawTable();
      drawMesh();
    } else {
      const rest = (isShort ? 300 : 2000) - (performance.now() - readAt);
      if (rest > 0) { reading = setTimeout(readStale, rest); return; }
      stale.clear();
      await readPeers();
    }
    if (asked && ids.includes(asked)) why(asked);
  } catch { /* the stream's own state tells that the node is away */ }
  reading = stale.size ? setTimeout(readStale, 150) : null;
}

// An event is shown from its own words, before anything is read.
function take(event) {
  const { of, peer, from, to, at } = event;
  if (of === "link") {
    if (to === "connecting") gauges.dials++;
    if (to === "established") gauges.up++;
    if (from === "established") gauges.up--;
  }
  const row = peers.get(peer);
  if (row) {
    if (of === "peer") { row.state = to; row.since = at; }
    else if (to === "established") row.link = { state: to, direction: event.direction, since: at };
    else if (from === "established" && row.state !== "established") row.link = null;
    if (of === "peer" && to !== "established" && row.link && row.link.state === "established") row.link = null;
    row.failures = event.failures;
    row.next = event.next;
    if (event.reason) row.lastCloseReason = event.reason;
    fresh.add(peer);
    drawTable();
    drawMesh();
  }
  // A link that is nobody's yet is read with all the others.
  if (of === "peer" || event.known) refresh(peer);
  heard.push(event);
  drawTransitions();
}

// --- Recent transitions ----------------------------------------------------------------------------------------------------

const RECENT = 60;
let heard = [];                   // events that are not in the list yet
const drawTransitions = part(showTransitions, () => 200);

function showTransitions() {
  const list = $("transitions"), events = heard.slice(-RECENT).reverse();
  note(heard);
  heard = [];
  if (most != null) number("links", gauges.up, most);
  list.prepend(...events.map(transition));
  while (list.children.length > RECENT) list.lastChild.remove();
}

function transition(event) {
  const item = element("li"), what = passage(event);
  if (event.of === "link") what.prepend("link ");
  item.append(element("time", clock(event.at)), element("span", event.peer, "mono peer"), what);
  item.onclick = () => why(event.peer);
  return item;
}

// For those who listen instead of looking: what came and went, in one sentence, every ten seconds at most.
const told = { up: 0, down: 0, last: null, timer: null };
function note(events) {
  for (const event of events) {
    if (event.of !== "link" || (event.to !== "established" && event.from !== "established")) continue;
    if (event.to === "established") told.up++; else told.down++;
    told.last = event;
  }
  if (told.last) told.timer ||= setTimeout(speak, 1000);
}

function speak() {
  if (told.last) {
    const { up, down, last } = told;
    const one = last.to === "established" ? `${last.peer} is linked` : `${last.peer} is lost${last.reason ? `: ${last.reason}` : ""}`;
    write($("spoken"), up + down === 1 ? `${one}. ${gauges.up} links.` : `${up} links came, ${down} went. ${gauges.up} links.`);
  }
  told.timer = told.last ? setTimeout(speak, 10000) : null;
  told.up = told.down = 0;
  told.last = null;
}

function follow() {
  const source = new EventSource("events");
  source.onopen = () => { write($("stream"), "live"); readPeers().catch(() => {}); };
  source.onerror = () => { write($("stream"), "the node does not answer; trying again"); health("down"); };
  for (const kind of ["link", "peer"]) source.addEventListener(kind, (e) => take(JSON.parse(e.data)));
  source.addEventListener("missed", () => readPeers().catch(() => {}));
}

// --- Beginning -------------------------------------------------------------------------------------------------------------

const again = (work, ms) => { const run = () => work().catch(() => {}); run(); setInterval(() => { if (!document.hidden) run(); }, ms); };

readColours();
beginTable();
beginMesh();
beginWhy();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); drawMesh(); drawCharts(); });
follow();
again(readStatus, 2000);
setInterval(() => { if (!document.hidden && performance.now() - readAt > 9000) readPeers().catch(() => {}); }, 1000);
setInterval(() => { sample(); drawLines(); if (asked) why(asked); }, 1000);
