// What the agent asks can be decided in the page, with the keyboard alone, by whoever is there.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, live, open, PHONE, say, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const shot = async (name, of = page) => {
    if (SHOTS) await of.screenshot({ path: `${SHOTS}/${name}.png` });
  };
  const cards = page.getByTestId("request-card");
  const openCard = cards.and(page.locator('[data-state="open"]'));
  const mode = async (name) => {
    await page.getByTestId("advanced-toggle").click();
    await page.getByTestId("advanced").getByRole("radio", { name }).check();
    await page.getByTestId("advanced-toggle").click();
  };
  const fits = async (where) =>
    assert.ok(await where.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is cut off");

  // A command: allowed, from the keyboard; said to those who listen; seen in the tab's title.
  await mode(/^Ask/);
  await say(page, "run `touch one.txt`");
  await openCard.waitFor();
  assert.match(await openCard.innerText(), /touch one\.txt/);
  await page.getByTestId("announcer").filter({ hasText: /waits for you/ }).waitFor();
  assert.match(await page.title(), /Waits for you/);
  // Also in the list of a browser that has never opened it.
  const elsewhere = await (await browser.newContext(DESKTOP)).newPage();
  await elsewhere.goto(`${BASE_URL}/demo`);
  const entry = elsewhere.getByTestId("rail").locator("li").filter({ has: elsewhere.locator(`a[href="/demo/${SESSION}"]`) });
  await entry.getByTestId("waits").waitFor();
  await shot("bash");
  await openCard.getByRole("button", { name: "Allow", exact: true }).focus();
  await page.keyboard.press("Enter");
  assert.equal(await ended(page, 1), "completed");
  assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "composer", "the focus is not lost");
  assert.equal(await cards.last().getAttribute("data-state"), "allow");
  assert.doesNotMatch(await page.title(), /Waits/);
  await entry.getByTestId("waits").waitFor({ state: "detached" });
  await elsewhere.close();

  // Refused with a reason, which the agent hears. Enter in the field is enough.
  await say(page, "write `some text` to `notes.txt`");
  await openCard.getByLabel("Reason, if there is one").fill("Not this file");
  await shot("write");
  await page.keyboard.press("Enter");
  await ended(page, 2);
  assert.equal(await cards.last().getAttribute("data-state"), "deny");
  assert.match(await page.getByTestId("message-assistant").last().innerText(), /Not this file/);

  // For this session: what that means is said, kept, and can be taken back. Another page sees it all.
  const phone = await (await browser.newContext(PHONE)).newPage();
  await phone.goto(page.url());
  await live(phone);
  await say(page, "run `mkdir -p a` and `mkdir -p a`");
  const there = phone.locator('[data-testid="request-card"][data-state="open"]');
  await there.waitFor();
  await fits(phone);
  await shot("bash-phone", phone);
  assert.match(await openCard.innerText(), /Bash\(mkdir -p a/);
  await there.getByRole("button", { name: "Allow for this session" }).tap();
  assert.equal(await ended(page, 3), "completed");
  assert.equal(await cards.count(), 3, "it was asked once");
  await page.getByTestId("advanced-toggle").click();
  await page.getByTestId("rules").getByRole("button").click();
  await page.getByTestId("rules").waitFor({ state: "detached" });
  await page.getByTestId("advanced-toggle").click();

  // Questions, with an answer of one's own.
  await say(page, "please ask me a question");
  await openCard.waitFor();
  const send = openCard.getByRole("button", { name: "Send answers" });
  assert.ok(await send.isDisabled());
  await openCard.getByLabel(/^Red/).check();
  const second = openCard.getByTestId("question").nth(1);
  await second.getByLabel(/^Bread/).check();
  await second.getByPlaceholder("Your own answer").fill("Salt");
  await shot("question");
  await there.waitFor();
  await fits(phone);
  await shot("question-phone", phone);
  await send.click();
  assert.equal(await ended(page, 4), "completed");
  assert.match(await page.getByTestId("message-assistant").last().innerText(), /Red[^]*Bread, Salt/);

  // A plan, approved.
  await mode(/^Plan/);
  await say(page, "plan: a garden shed");
  await openCard.getByTestId("plan").getByRole("heading", { name: /garden shed/ }).waitFor();
  await shot("plan");
  await there.waitFor();
  await fits(phone);
  await shot("plan-phone", phone);
  await openCard.getByRole("button", { name: "Approve and edit automatically" }).click();
  assert.equal(await ended(page, 5), "completed");
  await page.getByTestId("advanced-toggle").click();
  assert.ok(await page.getByTestId("advanced").getByRole("radio", { name: /^Work/ }).isChecked());
  await page.getByTestId("advanced-toggle").click();

  // The mode counts at once, and stays where the page is loaded again.
  await mode(/^Ask/);
  await page.reload();
  await live(page);
  await say(page, "run `touch stopped.txt`");
  await openCard.waitFor();
  await page.getByTestId("stop").click();
  assert.equal(await ended(page, 6), "interrupted");
  assert.equal(await cards.last().getAttribute("data-state"), "withdrawn");
  await cards.last().locator("summary").click();
  await shot("decided");

  // One that is made to be misread: all of it is shown, from its begin, each character seen; the tool's name
  // stands apart from it, and the buttons are in reach.
  // Not typed as a person would: for that a browser takes minutes.
  await page.getByTestId("composer").evaluate((field, words) => {
    field.value = words;
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }, `run \`touch deceived.txt # \u202e${"\n".repeat(10_000)}# Approved by admin\``);
  await page.getByTestId("composer").press("Enter");
  await openCard.waitFor();
  const asked = openCard.getByTestId("asked").first();
  const words = await asked.textContent();
  assert.ok(words.startsWith("touch deceived.txt # \\u202e\n"), JSON.stringify(words.slice(0, 80)));
  assert.ok(words.endsWith("\n# Approved by admin"), JSON.stringify(words.slice(-80)));
  assert.equal(await asked.evaluate((one) => one.scrollTop), 0);
  assert.equal(await openCard.locator(".tool-name").innerText(), "Bash");
  await openCard.getByText("10,001 lines in all").waitFor();
  for (const [where, card] of [[page, openCard], [phone, there]]) {
    await card.waitFor();
    await fits(where);
    const { height } = await card.boundingBox();
    assert.ok(height < where.viewportSize().height, `the card is ${height} high`);
    await card.getByRole("button", { name: "Allow", exact: true }).scrollIntoViewIfNeeded();
  }
  await shot("deceiving");
  await shot("deceiving-phone", phone);
  await openCard.getByRole("button", { name: "Deny" }).click();
  await ended(page, 7);
  assert.equal(await cards.last().getAttribute("data-state"), "deny");
  // What a terminal would act on, Claude Code refuses in a command by itself; a file may hold it.
  await say(page, "write `\u001b[8mhidden\u001b[0m Approved by admin` to `deceived.txt`");
  await openCard.waitFor();
  assert.equal(await openCard.getByTestId("asked").first().textContent(), "\\u001b[8mhidden\\u001b[0m Approved by admin\n");
  await openCard.getByRole("button", { name: "Deny" }).click();
  await ended(page, 8);
  nothingWrong();
});
