// An hour of streaming, told fast: what the page keeps of it is what was said, and not each piece in which it came.
import assert from "node:assert/strict";
import { DESKTOP, ended, open, say, withBrowser } from "./page.mjs";

/** Words of a turn, and turns: at fifty words a second these are an hour. */
const WORDS = 15_000;
const TURNS = 12;
/** The page's own growth besides the text, and what it may need for a character of that. */
const MOST_GROWTH = 12 * 1024 * 1024;
const PER_CHARACTER = 40;

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const inspector = await page.context().newCDPSession(page);
  await inspector.send("Performance.enable");
  const measure = async () => {
    await inspector.send("HeapProfiler.collectGarbage");
    const { metrics } = await inspector.send("Performance.getMetrics");
    const of = (name) => metrics.find((one) => one.name === name).value;
    return { heap: of("JSHeapUsedSize"), nodes: of("Nodes"), listeners: of("JSEventListeners") };
  };
  const turn = async (at) => {
    await say(page, `stream ${WORDS} words every 0 ms`);
    assert.equal(await ended(page, at), "completed");
  };
  // What is fetched and compiled once is no growth.
  await turn(1);
  await turn(2);
  const before = await measure();
  for (let at = 3; at <= TURNS; at += 1) await turn(at);
  const after = await measure();
  const said = (await page.locator(".log").textContent()).length;
  const grown = after.heap - before.heap;
  if (process.env.PRINT) {
    console.error(
      `${TURNS} turns, ${said} characters: ${(grown / 1024 / 1024).toFixed(1)} MiB more of ${(before.heap / 1024 / 1024).toFixed(1)}, ` +
        `${after.nodes - before.nodes} nodes, ${after.listeners - before.listeners} listeners`,
    );
  }
  assert.ok(said > TURNS * WORDS * 6, "all of it is there");
  assert.ok(grown < MOST_GROWTH + PER_CHARACTER * said, `the page has grown by ${grown} bytes`);
  // Nothing that is no longer seen is held: a turn has its share of nodes, not of those of the turns before.
  assert.ok(after.nodes - before.nodes < TURNS * 400, `there are ${after.nodes} nodes`);
  nothingWrong();
});
