// The book as two ladders, and its depth as a picture.

import { add, aligned, drawn, element, grouped, short, subtract } from "./format.js";
import { fillBody, say } from "./rows.js";
import { sizeOf } from "./sizes.js";

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
  const rows = (side) => ladder(side, most, market);
  fillBody(by("asks"), shownAsks.reverse(), rows("sell"));
  fillBody(by("bids"), shownBids, rows("buy"));
  const [bid, ask] = [bids[0]?.price, asks[0]?.price];
  say(by("best-bid"), bid ? aligned(bid, market.tick) : "–");
  say(by("best-ask"), ask ? aligned(ask, market.tick) : "–");
  say(by("spread"), bid && ask ? grouped(subtract(ask, bid)) : "–");
  say(by("mid"), bid && ask ? `spread ${grouped(subtract(ask, bid))}` : emptyWords(bid, ask));
  say(by("book-digest"), `digest ${short(book.digest)}`);
  drawDepth(bids, asks);
}

/** How many levels of each side fit, so that the middle is always in sight. */
function levelsThatFit() {
  const height = sizeOf(by("book").parentElement).height - 2.5 * ROW_PX;
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

/** How the levels of a side become rows. */
function ladder(side, most, market) {
  return {
    key: (level) => level.price,
    kind: () => side,
    cells: (level) => [
      {
        sign: `${level.price} ${level.orders} ${market.tick}`,
        make: () => priceButton(level, market),
      },
      grouped(level.quantity),
      grouped(level.total),
    ],
    dress: (row, level) => {
      const share = most > 0 ? (100 * Number(level.total)) / most : 0;
      const text = share.toFixed(1) + "%";
      if (row.style.getPropertyValue("--share") !== text) row.style.setProperty("--share", text);
    },
  };
}

function priceButton(level, market) {
  const take = element("button", "price-button", aligned(level.price, market.tick));
  take.type = "button";
  take.title = `${level.orders} orders: take this price into the form`;
  take.onclick = () => {
    const form = by("entry");
    form.elements.price.value = level.price;
    form.elements.price.dispatchEvent(new Event("input", { bubbles: true }));
    form.elements.quantity.focus();
  };
  return take;
}

/** The parts of the picture of the depth; they are made once. */
let picture = null;

function parts() {
  if (picture) return picture;
  const path = (kind) => drawn("path", { class: kind });
  const text = (attributes) => drawn("text", attributes);
  picture = {
    buy: [path("depth-area buy"), path("depth-line buy")],
    sell: [path("depth-area sell"), path("depth-line sell")],
    low: text({ "text-anchor": "start" }),
    high: text({ "text-anchor": "end" }),
    most: text({ x: 4, y: 12 }),
  };
  by("depth").append(...Object.values(picture).flat());
  return picture;
}

function drawDepth(bids, asks) {
  const svg = by("depth");
  const isEmpty = bids.length + asks.length === 0;
  by("depth-empty").hidden = !isEmpty;
  svg.toggleAttribute("hidden", isEmpty);
  const { width, height } = sizeOf(svg);
  if (isEmpty || width === 0) return;
  set(svg, "viewBox", `0 0 ${width} ${height}`);
  const prices = [...bids, ...asks].map((level) => Number(level.price));
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const span = high - low || high * 0.01 || 1;
  const [from, to] = [low - span * 0.05, high + span * 0.05];
  const most = Math.max(Number(bids.at(-1)?.total ?? 0), Number(asks.at(-1)?.total ?? 0));
  const base = height - 18;
  const x = (price) => Math.round(((Number(price) - from) / (to - from)) * width * 10) / 10;
  const y = (total) => Math.round((base - (Number(total) / most) * (height - 30)) * 10) / 10;
  const stairs = ([area, line], levels, end) => {
    let path = levels.length === 0 ? "" : `M ${x(levels[0].price)} ${base}`;
    let before = base;
    for (const level of levels) {
      const [across, up] = [x(level.price), y(level.total)];
      path += ` L ${across} ${before} L ${across} ${up}`;
      before = up;
    }
    if (path) path += ` L ${end} ${before}`;
    set(line, "d", path);
    set(area, "d", path && `${path} L ${end} ${base} Z`);
  };
  const { buy, sell, low: left, high: right, most: top } = parts();
  stairs(buy, bids, 0);
  stairs(sell, asks, width);
  label(left, grouped(String(low)), Math.max(2, x(low) - 20), height - 4);
  const rightmost = Math.min(width - 2, x(high) + 20);
  label(right, high === low ? "" : grouped(String(high)), rightmost, height - 4);
  say(top, grouped(String(most)));
}

function label(text, words, x, y) {
  say(text, words);
  set(text, "x", String(x));
  set(text, "y", String(y));
}

function set(place, name, value) {
  if (place.getAttribute(name) !== value) place.setAttribute(name, value);
}
