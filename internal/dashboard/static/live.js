// Keeps an open page up to date: the server sends the page's parts when one has changed, and each part that differs takes
// the place of the old one. Without this script every page works the same, and shows the state as of its loading.
(() => {
  "use strict";
  document.documentElement.classList.add("js");

  let source = null;
  let address = "";
  const shown = new Map(); // the HTML of each part as the server sent it, by id

  const remember = (root) => {
    for (const part of root.querySelectorAll("[data-part]")) shown.set(part.id, part.outerHTML);
  };

  // A hidden page reads nothing: a browser opens few connections to one server.
  const wanted = () => {
    const main = document.getElementById("main");
    return document.hidden || !main ? "" : main.dataset.live || "";
  };

  const connect = () => {
    if (wanted() === address) return;
    address = wanted();
    if (source) source.close();
    source = null;
    if (!address) return;
    source = new EventSource(address);
    source.addEventListener("open", () => lost(false));
    source.addEventListener("message", (event) => take(event.data));
    source.addEventListener("end", () => {
      delete document.getElementById("main").dataset.live;
      connect();
    });
    source.addEventListener("error", (event) => {
      lost(true);
      if (event.target.readyState === EventSource.CLOSED) retry(); // the server has refused it, or has just started
    });
  };

  const lost = (isLost) => {
    document.getElementById("lost").hidden = !isLost;
  };

  const retry = () => {
    address = "";
    setTimeout(connect, 3000);
  };

  const take = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const part of fresh.querySelectorAll("[data-part]")) replace(part);
    fill();
  };

  // A list keeps its rows in place, and a link shows the newest tasks. One without rows follows the link by itself, unless
  // somebody is about to change its filter.
  const fill = () => {
    const newest = document.getElementById("newest");
    if (!newest || document.querySelector("tbody tr") || document.activeElement?.closest("form")) return;
    htmx.ajax("GET", newest.href, { target: "#main", select: "#main", swap: "outerHTML" });
  };

  const replace = (part) => {
    const old = document.getElementById(part.id);
    if (!old || shown.get(part.id) === part.outerHTML || isSelectedIn(old)) return;
    shown.set(part.id, part.outerHTML);
    for (const details of part.querySelectorAll("details[id]")) {
      const before = document.getElementById(details.id);
      if (before) details.open = before.open;
    }
    htmx.swap(old, part.outerHTML, { swapStyle: "outerHTML" }); // it keeps the focus
  };

  // What somebody is about to copy stays.
  const isSelectedIn = (element) => {
    const selection = getSelection();
    return !selection.isCollapsed && element.contains(selection.anchorNode);
  };

  const copy = async (button) => {
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text); // without TLS a script may not copy
      button.textContent = "Selected";
    }
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("visibilitychange", connect);
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id !== "main") return;
    remember(document);
    connect();
  });
  window.addEventListener("pagehide", () => {
    if (source) source.close();
    address = "";
  });
  window.addEventListener("pageshow", connect);
  remember(document);
  connect();
})();
