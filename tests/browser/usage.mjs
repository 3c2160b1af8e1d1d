// What was used, by day and by session: for all sessions and for one, in a span that is chosen.
import assert from "node:assert/strict";
import { DESKTOP, ended, open, PHONE, say, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const dialog = page.getByTestId("usage-dialog");
  const total = dialog.getByTestId("usage-total");
  const show = async () => {
    await page.getByTestId("menu").click();
    await page.getByTestId("usage").click();
    await dialog.waitFor();
  };

  // A session that has used nothing says so, and what to do.
  await show();
  await dialog.getByRole("radio", { name: "This session" }).check();
  await dialog.getByText("Nothing was used in this span.").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  await say(page, "create a hello world app");
  assert.equal(await ended(page, 1), "completed");
  await say(page, "run `echo used`");
  assert.equal(await ended(page, 2), "completed");
  await show();
  await dialog.getByRole("radio", { name: "This session" }).check();
  await total.filter({ hasText: /Turns\s*2/ }).waitFor();
  // The chart has a bar on the day that something was used, and that is the last one.
  const bars = dialog.getByTestId("usage-chart").locator("rect");
  assert.equal(await bars.count(), 30);
  await dialog.locator("label").filter({ hasText: "Turns" }).getByRole("radio").check();
  const heights = await bars.evaluateAll((all) => all.map((one) => Number(one.getAttribute("height"))));
  assert.ok(heights.at(-1) > 0 || heights.at(-2) > 0, `${heights}`);
  assert.ok(heights.slice(0, -2).every((height) => height === 0), `${heights}`);
  await dialog.getByText("As a table").click();
  assert.match(await dialog.getByTestId("usage-row").first().innerText(), /2/);

  // All sessions: this one is among them, with its name.
  await dialog.getByRole("radio", { name: "All sessions" }).check();
  await dialog.locator(`a[href="/demo/${SESSION}"]`).filter({ hasText: "create a hello world app" }).waitFor();
  await dialog.getByRole("radio", { name: "7 days" }).check();
  await page.waitForFunction(() => document.querySelectorAll('[data-testid="usage-chart"] rect').length === 7);
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/usage.png` });

  // A span of one's own, and one that can't be.
  await dialog.getByRole("radio", { name: "Other" }).check();
  await dialog.getByLabel("From", { exact: true }).fill("2001-01-01");
  await dialog.getByLabel("To", { exact: true }).fill("2001-01-31");
  await dialog.getByText("Nothing was used in this span.").waitFor();
  await dialog.getByLabel("To", { exact: true }).fill("2000-01-31");
  await dialog.getByRole("alert").filter({ hasText: "from must not be after to" }).waitFor();
  await dialog.getByRole("radio", { name: "30 days" }).check();
  await total.waitFor();

  // It is a dialog like any other: Esc closes it, and the focus is where it was.
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement?.dataset.testid), "menu");

  // While a turn goes on, it says what it has used so far; so does the session's total.
  const before = await page.getByTestId("spent").innerText();
  await say(page, "run `sleep 8` and run `sleep 12` and run `echo three`");
  await page.getByTestId("so-far").filter({ hasText: /[1-9][\d,]* tokens in, [1-9]/ }).waitFor();
  await page.waitForFunction((then) => document.querySelector('[data-testid="spent"]').innerText !== then, before);
  await page.getByTestId("stop").waitFor();
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/so-far.png` });
  assert.equal(await ended(page, 3), "completed");
  await page.getByTestId("so-far").waitFor({ state: "detached" });
  // How full the model's context is: where the router's configuration says how much the model takes.
  const context = page.getByTestId("context");
  await context.waitFor();
  assert.ok(Number(await context.getByRole("meter").getAttribute("value")) > 10_000);
  assert.equal(await context.getByRole("meter").getAttribute("max"), "20000");
  assert.notEqual(await context.getAttribute("data-level"), "0", "it is nearly full");

  // On a phone, from the palette.
  const small = await open(browser, PHONE);
  await small.page.keyboard.press("Control+k");
  await small.page.getByTestId("palette-option").first().waitFor();
  await small.page.keyboard.type("usage and");
  await small.page.getByTestId("palette-option").filter({ hasText: "Usage and cost" }).and(small.page.locator('[aria-selected="true"]')).waitFor();
  await small.page.keyboard.press("Enter");
  await small.page.getByTestId("usage-total").waitFor();
  assert.ok(await small.page.getByTestId("usage-dialog").evaluate((one) => one.scrollWidth <= one.clientWidth), "nothing is wider than the dialog");
  small.nothingWrong();
  // The span that can't be.
  nothingWrong(/status of 400/);
});
