"use strict";
// What the pages' own words cannot say: what changed comes by the stream that all pages share
// (streams.js). Everything else is HTML from the server; without this file every page still works.
(() => {
  const WORDS = {
    on: "Live",
    off: "Connection lost, trying again …",
    ended: "No longer live: reload the page",
  };
  // A page that is younger would be refused again: it is not loaded in circles.
  const YOUNG_MS = 2000;
  const AGAIN_MS = 2000;

  let port = null;
  let watched = "";
  let last = "";
  let number = 0;
  let since = "";
  let isAsking = false;
  let isDue = false;

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
      const response = await fetch(location.href);
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

  const leave = () => {
    watched = "";
    number += 1;
    port?.postMessage({ number, address: "" });
  };

  look();
  document.addEventListener("visibilitychange", look);
  document.addEventListener("htmx:after:swap", look);
  addEventListener("pageshow", look);
  addEventListener("pagehide", leave);
})();
