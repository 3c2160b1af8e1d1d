/** The agent's questions as a form: options to choose from, and room for an answer of one's own. */
import type { TargetedEvent } from "preact";
import { useId, useState } from "preact/hooks";
import type { RequestAnswer } from "../session/session.ts";
import { isFields } from "../session/wire.ts";
import { text } from "../text.ts";
import { Refusal } from "./request.tsx";

interface Question {
  readonly question: string;
  readonly header: string;
  readonly several: boolean;
  readonly options: readonly { readonly label: string; readonly description: string }[];
}

/** What is chosen, and what is typed; the latter counts where its box is ticked. */
interface Chosen {
  readonly labels: readonly string[];
  readonly other: boolean;
  readonly typed: string;
}

const NOTHING: Chosen = { labels: [], other: false, typed: "" };

interface QuestionsProps {
  input: unknown;
  busy: boolean;
  answer: (given: RequestAnswer) => void;
}

export function Questions({ input, busy, answer }: QuestionsProps) {
  const form = useId();
  const questions = read(input);
  const [chosen, setChosen] = useState<readonly Chosen[]>([]);
  const of = (at: number) => chosen[at] ?? NOTHING;
  const change = (at: number, now: Chosen) => setChosen(questions.map((_, one) => (one === at ? now : of(one))));
  const complete = questions.every((_, at) => answerOf(of(at)) !== "");
  const send = (event: TargetedEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy || !complete) return;
    const answers = questions.map(({ question }, at) => [question, answerOf(of(at))]);
    answer({ behavior: "allow", answers: Object.fromEntries(answers) });
  };
  return (
    <>
      <form id={form} class="questions" onSubmit={send}>
        {questions.map((question, at) => (
          <Fields key={at} question={question} chosen={of(at)} change={(now) => change(at, now)} />
        ))}
      </form>
      <Refusal label={text.noAnswer} hint={text.denyReasonHint} busy={busy} answer={answer}>
        <button type="submit" form={form} class="primary" disabled={busy || !complete}>
          {text.sendAnswers}
        </button>
      </Refusal>
    </>
  );
}

interface FieldsProps {
  question: Question;
  chosen: Chosen;
  change: (chosen: Chosen) => void;
}

function Fields({ question, chosen, change }: FieldsProps) {
  const name = useId();
  const type = question.several ? "checkbox" : "radio";
  const toggle = (label: string, on: boolean) => {
    if (!question.several) return change({ ...chosen, labels: [label], other: false });
    const others = chosen.labels.filter((one) => one !== label);
    change({ ...chosen, labels: on ? [...others, label] : others });
  };
  const other = (on: boolean, typed: string) =>
    change({ labels: question.several || !on ? chosen.labels : [], other: on, typed });
  return (
    <fieldset data-testid="question">
      <legend>
        {question.header !== "" && <span class="tag">{question.header}</span>} {question.question}
      </legend>
      {question.options.map(({ label, description }) => (
        <label key={label} class="check">
          <input
            type={type}
            name={name}
            checked={chosen.labels.includes(label)}
            onChange={(event) => toggle(label, event.currentTarget.checked)}
          />
          <span>
            {label} <span class="faint">{description}</span>
          </span>
        </label>
      ))}
      <div class="check other">
        <label>
          <input
            type={type}
            name={name}
            checked={chosen.other}
            onChange={(event) => other(event.currentTarget.checked, chosen.typed)}
          />
          {text.otherAnswer}
        </label>
        <input
          type="text"
          value={chosen.typed}
          placeholder={text.otherAnswerHint}
          aria-label={`${question.question} ${text.otherAnswerHint}`}
          onInput={(event) => {
            const typed = event.currentTarget.value;
            other(typed !== "" || chosen.other, typed);
          }}
        />
      </div>
    </fieldset>
  );
}

function answerOf({ labels, other, typed }: Chosen): string {
  const own = other ? typed.trim() : "";
  return [...labels, ...(own === "" ? [] : [own])].join(", ");
}

/** What a model has written may be of any form. */
function read(input: unknown): Question[] {
  const list: unknown[] = isFields(input) && Array.isArray(input.questions) ? input.questions : [];
  return list.filter(isFields).map((one) => ({
    question: words(one.question),
    header: words(one.header),
    several: one.multiSelect === true,
    options: (Array.isArray(one.options) ? one.options : [])
      .filter(isFields)
      .map((option) => ({ label: words(option.label), description: words(option.description) }))
      .filter((option) => option.label !== ""),
  }));
}

function words(value: unknown): string {
  return typeof value === "string" ? value : "";
}
