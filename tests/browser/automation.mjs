// What happens without a person at hand: a schedule is made, changed, put to rest and deleted; a webhook is made, its
// secret is shown once, a ping reaches its server signed, and it is deleted.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { DESKTOP, ended, open, say, SESSION, withBrowser } from "./page.mjs";

const SHOTS = process.env.SCREENSHOTS;

/** A server that keeps what it is told. */
const heard = [];
const hook = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    heard.push({ headers: request.headers, body });
    response.writeHead(204).end();
  });
});
await new Promise((resolve) => hook.listen(0, "127.0.0.1", resolve));
const address = `http://127.0.0.1:${hook.address().port}/hook`;

try {
  await withBrowser(async (browser) => {
    const { page, nothingWrong } = await open(browser, DESKTOP);
    await say(page, "run `echo first`");
    await ended(page, 1);
    await page.getByTestId("menu").click();
    await page.getByTestId("settings").click();
    await page.getByTestId("open-automation").click();
    const dialog = page.getByTestId("automation-dialog");
    await dialog.waitFor();

    // A schedule, in words: what is said is what the server has.
    const prompt = `say what is new (${Date.now()})`;
    const row = dialog.getByTestId("schedule").filter({ hasText: prompt });
    await dialog.getByTestId("add-schedule").click();
    const form = dialog.getByTestId("schedule-form");
    await form.getByLabel("What is said").fill(prompt);
    await form.getByTestId("schedule-time").fill("07:30");
    await form.getByTestId("schedule-zone").fill("Europe/Berlin");
    await form.getByText("Monday to Friday at 07:30 (Europe/Berlin)").waitFor();
    await form.getByTestId("schedule-save").click();
    await row.filter({ hasText: /Monday to Friday at 07:30 \(Europe\/Berlin\) · next .+:/ }).waitFor();
    await row.getByRole("link", { name: "run `echo first`" }).waitFor();
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/schedules.png` });

    // It rests, and goes on.
    await row.getByTestId("schedule-enabled").uncheck();
    await row.filter({ hasText: "rests" }).waitFor();
    await row.getByTestId("schedule-enabled").check();
    await row.filter({ hasText: "next" }).waitFor();

    // It is changed; what can't be read is said, and nothing of what was typed is lost.
    await row.getByTestId("schedule-edit").click();
    assert.equal(await form.getByTestId("schedule-time").inputValue(), "07:30");
    await form.getByTestId("schedule-rhythm").selectOption("own");
    await form.getByTestId("schedule-cron").fill("61 * * * *");
    await form.getByTestId("schedule-save").click();
    await form.getByRole("alert").filter({ hasText: "cron can't be read" }).waitFor();
    assert.equal(await form.getByTestId("schedule-cron").getAttribute("aria-invalid"), "true");
    assert.equal(await form.getByLabel("What is said").inputValue(), prompt);
    await form.getByTestId("schedule-rhythm").selectOption("weekly");
    await form.getByTestId("schedule-weekday").selectOption("6");
    await form.getByTestId("schedule-save").click();
    await row.filter({ hasText: "Every Saturday at 07:30" }).waitFor();
    // Once, at a time that is to come.
    await row.getByTestId("schedule-edit").click();
    await form.getByRole("radio", { name: "Once" }).check();
    await form.getByLabel("At, by the clock here").fill("2090-01-31T09:00");
    await form.getByTestId("schedule-save").click();
    await row.filter({ hasText: /Once: .*2090/ }).waitFor();
    await row.getByTestId("automation-delete").click();
    await row.getByTestId("automation-delete-sure").click();
    await row.waitFor({ state: "detached" });

    // A webhook. Its secret is there once, and signs what is sent.
    await dialog.getByRole("radio", { name: "Webhooks" }).check();
    await dialog.getByTestId("add-webhook").click();
    const making = dialog.getByTestId("webhook-form");
    await making.getByLabel("Address").fill("ftp://example.com/");
    await making.getByTestId("webhook-save").click();
    await making.getByRole("alert").filter({ hasText: "url" }).waitFor();
    await making.getByLabel("Address").fill(address);
    await making.getByLabel("Turns of").selectOption(SESSION);
    await making.getByTestId("webhook-save").click();
    const shown = dialog.getByTestId("webhook-secret");
    const secret = await shown.getByRole("textbox").inputValue();
    assert.match(secret, /^whsec_/);
    await shown.getByRole("button", { name: "Copy" }).waitFor();
    await dialog.getByTestId("webhook-secret-kept").click();
    await shown.waitFor({ state: "detached" });
    assert.ok(!(await page.content()).includes(secret), "it is nowhere any more");
    const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
    assert.ok(!kept.includes(secret));

    const listed = dialog.getByTestId("webhook").filter({ hasText: address });
    await listed.getByTestId("webhook-ping").click();
    await listed.getByTestId("delivery").filter({ hasText: "ping" }).and(page.locator('[data-outcome="delivered"]')).waitFor();
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/webhooks.png` });
    const [{ headers, body }] = heard;
    const signed = createHmac("sha256", Buffer.from(secret.slice("whsec_".length), "base64")).update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`).digest("base64");
    assert.equal(headers["webhook-signature"], `v1,${signed}`);
    await listed.getByTestId("automation-delete").click();
    await listed.getByTestId("automation-delete-sure").click();
    await listed.waitFor({ state: "detached" });
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    // What was refused here on purpose.
    nothingWrong(/status of 400/);
  });
} finally {
  hook.close();
}
