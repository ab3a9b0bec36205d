// The tape: trades as they come, and whether they can still change.

import { aligned, clockTime, element, grouped, orderName } from "./format.js";
import { fill } from "./rows.js";

const SHOWN = 60;
const by = (id) => document.getElementById(id);

const WORDS = { final: "final", tentative: "tentative", amended: "tentative, amended", busted: "busted" };

/** Draws the newest trades, newest first. */
export function drawTape(page, state) {
  const market = state.market;
  if (!market) return;
  fill(by("tape"), state.byTime.slice(-SHOWN).reverse(), {
    key: (trade) => trade.id,
    kind: (trade) => trade.status,
    cells: (trade) => [
      [clockTime(trade.time_ms), "muted"],
      {
        sign: `${trade.taker} ${trade.price} ${market.tick} ${taker(trade)}`,
        make: () => priceButton(page, trade, market),
      },
      grouped(trade.quantity),
      { sign: `${trade.status} ${trade.unsafe}`, make: () => stateMark(trade) },
    ],
  });
}

function stateMark(trade) {
  const mark = element("span", "state");
  mark.append(element("i", `dot ${trade.status}`), WORDS[trade.status] ?? trade.status);
  if (trade.unsafe) mark.append(element("b", "bad", " unsafe"));
  return mark;
}

function priceButton(page, trade, market) {
  const price = element("button", `price-button ${trade.taker}`, aligned(trade.price, market.tick));
  price.type = "button";
  price.title = `Show the way of the taker's order ${orderName(taker(trade))}`;
  price.onclick = () => page.showPath(taker(trade));
  return price;
}

function taker(trade) {
  return trade.taker === "buy" ? trade.buy : trade.sell;
}
