interface ChoicesProps<T extends string> {
  /** Of the group of buttons; another one for each that is shown at once. */
  name: string;
  label: string;
  /** The label is for those alone who hear the page. */
  hidden?: boolean;
  chosen: T;
  options: readonly (readonly [T, string])[];
  choose: (one: T) => void;
}

/** One of a few, side by side. */
export function Choices<T extends string>({ name, label, hidden = false, chosen, options, choose }: ChoicesProps<T>) {
  return (
    <fieldset>
      <legend class={hidden ? "hidden" : undefined}>{label}</legend>
      <div class="segments">
        {options.map(([value, words]) => (
          <label key={value}>
            <input type="radio" name={name} checked={value === chosen} onChange={() => choose(value)} />
            <span>{words}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
