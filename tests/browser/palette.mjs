// Everything by its name, from the keyboard alone.
import assert from "node:assert/strict";
import { DESKTOP, ended, live, open, say, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, { ...DESKTOP, colorScheme: "light" });
  const dialog = page.getByTestId("palette-dialog");
  const field = page.getByTestId("palette-field");
  const options = page.getByTestId("palette-option");
  const focused = (locator) => locator.and(page.locator(":focus")).waitFor();
  const look = async (words) => {
    await page.keyboard.press("Control+k");
    await focused(field);
    await field.fill(words);
  };

  await say(page, "run `echo palette`");
  await ended(page, 1);
  // Begun in the field of the message, and back there without anything done.
  await page.getByTestId("composer").focus();
  await page.keyboard.press("Control+k");
  await focused(field);
  assert.ok((await options.count()) > 10, "it shows what there is");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await focused(page.getByTestId("composer"));

  // What is chosen is told to who listens.
  await look("dark");
  const chosen = async () => page.locator(`#${await field.getAttribute("aria-activedescendant")}`);
  assert.match(await (await chosen()).innerText(), /Appearance: Dark/);
  assert.equal(await (await chosen()).getAttribute("aria-selected"), "true");
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/palette.png` });
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");

  await look("");
  const first = await (await chosen()).innerText();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  assert.equal(await (await chosen()).innerText(), first, "the arrows go there and back");
  await page.keyboard.press("ArrowUp");
  assert.equal(await options.last().getAttribute("aria-selected"), "true", "and around");
  await field.fill("nothing has such a name");
  assert.equal(await options.count(), 0);
  assert.equal(await dialog.getByRole("status").innerText(), "0 found");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");

  await look("open resources");
  await page.keyboard.press("Enter");
  await page.getByTestId("tab-resources").and(page.locator('[aria-selected="true"]')).waitFor();
  await look("plan");
  await page.keyboard.press("Enter");
  await page.getByTestId("mode-menu").and(page.locator("select")).waitFor();
  await page.waitForFunction(() => document.querySelector('[data-testid="mode-menu"]').value === "plan");

  // In another language it is found by that one's words.
  await look("deutsch");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.documentElement.lang === "de");
  await look("sprache english");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.documentElement.lang === "en");

  // An agent: its launch is asked about where it needs something.
  await look("launch github");
  await options.filter({ hasText: "GitHub" }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByTestId("launch-dialog").locator('[data-agent="github-code-review"][aria-pressed="true"]').waitFor();
  await page.getByTestId("launch-it").waitFor();
  await page.keyboard.press("Escape");

  // A new session, and back by the name of the first.
  await look("new session");
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => !url.pathname.endsWith(SESSION));
  await live(page);
  await look("echo palette");
  await options.filter({ hasText: "echo palette" }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname.endsWith(SESSION));
  nothingWrong();
});
