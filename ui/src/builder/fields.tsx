/** The kinds of field that the form has: each with its label, what it is for, and what is wrong with it. */
import { type ComponentChildren, createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import { Icon } from "../view/icon.tsx";
import { more } from "../words/more.ts";
import { type Flaw, isOf } from "./schema.ts";

interface Form {
  readonly flaws: readonly Flaw[];
  /** It can only be looked at. */
  readonly locked: boolean;
}

export const FormContext = createContext<Form>({ flaws: [], locked: false });

export function useForm(): Form {
  return useContext(FormContext);
}

export function idOf(path: string): string {
  return `field-${path.replace(/[^\w-]/g, "-")}`;
}

/** What is wrong, in words. */
export function wordsOf({ kind, wanted }: Flaw): string {
  return kind === "said" ? wanted : more.agents.flaws[kind](wanted);
}

interface PlaceProps {
  path: string;
  /** Also what is wrong with something inside of it. */
  inside?: boolean;
}

export function Wrong({ path, inside = false }: PlaceProps) {
  const found = useForm().flaws.filter((flaw) => (inside ? isOf(flaw, path) : flaw.path === path));
  return (
    <span id={`${idOf(path)}-wrong`} class="wrong" role={found.length > 0 ? "alert" : undefined}>
      {found.map((flaw) => (inside && flaw.path !== path ? `${flaw.path}: ` : "") + wordsOf(flaw)).join(" ")}
    </span>
  );
}

/** What each control of a field has. */
interface Attributes {
  readonly id: string;
  readonly "aria-invalid": boolean;
  readonly "aria-describedby": string;
  readonly readOnly: boolean;
}

interface FieldProps extends PlaceProps {
  label: string;
  hint?: string | undefined;
  wide?: boolean;
  /** What belongs to the field besides: it says nothing itself. */
  beside?: ComponentChildren;
  children: (attributes: Attributes) => ComponentChildren;
}

export function Field({ path, inside = false, label, hint, wide = false, beside, children }: FieldProps) {
  const { flaws, locked } = useForm();
  const id = idOf(path);
  const wrong = flaws.some((flaw) => (inside ? isOf(flaw, path) : flaw.path === path));
  const about = [hint === undefined ? "" : `${id}-hint`, `${id}-wrong`].join(" ").trim();
  return (
    <div class={wide ? "field wide-field" : "field"}>
      <label for={id}>{label}</label>
      {children({ id, "aria-invalid": wrong, "aria-describedby": about, readOnly: locked })}
      {beside}
      {hint !== undefined && (
        <span id={`${id}-hint`} class="faint hint">
          {hint}
        </span>
      )}
      <Wrong path={path} inside={inside} />
    </div>
  );
}

interface TextProps {
  path: string;
  label: string;
  hint?: string;
  value: unknown;
  placeholder?: string;
  list?: string;
  locked?: boolean;
  code?: boolean;
  change: (value: string) => void;
}

export function TextField({ path, label, hint, value, placeholder, list, locked = false, code = false, change }: TextProps) {
  return (
    <Field path={path} label={label} hint={hint}>
      {({ readOnly, ...attributes }) => (
        <input
          {...attributes}
          type="text"
          class={code ? "code" : undefined}
          value={asText(value)}
          placeholder={placeholder}
          list={list}
          spellcheck={!code}
          autocomplete="off"
          autocapitalize={code ? "off" : undefined}
          readOnly={readOnly || locked}
          onInput={(event) => change(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface AreaProps extends TextProps {
  rows: number;
}

export function AreaField({ path, label, hint, value, placeholder, rows, code = false, change }: AreaProps) {
  return (
    <Field path={path} inside label={label} hint={hint} wide>
      {(attributes) => (
        <textarea
          {...attributes}
          class={code ? "code" : undefined}
          rows={rows}
          value={asText(value)}
          placeholder={placeholder}
          spellcheck={!code}
          onInput={(event) => change(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface LinesProps extends Omit<AreaProps, "change" | "rows"> {
  change: (lines: string[]) => void;
}

/** A list of words, one a line. */
export function LinesField({ value, change, ...rest }: LinesProps) {
  const lines = Array.isArray(value) ? value.map(asText) : [];
  /** With the empty lines that are there while somebody types. */
  const [typed, setTyped] = useState<string | null>(null);
  const read = (words: string) => words.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const shown = typed !== null && JSON.stringify(read(typed)) === JSON.stringify(lines) ? typed : lines.join("\n");
  return (
    <AreaField
      {...rest}
      rows={Math.max(2, lines.length + 1)}
      value={shown}
      change={(words) => {
        setTyped(words);
        change(read(words));
      }}
    />
  );
}

interface NumberProps {
  path: string;
  label: string;
  hint?: string;
  value: unknown;
  placeholder?: string;
  least: number;
  most: number;
  step?: number;
  change: (value: number | undefined) => void;
}

/** While it is typed, what stands there is what was typed. */
export function NumberField({ path, label, hint, value, placeholder, least, most, step = 1, change }: NumberProps) {
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <Field path={path} label={label} hint={hint}>
      {(attributes) => (
        <input
          {...attributes}
          type="number"
          min={least}
          max={most}
          step={step}
          placeholder={placeholder}
          value={typed ?? (typeof value === "number" ? value : "")}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            const number = event.currentTarget.valueAsNumber;
            change(Number.isFinite(number) ? number : undefined);
          }}
          onBlur={() => setTyped(null)}
        />
      )}
    </Field>
  );
}

interface ChoiceProps<T extends string> {
  path: string;
  label: string;
  hint?: string | undefined;
  value: T;
  options: readonly (readonly [T, string])[];
  change: (value: T) => void;
}

export function ChoiceField<T extends string>({ path, label, hint, value, options, change }: ChoiceProps<T>) {
  return (
    <Field path={path} label={label} hint={hint}>
      {({ readOnly, ...attributes }) => (
        <select
          {...attributes}
          disabled={readOnly}
          value={value}
          onChange={(event) => {
            const chosen = options.find(([one]) => one === event.currentTarget.value);
            if (chosen !== undefined) change(chosen[0]);
          }}
        >
          {options.map(([one, words]) => (
            <option key={one} value={one}>
              {words}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** An entry of a map, while it may have no name yet, or one that another has. */
export interface Entry<T> {
  readonly key: number;
  readonly name: string;
  readonly value: T;
}

let keys = 0;

/** A map as a list, in which names can be typed. */
export function useEntries<T>(map: Readonly<Record<string, T>>, change: (map: Record<string, T>) => void) {
  const [entries, setEntries] = useState<readonly Entry<T>[]>(() => entriesOf(map));
  const now = JSON.stringify(map);
  useEffect(() => {
    // Changed elsewhere: in the YAML.
    if (JSON.stringify(mapOf(entries)) !== now) setEntries(entriesOf(map));
  }, [now]);
  const put = (next: readonly Entry<T>[]) => {
    setEntries(next);
    change(mapOf(next));
  };
  return {
    entries,
    add: (name: string, value: T) => put([...entries, { key: (keys += 1), name, value }]),
    remove: (key: number) => put(entries.filter((one) => one.key !== key)),
    rename: (key: number, name: string) => put(entries.map((one) => (one.key === key ? { ...one, name } : one))),
    set: (key: number, value: T) => put(entries.map((one) => (one.key === key ? { ...one, value } : one))),
    /** Whether another entry before has the name: only the last of them counts. */
    isTwice: (entry: Entry<T>) => entry.name !== "" && entries.some((one) => one.name === entry.name && one.key !== entry.key),
  };
}

function entriesOf<T>(map: Readonly<Record<string, T>>): Entry<T>[] {
  return Object.entries(map).map(([name, value]) => ({ key: (keys += 1), name, value }));
}

/** What has no name is nothing yet. */
function mapOf<T>(entries: readonly Entry<T>[]): Record<string, T> {
  return Object.fromEntries(entries.filter(({ name }) => name !== "").map(({ name, value }) => [name, value]));
}

interface PairsProps {
  path: string;
  legend: string;
  hint?: string;
  add: string;
  value: unknown;
  change: (value: Record<string, string>) => void;
}

/** Names with values: variables, headers. */
export function PairsField({ path, legend, hint, add, value, change }: PairsProps) {
  const { locked } = useForm();
  const list = useEntries<string>(asTexts(value), change);
  return (
    <fieldset class="pairs" id={idOf(path)} tabIndex={-1}>
      <legend>{legend}</legend>
      {hint !== undefined && <p class="faint">{hint}</p>}
      {list.entries.map((entry) => (
        <div key={entry.key} class="pair-row">
          <input
            type="text"
            class="code"
            value={entry.name}
            aria-label={more.agents.pairName}
            placeholder={more.agents.pairName}
            aria-invalid={list.isTwice(entry)}
            spellcheck={false}
            readOnly={locked}
            onInput={(event) => list.rename(entry.key, event.currentTarget.value)}
          />
          <input
            type="text"
            class="code"
            value={entry.value}
            aria-label={more.agents.pairValue(entry.name)}
            placeholder={more.agents.pairValue("")}
            spellcheck={false}
            readOnly={locked}
            onInput={(event) => list.set(entry.key, event.currentTarget.value)}
          />
          {!locked && <RemoveButton words={more.agents.removeOne(entry.name)} remove={() => list.remove(entry.key)} />}
        </div>
      ))}
      {!locked && <AddButton words={add} add={() => list.add("", "")} />}
      <Wrong path={path} inside />
    </fieldset>
  );
}

export function AddButton({ words, add, test }: { words: string; add: () => void; test?: string }) {
  return (
    <button type="button" class="small add" data-testid={test} onClick={add}>
      <Icon name="plus" />
      {words}
    </button>
  );
}

export function RemoveButton({ words, remove }: { words: string; remove: () => void }) {
  return (
    <button type="button" class="quiet small" aria-label={words} title={words} onClick={remove}>
      <Icon name="cross" />
    </button>
  );
}

export function asText(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function asTexts(value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(Object.entries(value).filter(([, one]) => typeof one === "string"));
}
