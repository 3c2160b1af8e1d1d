// What the scripts of this folder share: a browser, a page that notes what goes wrong in it, and the
// way to the session.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

export const { BASE_URL, SESSION, CHROMIUM_PATH } = process.env;

export const DESKTOP = { viewport: { width: 1280, height: 800 } };
export const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

/** Runs `test` with a browser, and ends the browser however it goes. */
export async function withBrowser(test) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM_PATH,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
  });
  try {
    await test(browser);
  } finally {
    await browser.close();
  }
}

/** A page of the session, live. `nothingWrong` says at the end whether all was well in it. */
export async function open(browser, options = DESKTOP, session = SESSION) {
  const page = await (await browser.newContext(options)).newPage();
  // A busy machine shows late what a quiet one shows at once.
  page.setDefaultTimeout(Number(process.env.PATIENCE_MS ?? 90_000));
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  const elsewhere = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(BASE_URL) && !/^(data|blob):/.test(request.url())) elsewhere.push(request.url());
  });
  await page.goto(`${BASE_URL}/demo/${session}`);
  await live(page);
  // `expected` is what a test has brought about itself.
  const nothingWrong = (expected = /^$/) => {
    assert.deepEqual(problems.filter((problem) => !expected.test(problem)), [], "nothing went wrong in the page");
    assert.deepEqual(elsewhere, [], "nothing was asked of another origin");
  };
  return { page, nothingWrong };
}

/** Waits until the page is connected and has the models, which come by a way of their own. */
export async function live(page) {
  await page.locator(`[data-testid="connection"][data-state="live"]`).waitFor();
  await page.locator('[data-testid="model-menu"] optgroup').first().waitFor({ state: "attached" });
}

export async function say(page, words) {
  await page.getByTestId("composer").fill(words);
  await page.getByTestId("composer").press("Enter");
}

/** Waits until so many turns have ended, and gives the outcome of the last. */
export async function ended(page, count) {
  const last = page.getByTestId("turn-end").nth(count - 1);
  await last.waitFor({ timeout: 60_000 });
  return last.getAttribute("data-outcome");
}
