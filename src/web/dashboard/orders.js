// Placing orders, and the own ones with their state.

import { aligned, element, grouped, isDecimal, multiply, orderName } from "./format.js";
import { fill, say as write } from "./rows.js";

const SHOWN = 100;
const by = (id) => document.getElementById(id);

/** Makes the form place orders on the node that is shown. */
export function setUpEntry(page) {
  const form = by("entry");
  const status = by("entry-status");
  const refresh = () => {
    const { side, type, price, quantity, tif } = Object.fromEntries(new FormData(form));
    const isMarket = (type ?? form.elements.type.value) === "market";
    form.elements.tif.disabled = isMarket;
    form.elements.price.placeholder = isMarket ? "no limit" : "0.00";
    form.elements.price.required = !isMarket;
    const base = page.current.state.pair.split("/")[0] ?? "";
    by("submit").textContent = `${side === "buy" ? "Buy" : "Sell"} ${base}`;
    by("submit").className = `submit ${side}`;
    const known = isDecimal(price ?? "") && isDecimal(quantity ?? "");
    by("value").textContent = known ? grouped(multiply(price, quantity)) : "–";
    return { side, type: form.elements.type.value, price, quantity, tif };
  };
  form.addEventListener("input", refresh);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { side, type, price, quantity, tif } = refresh();
    const order = { pair: page.current.state.pair, side, type, quantity, client_id: crypto.randomUUID() };
    if (price) order.price = price;
    if (type === "limit") order.tif = tif;
    say(status, "…", "");
    by("submit").disabled = true;
    try {
      const placed = await page.current.connection.request("POST", "/api/v1/orders", order);
      const reason = placed.reason ? `, ${placed.reason}` : "";
      say(status, `${orderName(placed.order)} is ${placed.status}${reason}; filled ${placed.filled}`, "good");
      form.elements.quantity.value = "";
      refresh();
    } catch (error) {
      say(status, error.code ? `${error.message} (${error.code})` : "The node does not answer.", "bad");
    } finally {
      by("submit").disabled = false;
    }
  });
  const keys = { b: "buy", s: "sell" };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    form.elements.side.value = keys[event.key];
    refresh();
    form.elements.price.focus();
    event.preventDefault();
  });
  new MutationObserver(refresh).observe(by("quantity-unit"), { childList: true });
  refresh();
}

function say(place, text, kind) {
  place.textContent = text;
  place.className = `status ${kind}`;
}

/** Draws the own orders, newest first. */
export function drawOrders(page, state, connection) {
  const market = state.market;
  if (!market) return;
  const withEnded = by("ended").checked;
  const isShown = (order) => order.pair === state.pair && (withEnded || order.status === "open");
  const all = [...state.orders.values()].filter(isShown);
  fill(by("orders"), all.slice(-SHOWN).reverse(), {
    key: (order) => order.order,
    cells: (order) => [
      [order.side, order.side],
      order.price === null ? "market" : aligned(order.price, market.tick),
      grouped(order.filled),
      grouped(order.quantity),
      [order.reason ? `${order.status}: ${order.reason}` : order.status, `word ${order.status}`],
      [orderName(order.order), "mono"],
      {
        sign: `${connection.origin} ${order.status === "open"}`,
        make: () => orderActions(page, connection, order),
      },
    ],
  });
  const more = all.length > SHOWN ? `the newest ${SHOWN} of ${all.length}` : "";
  write(by("orders-more"), more);
}

function orderActions(page, connection, order) {
  const actions = element("span", "actions");
  const way = element("button", "quiet", "way");
  way.type = "button";
  way.setAttribute("aria-label", `Show the way of order ${orderName(order.order)}`);
  way.onclick = () => page.showPath(order.order);
  actions.append(way);
  if (order.status === "open") actions.append(cancelButton(connection, order));
  return actions;
}

function cancelButton(connection, order) {
  const cancel = element("button", "quiet danger", "cancel");
  cancel.type = "button";
  cancel.setAttribute("aria-label", `Cancel order ${orderName(order.order)}`);
  cancel.onclick = async () => {
    cancel.disabled = true;
    try {
      await connection.request("DELETE", `/api/v1/orders/${order.order}`);
    } catch (error) {
      say(by("entry-status"), error.message, "bad");
      cancel.disabled = false;
    }
  };
  return cancel;
}
