// One turn of five thousand calls: it opens at its end, only what is near is in the document, and scrolling through
// it draws a piece at a time.
import assert from "node:assert/strict";
import { DESKTOP, open, withBrowser } from "./page.mjs";

const CALLS = 5_000;
/** Elements that the log may hold when it is opened, and those that a screen further may add. */
const AT_FIRST = 25_000;

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const scroller = page.locator("main.scroller");
  await page.getByTestId("turn-end").waitFor();
  const cards = page.getByTestId("tool-card");
  const far = () => page.getByTestId("older").count();
  // All of the turn is fetched, page after page, by going to the top.
  await page.evaluate(() => {
    window.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
    }).observe({ type: "longtask" });
  });
  for (let step = 0; step < 400 && (await far()) > 0; step += 1) {
    await scroller.evaluate((one) => (one.scrollTop = 0));
    await page.waitForTimeout(50);
  }
  assert.equal(await far(), 0, "all of it is fetched");
  await page.getByTestId("message-user").filter({ hasText: "run very much" }).waitFor();
  const loading = await page.evaluate(() => window.longest);

  // Opened anew it is at its end, and holds a small part of its calls as elements.
  await page.reload();
  await page.getByTestId("turn-end").waitFor();
  assert.ok(await scroller.evaluate((one) => one.scrollHeight - one.scrollTop - one.clientHeight < 48), "it opens at its end");
  const drawn = await cards.count();
  assert.ok(drawn < CALLS / 10, `${drawn} of ${CALLS} calls are drawn`);
  assert.ok((await page.locator(".log *").count()) < AT_FIRST);
  while ((await far()) > 0) {
    await scroller.evaluate((one) => (one.scrollTop = 0));
    await page.waitForTimeout(50);
  }
  await scroller.evaluate((one) => (one.scrollTop = one.scrollHeight));

  // From its end to its beginning by the wheel: each step draws what comes near and nothing else, what is on the
  // screen is never empty.
  await page.evaluate(() => (window.longest = 0));
  const before = await cards.count();
  let most = 0;
  let known = before;
  await scroller.hover();
  for (let step = 0; step < 150; step += 1) {
    await page.mouse.wheel(0, -900);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    const now = await cards.count();
    most = Math.max(most, now - known);
    known = now;
  }
  const scrolled = await scroller.evaluate((one) => one.scrollHeight - one.scrollTop);
  const inView = await page.evaluate(() => {
    const { top, bottom } = document.querySelector("main.scroller").getBoundingClientRect();
    return [...document.querySelectorAll('[data-testid="tool-card"]')].filter((card) => {
      const place = card.getBoundingClientRect();
      return place.bottom > top && place.top < bottom;
    }).length;
  });
  if (process.env.PRINT) {
    console.error(
      `${drawn} of ${CALLS} calls drawn at first; ${most} more at most by a step of 900 pixels; ${known} after ${scrolled} pixels; ` +
        `longest task ${Math.round(await page.evaluate(() => window.longest))} ms while scrolling, ${Math.round(loading)} ms while it was fetched`,
    );
  }
  assert.ok(scrolled > 100_000, `it moved by ${scrolled} pixels`);
  assert.ok(most <= 200, `a step has drawn ${most} calls at once`);
  assert.ok(inView > 5, `${inView} calls are in view`);
  nothingWrong();
});
