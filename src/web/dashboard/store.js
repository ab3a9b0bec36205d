// What the page knows of one node: the snapshot, and what the events since have changed.

const TRADES_MAX = 1_000;
const ENDED_MAX = 100;
const EVENTS_MAX = 500;

/** The state of a node as its stream tells it. */
export class NodeState {
  constructor() {
    this.node = null;
    this.pair = "";
    this.book = null;
    this.network = null;
    this.trades = new Map();
    this.ordered = null;
    this.orders = new Map();
    this.ended = new Set();
    this.events = [];
    this.gaps = 0;
    this.number = null;
  }

  /** Takes a message in, and tells which parts of the page it concerns. */
  take(message) {
    if (message.snapshot) return this.begin(message.snapshot);
    if (message.state === "book") {
      this.book = message;
      return ["book"];
    }
    if (message.state === "network") {
      this.network = message;
      return ["network"];
    }
    if (message.event) return this.happen(message);
    return [];
  }

  begin(snapshot) {
    this.number = snapshot.number;
    this.node = snapshot.node;
    this.pair = snapshot.pair;
    this.book = snapshot.book;
    this.trades = new Map((snapshot.trades ?? []).map((trade) => [trade.id, trade]));
    this.ordered = null;
    const open = (snapshot.orders ?? []).map((order) => [order.order, order]);
    const ended = [...this.orders].filter(([id]) => this.ended.has(id));
    this.orders = new Map([...ended, ...open]);
    for (const [id] of open) this.ended.delete(id);
    return ["node", "book", "trades", "orders", "network", "events"];
  }

  happen(event) {
    if (this.number !== null && event.number !== this.number + 1) this.gaps += 1;
    this.number = event.number;
    this.events.push(event);
    if (this.events.length > EVENTS_MAX) this.events.shift();
    if (event.event === "trade") this.trade(event);
    if (event.event === "order") this.order(event);
    return ["events", event.event === "trade" ? "trades" : "", event.event === "order" ? "orders" : ""];
  }

  trade(event) {
    if (event.pair !== this.pair) return;
    this.trades.set(event.id, event);
    this.ordered = null;
    if (this.trades.size > TRADES_MAX) this.trades.delete(this.trades.keys().next().value);
  }

  order(event) {
    this.orders.set(event.order, event);
    if (event.status === "open") {
      this.ended.delete(event.order);
      return;
    }
    this.ended.add(event.order);
    if (this.ended.size <= ENDED_MAX) return;
    const [oldest] = this.ended;
    this.ended.delete(oldest);
    this.orders.delete(oldest);
  }

  /** The market that is shown. */
  get market() {
    return this.node?.markets.find((market) => market.pair === this.pair);
  }

  /** The trades, oldest first; put in order once for each change. */
  get byTime() {
    this.ordered ??= [...this.trades.values()].sort((left, right) => left.time_ms - right.time_ms);
    return this.ordered;
  }

  /** Trades that stand, oldest first. */
  get standing() {
    return this.byTime.filter((trade) => trade.status !== "busted");
  }

  /** The newest trade that stands. */
  get last() {
    return this.byTime.findLast((trade) => trade.status !== "busted");
  }
}
