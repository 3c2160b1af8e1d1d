// Each page in each size and theme: nothing is wider than the screen, down to 320 pixels, at 200 % and in the languages with
// the longest words, and on a phone nothing that can be pressed is too small for a finger. With SCREENSHOTS, a folder, each is
// kept there as a picture to look at.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, open, PHONE, say, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;
const SMALLEST = { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true };
/** A finger's width, as WCAG has it for the smallest targets, in CSS pixels. */
const FINGER = 24;

/** A desktop at 200 %. */
const ZOOMED = { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 };

const SIZES = [
  ["desktop-light", { ...DESKTOP, colorScheme: "light" }],
  ["desktop-dark", { ...DESKTOP, colorScheme: "dark" }],
  ["phone-light", { ...PHONE, colorScheme: "light" }],
  ["phone-dark", { ...PHONE, colorScheme: "dark" }],
  ["zoomed", { ...ZOOMED, colorScheme: "light" }],
  ["smallest-german", { ...SMALLEST, locale: "de-DE", colorScheme: "light" }],
];

/** What is wider than the page, and what is too small. */
function flaws(finger) {
  const found = [];
  const page = document.documentElement;
  if (page.scrollWidth > innerWidth) found.push(`the page is ${page.scrollWidth} wide`);
  for (const dialog of document.querySelectorAll("dialog[open]")) {
    if (dialog.scrollWidth > dialog.clientWidth) found.push(`a dialog is ${dialog.scrollWidth} wide in ${dialog.clientWidth}`);
  }
  const open = document.querySelector("dialog[open]") ?? document;
  // What goes over the edge, but for what can be scrolled there.
  for (const element of open.querySelectorAll("button, .button, select, input, textarea, p, h1, h2, h3, label, dd, dt, li")) {
    const { width, right } = element.getBoundingClientRect();
    const scrolls = element.closest("pre, .table, .usage-table, .code, .hidden, [inert], table, .markdown-table");
    if (width > 1 && right > innerWidth + 1 && scrolls === null) found.push(`${element.tagName} ${element.textContent.slice(0, 40)} ends at ${Math.round(right)} of ${innerWidth}`);
  }
  for (const button of open.querySelectorAll("button, .button")) {
    const { width, height } = button.getBoundingClientRect();
    const hidden = width === 0 || getComputedStyle(button).visibility === "hidden" || button.closest("[inert]") !== null;
    if (!hidden && (width < finger || height < finger)) found.push(`${button.getAttribute("aria-label") ?? button.textContent} is ${width} by ${height}`);
  }
  return found;
}

const LONG = `an answer about ${"averyverylongwordwithoutanyplacetobreakit".repeat(4)} and what comes after it`;

await withBrowser(async (browser) => {
  // What the pages show.
  const { page: first, nothingWrong } = await open(browser, DESKTOP);
  const found = [];
  const look = async (page, name, size) => {
    await page.evaluate(() => Promise.allSettled(document.getAnimations().filter((one) => one.effect.getTiming().iterations !== Infinity).map((one) => one.finished)));
    found.push(...(await page.evaluate(flaws, /desktop|zoomed/.test(size) ? 0 : FINGER)).map((flaw) => `${name}, ${size}: ${flaw}`));
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}-${size}.png` });
  };
  for (const [size, options] of SIZES) {
    const { page } = await open(browser, options, `${SESSION}-new`);
    await page.getByTestId("empty").waitFor();
    await look(page, "empty", size);
    await page.context().close();
  }
  await say(first, "create a hello world app");
  await ended(first, 1);
  await say(first, "make a todo list for a birthday");
  await ended(first, 2);
  await say(first, LONG);
  await ended(first, 3);
  await first.getByTestId("model-menu").selectOption("scripted/401").catch(() => undefined);
  await say(first, "hello");
  await ended(first, 4);

  for (const [size, options] of SIZES) {
    const { page } = await open(browser, options);
    const small = !size.startsWith("desktop");
    const press = (test) => page.getByTestId(test).first().click();
    await page.getByTestId("turn-end").nth(3).waitFor();
    await look(page, "conversation", size);
    await press("advanced-toggle");
    await page.getByTestId("advanced").waitFor();
    await look(page, "options", size);
    await press("advanced-toggle");
    if (small) {
      await press("rail-toggle");
      await page.getByTestId("rail").waitFor();
      await look(page, "sessions", size);
      await page.keyboard.press("Escape");
    }
    for (const tab of ["files", "terminal", "tasks", "tools", "resources", "log"]) {
      if (small && tab === "files") await press("panel-toggle");
      await press(`tab-${tab}`);
      await page.locator("#tab-panel > :not(.skeleton)").first().waitFor();
      await look(page, `tab-${tab}`, size);
      if (tab !== "files") continue;
      await page.getByTestId("file").filter({ hasText: "hello.py" }).click();
      await page.getByTestId("file-view").waitFor();
      await look(page, "file", size);
      await press("files-back");
      await page.getByTestId("files-changes").check({ force: true });
      await page.getByTestId("file-diff").first().waitFor();
      await look(page, "changes", size);
      await page.getByTestId("files-git").check({ force: true });
      await page.locator('[data-testid="git"]').waitFor();
      await look(page, "git", size);
      await page.getByTestId("files-tree").check({ force: true });
    }
    if (small) await press("panel-close");
    await press("find-open");
    await look(page, "find", size);
    await page.keyboard.press("Escape");
    await press("menu");
    await look(page, "menu", size);
    await page.keyboard.press("Escape");
    for (const [name, ready] of [["settings", null], ["usage", "usage-total"], ["automation", "add-schedule"], ["share", "share-make"], ["delete", "delete-sure"], ["palette", "palette-option"]]) {
      await press("menu");
      await press(name);
      await page.getByTestId(ready ?? "settings-dialog").first().waitFor();
      await look(page, name, size);
      if (name === "automation") {
        await press("add-schedule");
        await look(page, "schedule", size);
        await page.locator('[name="automation-part"]').nth(1).check({ force: true });
        await press("add-webhook");
        await look(page, "webhook", size);
      }
      await page.keyboard.press("Escape");
      await page.locator("dialog").waitFor({ state: "detached" });
    }
    if (small) await press("rail-toggle");
    await press("launch");
    await page.getByTestId("launch-dialog").locator('[data-agent="github-code-review"]').click();
    await page.getByTestId("launch-it").waitFor();
    await look(page, "launch", size);
    await page.goto(`${BASE_URL}/agents`);
    await page.getByTestId("agent-link").first().waitFor();
    await look(page, "agents", size);
    await page.goto(`${BASE_URL}/agents?new&from=fullstack-team`);
    await page.getByTestId("member").first().waitFor();
    await look(page, "agent", size);
    await page.getByTestId("orchestrates").check();
    await page.getByTestId("orchestration-effect").scrollIntoViewIfNeeded();
    await look(page, "orchestration", size);
    await page.goto(`${BASE_URL}/agents/there-is-none`);
    await page.getByRole("alert").first().waitFor();
    await look(page, "agent-missing", size);
    await page.context().close();
  }
  assert.deepEqual(found, []);
  nothingWrong();
});
