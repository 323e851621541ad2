"use strict";
/* What HTMX cannot say about being live: waiting times that count, and the bar that says when nothing is live.
   The stream carries no names and no values. Elements of the pages ask again when it names them; a `check` on the body
   makes all of them ask at once: when the stream (re)opens, while it is lost, and after an answer that failed. */
const live = (() => {
  const $ = (selector) => document.querySelector(selector);
  const words = JSON.parse(document.body.dataset.words);
  const say = (key, values = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);

  const MARK_AFTER = 12e3;
  const BAR_AFTER = 30e3;
  const GONE_AFTER = 180e3;
  const POLL_EVERY = 15e3;
  const RETRY_AFTER = 3e3;
  const ANNOUNCE_EVERY = 20e3;
  // the station PC's clock may be wrong: waiting times count by the server's
  const skew = Date.parse(document.body.dataset.now) - Date.now();
  let lastBeat = Date.now();
  let lastContact = Date.now();
  let lastPoll = 0;
  let lastSaid = 0;
  let dead = false;
  let retry = 0;

  const check = () => htmx.trigger(document.body, "check");

  /* waiting times */
  const pad = (n) => String(n).padStart(2, "0");
  function waited(since, seconds) {
    const total = Math.max(0, Math.floor((Date.now() + skew - since) / 1000));
    const m = Math.floor(total / 60);
    const h = Math.floor(m / 60);
    if (h >= 48) return say("d", { d: Math.floor(h / 24) });
    if (h) return say("hm", { h, m: pad(m % 60) });
    if (!seconds) return m ? say("m", { m }) : say("just_now");
    return m ? say("ms", { m, s: pad(total % 60) }) : say("s", { s: total });
  }
  function tick(selector) {
    for (const element of document.querySelectorAll(selector)) {
      element.textContent = waited(Date.parse(element.dataset.since), "ticks" in element.dataset);
    }
  }

  /* the title counts unclaimed emergencies, as the badge does */
  function showTitle() {
    const plain = document.body.dataset.title;
    const unclaimed = Number($("#unclaimed-top [data-n]").textContent);
    if (dead) document.title = `! ${say("broken")} - ${plain}`;
    else document.title = unclaimed ? `(${unclaimed}) ${say("emergency_word")} · ${plain}` : plain;
  }

  /* the number of new rows is read out, but not for each of them */
  function announce() {
    const newer = $("#newer span");
    if (!newer || newer.textContent === $("#said").textContent || Date.now() - lastSaid < ANNOUNCE_EVERY) return;
    lastSaid = Date.now();
    $("#said").textContent = newer.textContent;
  }

  /* what is said when nothing is live */
  const clock = (at) => {
    const when = new Date(at);
    return [when.getHours(), when.getMinutes(), when.getSeconds()].map(pad).join(":");
  };
  function watch() {
    const now = Date.now();
    const silent = now - lastBeat;
    const gone = now - lastContact > GONE_AFTER;
    $("#live").classList.toggle("live-lost", silent > MARK_AFTER);
    $("[data-live]").textContent = say(silent > MARK_AFTER ? "live_lost" : "live_on");
    dead = silent > BAR_AFTER;
    $("#lost").hidden = !dead;
    $("#lost").classList.toggle("linebar-emg", gone);
    if (dead) {
      const wait = waited((gone ? lastContact : lastBeat) + skew, false);
      const text = say(gone ? "gone" : "lost", { wait, clock: clock(lastContact) });
      if ($("[data-lost]").textContent !== text) $("[data-lost]").textContent = text;
      if (now - lastPoll > POLL_EVERY) {
        lastPoll = now;
        check();
      }
    }
    showTitle();
    announce();
  }

  const heard = () => { lastContact = Date.now(); };
  const alive = () => { lastBeat = lastContact = Date.now(); };
  function listen(event) {
    const stream = event.detail.source;
    for (const name of ["beat", "queue", "gap"]) stream.addEventListener(name, alive);
    stream.addEventListener("deaf", heard);
    // what changed between the page's rendering and this moment was announced to nobody
    check();
  }
  function failed(event) {
    const background = "X-Background" in event.detail.requestConfig.headers;
    if (!background || retry) return;
    // what was announced must not be lost with one failed answer
    retry = setTimeout(() => { retry = 0; check(); }, RETRY_AFTER);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const body = document.body;
    body.addEventListener("htmx:sseOpen", listen);
    body.addEventListener("htmx:afterOnLoad", heard);
    body.addEventListener("htmx:afterSettle", watch);
    for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) body.addEventListener(name, failed);
    $("[data-check]").addEventListener("click", check);
    setInterval(() => { tick("[data-since][data-ticks]"); watch(); }, 1000);
    setInterval(() => tick("[data-since]:not([data-ticks])"), 30e3);
    window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  });

  return { say, clock: () => clock(lastContact) };
})();
