/** The workbench: the rail of sessions, the conversation, and the side panel. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { byLink } from "../session/admission.ts";
import { text } from "../text.ts";
import { over, panelShown, panelWidth, railShown, show, tab } from "../workbench.ts";
import { Announcer } from "./announcer.tsx";
import { Composer } from "./composer.tsx";
import { useSession } from "./context.ts";
import { ConversationView } from "./conversation.tsx";
import { Notice } from "./notice.tsx";
import { Panel } from "./panel.tsx";
import { Queue } from "./queue.tsx";
import { Rail } from "./rail.tsx";
import { Todos } from "./todos.tsx";

export function Bench() {
  const session = useSession();
  const tasksShown = panelShown.value && tab.value === "tasks";
  const slides = over.value !== null;
  const bench = useRef<HTMLDivElement>(null);
  // Set by the object model: the policy takes no styles that stand in the markup.
  useLayoutEffect(() => bench.current?.style.setProperty("--panel", `${panelWidth.value}px`), [panelWidth.value]);
  return (
    <div
      ref={bench}
      class="bench"
      data-rail={railShown.value ? "shown" : "away"}
      data-panel={panelShown.value ? "shown" : "away"}
    >
      {railShown.value && <Rail />}
      <div class="pane" inert={slides}>
        <ConversationView />
        <footer class="dock">
          <Notice />
          {!tasksShown && <Todos />}
          <Queue />
          {session.access.value.write ? (
            <Composer />
          ) : (
            <p class="read-only" data-testid="read-only">
              {byLink() ? text.readOnlyLink : text.readOnly}
            </p>
          )}
        </footer>
      </div>
      {panelShown.value && <Panel />}
      {slides && <div class="scrim" onClick={() => over.value !== null && show(over.value, false)} />}
      <Announcer />
    </div>
  );
}
