import { useState } from "preact/hooks";
import { activeTurn } from "../session/conversation.ts";
import type { Todo } from "../session/wire.ts";
import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { Icon } from "./icon.tsx";

const ICONS = { pending: "circle", in_progress: "half", completed: "check" } as const;

/** What the agent has to do, while there is something left or it is still at it. */
export function Todos() {
  const conversation = useSession().conversation.value;
  const [open, setOpen] = useState(true);
  const todos = conversation.todos;
  const done = todos.filter((todo) => todo.status === "completed").length;
  if (todos.length === 0) return null;
  if (done === todos.length && activeTurn(conversation) === null) return null;
  const current = todos.find((todo) => todo.status === "in_progress");
  return (
    <details
      class="todos panel"
      open={open}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary>
        <Icon name="chevron" />
        <strong>{text.todos}</strong>
        <span class="faint">{text.todoProgress(done, todos.length)}</span>
        {!open && current !== undefined && <span class="summary">{words(current)}</span>}
      </summary>
      <TodoList todos={todos} />
    </details>
  );
}

export function TodoList({ todos }: { todos: readonly Todo[] }) {
  return (
    <ul class="todo-list">
      {todos.map((todo, at) => (
        <li key={at} class={todo.status} data-testid="todo-item" data-status={todo.status}>
          <Icon name={ICONS[todo.status]} />
          <span class="hidden">{text.todoStates[todo.status]}: </span>
          <span>{words(todo)}</span>
        </li>
      ))}
    </ul>
  );
}

function words(todo: Todo): string {
  return todo.status === "in_progress" && todo.activeForm !== "" ? todo.activeForm : todo.content;
}
