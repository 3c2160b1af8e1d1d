import { useLayoutEffect, useRef } from "preact/hooks";
import { CopyButton } from "../view/copy-button.tsx";
import { more } from "../words/more.ts";
import type { Draft } from "./draft.ts";

/** The configuration as text. What is typed here is in the form at once, and the other way round. */
export function YamlPane({ draft, locked }: { draft: Draft; locked: boolean }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const text = draft.text.value;
  const unreadable = draft.unreadable.value;
  useLayoutEffect(() => {
    const element = field.current;
    if (element === null || element.value === text) return;
    // Changed in the form: the eye stays where it was.
    const top = element.scrollTop;
    element.value = text;
    element.scrollTop = top;
  }, [text]);
  return (
    <section class="yaml-pane" aria-label={more.agents.panes.yaml}>
      <header>
        <label for="yaml">{more.agents.panes.yaml}</label>
        <CopyButton value={text} />
      </header>
      <textarea
        ref={field}
        id="yaml"
        class="code"
        defaultValue={text}
        spellcheck={false}
        autocapitalize="off"
        wrap="off"
        readOnly={locked}
        aria-invalid={unreadable !== null}
        aria-describedby="yaml-wrong"
        data-testid="yaml"
        onInput={(event) => draft.type(event.currentTarget.value)}
      />
      <p id="yaml-wrong" class="wrong" role="alert">
        {unreadable !== null && more.agents.unreadable(unreadable.line, unreadable.words ?? more.agents.notAMap)}
      </p>
    </section>
  );
}
