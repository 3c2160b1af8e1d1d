/** An agent: its form and its YAML beside each other, and what can be done with it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { fetchMenu } from "../session/models.ts";
import { launch, Refused } from "../session/sessions.ts";
import { text } from "../text.ts";
import { Dialog } from "../view/dialog.tsx";
import { Icon } from "../view/icon.tsx";
import { LaunchForm } from "../view/launch-form.tsx";
import { more } from "../words/more.ts";
import { deleteConfig, readConfig, saveConfig, wantedSecrets } from "./agents.ts";
import type { Draft } from "./draft.ts";
import { asText, FormContext, idOf, wordsOf } from "./fields.tsx";
import { AgentForm } from "./form.tsx";
import type { Flaw } from "./schema.ts";
import { YamlPane } from "./yaml-pane.tsx";

interface EditorProps {
  draft: Draft;
  /** Under which it is on the server; null for one that is not. */
  id: string | null;
  /** It is the caller's: it can be changed. */
  own: boolean;
  saved: (id: string) => void;
  /** What is not saved need not be kept. */
  discard: () => void;
}

export function Editor({ draft, id, own, saved, discard }: EditorProps) {
  const words = more.agents;
  const [pane, setPane] = useState<"form" | "yaml">("form");
  const [dialog, setDialog] = useState<"try" | "delete" | null>(null);
  const [busy, setBusy] = useState(false);
  const [told, setTold] = useState<string | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  const [warnings, setWarnings] = useState<readonly string[]>([]);
  const [models, setModels] = useState<readonly string[]>([]);
  const summary = useRef<HTMLDivElement>(null);
  const locked = id !== null && !own;
  const flaws = draft.flaws.value;
  const changed = draft.changed.value;
  const config = draft.config.value;
  useEffect(() => {
    fetchMenu().then((menu) => setModels(menu.models.filter((one) => one.available).map((one) => one.id)), () => undefined);
  }, []);

  /** Whether it can be sent; else what is wrong is brought to the person. */
  const isWhole = () => {
    const stands = flaws.some((flaw) => flaw.kind !== "said") || draft.unreadable.value !== null;
    if (stands) requestAnimationFrame(() => summary.current?.focus());
    return !stands;
  };
  const refuse = (error: unknown) => {
    const said = error instanceof Error ? error.message : "";
    if (error instanceof Refused && error.field !== null && !error.field.startsWith("mcp_env")) {
      draft.refused.value = { path: error.field, kind: "said", wanted: said };
      requestAnimationFrame(() => summary.current?.focus());
    }
    return said;
  };
  const save = async () => {
    setTold(null);
    setWrong(null);
    if (!isWhole() || busy) return;
    setBusy(true);
    try {
      setWarnings(await saveConfig(config, id));
      draft.refused.value = null;
      draft.keep();
      setTold(words.saved);
      saved(asText(config.id));
    } catch (error) {
      setWrong(words.saveFailed(refuse(error)));
    }
    setBusy(false);
  };
  const back = async () => {
    if (id === null) return location.assign("/agents");
    draft.begin(await readConfig(id), true);
    discard();
  };
  const remove = async () => {
    if (id === null) return;
    setBusy(true);
    try {
      await deleteConfig(id);
      discard();
      location.assign("/agents");
    } catch (error) {
      setWrong(text.deleteFailed(error instanceof Error ? error.message : ""));
      setDialog(null);
      setBusy(false);
    }
  };
  return (
    <FormContext.Provider value={{ flaws, locked }}>
      <header class="agent-head">
        <div class="agent-title">
          <h2>{asText(config.name) || text.untitled}</h2>
          <p class="faint" role="status" data-testid="agent-state">
            {locked ? words.isPreset : changed ? text.unsaved : (told ?? words.isSaved)}
          </p>
        </div>
        <div class="agent-actions">
          <button type="button" data-testid="try" onClick={() => isWhole() && setDialog("try")}>
            <Icon name="agent" />
            {words.tryIt}
          </button>
          {id !== null && (
            <a class="button" href={`/agents?new&from=${encodeURIComponent(id)}`} data-testid="duplicate">
              <Icon name="copy" />
              {words.duplicate}
            </a>
          )}
          {own && (
            <button type="button" class="bad-quiet" data-testid="delete-agent" onClick={() => setDialog("delete")}>
              <Icon name="trash" />
              {words.remove}
            </button>
          )}
          {!locked && changed && id !== null && (
            <button type="button" data-testid="discard" onClick={() => void back()}>
              {text.discard}
            </button>
          )}
          {!locked && (
            <button type="button" class="primary" disabled={busy || !changed} data-testid="save-agent" onClick={() => void save()}>
              {id === null ? words.saveNew : text.save}
            </button>
          )}
        </div>
      </header>
      <p role="alert" class="wrong">
        {wrong}
      </p>
      {warnings.length > 0 && (
        <ul class="warnings" data-testid="warnings">
          {warnings.map((one) => (
            <li key={one}>{one}</li>
          ))}
        </ul>
      )}
      <div ref={summary} class="flaws" tabIndex={-1} data-testid="flaws">
        {flaws.length > 0 && (
          <>
            <strong>{words.toMend(flaws.length)}</strong>
            <ul>
              {flaws.map((flaw) => (
                <li key={flaw.path + flaw.kind}>
                  <button type="button" class="link" onClick={() => (setPane("form"), requestAnimationFrame(() => goTo(flaw)))}>
                    <code>{flaw.path}</code>
                  </button>{" "}
                  {wordsOf(flaw)}
                </li>
              ))}
            </ul>
          </>
        )}
        {draft.unknown.value.length > 0 && <p class="faint">{words.unknown(draft.unknown.value.join(", "))}</p>}
      </div>
      <div class="segments pane-choice" role="group" aria-label={words.paneLabel}>
        {(["form", "yaml"] as const).map((one) => (
          <label key={one}>
            <input type="radio" name="pane" checked={pane === one} onChange={() => setPane(one)} />
            <span>{words.panes[one]}</span>
          </label>
        ))}
      </div>
      <div class="builder" data-pane={pane}>
        <form class="builder-form" autocomplete="off" aria-label={words.panes.form} onSubmit={(event) => event.preventDefault()}>
          <AgentForm draft={draft} models={models} saved={id !== null} />
        </form>
        <YamlPane draft={draft} locked={locked} />
      </div>
      {dialog === "try" && (
        <Dialog title={words.tryIt} test="try-dialog" close={() => setDialog(null)}>
          <p class="faint">{words.tryWords}</p>
          <LaunchForm
            name={asText(config.name)}
            secrets={wantedSecrets(config)}
            launch={async (wish) => {
              try {
                return await launch({ config }, wish);
              } catch (error) {
                throw new Error(refuse(error), { cause: error });
              }
            }}
          />
        </Dialog>
      )}
      {dialog === "delete" && (
        <Dialog title={words.remove} test="delete-agent-dialog" close={() => setDialog(null)}>
          <p>{words.removeWords}</p>
          <div class="row end">
            <button type="button" onClick={() => setDialog(null)}>
              {text.cancel}
            </button>
            <button type="button" class="stop" disabled={busy} data-testid="delete-agent-sure" onClick={() => void remove()}>
              {text.deleteIt}
            </button>
          </div>
        </Dialog>
      )}
    </FormContext.Provider>
  );
}

/** To the field of a flaw, or to the nearest that it is in. */
function goTo({ path }: Flaw): void {
  for (let at = path; at !== ""; at = at.replace(/(?:^|[.[])[^.[]*$/, "")) {
    const field = document.getElementById(idOf(at));
    if (field === null) continue;
    for (let around = field.parentElement; around !== null; around = around.parentElement) {
      if (around instanceof HTMLDetailsElement) around.open = true;
    }
    field.focus();
    field.scrollIntoView({ block: "center" });
    return;
  }
}
