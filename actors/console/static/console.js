// What pages do by themselves: take the link's token out of the address, and ask for what is live.
"use strict";

const once = /^#once=([\w-]{20,100})$/.exec(location.hash);
if (once) {
  history.replaceState(null, "", location.pathname);
  const form = document.querySelector("form[data-link]");
  if (form) {
    form.elements.token.value = once[1];
    form.submit();
  }
}

async function renew(part) {
  const answer = await fetch(part.dataset.live, { credentials: "same-origin" });
  if (answer.status === 401) {
    location.assign("/sign-in");
    return;
  }
  if (answer.ok) part.innerHTML = await answer.text(); // The server has escaped what is in it.
}

for (const part of document.querySelectorAll("[data-live]")) {
  const look = async () => {
    try {
      if (!document.hidden) await renew(part);
      part.classList.remove("lost");
    } catch {
      part.classList.add("lost");
    }
    setTimeout(look, 1000 * Number(part.dataset.seconds));
  };
  setTimeout(look, 1000 * Number(part.dataset.seconds));
}

// On a phone the menu is wider than its place: the page that is shown is within it.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// A table that is wider than its place can be moved by keys, too.
function makeReachable() {
  for (const place of document.querySelectorAll(".table")) {
    if (place.scrollWidth > place.clientWidth) {
      place.tabIndex = 0;
      place.setAttribute("role", "group");
      place.setAttribute("aria-label", place.querySelector("th").innerText + " and more");
    } else {
      place.removeAttribute("tabindex");
    }
  }
}
makeReachable();
addEventListener("resize", makeReachable);

// A form is sent once: its button rests until the answer is there.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => {
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  });
}
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button")) button.disabled = false;
});
