"use strict";
/* Fast hands: one selected row, a key for everything, and nothing that moves under the hand.
   Single keys act only where nothing is typed and test the physical key (event.code), because an input method reports
   "Process"; a composing Enter never sends a form. */
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const GUARD = 400;
  const REST = 150;
  const pane = () => $("#pane");
  const rows = () => $$("#grid tr.row");
  const selected = () => $('#grid tr.row[aria-selected="true"]');
  let chosen = "";
  let resting = 0;
  let pointed = 0;
  let moved = 0;
  let whenShown = null;

  /* selection: one row is in the tab order, its pane follows when the hand rests */
  const inPane = () => { const field = $("#pane [name=item]"); return field ? field.value : ""; };
  const paneFollows = () => $("#grid") && getComputedStyle(pane()).display !== "none";
  function mark(row) {
    for (const each of rows()) {
      each.setAttribute("aria-selected", String(each === row));
      each.tabIndex = each === row ? 0 : -1;
    }
    if (row) chosen = row.dataset.id;
    else if (rows().length) rows()[0].tabIndex = 0;
  }
  function select(row, focus = true) {
    mark(row);
    if (focus) {
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
    }
    clearTimeout(resting);
    whenShown = null;
    if (paneFollows() && inPane() !== chosen) resting = setTimeout(show, REST);
  }
  function show() {
    clearTimeout(resting);
    if (selected()) htmx.trigger($('[hx-trigger="show"]', selected()), "show");
  }
  /* what a key does to the pane is done to the selected item, never to the one selected before */
  function withPane(act) {
    if (!paneFollows() || !selected() || inPane() === chosen) return act();
    show();
    whenShown = act;
    return true;
  }
  const open = (row) => location.assign(`/items/${row.dataset.id}`);
  function move(step) {
    const all = rows();
    const next = all[Math.min(all.length - 1, Math.max(0, all.indexOf(selected()) + step))];
    if (next) select(next);
  }
  function nextFree() {
    const all = rows();
    const at = all.indexOf(selected());
    const free = (row) => !row.matches(".is-held, .is-ghost");
    const next = [...all.slice(at + 1), ...all.slice(0, at + 1)].find(free);
    if (next) select(next);
  }

  /* what HTMX may send, and what it may put in place */
  function toast(text) {
    const box = document.createElement("div");
    box.className = "toast";
    box.textContent = text;
    $("#toast").replaceChildren(box);
  }
  function complain(form, text) {
    const note = $(".err", form) || form.appendChild(document.createElement("p"));
    note.className = "err";
    note.setAttribute("role", "alert");
    note.textContent = text;
  }
  function typing() {
    const form = $("[data-close]");
    return form && (form.contains(document.activeElement) || $("#note").value || $("input:checked", form));
  }
  // by what it says and not by where it is: an answer may come when its element is gone
  const isPaneLive = (elt) => elt.matches(`[name=shown][hx-target="#pane"]`);
  function beforeRequest(event) {
    const { elt } = event.detail;
    // rows that move can only mislead a pointer: a key acts on the selected row, which an insertion does not change
    const misled = elt.matches("form") && Date.now() - moved < GUARD && Date.now() - pointed < 1000;
    if (misled) toast(live.say("again"));
    if (misled || (isPaneLive(elt) && typing())) {
      event.preventDefault();
      return;
    }
    // an answer still on its way was asked for before this one
    if (elt.matches("form") && pane()) htmx.trigger(pane(), "htmx:abort");
    event.detail.target.setAttribute("aria-busy", "true");
  }
  let heldRow = "";
  let height = 0;
  function beforeSwap(event) {
    const { target, requestConfig } = event.detail;
    const asked = requestConfig.elt;
    // somebody may have begun to type, or gone on to the next row, while the answer was on its way
    const typed = isPaneLive(asked) && (typing() || !asked.isConnected);
    const passed = asked.matches('[hx-trigger="show"]') && !asked.closest(`#item-${chosen}`);
    if (typed || passed) {
      event.detail.shouldSwap = false;
      return;
    }
    const held = document.activeElement.closest("tr.row");
    heldRow = held ? held.id : "";
    height = $("#list") ? $("#list").scrollHeight : 0;
  }
  function afterSwap(event) {
    if (event.target !== event.detail.target) return;
    if (!$("#grid")) return;
    const { requestConfig, target } = event.detail;
    if (requestConfig.verb === "post" && target === pane()) chosen = inPane();
    if (target.id === "board") chosen = inPane();
    mark($(`#item-${chosen}`));
    if (heldRow && document.activeElement === document.body && $(`#${heldRow}`)) $(`#${heldRow}`).focus({ preventScroll: true });
    if (target.id === "grid" && !selected() && rows().length) select(rows()[0], false);
  }
  function inserted(event) {
    if (event.detail.target.id !== "head-emergency") return;
    const list = $("#list");
    moved = Date.now();
    if (list.scrollTop > 0) list.scrollTop += list.scrollHeight - height;
  }
  function afterRequest(event) {
    const { elt, target, xhr, requestConfig } = event.detail;
    target.removeAttribute("aria-busy");
    if (target === pane() && whenShown && inPane() === chosen) {
      const act = whenShown;
      whenShown = null;
      act();
    }
    if (requestConfig.verb !== "post" || xhr.status !== 200) return;
    if (elt.dataset.act === "call" && $("[data-call]")) $("[data-call]").focus();
    if (elt.dataset.act === "close" && $("#grid")) nextFree();
  }
  function failed(event) {
    const { elt } = event.detail;
    if (elt.matches("form")) complain(elt, live.say("failed"));
    else if (!("X-Background" in event.detail.requestConfig.headers)) toast(live.say("stale", { clock: live.clock() }));
  }

  /* keys */
  const press = (selector, root = document) => {
    const form = root && $(selector, root);
    if (form) form.requestSubmit($("button", form));
    return Boolean(form);
  };
  const pressed = (act) => () => press(`#pane form[data-act="${act}"]`);
  function claim() {
    const row = selected();
    if (row && !row.matches(".is-held, .is-ghost")) return press('form[data-act="claim"]', row);
    return withPane(pressed("release")) || press('#pane form[data-act="call"]') || press('form[data-act="claim-page"]');
  }
  function call() {
    const link = $("[data-call]");
    if (!link) return pressed("call")();
    if (document.activeElement === link) link.click();
    else link.focus();
    return true;
  }
  function outcome() {
    const first = $("#close input:checked") || $("#close input[type=radio]");
    if (!first) return;
    first.focus();
    first.closest(".sec").scrollIntoView({ block: "nearest" });
  }
  function reveal() {
    if (!$("#reveal")) return;
    $("#reveal").open = true;
    $("#reveal button").focus();
  }
  function find() {
    if ($("#find")) $("#find").focus();
    else location.assign("/residents?focus=1");
  }
  function openKeys() {
    if (!$("#keys").open) $("#keys").showModal();
  }
  const focusFilter = () => { if ($("#chips [aria-current]")) $("#chips [aria-current]").focus(); };
  const next = () => { if ($("#grid")) nextFree(); else location.assign("/queue"); };
  function newer() {
    if ($("#newer")) $("#newer").click();
    else if ($("#grid")) htmx.ajax("GET", $("#news").getAttribute("hx-get").replace("changes", "items"), { target: "#grid", swap: "innerHTML" });
  }
  const keys = {
    KeyJ: () => move(1),
    ArrowDown: () => move(1),
    KeyK: () => move(-1),
    ArrowUp: () => move(-1),
    KeyC: claim,
    KeyA: () => withPane(pressed("acknowledge")) || press('#strip form[data-act="acknowledge"]'),
    KeyT: () => withPane(call),
    KeyE: () => withPane(outcome),
    KeyN: next,
    KeyR: newer,
    KeyF: focusFilter,
    KeyV: reveal,
    KeyP: () => window.print(),
    Slash: (event) => { if (event.shiftKey) openKeys(); else find(); },
  };
  const places = { KeyQ: "/queue", KeyR: "/residents", KeyU: "/unassigned" };
  let chord = 0;
  const singleKeys = () => localStorage.getItem("single-keys") !== "off";
  const editing = (e) => e.isContentEditable || e.matches("select, textarea, input:not([type=radio]):not([type=checkbox])");
  function escape(event) {
    const menu = $("details.menu[open]");
    if (menu) {
      menu.open = false;
      $("summary", menu).focus();
    } else if (selected() && !$("#grid").contains(document.activeElement)) select(selected());
    else if ($("[data-back]")) location.assign($("[data-back]").href);
    else return;
    event.preventDefault();
  }
  function chooseDigit(digit, event) {
    const chip = event.target.closest("#chips") && $$("#chips a")[digit - 1];
    const option = $(`#close [data-digit="${digit}"]`);
    if (chip) chip.click();
    else if (option && (!$("#grid") || inPane() === chosen)) {
      option.checked = true;
      option.focus();
      if ("note" in option.dataset) $("#note").focus();
    } else return;
    event.preventDefault();
  }
  function plainKey(event) {
    const { target, code } = event;
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(code);
    if (digit) return chooseDigit(Number(digit[1]), event);
    // arrows belong to the choices and to the pane's scrolling where the focus is there
    if (code.startsWith("Arrow") && (!$("#grid") || target.matches("[type=radio]") || pane().contains(target))) return;
    if (event.shiftKey && code !== "Slash") return;
    if (Date.now() - chord < 1500 && places[code]) return location.assign(places[code]);
    chord = code === "KeyG" ? Date.now() : 0;
    if (!keys[code]) return;
    event.preventDefault();
    keys[code](event);
  }
  document.addEventListener("keydown", (event) => {
    const { target, code } = event;
    if (event.isComposing || event.keyCode === 229 || $("dialog[open]")) return;
    const form = target.closest("[data-close]");
    if (code === "F2") {
      event.preventDefault();
      press('#strip form[data-act="claim"]');
    } else if (event.ctrlKey && code === "Enter" && form) {
      event.preventDefault();
      form.requestSubmit();
    } else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (code === "Escape") escape(event);
    else if (editing(target)) return;
    else if (code === "Enter" && selected() && (target === document.body || target.matches("tr.row"))) open(selected());
    else if (singleKeys()) plainKey(event);
  });

  /* the pointer */
  document.addEventListener("pointerdown", () => { pointed = Date.now(); }, true);
  document.addEventListener("click", (event) => {
    const { target } = event;
    const opener = target.closest("[data-key]");
    if (opener) keys[opener.dataset.key](event);
    for (const menu of $$("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
    const row = target.closest("tr.row");
    if (!row || target.closest("a, button, input, label")) return;
    if (paneFollows()) select(row);
    else open(row);
  });

  document.addEventListener("DOMContentLoaded", () => {
    const body = document.body;
    const listeners = { beforeRequest, beforeSwap, afterSwap, afterRequest, oobAfterSwap: inserted };
    for (const [name, listener] of Object.entries(listeners)) body.addEventListener(`htmx:${name}`, listener);
    for (const name of ["sendError", "timeout", "responseError"]) body.addEventListener(`htmx:${name}`, failed);
    chosen = selected() ? selected().dataset.id : "";
    const box = $("[data-single-keys]");
    box.checked = singleKeys();
    box.addEventListener("change", () => localStorage.setItem("single-keys", box.checked ? "on" : "off"));
    $("[data-open-keys]").addEventListener("click", openKeys);
    if (new URLSearchParams(location.search).has("focus") && $("#find")) $("#find").focus();
    body.dataset.ready = "1";
  });
})();
