// Work that depends on the browser's frames and on the scroll position.

/** Returns a function that runs `work` in the next frame; several calls before it run it once. */
export function throttleToFrames(work) {
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      work();
    });
  };
}

/** Runs `change`, which makes the page longer, and stays at the end if the reader was there. */
export function keepScrolledToEnd(change) {
  const page = document.documentElement;
  const atEnd = innerHeight + scrollY >= page.scrollHeight - 80;
  change();
  if (atEnd) scrollTo({ top: page.scrollHeight });
}
