// The book as two ladders, and its depth as a picture.

import { add, aligned, drawn, element, grouped, short, subtract } from "./format.js";

const ROW_PX = 23;
const by = (id) => document.getElementById(id);

/** Draws book, best prices and depth. */
export function drawBook(state) {
  const { book, market } = state;
  if (!book || !market) return;
  const asks = summed(book.asks);
  const bids = summed(book.bids);
  const count = levelsThatFit();
  const shownAsks = asks.slice(0, count);
  const shownBids = bids.slice(0, count);
  const most = Math.max(...[...shownAsks, ...shownBids].map((level) => Number(level.total)), 0);
  const rows = (levels, side) => levels.map((level) => levelRow(level, side, most, market));
  by("asks").replaceChildren(...rows(shownAsks, "sell").reverse());
  by("bids").replaceChildren(...rows(shownBids, "buy"));
  const [bid, ask] = [bids[0]?.price, asks[0]?.price];
  by("best-bid").textContent = bid ? aligned(bid, market.tick) : "–";
  by("best-ask").textContent = ask ? aligned(ask, market.tick) : "–";
  by("spread").textContent = bid && ask ? grouped(subtract(ask, bid)) : "–";
  by("mid").textContent = bid && ask ? `spread ${grouped(subtract(ask, bid))}` : emptyWords(bid, ask);
  by("book-digest").textContent = `digest ${short(book.digest)}`;
  drawDepth(bids, asks);
}

/** How many levels of each side fit, so that the middle is always in sight. */
function levelsThatFit() {
  const height = by("book").parentElement.clientHeight - 2.5 * ROW_PX;
  return Math.max(5, Math.min(25, Math.floor(height / 2 / ROW_PX)));
}

function emptyWords(bid, ask) {
  if (!bid && !ask) return "the book is empty";
  return bid ? "nobody sells" : "nobody buys";
}

function summed(levels) {
  let total = "0";
  return levels.map(([price, quantity, orders]) => {
    total = add(total, quantity);
    return { price, quantity, orders, total };
  });
}

function levelRow(level, side, most, market) {
  const row = element("tr", side);
  const price = element("td");
  const take = element("button", "price-button", aligned(level.price, market.tick));
  take.type = "button";
  take.title = `${level.orders} orders: take this price into the form`;
  take.onclick = () => {
    const form = by("entry");
    form.elements.price.value = level.price;
    form.elements.price.dispatchEvent(new Event("input", { bubbles: true }));
    form.elements.quantity.focus();
  };
  price.append(take);
  row.append(price, element("td", "", grouped(level.quantity)), element("td", "", grouped(level.total)));
  const share = most > 0 ? (100 * Number(level.total)) / most : 0;
  row.style.setProperty("--share", share.toFixed(1) + "%");
  return row;
}

function drawDepth(bids, asks) {
  const svg = by("depth");
  const isEmpty = bids.length + asks.length === 0;
  by("depth-empty").hidden = !isEmpty;
  svg.replaceChildren();
  if (isEmpty) return;
  const { width, height } = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const prices = [...bids, ...asks].map((level) => Number(level.price));
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const span = high - low || high * 0.01 || 1;
  const [from, to] = [low - span * 0.05, high + span * 0.05];
  const most = Math.max(Number(bids.at(-1)?.total ?? 0), Number(asks.at(-1)?.total ?? 0));
  const x = (price) => ((Number(price) - from) / (to - from)) * width;
  const y = (total) => height - 18 - (Number(total) / most) * (height - 30);
  const area = (levels, side, end) => {
    if (levels.length === 0) return;
    const base = height - 18;
    let path = `M ${x(levels[0].price)} ${base}`;
    let before = base;
    for (const level of levels) {
      path += ` L ${x(level.price)} ${before} L ${x(level.price)} ${y(level.total)}`;
      before = y(level.total);
    }
    path += ` L ${end} ${before}`;
    svg.append(drawn("path", { d: `${path} L ${end} ${base} Z`, class: `depth-area ${side}` }));
    svg.append(drawn("path", { d: path, class: `depth-line ${side}` }));
  };
  area(bids, "buy", 0);
  area(asks, "sell", width);
  const label = (price, anchor, at) =>
    svg.append(drawn("text", { x: at, y: height - 4, "text-anchor": anchor }, grouped(price)));
  label(String(low), "start", Math.max(2, x(low) - 20));
  if (high !== low) label(String(high), "end", Math.min(width - 2, x(high) + 20));
  svg.append(drawn("text", { x: 4, y: 12 }, grouped(String(most))));
}
