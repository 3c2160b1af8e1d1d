// The rail of sessions, the conversation and the side panel: beside each other where there is room, one
// over another where there is not.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, live, open, PHONE, say, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;
const shot = async (page, name) => {
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}.png` });
};
const wide = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
const box = (where) => where.boundingBox();

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const panel = page.getByTestId("panel");
  const rail = page.getByTestId("rail");
  const composer = page.getByTestId("composer");

  // All three stand beside each other, and nothing covers another.
  await panel.waitFor();
  const [left, middle, right] = [await box(rail), await box(page.locator("main.scroller")), await box(panel)];
  assert.ok(left.x + left.width <= middle.x + 1 && middle.x + middle.width <= right.x + 1, "beside each other");

  // What was done is in the tabs, and leads back to its place.
  await say(page, "create a hello world app");
  assert.equal(await ended(page, 1), "completed");
  await say(page, "make a todo list for a birthday");
  assert.equal(await ended(page, 2), "completed");
  await page.getByTestId("tab-tasks").click();
  await panel.getByTestId("todo-item").first().waitFor();
  await page.getByTestId("tab-tasks").press("ArrowRight");
  await panel.getByRole("button", { name: /^Write/ }).click();
  const card = page.locator('[data-testid="tool-card"][data-tool="Write"][open]').first();
  await card.waitFor();
  assert.ok(await card.evaluate((one) => {
    const place = one.getBoundingClientRect();
    return place.top >= 0 && place.top < innerHeight;
  }), "the call is in view");
  await panel.getByRole("searchbox").fill("nothing like this");
  await panel.getByText("No call fits.").waitFor();
  await page.getByTestId("tab-log").click();
  const row = panel.locator("details").filter({ hasText: "user_message" }).first();
  await row.locator("summary").click();
  await row.locator("pre").filter({ hasText: "make a todo list" }).waitFor();

  // By its edge it is made wider, and it stays as it was left.
  const edge = await box(page.getByTestId("panel-edge"));
  await page.mouse.move(edge.x + edge.width / 2, 400);
  await page.mouse.down();
  await page.mouse.move(edge.x - 100, 400);
  await page.mouse.up();
  const dragged = (await box(panel)).width;
  assert.ok(dragged > right.width + 80, `${dragged} after ${right.width}`);
  await page.getByTestId("panel-edge").focus();
  await page.keyboard.press("ArrowRight");
  const narrower = (await box(panel)).width;
  assert.ok(narrower < dragged, "the arrow keys move it as well");
  await page.reload();
  await live(page);
  assert.equal((await box(panel)).width, narrower);
  assert.equal(await page.getByTestId("tab-log").getAttribute("aria-selected"), "true");
  await composer.focus();
  await page.keyboard.press("Control+j");
  await panel.waitFor({ state: "detached" });
  await page.keyboard.press("Control+b");
  await rail.waitFor({ state: "detached" });
  await page.reload();
  await live(page);
  assert.equal(await panel.count() + await rail.count(), 0, "closed, they stay closed");
  await page.getByTestId("rail-toggle").click();
  await page.getByTestId("panel-toggle").click();

  // The rail names the sessions that were opened here by what was said first.
  const current = rail.locator('[aria-current="page"]');
  await current.filter({ hasText: "create a hello world app" }).waitFor();
  await rail.getByRole("link", { name: "New session" }).click();
  await live(page);
  assert.notEqual(new URL(page.url()).pathname, `/demo/${SESSION}`);
  await rail.locator('[aria-current="page"]').filter({ hasText: "Nothing said yet" }).waitFor();
  await rail.locator(`a[href="/demo/${SESSION}"]`).click();
  await live(page);
  assert.equal(new URL(page.url()).pathname, `/demo/${SESSION}`);

  // At each width nothing is cut off, in both themes.
  for (const [width, height] of [[1440, 900], [1280, 800], [768, 1024], [640, 400], [390, 844], [320, 568]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      assert.ok((await wide(page)) <= 0, `${width}: nothing is wider than the page`);
      await shot(page, `bench-${width}-${colorScheme}`);
      if (width >= 1280) continue;
      // The conversation comes first.
      await panel.waitFor({ state: "detached" });
      for (const side of ["rail", "panel"]) {
        await page.getByTestId(`${side}-toggle`).click();
        const shown = page.getByTestId(side);
        await shown.waitFor();
        assert.ok(await shown.evaluate((one) => one.contains(document.activeElement)), "the focus is in what came");
        assert.ok((await wide(page)) <= 0, `${width}: the ${side} is not wider than the page`);
        await shot(page, `${side}-${width}-${colorScheme}`);
        await page.keyboard.press("Escape");
        await shown.waitFor({ state: "detached" });
        assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), `${side}-toggle`);
      }
    }
  }
  nothingWrong();
});

// On a phone it is one pane at a time, and a place that is gone to is seen.
await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, PHONE);
  await page.getByTestId("panel-toggle").tap();
  await page.getByTestId("tab-tools").tap();
  await page.getByTestId("panel").getByRole("button", { name: /^Write/ }).tap();
  await page.getByTestId("panel").waitFor({ state: "detached" });
  await page.locator('[data-testid="tool-card"][data-tool="Write"][open]').first().waitFor();
  await page.getByTestId("rail-toggle").tap();
  await page.locator(".scrim").tap({ position: { x: 380, y: 400 } });
  await page.getByTestId("rail").waitFor({ state: "detached" });
  assert.ok(page.url().startsWith(BASE_URL));
  nothingWrong();
});
