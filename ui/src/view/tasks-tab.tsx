import { text } from "../text.ts";
import { useSession } from "./context.ts";
import { Nothing } from "./nothing.tsx";
import { TodoList } from "./todos.tsx";

/** The agent's list of what there is to do. */
export function TasksTab() {
  const { todos } = useSession().conversation.value;
  if (todos.length === 0) return <Nothing icon="list" words={text.noTasks} />;
  const done = todos.filter((todo) => todo.status === "completed").length;
  return (
    <div class="tasks-tab">
      <p class="faint">{text.todoProgress(done, todos.length)}</p>
      <progress value={done} max={todos.length} aria-label={text.todoProgress(done, todos.length)} />
      <TodoList todos={todos} />
    </div>
  );
}
