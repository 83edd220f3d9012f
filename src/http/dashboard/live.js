// Shows anew what the server says has changed. Without it a page is as it was when it was loaded.
"use strict";
(() => {
  const lost = document.getElementById("connection");
  const waiting = new Map();
  let source = null;
  let pause = 1000;

  // What somebody uses, or is about to copy, stays as it is until they are done.
  const isInUse = (part) => {
    const selection = getSelection();
    return part.contains(document.activeElement) ||
      (!selection.isCollapsed && part.contains(selection.anchorNode));
  };

  const show = () => {
    for (const [id, html] of waiting) {
      const part = document.getElementById(id);
      if (!part) {
        waiting.delete(id);
      } else if (!isInUse(part)) {
        part.innerHTML = html;
        waiting.delete(id);
      }
    }
  };

  const leave = () => {
    source?.close();
    source = null;
  };

  const listen = () => {
    leave();
    source = new EventSource(document.body.dataset.live);
    source.addEventListener("part", (event) => {
      const { id, html } = JSON.parse(event.data);
      waiting.set(id, html);
      show();
    });
    // Nothing changes any more: the page says the rest.
    source.addEventListener("end", () => { leave(); location.reload(); });
    source.addEventListener("open", () => { lost.hidden = true; pause = 1000; });
    source.addEventListener("error", async () => {
      lost.hidden = false;
      if (source?.readyState !== EventSource.CLOSED) {
        return;
      }
      leave();
      const answer = await fetch("/v1/whoami").catch(() => null);
      if (answer?.status === 401) {
        location.assign("/sign-in");
        return;
      }
      pause = Math.min(pause * 2, 30000);
      setTimeout(() => { if (!source && !document.hidden) { listen(); } }, pause);
    });
  };

  document.addEventListener("focusout", () => setTimeout(show, 0));
  document.addEventListener("selectionchange", show);
  // A page that nobody sees asks for nothing, and one that is seen again is told all of it.
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => { if (event.persisted) { location.reload(); } });
  listen();
})();
