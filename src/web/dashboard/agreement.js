// Whether nodes agree: digests side by side, peers, and the vector clocks of two orders.

import { element, short } from "./format.js";
import { author, branch, roundTrip } from "./map.js";
import { fill, say } from "./rows.js";

const by = (id) => document.getElementById(id);
const FIELDS = ["set", "book", "trades", "final_trades", "orders"];

const RELATIONS = {
  before: "The first order happened before the second: its author knew nothing of the second.",
  after: "The first order happened after the second: its author knew the second.",
  concurrent: "The orders are concurrent: neither author knew the other's order.",
  equal: "Both orders are of one operation.",
};

/** Draws digests, verdict and peers. */
export function drawAgreement(page) {
  const known = page.nodes.filter(({ state, connection }) => state.network?.digest && connection.state === "live");
  const first = page.current.state.network?.digest ?? known[0]?.state.network.digest;
  const digests = known.map(({ state }) => ({ node: state.node.node, ...state.network.digest }));
  fill(by("digests"), digests, {
    key: (digest) => digest.node,
    cells: (digest) => [
      [short(digest.node), "mono"],
      String(digest.operations),
      ...FIELDS.map((field) => mark(digest[field], digest[field] === first[field])),
    ],
  });
  const isEqual = known.every(({ state }) => FIELDS.every((field) => state.network.digest[field] === first[field]));
  const verdict = by("equal-verdict");
  verdict.className = "verdict " + (known.length < 2 ? "" : isEqual ? "good" : "bad");
  say(verdict, words(known.length, isEqual));
  drawPeers(page);
}

function words(count, isEqual) {
  if (count < 2) return "One node is on this page; peers show how far each is behind.";
  return isEqual
    ? `All ${count} nodes of this page agree, byte for byte.`
    : `The ${count} nodes of this page do not agree at this moment: operations are on their way.`;
}

function mark(digest, isSame) {
  const make = () => {
    const cell = element("span", isSame ? "mono good" : "mono bad", digest.slice(0, 6));
    cell.append(element("span", "", isSame ? " =" : " ≠"));
    return cell;
  };
  return { sign: `${digest} ${isSame}`, make };
}

function drawPeers(page) {
  const network = page.current.state.network;
  const tree = branch(page.current.state, author(page));
  const place = (node) => {
    if (tree?.parent === node) return "brings them";
    if (tree?.eager.includes(node)) return "gets them";
    return tree?.lazy.includes(node) ? "is told of them" : "–";
  };
  const peers = (network?.peers ?? []).map((peer) => ({
    key: peer.node,
    cells: [
      [short(peer.node), "mono"],
      peer.address,
      [peer.state === "established" ? peer.direction : `${peer.state}, ${peer.direction}`, ""],
      roundTrip(peer.rtt_ms) || "–",
      peer.behind === 0 ? "equal" : `${peer.behind} operations`,
      place(peer.node),
    ],
  }));
  const circuits = (network?.breakers ?? []).filter((circuit) => circuit.state !== "closed");
  const rows = circuits.map((circuit) => ({
    key: circuit.address,
    cells: [
      ["–", "mono"],
      circuit.address,
      [`circuit ${circuit.state.replace("_", " ")}`, "bad"],
      `again in ${Math.ceil(circuit.retry_in_ms / 1000)} s`,
      `${circuit.failures} failures`,
      "–",
    ],
  }));
  fill(by("peers"), [...peers, ...rows], { key: (row) => row.key, cells: (row) => row.cells });
}

/** Makes the form compare the clocks of two orders. */
export function setUpClocks(page) {
  const form = by("clocks-form");
  by("clocks").hidden = true;
  form.onsubmit = async (event) => {
    event.preventDefault();
    const [first, second] = ["first", "second"].map((name) => form.elements[name].value.trim());
    const get = (query) => page.current.connection.get(`/api/v1/clock?${query}`);
    const status = by("clocks-status");
    try {
      const [one, other, both] = await Promise.all([
        get(`order=${first}`),
        get(`order=${second}`),
        get(`order=${first}&other=${second}`),
      ]);
      status.textContent = RELATIONS[both.relation];
      status.className = "status good";
      drawClocks(one.clock, other.clock);
    } catch (error) {
      status.textContent = error.message;
      status.className = "status bad";
    }
  };
}

function drawClocks(one, other) {
  const authors = [...new Set([...Object.keys(one), ...Object.keys(other)])].sort();
  const more = (is) => (is ? "more" : "");
  const rows = authors.map((author) => ({ author, left: one[author] ?? 0, right: other[author] ?? 0 }));
  fill(by("clocks"), rows, {
    key: ({ author }) => author,
    cells: ({ author, left, right }) => [
      [short(author), "mono"],
      [String(left), more(left > right)],
      [String(right), more(right > left)],
    ],
  });
}
