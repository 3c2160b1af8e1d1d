// Two hundred words a second: each is on the screen with the second frame that is drawn after it came, what a word
// costs does not grow with what was said before, and nothing but the last block is touched.
import assert from "node:assert/strict";
import { DESKTOP, ended, open, say, withBrowser } from "./page.mjs";

const WORDS = 4_000;
/** Frames between a word's arrival and its paint: the one that is being drawn, and the next. */
const MOST_FRAMES = 2;

/** A task of the page's that is longer is felt. */
const LONG_MS = 100;

/** Runs in the page before all else: notes when words come, and when they are in the document. */
function watch(LONG_MS) {
  const seen = { frame: 0, words: [], shown: 0, touched: [], late: [], longest: 0, overlong: 0 };
  window.watched = seen;
  const count = () => {
    seen.frame += 1;
    requestAnimationFrame(count);
  };
  requestAnimationFrame(count);
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => {
        if (!data.includes('"type":"progress"')) return;
        for (const [, number] of data.matchAll(/word(\d+)/g)) seen.words.push([Number(number), seen.frame]);
      });
    }
  };
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      seen.longest = Math.max(seen.longest, duration);
      if (duration > LONG_MS) seen.overlong += 1;
    }
  }).observe({ type: "longtask" });
  document.addEventListener("DOMContentLoaded", () => {
    new MutationObserver((changes) => {
      const said = document.querySelector('[data-testid="turn"]:last-of-type [data-testid="message-assistant"]:last-of-type');
      if (said === null) return;
      let nodes = 0;
      for (const change of changes) {
        if (said.contains(change.target)) nodes += 1 + change.addedNodes.length + change.removedNodes.length;
      }
      if (nodes === 0) return;
      const last = Number(/word(\d+)\D*$/.exec(said.textContent)?.[1] ?? 0);
      while (seen.words.length > 0 && seen.words[0][0] <= last) {
        const [, frame] = seen.words.shift();
        seen.late.push(seen.frame - frame);
        seen.shown += 1;
      }
      seen.touched.push([last, nodes]);
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
}

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  await page.addInitScript(watch, LONG_MS);
  await page.reload();
  await page.locator(`[data-testid="connection"][data-state="live"]`).waitFor();
  await say(page, `stream ${WORDS} words every 5 ms`);
  assert.equal(await ended(page, 1), "completed");
  const { frame, shown, late, touched, longest, overlong } = await page.evaluate(() => window.watched);
  assert.ok(shown > WORDS * 0.9, `${shown} words were seen coming and going`);

  const onTime = late.filter((frames) => frames <= MOST_FRAMES).length;
  const average = (from, to) => {
    const part = touched.filter(([last]) => last >= from && last < to);
    return part.reduce((sum, [, nodes]) => sum + nodes, 0) / Math.max(1, part.length);
  };
  const [begin, end] = [average(0, WORDS / 4), average((WORDS * 3) / 4, WORDS + 1)];
  if (process.env.PRINT) {
    console.error(
      `${shown} words, ${((onTime / shown) * 100).toFixed(2)} % within ${MOST_FRAMES} frames (at worst ${Math.max(...late)}); ` +
        `${begin.toFixed(1)} nodes touched a drawing at first, ${end.toFixed(1)} at last; longest task ${Math.round(longest)} ms, ` +
        `${overlong} over ${LONG_MS} ms in ${frame} frames`,
    );
  }
  // How many are late depends on what else the machine has to do; PRINT tells.
  assert.ok(onTime / shown > 0.8, `${onTime} of ${shown} words came within ${MOST_FRAMES} frames; at worst ${Math.max(...late)}`);
  // The same of tasks: what else runs may hold one up, but not one in a hundred frames.
  assert.ok(overlong < frame / 100, `${overlong} tasks took over ${LONG_MS} ms in ${frame} frames, at worst ${Math.round(longest)} ms`);
  assert.ok(end < 2 * begin + 10, `a drawing touches ${begin} nodes at first and ${end} at last`);
  nothingWrong();
});
