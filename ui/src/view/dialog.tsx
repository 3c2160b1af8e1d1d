import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { text } from "../text.ts";
import { Icon } from "./icon.tsx";

interface DialogProps {
  title: string;
  test: string;
  /** For tables and charts. */
  wide?: boolean;
  close: () => void;
  children: ComponentChildren;
}

/** A dialog over the page. It takes itself away when it is closed, whoever closes it. */
export function Dialog({ title, test, wide = false, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      class={wide ? "dialog wide-dialog" : "dialog"}
      aria-labelledby={heading}
      data-testid={test}
      onClose={close}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
      // Esc closes this and nothing else.
      onKeyDown={(event) => event.stopPropagation()}
    >
      <div class="dialog-inside">
        <header>
          <h2 id={heading}>{title}</h2>
          <button type="button" class="quiet" aria-label={text.close} onClick={() => dialog.current?.close()}>
            <Icon name="cross" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
