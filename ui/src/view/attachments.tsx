/** The files that go with the message that is being written. */
import { useEffect, useRef, useState } from "preact/hooks";
import { shownName } from "../files/names.ts";
import { bytes, text } from "../text.ts";
import { useSession } from "./context.ts";
import { focusComposer } from "./focus.ts";
import { Icon } from "./icon.tsx";

export function AttachmentChips() {
  const { attachments } = useSession();
  const list = attachments.list.value;
  if (list.length === 0) return null;
  return (
    <ul class="attachments" aria-label={text.attachments}>
      {list.map(({ key, name, size, picture, path, sent, wrong }) => (
        <li key={key} class={wrong === null ? undefined : "failed"} data-testid="attachment" data-state={wrong !== null ? "failed" : path === null ? "uploading" : "here"}>
          {picture === null ? <Icon name={wrong === null ? "file" : "alert"} /> : <img src={picture} alt="" width="28" height="28" />}
          <span class="about">
            <span class="name" title={shownName(name)}>
              {shownName(name)}
            </span>
            {wrong !== null ? (
              <span class="wrong" role="alert" title={wrong}>
                {wrong}
              </span>
            ) : path === null ? (
              <progress value={sent} max={1} aria-label={text.uploading(1)} />
            ) : (
              <span class="faint">{bytes(size)}</span>
            )}
          </span>
          {wrong !== null && sent === 0 && (
            <button type="button" class="quiet small" aria-label={text.tryAgain} title={text.tryAgain} onClick={() => attachments.again(key)}>
              <Icon name="retry" />
            </button>
          )}
          <button
            type="button"
            class="quiet small"
            aria-label={text.attachRemove(shownName(name))}
            title={text.attachRemove(shownName(name))}
            onClick={() => {
              attachments.remove(key);
              focusComposer();
            }}
          >
            <Icon name="cross" />
          </button>
        </li>
      ))}
    </ul>
  );
}

/** By button; what is dropped on the conversation goes the same way. */
export function AttachButton() {
  const { attachments } = useSession();
  const field = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  useEffect(() => {
    const pane = field.current?.closest<HTMLElement>(".pane");
    if (pane == null) return;
    const carries = (event: DragEvent) => event.dataTransfer?.types.includes("Files") === true;
    const dragged = (event: DragEvent) => {
      if (!carries(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const left = (event: DragEvent) => {
      if (!pane.contains(event.relatedTarget as Node | null)) setOver(false);
    };
    const dropped = (event: DragEvent) => {
      setOver(false);
      if (!carries(event)) return;
      event.preventDefault();
      attachments.add([...(event.dataTransfer?.files ?? [])]);
      focusComposer();
    };
    pane.addEventListener("dragover", dragged);
    pane.addEventListener("dragleave", left);
    pane.addEventListener("drop", dropped);
    return () => {
      pane.removeEventListener("dragover", dragged);
      pane.removeEventListener("dragleave", left);
      pane.removeEventListener("drop", dropped);
    };
  }, [attachments]);
  return (
    <>
      <input
        ref={field}
        class="hidden"
        type="file"
        multiple
        tabIndex={-1}
        aria-hidden="true"
        data-testid="attach-files"
        onChange={(event) => {
          attachments.add([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
          focusComposer();
        }}
      />
      <button type="button" class="quiet attach" aria-label={text.attach} title={text.attachHint} data-testid="attach" onClick={() => field.current?.click()}>
        <Icon name="clip" />
      </button>
      {over && <p class="attach-here">{text.filesDrop}</p>}
    </>
  );
}
