import { useEffect, useState } from "preact/hooks";
import { listShares, makeShare, type Mode, revokeShares, type Share } from "../session/admission.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { CopyButton } from "./copy-button.tsx";
import { Dialog } from "./dialog.tsx";

/** How long a link may hold, in seconds. */
const TIMES = { hour: 3_600, week: 604_800, quarter: 7_776_000 } as const;
type Time = keyof typeof TIMES;

/** Who else may in: links to make, and the end of them. */
export function ShareDialog({ close }: { close: () => void }) {
  const session = useSession();
  const [mode, setMode] = useState<Mode>("read");
  const [time, setTime] = useState<Time>("week");
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
    void run(async () => {});
  }, []);

  return (
    <Dialog title={text.share} test="share-dialog" close={close}>
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
          <select value={time} onChange={(event) => setTime(event.currentTarget.value as Time)}>
            {(Object.keys(TIMES) as Time[]).map((one) => (
              <option key={one} value={one}>
                {text.shareTimes[one]}
              </option>
            ))}
          </select>
        </label>
        <button
          type="button"
          class="primary"
          data-testid="share-make"
          onClick={() => run(async () => setLink(await makeShare(session.id, mode, TIMES[time])))}
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
    </Dialog>
  );
}
