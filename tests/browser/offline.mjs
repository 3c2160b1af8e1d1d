// The network goes and comes back: what is typed is kept at every key, what is sent waits and is said once, and what
// was said meanwhile has no gap and comes once.
import assert from "node:assert/strict";
import { DESKTOP, ended, live, open, say, SESSION, withBrowser } from "./page.mjs";

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const context = page.context();
  const composer = page.getByTestId("composer");

  // A draft is there again after the page was closed at any moment.
  await composer.pressSequentially("half a thou");
  await page.close({ runBeforeUnload: false });
  const again = await context.newPage();
  again.setDefaultTimeout(90_000);
  await again.goto(page.url());
  await live(again);
  assert.equal(await again.getByTestId("composer").inputValue(), "half a thou");
  await again.close();

  const { page: here, nothingWrong: nothingWrongHere } = await open(browser, DESKTOP, SESSION);
  const other = await open(browser, DESKTOP, SESSION);
  const cut = here.context();
  await say(here, "stream 300 words every 20 ms");
  await here.getByTestId("message-assistant").filter({ hasText: /word20\b/ }).waitFor();
  await cut.setOffline(true);
  await here.locator('[data-testid="connection"][data-state="offline"]').waitFor();
  assert.equal(await ended(other.page, 1), "completed");
  // Somebody else goes on; here something is said without a network.
  await say(other.page, "run `echo elsewhere`");
  assert.equal(await ended(other.page, 2), "completed");
  await say(here, "run `echo from afar`");
  const unsent = here.getByTestId("message-unsent");
  await unsent.filter({ hasText: "echo from afar" }).waitFor();
  await here.getByTestId("composer").fill("and this is a draft");
  await cut.setOffline(false);
  await live(here);
  assert.equal(await ended(here, 3), "completed");
  await unsent.waitFor({ state: "detached" });
  assert.equal(await here.getByTestId("composer").inputValue(), "and this is a draft");

  // Both have all of it, once, in the same order.
  await other.page.getByTestId("turn-end").nth(2).waitFor();
  for (const one of [here, other.page]) {
    assert.deepEqual(await one.getByTestId("message-user").allInnerTexts(), ["stream 300 words every 20 ms", "run `echo elsewhere`", "run `echo from afar`"]);
    const text = await one.getByTestId("message-assistant").first().textContent();
    const words = text.match(/word\d+/g).map((word) => Number(word.slice(4)));
    assert.deepEqual(words, Array.from({ length: 300 }, (_, at) => at + 1));
  }
  other.nothingWrong();
  // What can't be asked for without a network says so.
  nothingWrongHere(/ERR_INTERNET_DISCONNECTED|ERR_NETWORK/);
  nothingWrong();
});
