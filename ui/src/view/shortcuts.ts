/** Keys that count wherever the focus is. */
import { useEffect } from "preact/hooks";
import { toggle } from "../workbench.ts";
import { dialog } from "./actions.ts";
import { useSession } from "./context.ts";
import { finding } from "./find-state.ts";
import { revealed, reveal } from "./reveal.ts";
import { turnInView } from "./timeline.tsx";

export function useShortcuts(): void {
  const session = useSession();
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing || session.door.value !== "open") return;
      const action = actionOf(event);
      if (action === null) return;
      event.preventDefault();
      action();
    };
    const actionOf = (event: KeyboardEvent): (() => void) | null => {
      const control = event.ctrlKey || event.metaKey;
      const key = event.key.toLowerCase();
      if (control && event.shiftKey && key === "f") return () => (finding.value = true);
      if (control && !event.shiftKey && key === "k") return () => (dialog.value = "palette");
      if (control && !event.shiftKey && key === "b") return () => toggle("rail");
      if (control && !event.shiftKey && key === "j") return () => toggle("panel");
      if (event.key === "?" && !control && !event.altKey && !writesText(event.target)) return () => (dialog.value = "settings");
      if (event.altKey && !control && (key === "arrowup" || key === "arrowdown")) {
        return () => go(key === "arrowup" ? -1 : 1);
      }
      return null;
    };
    const go = (step: number) => {
      const turns = session.conversation.value.turns;
      const known = turns.findIndex((turn) => turn.id === turnInView.value);
      const at = known < 0 ? turns.length - 1 : known;
      const next = turns[at + step];
      if (next !== undefined) reveal(next.id);
    };
    document.addEventListener("keydown", pressed);
    return () => {
      document.removeEventListener("keydown", pressed);
      revealed.value = null;
    };
  }, [session]);
}

function writesText(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName));
}
