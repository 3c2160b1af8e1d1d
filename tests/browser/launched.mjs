// An agent works with another one: the conversation has a card of its session, the rail has it below the one that
// launched it. A host that the sandbox may not reach is said where somebody sees it, with what to do.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, live, open, say, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;
const end = `${Date.now() % 1_000_000}`;
const helper = `helper-${end}`;
const lead = `lead-${end}`;

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const make = async (id, more) => {
    const data = { id, name: id, model: "local/demo", permission_mode: "acceptEdits", allowed_tools: ["Bash", "Write", "Read"], ...more };
    const answer = await page.request.post(`${BASE_URL}/api/configs/custom`, { data });
    assert.equal(answer.status(), 200, await answer.text());
  };
  await make(helper, {});
  await make(lead, { orchestration: { agents: [helper], max_sessions: 2 } });

  await page.getByTestId("launch").click();
  await page.getByTestId("launch-dialog").locator(`[data-agent="${lead}"]`).click();
  await page.getByTestId("launch-it").click();
  await page.waitForURL((url) => !url.pathname.endsWith(process.env.SESSION));
  await live(page);
  const parent = new URL(page.url()).pathname;
  await say(page, `ask the agent ${helper} to create a hello world app`);
  assert.equal(await ended(page, 1), "completed");
  const card = page.getByTestId("launched").filter({ hasText: helper });
  await card.filter({ hasText: /ready|asleep/ }).waitFor();
  const child = await card.getByRole("link").getAttribute("href");
  const below = page.getByTestId("rail").locator("li[data-depth]").filter({ has: page.locator(`a[href="${child}"]`) });
  await below.waitFor();
  assert.ok(await below.evaluate((one, parent) => one.previousElementSibling?.querySelector("a")?.getAttribute("href") === parent, parent), "it stands right below the one that launched it");
  assert.equal(await page.getByTestId("refused-host").count(), 0);

  // What is refused is said once a turn, with the way to the configuration that has to name it.
  await say(page, "run `curl -s -m 20 http://denied.example/; curl -s -m 20 http://denied.example/again; true`");
  assert.equal(await ended(page, 2), "completed");
  const refused = page.getByTestId("refused-host");
  await refused.filter({ hasText: "denied.example" }).filter({ hasText: "egress" }).waitFor();
  assert.equal(await refused.count(), 1);
  assert.equal(await refused.getByRole("link").getAttribute("href"), `/agents/${lead}`);
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/launched.png` });
  await page.getByTestId("tab-log").click();
  await page.getByTestId("panel").locator("summary").filter({ hasText: "egressMay not reach denied.example" }).waitFor();

  // From the card to the other one, whose own page knows where it comes from.
  await card.getByRole("link").click();
  await page.waitForURL(`**${child}`);
  await live(page);
  assert.equal(await ended(page, 1), "completed");
  await page.getByTestId("rail").locator('li[data-depth="1"] [aria-current="page"]').waitFor();
  await page.reload();
  await page.getByTestId("rail").locator('li[data-depth="1"] [aria-current="page"]').waitFor();
  nothingWrong();
});
