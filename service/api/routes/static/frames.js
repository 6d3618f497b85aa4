// Working with the browser's frames: no more often than they are drawn, and at their end.

/** A function that runs `work` in the next frame, once, however often it is called before. */
export function oncePerFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

/** Whoever reads at the end stays there when the page grows; whoever has scrolled up stays, too. */
export function followingTheEnd(change) {
  const page = document.documentElement;
  const following = innerHeight + scrollY >= page.scrollHeight - 80;
  change();
  if (following) scrollTo({ top: page.scrollHeight });
}
