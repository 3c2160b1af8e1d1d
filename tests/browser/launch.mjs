// An agent is launched from the rail, and found there again with where it stands.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, live, open, say, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;

await withBrowser(async (browser) => {
  const { page, nothingWrong } = await open(browser, DESKTOP);
  const rail = page.getByTestId("rail");
  await say(page, "run `echo here`");
  await ended(page, 1);
  await rail.locator('[aria-current="page"]').filter({ hasText: "ready" }).waitFor();

  await page.getByTestId("launch").click();
  const dialog = page.getByTestId("launch-dialog");
  const agents = dialog.getByTestId("agent");
  await agents.first().waitFor();
  const names = await agents.evaluateAll((all) => all.map((one) => one.dataset.agent));
  for (const preset of ["code-assistant", "research-agent", "data-analysis", "fullstack-team", "github-code-review"]) {
    assert.ok(names.includes(preset), `${preset} is offered among ${names}`);
  }

  // What its servers need is asked for, is no clear text on the screen, and is kept nowhere.
  await dialog.locator('[data-agent="github-code-review"]').click();
  const start = page.getByTestId("launch-it");
  assert.ok(await start.isDisabled(), "not without its token");
  const secret = dialog.locator("fieldset input");
  assert.equal(await secret.getAttribute("type"), "password");
  await secret.fill("ghp_notakey");
  assert.ok(await start.isEnabled());
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert.ok(!kept.includes("ghp_notakey"));
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/launch.png` });

  // Where its sandbox runs is a choice of those that the deployment has, where it has several.
  const told = await (await page.request.get(`${BASE_URL}/api/providers`)).json();
  assert.ok(told.providers.some(({ name }) => name === told.default), JSON.stringify(told));
  const places = dialog.getByTestId("launch-provider");
  assert.equal(await places.count(), told.providers.length > 1 ? 1 : 0);
  await page.route("**/api/providers", (route) => {
    const other = { name: "elsewhere<img src=x>", default: false, enforces: ["memory"] };
    return route.fulfill({ json: { ...told, providers: [...told.providers, other] } });
  });
  await dialog.locator('[data-agent="research-agent"]').click();
  await places.selectOption("elsewhere<img src=x>");
  await dialog.getByText("Of an agent's limits it holds to: memory").waitFor();
  assert.equal(await places.locator("option").count(), told.providers.length + 2);
  await page.unroute("**/api/providers");

  await dialog.locator('[data-agent="code-assistant"]').click();
  await start.click();
  await page.waitForURL((url) => !url.pathname.endsWith(SESSION));
  await live(page);
  await page.getByTestId("model-menu").selectOption("local/demo");
  await say(page, "run `echo launched`");
  assert.equal(await ended(page, 1), "completed");
  await rail.locator('[aria-current="page"]').filter({ hasText: "code-assistant" }).waitFor();
  await rail.getByRole("link", { name: /echo here/ }).click();
  await page.waitForURL((url) => url.pathname.endsWith(SESSION));
  await live(page);
  assert.equal(await ended(page, 1), "completed");

  // A session goes on from the end of a turn, in another one.
  await say(page, "run `echo later`");
  assert.equal(await ended(page, 2), "completed");
  const first = page.getByTestId("turn").first();
  await first.hover();
  await first.getByTestId("fork").click();
  await page.waitForURL((url) => !url.pathname.endsWith(SESSION));
  await live(page);
  assert.equal(await ended(page, 1), "completed");
  assert.deepEqual(await page.getByTestId("message-user").allInnerTexts(), ["run `echo here`"]);
  await say(page, "run `echo forked`");
  assert.equal(await ended(page, 2), "completed");
  await rail.locator('[aria-current="page"]').filter({ hasText: "ready" }).waitFor();
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/rail.png` });
  nothingWrong();
});
