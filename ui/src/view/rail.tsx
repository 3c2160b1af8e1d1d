import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { byLink } from "../session/admission.ts";
import { activeTurn, openRequests } from "../session/conversation.ts";
import { inFamilies, parents, readFamily } from "../session/family.ts";
import { type Listed, listed, readSessions, searchSessions, type Status, STATUSES, total } from "../session/sessions.ts";
import { forgetVisit, visited } from "../session/visited.ts";
import { ago, dollars, text } from "../text.ts";
import { show, wide } from "../workbench.ts";
import { dialog } from "./actions.ts";
import { useNow, useSession } from "./context.ts";
import { shortId } from "./header.tsx";
import { Icon } from "./icon.tsx";
import { later } from "./later.tsx";
import { useSlide } from "./slide.ts";
import { Shape, StatusShape } from "./status.tsx";

const Bulk = later(async () => (await import("./bulk.tsx")).Bulk);

/** With more sessions than this there is a field to search them. */
const FEW = 6;
/** After the last key the server is asked for what fits. */
const PAUSE_MS = 300;
/** How often the list is read anew while it is seen. */
const EVERY_MS = 30_000;
/** The same while one of them is at work. */
const BUSY_EVERY_MS = 4_000;

/** The sessions that were chosen, to do something with all of them; null where none are being chosen. */
export const chosen = signal<ReadonlySet<string> | null>(null);

/** A session in the rail; known to the server, to this browser, or to both. */
export interface Entry extends Listed {
  /** The server does not list it: it can be taken off. */
  readonly own: boolean;
  /** Something has happened in it since this browser showed it last. */
  readonly unread: boolean;
}

const UNLISTED = { status: null, agent: "", model: "", cost: null, open: 0, own: true, unread: false } as const;

/** The server's sessions, and those that were opened here and are not its; the newest first. */
export function entries(server: readonly Listed[] | null, here: typeof visited.value): Entry[] {
  const known = new Set((server ?? []).map((one) => one.id));
  const visits = new Map(here.map((one) => [one.id, one]));
  const rest = here
    .filter((one) => !known.has(one.id))
    .map(({ id, title, at }): Entry => ({ id, title, at, ...UNLISTED }));
  const all = (server ?? []).map((one): Entry => {
    const visit = visits.get(one.id);
    const unread = visit !== undefined && visit.seen > 0 && one.at > visit.seen;
    return { ...one, title: one.title || (visit?.title ?? ""), own: false, unread };
  });
  // In one that is new nothing has happened yet.
  const at = (one: Entry) => (one.at === 0 ? Number.MAX_SAFE_INTEGER : one.at);
  return [...all, ...rest].sort((a, b) => at(b) - at(a));
}

export function Rail() {
  const session = useSession();
  const element = useSlide<HTMLElement>("rail");
  const [sought, setSought] = useState("");
  const [status, setStatus] = useState<Status | null>(null);
  const [found, setFound] = useState<readonly Listed[]>([]);
  const words = sought.trim().toLowerCase();
  const more = total.value - (listed.value?.length ?? 0);
  // What fits may be among those that are not listed.
  useEffect(() => {
    setFound([]);
    if (more <= 0 || (words === "" && status === null)) return;
    let gone = false;
    const ask = () => void searchSessions(words, status).then((all) => !gone && setFound(all), () => undefined);
    const timer = setTimeout(ask, PAUSE_MS);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [words, status, more > 0]);
  const known = new Set(listed.value?.map(({ id }) => id));
  const all = entries(listed.value && [...listed.value, ...found.filter(({ id }) => !known.has(id))], visited.value);
  const fits = all.filter(
    (one) => (status === null || one.status === status) && `${one.title} ${one.id} ${one.agent}`.toLowerCase().includes(words),
  );
  const running = activeTurn(session.conversation.value) !== null;
  const busy = listed.value?.some(({ status }) => status === "running" || status === "starting") === true;
  // Who has nothing but a link has no account.
  const asks = !byLink() && session.link.value.state === "live";
  useEffect(() => {
    if (!asks) return;
    void readSessions();
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void readSessions();
    }, busy ? BUSY_EVERY_MS : EVERY_MS);
    return () => clearInterval(timer);
  }, [asks, running, busy]);
  useEffect(() => {
    if (asks) void readFamily(session.id);
  }, [asks]);
  return (
    <nav ref={element} class="rail" aria-label={text.sessions} data-testid="rail" tabIndex={-1}>
      <header>
        <a class="button new" href="/demo">
          <Icon name="plus" />
          {text.newSession}
        </a>
        {!byLink() && (
          <button
            type="button"
            class="quiet"
            aria-label={text.launch}
            title={text.launch}
            aria-haspopup="dialog"
            data-testid="launch"
            onClick={() => (dialog.value = "launch")}
          >
            <Icon name="agent" />
          </button>
        )}
        {!byLink() && all.length > 0 && (
          <button
            type="button"
            class="quiet"
            aria-label={text.chooseSessions}
            title={text.chooseSessions}
            aria-pressed={chosen.value !== null}
            data-testid="choose-sessions"
            onClick={() => (chosen.value = chosen.value === null ? new Set() : null)}
          >
            <Icon name="select" />
          </button>
        )}
        {!wide.value && (
          <button type="button" class="quiet" aria-label={text.hideSessions} onClick={() => show("rail", false)}>
            <Icon name="cross" />
          </button>
        )}
      </header>
      {(all.length > FEW || status !== null) && (
        <div class="filters">
          <input
            type="search"
            value={sought}
            placeholder={text.searchSessions}
            aria-label={text.searchSessions}
            onInput={(event) => setSought(event.currentTarget.value)}
          />
          <select
            aria-label={text.filterSessions}
            title={text.filterSessions}
            value={status ?? ""}
            data-testid="session-filter"
            onChange={(event) => setStatus(STATUSES.find((one) => one === event.currentTarget.value) ?? null)}
          >
            <option value="">{text.allSessions}</option>
            {STATUSES.map((one) => (
              <option key={one} value={one}>
                {text.sessionStates[one]}
              </option>
            ))}
          </select>
        </div>
      )}
      {chosen.value !== null && <Bulk all={fits} />}
      {all.length === 0 && <p class="nothing">{text.noSessions}</p>}
      {all.length > 0 && fits.length === 0 && <p class="nothing">{text.noSessionFits}</p>}
      <ul>
        {inFamilies(fits, parents.value).map(([one, depth]) => (
          <EntryView key={one.id} one={one} depth={depth} />
        ))}
      </ul>
      {more > 0 && words === "" && status === null && <p class="faint">{text.moreSessions(more)}</p>}
    </nav>
  );
}

/** How deep a session is shown below those that launched it. */
const DEEPEST = 3;

function EntryView({ one, depth }: { one: Entry; depth: number }) {
  const session = useSession();
  const now = useNow(EVERY_MS);
  const here = one.id === session.id;
  const name = one.title === "" ? text.untitled : one.title;
  const waits = here ? openRequests(session.conversation.value).length > 0 : one.open > 0;
  const unread = one.unread && !here;
  const by = [one.agent, one.model.slice(one.model.lastIndexOf("/") + 1)].filter((name) => name !== "").join(" · ");
  const picked = chosen.value;
  return (
    <li class={picked === null ? undefined : "choosable"} data-depth={depth > 0 ? Math.min(depth, DEEPEST) : undefined}>
      {picked !== null && (
        <input
          type="checkbox"
          aria-label={text.chooseSession(name)}
          checked={picked.has(one.id)}
          data-testid="choose-session"
          onChange={(event) => {
            const next = new Set(picked);
            if (event.currentTarget.checked) next.add(one.id);
            else next.delete(one.id);
            chosen.value = next;
          }}
        />
      )}
      <a href={`/demo/${encodeURIComponent(one.id)}`} aria-current={here ? "page" : undefined} title={name} data-unread={unread}>
        <span class={one.title === "" ? "name untitled" : "name"}>
          {unread && (
            <span class="unread" title={text.unread} data-testid="unread">
              <Icon name="dot" />
              <span class="hidden">{`${text.unread}: `}</span>
            </span>
          )}
          {name}
        </span>
        <span class="about">
          {waits ? (
            <span class="waits" data-testid="waits">
              <Shape icon="question" words={text.waitsForYou} />
            </span>
          ) : one.status === null ? (
            <span>{shortId(one.id)}</span>
          ) : (
            <StatusShape status={one.status} />
          )}
          {depth > 0 && <span class="hidden">{text.launchedByAgent}</span>}
          {by !== "" && <span class="agent-name">{by}</span>}
          {one.cost !== null && <span>{dollars(one.cost)}</span>}
          {one.at > 0 && <span>{ago(now - one.at)}</span>}
        </span>
      </a>
      {one.own && !here && picked === null && (
        <button
          type="button"
          class="quiet small"
          aria-label={text.forgetSession(name)}
          title={text.forgetSession(name)}
          onClick={() => forgetVisit(one.id)}
        >
          <Icon name="cross" />
        </button>
      )}
    </li>
  );
}
