// <allotment-usage>: what a user has left today, when it comes back, packs, and 30 days of use.
// One file, no framework, no key. What the service says becomes text, never markup.
// It is sent without its comments and indentation.
(() => {
  "use strict";

  const folder = (address, base) => new URL(address.replace(/\/*$/, "/"), base);
  const SCRIPT = document.currentScript;
  // Where the script came from is where tokens may go.
  const HOME = SCRIPT?.src && folder(SCRIPT.dataset.service ?? "..", SCRIPT.src);
  const EVENTS = [
    ...["changed", "renewed", "expired", "low_credits"].map((what) => `subscription.${what}`),
    "usage.spike", "usage.reversed", "credits.depleted", "credits.adjusted", "pack.expired",
  ];
  const DAYS = 30;
  const SHOWN_MAX = 5; // Packs, and services.
  const DAY_MS = 86_400_000;
  const REFRESH_SECONDS = 10;
  const TICK_MS = 30_000; // How old "in 5 hours" may be.
  const GAP_MS = 500; // Between two reads, however many events come.
  const LISTS_MS = 15_000; // Between two reads of packs and days: they cost queries.
  const RETRY_MS_MAX = 60_000;
  const ANSWER_MS_MAX = 15_000;
  const LASTING_MS = 30_000; // A stream that lasted as long was a good one.

  const ENGLISH = {
    title: "Credits", left: "left today", used: "{used} of {limit} used today", held: "{held} set aside",
    resets: "Resets {when} ({time})", packs: "Packs", until: "until {date}", never: "no end date",
    paid: "Bought", promotional: "Bonus", adjustment: "Adjustment", others: "{count} more",
    days: "Last 30 days", sum: "{sum} used", most: "most on {date}: {credits}", services: "Used for",
    more: "Get more", none: "There is no current plan.", paused: "The plan is paused.",
    past_due: "A payment is due.", low: "Few credits are left.", depleted: "No credits are left.",
    loading: "Loading…", offline: "The newest numbers cannot be read now.",
    ended: "Your access has ended. Please open this again from the application.",
  };
  const OTHERS = ["de", "es", "fr"]; // Their words are read where a viewer needs them.

  const STYLE = new CSSStyleSheet();
  STYLE.replaceSync(`
    :host {
      --text: var(--allotment-text, light-dark(#1b2430, #e8ebf0));
      --muted: var(--allotment-muted, light-dark(#5b6675, #a3adba));
      --back: var(--allotment-background, light-dark(#fff, #171b21));
      --line: var(--allotment-line, light-dark(#dfe3e8, #343b45));
      --accent: var(--allotment-accent, light-dark(#2563c9, #7fb0ff));
      --on: var(--allotment-on-accent, light-dark(#fff, #0c1420));
      --warn: var(--allotment-warning, light-dark(#b3420b, #ffab70));
      --held: var(--allotment-held, light-dark(#9db8e6, #43608f));
      color-scheme: light dark; display: block; container-type: inline-size; max-width: 40rem;
      font: var(--allotment-font, 1rem/1.45 system-ui, sans-serif); color: var(--text);
    }
    :host([theme="light"]) { color-scheme: light; }
    :host([theme="dark"]) { color-scheme: dark; }
    :host([hidden]), [hidden] { display: none !important; }
    .card { position: relative; background: var(--back); border: 1px solid var(--line); border-radius: var(--allotment-radius, 12px); padding: 1.25em; }
    .card > * + * { margin-top: 1.25em; }
    h2, h3, p, ul { margin: 0; padding: 0; font-size: 1em; }
    h2 { font-size: 1.15em; }
    .row { display: flex; justify-content: space-between; align-items: baseline; gap: .25em 1em; }
    .today { display: flex; align-items: center; gap: 1.5em; }
    .ring { position: relative; flex: none; width: 8.5em; height: 8.5em; }
    svg { transform: rotate(-90deg); display: block; }
    circle { fill: none; stroke: var(--line); stroke-width: 10; }
    .full { stroke: var(--accent); }
    .low .full { stroke: var(--warn); }
    .aside { stroke: var(--held); }
    .middle { position: absolute; inset: 0; display: grid; place-content: center; text-align: center; line-height: 1.2; }
    .left { font-weight: 650; }
    .muted { color: var(--muted); font-size: .875em; }
    .said { color: var(--warn); }
    :empty:is(p) { display: none; }
    ul { list-style: none; }
    li { padding: .4em 0; }
    li + li { border-top: 1px solid var(--line); }
    li span { overflow-wrap: anywhere; }
    a, li span + span { white-space: nowrap; }
    .bars { display: flex; align-items: end; gap: 2px; height: 4.5em; margin-top: .6em; border-bottom: 1px solid var(--line); }
    .bars i { flex: 1; height: calc(var(--share) * 100%); background: var(--accent); border-radius: 2px 2px 0 0; }
    a { color: var(--on); background: var(--accent); border-radius: 8px; padding: .45em .9em; text-decoration: none; font-weight: 600; }
    a:hover { text-decoration: underline; }
    a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
    .unseen { position: absolute; inset: 0 auto auto 0; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
    @media (prefers-reduced-motion: no-preference) { circle { transition: stroke-dasharray .6s; } }
    @media (forced-colors: active) {
      .full { stroke: Highlight; }
      .bars i { background: Highlight; forced-color-adjust: none; }
    }
    @container (max-width: 22em) { .today { flex-direction: column; text-align: center; } }
  `);

  class Refused extends Error {
    constructor(status, text) {
      super(text);
      this.status = status;
    }
  }
  const misplaced = (text) => new Refused(0, `allotment-usage: ${text}`); // Nothing but the page mends it.

  /** Make an element; texts among its children become text nodes. */
  function make(name, attributes, ...children) {
    const namespace = /svg|circle/.test(name) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
    const made = document.createElementNS(namespace, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /** Wait, until a signal ends it. */
  function pause(ms, signal) {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener("abort", end);
      if (signal.aborted) end();
    });
  }

  const backOff = (failures) => Math.min(1000 * 2 ** failures, RETRY_MS_MAX) * (0.5 + Math.random() / 2);
  const between = (low, value, high) => Math.min(Math.max(value, low), high);
  const hasTimeout = (signal) => AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)].filter(Boolean));

  /** Fetch JSON; nothing that is kept, no cookie unless it is said. */
  async function fetched(url, { signal, ...options }) {
    const answer = await fetch(url, { cache: "no-store", credentials: "omit", ...options, signal: hasTimeout(signal) });
    if (!answer.ok) throw new Refused(answer.status);
    return answer.json();
  }

  /** Whose token it is. It is not checked here: the service does that. */
  function userOf(token) {
    try {
      const body = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
      return encodeURIComponent(JSON.parse(new TextDecoder().decode(Uint8Array.from(body, (c) => c.charCodeAt(0)))).sub);
    } catch {
      throw misplaced("a user's own token (JWT) is needed, never an API key");
    }
  }

  /** The calendar day of a moment in a zone, as the service writes days. */
  function dayOf(moment, timeZone) {
    try {
      return new Intl.DateTimeFormat("sv", { timeZone }).format(moment);
    } catch {
      return moment.toISOString().slice(0, 10); // A zone that this browser does not know.
    }
  }
  const dayBefore = (day, count) => new Date(Date.parse(day) - count * DAY_MS).toISOString().slice(0, 10);

  class AllotmentUsage extends HTMLElement {
    static observedAttributes = ["src", "token", "token-url", "lang", "more-url", "refresh"];

    #user = "";
    #token = null;
    #tokenSource = null;
    #asking = null;
    #life = null;
    #wake = new AbortController();
    #stale = true;
    #status = null;
    #lists = null;
    #problem = "";
    #parts = null;
    #shown = null;
    #words = ENGLISH;
    #locale = "en";

    constructor() {
      super();
      this.attachShadow({ mode: "open" }).adoptedStyleSheets = [STYLE];
    }

    /** A user's token. Set so, it is not in the page's markup. */
    set token(token) {
      this.#token = token || null;
      this.#begin();
    }

    /** An async function that returns a user's token, where `token-url` does not do. */
    set tokenSource(source) {
      this.#tokenSource = source;
      this.#begin();
    }

    /** Read the numbers again, now: after a call that has cost something. */
    refresh() {
      this.#stale = true;
      this.#wake.abort();
    }

    connectedCallback() {
      for (const name of ["token", "tokenSource"].filter((one) => Object.hasOwn(this, one))) {
        const given = this[name]; // Before this script was there.
        delete this[name];
        this[name] = given;
      }
      document.addEventListener("visibilitychange", this.#begin);
      this.#draw();
      this.#begin();
    }

    disconnectedCallback() {
      document.removeEventListener("visibilitychange", this.#begin);
      this.#life?.abort();
    }

    attributeChangedCallback(name, _, value) {
      if (name === "token") this.#token = value;
      if (!this.isConnected) return;
      if (name === "lang" || name === "more-url") this.#draw();
      else this.#begin();
    }

    // --- what is asked ------------------------------------------------------------------------

    /** Begin again: both loops live as long as the page is seen. */
    #begin = () => {
      this.#life?.abort();
      if (!this.isConnected || document.hidden) return;
      this.#life = new AbortController();
      this.#stale = true;
      this.#read(this.#life.signal);
      this.#follow(this.#life.signal);
    };

    get #service() {
      const named = this.getAttribute("src");
      const base = named ? folder(named, document.baseURI) : HOME;
      if (!base) throw misplaced("src is needed where the script is a module");
      if (HOME && base.origin !== HOME.origin) throw misplaced("src is not where the script came from: see data-service");
      return base;
    }

    get #source() {
      return this.#tokenSource || this.getAttribute("token-url");
    }

    async #call(path, signal, method = "GET") {
      for (let again = false; ; again = true) {
        const token = await this.#bearer();
        const user = userOf(token);
        const url = new URL(path.replace("{user}", user), this.#service);
        if (user !== this.#user) [this.#user, this.#status, this.#lists] = [user, null, null];
        try {
          return await fetched(url, { method, signal, headers: { Authorization: `Bearer ${token}` } });
        } catch (error) {
          if (error.status === 401 && this.#token === token) this.#token = null; // It has expired.
          if (error.status !== 401 || again) throw error;
        }
      }
    }

    /** Return a token that was not refused yet; where two calls need a new one, one asks. */
    async #bearer() {
      this.#token ??= await (this.#asking ??= this.#ask().finally(() => (this.#asking = null)));
      return this.#token;
    }

    async #ask() {
      let token;
      if (this.#tokenSource) token = await this.#tokenSource();
      else if (this.#source) {
        const credentials = this.getAttribute("token-credentials") ?? "same-origin";
        ({ token } = await fetched(this.#source, { credentials }));
      } else this.#tell("allotment-token-needed");
      token ??= this.#token; // Who was told may have set one.
      if (!token) throw new Refused(401);
      return `${token}`;
    }

    #tell(name, detail) {
      this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
    }

    /** Whether an error stays until the page changes something. */
    #isFinal = ({ status }) => status === 0 || (status === 401 && !this.#source);

    async #read(signal) {
      let [failures, dueAt] = [0, 0];
      while (!signal.aborted) {
        if (this.#stale || Date.now() >= dueAt) {
          this.#stale = false;
          try {
            await this.#readOnce(signal);
            [failures, this.#problem] = [0, ""];
            dueAt = Date.now() + this.#nextMs();
          } catch (error) {
            if (signal.aborted) return;
            this.#fail(error);
            if (this.#isFinal(error)) return;
            dueAt = Date.now() + backOff(++failures);
          }
        }
        this.#show();
        await pause(GAP_MS, signal);
        this.#wake = new AbortController();
        const restMs = between(0, dueAt - Date.now(), TICK_MS);
        if (!this.#stale || failures) await pause(restMs, AbortSignal.any([signal, this.#wake.signal]));
      }
    }

    #fail(error) {
      if (error.status === 0) console.error(error.message);
      const isOver = [401, 403].includes(error.status);
      this.#problem = isOver ? "ended" : "offline";
      if (isOver) this.#status = this.#lists = null;
      this.#show();
    }

    #nextMs() {
      const seconds = between(2, Number(this.getAttribute("refresh")) || REFRESH_SECONDS, 3600);
      const resetMs = Date.parse(this.#status.resets_at) - this.#now() + 5000 * Math.random(); // Not all at midnight.
      const listsMs = this.#lists.seen === this.#status.seen ? Infinity : LISTS_MS;
      return Math.min(seconds * 1000, Math.max(resetMs, 1000), listsMs);
    }

    /** The service's time: a viewer's clock may be wrong. */
    #now() {
      return Date.now() + this.#status.ahead;
    }

    async #readOnce(signal) {
      const status = await this.#call("subscription/status?user_id={user}", signal);
      const day = dayOf(new Date(status.as_of), status.timezone);
      const seen = [status.user_id, day, status.credits_used, status.credits_held, status.remaining_credits].join();
      const old = this.#lists;
      this.#status = { ...status, seen, ahead: Date.parse(status.as_of) - Date.now() };
      this.#show();
      if (old?.seen === seen) return;
      this.#tell("allotment-change", status);
      if (old?.day === day && Date.now() < old.at + LISTS_MS) return;
      const paths = ["subscriptions/{user}", `subscription/usage/recent?user_id={user}&days=${DAYS}`];
      const [{ packs }, recent] = await Promise.all(paths.map((path) => this.#call(path, signal)));
      this.#lists = { packs, recent, seen, day, at: Date.now() };
    }

    /** Have each event of the user read the numbers again. */
    async #follow(signal) {
      for (let failures = 0; !signal.aborted; await pause(backOff(failures), signal)) {
        const began = Date.now();
        try {
          await this.#listen(await this.#call("events/token", signal, "POST"), signal);
        } catch (error) {
          if (this.#isFinal(error)) return;
        }
        failures = Date.now() > began + LASTING_MS ? 0 : failures + 1;
      }
    }

    #listen({ token, after }, signal) {
      const stream = new EventSource(new URL(`events?${new URLSearchParams({ token, after })}`, this.#service));
      const read = () => this.refresh();
      stream.onopen = read; // What happened before it was open is in the numbers.
      for (const type of EVENTS) stream.addEventListener(type, read);
      return new Promise((resolve) => {
        const end = () => resolve(stream.close());
        stream.onerror = () => stream.readyState === EventSource.CLOSED && end();
        signal.addEventListener("abort", end);
        if (signal.aborted) end();
      });
    }

    // --- what is shown ------------------------------------------------------------------------

    #word(name, values = {}) {
      const ours = Object.hasOwn(this.#words, name) ? this.#words[name] : name;
      const text = this.getAttribute(`text-${name}`) ?? ours;
      return text.replace(/\{(\w+)\}/g, (whole, place) => values[place] ?? whole);
    }

    #number(value, options) {
      return new Intl.NumberFormat(this.#locale, options).format(value);
    }

    #date(day, timeZone) {
      return new Intl.DateTimeFormat(this.#locale, { dateStyle: "medium", timeZone }).format(new Date(day));
    }

    /** Choose the language; the words of others than English come from the service. */
    async #speak() {
      const asked = this.lang || navigator.language;
      const { language } = new Intl.Locale(asked);
      let words = ENGLISH;
      if (OTHERS.includes(language)) {
        const url = new URL(`embed/${language}.json`, this.#service);
        words = { ...ENGLISH, ...(await fetched(url, { cache: "default" })) };
      }
      if (asked === (this.lang || navigator.language)) [this.#locale, this.#words] = [asked, words];
    }

    /** Draw all that does not change with the numbers. */
    async #draw() {
      await this.#speak().catch(() => {}); // In English, then.
      const circle = (kind) => make("circle", { class: kind, cx: 50, cy: 50, r: 45, pathLength: 100 });
      const span = (kind, text = "") => make("span", { class: kind }, text);
      const level = Number(this.getAttribute("heading-level") ?? 2);
      const title = (name, ...more) => make("div", { class: "row" }, make("h3", { "aria-level": level + 1 }, this.#word(name)), ...more);
      const p = {
        full: circle("full"), aside: circle("aside"), left: span("left"), total: span(""), sum: span("muted"),
        used: make("p", {}), held: make("p", { class: "muted" }), resets: make("p", { class: "muted" }),
        said: make("p", { class: "said", role: "status", part: "message" }), packs: make("ul", {}), services: make("ul", {}),
        bars: make("div", { class: "bars", role: "img" }), table: make("table", {}),
      };
      p.ring = make("div", { class: "ring", role: "meter", "aria-valuemin": 0, "aria-label": this.#word("title"), part: "ring" },
        make("svg", { viewBox: "0 0 100 100" }, circle(""), p.aside, p.full),
        make("div", { class: "middle" }, p.left, span("muted", this.#word("left"))));
      p.today = make("div", { class: "today" }, p.ring, make("div", {}, p.used, p.held, p.resets));
      p.packBox = make("div", {}, title("packs", p.total), p.packs);
      p.serviceBox = make("div", {}, title("services"), p.services);
      p.dayBox = make("div", {}, title("days", p.sum), p.bars, make("div", { class: "unseen" }, p.table));
      const heading = make("h2", { "aria-level": level }, this.#word("title"));
      this.shadowRoot.replaceChildren(make("section", { class: "card", part: "card", "aria-label": this.#word("title") },
        make("div", { class: "row" }, heading, ...this.#more()), p.said, p.today, p.packBox, p.dayBox, p.serviceBox));
      [this.#parts, this.#shown] = [p, this];
      this.#show();
    }

    #more() {
      const named = this.getAttribute("more-url");
      const href = named && new URL(named, document.baseURI);
      return /^https?:/.test(href) ? [make("a", { href, part: "more" }, this.#word("more"))] : [];
    }

    #show() {
      const [p, status, lists] = [this.#parts, this.#status, this.#lists];
      if (!p) return;
      p.said.textContent = this.#message();
      p.today.hidden = !status?.daily_credit_limit && !status?.credits_rolled_over && !status?.credits_used;
      if (status) this.#showToday(p, status);
      if (this.#shown === lists) return;
      this.#shown = lists;
      p.packBox.hidden = p.serviceBox.hidden = p.dayBox.hidden = !lists;
      if (lists) this.#showLists(p, lists);
    }

    #message() {
      if (this.#problem || !this.#status) return this.#word(this.#problem || "loading");
      const { status, remaining_credits: left, low_credits: isLow } = this.#status;
      if (["none", "cancelled", "expired"].includes(status)) return left > 0 ? "" : this.#word("none");
      if (status !== "active") return this.#word(status);
      return left <= 0 ? this.#word("depleted") : isLow ? this.#word("low") : "";
    }

    #showToday(p, status) {
      const limit = status.daily_credit_limit + status.credits_rolled_over;
      const { day_remaining_credits: left, credits_held: held } = status;
      const draw = (circle, credits) => {
        circle.style.strokeDasharray = `${between(0, (100 * credits) / (limit || 1), 100)} 100`;
      };
      draw(p.full, left);
      draw(p.aside, left + held);
      p.ring.classList.toggle("low", status.low_credits);
      p.left.textContent = this.#number(left, left < 1e8 ? {} : { notation: "compact" });
      p.left.style.fontSize = `${between(0.8, 9 / p.left.textContent.length, 1.7)}em`;
      p.used.textContent = this.#word("used", { used: this.#number(status.credits_used), limit: this.#number(limit) });
      p.held.textContent = held ? this.#word("held", { held: this.#number(held) }) : "";
      p.resets.textContent = this.#resets(new Date(status.resets_at));
      const text = `${this.#number(left)} ${this.#word("left")}. ${p.used.textContent}`;
      const told = { now: between(0, left, limit), max: limit, text };
      for (const [name, value] of Object.entries(told)) p.ring.setAttribute(`aria-value${name}`, value);
    }

    #resets(moment) {
      const minutes = Math.max(Math.round((moment - this.#now()) / 60_000), 0);
      const relative = new Intl.RelativeTimeFormat(this.#locale);
      const when = minutes < 90 ? relative.format(minutes, "minute") : relative.format(Math.round(minutes / 60), "hour");
      const time = new Intl.DateTimeFormat(this.#locale, { timeStyle: "short" }).format(moment);
      return this.#word("resets", { when, time });
    }

    #showLists(p, { packs, recent, day }) {
      const row = (name, credits) => make("li", { class: "row" }, make("span", {}, name), make("span", {}, credits));
      const live = packs.filter((pack) => pack.remaining_credits > 0);
      const until = (pack) => (pack.expires_at ? this.#word("until", { date: this.#date(pack.expires_at) }) : this.#word("never"));
      p.packBox.hidden = !live.length;
      p.total.textContent = this.#number(live.reduce((sum, pack) => sum + pack.remaining_credits, 0));
      p.packs.replaceChildren(...live.slice(0, SHOWN_MAX)
        .map((pack) => row(`${this.#word(pack.category)}, ${until(pack)}`, this.#number(pack.remaining_credits))));
      if (live.length > SHOWN_MAX) p.packs.append(row(this.#word("others", { count: live.length - SHOWN_MAX }), ""));

      const services = Object.entries(recent.by_service).map(([name, sum]) => [name, sum.credit_amount])
        .filter(([, credits]) => credits > 0).sort(([, a], [, b]) => b - a).slice(0, SHOWN_MAX);
      p.serviceBox.hidden = !services.length;
      p.services.replaceChildren(...services.map(([name, credits]) => row(name, this.#number(credits))));

      const days = Array.from({ length: DAYS }, (_, place) => dayBefore(day, DAYS - 1 - place))
        .map((date) => [this.#date(date, "UTC"), Math.max(recent.by_day[date]?.credit_amount ?? 0, 0)]);
      const most = days.reduce((a, b) => (b[1] > a[1] ? b : a));
      p.sum.textContent = this.#word("sum", { sum: this.#number(days.reduce((sum, [, credits]) => sum + credits, 0)) });
      const told = [this.#word("days"), p.sum.textContent, this.#word("most", { date: most[0], credits: this.#number(most[1]) })];
      p.bars.setAttribute("aria-label", told.join("; "));
      p.bars.replaceChildren(...days.map(([date, credits]) => {
        const bar = make("i", { title: `${date}: ${this.#number(credits)}` });
        bar.style.setProperty("--share", credits / (most[1] || 1));
        return bar;
      }));
      p.table.replaceChildren(...days.map(([date, credits]) =>
        make("tr", {}, make("th", { scope: "row" }, date), make("td", {}, this.#number(credits)))));
    }
  }

  customElements.get("allotment-usage") ?? customElements.define("allotment-usage", AllotmentUsage);
})();
