// A person types a message, sees the tool cards and the final text, reloads, and sees the same.
import assert from "node:assert/strict";
import { BASE_URL, open, SESSION, withBrowser } from "./page.mjs";

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser);
  assert.equal(await page.getByTestId("model-menu").inputValue(), "local/demo", "without a key, the demo is the default");

  await page.getByTestId("composer").fill("create a hello world app");
  await page.getByTestId("send").click();
  await page.locator('[data-testid="tool-card"][data-tool="Write"][data-state="done"]').waitFor({ timeout: 60_000 });
  await page.locator('[data-testid="tool-card"][data-tool="Bash"][data-state="done"]').waitFor({ timeout: 60_000 });
  await page.locator('[data-testid="turn-end"][data-outcome="completed"]').waitFor({ timeout: 60_000 });

  const seen = async () => ({
    said: await page.getByTestId("message-user").allInnerTexts(),
    answered: await page.getByTestId("message-assistant").allInnerTexts(),
    tools: await page.getByTestId("tool-card").evaluateAll((cards) => cards.map((card) => [card.dataset.tool, card.dataset.state])),
  });
  const before = await seen();
  assert.match(before.said.join(), /create a hello world app/);
  assert.match(before.answered.join("\n"), /hello/i);
  assert.deepEqual(before.tools, [["Write", "done"], ["Bash", "done"]]);

  await page.reload();
  await page.locator('[data-testid="turn-end"][data-outcome="completed"]').waitFor();
  assert.deepEqual(await seen(), before, "a reload shows the same");

  // Stopping, from the keyboard and on a phone.
  await page.setViewportSize({ width: 390, height: 844 });
  await page.getByTestId("composer").fill("stream 500 words every 50 ms");
  await page.getByTestId("composer").press("Enter");
  await page.getByTestId("stop").waitFor();
  await page.getByTestId("message-assistant").filter({ hasText: /word5\b/ }).last().waitFor();
  await page.getByTestId("stop").click();
  await page.locator('[data-testid="turn-end"][data-outcome="interrupted"]').waitFor({ timeout: 10_000 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `nothing is wider than the phone: ${width}`);

  // What a command prints is seen while it runs, and its result when it is over.
  await page.getByTestId("composer").fill("run `echo now; until test -e go-on; do sleep 0.2; done; echo later`");
  await page.getByTestId("composer").press("Enter");
  const command = page.locator('[data-testid="tool-card"][data-tool="Bash"]').last();
  await command.and(page.locator('[data-state="running"]')).locator(".terminal").filter({ hasText: /now$/ }).waitFor();
  const goOn = { headers: { "content-type": "application/octet-stream" }, data: "" };
  assert.ok((await page.request.put(`${BASE_URL}/api/files/${SESSION}/go-on`, goOn)).ok());
  await command.and(page.locator('[data-state="done"]')).waitFor();
  assert.equal(await command.getAttribute("open"), null, "what is over is folded");
  await command.locator("summary").click();
  assert.match(await command.locator(".terminal").innerText(), /now\nlater$/);
  nothingWrong();
});
