// Signing in with a token, a link for reading that somebody else opens, and the end of both.
import assert from "node:assert/strict";
import { BASE_URL, DESKTOP, ended, live, say, SESSION, withBrowser } from "./page.mjs";

const { TOKEN } = process.env;

await withBrowser(async (browser) => {
  const context = await browser.newContext(DESKTOP);
  const page = await context.newPage();
  await page.goto(`${BASE_URL}/demo/${SESSION}`);
  await page.getByTestId("sign-in").waitFor();
  assert.equal(await page.getByTestId("composer").count(), 0, "nothing of the session is shown");
  await page.getByTestId("token").fill("wrong");
  await page.getByTestId("sign-in-send").click();
  await page.getByRole("alert").filter({ hasText: "nobody is known" }).waitFor();
  await page.getByTestId("token").fill(TOKEN);
  await page.getByTestId("sign-in-send").click();
  await live(page);
  await say(page, "say one word");
  assert.equal(await ended(page, 1), "completed");

  const scripts = await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert.ok(!scripts.includes(TOKEN) && !scripts.includes("ar_"), "no script can read a key");

  await page.getByTestId("menu").click();
  await page.getByTestId("share").click();
  await page.getByTestId("share-make").click();
  const link = page.getByTestId("share-link");
  await link.waitFor();
  const address = await link.inputValue();
  assert.ok(address.startsWith(`${BASE_URL}/demo/${SESSION}#share=ars_r_`), address);

  // Somebody else, who has nothing but the link.
  const reader = await (await browser.newContext(DESKTOP)).newPage();
  await reader.goto(address);
  await reader.getByTestId("read-only").waitFor();
  assert.equal(await ended(reader, 1), "completed");
  assert.equal(await reader.getByTestId("composer").count(), 0);
  await reader.getByTestId("menu").click();
  assert.equal(await reader.getByTestId("share").count(), 0);
  assert.equal(await reader.getByTestId("delete").count(), 0);
  assert.equal(new URL(reader.url()).hash, "", "the token is not left in the address");
  await reader.reload();
  await reader.getByTestId("read-only").waitFor();

  await page.getByTestId("share-revoke").click();
  await reader.getByTestId("sign-in").waitFor();
  assert.equal(await reader.getByTestId("token").count(), 0, "a token would not help");

  await page.keyboard.press("Escape");
  await page.getByTestId("share-dialog").waitFor({ state: "detached" });
  // A key for a program: shown once, good for what was chosen, and of no use when it is revoked.
  await page.getByTestId("menu").click();
  await page.getByTestId("automation").click();
  const dialog = page.getByTestId("automation-dialog");
  await dialog.getByRole("radio", { name: "API keys" }).check();
  await dialog.getByTestId("key").filter({ hasText: "A browser that has signed in" }).first().waitFor();
  await dialog.getByTestId("add-key").click();
  const name = `reader ${Date.now()}`;
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByRole("checkbox", { name: /^Write/ }).uncheck();
  await dialog.getByRole("checkbox", { name: /^Launch/ }).uncheck();
  await dialog.getByTestId("key-save").click();
  const key = await dialog.getByTestId("key-secret").getByRole("textbox").inputValue();
  await dialog.getByTestId("key-secret-kept").click();
  assert.ok(!(await page.content()).includes(key), "it is nowhere any more");
  const asked = (path, method = "GET") => fetch(`${BASE_URL}${path}`, { method, headers: { authorization: `Bearer ${key}` } });
  assert.equal((await asked(`/api/sessions/${SESSION}/events`)).status, 200);
  assert.equal((await asked(`/api/sessions/${SESSION}/shares`, "DELETE")).status, 403);
  const row = dialog.getByTestId("key").filter({ hasText: name });
  await row.filter({ hasText: /Read · ends/ }).waitFor();
  await row.getByTestId("automation-delete").click();
  await row.getByTestId("automation-delete-sure").click();
  await row.waitFor({ state: "detached" });
  assert.equal((await asked(`/api/sessions/${SESSION}/events`)).status, 401);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  await page.getByTestId("menu").click();
  await page.getByTestId("sign-out").click();
  await page.getByTestId("sign-in").waitFor();
});
