// Gives the element the token of this page's address, and takes it out of there.
(() => {
  "use strict";

  const element = document.querySelector("allotment-usage");

  function take() {
    const told = new URLSearchParams(location.hash.slice(1));
    if (!told.has("token")) return;
    history.replaceState(null, "", location.pathname); // Neither the bar nor the tab's history keeps it.
    const [theme, language] = [told.get("theme"), told.get("lang")];
    if (language) element.lang = language;
    if (theme) {
      document.documentElement.dataset.theme = theme;
      element.setAttribute("theme", theme);
    }
    element.token = told.get("token");
  }

  addEventListener("hashchange", take); // The same page, opened again by another link.
  take();
})();
