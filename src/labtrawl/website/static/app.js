"use strict";
// What the pages' own words cannot say: whether the stream of this page is open.
// Everything else is HTML from the server; without this file every page still works.
(() => {
  const say = (state, text) => {
    const place = document.getElementById("live-state");
    if (!place) return;
    place.className = `live-state ${state}`;
    place.textContent = text;
  };
  document.addEventListener("htmx:sse:after:connection", () => say("on", "Live"));
  document.addEventListener("htmx:sse:error", (event) => {
    if (event.detail.status === 401) location.reload();
    else say("off", "Connection lost, trying again …");
  });
  document.addEventListener("htmx:sse:close", (event) => {
    if (event.detail.reason === "message") location.reload();
  });
})();
