// How large the pictures are, as the browser tells: to ask in the middle of drawing would make it
// lay out everything there and then.

const sizes = new WeakMap();
const NONE = { width: 0, height: 0 };

/** Calls `changed` whenever one of these elements has another size. */
export function watchSizes(elements, changed) {
  const observer = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      sizes.set(target, { width: contentRect.width, height: contentRect.height });
    }
    changed();
  });
  for (const watched of elements) observer.observe(watched);
}

/** The size of an element that is watched; nothing while it is hidden. */
export function sizeOf(watched) {
  return sizes.get(watched) ?? NONE;
}
