"use strict";
// What the pages' own words cannot say: what changed comes by the stream that all pages share
// (streams.js). Everything else is HTML from the server; without this file every page still works.
(() => {
  const WORDS = {
    on: "Live",
    off: "Connection lost, trying again …",
    ended: "No longer live: reload the page",
  };
  const UNANSWERED = "The website did not answer: what is here is from before. Try again.";
  // A page that is younger would be refused again: it is not loaded in circles.
  const YOUNG_MS = 2000;
  const AGAIN_MS = 2000;
  // A page that nobody touched for so long asks for itself without keeping its session awake.
  const ATTENDED_MS = 60_000;

  let port = null;
  let watched = "";
  let last = "";
  let number = 0;
  let since = "";
  let isAsking = false;
  let isDue = false;
  let touchedAt = performance.now();

  const say = (state) => {
    const place = document.getElementById("live-state");
    if (!place || place.classList.contains(state)) return;
    place.className = `live-state ${state}`;
    place.textContent = WORDS[state];
  };

  const connect = (worker) => {
    if (port) return;
    try {
      port = new SharedWorker(worker).port;
    } catch {
      const channel = new MessageChannel();
      window.watchHere(channel.port1);
      port = channel.port2;
    }
    port.onmessage = ({ data }) => hear(data);
  };

  const hear = (told) => {
    const place = document.getElementById("live");
    if (!place || told.number !== number) return;
    if (told.since) since = told.since;
    if (told.state === "ended" && performance.now() > YOUNG_MS) location.reload();
    else if (told.state) say(told.state);
    else if (place.dataset.part) refresh();
    else htmx.swap({ sourceElement: place, target: place, text: told.html, swap: "none swapEmpty:false" });
  };

  // Whether it was asked for: what this browser cannot have now is asked for again.
  const renew = async () => {
    const place = document.getElementById("live");
    const part = place?.dataset.part;
    if (!part) return true;
    let text = "";
    try {
      const isAttended = performance.now() - touchedAt < ATTENDED_MS;
      const headers = isAttended ? {} : { "X-Labtrawl-Unattended": "1" };
      const response = await fetch(location.href, { headers });
      if (!response.ok) return response.status < 500;
      text = await response.text();
    } catch {
      return false;
    }
    htmx.swap({ sourceElement: place, target: part, select: part, text, swap: "outerMorph" });
    return true;
  };

  // One at a time. What was told meanwhile is asked for afterwards, and nothing told is lost: the
  // next word of the stream may be long in coming.
  const refresh = async () => {
    isDue = true;
    if (isAsking) return;
    isAsking = true;
    while (isDue) {
      isDue = false;
      if (await renew()) continue;
      isDue = true;
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
    isAsking = false;
  };

  // A page that nobody sees watches nothing; seen again, it is told what it missed.
  const look = () => {
    const place = document.getElementById("live");
    const address = place && !document.hidden ? place.dataset.watch : "";
    if (address === watched) return;
    if (address && address !== last) since = "";
    watched = address;
    last = address || last;
    if (!port && !address) return;
    if (address) connect(place.dataset.worker);
    number += 1;
    port.postMessage({ number, address, since });
  };

  // An address says what was asked for, not what was left open.
  const shorten = ({ detail: { ctx: { request } } }) => {
    for (const [name, value] of [...request.body]) if (!value) request.body.delete(name);
  };

  // A refusal is a page of its own: it is shown as such, in its own words.
  const refused = (event) => {
    const { request, response } = event.detail.ctx;
    if (response.status < 400) return;
    event.preventDefault();
    location.assign(request.action);
  };

  const unanswered = () => {
    const place = document.getElementById("fresh") ?? document.getElementById("log-tail");
    if (place) place.textContent = UNANSWERED;
  };

  const leave = () => {
    watched = "";
    number += 1;
    port?.postMessage({ number, address: "" });
  };

  for (const sign of ["pointermove", "keydown", "scroll", "touchstart"])
    addEventListener(sign, () => { touchedAt = performance.now(); }, { passive: true });
  look();
  document.addEventListener("visibilitychange", look);
  document.addEventListener("htmx:after:swap", look);
  document.addEventListener("htmx:config:request", shorten);
  document.addEventListener("htmx:before:response", refused);
  document.addEventListener("htmx:error", unanswered);
  addEventListener("pageshow", look);
  addEventListener("pagehide", leave);
})();
