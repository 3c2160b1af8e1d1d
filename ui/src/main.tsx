import { render } from "preact";
import "./style/tokens.css";
import "./style/base.css";
import "./style/layout.css";
import "./style/bench.css";
import "./style/conversation.css";
import "./style/tools.css";
import "./style/requests.css";
import "./style/composer.css";
import "./style/admission.css";
import "./style/code.css";
import { protocols, takeShare } from "./session/admission.ts";
import { Session } from "./session/session.ts";
import { rereadVisited } from "./session/visited.ts";
import { applySettings, rereadSettings } from "./settings.ts";
import { App } from "./view/app.tsx";
import { later } from "./view/later.tsx";

// The server serves this page at /demo/{sessionId}, where it has checked the id, and at /agents.
const [, place, name] = location.pathname.split("/");
const id = decodeURIComponent(name ?? "");
const root = document.getElementById("app");
if (root !== null && place === "agents") {
  addEventListener("storage", rereadSettings);
  const Agents = later(async () => (await import("./builder/page.tsx")).AgentsPage);
  void applySettings().then(() => {
    root.replaceChildren();
    render(<Agents />, root);
  });
} else if (id === "") {
  location.replace("/demo");
} else if (root !== null) {
  takeShare(id);
  const settled = applySettings();
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const address = `${scheme}://${location.host}/demo/ws/${encodeURIComponent(id)}`;
  const session = new Session(id, address, {
    open: (url) => new WebSocket(url, protocols()),
    online: () => navigator.onLine,
    random: Math.random,
  });
  addEventListener("online", () => session.wake());
  addEventListener("offline", () => session.lostNetwork());
  addEventListener("pageshow", () => session.wake());
  // Another tab has changed what is kept.
  addEventListener("storage", () => {
    session.reread();
    rereadSettings();
    rereadVisited();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") session.wake();
  });
  session.open();
  void settled.then(() => {
    root.replaceChildren();
    render(<App session={session} />, root);
  });
}
