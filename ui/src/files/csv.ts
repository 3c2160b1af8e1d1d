/** Tables in text: values between commas, tabs or semicolons (RFC 4180, as far as people follow it). */

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Rows there are, without the head. */
  readonly all: number;
}

export const MOST_ROWS = 500;
export const MOST_COLUMNS = 100;

export function readTable(text: string, path: string): Table {
  const lines = records(text.replace(/^\ufeff/, ""), separatorOf(text, path));
  const [head = [], ...rows] = lines;
  return { head: head.slice(0, MOST_COLUMNS), rows: rows.slice(0, MOST_ROWS).map((row) => row.slice(0, MOST_COLUMNS)), all: rows.length };
}

function separatorOf(text: string, path: string): string {
  if (path.toLowerCase().endsWith(".tsv")) return "\t";
  const first = text.split("\n", 1)[0] ?? "";
  const counted = [",", ";", "\t"].map((one) => [one, first.split(one).length] as const);
  return counted.reduce((most, one) => (one[1] > most[1] ? one : most))[0];
}

function records(text: string, separator: string): string[][] {
  const all: string[][] = [];
  let record: string[] = [];
  let value = "";
  let quoted = false;
  const endValue = () => {
    record.push(value);
    value = "";
  };
  const endRecord = () => {
    endValue();
    if (record.length > 1 || record[0] !== "") all.push(record);
    record = [];
  };
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? "";
    if (quoted) {
      if (character !== '"') value += character;
      else if (text[at + 1] === '"') {
        value += '"';
        at += 1;
      } else quoted = false;
    } else if (character === '"' && value === "") quoted = true;
    else if (character === separator) endValue();
    else if (character === "\n") endRecord();
    else if (character !== "\r") value += character;
  }
  if (value !== "" || record.length > 0) endRecord();
  return all;
}
