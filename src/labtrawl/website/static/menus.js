"use strict";
// The menus of the bar: Escape closes the open one and gives the focus back; who goes elsewhere
// closes it too. Without this file a menu is closed as it was opened.
(() => {
  const opened = () => document.querySelector("details.more[open]");

  const leave = ({ target }) => {
    const menu = opened();
    if (menu && !menu.contains(target)) menu.open = false;
  };

  document.addEventListener("keydown", ({ key }) => {
    const menu = opened();
    if (key !== "Escape" || !menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  document.addEventListener("focusin", leave);
  document.addEventListener("click", leave);
})();
