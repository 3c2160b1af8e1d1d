// A phone on a slow line sees the page before it has more than the page itself: the first paint waits for neither the
// style nor the script. `cargo xtask test browser::the_first_paint` with PRINT=1 prints the figures.
import assert from "node:assert/strict";
import { BASE_URL, PHONE, SESSION, withBrowser } from "./page.mjs";

/** Slow 4G as browsers' tools have it: milliseconds until an answer begins, and bytes a second. */
const LATENCY = 562.5;
const DOWN = 1_600_000 / 8;
const UP = 750_000 / 8;
/** A processor of the middle, beside this one. */
const SLOWER = 4;

await withBrowser(async (browser) => {
  const context = await browser.newContext(PHONE);
  const page = await context.newPage();
  page.setDefaultTimeout(90_000);
  const inspector = await context.newCDPSession(page);
  await inspector.send("Network.enable");
  await inspector.send("Network.emulateNetworkConditions", { offline: false, latency: LATENCY, downloadThroughput: DOWN, uploadThroughput: UP });
  await inspector.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
  await page.goto(`${BASE_URL}/demo/${SESSION}`, { waitUntil: "commit" });
  await page.getByTestId("composer").waitFor();
  const times = await page.evaluate(() => {
    const of = (end) => performance.getEntriesByType("resource").filter(({ name }) => name.endsWith(end)).map(({ responseEnd }) => responseEnd);
    const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
    const shift = performance.getEntriesByType("navigation")[0].responseEnd;
    return { paint, page: shift, style: Math.min(...of(".css")), script: Math.min(...of(".js")), usable: performance.now() };
  });
  if (process.env.PRINT) console.error(Object.entries(times).map(([name, ms]) => `${name} ${Math.round(ms)} ms`).join(", "));
  assert.ok(Number.isFinite(times.style) && Number.isFinite(times.script), "both are fetched");
  // On a machine that is busy with other things a paint comes late; it is never to wait for the style.
  assert.ok(times.paint < times.style || times.paint < 1_000, JSON.stringify(times));
  assert.ok(times.style <= times.script, `the style is not behind the script: ${JSON.stringify(times)}`);
});
