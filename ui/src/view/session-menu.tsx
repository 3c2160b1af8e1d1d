/** What can be done with the session as a whole. */
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { isSignedIn, signOut } from "../session/admission.ts";
import { exportName, fetchDocument, save } from "../session/download.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { copy } from "./copy-button.tsx";
import { Icon, type IconName } from "./icon.tsx";
import { later } from "./later.tsx";

type Dialog = "share" | "settings" | "delete" | "launch";

const DIALOGS = {
  launch: later(async () => (await import("./launch-dialog.tsx")).LaunchDialog),
  share: later(async () => (await import("./share.tsx")).ShareDialog),
  settings: later(async () => (await import("./settings-dialog.tsx")).SettingsDialog),
  delete: later(async () => (await import("./delete-dialog.tsx")).DeleteDialog),
};

/** Which is open. It stays so where the page is drawn in another language. */
export const dialog = signal<Dialog | null>(null);

export function SessionMenu({ inside }: { inside: boolean }) {
  const session = useSession();
  const [open, setOpen] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);

  useEffect(() => {
    if (!open) return;
    const away = (event: Event) => {
      if (!place.current?.contains(event.target as Node)) setOpen(false);
    };
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopImmediatePropagation();
      setOpen(false);
      button.current?.focus();
    };
    document.addEventListener("pointerdown", away);
    document.addEventListener("focusin", away);
    document.addEventListener("keydown", pressed, true);
    return () => {
      document.removeEventListener("pointerdown", away);
      document.removeEventListener("focusin", away);
      document.removeEventListener("keydown", pressed, true);
    };
  }, [open]);

  const choose = (action: () => void) => () => {
    setOpen(false);
    button.current?.focus();
    action();
  };
  const exported = (format: "json" | "markdown") => async () => {
    const path = `/api/sessions/${encodeURIComponent(session.id)}/export?format=${format}`;
    try {
      save(await fetchDocument(path), exportName(session.id, format === "json" ? "json" : "md"));
    } catch (error) {
      session.tell(text.exportFailed(error instanceof Error ? error.message : ""));
    }
  };
  const copyLink = async () => {
    const address = `${location.origin}${location.pathname}`;
    session.tell((await copy(address)) ? text.linkCopied : text.cannotCopy);
  };
  const manages = inside && session.access.value.manage;
  const Shown = dialog.value === null ? null : DIALOGS[dialog.value];
  return (
    <div ref={place} class="menu-place">
      <button
        ref={button}
        type="button"
        class="quiet"
        aria-label={text.menu}
        title={text.menu}
        aria-expanded={open}
        aria-controls="session-menu"
        data-testid="menu"
        onClick={() => setOpen(!open)}
      >
        <Icon name="more" />
      </button>
      {open && (
        <div id="session-menu" class="menu">
          <a class="button quiet" href="/demo">
            <Icon name="plus" />
            {text.newSession}
          </a>
          {inside && <Choice icon="link" words={text.copyLink} choose={choose(() => void copyLink())} />}
          {manages && <Choice icon="share" words={text.share} test="share" choose={choose(() => (dialog.value = "share"))} />}
          {inside && (
            <>
              <hr />
              <Choice icon="download" words={text.exportMarkdown} test="export-markdown" choose={choose(exported("markdown"))} />
              <Choice icon="download" words={text.exportJson} test="export-json" choose={choose(exported("json"))} />
            </>
          )}
          <hr />
          <Choice icon="gear" words={text.settings} test="settings" choose={choose(() => (dialog.value = "settings"))} />
          {inside && isSignedIn() && (
            <Choice
              icon="cross"
              words={text.signOut}
              test="sign-out"
              choose={choose(async () => {
                try {
                  await signOut();
                  location.reload();
                } catch {
                  session.tell(text.shareFailed);
                }
              })}
            />
          )}
          {manages && (
            <Choice icon="trash" words={text.deleteSession} test="delete" choose={choose(() => (dialog.value = "delete"))} bad />
          )}
        </div>
      )}
      {Shown !== null && (
        <Shown
          close={() => {
            dialog.value = null;
            button.current?.focus();
          }}
        />
      )}
    </div>
  );
}

interface ChoiceProps {
  icon: IconName;
  words: string;
  choose: () => void;
  test?: string;
  bad?: boolean;
}

function Choice({ icon, words, choose, test, bad = false }: ChoiceProps) {
  return (
    <button type="button" class={bad ? "quiet bad" : "quiet"} data-testid={test} onClick={choose}>
      <Icon name={icon} />
      {words}
    </button>
  );
}
