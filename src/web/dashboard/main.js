// The page: which nodes it looks at, which one is shown, and when a part is drawn anew.

import { Connection } from "./connection.js";
import { NodeState } from "./store.js";
import { drawBook } from "./book.js";
import { Chart } from "./chart.js";
import { setUpEntry, drawOrders } from "./orders.js";
import { drawTape } from "./tape.js";
import { drawMap, setUpPath, setUpTree } from "./map.js";
import { drawAgreement, setUpClocks } from "./agreement.js";
import { drawTree, drawLog, setUpLog } from "./watch.js";
import { aligned, element, short } from "./format.js";
import { say } from "./rows.js";
import { watchSizes } from "./sizes.js";

const by = (id) => document.getElementById(id);

// Twenty pictures a second are as good as a film, and a node tells of its book no more often. Four
// of the price are as good as twenty: a candle stands for a second or more.
const PAUSE_MS = 50;
const CHART_PAUSE_MS = 250;

/** Everything that the parts share. */
const page = {
  nodes: [],
  shown: 0,
  dirty: new Set(),
  get current() {
    return this.nodes[this.shown];
  },
  /** Draws these parts with the next frame, or after a pause if the last was just now. */
  mark(...parts) {
    for (const part of parts) if (part) this.dirty.add(part);
    if (this.dirty.size === 0 || waiting) return;
    waiting = true;
    const pause_ms = drawn_ms + PAUSE_MS - performance.now();
    if (pause_ms > 0) setTimeout(() => requestAnimationFrame(draw), pause_ms);
    else requestAnimationFrame(draw);
  },
  /** Shows what an order went through. */
  showPath: () => {},
};

const chart = new Chart(by("price"), by("price-empty"), by("intervals"), () => drawChart(0));

// Whether a frame is on its way, and when the last one was drawn.
let waiting = false;
let drawn_ms = 0;
let charted_ms = 0;
let charting = false;

function draw(now_ms) {
  waiting = false;
  drawn_ms = now_ms;
  drawParts();
}

function drawParts() {
  const parts = new Set(page.dirty);
  page.dirty.clear();
  const { state, connection } = page.current;
  const trades = !by("view-trade").hidden;
  if (parts.has("node")) drawNode();
  if (parts.has("link") || parts.has("node")) drawLinks();
  if (parts.has("trades") || parts.has("network")) drawCounts(state);
  if (trades) {
    if (parts.has("book")) drawBook(state);
    if (parts.has("trades")) drawTape(page, state);
    if (parts.has("orders")) drawOrders(page, state, connection);
    if (parts.has("trades")) planChart();
    return;
  }
  if (parts.has("network") || parts.has("link")) {
    drawMap(page);
    drawAgreement(page);
    drawTree(state);
  }
  if (parts.has("events")) drawLog(state);
}

/** Draws the chart in a frame of its own, when its pause is over. */
function planChart() {
  if (charting) return;
  charting = true;
  const pause_ms = charted_ms + CHART_PAUSE_MS - performance.now();
  setTimeout(() => requestAnimationFrame(drawChart), Math.max(0, pause_ms));
}

function drawChart(now_ms) {
  charting = false;
  charted_ms = now_ms;
  if (!by("view-trade").hidden) chart.draw(page.current.state);
}

const EVERYTHING = ["node", "link", "book", "trades", "orders", "network", "events"];

function drawNode() {
  const { state } = page.current;
  const pairs = state.node?.markets.map((market) => market.pair) ?? [];
  const select = by("pair");
  if (select.options.length !== pairs.length) {
    select.replaceChildren(...pairs.map((pair) => new Option(pair, pair)));
  }
  select.value = state.pair;
  const [base, quote] = state.pair.split("/");
  by("price-unit").textContent = quote ?? "";
  by("quantity-unit").textContent = base ?? "";
  if (state.node) document.title = `${state.pair} · ${short(state.node.node)} · BitfiTech`;
}

const WORDS = {
  live: "live",
  connecting: "connecting",
  disconnected: "disconnected",
  locked: "token needed",
};

function drawLinks() {
  const { connection } = page.current;
  const link = by("link");
  link.textContent = WORDS[connection.state];
  link.className = "pill " + connection.state;
  const banner = by("banner");
  banner.hidden = connection.state === "live" || connection.attempts < 2;
  const why = connection.reason ? ` (${connection.reason})` : "";
  banner.textContent =
    `${connection.origin} cannot be reached${why}. What is shown is what was known last; ` +
    "the page tries again by itself.";
  document.body.classList.toggle("stale", !banner.hidden);
  const buttons = page.nodes.map(({ connection: other, state }, index) => {
    const button = element("button", "node " + other.state);
    button.type = "button";
    button.setAttribute("aria-pressed", String(index === page.shown));
    const name = state.node ? short(state.node.node) : new URL(other.origin).host;
    button.append(element("i", "dot " + other.state), `${index + 1} · ${name}`);
    button.append(element("span", "hidden", ` ${WORDS[other.state]}`));
    button.onclick = () => show(index);
    return button;
  });
  by("nodes").replaceChildren(...buttons);
  if (page.nodes.some((node) => node.connection.state === "locked")) askForToken();
}

function drawCounts(state) {
  const last = state.last;
  say(by("last"), last && state.market ? aligned(last.price, state.market.tick) : "–");
  by("last").className = "big " + (last ? last.taker : "");
  const stats = state.network?.stats;
  say(by("final-count"), stats ? stats.trades_final : "–");
  say(by("tentative-count"), stats ? stats.trades_tentative : "–");
}

function show(index) {
  page.shown = index;
  page.mark(...EVERYTHING);
}

function addNode(origin) {
  const connection = new Connection(origin);
  const state = new NodeState();
  page.nodes.push({ connection, state });
  const isShown = () => page.current.connection === connection;
  connection.addEventListener("message", ({ detail }) => {
    const parts = state.take(detail);
    if (detail.snapshot) addOthers(detail.snapshot.node.nodes);
    // The map and the agreement show all nodes, the rest the chosen one.
    page.mark(...(isShown() ? parts : parts.filter((part) => part === "network")));
    if (detail.snapshot) page.mark("link");
  });
  connection.addEventListener("state", () => page.mark("link"));
  connection.reconnect();
}

/** The node that serves the page says which others it may show. */
function addOthers(origins) {
  const known = page.nodes.map((node) => node.connection.origin);
  for (const origin of origins) {
    if (page.nodes[0].state.node && !known.includes(origin)) addNode(origin);
  }
}

function askForToken() {
  const dialog = by("token-dialog");
  if (!dialog.open) dialog.showModal();
}

by("token-form").onsubmit = (event) => {
  const token = new FormData(event.target).get("token");
  event.target.reset();
  for (const { connection } of page.nodes) {
    if (connection.state !== "locked") continue;
    connection.token = token;
    connection.attempts = 0;
    connection.reconnect();
  }
};

function setUpTabs() {
  const tabs = [by("tab-trade"), by("tab-network")];
  const choose = (chosen) => {
    for (const tab of tabs) {
      const is = tab === chosen;
      tab.setAttribute("aria-selected", String(is));
      tab.tabIndex = is ? 0 : -1;
      by(tab.getAttribute("aria-controls")).hidden = !is;
    }
    page.mark(...EVERYTHING);
  };
  for (const tab of tabs) {
    tab.onclick = () => choose(tab);
    tab.onkeydown = (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = tabs[1 - tabs.indexOf(tab)];
      other.focus();
      choose(other);
    };
  }
  page.showNetwork = () => choose(tabs[1]);
}

function setUpTheme() {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
  by("theme").onclick = () => {
    const light = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
    const present = document.documentElement.dataset.theme ?? light;
    const next = present === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
    chart.forget();
    page.mark("trades", "book");
  };
}

by("pair").onchange = (event) => {
  for (const { connection } of page.nodes) connection.follow(event.target.value);
};
by("ended").onchange = () => page.mark("orders");
addNode(location.origin);
setUpTabs();
setUpTheme();
setUpEntry(page);
setUpPath(page);
setUpTree(page);
setUpClocks(page);
setUpLog(page);
// A part that was hidden until now gets its size in this way too.
watchSizes([by("price"), by("depth"), by("book").parentElement], () => page.mark("trades", "book"));
// For tests of the page: how many events were lost, and where each node is.
globalThis.bitfitech = {
  gaps: () => page.nodes.map((node) => node.state.gaps),
  numbers: () => page.nodes.map((node) => node.state.number),
  breakConnections: () => page.nodes.forEach((node) => node.connection.socket.close()),
};
