/** What the agent asks: a permission, a plan, or questions. Whoever is here decides; then it is folded. */
import type { ComponentChildren, TargetedEvent } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Markdown } from "../markdown/markdown.tsx";
import type { RequestEnd, RequestItem } from "../session/conversation.ts";
import type { RequestAnswer } from "../session/session.ts";
import { isFields } from "../session/wire.ts";
import { duration, text } from "../text.ts";
import { useNow, useSession } from "./context.ts";
import { focusComposer, focusIsShown } from "./focus.ts";
import { Icon, type IconName } from "./icon.tsx";
import { Questions } from "./questions.tsx";
import { CallPreview, Rest } from "./call-preview.tsx";
import { verbatim } from "./verbatim.tsx";

/** It is said how long a request waits for, when it is no longer than this. */
const SOON_MS = 5 * 60_000;

export function RequestCard({ item }: { item: RequestItem }) {
  return item.end === null ? <OpenRequest item={item} /> : <Decided item={item} end={item.end} />;
}

function isPlan(item: RequestItem): boolean {
  return item.tool === "ExitPlanMode";
}

/** The name of a tool is not the page's words. */
function Title({ item }: { item: RequestItem }) {
  if (item.tool === null) return <>{text.questionTitle}</>;
  if (isPlan(item)) return <>{text.planTitle}</>;
  return (
    <>
      {text.permissionTitle} <code class="tool-name">{verbatim(item.tool)}</code>
    </>
  );
}

function OpenRequest({ item }: { item: RequestItem }) {
  const session = useSession();
  const heading = useId();
  const card = useRef<HTMLElement>(null);
  const busy = session.answering.value.has(item.requestId);
  const answer = (given: RequestAnswer) => {
    // The button is disabled then, and would drop the focus of whoever pressed it by key.
    if (focusIsShown(document.activeElement)) card.current?.focus();
    session.answer(item.requestId, given);
  };
  useLayoutEffect(() => {
    const mounted = card.current;
    return () => {
      if (mounted?.contains(document.activeElement) === true) focusComposer();
    };
  }, []);
  return (
    <section
      ref={card}
      class="item card request"
      data-testid="request-card"
      data-state="open"
      data-request={item.requestId}
      data-item={item.key}
      aria-labelledby={heading}
      aria-busy={busy}
      tabIndex={-1}
    >
      <Icon name="question" />
      <div class="asks">
        <strong id={heading}>
          <Title item={item} />
        </strong>
        {item.reason !== null && (
          <p class="faint reason" {...scrolls(item.reason)}>
            {text.reasonGiven} {verbatim(item.reason)}
          </p>
        )}
        {item.tool === null ? (
          <Questions input={item.input} busy={busy} answer={answer} />
        ) : (
          <>
            <What item={item} />
            {isPlan(item) ? (
              <PlanButtons busy={busy} answer={answer} />
            ) : (
              <PermissionButtons rules={item.rules} busy={busy} answer={answer} />
            )}
          </>
        )}
        <Expiry at={item.expiresAt} />
      </div>
    </section>
  );
}

/** What is asked about: the plan, or the call. */
function What({ item }: { item: RequestItem }) {
  if (!isPlan(item)) {
    return (
      <div class="tool-body bare">
        <CallPreview tool={item.tool ?? ""} input={item.input} />
      </div>
    );
  }
  const { plan, ...rest } = isFields(item.input) ? item.input : {};
  return (
    <>
      <div class="plan" data-testid="plan" tabIndex={0} role="group" aria-label={text.planTitle}>
        {typeof plan !== "string" || plan === "" ? <p class="faint">{text.noPlan}</p> : <Markdown text={plan} live={false} />}
      </div>
      <div class="tool-body bare">
        <Rest fields={rest} />
      </div>
    </>
  );
}

/** What may be too long for its place can be scrolled by key. */
function scrolls(words: string): { tabIndex?: number } {
  return words.length > 200 ? { tabIndex: 0 } : {};
}

interface Deciding {
  busy: boolean;
  answer: (given: RequestAnswer) => void;
}

function PermissionButtons({ rules, busy, answer }: Deciding & { rules: readonly string[] }) {
  const hint = useId();
  const told = rules.join(", ");
  return (
    <>
      <Refusal label={text.deny} hint={text.denyReasonHint} busy={busy} answer={answer}>
        <button type="button" class="primary" disabled={busy} onClick={() => answer({ behavior: "allow" })}>
          {text.allow}
        </button>
        {rules.length > 0 && (
          <button
            type="button"
            disabled={busy}
            aria-describedby={hint}
            onClick={() => answer({ behavior: "allow_session" })}
          >
            {text.allowSession}
          </button>
        )}
      </Refusal>
      {rules.length > 0 && (
        <p id={hint} class="faint rule" {...scrolls(told)}>
          {verbatim(text.allowSessionHint(told))}
        </p>
      )}
    </>
  );
}

function PlanButtons({ busy, answer }: Deciding) {
  return (
    <Refusal label={text.keepPlanning} hint={text.planReasonHint} busy={busy} answer={answer}>
      <button
        type="button"
        class="primary"
        disabled={busy}
        onClick={() => answer({ behavior: "allow", mode: "acceptEdits" })}
      >
        {text.approveEdits}
      </button>
      <button
        type="button"
        disabled={busy}
        onClick={() => answer({ behavior: "allow", mode: "default" })}
      >
        {text.approveAsk}
      </button>
    </Refusal>
  );
}

interface RefusalProps extends Deciding {
  label: string;
  hint: string;
  children: ComponentChildren;
}

/** The buttons, and the one that refuses with what is typed beside it. */
export function Refusal({ label, hint, busy, answer, children }: RefusalProps) {
  const [reason, setReason] = useState("");
  const refuse = (event: TargetedEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy) return;
    const message = reason.trim();
    answer(message === "" ? { behavior: "deny" } : { behavior: "deny", message });
  };
  return (
    <div class="decide">
      <div class="buttons">{children}</div>
      <form class="refuse" onSubmit={refuse}>
        <input
          type="text"
          value={reason}
          placeholder={hint}
          aria-label={text.denyReason}
          onInput={(event) => setReason(event.currentTarget.value)}
        />
        <button type="submit" disabled={busy}>
          {label}
        </button>
      </form>
    </div>
  );
}

function Expiry({ at }: { at: number }) {
  const session = useSession();
  const left = at - (useNow() - session.clockSkew.value);
  if (at === 0 || left > SOON_MS || left <= 0) return null;
  return <p class="faint">{text.expiresIn(duration(Math.ceil(left / 1000) * 1000))}</p>;
}

const ICONS: Record<RequestEnd["behavior"], IconName> = {
  allow: "check",
  allow_session: "check",
  answer: "check",
  deny: "cross",
  expired: "clock",
  withdrawn: "stop",
};

function Decided({ item, end }: { item: RequestItem; end: RequestEnd }) {
  const [open, setOpen] = useState(false);
  const words = end.behavior === "allow" && isPlan(item) ? text.approved : text.decisions[end.behavior];
  return (
    <details
      class={`item tool request-end ${end.behavior}`}
      data-testid="request-card"
      data-state={end.behavior}
      data-request={item.requestId}
      data-item={item.key}
      open={open}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary>
        <Icon name="chevron" />
        <strong>{words}</strong>
        <span class="summary">{verbatim(end.message ?? (isPlan(item) ? text.planTitle : item.text))}</span>
        <span class="state">
          <Icon name={ICONS[end.behavior]} />
        </span>
      </summary>
      {open && (
        <div class="tool-body">
          {item.tool === null ? (
            <Answers item={item} end={end} />
          ) : (
            <>
              <What item={item} />
              {isFields(end.updatedInput) && (
                <>
                  <p class="faint">{text.changedInput}</p>
                  <CallPreview tool={item.tool} input={end.updatedInput} />
                </>
              )}
            </>
          )}
          <p class="faint">{end.text}</p>
        </div>
      )}
    </details>
  );
}

function Answers({ item, end }: { item: RequestItem; end: RequestEnd }) {
  const given = Object.entries(end.answers);
  if (given.length === 0) return <p>{item.text}</p>;
  return (
    <dl class="answers">
      {given.map(([question, answer]) => (
        <div key={question}>
          <dt>{question}</dt>
          <dd>{answer}</dd>
        </div>
      ))}
    </dl>
  );
}
