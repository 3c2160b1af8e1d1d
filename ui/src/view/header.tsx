import icon from "../icon.svg";
import { text } from "../text.ts";
import { panelShown, railShown, toggle } from "../workbench.ts";
import { useNow, useSession } from "./context.ts";
import { finding } from "./find-state.ts";
import { Icon } from "./icon.tsx";
import { SessionMenu } from "./session-menu.tsx";

export function Header() {
  const session = useSession();
  const inside = session.door.value === "open";
  const rail = railShown.value ? text.hideSessions : text.showSessions;
  const side = panelShown.value ? text.hidePanel : text.showPanel;
  return (
    <header class="top">
      {inside && (
        <button
          type="button"
          class="quiet"
          aria-label={rail}
          title={`${rail} (Ctrl+B)`}
          aria-expanded={railShown.value}
          data-testid="rail-toggle"
          onClick={() => toggle("rail")}
        >
          <Icon name="rail" />
        </button>
      )}
      <h1>
        <img src={icon} alt="" width="22" height="22" />
        <span class="product">{text.product}</span>
      </h1>
      <span class="session-id" title={session.id}>
        <span class="hidden">{text.session} </span>
        {shortId(session.id)}
      </span>
      <Connection />
      <nav aria-label={text.session}>
        {inside && (
          <button
            type="button"
            class="quiet"
            aria-label={text.find}
            title={`${text.find} (Ctrl+Shift+F)`}
            data-testid="find-open"
            onClick={() => (finding.value = true)}
          >
            <Icon name="search" />
          </button>
        )}
        <SessionMenu inside={inside} />
        {inside && (
          <button
            type="button"
            class="quiet"
            aria-label={side}
            title={`${side} (Ctrl+J)`}
            aria-expanded={panelShown.value}
            data-testid="panel-toggle"
            onClick={() => toggle("panel")}
          >
            <Icon name="side" />
          </button>
        )}
      </nav>
    </header>
  );
}

/** A word and a shape; never a colour alone. */
function Connection() {
  const session = useSession();
  const link = session.link.value;
  const behind = link.state === "live" && !session.caughtUp.value;
  const state = behind ? "catching-up" : link.state;
  return (
    <span class={`connection ${state}`} data-testid="connection" data-state={state}>
      <Icon name={state === "live" ? "dot" : state === "offline" ? "cross" : "half"} />
      {link.state === "waiting" ? (
        <Countdown until={link.retryAt} />
      ) : link.state === "offline" ? (
        text.offline
      ) : link.state === "connecting" ? (
        text.connecting
      ) : behind ? (
        text.catchingUp
      ) : (
        text.live
      )}
    </span>
  );
}

function Countdown({ until }: { until: number }) {
  const now = useNow();
  return <>{text.reconnecting(Math.max(0, Math.ceil((until - now) / 1000)))}</>;
}

/** Enough of a session's id to tell it from another. */
export function shortId(id: string): string {
  return id.length > 12 ? id.slice(0, 8) : id;
}
