import { useState } from "preact/hooks";
import { text } from "../text.ts";
import { nextTheme, theme } from "../theme.ts";
import icon from "../icon.svg";
import { useNow, useSession } from "./context.ts";
import { copy } from "./copy-button.tsx";
import { Icon } from "./icon.tsx";
import { ShareDialog } from "./share.tsx";

export function Header() {
  const session = useSession();
  const [sharing, setSharing] = useState(false);
  const copyLink = async () => {
    const address = `${location.origin}${location.pathname}`;
    session.tell((await copy(address)) ? text.linkCopied : text.cannotCopy);
  };
  const themeIcon = { system: "screen", light: "sun", dark: "moon" } as const;
  return (
    <header class="top">
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
        <button type="button" class="quiet" aria-label={text.copyLink} title={text.copyLink} onClick={copyLink}>
          <Icon name="link" />
        </button>
        {session.access.value.manage && (
          <button
            type="button"
            class="quiet"
            aria-label={text.share}
            title={text.share}
            aria-haspopup="dialog"
            data-testid="share"
            onClick={() => setSharing(true)}
          >
            <Icon name="share" />
          </button>
        )}
        <button
          type="button"
          class="quiet"
          aria-label={text.theme[theme.value]}
          title={text.theme[theme.value]}
          onClick={nextTheme}
        >
          <Icon name={themeIcon[theme.value]} />
        </button>
        <a class="button quiet" href="/demo" aria-label={text.newSession} title={text.newSession}>
          <Icon name="plus" />
          <span class="wide">{text.newSession}</span>
        </a>
      </nav>
      {sharing && <ShareDialog close={() => setSharing(false)} />}
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
