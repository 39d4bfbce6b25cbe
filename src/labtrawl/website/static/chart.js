"use strict";
// Draws each chart of a page from the table beside it: what is drawn is what the table says.
// Without this file the tables are still there.
(() => {
  const HEIGHT = 200;
  const DAY = 86400;
  const IDLE = 600_000;
  const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4], [1, 2]];
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const drawn = new Map();
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const figure = target.closest("figure"), plotted = drawn.get(figure);
      if (!plotted) draw(figure);
      else if (plotted.width !== target.clientWidth)
        plotted.setSize({ width: target.clientWidth, height: HEIGHT });
    }
  });
  // A phone is not busy with what is far below: a chart is drawn as it comes near.
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target.closest("figure"));
      sizes.observe(target);
    }
  }, { rootMargin: `${HEIGHT}px` });

  const number = (text) => {
    const value = Number(text.replace(/,/g, ""));
    return text === "" || Number.isNaN(value) ? null : value;
  };
  const two = (value) => String(value).padStart(2, "0");
  const day = (at) => `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
  const label = (seconds, step) => {
    const at = new Date(seconds * 1000);
    if (step >= 300 * DAY) return String(at.getUTCFullYear());
    if (step >= 20 * DAY) return `${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
    if (step >= DAY || at.getUTCHours() + at.getUTCMinutes() === 0) return day(at);
    return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  };
  const short = (value) => {
    if (value >= 1e9) return `${value / 1e9} G`;
    if (value >= 1e6) return `${value / 1e6} M`;
    if (value >= 1e4) return `${value / 1e3} k`;
    return value.toLocaleString("en");
  };

  // Steps below a minute would name one minute twice.
  const once = (texts) => texts.map((text, at) => (text === texts[at - 1] ? "" : text));

  const read = (figure) => {
    const rows = [...figure.querySelectorAll("tbody tr")];
    const times = rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000);
    const width = figure.querySelectorAll(".keys li").length;
    const columns = Array.from({ length: width }, (_, place) =>
      rows.map((row) => number(row.cells[place + 1].textContent.trim())));
    return [times, ...columns];
  };

  // A canvas knows no light-dark(): only a computed colour is one for sure.
  const colour = (element, name) => getComputedStyle(element)[name || "color"];
  const faint = (text) => text.replace(/^rgb\((.*)\)$/, "rgba($1, .1)");

  const tell = (figure, row) => {
    const cells = row == null ? [] : figure.querySelectorAll("tbody tr")[row].cells;
    figure.querySelectorAll(".keys output").forEach((place, at) => {
      place.textContent = cells.length ? cells[at + 1].textContent : "";
    });
    const when = figure.querySelector(".when");
    when.textContent = cells.length ? cells[0].textContent : "";
  };

  // One figure alone has no width of its own: it stands at the end of one step.
  const span = (figure, times) => {
    const last = times.at(-1);
    return times.length > 1 ? [times[0], last] : [last - Number(figure.dataset.aloneSeconds), last];
  };

  const options = (figure, plot, lines) => ({
    width: plot.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { drag: { x: false, y: false }, y: false, sync: { key: "labtrawl" } },
    scales: {
      // By the figures: uPlot has years in mind for one of them alone.
      x: { range: (plotted) => span(figure, plotted.data[0]) },
      y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.08 : 1] },
    },
    series: [{}, ...lines.map((line, at) => ({
      stroke: colour(line),
      fill: at === 0 ? faint(colour(line)) : undefined,
      width: at === 0 ? 2 : 1.6,
      dash: DASHES[at % DASHES.length],
    }))],
    axes: ["x", "y"].map((axis) => ({
      stroke: colour(plot),
      font: "12px system-ui, sans-serif",
      size: axis === "x" ? 30 : 58,
      space: axis === "x" ? 76 : 34,
      grid: { stroke: colour(plot, "borderTopColor"), width: 1 },
      ticks: { stroke: colour(plot, "borderTopColor"), width: 1, size: 4 },
      values: (_plot, splits, _axis, _space, step) =>
        once(splits.map((value) => (axis === "x" ? label(value, step) : short(value)))),
    })),
    hooks: { setCursor: [(plotted) => tell(figure, plotted.cursor.idx)] },
  });

  const draw = (figure) => {
    const plot = figure.querySelector(".plot");
    drawn.get(figure)?.destroy();
    drawn.delete(figure);
    const figures = read(figure);
    if (!figures[0].length || !plot?.clientWidth) return;
    const lines = [...figure.querySelectorAll(".keys li")];
    drawn.set(figure, new uPlot(options(figure, plot, lines), figures, plot));
  };

  const change = (here, page, part, into = part) => {
    const there = here.querySelector(part), coming = page.querySelector(into);
    if (there && coming) there.replaceWith(coming);
  };

  const refresh = async () => {
    const answer = await fetch(location.href);
    // Signed out, or moved: the next click says so.
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const figure of document.querySelectorAll("figure.chart")) {
      const newer = page.getElementById(figure.id);
      if (!newer) continue;
      for (const part of ["thead", "tbody", ".keys"]) change(figure, newer, part);
      if (figure.querySelector(".unplotted") && newer.querySelector(".plot")) {
        // The first figures: a sentence stood there.
        change(figure, newer, ".unplotted", ".plot");
        near.observe(figure.querySelector(".plot"));
      }
      if (drawn.has(figure)) draw(figure);
    }
    for (const part of document.querySelectorAll("[data-fresh]"))
      if (!part.contains(document.activeElement)) change(document, page, `#${part.id}`);
  };

  const offerCopies = () => {
    if (!navigator.clipboard) return;
    for (const block of document.querySelectorAll("[data-copy]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.id = `copy-${block.dataset.copy}`;
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(document.getElementById(block.dataset.copy).textContent);
        button.textContent = "Copied";
      });
      block.before(button);
    }
  };

  const lookAgain = () => {
    const link = document.querySelector("[data-again-seconds]");
    if (link) setTimeout(() => location.reload(), Number(link.dataset.againSeconds) * 1000);
  };

  // Nobody's session is kept alive by a page that nobody looks at.
  const keepFresh = (every) => {
    let usedAt = Date.now();
    for (const sign of ["pointermove", "keydown", "scroll", "touchstart"])
      addEventListener(sign, () => { usedAt = Date.now(); }, { passive: true });
    setInterval(() => {
      if (!document.hidden && Date.now() - usedAt < IDLE) refresh().catch(() => {});
    }, every);
  };

  const begin = () => {
    // A chart without figures has a sentence there.
    for (const plot of document.querySelectorAll("figure.chart .plot")) near.observe(plot);
    const again = () => [...drawn.keys()].forEach(draw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    addEventListener("beforeprint", () => document.querySelectorAll("figure.chart").forEach(draw));
    offerCopies();
    lookAgain();
    const every = Number(document.querySelector("[data-refresh-seconds]")?.dataset.refreshSeconds);
    if (every) keepFresh(every * 1000);
  };
  begin();
})();
