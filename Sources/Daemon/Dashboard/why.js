// Why a peer is linked, or is not: the node's own answer, kept up to date while it is open.

let asked = null;                 // the peer that the open dialog tells of

async function why(id) {
  let answer;
  try { answer = await get(`peers/${encodeURIComponent(id)}/why`); } catch {
    if ($("why").open) return;
    answer = { id, sentence: "the node has no answer about this one: it is a link that is nobody's yet, or the node is away" };
  }
  if ($("why").open && asked !== id) return;
  asked = id;
  tell(answer);
  if ($("why").open) return;
  $("why").showModal();
  $("why").scrollTop = 0;
}

function tell(answer) {
  write($("why-title"), answer.id);
  write($("why-sentence"), answer.sentence);
  write($("why-advice"), answer.advice || "");
  const facts = facts_(answer).filter(([, value]) => value), list = $("why-facts");
  const names = facts.map(([name]) => name).join();
  if (list.names_ !== names) {
    list.names_ = names;
    list.replaceChildren(...facts.flatMap(([name]) => [element("dt", name), element("dd")]));
  }
  facts.forEach(([, value], i) => write(list.children[2 * i + 1], value));
  const history = (answer.history || []).slice().reverse();
  const newest = history.length ? `${answer.id} ${history[0].number}` : answer.id;
  if ($("why-history").newest_ === newest) return;
  $("why-history").newest_ = newest;
  $("why-history").replaceChildren(...history.map((event) => {
    const item = element("li");
    item.append(element("time", clock(event.at)), element("span", event.of), passage(event));
    return item;
  }));
}

function facts_(answer) {
  const { wanted, next, turn, attempts, ban, link } = answer;
  return [
    ["State", answer.state], ["Wanted", wanted && (wanted.is ? `by ${wanted.by.join(", ")}` : "no")],
    ["Next", next && (next.step ? `${next.step}${next.seconds != null ? `, in ${span(next.seconds)}` : ""}` : "nothing")],
    ["Turn to dial", turn && turn.text],
    ["Attempts", attempts && `${attempts.dials} dials, ${attempts.established} links, ${attempts.failuresInARow} failures in a row`],
    ["Ban", ban && `${ban.subject} by ${ban.by}${ban.seconds != null ? `, ${span(ban.seconds)} left` : ", for ever"}`],
    ["Last reason", answer.lastCloseReason],
    ["Link", link && `${arrow(link.direction)}, round trip ${link.rttSeconds == null ? "not measured yet" : `${(link.rttSeconds * 1000).toFixed(1)} ms`}, `
      + `${link.misses} misses, queue ${bytes(link.queueBytes)}, in ${bytes(link.bytesIn)}, out ${bytes(link.bytesOut)}`],
  ];
}

const passage = (event) => element("span", `${event.from} → ${event.to}${event.reason ? `, ${event.reason}` : ""}`, look(event.to)[0]);

function beginWhy() {
  $("why").onclose = () => { asked = null; };
  // A click beside the dialog closes it.
  $("why").onclick = (event) => { if (event.target === $("why")) $("why").close(); };
}
