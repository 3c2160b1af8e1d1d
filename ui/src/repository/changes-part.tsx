/** What has changed since the last commit, and the commit that is made of it. */
import { useEffect, useId, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { Counts, Patch } from "../files/changes-view.tsx";
import type { FileDiff } from "../files/diff.ts";
import { shownName } from "../files/names.ts";
import { count, text } from "../text.ts";
import { useSession } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { more } from "../words/more.ts";
import { type Change, commit, discard, fetchFileDiff, type Repository } from "./api.ts";

/** Changes that are shown at first. */
const FIRST = 200;

/** What was typed is still there when somebody has looked at something else. */
const draft = signal("");

export function ChangesPart({ repository, again }: { repository: Repository; again: () => void }) {
  const session = useSession();
  const words = more.git;
  const writes = session.access.value.write;
  const { changes } = repository;
  /** Those that do not go into the commit. */
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const [all, setAll] = useState(false);
  const fits = (one: Change) => one.kind !== "conflicted" && !left.has(one.path);
  const chosen = changes.filter(fits);
  // A merge is committed as a whole.
  const whole = repository.operation !== null && repository.operation !== "rebase";
  const toggle = (path: string, is: boolean) => {
    const next = new Set(left);
    if (is) next.delete(path);
    else next.add(path);
    setLeft(next);
  };
  const everything = chosen.length === changes.filter(({ kind }) => kind !== "conflicted").length;
  const shown = all || changes.length <= FIRST + 20 ? changes : changes.slice(0, FIRST);
  return (
    <section aria-labelledby="git-changes">
      <header class="git-head">
        <h2 id="git-changes">{words.changes}</h2>
        <span class="faint" data-testid="git-count">
          {changes.length === 0 ? words.clean : text.filesCount(repository.all)}
        </span>
        {writes && !whole && changes.length > 1 && (
          <button type="button" class="quiet small" data-testid="git-all" onClick={() => setLeft(everything ? new Set(changes.map(({ path }) => path)) : new Set())}>
            {everything ? words.chooseNone : words.chooseAll}
          </button>
        )}
      </header>
      <ul class="git-changes">
        {shown.map((one) => (
          <Row key={one.path} change={one} version={repository} writes={writes} chosen={fits(one)} fixed={whole} choose={(is) => toggle(one.path, is)} again={again} />
        ))}
      </ul>
      {shown.length < changes.length && (
        <button type="button" class="quiet small" onClick={() => setAll(true)}>
          {words.showAll(count(changes.length))}
        </button>
      )}
      {repository.truncated && <p class="faint">{words.truncated}</p>}
      {writes && (changes.length > 0 || whole) && <CommitBox repository={repository} chosen={chosen} whole={whole || (everything && repository.truncated)} again={again} />}
    </section>
  );
}

interface RowProps {
  change: Change;
  /** Another one where it was read anew. */
  version: Repository;
  writes: boolean;
  chosen: boolean;
  fixed: boolean;
  choose: (is: boolean) => void;
  again: () => void;
}

function Row({ change, version, writes, chosen, fixed, choose, again }: RowProps) {
  const session = useSession();
  const words = more.git;
  const [open, setOpen] = useState(false);
  const [sure, setSure] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const below = useId();
  const name = shownName(change.path);
  const give = async () => {
    setSure(false);
    setWrong(null);
    try {
      await discard(session.id, [change.path]);
      session.tell(words.discarded(name));
    } catch (error) {
      setWrong(error instanceof Error ? error.message : "");
    }
    again();
  };
  return (
    <li class="git-change" data-testid="git-change" data-kind={change.kind}>
      <div class="git-row">
        {writes && (
          <input
            type="checkbox"
            aria-label={words.include(name)}
            checked={chosen}
            disabled={fixed || change.kind === "conflicted"}
            onChange={(event) => choose(event.currentTarget.checked)}
          />
        )}
        <button type="button" class="quiet git-name" aria-expanded={open} aria-controls={below} title={name} onClick={() => setOpen(!open)}>
          <Icon name="chevron" />
          <span class="path">{name}</span>
          <span class={`file-state ${change.kind}`}>{words.kinds[change.kind]}</span>
          {change.added !== null && change.removed !== null && <Counts added={change.added} removed={change.removed} />}
        </button>
        {writes && (
          <button
            type="button"
            class="quiet small"
            aria-label={change.kind === "untracked" ? words.deleteOf(name) : words.discardOf(name)}
            title={change.kind === "untracked" ? words.deleteOf(name) : words.discardOf(name)}
            aria-expanded={sure}
            data-testid="git-discard"
            onClick={() => setSure(!sure)}
          >
            <Icon name="trash" />
          </button>
        )}
      </div>
      {sure && (
        <div class="notice" role="alert">
          <span>{change.kind === "untracked" ? words.deleteSure : words.discardSure}</span>
          <span>
            <button type="button" class="small stop" data-testid="git-discard-sure" onClick={() => void give()}>
              {change.kind === "untracked" ? words.deleteIt : words.discardIt}
            </button>
            <button type="button" class="quiet small" onClick={() => setSure(false)}>
              {text.cancel}
            </button>
          </span>
        </div>
      )}
      {wrong !== null && (
        <p class="notice" role="alert">
          {wrong}
        </p>
      )}
      <div id={below}>{open && <FileChange path={change.path} version={version} />}</div>
    </li>
  );
}

function FileChange({ path, version }: { path: string; version: Repository }) {
  const session = useSession();
  const [diff, setDiff] = useState<FileDiff | string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    fetchFileDiff(session.id, path, stop.signal).then(
      (found) => !stop.signal.aborted && setDiff(found),
      (error: unknown) => !stop.signal.aborted && setDiff(error instanceof Error ? error.message : ""),
    );
    return () => stop.abort();
  }, [path, version]);
  if (diff === null) return <Skeleton lines={3} />;
  if (typeof diff === "string") return <p class="faint no-patch">{more.git.failed(diff)}</p>;
  if (!diff.binary && diff.patch === null) return <p class="faint no-patch">{more.git.tooLong}</p>;
  return <Patch file={diff} />;
}

interface CommitBoxProps {
  repository: Repository;
  chosen: readonly Change[];
  /** All changes, also those that are not named. */
  whole: boolean;
  again: () => void;
}

function CommitBox({ repository, chosen, whole, again }: CommitBoxProps) {
  const session = useSession();
  const words = more.git;
  const field = useId();
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const message = draft.value;
  const can = !busy && message.trim() !== "" && (whole || chosen.length > 0);
  const make = async () => {
    if (!can) return;
    setBusy(true);
    setWrong(null);
    try {
      const paths = whole ? null : chosen.map(({ path }) => path);
      const hash = await commit(session.id, message, paths, repository.head);
      draft.value = "";
      session.tell(words.committed(hash.slice(0, 7)));
    } catch (error) {
      setWrong(error instanceof Error ? error.message : "");
    }
    setBusy(false);
    again();
  };
  return (
    <form
      class="git-commit"
      onSubmit={(event) => {
        event.preventDefault();
        void make();
      }}
    >
      <label class="hidden" for={field}>
        {words.message}
      </label>
      <textarea
        id={field}
        rows={3}
        placeholder={words.message}
        value={message}
        data-testid="git-message"
        onInput={(event) => (draft.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
          event.preventDefault();
          event.stopPropagation();
          void make();
        }}
      />
      {wrong !== null && (
        <p class="notice" role="alert" data-testid="git-commit-wrong">
          {wrong}
        </p>
      )}
      <button type="submit" class="primary" disabled={!can} title="Ctrl+Enter" data-testid="git-commit-it">
        {busy ? words.committing : words.commit(whole ? Math.max(repository.all, 1) : chosen.length)}
      </button>
    </form>
  );
}
