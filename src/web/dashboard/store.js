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
    this.orders = new Map();
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
    const open = (snapshot.orders ?? []).map((order) => [order.order, order]);
    const ended = [...this.orders.values()].filter((order) => order.status !== "open");
    this.orders = new Map([...ended.map((order) => [order.order, order]), ...open]);
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
    if (this.trades.size > TRADES_MAX) this.trades.delete(this.trades.keys().next().value);
  }

  order(event) {
    this.orders.set(event.order, event);
    const ended = [...this.orders.values()].filter((order) => order.status !== "open");
    const excess = ended.slice(0, Math.max(0, ended.length - ENDED_MAX));
    for (const order of excess) this.orders.delete(order.order);
  }

  /** The market that is shown. */
  get market() {
    return this.node?.markets.find((market) => market.pair === this.pair);
  }

  /** Trades that stand, oldest first. */
  get standing() {
    const standing = [...this.trades.values()].filter((trade) => trade.status !== "busted");
    return standing.sort((left, right) => left.time_ms - right.time_ms);
  }
}
