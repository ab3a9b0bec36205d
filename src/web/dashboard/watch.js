// What goes on inside: the supervision tree and the log of events.

import { element, orderName, short } from "./format.js";
import { fill } from "./rows.js";

const KINDS = ["trade", "order", "peer", "actor", "sync"];
const SHOWN = 200;
const by = (id) => document.getElementById(id);

/** Draws the tree of the node that is shown. */
export function drawTree(state) {
  const actors = [];
  const walk = (actor, path, depth) => {
    const name = `${path}/${actor.name}`;
    actors.push({ ...actor, path: name, depth });
    for (const child of actor.children) walk(child, name, depth + 1);
  };
  if (state.network?.tree) walk(state.network.tree, "", 0);
  fill(by("tree"), actors, {
    key: (actor) => actor.path,
    cells: (actor) => [
      { sign: actor.path, make: () => actorName(actor) },
      { sign: actor.state, make: () => actorState(actor) },
      [String(actor.restarts), actor.restarts > 0 ? "warn" : ""],
      String(actor.mailbox),
    ],
  });
}

function actorName(actor) {
  const name = element("span", "actor", actor.name);
  name.style.setProperty("--depth", String(actor.depth));
  return name;
}

function actorState(actor) {
  const word = element("span", "state");
  word.append(element("i", `dot ${actor.state}`), actor.state);
  return word;
}

/** Makes the filters of the log. */
export function setUpLog(page) {
  const boxes = KINDS.map((kind) => {
    const label = element("label", "check");
    const box = element("input");
    box.type = "checkbox";
    box.name = kind;
    box.checked = true;
    label.append(box, ` ${kind}`);
    return label;
  });
  by("log-kinds").append(...boxes);
  by("log-filter").oninput = () => page.mark("events");
  by("log-filter").onsubmit = (event) => event.preventDefault();
}

/** Draws the newest events that pass the filters, newest first. */
export function drawLog(state) {
  const form = by("log-filter");
  const text = form.elements.text.value.trim().toLowerCase();
  const isWanted = (event) => {
    const box = form.elements[event.event];
    // What is read, and what is not shown of it, such as the whole of an id.
    const all = () => `${words(event)} ${JSON.stringify(event)}`.toLowerCase();
    return (!box || box.checked) && (text === "" || all().includes(text));
  };
  fill(by("log"), state.events.filter(isWanted).slice(-SHOWN).reverse(), {
    key: (event) => event.number,
    kind: (event) => event.change ?? "",
    cells: (event) => [
      ["…" + String(event.number).slice(-6), "mono muted"],
      event.event,
      words(event),
    ],
  });
}

function words(event) {
  const reason = event.reason ? ` (${event.reason})` : "";
  switch (event.event) {
    case "trade":
      return `${short(event.id)} ${event.status}: ${event.quantity} at ${event.price}${reason}`;
    case "order":
      return `${orderName(event.order)} ${event.side} ${event.quantity} at ${event.price ?? "market"}: ${event.status}${reason}`;
    case "peer":
      return `${short(event.node)} at ${event.address} ${event.change}${reason}`;
    case "actor":
      return `${event.name} ${event.change}${reason}, life ${event.generation}`;
    case "sync":
      return `${event.received} of ${event.total} from ${short(event.peer)}`;
    default:
      return JSON.stringify(event);
  }
}
