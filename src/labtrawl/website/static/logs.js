"use strict";
// Following adds lines at the top; the oldest leave at the bottom, so that the page stays quick.
{
  const lines = document.getElementById("lines");
  const most = Number(lines.dataset.most);
  const trim = () => {
    while (lines.children.length > most) lines.lastElementChild.remove();
  };
  new MutationObserver(trim).observe(lines, { childList: true });
}
