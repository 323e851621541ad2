"use strict";
/* What is live: the event stream, the list's rows, waiting times, the bar that says when nothing is live.
   The stream carries no names and no values; whatever is shown is fetched, so permission stays on the server. */
const desk = (() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const words = JSON.parse(document.body.dataset.words);
  const say = (key, values = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const list = $("#list"), grid = $("#grid"), pane = $("#pane");
  const BEAT_LOST = 12e3, BAR_AFTER = 30e3, GONE_AFTER = 180e3, POLL = 15e3, GUARD = 400;
  let lastBeat = Date.now(), lastContact = Date.now(), lastInsert = 0, lastAnnounced = 0, polled = 0;
  let stream = null, refreshing = false, wanted = false;
  const waitingIds = new Set(), touched = new Set();
  const skew = Date.parse(document.body.dataset.now) - Date.now(); // the station PC's clock may be wrong

  async function part(url, { kind = "rows", background = true, method = "GET", body = null } = {}) {
    const headers = { "X-Partial": kind };
    if (background) headers["X-Background"] = "1";
    const answer = await fetch(url, { method, body, headers, credentials: "same-origin", cache: "no-store" });
    if (answer.status === 401) location.assign(`/login?back=${encodeURIComponent(location.pathname + location.search)}`);
    lastContact = Date.now();
    return answer;
  }
  const fragment = (html, inTable) => {
    const holder = document.createElement("template");
    holder.innerHTML = inTable ? `<table>${html}</table>` : html;
    return holder.content;
  };

  /* waiting times */
  const pad = (n) => String(n).padStart(2, "0");
  function waited(since, seconds) {
    const total = Math.max(0, Math.floor((Date.now() + skew - Date.parse(since)) / 1000));
    const m = Math.floor(total / 60), h = Math.floor(m / 60);
    if (h >= 48) return say("d", { d: Math.floor(h / 24) });
    if (h) return say("hm", { h, m: pad(m % 60) });
    if (seconds) return m ? say("ms", { m, s: pad(total % 60) }) : say("s", { s: total });
    return m ? say("m", { m }) : say("just_now");
  }
  const tick = (selector) => $$(selector).forEach((e) => { e.textContent = waited(e.dataset.since, "ticks" in e.dataset); });

  /* counts and title */
  function showCounts(answer) {
    const counts = JSON.parse(answer.headers.get("X-Counts") || "{}");
    $$("[data-chip]").forEach((e) => { if (e.dataset.chip in counts) e.textContent = counts[e.dataset.chip]; });
    $$("tbody[data-section]").forEach((e) => { if (e.dataset.section in counts) $("[data-total]", e).textContent = counts[e.dataset.section]; });
    if ("unclaimed" in counts) showUnclaimed(counts.unclaimed);
  }
  let unclaimed = 0, dead = false;
  function showUnclaimed(n) {
    unclaimed = n;
    $$('[data-count="unclaimed"]').forEach((e) => { e.hidden = !n; $("[data-n]", e).textContent = n; });
    showTitle();
  }
  const plainTitle = document.body.dataset.title;
  function showTitle() {
    document.title = dead ? `! ${say("broken")} - ${plainTitle}` : unclaimed ? `(${unclaimed}) ${say("emergency_word")} · ${plainTitle}` : plainTitle;
  }

  /* the list: rows change in place, an emergency inserts itself, everything else waits for R */
  const rows = () => $$("tr.row", grid || document.createElement("table"));
  const selected = () => rows().find((row) => row.getAttribute("aria-selected") === "true");
  function adopt(fresh, old) {
    fresh.setAttribute("aria-selected", old.getAttribute("aria-selected"));
    fresh.tabIndex = old.tabIndex;
    const focused = old.contains(document.activeElement);
    old.replaceWith(fresh);
    if (focused) fresh.focus({ preventScroll: true });
    if (fresh.dataset.mark !== old.dataset.mark) {
      fresh.classList.add("changed");
      setTimeout(() => fresh.classList.remove("changed"), 2000);
    }
    if (fresh.getAttribute("aria-selected") === "true" && fresh.dataset.mark !== old.dataset.mark) loadPane(fresh.dataset.id, true);
  }
  async function ghost(row) {
    const answer = await part(`/items/${row.dataset.id}/row`);
    if (answer.ok) adopt($("tr.row", fragment(await answer.text(), true)), row);
    else row.remove();
  }
  function insert(row) {
    const section = $('tbody[data-section="emergency"]', grid);
    const before = list.scrollHeight, scrolled = list.scrollTop;
    section.hidden = false;
    row.setAttribute("aria-selected", "false");
    row.tabIndex = -1;
    section.firstElementChild.after(row);
    if (scrolled > 0) list.scrollTop = scrolled + (list.scrollHeight - before);
    lastInsert = Date.now();
    $("#alarm").textContent = say("emergency", { say: row.dataset.say });
    $("#empty").hidden = true;
  }
  function pill() {
    const button = $("#newer");
    button.hidden = !waitingIds.size;
    if (!waitingIds.size) return;
    $("[data-new]", button).textContent = say("newer", { n: waitingIds.size });
    if (Date.now() - lastAnnounced > 20e3) {
      lastAnnounced = Date.now();
      $("#said").textContent = say("newer", { n: waitingIds.size });
    }
  }
  async function refreshList(whole) {
    const current = selected();
    const join = list.dataset.source.includes("?") ? "&" : "?";
    const answer = await part(list.dataset.source + (current ? `${join}item=${current.dataset.id}` : ""));
    if (!answer.ok) throw new Error(String(answer.status));
    const content = fragment(await answer.text(), true);
    showCounts(answer);
    const shown = new Map(rows().map((row) => [row.dataset.id, row]));
    const now = new Map($$("tr.row", content).map((row) => [row.dataset.id, row]));
    if (whole) {
      const focused = grid.contains(document.activeElement);
      $$("tbody", grid).forEach((e) => e.remove());
      grid.append(...$$("tbody", content));
      if (shown.size) rows().filter((row) => !shown.has(row.dataset.id)).forEach((row) => $(".who", row).classList.add("fresh"));
      waitingIds.clear();
      $("#empty").hidden = rows().length > 0;
      const kept = selected();
      if (kept && (!current || kept.dataset.id !== current.dataset.id)) loadPane(kept.dataset.id);
      if (kept && focused) kept.focus();
    } else {
      waitingIds.clear();
      for (const [id, row] of now) {
        const old = shown.get(id);
        if (old && old.dataset.mark !== row.dataset.mark) adopt(row, old);
        else if (!old && row.dataset.severity === "emergency") insert(row);
        else if (!old) waitingIds.add(id);
      }
      for (const [id, row] of shown) if (!now.has(id) && !row.classList.contains("is-ghost")) await ghost(row);
    }
    pill();
  }
  async function refreshStrip() {
    const holder = $("#strip");
    if (!holder) return;
    const answer = await part(holder.dataset.source);
    if (!answer.ok) throw new Error(String(answer.status));
    const html = await answer.text();
    const had = $(".strip", holder);
    if (!had || had.outerHTML !== html.trim()) holder.replaceChildren(fragment(html));
    showCounts(answer);
    const alone = $("#pane[data-alone]");
    if (alone && !dirty() && (touched.has(alone.dataset.item) || touched.has("all"))) loadPane(alone.dataset.item, true);
    touched.clear();
  }
  async function refresh(whole = false) {
    if (refreshing) { wanted = true; return; }
    refreshing = true;
    try {
      await (grid ? refreshList(whole) : refreshStrip());
    } catch (error) {
      if (whole) toast(say("stale", { clock: clock(lastContact) }));
      else setTimeout(refresh, 3000); // what was announced must not be lost with one failed answer
    } finally {
      refreshing = false;
      if (wanted) { wanted = false; setTimeout(refresh, 300); }
    }
  }

  /* the pane */
  const dirty = () => { const note = $("#note"), form = $("[data-close]"); return Boolean(form && ((note && note.value) || $("input:checked", form) || form.contains(document.activeElement))); };
  let paneCall = null;
  async function loadPane(id, background = false) {
    if (!pane || (dirty() && pane.dataset.item === String(id))) return;
    if (paneCall) paneCall.abort();
    const call = (paneCall = new AbortController());
    pane.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(`/items/${id}`, { headers: { "X-Partial": "alone" in pane.dataset ? "alone" : "pane", ...(background && { "X-Background": "1" }) }, signal: call.signal, cache: "no-store" });
      lastContact = Date.now();
      const html = await answer.text();
      // asked again: somebody may have begun to type while the answer was on its way
      if (answer.ok && !(dirty() && pane.dataset.item === String(id))) putPane(id, html);
    } catch (error) {
      if (error.name !== "AbortError") toast(say("failed"));
    } finally {
      if (paneCall === call) pane.removeAttribute("aria-busy");
    }
  }
  function putPane(id, html) {
    pane.dataset.item = id;
    pane.replaceChildren(fragment(html));
    if (!("alone" in pane.dataset)) pane.scrollTop = 0;
  }

  /* the toast: one at a time, eight seconds, stays while it is pointed at */
  let toastTimer = 0;
  function toast(text, links = []) {
    const box = $("#toast");
    clearTimeout(toastTimer);
    box.replaceChildren(document.createTextNode(text), ...links.map(([label, act]) => {
      const link = document.createElement("button");
      link.type = "button";
      link.textContent = label;
      link.addEventListener("click", () => { box.hidden = true; act(); });
      return link;
    }));
    box.hidden = false;
    const hide = () => { toastTimer = setTimeout(() => { if (box.matches(":hover, :focus-within")) hide(); else box.hidden = true; }, 8000); };
    hide();
  }

  /* the stream and what is said when it fails */
  const clock = (at) => { const d = new Date(at); return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`; };
  function open() {
    if (stream) stream.close();
    stream = new EventSource("/events");
    const alive = () => { lastBeat = lastContact = Date.now(); };
    // what changed between the page's rendering and this moment was announced to nobody
    stream.addEventListener("open", () => refresh());
    stream.addEventListener("beat", alive);
    stream.addEventListener("deaf", () => { lastContact = Date.now(); });
    stream.addEventListener("queue", (event) => { alive(); touched.add(String(JSON.parse(event.data).id)); refresh(); });
    stream.addEventListener("gap", () => { alive(); touched.add("all"); refresh(); });
    stream.addEventListener("signed-out", () => location.assign("/login"));
  }
  function watch() {
    const silent = Date.now() - lastBeat, out = Date.now() - lastContact, bar = $("#lost"), mark = $("#live");
    const lost = silent > BEAT_LOST;
    mark.classList.toggle("live-lost", lost);
    $("[data-live]").textContent = say(lost ? "live_lost" : "live_on");
    if (dead !== (silent > BAR_AFTER)) { dead = silent > BAR_AFTER; showTitle(); }
    bar.hidden = !dead;
    if (dead) {
      const gone = out > GONE_AFTER, since = new Date((gone ? lastContact : lastBeat) + skew).toISOString();
      bar.classList.toggle("linebar-emg", gone);
      const text = say(gone ? "gone" : "lost", { wait: waited(since, false), clock: clock(lastContact) });
      if ($("[data-lost]").textContent !== text) $("[data-lost]").textContent = text;
      if (Date.now() - polled > POLL) { polled = Date.now(); refresh(); }
    }
    if (lost && stream.readyState === EventSource.CLOSED && Date.now() - polled > 3000) { polled = Date.now(); open(); }
  }

  document.addEventListener("DOMContentLoaded", () => {
    unclaimed = Number($('[data-count="unclaimed"] [data-n]').textContent) || 0;
    if (pane && selected()) pane.dataset.item = selected().dataset.id;
    open();
    $("[data-check]").addEventListener("click", () => { open(); refresh(); });
    setInterval(() => { tick("[data-since][data-ticks]"); watch(); }, 1000);
    setInterval(() => tick("[data-since]:not([data-ticks])"), 30e3);
    addEventListener("pagehide", () => stream.close());
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  });

  return { $, $$, say, part, fragment, rows, selected, adopt, loadPane, putPane, refresh, toast, guarded: () => Date.now() - lastInsert < GUARD, list, grid, pane };
})();
