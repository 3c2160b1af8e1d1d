// What a person sets: how the page looks, speaks and moves. It is kept, and other tabs follow at once.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, live, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;

async function openSettings(page) {
  await page.getByTestId("menu").click();
  await page.getByTestId("settings").click();
  await page.getByTestId("settings-dialog").waitFor();
}

const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);

await withBrowser(async (browser) => {
  const context = await browser.newContext({ ...DESKTOP, colorScheme: "light", permissions: [] });
  const page = await context.newPage();
  await page.goto(`${BASE_URL}/demo/${SESSION}`);
  await live(page);
  const other = await context.newPage();
  await other.goto(`${BASE_URL}/demo/${SESSION}`);
  await live(other);
  await page.bringToFront();

  await openSettings(page);
  const dialog = page.getByTestId("settings-dialog");
  const light = await ground(page);
  await dialog.getByRole("radio", { name: "Dark" }).check({ force: true });
  const dark = await ground(page);
  assert.notEqual(dark, light);
  assert.equal(await ground(other), dark, "another tab follows");
  await page.emulateMedia({ colorScheme: "light" });
  assert.equal(await ground(page), dark, "whatever the system says");

  await dialog.getByRole("radio", { name: "Little" }).check({ force: true });
  const moves = await page.evaluate(() => {
    const button = document.createElement("div");
    button.className = "skeleton";
    button.append(document.createElement("span"));
    document.body.append(button);
    const name = getComputedStyle(button.firstElementChild).animationName;
    button.remove();
    return name;
  });
  assert.equal(moves, "none");
  assert.ok(!(await page.getByTestId("notify").isChecked()), "nobody is called who did not ask for it");

  // In each language, everything that the page says by itself.
  for (const [name, lang, send, words] of [["Deutsch", "de", "Senden", /Claude Code in einer eigenen Sandbox/], ["中文", "zh", "发送", /在独立沙箱中运行/]]) {
    await dialog.getByRole("radio", { name }).check({ force: true });
    await page.getByTestId("send").filter({ hasText: send }).waitFor();
    await page.getByTestId("empty").filter({ hasText: words }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), lang);
    await other.getByTestId("send").filter({ hasText: send }).waitFor();
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/language-${lang}.png` });
    assert.ok(await dialog.isVisible(), "the dialog stays open");
  }
  await page.reload();
  await page.getByTestId("send").filter({ hasText: "发送" }).waitFor();
  assert.equal(await ground(page), dark, "both are kept");

  // A browser that speaks German is spoken to in German.
  const german = await (await browser.newContext({ ...DESKTOP, locale: "de-AT" })).newPage();
  await german.goto(`${BASE_URL}/demo/${SESSION}`);
  await german.getByTestId("send").filter({ hasText: "Senden" }).waitFor();
});
