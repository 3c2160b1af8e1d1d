// Everything can be done from the keyboard, and it can be seen where the keyboard is.
import assert from "node:assert/strict";
import { ended, open, withBrowser } from "./page.mjs";

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser);
  const composer = page.getByTestId("composer");
  const keys = page.keyboard;

  /** What has the focus: its test's name, its label, or its words. */
  const focused = () =>
    page.evaluate(() => {
      const element = document.activeElement;
      if (element === null || element === document.body) return "nothing";
      return element.dataset.testid ?? element.getAttribute("aria-label") ?? element.textContent?.trim() ?? element.tagName;
    });
  /** Whether a ring is drawn around what has the focus, or around the field that it is the whole of. */
  const seen = () =>
    page.evaluate(() => {
      const element = document.activeElement;
      const places = [element, element?.closest(".composer textarea") && element.closest(".composer")];
      return places.some((place) => {
        if (!place) return false;
        const style = getComputedStyle(place);
        return style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 1;
      });
    });
  /** Presses Tab until the focus has come to each, in this order. */
  const walk = async (key, ...wanted) => {
    const path = [];
    for (const name of wanted) {
      for (let steps = 0; ; steps += 1) {
        assert.ok(steps < 300, `${key} reaches ${name}; it came by ${path.join(", ")}`);
        await keys.press(key);
        const at = await focused();
        path.push(at);
        if (at !== "nothing") assert.ok(await seen(), `the focus is seen on ${at}`);
        if (at.includes(name)) break;
      }
    }
  };

  // From the top of the page to its end.
  await composer.fill("run `sleep 30`");
  await page.evaluate(() => document.activeElement.blur());
  await walk("Tab", "rail-toggle", "find-open", "menu", "panel-toggle", "New session", "composer", "model-menu", "advanced-toggle", "send", "panel-edge", "tab-", "panel-close");
  await composer.focus();
  await walk("Tab", "send");
  await walk("Shift+Tab", "advanced-toggle", "model-menu", "composer");

  // Shift+Enter breaks the line, Enter sends, and the focus stays.
  await composer.fill("");
  await keys.type("run `echo one`");
  await keys.press("Shift+Enter");
  await keys.type("and run `echo two`");
  assert.equal(await composer.inputValue(), "run `echo one`\nand run `echo two`");
  await keys.press("Enter");
  assert.equal(await composer.inputValue(), "");
  assert.equal(await ended(page, 1), "completed");
  assert.equal(await page.getByTestId("message-user").first().innerText(), "run `echo one`\nand run `echo two`");
  assert.equal(await focused(), "composer");
  assert.equal(await page.getByTestId("tool-card").count(), 2);

  // A card opens and closes.
  await page.getByTestId("tool-card").first().locator("summary").focus();
  await keys.press("Enter");
  await page.locator('[data-testid="tool-card"][open]').first().waitFor();
  await keys.press("Enter");
  await page.locator('[data-testid="tool-card"][open]').first().waitFor({ state: "detached" });

  // The model.
  await page.getByTestId("model-menu").focus();
  const model = await page.getByTestId("model-menu").inputValue();
  await keys.press("ArrowDown");
  const other = await page.getByTestId("model-menu").inputValue();
  assert.notEqual(other, model);
  await keys.press("ArrowUp");
  assert.equal(await page.getByTestId("model-menu").inputValue(), model);

  // Sent with the button: the composer is where it goes on.
  await composer.fill("stream 2000 words every 50 ms");
  await walk("Tab", "send");
  await keys.press("Enter");
  await page.getByTestId("stop").waitFor();
  assert.equal(await focused(), "composer", "after sending with the button");

  // The options open and close, and the focus returns to where it came from. Escape closes them, from
  // inside and from outside, and stops nothing then.
  await walk("Tab", "advanced-toggle");
  for (const close of ["Escape", "button", "outside"]) {
    await keys.press("Enter");
    const panel = page.getByTestId("advanced");
    await panel.waitFor();
    assert.ok(await panel.evaluate((element) => element.contains(document.activeElement)), "the focus is in the options");
    if (close === "Escape") {
      await walk("Tab", "Dismiss");
      await keys.press("Escape");
    } else if (close === "button") {
      await walk("Tab", "Dismiss");
      await keys.press("Enter");
    } else {
      await page.getByTestId("advanced-toggle").focus();
      await keys.press("Escape");
    }
    await panel.waitFor({ state: "detached" });
    assert.equal(await focused(), "advanced-toggle", `closed by ${close}`);
  }
  assert.equal(await page.getByTestId("turn-end").count(), 1, "the turn runs on");

  // A message that waits is removed, and the running turn is stopped.
  await composer.focus();
  await keys.type("list the files");
  await keys.press("Enter");
  await page.getByTestId("queue-item").waitFor();
  await walk("Shift+Tab", "Remove from the queue");
  await keys.press("Enter");
  await page.getByTestId("queue-item").waitFor({ state: "detached" });
  assert.equal(await focused(), "composer", "after removing");
  await walk("Tab", "stop");
  await keys.press("Enter");
  await page.locator('[data-testid="turn-end"][data-outcome="interrupted"]').first().waitFor({ timeout: 10_000 });
  await page.getByTestId("stop").waitFor({ state: "detached" });
  assert.equal(await focused(), "composer", "after stopping");

  // Escape stops, too, where nothing else is to be closed.
  await keys.type("stream 2000 words every 50 ms");
  await keys.press("Enter");
  await page.getByTestId("stop").waitFor();
  await page.getByTestId("turn").last().getByTestId("message-assistant").filter({ hasText: /word5\b/ }).waitFor();
  await keys.press("Escape");
  await page.getByTestId("stop").waitFor({ state: "detached", timeout: 10_000 });

  // A question mark is one in a text, and elsewhere shows the keys.
  await composer.fill("");
  await composer.press("?");
  assert.equal(await composer.inputValue(), "?");
  await composer.fill("");
  await page.getByTestId("menu").focus();
  await keys.press("?");
  const shown = page.locator("dialog[open]").filter({ hasText: "shows these keys" });
  await shown.waitFor();
  await keys.press("Escape");
  await shown.waitFor({ state: "detached" });
  nothingWrong();
});
