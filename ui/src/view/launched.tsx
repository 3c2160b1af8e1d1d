/** What an agent's work reaches beyond its sandbox: sessions that it launched, hosts that it may not reach. */
import { useEffect, useState } from "preact/hooks";
import { byLink } from "../session/admission.ts";
import type { LaunchedItem, RefusedHostItem } from "../session/conversation.ts";
import { launchedBy, readSession } from "../session/family.ts";
import { type Listed, listed } from "../session/sessions.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { Icon } from "./icon.tsx";
import { StatusShape } from "./status.tsx";

/** How often a session that is at work is asked where it stands. */
const EVERY_MS = 5_000;

export function LaunchedCard({ item }: { item: LaunchedItem }) {
  const session = useSession();
  const state = useListed(item.session);
  useEffect(() => launchedBy(session.id, [item.session]), [item.session]);
  return (
    <div class="item card launched" data-testid="launched" data-item={item.key}>
      <Icon name="agent" />
      <div>
        <p>
          <strong>{text.launched(item.agent)}</strong>
          {state?.status != null && <StatusShape status={state.status} />}
        </p>
        {state !== null && state.title !== "" && <p class="faint">{state.title}</p>}
        <a href={`/demo/${encodeURIComponent(item.session)}`}>{text.openSession}</a>
      </div>
    </div>
  );
}

/** Where a session stands: as the list says, or as it says itself, for as long as it is at work. */
function useListed(id: string): Listed | null {
  const [own, setOwn] = useState<Listed | null>(null);
  const inList = listed.value?.find((one) => one.id === id) ?? null;
  const now = inList ?? own;
  const working = now === null || now.status === "running" || now.status === "starting";
  useEffect(() => {
    if (inList !== null || !working || byLink()) return;
    let gone = false;
    const ask = () => {
      if (document.visibilityState === "visible") void readSession(id).then((told) => !gone && setOwn(told));
    };
    ask();
    const timer = setInterval(ask, EVERY_MS);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [id, inList !== null, working]);
  return now;
}

export function RefusedHost({ item }: { item: RefusedHostItem }) {
  const session = useSession();
  const agent = listed.value?.find((one) => one.id === session.id)?.agent ?? "";
  return (
    <div class="item card refused-host" data-testid="refused-host" data-item={item.key}>
      <Icon name="globe" />
      <div>
        <strong>{text.refusedHost(item.host)}</strong>
        <p>{agent === "" ? text.refusedHostPlain : text.refusedHostWords(agent)}</p>
        {!byLink() && (
          <a href={agent === "" ? "/agents?new" : `/agents/${encodeURIComponent(agent)}`}>{agent === "" ? text.buildAgent : text.openAgent}</a>
        )}
      </div>
    </div>
  );
}
