/** A list that the server keeps: read when it is opened, and again after each change. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { listed, Refused } from "../session/sessions.ts";
import { text } from "../text.ts";
import { useSession } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { more } from "../words/more.ts";

export interface Kept<T> {
  /** Null while it comes, or where it did not. */
  readonly list: readonly T[] | null;
  readonly wrong: string | null;
  readonly again: () => Promise<void>;
  /** Does something, and reads the list anew. False where it failed; the reason is said. */
  readonly run: (deed: () => Promise<void>) => Promise<boolean>;
}

export function useKept<T>(read: () => Promise<readonly T[]>): Kept<T> {
  const [list, setList] = useState<readonly T[] | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const again = async () => {
    try {
      setList(await read());
      setWrong(null);
    } catch (error) {
      setWrong(error instanceof Refused && error.status === 404 ? more.automation.missing : reason(error));
    }
  };
  const run = async (deed: () => Promise<void>) => {
    try {
      await deed();
    } catch (error) {
      setWrong(reason(error));
      return false;
    }
    await again();
    return true;
  };
  useEffect(() => void again(), []);
  return { list, wrong, again, run };
}

export function reason(error: unknown): string {
  return more.automation.failed(error instanceof Error ? error.message : "");
}

interface PlaceProps {
  kept: Kept<unknown>;
  empty: string;
  children: ComponentChildren;
}

/** The list, or why there is none. */
export function ListPlace({ kept, empty, children }: PlaceProps) {
  const { list, wrong, again } = kept;
  return (
    <>
      {wrong !== null && (
        <div class="automation-wrong" role="alert">
          <p class="wrong">{wrong}</p>
          {list === null && (
            <button type="button" class="small" onClick={() => void again()}>
              {text.tryAgain}
            </button>
          )}
        </div>
      )}
      {list === null && wrong === null && <Skeleton />}
      {list?.length === 0 && <p class="faint">{empty}</p>}
      {list !== null && list.length > 0 && <ul class="automation-list">{children}</ul>}
    </>
  );
}

interface SessionFieldProps {
  label: string;
  value: string;
  /** For all sessions; where it is not there, one has to be chosen. */
  all?: string;
  change: (session: string) => void;
}

export function SessionField({ label, value, all, change }: SessionFieldProps) {
  const here = useSession().id;
  const known = listed.value ?? [];
  const ids = [...new Set([here, value, ...known.map(({ id }) => id)])].filter((id) => id !== "");
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => change(event.currentTarget.value)}>
        {all !== undefined && <option value="">{all}</option>}
        {ids.map((id) => (
          <option key={id} value={id}>
            {id === here ? `${more.automation.thisSession}: ` : ""}
            {sessionName(id)}
          </option>
        ))}
      </select>
    </label>
  );
}

/** What a session is called, or its id. */
export function sessionName(id: string): string {
  const title = listed.value?.find((one) => one.id === id)?.title ?? "";
  return title === "" ? id : title.slice(0, 60);
}

export function SessionLink({ id }: { id: string }) {
  return <a href={`/demo/${encodeURIComponent(id)}`}>{sessionName(id)}</a>;
}

interface DeleteProps {
  words: string;
  sure: string;
  remove: () => void;
}

/** Asks once more before it is gone. */
export function DeleteButton({ words, sure, remove }: DeleteProps) {
  const [asked, setAsked] = useState(false);
  return asked ? (
    <button type="button" class="small stop" data-testid="automation-delete-sure" ref={(button) => button?.focus()} onBlur={() => setAsked(false)} onClick={remove}>
      {sure}
    </button>
  ) : (
    <button type="button" class="quiet small" aria-label={words} title={words} data-testid="automation-delete" onClick={() => setAsked(true)}>
      <Icon name="trash" />
    </button>
  );
}
