// A long conversation opens at its end; what was before comes when somebody scrolls there, each turn
// once, and what is seen does not jump. A reconnect loses and repeats nothing.
import assert from "node:assert/strict";
import { BASE_URL, ended, open, say, SESSION, withBrowser } from "./page.mjs";

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser);
  const pages = [];
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.pathname === `/api/sessions/${SESSION}/events`) pages.push(Number(url.searchParams.get("before")));
  });
  // More events than a page begins with, over several turns.
  const turns = 6;
  for (let turn = 1; turn <= turns; turn += 1) {
    await say(page, `stream ${turn === 1 ? 20 : 500} words every 1 ms`);
    await ended(page, turn);
  }
  const log = await (await fetch(`${BASE_URL}/api/sessions/${SESSION}/events`)).text();
  const events = log.trim().split("\n").length;
  assert.ok(events > 600, `there are ${events} events`);
  const shown = () =>
    page.evaluate(() =>
      [...document.querySelectorAll('[data-testid="turn"]')].map((turn) => ({
        id: turn.getAttribute("aria-label"),
        said: turn.querySelectorAll('[data-testid="message-user"]').length,
        state: turn.dataset.state,
        text: turn.textContent.replace(/\s+/g, " "),
      })),
    );
  const whole = await shown();
  assert.equal(whole.length, turns);
  assert.deepEqual(pages, [], "who was there from the beginning has all");

  const links = [];
  await page.routeWebSocket(/\/demo\/ws\//, (link) => {
    links.push(link);
    link.connectToServer();
  });
  await page.reload();
  await page.getByTestId("turn-end").last().waitFor();
  const first = page.getByTestId("turn").first();
  await first.waitFor();
  const scroller = page.locator("main.scroller");
  const atEnd = () => scroller.evaluate((one) => one.scrollHeight - one.scrollTop - one.clientHeight < 48);
  assert.ok(await atEnd(), "it opens at its end");
  const opened = await shown();
  assert.ok(opened.length <= turns && opened.at(-1).id === `turn-${turns}`);

  // Up, as a person scrolls, until nothing older is left. What is in view stays in view.
  for (let step = 0; step < 60 && (await page.getByTestId("older").count()) > 0; step += 1) {
    await scroller.hover();
    await page.mouse.wheel(0, -400);
    await page.waitForTimeout(50);
  }
  await page.getByTestId("older").waitFor({ state: "detached" });
  assert.deepEqual((await shown()).map((turn) => turn.text), whole.map((turn) => turn.text), "each turn is there, once");
  assert.deepEqual(await shown(), whole);
  assert.ok(pages.length > 0 && new Set(pages).size === pages.length, `each page is asked for once: ${pages}`);

  // The link breaks in the middle of a text, and the page goes on where it was.
  await say(page, "stream 120 words every 20 ms");
  await page.getByTestId("message-assistant").filter({ hasText: /word9\b/ }).nth(turns).waitFor();
  assert.equal(links.length, 1);
  await links[0].close();
  await ended(page, turns + 1);
  assert.deepEqual(links.map((link) => new URL(link.url()).search.split("=")[0]), ["?tail", "?from"]);
  const text = await page.getByTestId("message-assistant").last().textContent();
  const words = text.match(/word\d+/g).map((word) => Number(word.slice(4)));
  assert.deepEqual(words, words.map((_, at) => at + words[0]), "no word is lost or twice");
  nothingWrong();
});

// What comes in above does not move what is seen.
await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser);
  const answered = [];
  await page.route(`**/api/sessions/${SESSION}/events*`, async (route) => {
    answered.push(route);
  });
  const scroller = page.locator("main.scroller");
  await scroller.evaluate((one) => (one.scrollTop = 0));
  for (let wait = 0; wait < 200 && answered.length === 0; wait += 1) await page.waitForTimeout(50);
  assert.equal(answered.length, 1, "older turns are fetched, by one request");
  const place = () => page.getByTestId("turn").nth(-1).evaluate((turn) => turn.getBoundingClientRect().top);
  const before = await place();
  await answered.shift().continue();
  await page.waitForFunction(() => document.querySelector('[data-testid="older"]')?.dataset.state !== "loading" || document.querySelector('[data-testid="older"]') === null);
  assert.ok(Math.abs((await place()) - before) < 4, `what is seen moved by ${(await place()) - before}`);
  await page.unrouteAll({ behavior: "ignoreErrors" });
  nothingWrong();
});
