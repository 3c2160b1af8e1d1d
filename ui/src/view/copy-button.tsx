import { useEffect, useState } from "preact/hooks";
import { text } from "../text.ts";
import { Icon } from "./icon.tsx";

const SHOWN_MS = 1_500;

export function CopyButton({ value }: { value: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <button type="button" class="quiet small" onClick={async () => setCopied(await copy(value))}>
      <Icon name={copied ? "check" : "copy"} />
      {copied ? text.copied : text.copy}
    </button>
  );
}

/** Puts text on the clipboard; false where the browser does not let the page. */
export async function copy(value: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    return copyBySelection(value);
  }
}

/** Over plain HTTP, as on a phone that opens a laptop's address, there is no clipboard object. */
function copyBySelection(value: string): boolean {
  const field = document.createElement("textarea");
  field.value = value;
  field.className = "hidden";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}
