// What goes on inside: the supervision tree and the log of events.

import { element, fill, row, short } from "./format.js";

const KINDS = ["trade", "order", "peer", "actor", "sync"];
const SHOWN = 200;
const by = (id) => document.getElementById(id);

/** Draws the tree of the node that is shown. */
export function drawTree(state) {
  const rows = [];
  const walk = (actor, depth) => {
    const name = element("span", "actor", actor.name);
    name.style.setProperty("--depth", String(depth));
    const word = element("span", "state");
    word.append(element("i", `dot ${actor.state}`), actor.state);
    const restarts = [String(actor.restarts), actor.restarts > 0 ? "warn" : ""];
    rows.push(row([name, word, restarts, String(actor.mailbox)]));
    for (const child of actor.children) walk(child, depth + 1);
  };
  if (state.network?.tree) walk(state.network.tree, 0);
  fill(by("tree"), rows);
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
    return (!box || box.checked) && (text === "" || JSON.stringify(event).toLowerCase().includes(text));
  };
  const events = state.events.filter(isWanted).slice(-SHOWN).reverse();
  fill(by("log"), events.map((event) => row([["…" + String(event.number).slice(-6), "mono muted"], event.event, words(event)], event.change ?? "")));
}

function words(event) {
  const reason = event.reason ? ` (${event.reason})` : "";
  switch (event.event) {
    case "trade":
      return `${short(event.id)} ${event.status}: ${event.quantity} at ${event.price}${reason}`;
    case "order":
      return `${short(event.order)} ${event.side} ${event.quantity} at ${event.price ?? "market"}: ${event.status}${reason}`;
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
