// The network as this page's nodes see it, and the way of an order through it.

import { drawn, short } from "./format.js";
import { fill, say } from "./rows.js";

const by = (id) => document.getElementById(id);
const CENTRE = { x: 280, y: 190 };
const RADIUS = { x: 215, y: 150 };
const HOP_MS = 700;
let places = new Map();

/** Draws nodes, links, round trips, an author's tree, and circuits that are not closed. */
export function drawMap(page) {
  const seen = gather(page);
  const names = [...seen.nodes.keys()].sort();
  places = new Map(names.map((name, index) => [name, place(index, names.length)]));
  offerAuthors(seen, names);
  const tree = treeOf(page, author(page));
  const [links, nodes] = [drawn("g"), drawn("g")];
  for (const link of seen.links.values()) links.append(...drawLink(link, tree));
  for (const [name, node] of seen.nodes) nodes.append(drawNode(page, name, node));
  const travelling = by("map").querySelector(".travelling") ?? drawn("g", { class: "travelling" });
  by("map").replaceChildren(links, travelling, nodes);
  say(by("map-note"), note(seen, tree));
}

/** Whose tree is looked at; the node that is shown unless another one was chosen. */
export function author(page) {
  return by("tree-author").value || page.current.state.node?.node || "";
}

/** What the tree of an author is to one of its nodes. */
export function branch(state, author) {
  return state.network?.gossip?.find((tree) => author.startsWith(tree.author)) ?? null;
}

/** Offers the nodes that the map shows. */
function offerAuthors(seen, names) {
  const select = by("tree-author");
  const chosen = select.value;
  const offered = names.map((name) => {
    const index = seen.nodes.get(name).index;
    return [index ? `${index} · ${short(name)}` : short(name), name];
  });
  const sign = JSON.stringify(offered);
  if (select.dataset.sign === sign) return;
  select.dataset.sign = sign;
  const options = [["the node shown", ""], ...offered];
  select.replaceChildren(...options.map(([words, name]) => new Option(words, name)));
  select.value = names.includes(chosen) ? chosen : "";
}

/** Over which links what an author writes is pushed and announced, as the nodes of the page say. */
function treeOf(page, author) {
  const tree = { pushed: new Set(), announced: new Set(), isKnown: false };
  for (const { state, connection } of page.nodes) {
    const own = state.node?.node;
    const part = own && connection.state === "live" ? branch(state, author) : null;
    if (!part) continue;
    tree.isKnown = true;
    if (part.parent) tree.pushed.add(part.parent + own);
    for (const other of part.eager) tree.pushed.add(own + other);
    for (const other of part.lazy) tree.announced.add(own + other);
  }
  return tree;
}

function note(seen, tree) {
  if (seen.nodes.size === 0) return "Waiting for the first picture of the network.";
  const open = seen.circuits.map((circuit) => `${circuit.address} ${circuit.state.replace("_", " ")}`);
  const circuits = open.length > 0 ? ` Circuits: ${open.join(", ")}.` : " All circuits are closed.";
  const words = tree.isKnown ? "" : " This author has written nothing yet, so there is no tree.";
  return `${seen.nodes.size} nodes, ${seen.links.size} links.${circuits}${words}`;
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

function drawLink({ ends, rtt, broken }, tree) {
  const [one, other] = ends;
  const pushes = [one + other, other + one].map((way) => tree.pushed.has(way));
  const isPushed = pushes.some(Boolean) && !broken;
  const isAnnounced = tree.announced.has(one + other) || tree.announced.has(other + one);
  const kind = broken ? `broken ${broken}` : isPushed ? "eager" : isAnnounced ? "lazy" : "";
  // An arrow goes the way that operations go.
  const [from, to] = (pushes[0] ? ends : [other, one]).map((end) => places.get(end));
  const line = { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
  const parts = [drawn("line", { ...line, class: `link ${kind}`.trim() })];
  if (isPushed) parts.push(arrow(from, to));
  // Not in the middle, where links cross.
  const place = { x: from.x + (to.x - from.x) * 0.36, y: from.y + (to.y - from.y) * 0.36 - 6 };
  const words = broken ? `circuit ${broken.replace("_", " ")}` : roundTrip(rtt);
  if (words) parts.push(drawn("text", { ...place, class: "link-text" }, words));
  return parts;
}

/** A round trip in words; none if it was not measured. */
export function roundTrip(rtt) {
  if (rtt === undefined || rtt === null) return "";
  return rtt < 1 ? "< 1 ms" : `${rtt} ms`;
}

/** The head of an arrow, beyond the middle of a link. */
function arrow(from, to) {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const [x, y] = [(to.x - from.x) / length, (to.y - from.y) / length];
  const tip = { x: from.x + x * length * 0.72, y: from.y + y * length * 0.72 };
  const corner = (side) => `${tip.x - 11 * x - side * 6 * y} ${tip.y - 11 * y + side * 6 * x}`;
  return drawn("path", { d: `M ${tip.x} ${tip.y} L ${corner(1)} L ${corner(-1)} Z`, class: "arrow" });
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

/** Draws the tree of another author as soon as one is chosen. */
export function setUpTree(page) {
  by("tree-author").onchange = () => page.mark("network");
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
  fill(by("path"), paths, {
    key: (path) => path.node,
    cells: (path) => {
      const from = path.from;
      const after = path.received_ms === null ? "–" : `${path.received_ms - path.time_ms} ms`;
      const source = from?.via === "written" ? "written here" : short(from?.node);
      return [[short(path.node), "mono"], [source, "mono"], from ? from.via : "not remembered", after];
    },
  });
  animate(paths.filter((path) => path.from?.node && places.has(path.from.node) && places.has(path.node)));
}

/** Moves a dot over each hop, in the order in which the nodes got it; the pace is not to scale. */
function animate(hops) {
  const layer = by("map").querySelector(".travelling");
  layer.replaceChildren();
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
