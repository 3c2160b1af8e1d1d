import { useEffect, useRef, useState } from "preact/hooks";
import {
  isSignedIn,
  listShares,
  makeShare,
  type Mode,
  revokeShares,
  type Share,
  signOut,
} from "../session/admission.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { CopyButton } from "./copy-button.tsx";

/** Who else may in: links to make, and the end of them. */
export function ShareDialog({ close }: { close: () => void }) {
  const session = useSession();
  const dialog = useRef<HTMLDialogElement>(null);
  const [mode, setMode] = useState<Mode>("read");
  const [seconds, setSeconds] = useState<number>(text.shareTimes[1].seconds);
  const [link, setLink] = useState<string | null>(null);
  const [links, setLinks] = useState<readonly Share[]>([]);
  const [wrong, setWrong] = useState<string | null>(null);

  const run = async (action: () => Promise<void>) => {
    setWrong(null);
    try {
      await action();
      setLinks(await listShares(session.id));
    } catch (error) {
      setWrong(error instanceof Error ? error.message : text.shareFailed);
    }
  };
  useEffect(() => {
    dialog.current?.showModal();
    void run(async () => {});
  }, []);

  return (
    <dialog
      ref={dialog}
      class="share"
      aria-labelledby="share-title"
      data-testid="share-dialog"
      onClose={close}
      // Esc closes this and nothing else.
      onKeyDown={(event) => event.stopPropagation()}
    >
      <h2 id="share-title">{text.share}</h2>
      <p class="faint">{text.shareWords}</p>
      <div class="row">
        <label>
          {text.shareMode}
          <select
            data-testid="share-mode"
            value={mode}
            onChange={(event) => setMode(event.currentTarget.value === "write" ? "write" : "read")}
          >
            <option value="read">{text.shareModes.read}</option>
            <option value="write">{text.shareModes.write}</option>
          </select>
        </label>
        <label>
          {text.shareUntil}
          <select value={seconds} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
            {text.shareTimes.map((time) => (
              <option key={time.seconds} value={time.seconds}>
                {time.words}
              </option>
            ))}
          </select>
        </label>
        <button
          type="button"
          class="primary"
          data-testid="share-make"
          onClick={() => run(async () => setLink(await makeShare(session.id, mode, seconds)))}
        >
          {text.shareMake}
        </button>
      </div>
      {link !== null && (
        <div class="row">
          <input readOnly value={link} aria-label={text.shareLink} data-testid="share-link" />
          <CopyButton value={link} />
        </div>
      )}
      <p role="alert" class="wrong">
        {wrong}
      </p>
      <div class="row">
        <span class="faint">{text.shareCount(links.length)}</span>
        <button
          type="button"
          data-testid="share-revoke"
          disabled={links.length === 0}
          onClick={() =>
            run(async () => {
              await revokeShares(session.id);
              setLink(null);
            })
          }
        >
          {text.shareRevoke}
        </button>
      </div>
      <div class="row end">
        {isSignedIn() && (
          <button
            type="button"
            data-testid="sign-out"
            onClick={() =>
              run(async () => {
                await signOut();
                location.reload();
              })
            }
          >
            {text.signOut}
          </button>
        )}
        <button type="button" onClick={() => dialog.current?.close()}>
          {text.close}
        </button>
      </div>
    </dialog>
  );
}
