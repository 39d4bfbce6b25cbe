"use strict";
// One stream for all pages of a browser. A shared worker runs this; where there is none, the page
// itself does. A page says by its port what it watches; what is told of that goes back the same way.
(() => {
  // Proxies refuse longer addresses; then a few streams share the pages.
  const LONGEST = 6000;
  // Pages that open together share the stream from its start.
  const GATHER_MS = 20;
  const SLOWEST_MS = 2000;

  const pages = new Map(); // port -> {port, key, number, address, since}
  let keys = 0;
  let streams = [];
  let gathering = false;

  const tell = (page, told) => page.port.postMessage({ ...told, number: page.number });

  const watch = ({ key, since, address }) => {
    const text = encodeURIComponent(`${key}~${since}~${address}`);
    return `watch=${text.replaceAll("%2C", ",").replaceAll("%2F", "/")}`;
  };

  const grouped = () => {
    const groups = [];
    let room = 0;
    for (const page of pages.values()) {
      const length = watch(page).length + 1;
      if (length > room) {
        groups.push([]);
        room = LONGEST;
      }
      groups.at(-1).push(page);
      room -= length;
    }
    return groups;
  };

  const open = () => {
    gathering = false;
    for (const each of streams) each.abort();
    streams = grouped().map((group) => {
      const stopping = new AbortController();
      follow(group, stopping.signal);
      return stopping;
    });
  };

  const gather = () => {
    if (!gathering) setTimeout(open, GATHER_MS);
    gathering = true;
  };

  const rest = (failures) =>
    new Promise((done) => {
      const longest = Math.min(SLOWEST_MS, 250 * 2 ** failures);
      setTimeout(done, longest * (0.5 + Math.random() / 2));
    });

  const follow = async (group, signal) => {
    let failures = 0;
    while (!signal.aborted) {
      try {
        const address = "/streams?" + group.map(watch).join("&");
        const response = await fetch(address, { signal, cache: "no-store" });
        if (response.status >= 400 && response.status < 500) {
          for (const page of group) tell(page, { state: "ended" });
          return;
        }
        if (!response.ok) throw new Error(response.status);
        failures = 0;
        for (const page of group) tell(page, { state: "on" });
        for await (const event of events(response.body)) {
          if (signal.aborted) return;
          pass(group, event);
        }
      } catch {
        // Whatever it was: it is tried again.
      }
      if (signal.aborted) return;
      for (const page of group) tell(page, { state: "off" });
      await rest(failures++);
    }
  };

  const pass = (group, { name, id, data }) => {
    const key = name === "ended" ? data : name;
    const page = group.find((each) => each.key === key);
    if (!page) return;
    // What Last-Event-ID is for a single stream: it is asked for again from here.
    if (id) page.since = id;
    tell(page, name === "ended" ? { state: "ended" } : { html: data, since: page.since });
  };

  // The lines of a stream of events, https://html.spec.whatwg.org/multipage/server-sent-events.html
  async function* events(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const whole = (text + value).split("\n\n");
      text = whole.pop();
      for (const lines of whole) {
        const event = { name: "", id: "", data: "" };
        const data = [];
        for (const line of lines.split("\n")) {
          if (line.startsWith("data: ")) data.push(line.slice(6));
          else if (line.startsWith("event: ")) event.name = line.slice(7);
          else if (line.startsWith("id: ")) event.id = line.slice(4);
        }
        event.data = data.join("\n");
        if (event.name) yield event;
      }
    }
  }

  const admit = (port) => {
    const leave = () => {
      if (pages.delete(port)) gather();
    };
    port.onmessage = ({ data }) => {
      if (!data.address) return leave();
      keys = (keys + 1) % 1e9;
      pages.set(port, { ...data, port, key: String(keys) });
      gather();
    };
    // A page that crashed says no good-bye; browsers that know this tell it.
    port.addEventListener("close", leave);
  };

  if (self.document) self.watchHere = admit;
  else self.onconnect = (event) => admit(event.ports[0]);
})();
