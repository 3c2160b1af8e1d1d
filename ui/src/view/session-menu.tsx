/** What can be done with the session as a whole. */
import { useEffect, useRef, useState } from "preact/hooks";
import { byLink, isSignedIn } from "../session/admission.ts";
import { text } from "../text.ts";
import { copyLink, dialog, exportAs, leave } from "./actions.ts";
import { useSession } from "./context.ts";
import { Icon, type IconName } from "./icon.tsx";
import { later } from "./later.tsx";

const DIALOGS = {
  palette: later(async () => (await import("../palette/palette.tsx")).Palette),
  launch: later(async () => (await import("./launch-dialog.tsx")).LaunchDialog),
  share: later(async () => (await import("./share.tsx")).ShareDialog),
  settings: later(async () => (await import("./settings-dialog.tsx")).SettingsDialog),
  usage: later(async () => (await import("../usage/usage-dialog.tsx")).UsageDialog),
  automation: later(async () => (await import("../automation/automation-dialog.tsx")).AutomationDialog),
  delete: later(async () => (await import("./delete-dialog.tsx")).DeleteDialog),
};

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
          {inside && <Choice icon="link" words={text.copyLink} choose={choose(() => void copyLink(session))} />}
          {manages && <Choice icon="share" words={text.share} test="share" choose={choose(() => (dialog.value = "share"))} />}
          {inside && (
            <>
              <hr />
              <Choice icon="download" words={text.exportMarkdown} test="export-markdown" choose={choose(() => void exportAs(session, "markdown"))} />
              <Choice icon="download" words={text.exportJson} test="export-json" choose={choose(() => void exportAs(session, "json"))} />
            </>
          )}
          <hr />
          {inside && <Choice icon="command" words={text.palette} keys="Ctrl+K" test="palette" choose={choose(() => (dialog.value = "palette"))} />}
          {inside && !byLink() && (
            <>
              <Choice icon="gauge" words={text.usage} test="usage" choose={choose(() => (dialog.value = "usage"))} />
              <Choice icon="clock" words={text.automation} test="automation" choose={choose(() => (dialog.value = "automation"))} />
            </>
          )}
          <Choice icon="gear" words={text.settings} test="settings" choose={choose(() => (dialog.value = "settings"))} />
          {inside && isSignedIn() && (
            <Choice
              icon="cross"
              words={text.signOut}
              test="sign-out"
              choose={choose(() => void leave(session))}
            />
          )}
          {manages && (
            <Choice icon="trash" words={text.deleteSession} test="delete" choose={choose(() => (dialog.value = "delete"))} bad />
          )}
        </div>
      )}
      {Shown !== null && (
        <Shown
          {...(dialog.value === "settings" && inside && !byLink() ? { automation: () => (dialog.value = "automation") } : {})}
          close={() => {
            const byKey = dialog.value === "palette";
            dialog.value = null;
            // A palette gives the focus back to where it was, as any dialog does; the others were opened here.
            if (!byKey) button.current?.focus();
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
  /** By which it can be had from the keyboard. */
  keys?: string;
  bad?: boolean;
}

function Choice({ icon, words, choose, test, keys, bad = false }: ChoiceProps) {
  return (
    <button type="button" class={bad ? "quiet bad" : "quiet"} data-testid={test} aria-keyshortcuts={keys?.replace("Ctrl", "Control")} onClick={choose}>
      <Icon name={icon} />
      {words}
      {keys !== undefined && <kbd aria-hidden="true">{keys}</kbd>}
    </button>
  );
}
