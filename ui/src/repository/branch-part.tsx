/** The branch: which one, another one, a new one, and the way to a pull request. */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { shownName } from "../files/names.ts";
import { text } from "../text.ts";
import { useSession } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { more } from "../words/more.ts";
import { type Repository, switchTo } from "./api.ts";

export function BranchPart({ repository, again }: { repository: Repository; again: () => void }) {
  const session = useSession();
  const words = more.git;
  const field = useId();
  const writes = session.access.value.write;
  const { branch, head, branches, upstream } = repository;
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const [fresh, setFresh] = useState<string | null>(null);
  const opener = useRef<HTMLButtonElement>(null);
  const name = useRef<HTMLInputElement>(null);
  const asks = fresh !== null;
  useEffect(() => {
    if (asks) name.current?.focus();
  }, [asks]);
  const change = async (wanted: string, create: boolean) => {
    setBusy(true);
    setWrong(null);
    try {
      await switchTo(session.id, wanted, create);
      setFresh(null);
      session.tell(words.switched(shownName(wanted)));
    } catch (error) {
      setWrong(error instanceof Error ? error.message : "");
    }
    setBusy(false);
    again();
  };
  const close = () => {
    setFresh(null);
    opener.current?.focus();
  };
  // One without a commit is in no list.
  const listed = branch === null || branches.includes(branch) ? branches : [branch, ...branches];
  return (
    <section class="git-branch" aria-label={words.branch}>
      <div class="changes-head">
        <Icon name="fork" />
        <label class="hidden" for={field}>
          {words.branch}
        </label>
        <select
          id={field}
          value={branch ?? ""}
          disabled={!writes || busy}
          data-testid="git-branch"
          onChange={(event) => {
            const wanted = event.currentTarget.value;
            // Until it is done the one that is shown is the one that is checked out.
            event.currentTarget.value = branch ?? "";
            if (wanted !== "" && wanted !== branch) void change(wanted, false);
          }}
        >
          {branch === null && <option value="">{words.detached(head?.slice(0, 7) ?? "")}</option>}
          {listed.map((one) => (
            <option key={one} value={one}>
              {shownName(one)}
            </option>
          ))}
        </select>
        {writes && (
          <button
            ref={opener}
            type="button"
            class="quiet small"
            aria-expanded={fresh !== null}
            aria-label={words.newBranch}
            title={words.newBranch}
            data-testid="git-new-branch"
            onClick={() => setFresh(fresh === null ? "" : null)}
          >
            <Icon name="plus" />
          </button>
        )}
        <button type="button" class="quiet small" aria-label={words.again} title={words.again} data-testid="git-again" onClick={again}>
          <Icon name="retry" />
        </button>
      </div>
      {fresh !== null && (
        <form
          class="git-fresh"
          onSubmit={(event) => {
            event.preventDefault();
            if (fresh.trim() !== "" && !busy) void change(fresh.trim(), true);
          }}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            event.preventDefault();
            event.stopPropagation();
            close();
          }}
        >
          <input
            type="text"
            aria-label={words.branchName}
            placeholder={words.branchName}
            autocomplete="off"
            spellcheck={false}
            value={fresh}
            data-testid="git-branch-name"
            ref={name}
            onInput={(event) => setFresh(event.currentTarget.value)}
          />
          <button type="submit" class="small" disabled={busy || fresh.trim() === ""} data-testid="git-create">
            {words.create}
          </button>
          <button type="button" class="quiet small" onClick={close}>
            {text.cancel}
          </button>
        </form>
      )}
      {wrong !== null && (
        <p class="notice" role="alert" data-testid="git-branch-wrong">
          {wrong}
        </p>
      )}
      {repository.moreBranches && <p class="faint">{words.moreBranches}</p>}
      <p class="faint git-upstream" data-testid="git-upstream">
        {upstream === null ? words.noUpstream : upstream.ahead === null ? words.goneUpstream(shownName(upstream.name)) : words.upstream(shownName(upstream.name), String(upstream.ahead), String(upstream.behind ?? 0))}
        {repository.web !== null && repository.newRequest === null && (
          <a href={repository.web} target="_blank" rel="noopener noreferrer" data-testid="git-web">
            {words.page(repository.host)}
          </a>
        )}
      </p>
      {repository.newRequest !== null && (
        <p class="git-request">
          <a class="button small" href={repository.newRequest} target="_blank" rel="noopener noreferrer" data-testid="git-request">
            <Icon name="share" />
            {words.request(repository.host)}
          </a>
          {(upstream === null || (upstream.ahead ?? 1) > 0) && <span class="faint">{words.pushFirst}</span>}
        </p>
      )}
    </section>
  );
}
