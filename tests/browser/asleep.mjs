// What the session uses, as long as its sandbox runs; and one that sleeps is woken by nobody who only looks.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, live, open, say, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const status = async () => (await (await fetch(`${BASE_URL}/api/resources/${SESSION}`)).json()).status;
  await say(page, "create a hello world app");
  assert.equal(await ended(page, 1), "completed");
  await page.getByTestId("tab-resources").click();
  const measures = page.getByTestId("measure");
  await measures.filter({ hasText: /Memory.*iB/s }).waitFor();
  assert.equal(await measures.count(), 4);
  assert.match(await measures.filter({ hasText: "CPU" }).innerText(), /\d+ % of \d/);
  // Measured again and again, a line grows.
  await measures.first().locator("path.line").waitFor();
  await page.getByTestId("used").filter({ hasText: /Tokens in\s*[1-9]/ }).waitFor();
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/resources.png` });

  // It falls asleep under the eyes of who looks.
  await page.getByTestId("asleep").waitFor();
  assert.equal(await status(), "sleeping");

  // Who opens the tab of files sees what was saved last, and wakes nobody.
  const file = page.getByTestId("file").filter({ hasText: "hello.py" });
  await page.getByTestId("tab-files").click();
  await file.waitFor();
  await page.getByTestId("from-save").waitFor();
  await file.click();
  await page.getByTestId("file-view").getByText("Hello, world!").first().waitFor();
  await page.getByTestId("files-back").click();
  assert.equal(await status(), "sleeping", "files of the last save wake nobody");
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/files-saved.png` });
  // What the save can't tell may wake it: so a page that is only open asks for nothing.
  await page.reload();
  await live(page);
  await page.getByTestId("files-asleep").waitFor();
  assert.equal(await status(), "sleeping", "to open the page wakes nobody");
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/files-asleep.png` });
  await page.getByTestId("wake").click();
  await file.waitFor();
  assert.equal(await status(), "sleeping");
  // What the agent's calls have changed is known without it; all of it when somebody asks for that.
  await page.getByTestId("files-changes").check();
  const changes = (from) => page.locator(`[data-testid="changes"][data-from="${from}"]`).getByTestId("file-diff");
  await changes("calls").filter({ hasText: "hello.py" }).waitFor();
  assert.equal(await status(), "sleeping");
  await page.getByTestId("changes-whole").click();
  await changes("sandbox").filter({ hasText: "hello.py" }).waitFor();
  assert.equal(await status(), "running");

  // Who begins to write wakes it too.
  await page.getByTestId("tab-resources").click();
  await page.getByTestId("asleep").waitFor();
  await page.getByTestId("composer").fill("r");
  await measures.first().waitFor();
  await page.getByTestId("composer").fill("run `ls`");
  await page.getByTestId("composer").press("Enter");
  assert.equal(await ended(page, 2), "completed");
  nothingWrong();
});
