"use strict";
// Keeps the page up to date without ever moving a button under a finger:
// while calls wait for an answer, only times and the recent calls change by
// themselves, and a bar says when there is more to see.
(() => {
  const asks = (root) => [...root.querySelectorAll("form")].map((f) => f.getAttribute("action")).join();

  async function look() {
    if (document.hidden) return;
    let page;
    try {
      const answer = await fetch(location.pathname, { cache: "no-store" });
      if (answer.status === 401) return location.reload(); // signed out: show nothing
      if (!answer.ok) return;
      page = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      return; // offline; the next look may succeed
    }
    const have = document.querySelector("main"), next = page.querySelector("main");
    document.title = page.title;
    if (asks(have) !== asks(next) && asks(have) !== "") {
      document.getElementById("news").hidden = false;
    } else if (asks(have) !== asks(next)) {
      next.className = "new";
      have.replaceWith(next);
    } else {
      const fresh = next.querySelectorAll("[data-live]");
      have.querySelectorAll("[data-live]").forEach((e, i) => {
        if (!e.contains(document.activeElement) && !e.isEqualNode(fresh[i])) e.replaceWith(fresh[i]);
      });
    }
  }

  if (location.search) history.replaceState(null, "", location.pathname);
  document.addEventListener("visibilitychange", look);
  (async function again() {
    await new Promise((done) => setTimeout(done, 4000));
    await look();
    again();
  })();
})();
