/**
 * The agent that is being made: a configuration and its YAML, which say the same as long as the YAML can
 * be read. Whoever changes one changes the other.
 */
import { batch, computed, signal } from "@preact/signals";
import { isFields } from "../session/wire.ts";
import { check, type Flaw, isOf, type Schema } from "./schema.ts";
import { asYaml, changedYaml, type Config, readYaml } from "./yaml.ts";

export class Draft {
  readonly config = signal<Config>({});
  readonly text = signal("");
  /** Why the text can't be read. The configuration is what it was before, then. */
  readonly unreadable = signal<{ readonly line: number; readonly words: string | null } | null>(null);
  /** What the server has found; it stays until the place is changed. */
  readonly refused = signal<Flaw | null>(null);
  readonly schema = signal<Schema | null>(null);
  private readonly saved = signal("");

  readonly flaws = computed<readonly Flaw[]>(() => {
    const schema = this.schema.value;
    const found = schema === null ? [] : check(schema, withoutNull(this.config.value));
    const refused = this.refused.value;
    return refused === null || found.some((flaw) => isOf(flaw, refused.path)) ? found : [...found, refused];
  });

  /** Fields that the schema does not know: the server leaves them out. */
  readonly unknown = computed<readonly string[]>(() => {
    const known = this.schema.value?.properties;
    return isFields(known) ? Object.keys(this.config.value).filter((name) => !Object.hasOwn(known, name)) : [];
  });

  /** It is another one than was saved. */
  readonly changed = computed(() => this.text.value !== this.saved.value);

  /** Begins with a configuration; one that is not `isSaved` counts as changed. */
  begin(config: Config, isSaved: boolean): void {
    batch(() => {
      this.config.value = config;
      this.text.value = asYaml(config);
      this.saved.value = isSaved ? this.text.value : "";
      this.unreadable.value = null;
      this.refused.value = null;
    });
  }

  /** What is now is what is saved. */
  keep(): void {
    this.saved.value = this.text.value;
  }

  /** Changes a field. Nothing, an empty list and an empty map are the same as no field at all. */
  set(field: string, value: unknown): void {
    const { [field]: _before, ...rest } = this.config.value;
    const config = isNothing(field, value)
      ? rest
      : Object.hasOwn(this.config.value, field)
        ? { ...this.config.value, [field]: value }
        : { ...rest, [field]: value };
    batch(() => {
      this.take(config);
      this.text.value = changedYaml(this.text.value, config);
      this.unreadable.value = null;
    });
  }

  /** Takes what was typed as YAML. */
  type(text: string): void {
    const read = readYaml(text);
    batch(() => {
      this.text.value = text;
      this.unreadable.value = "config" in read ? null : read;
      if ("config" in read) this.take(read.config);
    });
  }

  private take(config: Config): void {
    const refused = this.refused.value;
    if (refused !== null && topOf(config, refused.path) !== topOf(this.config.value, refused.path)) this.refused.value = null;
    this.config.value = config;
  }
}

/** Without these two there is no agent: they are there also while they are empty. */
const ALWAYS = ["id", "name"];

function isNothing(field: string, value: unknown): boolean {
  if (ALWAYS.includes(field)) return false;
  if (value === null || value === undefined || value === "") return true;
  return Array.isArray(value) ? value.length === 0 : isFields(value) && Object.keys(value).length === 0;
}

/** The field that a place is in, to compare. */
function topOf(config: Config, path: string): string | undefined {
  return JSON.stringify(config[path.split(/[.[]/, 1)[0] ?? ""]);
}

/** As the server takes it: what is null is left out. */
function withoutNull(config: Config): Config {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null));
}
