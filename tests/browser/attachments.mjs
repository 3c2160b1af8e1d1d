// Files go with a message: by button, by pasting, by dropping; with what is wrong with them, and without those that
// were taken off again.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, live, open, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;
const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const chips = page.getByTestId("attachment");
  const here = (count) => page.waitForFunction((count) => document.querySelectorAll('[data-testid="attachment"][data-state="here"]').length === count, count);
  const file = async (path) => (await fetch(`${BASE_URL}/api/files/${SESSION}/${path}?raw=true`)).status;

  await page.getByTestId("attach-files").setInputFiles([
    { name: "a plan.txt", mimeType: "text/plain", buffer: Buffer.from("the plan\n") },
    { name: "pixel.png", mimeType: "image/png", buffer: PIXEL },
    { name: "a plan.txt", mimeType: "text/plain", buffer: Buffer.from("another plan\n") },
  ]);
  await here(3);
  await chips.locator("img").waitFor();
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/attachments.png` });

  // What is taken off is in the workspace no longer.
  assert.equal(await file("attachments/pixel.png"), 200);
  await page.getByRole("button", { name: "Remove pixel.png" }).click();
  await here(2);
  for (let at = 0; (await file("attachments/pixel.png")) !== 404; at += 1) {
    assert.ok(at < 100, "it is deleted");
    await page.waitForTimeout(100);
  }

  // Pasted and dropped.
  const give = (selector, kind) =>
    page.locator(selector).evaluate(
      (element, [kind, name]) => {
        const data = new DataTransfer();
        data.items.add(new File(["x,y\n1,2\n"], name, { type: "text/csv" }));
        const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }) : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
        element.dispatchEvent(event);
      },
      [kind, `${kind}.csv`],
    );
  await give("#composer-field", "paste");
  await give(".scroller", "dragover");
  await page.getByText("Drop the files here").waitFor();
  await give(".scroller", "drop");
  await here(4);

  // What is there stays when the page comes back.
  await page.reload();
  await live(page);
  await here(4);

  // One that is too large is not sent, and says so; so does one for which the way is broken, which can be tried again.
  await page.evaluate(() => {
    const data = new DataTransfer();
    const large = new File(["x"], "large.bin");
    Object.defineProperty(large, "size", { value: 51 * 1024 * 1024 });
    data.items.add(large);
    const field = document.querySelector('[data-testid="attach-files"]');
    Object.defineProperty(field, "files", { value: [large], configurable: true });
    field.dispatchEvent(new Event("change", { bubbles: true }));
    delete field.files;
  });
  await chips.filter({ hasText: "larger than 50 MiB" }).waitFor();
  await page.getByRole("button", { name: "Remove large.bin" }).click();
  await page.context().setOffline(true);
  await page.getByTestId("attach-files").setInputFiles([{ name: "late.txt", mimeType: "text/plain", buffer: Buffer.from("late\n") }]);
  await chips.filter({ hasText: "The connection broke." }).waitFor();
  await page.context().setOffline(false);
  await chips.filter({ hasText: "late.txt" }).getByRole("button", { name: "Try again" }).click();
  await here(5);
  await live(page);

  await page.getByTestId("composer").fill("run `cat attachments/a-plan.txt attachments/a-plan-2.txt attachments/paste.csv attachments/late.txt`");
  await page.getByTestId("composer").press("Enter");
  assert.equal(await chips.count(), 0);
  assert.equal(await ended(page, 1), "completed");
  const said = await page.getByTestId("message-user").innerText();
  for (const name of ["a-plan.txt", "a-plan-2.txt", "paste.csv", "drop.csv", "late.txt"]) assert.ok(said.includes(`@attachments/${name}`), `${name} is named in ${said}`);
  const card = page.getByTestId("tool-card").first();
  await card.locator("summary").first().click();
  await card.getByText("another plan").waitFor();
  await card.getByText("late", { exact: false }).first().waitFor();
  // A name that is taken, and the time without a network.
  nothingWrong(/status of 409|ERR_INTERNET_DISCONNECTED|WebSocket/);
});
