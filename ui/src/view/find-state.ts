import { signal } from "@preact/signals";

/** Whether the field to search the conversation is open. */
export const finding = signal(false);
