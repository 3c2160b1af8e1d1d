/** The models that this deployment can call. */
import { ask } from "./admission.ts";
import { isFields } from "./wire.ts";

export interface Model {
  readonly id: string;
  readonly name: string;
  readonly provider: string;
  /** The router has what it takes to call it. */
  readonly available: boolean;
  /** Tokens that it takes at once; null where the server does not say. */
  readonly window: number | null;
}

export interface Menu {
  readonly default: string;
  readonly models: readonly Model[];
}

/** @throws where the server does not answer, or answers with something else. */
export async function fetchMenu(): Promise<Menu> {
  const response = await ask("/demo/models", { headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return readMenu(await response.json());
}

export function readMenu(body: unknown): Menu {
  const fields = isFields(body) ? body : {};
  const models = Array.isArray(fields.models) ? fields.models : [];
  return {
    default: typeof fields.default === "string" ? fields.default : "",
    models: models.flatMap((one: unknown) => {
      // A pattern such as `groq/*` is a rule of the router's, not a model that can answer.
      if (!isFields(one) || typeof one.id !== "string" || one.id.includes("*")) return [];
      return [
        {
          id: one.id,
          name: typeof one.name === "string" && one.name !== "" ? one.name : one.id,
          provider: typeof one.provider === "string" ? one.provider : "",
          available: one.available === true,
          window: typeof one.context_window === "number" && one.context_window > 0 ? one.context_window : null,
        },
      ];
    }),
  };
}
