// The price as candles of final and tentative trades, with the volume below (drawn by uPlot).

import { clockTime, element, grouped } from "./format.js";
import { sizeOf } from "./sizes.js";

const INTERVALS = [
  ["1s", 1],
  ["10s", 10],
  ["1m", 60],
  ["15m", 900],
];
const CANDLES_MAX = 120;
const CANDLES_WIDE = 45;
const TIME_STEPS_S = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

/** The chart of one market. */
export class Chart {
  constructor(place, empty, intervals, redraw) {
    this.place = place;
    this.empty = empty;
    this.seconds = 10;
    this.plot = null;
    this.colours = null;
    const buttons = INTERVALS.map(([name, seconds]) => {
      const button = element("button", "", name);
      button.type = "button";
      button.setAttribute("aria-pressed", String(seconds === this.seconds));
      button.onclick = () => {
        this.seconds = seconds;
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        redraw();
      };
      return button;
    });
    intervals.replaceChildren(...buttons);
  }

  /** Colours have changed: the chart is made anew with the next trade. */
  forget() {
    this.plot?.destroy();
    this.plot = null;
    this.colours = null;
  }

  /** Draws the trades of a node. */
  draw(state) {
    const candles = this.candles(state.standing);
    this.empty.hidden = candles.length > 0;
    this.place.hidden = candles.length === 0;
    if (candles.length === 0) return this.forget();
    const column = (field) => candles.map((candle) => candle[field]);
    const data = ["time", "open", "high", "low", "close", "volume"].map(column);
    const size = sizeOf(this.place);
    // Of a place that was hidden until now nothing is known yet: its size comes in a moment.
    if (size.width === 0) return;
    if (!this.plot) {
      this.plot = new globalThis.uPlot(this.options(size), data, this.place);
      return;
    }
    if (this.plot.width !== size.width || this.plot.height !== size.height) {
      this.plot.setSize(size);
    }
    this.plot.setData(data);
  }

  options(size) {
    const wide = (_, low, high) => {
      const begin = Math.min(low, high - CANDLES_WIDE * this.seconds);
      return [begin - this.seconds, high + 2 * this.seconds];
    };
    this.colours = colours();
    const draw = (plot) => drawCandles(plot, this.seconds, this.colours);
    return options(size, wide, draw, this.colours);
  }

  candles(trades) {
    const candles = [];
    for (const trade of trades) {
      const time = Math.floor(trade.time_ms / 1000 / this.seconds) * this.seconds;
      const [price, volume] = [Number(trade.price), Number(trade.quantity)];
      const last = candles.at(-1);
      if (last?.time === time) {
        last.high = Math.max(last.high, price);
        last.low = Math.min(last.low, price);
        last.close = price;
        last.volume += volume;
      } else {
        candles.push({ time, open: price, high: price, low: price, close: price, volume });
      }
    }
    return candles.slice(-CANDLES_MAX);
  }
}

/** The colours of the present theme; to ask for one is to compute all styles. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  return { line: colour("--line"), text: colour("--muted"), up: colour("--buy"), down: colour("--sell") };
}

function options(size, range, draw, { line, text }) {
  const font = "11px system-ui, sans-serif";
  const axis = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  const hidden = { paths: () => null, points: { show: false } };
  return {
    ...size,
    padding: [8, 0, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: {
      x: { time: true, range },
      y: { range: (_, low, high) => padded(low, high) },
      volume: { range: (_, low, high) => [0, (high || 1) * 5] },
    },
    axes: [
      { ...axis, size: 28, values: (_, splits) => splits.map((time) => clockTime(time * 1000)), space: 90, incrs: TIME_STEPS_S },
      { ...axis, side: 1, size: 72, values: (_, splits) => splits.map((price) => grouped(String(price))) },
      { scale: "volume", show: false },
    ],
    series: [{}, hidden, hidden, hidden, hidden, { ...hidden, scale: "volume" }],
    hooks: { draw: [draw] },
  };
}

function padded(low, high) {
  const room = (high - low) * 0.1 || Math.abs(high) * 0.001 || 1;
  return [low - room, high + room];
}

function drawCandles(plot, seconds, { up, down }) {
  const { ctx } = plot;
  const [times, open, high, low, close, volume] = plot.data;
  const step = plot.valToPos(times[0] + seconds, "x", true) - plot.valToPos(times[0], "x", true);
  const width = Math.max(2, step * 0.66);
  ctx.save();
  ctx.lineWidth = Math.max(1, devicePixelRatio);
  for (let at = 0; at < times.length; at += 1) {
    const x = plot.valToPos(times[at], "x", true);
    const y = (value) => plot.valToPos(value, "y", true);
    ctx.fillStyle = close[at] >= open[at] ? up : down;
    ctx.strokeStyle = ctx.fillStyle;
    const base = plot.valToPos(0, "volume", true);
    const top = plot.valToPos(volume[at], "volume", true);
    ctx.globalAlpha = 0.25;
    ctx.fillRect(x - width / 2, top, width, base - top);
    ctx.globalAlpha = 1;
    ctx.beginPath();
    ctx.moveTo(x, y(high[at]));
    ctx.lineTo(x, y(low[at]));
    ctx.stroke();
    const body = Math.max(2, Math.abs(y(open[at]) - y(close[at])));
    ctx.fillRect(x - width / 2, Math.min(y(open[at]), y(close[at])), width, body);
  }
  ctx.restore();
}
