// Amounts and ids as people read them. Amounts stay texts: a float would round them.

/** The sum of two decimal texts, exact. */
export function add(left, right) {
  const places = Math.max(decimals(left), decimals(right));
  const sum = scaled(left, places) + scaled(right, places);
  return unscaled(sum, places);
}

/** The product of two decimal texts, exact. */
export function multiply(left, right) {
  const places = decimals(left) + decimals(right);
  return unscaled(scaled(left, decimals(left)) * scaled(right, decimals(right)), places);
}

/** Left minus right, exact. */
export function subtract(left, right) {
  const places = Math.max(decimals(left), decimals(right));
  return unscaled(scaled(left, places) - scaled(right, places), places);
}

/** Whether a text is a plain decimal number. */
export function isDecimal(text) {
  return /^\d+(\.\d+)?$/.test(text);
}

function decimals(text) {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

function scaled(text, places) {
  const [whole, part = ""] = text.split(".");
  return BigInt(whole + part.padEnd(places, "0"));
}

function unscaled(number, places) {
  const sign = number < 0n ? "-" : "";
  const digits = (number < 0n ? -number : number).toString().padStart(places + 1, "0");
  if (places === 0) return sign + digits;
  const part = digits.slice(-places).replace(/0+$/, "");
  return sign + digits.slice(0, -places) + (part ? "." + part : "");
}

/** A price or quantity with separators between thousands. */
export function grouped(text) {
  if (text === null || text === undefined) return "–";
  const [whole, part] = text.split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
  return part === undefined ? spaced : spaced + "." + part;
}

/** A text with as many places as the step of its market has. */
export function aligned(text, step) {
  const places = decimals(step);
  if (places === 0) return grouped(text);
  const [whole, part = ""] = text.split(".");
  return grouped(whole + "." + part.padEnd(places, "0"));
}

/** The beginning of an id. */
export function short(id) {
  return id ? id.slice(0, 8) : "–";
}

/** The name of an order, as the console has it: those of one operation differ in their number. */
export function orderName(id) {
  const index = id ? parseInt(id.slice(-2), 16) : 0;
  return index ? `${short(id)}.${index}` : short(id);
}

// Made once: to make one for each text would cost more than all the rest of a row.
const CLOCK = new Intl.DateTimeFormat([], { timeStyle: "medium", hourCycle: "h23" });

/** The time of day of a moment. */
export function clockTime(milliseconds) {
  return CLOCK.format(milliseconds);
}

/** Makes an element with a class and a text. */
export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** Makes an element of SVG with attributes. */
export function drawn(name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}
