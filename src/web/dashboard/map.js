// The network as this page's nodes see it, and the way of an order through it.

import { drawn, fill, row, short } from "./format.js";

const by = (id) => document.getElementById(id);
const CENTRE = { x: 280, y: 190 };
const RADIUS = { x: 215, y: 150 };
const HOP_MS = 700;
let places = new Map();

/** Draws nodes, links, round trips and circuits that are not closed. */
export function drawMap(page) {
  const seen = gather(page);
  const names = [...seen.nodes.keys()].sort();
  places = new Map(names.map((name, index) => [name, place(index, names.length)]));
  const svg = by("map");
  const layer = drawn("g");
  for (const link of seen.links.values()) layer.append(...drawLink(link));
  for (const [name, node] of seen.nodes) layer.append(drawNode(page, name, node));
  const travelling = svg.querySelector(".travelling");
  svg.replaceChildren(layer);
  if (travelling) svg.append(travelling);
  by("map-note").textContent = note(seen);
}

function note(seen) {
  if (seen.nodes.size === 0) return "Waiting for the first picture of the network.";
  const open = seen.circuits.map((circuit) => `${circuit.address} ${circuit.state.replace("_", " ")}`);
  const circuits = open.length > 0 ? ` Circuits: ${open.join(", ")}.` : " All circuits are closed.";
  return `${seen.nodes.size} nodes, ${seen.links.size} links.${circuits}`;
}

function gather(page) {
  const seen = { nodes: new Map(), links: new Map(), circuits: [] };
  const node = (key, facts = {}) => {
    seen.nodes.set(key, { ...(seen.nodes.get(key) ?? {}), ...facts });
  };
  const link = (one, other, facts = {}) => {
    const ends = [one, other].sort();
    const key = ends.join();
    seen.links.set(key, { ...(seen.links.get(key) ?? { ends }), ...facts });
  };
  const live = page.nodes.filter(({ state }) => state.node);
  for (const { state, connection } of live) {
    const own = state.node.node;
    const isDown = connection.state !== "live";
    node(own, { index: page.nodes.findIndex((it) => it.state === state) + 1, isDown });
    if (isDown || !state.network) continue;
    for (const { node: far, links } of state.network.topology ?? []) {
      node(far);
      for (const other of links) {
        node(other);
        link(far, other);
      }
    }
    for (const peer of state.network.peers ?? []) {
      node(peer.node);
      link(own, peer.node, { rtt: peer.rtt_ms });
    }
    const broken = (state.network.breakers ?? []).filter((it) => it.state !== "closed");
    seen.circuits.push(...broken);
    for (const circuit of broken) {
      const other = live.find((it) => port(it.state.node.p2p) === port(circuit.address));
      if (other) link(own, other.state.node.node, { broken: circuit.state });
    }
  }
  return seen;
}

function port(address) {
  return address?.split(":").at(-1);
}

function place(index, count) {
  if (count === 1) return CENTRE;
  const angle = (2 * Math.PI * index) / count - Math.PI / 2;
  return { x: CENTRE.x + RADIUS.x * Math.cos(angle), y: CENTRE.y + RADIUS.y * Math.sin(angle) };
}

function drawLink({ ends, rtt, broken }) {
  const [from, to] = ends.map((end) => places.get(end));
  const line = { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
  const parts = [drawn("line", { ...line, class: broken ? `link broken ${broken}` : "link" })];
  const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 - 6 };
  const words = broken ? `circuit ${broken.replace("_", " ")}` : rtt === undefined || rtt === null ? "" : rtt < 1 ? "< 1 ms" : `${rtt} ms`;
  if (words) parts.push(drawn("text", { ...middle, class: "link-text" }, words));
  return parts;
}

function drawNode(page, name, node) {
  const { x, y } = places.get(name);
  const isShown = page.current.state.node?.node === name;
  const kind = node.isDown ? "down" : node.index ? "own" : "far";
  const group = drawn("g", { class: `map-node ${kind}${isShown ? " shown" : ""}` });
  group.append(drawn("circle", { cx: x, cy: y, r: isShown ? 22 : 17 }));
  group.append(drawn("text", { x, y: y + 5, class: "map-index" }, node.index ? String(node.index) : ""));
  const words = node.isDown ? `${short(name)} (down)` : short(name);
  group.append(drawn("text", { x, y: y + 38, class: "map-name" }, words));
  return group;
}

/** Makes the form ask every node of the page how an order came to it. */
export function setUpPath(page) {
  const form = by("path-form");
  page.showPath = (order) => {
    page.showNetwork();
    form.elements.order.value = order;
    form.requestSubmit();
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    const order = form.elements.order.value.trim();
    by("path-status").textContent = "asking the nodes of this page…";
    const asked = page.nodes.map(async ({ connection }) => {
      try {
        return await connection.get(`/api/v1/orders/${order}/path`);
      } catch {
        return null;
      }
    });
    showPath((await Promise.all(asked)).filter(Boolean), page.nodes.length);
  };
}

function showPath(paths, count) {
  by("path-status").textContent =
    paths.length === 0
      ? "No node of this page knows this order."
      : `${paths.length} of ${count} nodes of this page know it.`;
  const time = (path) => path.received_ms ?? Infinity;
  paths.sort((left, right) => time(left) - time(right));
  const rows = paths.map((path) => {
    const from = path.from;
    const how = from ? from.via : "not remembered";
    const after = path.received_ms === null ? "–" : `${path.received_ms - path.time_ms} ms`;
    const source = from?.via === "written" ? "written here" : short(from?.node);
    return row([[short(path.node), "mono"], [source, "mono"], how, after]);
  });
  fill(by("path"), rows);
  animate(paths.filter((path) => path.from?.node && places.has(path.from.node) && places.has(path.node)));
}

/** Moves a dot over each hop, in the order in which the nodes got it; the pace is not to scale. */
function animate(hops) {
  const svg = by("map");
  svg.querySelector(".travelling")?.remove();
  const layer = drawn("g", { class: "travelling" });
  svg.append(layer);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  hops.forEach((hop, index) => {
    const [from, to] = [places.get(hop.from.node), places.get(hop.node)];
    layer.append(drawn("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y, class: "hop" }));
    layer.append(drawn("circle", { r: 27, cx: to.x, cy: to.y, class: "hop-ring" }));
    const dot = drawn("circle", { r: 7, cx: to.x, cy: to.y, class: "hop-dot" });
    layer.append(dot);
    if (calm) return;
    const move = {
      transform: [`translate(${from.x - to.x}px, ${from.y - to.y}px)`, "translate(0, 0)"],
      opacity: [1, 1],
    };
    dot.animate(move, { duration: HOP_MS, delay: index * HOP_MS, easing: "ease-in-out" });
  });
}
