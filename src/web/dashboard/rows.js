// Tables whose rows stay: what is as it was costs nothing, and the keyboard's place is kept.
//
// A cell is a text, a pair of text and class, or a part: { sign, make }, an element that is made
// anew when its sign changes.

import { element } from "./format.js";

const shown = new WeakMap();

/** Sets a text, if it is another one. */
export function say(place, text) {
  const words = String(text);
  if (place.textContent !== words) place.textContent = words;
}

/** Shows items in the body of a table, in this order; equal keys keep their row. */
export function fillBody(body, items, { key, cells, kind = () => "", dress = () => {} }) {
  const before = shown.get(body) ?? new Map();
  const names = items.map(key);
  const wanted = new Set(names);
  for (const [name, { row }] of before) {
    if (!wanted.has(name)) row.remove();
  }
  const after = new Map();
  let next = body.firstElementChild;
  items.forEach((item, at) => {
    const entry = before.get(names[at]) ?? { row: element("tr"), cells: [], item: null };
    // What the page knows of an item is another object when it has changed.
    if (entry.item !== item) {
      write(entry, cells(item));
      mark(entry.row, kind(item));
      dress(entry.row, item);
      entry.item = item;
    }
    after.set(names[at], entry);
    if (entry.row === next) next = next.nextElementSibling;
    else body.insertBefore(entry.row, next);
  });
  shown.set(body, after);
}

/** The same for a table, and the text below it when there are none. */
export function fill(table, items, how) {
  fillBody(table.tBodies[0], items, how);
  const isEmpty = items.length === 0;
  if (table.hidden !== isEmpty) table.hidden = isEmpty;
  const empty = table.parentElement.querySelector(":scope > .empty");
  if (empty && empty.hidden === isEmpty) empty.hidden = !isEmpty;
}

function write(entry, cells) {
  cells.forEach((cell, at) => {
    const data = entry.row.cells[at] ?? entry.row.insertCell();
    const before = entry.cells[at];
    if (typeof cell === "string") {
      if (cell !== before) data.textContent = cell;
    } else if (Array.isArray(cell)) {
      if (cell[0] !== before?.[0]) data.textContent = cell[0];
      mark(data, cell[1]);
    } else if (cell.sign !== before?.sign) data.replaceChildren(cell.make());
  });
  entry.cells = cells;
}

function mark(place, kind) {
  if (place.className !== kind) place.className = kind;
}
