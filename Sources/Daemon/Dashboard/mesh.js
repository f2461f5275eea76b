// The mesh as a picture: this node in the middle, its masternodes on the inner rings, the others outside.

let places = [];                  // where each peer is drawn, for the pointer too
let laidOut = "";                 // for which peers and which size
let pointed = null;

const drawMesh = part(showMesh, () => peers.size > 200 ? 500 : 100);

// Each ring takes what fits.
function layOut(width, height) {
  const all = [...peers.values()].filter((p) => p.id !== own).sort((a, b) => compare(order(a.id), order(b.id)));
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
      ring.forEach((peer, i) => placed.push({ id: peer.id, angle: i / ring.length * 2 * Math.PI - Math.PI / 2, radius }));
      radius += left.length ? step : Math.max(step * 1.6, size - radius > step * 3 && group !== groups.at(-1) ? Math.min(size - radius, size * .42) : step * 1.6);
    }
  }
  const reach = placed.reduce((most, p) => Math.max(most, p.radius), 1), shrink = size / reach;
  const wide = Math.min(1.25, Math.max(1, width / height * .8));
  for (const p of placed) {
    p.x = width / 2 + Math.cos(p.angle) * p.radius * shrink * wide;
    p.y = height / 2 + Math.sin(p.angle) * p.radius * shrink;
  }
  return placed;
}

// The shape says what the colour says: a diamond is a masternode, a full one is a link.
function outline(path, x, y, r, isDiamond) {
  if (isDiamond) {
    path.moveTo(x, y - r * 1.35); path.lineTo(x + r * 1.35, y); path.lineTo(x, y + r * 1.35); path.lineTo(x - r * 1.35, y); path.closePath();
  } else { path.moveTo(x + r, y); path.arc(x, y, r, 0, 2 * Math.PI); }
}

function showMesh() {
  const { c, width, height } = surface($("mesh"));
  const membership = `${width} ${height} ${own} ${[...peers.values()].map((p) => p.id + p.class[0]).join()}`;
  if (membership !== laidOut) { laidOut = membership; places = layOut(width, height); }
  const many = places.length > 60, r = places.length > 400 ? 2.6 : many ? 4 : 6, cx = width / 2, cy = height / 2;
  const spokes = new Path2D(), arrows = new Path2D(), dots = new Map();
  let up = 0;
  for (const { id, x, y } of places) {
    const peer = peers.get(id);
    if (!peer) continue;
    const [colour, full] = look(peer.state), kind = `${colour} ${full}`;
    if (!dots.has(kind)) dots.set(kind, { colour, full, path: new Path2D() });
    outline(dots.get(kind).path, x, y, r, peer.class === "masternode");
    if (peer.state !== "established" && peer.state !== "draining") continue;
    up++;
    spokes.moveTo(cx, cy); spokes.lineTo(x, y);
    if (!many && peer.link) arrowhead(arrows, cx, cy, x, y, peer.link.direction === "outbound");
  }
  c.strokeStyle = c.fillStyle = colours.up;
  c.globalAlpha = places.length > 400 ? .12 : many ? .22 : .5;
  c.lineWidth = many ? 1 : 1.5;
  c.stroke(spokes);
  c.globalAlpha = .9;
  c.fill(arrows);
  c.globalAlpha = 1;
  c.lineWidth = many ? 1.3 : 1.8;
  for (const { colour, full, path } of dots.values()) {
    c.strokeStyle = colours[colour];
    c.fillStyle = full ? colours[colour] : colours.card;
    c.fill(path);
    if (!full) c.stroke(path);
  }
  c.font = "12px ui-monospace, monospace";
  c.textBaseline = "middle";
  // All have their names if there is room for them; else those that one looks for.
  const named = places.length <= 24 ? places : places.filter((p) => peers.has(p.id) && peers.get(p.id).state !== "established");
  if (named.length <= 24) labels(c, named, r, width, height);
  c.fillStyle = colours.ink;
  c.beginPath(); c.arc(cx, cy, 10, 0, 2 * Math.PI); c.fill();
  c.fillStyle = colours.card;
  c.beginPath(); c.arc(cx, cy, 4, 0, 2 * Math.PI); c.fill();
  const place = pointed && places.find((p) => p.id === pointed);
  if (place && peers.has(pointed)) {
    c.strokeStyle = colours.ink; c.lineWidth = 1.5;
    c.beginPath(); c.arc(place.x, place.y, r + 5, 0, 2 * Math.PI); c.stroke();
    tag(c, `${pointed}  ${look(peers.get(pointed).state)[2]}`, place.x, place.y - r - 18, width);
  }
  const text = `The mesh: ${up} of ${places.length} peers linked; the table of peers says the same`;
  if ($("mesh").said_ !== text) $("mesh").setAttribute("aria-label", $("mesh").said_ = text);
}

// At the end that was dialled.
function arrowhead(path, cx, cy, x, y, isOutbound) {
  const towards = isOutbound ? .78 : .3, dx = x - cx, dy = y - cy;
  const angle = Math.atan2(dy, dx) + (isOutbound ? 0 : Math.PI), px = cx + dx * towards, py = cy + dy * towards;
  path.moveTo(px, py);
  path.lineTo(px - 8 * Math.cos(angle - .42), py - 8 * Math.sin(angle - .42));
  path.lineTo(px - 8 * Math.cos(angle + .42), py - 8 * Math.sin(angle + .42));
  path.closePath();
}

// Each name stands on the first side of its dot where it covers neither a dot nor another name: outwards, above, below, inwards.
function labels(c, named, r, width, height) {
  const taken = places.map(({ x, y }) => [x - r - 3, y - r - 3, x + r + 3, y + r + 3]);
  c.lineWidth = 4;
  c.lineJoin = "round";
  c.strokeStyle = colours.card;
  c.fillStyle = colours.soft;
  for (const { id, x, y, angle } of named) {
    const w = c.measureText(id).width, right = [x + 12, y], left = [x - 12 - w, y], isRight = Math.cos(angle) >= -.01;
    const above = [x - w / 2, y - 16], below = [x - w / 2, y + 16], isSteep = Math.abs(Math.cos(angle)) < .3;
    const sides = isSteep ? (Math.sin(angle) < 0 ? [above, right, left] : [below, right, left]) : isRight ? [right, above, below, left] : [left, above, below, right];
    for (const [lx, ly] of sides) {
      const box = [lx, ly - 7, lx + w, ly + 7];
      if (lx < 2 || lx + w > width - 2 || ly < 8 || ly > height - 8) continue;
      if (taken.some((t) => box[0] < t[2] && box[2] > t[0] && box[1] < t[3] && box[3] > t[1])) continue;
      taken.push(box);
      c.strokeText(id, lx, ly);
      c.fillText(id, lx, ly);
      break;
    }
  }
}

function tag(c, text, x, y, width) {
  const w = c.measureText(text).width + 12, lx = Math.max(2, Math.min(width - w - 2, x - w / 2)), ly = Math.max(12, y);
  c.fillStyle = colours.ink;
  c.fillRect(lx, ly - 11, w, 22);
  c.fillStyle = colours.card;
  c.fillText(text, lx + 6, ly);
}

function nearest(event) {
  const box = $("mesh").getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = null, distance = 18;
  for (const place of places) {
    const d = Math.hypot(place.x - x, place.y - y);
    if (d < distance) { distance = d; best = place.id; }
  }
  return best;
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

function beginMesh() {
  const drawPointed = part(showMesh, () => 50);
  makeLegend();
  $("mesh").onclick = (event) => { const id = nearest(event); if (id) why(id); };
  $("mesh").onpointermove = (event) => { const id = nearest(event); if (id !== pointed) { pointed = id; drawPointed(); } };
  $("mesh").onpointerleave = () => { pointed = null; drawPointed(); };
}
