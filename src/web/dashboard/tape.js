// The tape: trades as they come, and whether they can still change.

import { aligned, clockTime, element, fill, grouped, row, short } from "./format.js";

const SHOWN = 60;
const by = (id) => document.getElementById(id);

const WORDS = { final: "final", tentative: "tentative", amended: "tentative, amended", busted: "busted" };

/** Draws the newest trades, newest first. */
export function drawTape(page, state) {
  const market = state.market;
  if (!market) return;
  const trades = [...state.trades.values()].sort((left, right) => right.time_ms - left.time_ms);
  const rows = trades.slice(0, SHOWN).map((trade) => {
    const mark = element("span", "state");
    mark.append(element("i", `dot ${trade.status}`), WORDS[trade.status] ?? trade.status);
    if (trade.unsafe) mark.append(element("b", "bad", " unsafe"));
    const price = element("button", `price-button ${trade.taker}`, aligned(trade.price, market.tick));
    price.type = "button";
    price.title = `Show the way of the taker's order ${short(taker(trade))}`;
    price.onclick = () => page.showPath(taker(trade));
    return row([[clockTime(trade.time_ms), "muted"], price, grouped(trade.quantity), mark], trade.status);
  });
  fill(by("tape"), rows);
}

function taker(trade) {
  return trade.taker === "buy" ? trade.buy : trade.sell;
}
