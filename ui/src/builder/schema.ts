/**
 * Checks a value against a JSON Schema, as far as the server's schemas go: `builder.test.ts` holds this
 * against the one that is served. Places are written as the server writes them: `agents.tester.tools[0]`.
 */
import { isFields } from "../session/wire.ts";

export type Schema = Readonly<Record<string, unknown>>;

/** What is wrong at a place. */
export interface Flaw {
  readonly path: string;
  readonly kind: "missing" | "type" | "choice" | "pattern" | "least" | "most" | "unknown" | "said";
  /** What it should be: the types, the choices, the limit; or what the server says. */
  readonly wanted: string;
}

/** The keywords that count here, and those that only explain. */
export const KEYWORDS: readonly string[] = [
  ...["$ref", "type", "enum", "pattern", "minimum", "maximum", "required", "properties", "additionalProperties", "items", "anyOf"],
  ...["$schema", "$defs", "title", "description", "default", "format"],
];

/** A schema cannot be deeper than this, nor what it describes. */
const DEEPEST = 32;

export function check(schema: Schema, value: unknown): Flaw[] {
  return flaws(schema, schema, value, "", 0);
}

/** Whether a flaw is of a field, or of something in it. */
export function isOf(flaw: Flaw, path: string): boolean {
  return flaw.path === path || flaw.path.startsWith(`${path}.`) || flaw.path.startsWith(`${path}[`);
}

export function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (Number.isInteger(value)) return "integer";
  return typeof value;
}

function flaws(root: Schema, given: Schema, value: unknown, path: string, depth: number): Flaw[] {
  if (depth > DEEPEST) return [];
  const schema = resolved(root, given);
  const flaw = (kind: Flaw["kind"], wanted: unknown, at = path): Flaw => ({ path: at, kind, wanted: String(wanted) });
  const inside = (part: unknown, one: unknown, at: string) =>
    isFields(part) ? flaws(root, part, one, at, depth + 1) : [];

  if (Array.isArray(schema.anyOf)) {
    const tried = schema.anyOf.filter(isFields).map((one) => ({ one, found: inside(one, value, path) }));
    if (tried.some(({ found }) => found.length === 0)) return [];
    // The one that was meant is the one whose type it has.
    const meant = tried.find(({ found }) => !found.some((one) => one.path === path && one.kind === "type"));
    const wanted = tried.flatMap(({ one }) => typesOf(resolved(root, one))).filter((one) => one !== "null");
    return meant?.found ?? [flaw("type", wanted.join(", "))];
  }
  const types = typesOf(schema);
  const type = typeOf(value);
  if (types.length > 0 && !types.includes(type) && !(type === "integer" && types.includes("number"))) {
    return [flaw("type", types.filter((one) => one !== "null").join(", "))];
  }
  if (Array.isArray(schema.enum) && !schema.enum.includes(value)) return [flaw("choice", schema.enum.join(", "))];
  if (typeof value === "string" && typeof schema.pattern === "string" && !new RegExp(schema.pattern, "u").test(value)) {
    return [flaw("pattern", schema.pattern)];
  }
  if (typeof value === "number" && typeof schema.minimum === "number" && value < schema.minimum) {
    return [flaw("least", schema.minimum)];
  }
  if (typeof value === "number" && typeof schema.maximum === "number" && value > schema.maximum) {
    return [flaw("most", schema.maximum)];
  }
  if (Array.isArray(value)) return value.flatMap((one, at) => inside(schema.items, one, `${path}[${at}]`));
  if (!isFields(value)) return [];

  const known = isFields(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required.filter((one) => typeof one === "string") : [];
  const missing = required.filter((name) => value[name] === undefined || value[name] === "");
  return [
    ...missing.map((name) => flaw("missing", name, join(path, name))),
    ...Object.entries(value).flatMap(([name, one]) => {
      const at = join(path, name);
      if (missing.includes(name)) return [];
      if (Object.hasOwn(known, name)) return inside(known[name], one, at);
      if (schema.additionalProperties === false) return [flaw("unknown", name, at)];
      return inside(schema.additionalProperties, one, at);
    }),
  ];
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function typesOf(schema: Schema): string[] {
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  return types.filter((one) => typeof one === "string");
}

/** Follows `#/$defs/Name`. */
function resolved(root: Schema, schema: Schema): Schema {
  const name = typeof schema.$ref === "string" ? schema.$ref.replace("#/$defs/", "") : null;
  const defined = name !== null && isFields(root.$defs) ? root.$defs[name] : null;
  return isFields(defined) ? { ...defined, ...schema } : schema;
}
