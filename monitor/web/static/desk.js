"use strict";
/* Fast hands: selection, keys, forms. Single keys act only when nothing editable has the focus and test the physical
   key (event.code), because an input method reports "Process"; a composing Enter never sends a form. */
(() => {
  const { $, $$, say, part, fragment, rows, selected, adopt, loadPane, putPane, refresh, toast, guarded, list, grid, pane } = desk;
  const hasPane = () => pane && grid && getComputedStyle(pane).display !== "none";
  let paneTimer = 0, chord = 0, pointed = 0;
  // rows that move can only mislead a pointer: a key acts on the selected row, which an insertion does not change
  document.addEventListener("pointerdown", () => { pointed = Date.now(); }, true);

  /* selection: one row is in the tab order, its pane follows when the hand rests */
  function select(row, focus = true) {
    const old = selected();
    if (old && old !== row) { old.setAttribute("aria-selected", "false"); old.tabIndex = -1; }
    row.setAttribute("aria-selected", "true");
    row.tabIndex = 0;
    if (focus) { row.focus({ preventScroll: true }); row.scrollIntoView({ block: "nearest" }); }
    history.replaceState(null, "", address(row));
    clearTimeout(paneTimer);
    if (hasPane() && pane.dataset.item !== row.dataset.id) paneTimer = setTimeout(() => loadPane(row.dataset.id), 150);
  }
  function address(row) {
    const query = new URLSearchParams(location.search);
    query.set("item", row.dataset.id);
    return `${location.pathname}?${query}`;
  }
  const open = (row) => location.assign(`/items/${row.dataset.id}`);
  function move(step) {
    const all = rows(), at = all.indexOf(selected());
    const next = all[Math.min(all.length - 1, Math.max(0, at + step))];
    if (next) select(next);
  }
  const free = (row) => !row.classList.contains("is-held") && !row.classList.contains("is-ghost");
  function nextFree() {
    const all = rows(), at = all.indexOf(selected());
    const next = [...all.slice(at + 1), ...all.slice(0, at + 1)].find(free);
    if (next) select(next);
    return next;
  }

  /* forms */
  function complain(form, text) {
    let note = $(".err", form);
    if (!note) {
      note = document.createElement("p");
      note.className = "err";
      note.setAttribute("role", "alert");
      form.append(note);
    }
    note.textContent = text;
  }
  async function send(form) {
    const act = form.dataset.act, button = $("button", form);
    if (guarded() && Date.now() - pointed < 1000) { toast(say("again")); return; }
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    const slow = setTimeout(() => form.setAttribute("aria-busy", "true"), 300);
    try {
      const answer = await part(form.action, { kind: pane && "alone" in pane.dataset ? "act-alone" : "act", background: false, method: "POST", body: new URLSearchParams(new FormData(form)) });
      done(form, act, answer, await answer.json());
    } catch (error) {
      complain(form, say("failed"));
    } finally {
      clearTimeout(slow);
      form.removeAttribute("aria-busy");
      button.removeAttribute("aria-disabled");
    }
  }
  function done(form, act, answer, body) {
    if (body.problem) { complain(form, body.problem); const note = $("#note"); if (note) note.focus(); return; }
    if (!body.row) { complain(form, body.toast || say("failed")); return; }
    const inStrip = form.closest("#strip"), lost = !answer.ok;
    if (inStrip && act === "claim" && !lost) { location.assign(`/items/${body.id}`); return; }
    if (act === "claim-page" && !lost) { location.reload(); return; }
    const row = $(`#item-${body.id}`);
    if (grid && row) {
      const held = row.contains(document.activeElement) || (act === "close" && pane.contains(document.activeElement));
      const fresh = $("tr.row", fragment(body.row, true));
      if (pane.dataset.item === String(body.id) || act !== "claim") putPane(body.id, body.pane);
      adopt(fresh, row);
      if (pane.dataset.item !== String(body.id)) select(fresh, false);
      if (held && act !== "close") fresh.focus({ preventScroll: true });
    } else if (pane && !inStrip) putPane(body.id, body.pane);
    const links = lost && grid ? [[say("look"), () => open($(`#item-${body.id}`))], [`${say("next")} N`, nextFree]] : [];
    toast(body.toast, links);
    if (act === "call" && !lost) { const call = $("[data-call]"); if (call) call.focus(); }
    if (act === "close" && !lost) { if (grid) nextFree(); else location.assign("/queue"); }
    else refresh();
  }
  const press = (selector, root = document) => {
    const form = $(selector, root);
    if (form) form.requestSubmit($("button", form));
    return Boolean(form);
  };

  /* keys */
  const editing = (e) => e.isContentEditable || (e.matches("input, textarea, select") && !e.matches("[type=radio], [type=checkbox], [type=submit]"));
  const singleKeys = () => localStorage.getItem("single-keys") !== "off";
  const keys = {
    KeyJ: () => move(1), ArrowDown: () => move(1), KeyK: () => move(-1), ArrowUp: () => move(-1),
    KeyC: () => press('#pane form[data-act="release"]') || (selected() && press('form[data-act="claim"]', selected())) || press('#pane form[data-act="call"]') || press('form[data-act="claim-page"]'),
    KeyA: () => press('#pane form[data-act="acknowledge"]') || press('#strip form[data-act="acknowledge"]'),
    KeyT: () => { const call = $("[data-call]"); if (!call) return press('#pane form[data-act="call"]'); if (document.activeElement === call) call.click(); else call.focus(); return true; },
    KeyE: () => { const first = $("#close input[type=radio]"); if (first) { ($("#close input:checked") || first).focus(); first.closest(".sec").scrollIntoView({ block: "nearest" }); } },
    KeyN: () => { if (grid) nextFree(); else location.assign("/queue"); },
    KeyR: () => { if (grid) refresh(true); },
    KeyF: () => { const chip = $("#chips [aria-current]"); if (chip) chip.focus(); },
    KeyV: () => { const reveal = $("#reveal"); if (reveal) { reveal.open = true; $("button", reveal).focus(); } },
    KeyP: () => window.print(),
    Slash: (event) => { if (event.shiftKey) openKeys(); else if ($("#find")) $("#find").focus(); else location.assign("/residents?focus=1"); },
  };
  const chords = { KeyQ: "/queue", KeyR: "/residents" };
  function openKeys() { const box = $("#keys"); if (!box.open) box.showModal(); }
  function escape(event) {
    const menu = $$("details.menu[open]")[0];
    if (menu) { menu.open = false; $("summary", menu).focus(); }
    else if (grid && !grid.contains(document.activeElement) && selected()) select(selected());
    else if ($("[data-back]")) location.assign($("[data-back]").href);
    else return;
    event.preventDefault();
  }
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.isComposing || event.keyCode === 229 || $("dialog[open]")) return;
    if (event.code === "F2") { event.preventDefault(); press('#strip form[data-act="claim"]'); return; }
    if (event.ctrlKey && event.code === "Enter" && target.closest("[data-close]")) { event.preventDefault(); target.closest("[data-close]").requestSubmit(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.code === "Escape") { escape(event); return; }
    if (editing(target)) return;
    if (event.code === "Enter" && grid && (target === document.body || target.matches("tr.row"))) { if (selected()) open(selected()); return; }
    if (!singleKeys()) return;
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
    if (digit) { chooseDigit(digit[1], target, event); return; }
    if (event.code.startsWith("Arrow") && (!grid || target.matches("[type=radio]") || (pane && pane.contains(target)))) return;
    if (event.shiftKey && event.code !== "Slash") return;
    if (chord && Date.now() - chord < 1500 && chords[event.code]) { chord = 0; location.assign(chords[event.code]); return; }
    chord = event.code === "KeyG" ? Date.now() : 0;
    const act = keys[event.code];
    if (act) { event.preventDefault(); act(event); }
  });
  function chooseDigit(digit, target, event) {
    const chip = target.closest("#chips") && $$("#chips a")[Number(digit) - 1];
    const option = !chip && $(`#close [data-digit="${digit}"]`);
    if (chip) chip.click();
    else if (option) {
      option.checked = true;
      option.focus();
      if ("note" in option.dataset) $("#note").focus();
    } else return;
    event.preventDefault();
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-act]")) return;
    event.preventDefault();
    send(form);
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    if (opener) { $(`#${opener.dataset.open}`).showModal(); return; }
    if (event.target.closest("[data-refresh]")) { refresh(true); return; }
    $$("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
    const row = event.target.closest("tr.row");
    if (!row || event.target.closest("a, button, input, label")) return;
    if (hasPane()) select(row); else open(row);
  });
  document.addEventListener("DOMContentLoaded", () => {
    const box = $("[data-single-keys]");
    box.checked = singleKeys();
    box.addEventListener("change", () => localStorage.setItem("single-keys", box.checked ? "on" : "off"));
    if (new URLSearchParams(location.search).has("focus") && $("#find")) $("#find").focus();
    document.body.dataset.ready = "1";
  });
})();
