/** What can be done with several sessions at once. */
import { useState } from "preact/hooks";
import { fork } from "../session/fork.ts";
import { deleteSession, readSessions, stopSession } from "../session/sessions.ts";
import { forgetVisit } from "../session/visited.ts";
import { text } from "../text.ts";
import { more } from "../words/more.ts";
import { useSession } from "./context.ts";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icon.tsx";
import { chosen, type Entry } from "./rail.tsx";

/** `all` are those that are shown: what is not seen is not touched. */
export function Bulk({ all }: { all: readonly Entry[] }) {
  const session = useSession();
  const words = more.bulk;
  const [busy, setBusy] = useState<string | null>(null);
  const [told, setTold] = useState<string | null>(null);
  const [wrong, setWrong] = useState<readonly string[]>([]);
  const [sure, setSure] = useState(false);
  const these = all.filter(({ id }) => chosen.value?.has(id));
  const listed = these.filter(({ own }) => !own);
  const running = listed.filter(({ status }) => status === "running" || status === "starting");

  const each = async (list: readonly Entry[], said: (count: number) => string, act: (one: Entry) => Promise<void>) => {
    const failed: string[] = [];
    setTold(null);
    for (const [at, one] of list.entries()) {
      setBusy(words.busy(at, list.length));
      try {
        await act(one);
      } catch (error) {
        const name = one.title === "" ? one.id.slice(0, 8) : one.title;
        failed.push(words.failed(name, error instanceof Error ? error.message : ""));
      }
    }
    setBusy(null);
    setWrong(failed);
    setTold(said(list.length - failed.length));
    await readSessions();
  };
  const remove = async () => {
    setSure(false);
    await each(these, words.removed, async ({ id, own }) => {
      // Of one that is not the account's, this browser knows and nothing else is to go.
      if (!own) await deleteSession(id);
      if (id === session.id) session.close();
      forgetVisit(id);
    });
    if (these.some(({ id, own }) => id === session.id && !own)) return location.assign("/demo");
    chosen.value = new Set();
  };
  const duplicate = ({ id }: Entry) =>
    fork(id, null).then((made) => {
      if (made === null) throw new Error(words.noForks);
    });
  return (
    <section class="bulk" aria-label={text.chooseSessions} data-testid="bulk">
      <div class="row">
        <span class="faint">{words.count(these.length)}</span>
        <button type="button" class="quiet small" onClick={() => (chosen.value = new Set(these.length === all.length ? [] : all.map(({ id }) => id)))}>
          {these.length === all.length ? words.none : words.all}
        </button>
      </div>
      <div class="buttons">
        <button type="button" class="small" disabled={busy !== null || running.length === 0} data-testid="bulk-stop" onClick={() => void each(running, words.stopped, ({ id }) => stopSession(id))}>
          <Icon name="stop" />
          {words.stop}
        </button>
        <button type="button" class="small" disabled={busy !== null || listed.length === 0} data-testid="bulk-duplicate" onClick={() => void each(listed, words.duplicated, duplicate)}>
          <Icon name="copy" />
          {words.duplicate}
        </button>
        <button type="button" class="small bad" disabled={busy !== null || these.length === 0} data-testid="bulk-delete" onClick={() => setSure(true)}>
          <Icon name="trash" />
          {words.remove}
        </button>
      </div>
      <p class="faint" role="status">
        {busy ?? told}
      </p>
      {wrong.length > 0 && (
        <ul class="wrong" role="alert">
          {wrong.map((one) => (
            <li key={one}>{one}</li>
          ))}
        </ul>
      )}
      {sure && (
        <Dialog title={words.sure(these.length)} test="bulk-dialog" close={() => setSure(false)}>
          <p>{words.sureWords}</p>
          <ul class="bulk-names">
            {these.map(({ id, title }) => (
              <li key={id}>{title === "" ? `${text.untitled} (${id.slice(0, 8)})` : title}</li>
            ))}
          </ul>
          <div class="row end">
            <button type="button" onClick={() => setSure(false)}>
              {text.cancel}
            </button>
            <button type="button" class="stop" data-testid="bulk-sure" onClick={() => void remove()}>
              {text.deleteIt}
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}
