// Whether nodes agree: digests side by side, peers, and the vector clocks of two orders.

import { element, fill, row, short } from "./format.js";

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
  const rows = known.map(({ state }) => {
    const digest = state.network.digest;
    const cells = FIELDS.map((field) => mark(digest[field], digest[field] === first[field]));
    return row([[short(state.node.node), "mono"], String(digest.operations), ...cells]);
  });
  fill(by("digests"), rows);
  const isEqual = known.every(({ state }) => FIELDS.every((field) => state.network.digest[field] === first[field]));
  const verdict = by("equal-verdict");
  verdict.className = "verdict " + (known.length < 2 ? "" : isEqual ? "good" : "bad");
  verdict.textContent = words(known.length, isEqual);
  drawPeers(page);
}

function words(count, isEqual) {
  if (count < 2) return "One node is on this page; peers show how far each is behind.";
  return isEqual
    ? `All ${count} nodes of this page agree, byte for byte.`
    : `The ${count} nodes of this page do not agree at this moment: operations are on their way.`;
}

function mark(digest, isSame) {
  const cell = element("span", isSame ? "mono good" : "mono bad", digest.slice(0, 6));
  cell.append(element("span", "", isSame ? " =" : " ≠"));
  return cell;
}

function drawPeers(page) {
  const network = page.current.state.network;
  const peers = (network?.peers ?? []).map((peer) => [
    [short(peer.node), "mono"],
    peer.address,
    `${peer.state}, ${peer.direction}`,
    peer.rtt_ms === null ? "–" : `${peer.rtt_ms} ms`,
    peer.behind === 0 ? "equal" : `${peer.behind} operations`,
  ]);
  const circuits = (network?.breakers ?? [])
    .filter((circuit) => circuit.state !== "closed")
    .map((circuit) => {
      const wait = `again in ${Math.ceil(circuit.retry_in_ms / 1000)} s`;
      return ["–", circuit.address, [`circuit ${circuit.state.replace("_", " ")}`, "bad"], wait, `${circuit.failures} failures`];
    });
  fill(by("peers"), [...peers, ...circuits].map((cells) => row(cells)));
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
  const rows = authors.map((author) => {
    const [left, right] = [one[author] ?? 0, other[author] ?? 0];
    const more = (is) => (is ? "more" : "");
    return row([[short(author), "mono"], [String(left), more(left > right)], [String(right), more(right > left)]]);
  });
  fill(by("clocks"), rows);
}
