/** Who is told when a turn has ended. */
import { useEffect, useState } from "preact/hooks";
import { useNow } from "../view/context.ts";
import { Icon, type IconName } from "../view/icon.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { more } from "../words/more.ts";
import { type Delivery, deleteWebhook, makeWebhook, pingWebhook, readDeliveries, readWebhooks, type Webhook } from "./automation.ts";
import { FormFrame } from "./form.tsx";
import { DeleteButton, type Kept, ListPlace, reason, SessionField, SessionLink, useKept } from "./list.tsx";
import { SecretOnce } from "./secret.tsx";
import { fromNow } from "./when.ts";

/** How often messages are looked for that were not delivered yet. */
const EVERY_MS = 2_000;

export function Webhooks() {
  const words = more.automation;
  const kept = useKept(readWebhooks);
  const [making, setMaking] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  return (
    <section class="automation-part" aria-label={words.parts.webhooks}>
      <p class="faint">{words.webhookWords}</p>
      {secret !== null && <SecretOnce title={words.secret} value={secret} test="webhook-secret" kept={() => setSecret(null)} />}
      <ListPlace kept={kept} empty={words.noWebhooks}>
        {kept.list?.map((one) => (
          <WebhookRow key={one.id} one={one} kept={kept} />
        ))}
      </ListPlace>
      {making ? (
        <WebhookForm
          cancel={() => setMaking(false)}
          done={(made) => {
            setMaking(false);
            setSecret(made);
            void kept.again();
          }}
        />
      ) : (
        <button type="button" class="add-one" data-testid="add-webhook" onClick={() => setMaking(true)}>
          <Icon name="plus" />
          {words.addWebhook}
        </button>
      )}
    </section>
  );
}

function WebhookForm({ cancel, done }: { cancel: () => void; done: (secret: string) => void }) {
  const words = more.automation;
  const [url, setUrl] = useState("");
  const [session, setSession] = useState("");
  const [flawed, setFlawed] = useState(false);
  const send = async () => done(await makeWebhook(url.trim(), session === "" ? null : session));
  return (
    <FormFrame title={words.addWebhook} name="webhook" send={send} refused={(error) => setFlawed(error !== null)} cancel={cancel}>
      <div class="pair">
        <label class="field">
          <span>{words.url}</span>
          <input type="url" class="code" required maxLength={2000} value={url} placeholder="https://example.com/hook" aria-invalid={flawed} onInput={(event) => setUrl(event.currentTarget.value)} />
        </label>
        <SessionField label={words.webhookOf} value={session} all={words.allSessions} change={setSession} />
      </div>
    </FormFrame>
  );
}

function WebhookRow({ one, kept }: { one: Webhook; kept: Kept<Webhook> }) {
  const words = more.automation;
  const [open, setOpen] = useState(false);
  const [pings, setPings] = useState(0);
  return (
    <li data-testid="webhook">
      <div class="automation-about">
        <strong class="address">{one.url}</strong>
        <p class="faint">
          {one.session === null ? words.allSessions : <SessionLink id={one.session} />}
        </p>
        {one.gone && <p class="wrong">{words.gone}</p>}
      </div>
      <div class="automation-deeds">
        <button
          type="button"
          class="small"
          data-testid="webhook-ping"
          onClick={async () => {
            if (!(await kept.run(() => pingWebhook(one.id)))) return;
            setOpen(true);
            setPings(pings + 1);
          }}
        >
          {words.ping}
        </button>
        <button type="button" class="small" aria-expanded={open} data-testid="webhook-deliveries" onClick={() => setOpen(!open)}>
          {words.deliveries}
        </button>
        <DeleteButton words={words.deleteOf(one.url)} sure={words.deleteSure} remove={() => void kept.run(() => deleteWebhook(one.id))} />
      </div>
      {open && <Deliveries key={pings} id={one.id} />}
    </li>
  );
}

const ICONS: Record<Delivery["outcome"], IconName> = { pending: "clock", delivered: "check", failed: "alert" };

function Deliveries({ id }: { id: string }) {
  const words = more.automation;
  const now = useNow(EVERY_MS);
  const [list, setList] = useState<readonly Delivery[] | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const waits = list === null || list.some((one) => one.outcome === "pending" && one.nextAt < now + 10_000);
  useEffect(() => {
    let gone = false;
    const read = () =>
      void readDeliveries(id).then(
        (all) => !gone && setList(all),
        (error: unknown) => !gone && setWrong(reason(error)),
      );
    read();
    const timer = waits ? setInterval(read, EVERY_MS) : undefined;
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [id, waits]);
  if (wrong !== null) return <p class="wrong">{wrong}</p>;
  if (list === null) return <Skeleton />;
  if (list.length === 0) return <p class="faint">{words.noDeliveries}</p>;
  return (
    <ul class="deliveries">
      {list.map((one) => (
        <li key={one.id} data-testid="delivery" data-outcome={one.outcome}>
          <span class="shape">
            <Icon name={ICONS[one.outcome]} />
            {words.outcomes[one.outcome]}
          </span>
          <strong>{one.kind}</strong>
          {one.session !== null && <SessionLink id={one.session} />}
          <span class="faint">
            {[
              words.attempts(one.attempts),
              one.answer,
              one.at > 0 ? fromNow(one.at, now) : "",
              one.outcome === "pending" && one.nextAt > now ? words.nextAttempt(fromNow(one.nextAt, now)) : "",
            ]
              .filter((part) => part !== "")
              .join(" · ")}
          </span>
        </li>
      ))}
    </ul>
  );
}
