// The list of sessions: what is shown of it, and what is done with several at once.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, open, say, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const rail = page.getByTestId("rail");
  const mark = `mark${Date.now() % 1_000_000}`;
  const others = [`${SESSION}-b`, `${SESSION}-c`];
  // One that is at work, and one that is not.
  for (const [at, other] of others.entries()) {
    const tab = await page.context().newPage();
    await tab.goto(`${BASE_URL}/demo/${other}`);
    await tab.getByTestId("connection").filter({ hasText: /live/i }).waitFor();
    await say(tab, at === 0 ? `run \`echo ${mark}; sleep 300\`` : `run \`echo ${mark}\``);
    if (at === 0) await tab.getByTestId("tool-card").waitFor();
    else await ended(tab, 1);
    await tab.close();
  }
  await say(page, `run \`echo ${mark}\``);
  await ended(page, 1);
  await page.reload();
  const entry = (id) => rail.locator("li").filter({ has: page.locator(`a[href="/demo/${id}"]`) });
  await entry(others[0]).filter({ hasText: "running" }).waitFor();
  await entry(others[0]).filter({ hasText: "demo" }).waitFor();

  // One in which something has happened since this browser showed it is marked, until it is looked at.
  const elsewhere = await (await browser.newContext(DESKTOP)).newPage();
  await elsewhere.goto(`${BASE_URL}/demo/${others[1]}`);
  await elsewhere.getByTestId("connection").filter({ hasText: /live/i }).waitFor();
  await say(elsewhere, `run \`echo news of ${mark}\``);
  assert.equal(await ended(elsewhere, 2), "completed");
  await elsewhere.close();
  await entry(others[1]).getByTestId("unread").waitFor();
  assert.equal(await entry(others[0]).getByTestId("unread").count(), 0, "nothing is new in the one that goes on");
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/unread.png` });
  const look = await page.context().newPage();
  await look.goto(`${BASE_URL}/demo/${others[1]}`);
  assert.equal(await ended(look, 2), "completed");
  await entry(others[1]).getByTestId("unread").waitFor({ state: "detached" });
  await look.close();

  // Many sessions are there when the whole of the tests runs: only these are meant.
  if ((await rail.getByRole("searchbox").count()) > 0) {
    await rail.getByRole("searchbox").fill(mark);
    await rail.getByTestId("session-filter").selectOption("running");
    await entry(others[1]).waitFor({ state: "detached" });
    assert.equal(await entry(others[0]).count(), 1);
    await rail.getByTestId("session-filter").selectOption("");
  }
  await entry(others[1]).waitFor();
  await rail.getByTestId("choose-sessions").click();
  const bulk = page.getByTestId("bulk");
  assert.ok(await bulk.getByTestId("bulk-delete").isDisabled(), "nothing is chosen yet");
  for (const other of others) await entry(other).getByTestId("choose-session").check();
  await bulk.getByText("2 chosen").waitFor();
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/bulk.png` });

  await bulk.getByTestId("bulk-stop").click();
  await bulk.getByText("1 stopped").waitFor();
  await entry(others[0]).filter({ hasText: "ready" }).waitFor();

  await entry(others[0]).getByTestId("choose-session").uncheck();
  await bulk.getByTestId("bulk-duplicate").click();
  await bulk.getByText("1 duplicated").waitFor();
  const same = rail.locator("li").filter({ hasText: mark });
  await same.nth(3).waitFor();

  // Who thinks better of it deletes nothing.
  await entry(others[0]).getByTestId("choose-session").check();
  await bulk.getByTestId("bulk-delete").click();
  const dialog = page.getByTestId("bulk-dialog");
  await dialog.getByRole("listitem").nth(1).waitFor();
  assert.equal(await dialog.getByRole("listitem").count(), 2);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await bulk.getByTestId("bulk-delete").click();
  await page.getByTestId("bulk-sure").click();
  await bulk.getByText("2 deleted").waitFor();
  await entry(others[0]).waitFor({ state: "detached" });
  await entry(others[1]).waitFor({ state: "detached" });
  for (const other of others) {
    const answer = await fetch(`${BASE_URL}/api/sessions/${other}/access`);
    assert.equal(answer.status, 404, `${other} is gone`);
  }
  await rail.getByTestId("choose-sessions").click();
  await bulk.waitFor({ state: "detached" });
  nothingWrong();
});
