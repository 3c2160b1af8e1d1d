import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { focusComposer } from "./focus.ts";

export function Empty() {
  const session = useSession();
  return (
    <section class="empty" data-testid="empty">
      <h2>{text.emptyTitle}</h2>
      <p>{text.emptyWords}</p>
      <ul>
        {text.examples.map(({ title, prompt }) => (
          <li key={title}>
            <button
              type="button"
              data-testid="example"
              onClick={() => {
                session.setDraft(prompt);
                focusComposer();
              }}
            >
              {title}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
