import { useState } from "preact/hooks";
import { forgetVisit, visited, type Visited } from "../session/visited.ts";
import { ago, text } from "../text.ts";
import { show, wide } from "../workbench.ts";
import { useNow, useSession } from "./context.ts";
import { shortId } from "./header.tsx";
import { Icon } from "./icon.tsx";
import { useSlide } from "./slide.ts";

/** With more sessions than this there is a field to search them. */
const FEW = 6;

export function Rail() {
  const element = useSlide<HTMLElement>("rail");
  const [sought, setSought] = useState("");
  const all = visited.value;
  const fits = all.filter((one) => `${one.title} ${one.id}`.toLowerCase().includes(sought.trim().toLowerCase()));
  return (
    <nav ref={element} class="rail" aria-label={text.sessions} data-testid="rail" tabIndex={-1}>
      <header>
        <a class="button new" href="/demo">
          <Icon name="plus" />
          {text.newSession}
        </a>
        {!wide.value && (
          <button type="button" class="quiet" aria-label={text.hideSessions} onClick={() => show("rail", false)}>
            <Icon name="cross" />
          </button>
        )}
      </header>
      {all.length > FEW && (
        <input
          type="search"
          value={sought}
          placeholder={text.searchSessions}
          aria-label={text.searchSessions}
          onInput={(event) => setSought(event.currentTarget.value)}
        />
      )}
      {all.length === 0 && <p class="nothing">{text.noSessions}</p>}
      {all.length > 0 && fits.length === 0 && <p class="nothing">{text.noSessionFits}</p>}
      <ul>
        {fits.map((one) => (
          <Entry key={one.id} one={one} />
        ))}
      </ul>
    </nav>
  );
}

function Entry({ one }: { one: Visited }) {
  const session = useSession();
  const now = useNow(30_000);
  const here = one.id === session.id;
  const name = one.title === "" ? text.untitled : one.title;
  return (
    <li>
      <a href={`/demo/${encodeURIComponent(one.id)}`} aria-current={here ? "page" : undefined} title={name}>
        <span class={one.title === "" ? "name untitled" : "name"}>{name}</span>
        <span class="about">
          <span>{shortId(one.id)}</span>
          {one.at > 0 && <span>{ago(now - one.at)}</span>}
        </span>
      </a>
      {!here && (
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
