// Four charts of the last ten minutes, one sample a second.

const SECONDS = 600;
const series = { links: [], dials: [], rtt: [], lag: [] };
const CHARTS = [["links", ["up"], "links"], ["dials", ["rate"], "a second"], ["rtt", ["median", "worst"], "ms"], ["lag", ["lag"], "ms"]];
// What the next sample takes: links that stand, dials begun since the last one, the loop's last answer in seconds.
const gauges = { up: 0, dials: 0, lag: null };

// Each chart in a frame of its own: a frame has sixteen milliseconds for everything.
const drawEach = CHARTS.map(([name, keys, unit]) => part(() => showChart(name, keys, unit), () => 900));
const drawCharts = () => { for (const draw of drawEach) draw(); };

function sample() {
  const t = Date.now() / 1000, times = [];
  for (const { link } of peers.values()) if (link && link.rttSeconds != null) times.push(link.rttSeconds * 1000);
  times.sort((a, b) => a - b);
  series.links.push({ t, up: gauges.up });
  series.dials.push({ t, rate: gauges.dials });
  series.rtt.push({ t, median: times.length ? times[times.length >> 1] : null, worst: times.length ? times.at(-1) : null });
  series.lag.push({ t, lag: gauges.lag == null ? null : gauges.lag * 1000 });
  gauges.dials = 0;
  for (const points of Object.values(series)) while (points.length && points[0].t < t - SECONDS) points.shift();
  drawCharts();
}

// A scale that ends at 1, 2 or 5 times a power of ten.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((k) => k * power).find((top) => top >= value);
}

function showChart(name, keys, unit) {
  const { c, width, height } = surface($(name));
  const points = series[name], left = 34, bottom = 15, top = 5, w = width - left - 3, h = height - top - bottom;
  let most = 0;
  for (const p of points) for (const key of keys) if (p[key] > most) most = p[key];
  const high = ceiling(most), now = Date.now() / 1000;
  drawScale(c, high, left, top, w, h, width, height);
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
  write($(`${name}-now`), text);
  $(name).setAttribute("aria-label", `${$(name).dataset.name}: now ${text} ${unit}; the scale ends at ${high}`);
}

function drawScale(c, high, left, top, w, h, width, height) {
  c.font = "10px system-ui, sans-serif";
  c.textBaseline = "middle";
  c.strokeStyle = colours.grid;
  c.fillStyle = colours.soft;
  c.lineWidth = 1;
  c.textAlign = "right";
  for (const part of [0, .5, 1]) {
    const y = Math.round(top + h * (1 - part)) + .5;
    c.beginPath(); c.moveTo(left, y); c.lineTo(width, y); c.stroke();
    c.fillText(+(high * part).toPrecision(3), left - 5, y);
  }
  for (const minutes of [10, 5, 0]) {
    c.textAlign = minutes === 10 ? "left" : minutes === 0 ? "right" : "center";
    c.fillText(minutes ? `−${minutes} min` : "now", left + w * (1 - minutes * 60 / SECONDS), height - 5);
  }
  c.textAlign = "left";
}
