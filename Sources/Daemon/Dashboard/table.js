// The table of peers. It has a line for each peer that is in sight, and no more: a thousand peers cost what thirty do. For the
// keyboard it is one stop; the arrows choose a peer, and Enter asks why.

const COLUMNS = [
  { key: "id", title: "Peer", value: (p) => p.id, order: (p) => order(p.id), className: "mono" },
  { key: "class", title: "Class", value: (p) => p.class },
  { key: "state", title: "State", value: (p) => p.id === own ? "this node" : p.state, order: (p) => WORST.indexOf(p.state) },
  { key: "direction", title: "Direction", value: (p) => p.link ? arrow(p.link.direction) : "" },
  { key: "since", title: "For", value: (p) => since(began(p)), order: (p) => -Date.parse(began(p) || 0), className: "number" },
  { key: "rtt", title: "Round trip", value: (p) => p.link && p.link.rttSeconds != null ? `${(p.link.rttSeconds * 1000).toFixed(1)} ms` : "",
    order: (p) => p.link && p.link.rttSeconds != null ? p.link.rttSeconds : -1, className: "number" },
  { key: "queue", title: "Queue", value: (p) => p.link && p.link.queueBytes != null ? bytes(p.link.queueBytes) : "",
    order: (p) => p.link && p.link.queueBytes != null ? p.link.queueBytes : -1, className: "number" },
  { key: "failures", title: "Failures", value: (p) => p.failures ? String(p.failures) : "", order: (p) => p.failures, className: "number" },
  { key: "next", title: "Next step in", value: (p) => p.next ? span(Math.max(0, (Date.parse(p.next) - Date.now()) / 1000)) : "",
    order: (p) => p.next ? Date.parse(p.next) : Infinity, className: "number" },
  { key: "reason", title: "Last reason", value: (p) => p.lastCloseReason || "" },
];

// By state, what needs a look stands first.
const WORST = ["banned", "unresolved", "dormant", "backoff", "awaiting-inbound", "dialing", "connecting", "securing", "greeting", "held", "draining", "idle", "self", "established"];
const AROUND = 4;                 // lines above and below what is in sight
let sort = { key: "id", down: false };
let shown = [];                   // the rows that pass the filters, in order
let chosen = null;                // the peer that the keyboard stands on
let lineHeight = 0, viewHeight = 0, viewTop = 0;
const lines = new Map();          // id → its line, for those in sight
const spare = [];                 // lines that nobody needs now
const fresh = new Set();          // ids whose change is to be seen

const drawTable = part(showTable, () => peers.size > 200 ? 200 : 100);
const drawLines = part(showLines, () => 0);

function makeColumns() {
  for (const column of COLUMNS) {
    const head = element("th", null, column.className === "number" ? "number" : "");
    head.scope = "col";
    const button = element("button", column.title);
    button.type = "button";
    button.onclick = () => {
      sort = { key: column.key, down: sort.key === column.key && !sort.down };
      drawTable();
    };
    head.append(button);
    column.head = head;
    $("columns").append(head);
  }
}

function makeLine() {
  const line = element("tr");
  line.cells_ = COLUMNS.map((column) => {
    const cell = element("td", null, column.className);
    line.append(cell);
    return cell;
  });
  line.onclick = () => { choose(line.peer_); why(line.peer_); };
  return line;
}

function fill(line, row, index) {
  if (line.peer_ !== row.id) {
    line.peer_ = row.id;
    line.id = `peer-${row.id}`;
    line.className = "";
  }
  if (line.index_ !== index) line.setAttribute("aria-rowindex", (line.index_ = index) + 2);
  COLUMNS.forEach((column, i) => write(line.cells_[i], column.value(row)));
  const [colour, full] = look(row.state), wanted = `state ${colour}${full ? " full" : ""}`;
  if (line.cells_[2].className !== wanted) line.cells_[2].className = wanted;
  const isChosen = String(row.id === chosen);
  if (line.chosen_ !== isChosen) line.setAttribute("aria-selected", line.chosen_ = isChosen);
}

// What is to be shown, and in which order.
function showTable() {
  const column = COLUMNS.find((c) => c.key === sort.key), value = column.order || column.value;
  const state = $("state").value, words = $("find").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [];
  for (const row of peers.values()) {
    if (state && row.state !== state) continue;
    if (words.length) {
      const text = `${row.id} ${row.class} ${row.state} ${row.link ? row.link.direction : ""} ${row.lastCloseReason || ""}`.toLowerCase();
      if (!words.every((word) => text.includes(word))) continue;
    }
    rows.push([value(row), order(row.id), row]);
  }
  const sign = sort.down ? -1 : 1;
  rows.sort((a, b) => (compare(a[0], b[0]) || compare(a[1], b[1])) * sign);
  shown = rows.map((entry) => entry[2]);
  for (const c of COLUMNS) {
    const is = c.key === sort.key ? (sort.down ? "descending" : "ascending") : null;
    if (c.sorted_ !== is) { c.sorted_ = is; if (is) c.head.setAttribute("aria-sort", is); else c.head.removeAttribute("aria-sort"); }
  }
  write($("shown"), shown.length === peers.size ? `${peers.size}` : `${shown.length} of ${peers.size}`);
  $("empty").hidden = shown.length > 0;
  write($("empty"), peers.size ? "No peer is like that." : "No peers yet. Name one: reactor-node connect ADDRESS:PORT");
  $("table").setAttribute("aria-rowcount", shown.length + 1);
  showStates(state);
  showLines();
}

function showStates(state) {
  const present = [...new Set([...peers.values()].map((p) => p.state))].sort().join();
  if (present === $("state").said_) return;
  $("state").said_ = present;
  $("state").replaceChildren(...["", ...present.split(",")].map((s) => { const o = element("option", s || "all"); o.value = s; return o; }));
  $("state").value = present.split(",").includes(state) ? state : "";
}

// The lines in sight.
function showLines() {
  lineHeight ||= measureLine();
  viewHeight ||= $("scroll").clientHeight;
  const first = Math.max(0, Math.min(Math.floor(viewTop / lineHeight) - AROUND, shown.length - 1));
  const count = Math.ceil((viewHeight || 600) / lineHeight) + 2 * AROUND, rows = shown.slice(first, first + count);
  const wanted = new Set(rows.map((row) => row.id));
  for (const [id, line] of lines) if (!wanted.has(id)) { lines.delete(id); spare.push(line); }
  let before = $("above");
  rows.forEach((row, i) => {
    let line = lines.get(row.id);
    if (!line) lines.set(row.id, line = spare.pop() || makeLine());
    fill(line, row, first + i);
    if (before.nextSibling !== line) before.after(line);
    before = line;
    if (fresh.has(row.id)) flash(line);
  });
  for (const line of spare) line.remove();
  spare.length = Math.min(spare.length, 40);
  fresh.clear();
  stretch($("above"), first);
  stretch($("below"), shown.length - first - rows.length);
  const active = chosen && lines.has(chosen) ? lines.get(chosen).id : "";
  if ($("table").active_ !== active) {
    $("table").active_ = active;
    if (active) $("table").setAttribute("aria-activedescendant", active); else $("table").removeAttribute("aria-activedescendant");
  }
}

function stretch(row, count) {
  if (row.count_ !== count) row.firstChild.style.height = `${(row.count_ = count) * lineHeight}px`;
}

function measureLine() {
  const line = makeLine();
  fill(line, { id: "0.0.0.0:0", state: "idle", class: "" }, 0);
  $("above").after(line);
  const height = line.getBoundingClientRect().height;
  line.remove();
  return height || 28;
}

function flash(line) {
  line.classList.remove("fresh");
  requestAnimationFrame(() => line.classList.add("fresh"));
}

// --- The keyboard ----------------------------------------------------------------------------------------------------------

function choose(id) {
  chosen = id;
  drawLines();
}

function move(event) {
  if (!shown.length || event.ctrlKey || event.altKey || event.metaKey) return;
  const page = Math.max(1, Math.floor(viewHeight / lineHeight) - 2), at = shown.findIndex((row) => row.id === chosen);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: shown.length - 1 }[event.key];
  if (event.key === "Enter" || event.key === " ") {
    if (at >= 0) why(chosen);
  } else if (to !== undefined) {
    const index = Math.max(0, Math.min(to, shown.length - 1));
    chosen = shown[index].id;
    reveal(index);
  } else return;
  event.preventDefault();
}

// Scrolls so far that a line is in sight, below the heads of the columns.
function reveal(index) {
  const scroll = $("scroll"), head = $("columns").offsetHeight, top = index * lineHeight;
  if (top < scroll.scrollTop) scroll.scrollTop = top;
  else if (top + lineHeight + head > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + lineHeight + head - scroll.clientHeight;
  viewTop = scroll.scrollTop;
  showLines();
}

function beginTable() {
  makeColumns();
  new ResizeObserver((entries) => { viewHeight = entries.at(-1).contentRect.height; lineHeight = 0; drawLines(); }).observe($("scroll"));
  $("scroll").onscroll = () => { viewTop = $("scroll").scrollTop; drawLines(); };
  $("table").onkeydown = (event) => { if (event.target === $("table")) move(event); };
  $("table").onfocus = () => { if (!shown.some((row) => row.id === chosen) && shown.length) choose(shown[0].id); };
  $("state").onchange = $("find").oninput = () => { $("scroll").scrollTop = viewTop = 0; drawTable(); };
}
