/** The frame of a form that a list has opened: it sends what it says, and tells why that was refused. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { text } from "../text.ts";
import { reason } from "./list.tsx";

interface FrameProps {
  title: string;
  /** What its parts are called in trials: `NAME-form`, `NAME-save`, `NAME-wrong`. */
  name: string;
  /** The words of the button that sends it. */
  sends?: string;
  /** Whether something is missing that no field of its own asks for. */
  lacks?: boolean;
  send: () => Promise<void>;
  /** Hears why it was refused, and null when it is sent again. */
  refused?: (error: unknown) => void;
  cancel: () => void;
  children: ComponentChildren;
}

export function FormFrame({ title, name, sends = text.save, lacks = false, send, refused, cancel, children }: FrameProps) {
  const form = useRef<HTMLFormElement>(null);
  // It was asked for: its first field has the focus, and so it is seen.
  useEffect(() => form.current?.querySelector<HTMLElement>("input, textarea")?.focus(), []);
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const submit = async () => {
    setBusy(true);
    setWrong(null);
    refused?.(null);
    try {
      await send();
    } catch (error) {
      setWrong(reason(error));
      refused?.(error);
      setBusy(false);
    }
  };
  return (
    <form
      ref={form}
      class="automation-form"
      autocomplete="off"
      data-testid={`${name}-form`}
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy && !lacks) void submit();
      }}
    >
      <h3>{title}</h3>
      {children}
      <p role="alert" class="wrong" data-testid={`${name}-wrong`}>
        {wrong}
      </p>
      <div class="row end">
        <button type="button" onClick={cancel}>
          {text.cancel}
        </button>
        <button type="submit" class="primary" disabled={busy || lacks} data-testid={`${name}-save`}>
          {sends}
        </button>
      </div>
    </form>
  );
}
