import { useEffect, useRef, useState } from "preact/hooks";
import { text } from "../text.ts";
import { type Files, Refused } from "./api.ts";
import type { Draft } from "./drafts.ts";
import type { FileNode } from "./tree.ts";

interface EditorProps {
  files: Files;
  file: FileNode;
  /** What it begins with. */
  draft: Draft;
  /** Keeps what is typed; with null nothing has changed any more. */
  keep: (draft: Draft | null) => void;
  /** It is over; with `written` the file is another one. */
  done: (written: boolean) => void;
}

/** The file's text, to be changed. What somebody else has written meanwhile is not lost unseen. */
export function Editor({ files, file, draft, keep, done }: EditorProps) {
  const { base, version } = draft;
  const field = useRef<HTMLTextAreaElement>(null);
  const [typed, setTyped] = useState(draft.typed);
  const [wrong, setWrong] = useState<string | null>(null);
  const [conflict, setConflict] = useState(false);
  const [busy, setBusy] = useState(false);
  useEffect(() => field.current?.focus(), []);
  const write = async (expected: string | null) => {
    setBusy(true);
    setWrong(null);
    try {
      await files.write(file, typed, expected);
      return done(true);
    } catch (error) {
      const faster = error instanceof Refused && error.status === 412;
      setConflict(faster);
      setWrong(faster ? text.saveConflict : text.saveFailed(error instanceof Error ? error.message : ""));
    }
    setBusy(false);
  };
  const changed = typed !== base;
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        if (changed && !busy) void write(version);
      }}
    >
      <textarea
        ref={field}
        value={typed}
        aria-label={file.name}
        spellcheck={false}
        wrap="off"
        data-testid="file-text"
        onInput={(event) => {
          const now = event.currentTarget.value;
          setTyped(now);
          keep(now === base ? null : { ...draft, typed: now });
        }}
        onKeyDown={(event) => {
          if ((event.ctrlKey || event.metaKey) && event.key === "s") {
            event.preventDefault();
            if (changed && !busy) void write(version);
          } else if (event.key === "Escape") {
            // It stops no turn from here, and takes nothing away that was typed.
            event.preventDefault();
            if (!changed) done(false);
          }
        }}
      />
      <p role="alert" class="wrong">
        {wrong}
      </p>
      <div class="row end">
        {changed && wrong === null && <span class="faint">{text.unsaved}</span>}
        {conflict && (
          <button type="button" disabled={busy} data-testid="save-anyway" onClick={() => void write(null)}>
            {text.saveAnyway}
          </button>
        )}
        <button type="button" onClick={() => done(conflict)}>
          {conflict ? text.takeTheirs : changed ? text.discard : text.close}
        </button>
        <button type="submit" class="primary" disabled={!changed || busy || conflict} data-testid="file-save">
          {text.save}
        </button>
      </div>
    </form>
  );
}
