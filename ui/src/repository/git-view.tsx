/** The person's own Git repository in the workspace: its branch, what has changed, commits. */
import "../style/repository.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { sleeps } from "../resources/samples.ts";
import { activeTurn } from "../session/conversation.ts";
import { ago } from "../text.ts";
import { useSession } from "../view/context.ts";
import { Icon } from "../view/icon.tsx";
import { Nothing } from "../view/nothing.tsx";
import { Skeleton } from "../view/skeleton.tsx";
import { more } from "../words/more.ts";
import { shownName } from "../files/names.ts";
import { type Commit, fetchRepository, type Found, Refused, type Repository } from "./api.ts";
import { BranchPart } from "./branch-part.tsx";
import { ChangesPart } from "./changes-part.tsx";

/** After a change it is read anew when nothing has changed for this long. */
const PAUSE_MS = 1_500;

type Told =
  | { readonly state: "waiting" }
  /** The sandbox sleeps, and nobody has said yet that it be woken. */
  | { readonly state: "asleep" }
  /** Nothing was said in the session yet. */
  | { readonly state: "none" }
  | { readonly state: "here"; readonly found: Found };

/** `changes` grows with each change of the files that the conversation tells of. */
export function GitView({ changes }: { changes: number }) {
  const session = useSession();
  const words = more.git;
  const [told, setTold] = useState<Told>({ state: "waiting" });
  const [wrong, setWrong] = useState<string | null>(null);
  const [asked, setAsked] = useState(0);
  const wanted = useRef(false);
  const here = told.state === "here";
  const again = () => {
    wanted.current = true;
    setAsked(asked + 1);
  };
  useEffect(() => {
    const stop = new AbortController();
    const read = async () => {
      try {
        const awake = wanted.current || activeTurn(session.conversation.value) !== null;
        if (!awake && (await sleeps(session.id).catch(() => false))) {
          if (!stop.signal.aborted && !here) setTold({ state: "asleep" });
          return;
        }
        if (stop.signal.aborted) return;
        wanted.current = false;
        const found = await fetchRepository(session.id, stop.signal);
        if (stop.signal.aborted) return;
        setTold({ state: "here", found });
        setWrong(null);
      } catch (error) {
        if (stop.signal.aborted) return;
        const nothing = error instanceof Refused && error.status === 404 && session.conversation.value.turns.length === 0;
        if (nothing) setTold({ state: "none" });
        else setWrong(error instanceof Error ? error.message : "");
      }
    };
    const timer = setTimeout(() => void read(), here && !wanted.current ? PAUSE_MS : 0);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [session.id, changes, asked]);

  if (told.state === "asleep") {
    return (
      <div class="nothing" data-testid="git-asleep">
        <Icon name="moon" />
        <p>{words.asleep}</p>
        <button
          type="button"
          data-testid="git-wake"
          onClick={() => {
            setTold({ state: "waiting" });
            again();
          }}
        >
          {words.wake}
        </button>
      </div>
    );
  }
  const failed = wrong !== null && (
    <div class="notice" role="alert" data-testid="git-wrong">
      <span>{words.failed(wrong)}</span>
      <button type="button" class="small" onClick={again}>
        {words.again}
      </button>
    </div>
  );
  if (told.state === "waiting") return failed || <Skeleton lines={6} />;
  if (told.state === "none") return <Nothing icon="fork" words={words.nothingYet} />;
  const { repository, note } = told.found;
  return (
    <div class="git-view" data-testid="git">
      {failed}
      {note !== null && <p class="changes-part git-note">{note}</p>}
      {repository === null ? (
        <Nothing icon="fork" words={words.none} />
      ) : (
        <>
          <BranchPart repository={repository} again={again} />
          {repository.operation !== null && (
            <p class="changes-part" data-testid="git-operation">
              {words.operations[repository.operation]}
            </p>
          )}
          <ChangesPart repository={repository} again={again} />
          <Commits repository={repository} />
        </>
      )}
    </div>
  );
}

function Commits({ repository }: { repository: Repository }) {
  const words = more.git;
  if (repository.commits.length === 0) return <p class="faint">{words.noCommits}</p>;
  return (
    <section aria-labelledby="git-commits">
      <h2 id="git-commits">{words.commits}</h2>
      <ul class="git-commits" data-testid="git-commits">
        {repository.commits.map((one) => (
          <Row key={one.hash} commit={one} />
        ))}
      </ul>
    </section>
  );
}

function Row({ commit: { hash, subject, author, at } }: { commit: Commit }) {
  return (
    <li data-testid="git-commit">
      <code>{hash.slice(0, 7)}</code>
      <span class="git-subject" title={shownName(subject)}>
        {shownName(subject)}
      </span>
      <span class="faint">
        {shownName(author)} · <time dateTime={dateOf(at)}>{ago(Date.now() - at)}</time>
      </span>
    </li>
  );
}

/** A time that is none has no words. */
function dateOf(at: number): string {
  return Math.abs(at) < 8.64e15 ? new Date(at).toISOString() : "";
}
