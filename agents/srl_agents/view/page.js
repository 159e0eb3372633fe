
"use strict";
// The page of srl-env view. Every text of a run enters the document as text, never as markup.

const $ = (id) => document.getElementById(id);

function make(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text); // some fifty times as fast
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function unpack(id) {
  const node = $(id);
  if (!node) return null;
  const bytes = fromBase64(node.textContent);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = Number.isInteger(value) || size >= 1000 ? Math.round(size).toLocaleString("en") : String(+size.toPrecision(digits));
  return (value < 0 ? "−" : "") + text;
}

const fixed = (value) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(2);
const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(2);
const plural = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;

// -- texts ---------------------------------------------------------------------------------------

// Characters that cannot be seen, or that change how their neighbours are: shown by name.
const ODD = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff\u{e0000}-\u{e0fff}]/gu;

const named = (character) => "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
const bracketed = (character) => `⟨${named(character)}⟩`;

const plain = (text) => text.replace(ODD, bracketed).replace(/\s+/g, " ");

function appendText(node, text) {
  let last = 0;
  for (const match of text.matchAll(ODD)) {
    node.append(text.slice(last, match.index));
    node.append(make("span", { class: "odd", title: "a character that cannot be seen" }, named(match[0])));
    last = match.index + match[0].length;
  }
  node.append(text.slice(last));
}

/** A <pre> of the text; spans: [begin, end, class] in order; what is searched for is outlined. */
function textBox(text, spans = []) {
  const box = make("pre", { dir: "auto" });
  let last = 0;
  for (const [begin, end, kind] of spans) {
    appendFound(box, text.slice(last, begin));
    const mark = make("mark", { class: kind });
    appendFound(mark, text.slice(begin, end));
    box.append(mark);
    last = end;
  }
  appendFound(box, text.slice(last));
  return box;
}

function appendFound(node, text) {
  const wanted = state.query;
  let last = 0;
  if (wanted) {
    const low = text.toLowerCase();
    if (low.length === text.length) {
      for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, last)) {
        appendText(node, text.slice(last, at));
        last = at + wanted.length;
        const mark = make("mark", { class: "found" });
        appendText(mark, text.slice(at, last));
        node.append(mark);
      }
    }
  }
  appendText(node, text.slice(last));
}

// -- what two steps have in common: Ratcliff–Obershelp, as the similarity reward counts it ---------

const MOST_WORK = 4e7;

/** [[i, j, size], …] of two arrays, in order, and whether the work ended before all was compared. */
function matchedBlocks(a, b) {
  const places = new Map();
  b.forEach((character, j) => {
    const found = places.get(character);
    if (found) found.push(j);
    else places.set(character, [j]);
  });
  let work = 0;
  let before = new Int32Array(b.length + 1);
  let now = new Int32Array(b.length + 1);
  function longest(alo, ahi, blo, bhi) {
    let bestI = alo, bestJ = blo, best = 0;
    let touched = [];
      for (let i = alo; i < ahi; i++) {
      const touchedNow = [];
      for (const j of places.get(a[i]) || []) {
        if (j < blo) continue;
        if (j >= bhi) break;
        work++;
        const size = (j > blo ? before[j] : 0) + 1; // before[j] is of b[j-1]
        now[j + 1] = size;
        touchedNow.push(j + 1);
        if (size > best) [bestI, bestJ, best] = [i - size + 1, j - size + 1, size];
      }
      for (const j of touched) before[j] = 0;
      [before, now] = [now, before];
      touched = touchedNow;
    }
    for (const j of touched) before[j] = 0;
    return [bestI, bestJ, best];
  }
  const blocks = [];
  const rest = [[0, a.length, 0, b.length]];
  while (rest.length && work < MOST_WORK) {
    const [alo, ahi, blo, bhi] = rest.pop();
    const [i, j, size] = longest(alo, ahi, blo, bhi);
    if (!size) continue;
    blocks.push([i, j, size]);
    if (alo < i && blo < j) rest.push([alo, i, blo, j]);
    if (i + size < ahi && j + size < bhi) rest.push([i + size, ahi, j + size, bhi]);
  }
  blocks.sort((x, y) => x[0] - y[0]);
  return { blocks, whole: !rest.length };
}

/** Spans of two texts for textBox: what they share and what not. */
function comparison(action, expert) {
  const sides = [action, expert].map((text) => {
    const begin = text.length - text.trimStart().length;
    const characters = Array.from(text.trim());
    const at = [begin];
    for (const character of characters) at.push(at[at.length - 1] + character.length);
    return { characters, at };
  });
  const { blocks, whole } = matchedBlocks(sides[0].characters, sides[1].characters);
  const spans = sides.map(({ characters, at }, side) => {
    const found = [];
    let last = 0;
    for (const block of [...blocks, [characters.length, characters.length, 0]]) {
      const begin = block[side], end = begin + block[2];
      if (begin > last) found.push([at[last], at[begin], "other"]);
      if (end > begin) found.push([at[begin], at[end], "same"]);
      last = end;
    }
    return found;
  });
  return { action: spans[0], expert: spans[1], whole };
}

// -- the data --------------------------------------------------------------------------------------

let index, episodes, steps;
const groups = new Map(); // group → its episodes
const parts = []; // {texts: Promise, ready, tokens: Promise}
const state = { query: "", shown: new Uint32Array(0), place: -1, step: -1, view: "group", tokens: new Set(), run: 0 };

function columns(packed) {
  const found = {};
  for (const [name, column] of Object.entries(packed)) {
    found[name] = Array.isArray(column) ? (i) => column[i] : (i) => column.texts[column.at[i]];
  }
  const [first] = Object.values(packed);
  found.length = first ? (Array.isArray(first) ? first.length : first.at.length) : 0;
  return found;
}

function partOf(step) {
  let low = 0, high = index.parts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (index.parts[middle] <= step) low = middle;
    else high = middle - 1;
  }
  return low;
}

function loadTexts(number) {
  const part = (parts[number] ||= {});
  part.texts ||= unpack(`texts-${number}`).then((texts) => (part.ready = texts));
  return part.texts;
}

async function textsOf(step) {
  const number = partOf(step);
  return readTexts(await loadTexts(number), step - index.parts[number]);
}

function readTexts(texts, place) {
  const found = texts.steps[place];
  const text = (i) => (i === undefined ? null : texts.strings[i]);
  const action = text(found.a);
  return {
    action, expert: text(found.e), completion: text(found.c) ?? action, parts: found.r || {}, failure: text(found.x),
    finish: found.f, tokens: found.n, verdict: text(found.v), result: text(found.o), ofExpert: !!found.k,
    call: callOf(found.t, text), expertCall: callOf(found.u, text),
    end: found.w ? { words: text(found.w[0]), diff: text(found.w[1]), tests: found.w.slice(2) } : null,
  };
}

const callOf = (found, text) => (found ? { title: text(found[0]), body: text(found[1]), diff: text(found[2]) } : null);

async function messagesOf(step) {
  const number = partOf(step);
  const texts = await loadTexts(number);
  const first = episodes.first(steps.episode(step));
  let messages = [];
  for (let i = first; i <= step; i++) {
    const before = messages;
    messages = texts.steps[i - index.parts[number]].m.map(([role, shared, rest], k) => ({
      role, content: (shared ? before[k].content.slice(0, shared) : "") + texts.strings[rest],
    }));
  }
  return messages;
}

async function tokensOf(step) {
  const number = partOf(step);
  const part = (parts[number] ||= {});
  part.tokens ||= unpack(`tokens-${number}`);
  const tokens = await part.tokens;
  let prompt = [];
  let found = null;
  for (let i = episodes.first(steps.episode(step)); tokens && i <= step; i++) {
    const entry = tokens[i - index.parts[number]];
    found = entry;
    if (entry) prompt = prompt.slice(0, entry[0]).concat(entry[1]);
    else prompt = [];
  }
  return found ? { prompt, ids: found[2], logprobs: found[3] } : null;
}

/** The steps that stand beside a step: of the same number, in the rollouts of its group. */
function beside(step) {
  const episode = steps.episode(step);
  return groups.get(episodes.group(episode)).map((other) => {
    for (let i = episodes.first(other); i < episodes.first(other) + episodes.count(other); i++) {
      if (steps.index(i) === steps.index(step)) return { episode: other, step: i };
    }
    return { episode: other, step: -1 };
  });
}

// -- filters -----------------------------------------------------------------------------------------

function chosen() {
  const value = (id) => $(id).value.trim();
  const [from, to] = value("f-step").split(/\s*[-–]\s*/);
  const bound = (text, otherwise) => (text === undefined || text === "" || isNaN(+text) ? otherwise : +text);
  return {
    run: value("f-run"), problem: value("f-problem").toLowerCase(), from: bound(from, -Infinity),
    to: bound(to ?? from, Infinity), low: bound(value("f-low"), null), high: bound(value("f-high"), null),
    verdict: value("f-verdict"), failure: value("f-failure"), outcome: value("f-outcome"), form: value("f-form"),
    part: value("f-part"),
  };
}

function matchesEpisode(wanted) {
  const found = new Uint8Array(episodes.length);
  for (let e = 0; e < found.length; e++) {
    const correct = episodes.correct(e);
    const verdict = correct === null ? "none" : correct ? "right" : "wrong";
    found[e] =
      (wanted.run === "" || episodes.run(e) === +wanted.run) &&
      (wanted.part === "" || episodes.part(e) === wanted.part) &&
      (wanted.verdict === "" || verdict === wanted.verdict) &&
      (wanted.failure === "" ||
        (wanted.failure === "none" ? !episodes.failure(e) : wanted.failure === "any" ? !!episodes.failure(e) : episodes.failure(e) === wanted.failure.slice(1))) &&
      (wanted.problem === "" || episodes.problem(e).toLowerCase().includes(wanted.problem));
  }
  return found;
}

function matchesStep(wanted, s) {
  const at = steps.index(s);
  if (at < wanted.from || at > wanted.to) return false;
  const reward = steps.reward(s);
  if (wanted.low !== null && (reward === null || reward < wanted.low)) return false;
  if (wanted.high !== null && (reward === null || reward > wanted.high)) return false;
  const outcome = steps.outcome(s);
  if (wanted.outcome === "dropped" ? !outcome || outcome === "trained" : wanted.outcome !== "" && outcome !== wanted.outcome) return false;
  if (wanted.form === "broken") return !steps.format_ok(s);
  if (wanted.form === "illegal") return steps.legal(s) === 0;
  if (wanted.form === "legal") return steps.legal(s) === 1;
  return true;
}

/** Applies what the form says; the newest call wins. */
async function filter() {
  const run = ++state.run;
  const began = performance.now();
  const wanted = chosen();
  state.query = $("search").value.trim().toLowerCase();
  const active = Object.entries(wanted).filter(([, v]) => v !== "" && v !== null && Math.abs(v) !== Infinity).length;
  $("active").textContent = active ? `(${active})` : "";
  const fits = matchesEpisode(wanted);
  let found = [];
  for (let s = 0; s < steps.length; s++) {
    if (fits[steps.episode(s)] && matchesStep(wanted, s)) found.push(s);
  }
  if (state.query) {
    found = await searched(found, run);
    if (!found) return;
  }
  const order = $("sort").value;
  if (order) {
    const key = steps[order.replace("-", "")];
    const sign = order[0] === "-" ? -1 : 1;
    const value = (s) => key(s) ?? sign * Infinity;
    found.sort((x, y) => sign * (value(x) - value(y)) || x - y);
  }
  state.shown = Uint32Array.from(found);
  state.place = state.shown.indexOf(state.step);
  $("count").textContent = said(found);
  layOut();
  window.lastFilterMs = performance.now() - began;
}

function said(found) {
  if (!steps.length) return "No rollouts are in these runs.";
  if (!found.length) return "Nothing fits; clear a filter.";
  const of = new Set(found.map((s) => steps.episode(s)));
  return `${plural(found.length, "step")} of ${rolloutsOf([...of])}${correctOf([...of])}`;
}

/** "12 rollouts of 6 problems" */
function rolloutsOf(found) {
  const problems = new Set(found.map((e) => episodes.problem(e))).size;
  return `${plural(found.length, "rollout")} of ${plural(problems, "problem")}`;
}

/** ", 3 correct", or "" where none has a verdict */
function correctOf(found) {
  const judged = found.filter((e) => episodes.correct(e) !== null);
  const right = judged.filter((e) => episodes.correct(e)).length;
  return judged.length ? `, ${right ? right.toLocaleString("en") : "none"} correct` : "";
}

async function searched(candidates, run) {
  const found = [];
  const wanted = new RegExp(state.query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
  let number = -1;
  let texts, holds;
  for (const s of candidates) {
    const part = partOf(s);
    if (part !== number) {
      number = part;
      texts = await loadTexts(part);
      if (run !== state.run) return null; // another search has begun
      holds = texts.strings.map((text) => wanted.test(text)); // each text once, however often it was said
      $("count").textContent = `Searching … ${Math.round((100 * part) / index.parts.length)} %`;
    }
    if (says(texts.steps[s - index.parts[part]], holds) || wanted.test(episodes.problem(steps.episode(s)))) found.push(s);
  }
  return found;
}

const says = (step, holds) =>
  holds[step.a] || holds[step.e] || holds[step.c] || holds[step.x] || holds[step.v] || step.m.some((message) => holds[message[2]]);

// -- the list: only the rows in sight are in the document -----------------------------------------

const ROW = 52;

function layOut() {
  $("room").style.height = `${state.shown.length * ROW}px`;
  if (state.place >= 0) keepInSight(state.place);
  else $("list").scrollTop = 0;
  drawRows();
}

function drawRows() {
  const list = $("list");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(state.shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  const rows = [];
  for (let place = first; place < last; place++) rows.push(rowOf(place));
  $("rows").style.top = `${first * ROW}px`;
  $("rows").replaceChildren(...rows);
  if (state.place >= first && state.place < last) list.setAttribute("aria-activedescendant", `row-${state.place}`);
  else list.removeAttribute("aria-activedescendant");
}

function rowOf(place) {
  const s = state.shown[place];
  const e = steps.episode(s);
  const number = partOf(s);
  const ready = parts[number] && parts[number].ready;
  if (!ready) loadTexts(number).then(drawRowsSoon);
  const text = ready ? lineOf(readTexts(ready, s - index.parts[number])) : "…";
  return make(
    "div",
    { class: "row", role: "option", id: `row-${place}`, "aria-selected": String(place === state.place), "aria-setsize": state.shown.length,
      "aria-posinset": place + 1, onclick: () => choose(place, true) },
    make("div", { class: "top" },
      make("span", { class: "where" }, where(e, s)),
      advantage(s) === null ? null : make("span", { class: tone(advantage(s)), title: "advantage" }, signed(advantage(s))),
      make("span", { class: "num", title: "reward" }, steps.reward(s) === null ? "failed" : fixed(steps.reward(s))),
      verdictMark(e)),
    make("div", { class: "text", dir: "auto" }, text || "(empty)"),
  );
}

const lineOf = (texts) => plain(texts.call ? texts.call.title : texts.action.slice(0, 300));
const advantage = (s) => steps.advantage(s);
const tone = (value) => (value > 0 ? "up" : value < 0 ? "down" : "");

let soon = false;
function drawRowsSoon() {
  if (soon) return;
  soon = true;
  requestAnimationFrame(() => { soon = false; drawRows(); });
}

function where(e, s) {
  const update = episodes.update(e);
  const run = index.runs.length > 1 ? `${index.runs[episodes.run(e)].name} · ` : "";
  const when = update === null ? episodes.part(e) : `update ${update}`;
  return plain(`${run}${when} · step ${steps.index(s)} · ${episodes.problem(e)}`);
}

function verdictMark(e) {
  if (episodes.failure(e)) return make("span", { class: "bad", title: plain(episodes.failure(e)) }, "⚠");
  const correct = episodes.correct(e);
  if (correct === null) return make("span", { title: "no verdict" }, "·");
  return correct ? make("span", { class: "good", title: "right" }, "✓") : make("span", { class: "bad", title: "wrong" }, "✗");
}

function keepInSight(place) {
  const list = $("list");
  const top = place * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
}

function choose(place, open) {
  if (!state.shown.length) return;
  state.place = Math.max(0, Math.min(place, state.shown.length - 1));
  keepInSight(state.place);
  show(state.shown[state.place]);
  drawRows();
  if (open) read();
}

/** Shows a step that may not be among those listed. */
function show(step) {
  state.step = step;
  state.tokens.clear();
  state.place = state.shown.indexOf(step);
  try { history.replaceState(history.state, "", `#step-${step}`); } catch { /* some viewers forbid it */ }
  return drawDetail();
}

const narrow = matchMedia("(max-width: 760px)");

function read() {
  if (narrow.matches && !document.body.classList.contains("reading")) {
    document.body.classList.add("reading");
    try { history.pushState({ reading: true }, "", location.hash); } catch { /* as above */ }
    $("detail").focus();
  }
}

function leave() {
  if (!document.body.classList.contains("reading")) return;
  if (history.state && history.state.reading) history.back();
  else document.body.classList.remove("reading");
}

// -- one step, its group, its rollout ----------------------------------------------------------------

let drawing = 0;

async function drawDetail() {
  const turn = ++drawing;
  const s = state.step;
  const e = steps.episode(s);
  const group = beside(s);
  const here = await textsOf(s);
  const cards = state.view === "group" ? group.map((member) => groupCard(member, s)) : await storyOf(e, s);
  const drawn = await Promise.all(cards);
  if (turn !== drawing) return; // another step has been chosen
  const place = group.findIndex((member) => member.episode === e);
  const together = state.view === "group" && here.expert !== null;
  $("detail").replaceChildren(
    head(e, s, group.length, place),
    ...(together ? [make("h3", {}, "What the expert does here"), textBox(here.expert)] : []),
    drawn.some((node) => node.querySelector("mark.same, mark.other")) ? colourKey() : "",
    make("div", { class: state.view === "group" ? "cards" : "cards whole" }, ...drawn),
  );
  const current = $("detail").querySelector('[aria-current="true"]');
  if (state.view === "whole" && current) current.scrollIntoView({ block: "nearest" });
  else $("detail").scrollTop = 0;
}

function colourKey() {
  return make("p", { class: "key" },
    make("span", {}, make("mark", { class: "same" }, "as the expert's"), " "),
    make("span", {}, make("mark", { class: "other" }, "not in the other"), " "),
    make("span", { class: "optional" }, "compared character by character, as the similarity reward does"));
}

function head(e, s, size, place) {
  const run = index.runs[episodes.run(e)];
  const facts = [
    ["run", run.name], ["update", episodes.update(e)], [episodes.update(e) === null ? "kind" : "stage", episodes.part(e)],
    ["expert steps given", episodes.start_step(e)], ["group", outcomeText(s)],
    ["verdict", verdictText(e)], ["failure", episodes.failure(e)],
  ];
  return make("div", {},
    make("h2", {}, plain(`${episodes.problem(e)} · step ${steps.index(s)}`)),
    make("div", { class: "facts" }, ...facts.filter(([, value]) => value !== null && value !== "")
      .map(([name, value]) => make("span", {}, `${name} `, make("b", {}, plain(String(value)))))),
    make("div", { class: "acts" },
      make("button", { class: "back", onclick: leave }, "‹ List"),
      make("button", { onclick: () => turnView("group"), "aria-pressed": String(state.view === "group") }, `Group of ${size}`),
      make("button", { onclick: () => turnView("whole"), "aria-pressed": String(state.view === "whole") }, "Whole rollout"),
      make("span", { class: "turn" },
        make("button", { onclick: () => move(-1), "aria-label": "The rollout before it in the group" }, "‹"),
        make("span", { class: "soft" }, `rollout ${place + 1} of ${size}`),
        make("button", { onclick: () => move(1), "aria-label": "The next rollout in the group" }, "›")),
      make("button", { onclick: () => sameProblem(e) }, "This problem everywhere")));
}

function outcomeText(s) {
  const words = { trained: "trained on", zero_std: "dropped: rewards alike", unused: "dropped: the batch was full" };
  return words[steps.outcome(s)] || "";
}

function verdictText(e) {
  const correct = episodes.correct(e);
  return correct === null ? "none" : correct ? "right" : "wrong";
}

function turnView(view) {
  state.view = view;
  drawDetail();
}

function move(by) {
  if (state.step < 0) return;
  const group = beside(state.step).filter((member) => member.step >= 0);
  const at = group.findIndex((member) => member.step === state.step);
  const next = group[(at + by + group.length) % group.length];
  show(next.step);
  drawRows();
}

function sameProblem(e) {
  $("filters").reset();
  $("f-problem").value = episodes.problem(e);
  $("more").open = true;
  filter();
  leave();
}

async function groupCard({ episode, step }, current) {
  const place = groups.get(episodes.group(episode)).indexOf(episode) + 1;
  const title = make("button", { onclick: () => { if (step >= 0) { show(step); drawRows(); } } }, `rollout ${place}`);
  if (step < 0) {
    const why = episodes.failure(episode) || "it had ended before this step";
    return make("div", { class: "card" }, make("div", { class: "top" }, title, verdictMark(episode)), make("p", { class: "soft" }, plain(why)));
  }
  return card(title, episode, step, await textsOf(step), step === current, false);
}

/** A whole rollout: what was asked, each step with its result, and how it ended. */
async function storyOf(e, current) {
  const first = episodes.first(e), last = first + episodes.count(e) - 1;
  const found = [];
  const asked = last < first ? [] : await messagesOf(first);
  const problem = asked.find((message) => message.role === "user");
  if (problem) found.push(make("div", { class: "card" }, make("div", { class: "top" }, make("b", {}, "The problem")), textBox(problem.content)));
  if (episodes.start_step(e)) {
    found.push(make("p", { class: "soft" }, `It starts after ${plural(episodes.start_step(e), "expert step")}.`));
  }
  let end = null;
  for (let s = first; s <= last; s++) {
    const texts = await textsOf(s);
    const title = make("button", { onclick: () => { show(s); drawRows(); } }, `step ${steps.index(s)}`);
    found.push(card(title, e, s, texts, s === current, true));
    end = texts.end || end;
  }
  if (end) found.push(endCard(e, end));
  return found;
}

function endCard(e, end) {
  return make("div", { class: "card" },
    make("div", { class: "top" }, make("b", {}, "The end"), verdictMark(e)),
    make("p", {}, plain(end.words)),
    end.tests.length ? make("ul", { class: "tests" }, ...end.tests.map(([name, what]) => make("li", {}, make("code", {}, plain(name)), ` ${what}`))) : null,
    end.diff ? make("h3", {}, "the change that was judged") : null,
    end.diff ? diffBox(end.diff) : null);
}

function card(title, e, s, texts, current, whole) {
  const reward = steps.reward(s);
  const told = whole && texts.call;
  const compared = texts.expert === null ? null : comparison(texts.action, texts.expert);
  return make("div", { class: "card", "aria-current": String(current), id: `card-${s}` },
    make("div", { class: "top" }, title, told ? make("code", { class: "call" }, plain(texts.call.title)) : null,
      make("span", {}, "reward ", make("b", { class: "num" }, reward === null ? "none" : number(reward))),
      advantageOf(s), texts.verdict === null && whole ? null : verdictMark(e),
      steps.format_ok(s) ? null : make("span", { class: "bad" }, "format broken"),
      steps.legal(s) === 0 ? make("span", { class: "bad" }, "illegal step") : null,
      steps.legal(s) === 1 ? make("span", { class: "good" }, "legal step") : null,
      texts.finish === "length" ? make("span", { class: "bad" }, "cut at the token limit") : null),
    texts.failure === null ? null : make("p", { class: "bad" }, plain(`${steps.failure(s) || episodes.failure(e)}: ${texts.failure}`)),
    ...(told ? [thoughtBox(texts, true), callBoxes(texts), resultBox(texts)] : actionBoxes(texts, compared, whole)),
    compared && !compared.whole ? make("p", { class: "soft" }, "Too long to be compared to the end.") : null,
    make("div", { class: "parts" }, partsText(texts)),
    told ? folded(compared ? "the calls, character by character" : "the call as it was read", () => actionBoxes(texts, compared, true)) : thoughtBox(texts, false),
    told ? null : resultBox(texts),
    texts.verdict === null ? null : folded("the verdict's data", () => [textBox(texts.verdict)]),
    promptBox(s),
    tokenBox(s, texts.tokens));
}

/** The action, and the expert's below it in a whole rollout, with what they share. */
function actionBoxes(texts, compared, whole) {
  return [
    textBox(texts.action, compared ? compared.action : []),
    whole && compared ? make("h3", {}, "the expert's") : null,
    whole && compared ? textBox(texts.expert, compared.expert) : null,
  ];
}

/** A call, beside the expert's if that differs. */
function callBoxes(texts) {
  const { call, expertCall } = texts;
  const same = expertCall && expertCall.title === call.title && expertCall.body === call.body && expertCall.diff === call.diff;
  if (!expertCall || same) {
    return make("div", {}, callBox(call), same ? make("p", { class: "soft" }, "The expert's call is the same.") : null);
  }
  return make("div", { class: "pair" },
    make("div", {}, make("h3", {}, "the policy"), callBox(call) || make("code", { class: "call" }, plain(call.title))),
    make("div", {}, make("h3", {}, "the expert"), make("code", { class: "call" }, plain(expertCall.title)), callBox(expertCall)));
}

const callBox = (call) => (call.diff ? diffBox(call.diff) : call.body ? textBox(call.body) : null);

const resultBox = (texts) => (texts.result === null ? null : folded(texts.ofExpert ? "result of the expert's step" : "result", () => [textBox(texts.result)]));

/** Lines that start with + and − in colour. */
function diffBox(text) {
  const spans = [];
  let at = 0;
  for (const line of text.split("\n")) {
    const kind = line.startsWith("+++") || line.startsWith("---") ? "" : { "+": "added", "-": "removed", "@": "place" }[line[0]] || "";
    if (kind) spans.push([at, at + line.length, kind]);
    at += line.length + 1;
  }
  const box = textBox(text, spans);
  box.classList.add("diff");
  return box;
}

const partsText = (texts) =>
  Object.entries(texts.parts).map(([name, value]) => plain(`${name} ${number(value)}`)).concat(texts.tokens ? plural(texts.tokens, "token") : []).join(" · ");

function advantageOf(s) {
  const value = advantage(s);
  if (value === null) return null;
  const bar = make("i", value < 0 ? { class: "neg" } : {});
  const width = Math.min(50, 20 * Math.abs(value));
  bar.style.left = `${value < 0 ? 50 - width : 50}%`;
  bar.style.width = `${width}%`;
  return make("span", {}, "advantage ", make("b", { class: `num ${tone(value)}` }, signed(value)), " ", make("span", { class: "advantage", "aria-hidden": "true" }, bar));
}

/** What was written besides the action, in a fold. */
function thoughtBox(texts, open) {
  if (texts.completion === texts.action) return null;
  const at = texts.action ? texts.completion.lastIndexOf(texts.action) : -1;
  if (at < 0) return folded("the whole completion", () => [textBox(texts.completion)], open);
  const before = texts.completion.slice(0, at), after = texts.completion.slice(at + texts.action.length);
  if (!(before + after).trim()) return null;
  return folded("thinking", () => [textBox(after.trim() ? `${before}⋯${after}` : before)], open);
}

function promptBox(s) {
  return folded("what the policy was shown", async () =>
    (await messagesOf(s)).flatMap((message) => [make("h3", {}, plain(message.role)), textBox(message.content)]));
}

function folded(title, content, open = false) {
  const box = make("details", {}, make("summary", {}, title));
  const fill = async () => { if (box.open && box.children.length === 1) box.append(...(await content()).filter((node) => node !== null)); };
  box.addEventListener("toggle", fill);
  box.open = open;
  return box;
}

function tokenBox(s, count) {
  if (!count) return null;
  const box = folded("tokens", () => tokenRows(s), state.tokens.has(s));
  box.classList.add("of-tokens");
  return box;
}

async function tokenRows(s) {
  const found = await tokensOf(s);
  if (!found) return [make("p", { class: "soft" }, "The tokens are not in this page.")];
  const words = index.vocabularies[episodes.run(steps.episode(s))];
  const trained = steps.outcome(s) === "trained";
  const text = (id) => plainToken(words[id] ?? `#${id}`);
  const prompt = make("div", { class: "tokens" }, ...found.prompt.map((id) => make("span", { class: "token masked", title: `id ${id}` }, text(id))));
  const written = found.ids.map((id, i) => {
    const logprob = found.logprobs[i];
    const rare = logprob !== undefined && logprob !== null && logprob < Math.log(0.1);
    const mask = trained ? "" : " masked";
    return make("span", { class: `token${mask}${rare ? " rare" : ""}`, title: `id ${id}` }, text(id), make("small", {}, logprob === undefined || logprob === null ? "–" : logprob.toFixed(2)));
  });
  const why = trained ? "Underlined tokens are trained on; the prompt is masked." : "None of these tokens was trained on.";
  return [
    make("p", { class: "soft" }, `${why} Below each is its log-probability when it was sampled; below 10 % is coloured.`),
    make("div", { class: "tokens" }, ...written),
    found.prompt.length ? folded(`${plural(found.prompt.length, "prompt token")}, masked`, () => [prompt]) : "",
  ];
}

const plainToken = (text) => text.replace(ODD, bracketed).replace(/\n/g, "⏎").replace(/ /g, "␣").replace(/\t/g, "⇥");

// -- runs and curves -----------------------------------------------------------------------------------

const hidden = new Set();

function methodsOf() {
  const found = new Set(index.curves.flatMap((curve) => Object.values(curve.axes).flat().map((band) => band.method)));
  return [...found];
}

const lookOf = (method) => `s${methodsOf().indexOf(method) % 6}`;

function drawRuns() {
  $("notes").replaceChildren(
    ...index.notes.map((text) => make("p", { class: "note" }, text)),
    ...index.runs.flatMap((run) => run.notes.map((text) => make("p", { class: "note" }, plain(index.runs.length > 1 ? `${run.name}: ${text}` : text)))));
  drawScores();
  const axes = Object.entries(index.axes).filter(([axis]) => index.curves.some((curve) => curve.axes[axis]));
  $("axis").replaceChildren(...axes.map(([axis, title]) => make("option", { value: axis }, title)));
  $("axis").closest(".bar").hidden = !axes.length;
  drawCurves();
  drawLegend();
  $("settings").replaceChildren(...index.runs.map((run) =>
    folded(plain(index.runs.length > 1 ? `${run.name}: folder, stages, configuration` : "Folder, stages, configuration"), () => [
      make("p", { class: "soft" }, plain(run.folder)),
      ...run.events.map(([update, stage, reason]) => make("p", { class: "soft" }, plain(`stage ${stage} ended after update ${update}: ${reason}`))),
      textBox(run.settings)])));
}

const SHARES = (name) => name.startsWith("pass@") || name in index.titles || name === "format" || name === "truncated";

function scoreNames(rows) {
  const found = new Set(rows.flatMap((row) => Object.keys(row.scores)));
  const passes = [...found].filter((name) => name.startsWith("pass@")).sort((x, y) => x.slice(5) - y.slice(5));
  return [...passes, ...Object.keys(index.titles).filter((name) => found.has(name))];
}

function drawScores() {
  const rows = [...index.methods, ...index.runs];
  const scores = scoreNames(rows);
  const last = Object.keys(index.runs.reduce((all, run) => ({ ...all, ...run.last }), {})).filter((name) => name !== "loss");
  const heads = { reward: "last reward", success: "last success", "groups/informative_fraction": "last informative", length: "last length" };
  const head = ["", ...scores.map((name) => index.titles[name] || name), ...last.map((name) => heads[name] || name), "updates", "seconds", "tokens", "failures"];
  const body = rows.map((row) => make("tr", {},
    make("th", { scope: "row" }, plain(row.name)),
    ...scores.map((name) => scoreCell(row.scores[name])),
    ...last.map((name) => make("td", {}, row.last && name in row.last ? number(row.last[name]) : "–")),
    make("td", {}, number(row.updates)), make("td", {}, row.seconds === null ? "–" : Math.round(row.seconds).toLocaleString("en")), make("td", {}, number(row.tokens)),
    make("td", { class: Object.keys(row.failures).length ? "bad" : "" }, plain(Object.entries(row.failures).map(([kind, count]) => `${count} ${kind}`).join(", ") || "0"))));
  $("scores").replaceChildren(make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...body));
  const evaluated = Array.from({ length: episodes.length }, (_, e) => e).filter((e) => episodes.phase(e) === "evaluation");
  const counts = evaluated.length ? ` Here: ${rolloutsOf(evaluated)}${correctOf(evaluated)}.` : "";
  $("scores-note").textContent = scores.length ? "Scores in per cent, with 95 % bootstrap intervals over problems (in the rows of methods also over seeds and base models, where there are several)." + counts : "";
}

function scoreCell(score) {
  if (!score) return make("td", {}, "–");
  const [value, low, high] = score.map((x) => (x === null ? null : 100 * x));
  const bar = draw("svg", { class: "gauge", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("line", { x1: 0, x2: 100, y1: 4, y2: 4, class: "grid" }),
    draw("line", { x1: low ?? 0, x2: high ?? 0, y1: 4, y2: 4, class: "s0 line", "stroke-width": 2 }),
    draw("rect", { x: Math.min(98.5, value ?? 0), y: 0, width: 1.5, height: 8, class: "s0 fill" }));
  return make("td", {}, value === null ? "–" : value.toFixed(1), make("span", { class: "range" }, low === null ? "" : `${low.toFixed(1)} … ${high.toFixed(1)}`), bar);
}

function drawLegend() {
  const methods = methodsOf();
  $("legend").replaceChildren(...methods.map((method) =>
    make("button", { "aria-pressed": String(!hidden.has(method)), onclick: () => { hidden.has(method) ? hidden.delete(method) : hidden.add(method); drawLegend(); drawCurves(); } },
      draw("svg", { viewBox: "0 0 28 10", "aria-hidden": "true" }, draw("line", { x1: 1, x2: 27, y1: 5, y2: 5, class: `${lookOf(method)} line` })), plain(method))));
}

function drawCurves() {
  const axis = $("axis").value;
  $("curves").replaceChildren(...index.curves.filter((curve) => curve.axes[axis])
    .map((curve) => figure(curve, curve.axes[axis].filter((band) => !hidden.has(band.method)), index.axes[axis])));
}

function shading(bands) {
  const over = [...new Set(bands.map((band) => band.over).filter(Boolean))];
  return over.length ? `shaded 95 % over ${over.join(", ")}` : "";
}

const WIDE = 460, HIGH = 250, LEFT = 46, RIGHT = 10, TOP = 22, BOTTOM = 34;

function figure({ title, note, zero }, bands, along) {
  const caption = make("figcaption", {}, title, " ", make("span", {}, [shading(bands), note].filter(Boolean).join(". ")));
  if (!bands.length) return make("figure", {}, caption);
  const xs = bands.flatMap((band) => [...band.x, ...band.changes.flatMap((change) => change.places)]), ys = bands.flatMap((band) => [...band.low, ...band.high]);
  const [x, xTicks] = scale(Math.min(0, ...xs), Math.max(...xs), LEFT, WIDE - RIGHT);
  const [y, yTicks] = scale(zero ? 0 : Math.min(...ys), zero ? 1 : Math.max(...ys), HIGH - BOTTOM, TOP);
  const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${title}, along ${along}`, tabindex: 0 });
  for (const tick of yTicks) svg.append(draw("line", { x1: LEFT, x2: WIDE - RIGHT, y1: y(tick), y2: y(tick), class: "grid" }), draw("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, number(tick)));
  for (const tick of xTicks) svg.append(draw("text", { x: x(tick), y: HIGH - BOTTOM + 15, "text-anchor": "middle" }, tick >= 1e4 ? tick.toExponential(0).replace("e+", "e") : number(tick)));
  svg.append(draw("text", { x: WIDE - RIGHT, y: HIGH - 4, "text-anchor": "end" }, along));
  for (const band of bands) {
    for (const [begin, end] of band.pieces) {
      const edge = (values) => band.x.slice(begin, end).map((at, i) => `${x(at).toFixed(1)},${y(values[begin + i]).toFixed(1)}`);
      svg.append(draw("polygon", { points: [...edge(band.high), ...edge(band.low).reverse()].join(" "), class: `${lookOf(band.method)} area` }));
      svg.append(end - begin > 1 ? draw("polyline", { points: edge(band.middle).join(" "), class: `${lookOf(band.method)} line` }) : draw("circle", { cx: x(band.x[begin]), cy: y(band.middle[begin]), r: 3, class: `${lookOf(band.method)} fill` }));
    }
  }
  bands.filter((band) => band.changes.length).forEach((band, i) => markChanges(svg, band, x, i));
  if (zero && !ys.some(Boolean)) svg.append(draw("text", { x: (LEFT + WIDE - RIGHT) / 2, y: (TOP + HIGH - BOTTOM) / 2, "text-anchor": "middle", class: "haloed" }, `0 throughout: ${zero}`));
  return make("figure", {}, caption, svg, cursor(svg, bands, x, along));
}

/** Vertical lines where the runs of a method change their stage, with one label for each change. */
function markChanges(svg, band, x, row) {
  for (const { label, places } of band.changes) {
    for (const place of places) svg.append(draw("line", { x1: x(place), x2: x(place), y1: TOP, y2: HIGH - BOTTOM, class: `${lookOf(band.method)} change` }));
    const at = x(Math.min(...places));
    const side = at > WIDE - 60 ? "end" : "middle"; // the first label stands above the curves
    svg.append(draw("text", { x: side === "end" ? WIDE - 2 : at, y: TOP - 6 + 13 * row, "text-anchor": side, class: "haloed" }, plain(label)));
  }
}

/** A line under the pointer (or moved by ← and →), and the values where it stands. */
function cursor(svg, bands, x, along) {
  const line = draw("line", { y1: TOP, y2: HIGH - BOTTOM, class: "cursor", visibility: "hidden" });
  const told = make("p", { class: "said", "aria-live": "polite" });
  svg.append(line);
  const places = [...new Set(bands.flatMap((band) => band.x))].sort((p, q) => p - q);
  let at = -1;
  const put = (next) => {
    at = Math.max(0, Math.min(next, places.length - 1));
    line.setAttribute("x1", x(places[at]));
    line.setAttribute("x2", x(places[at]));
    line.setAttribute("visibility", "visible");
    const values = bands.map((band) => {
      const i = band.x.reduce((best, value, k) => (Math.abs(value - places[at]) < Math.abs(band.x[best] - places[at]) ? k : best), 0);
      return `${plain(band.method)} ${number(band.middle[i])} [${number(band.low[i])}, ${number(band.high[i])}]`;
    });
    told.textContent = `${number(places[at])} ${along}: ${values.join("; ")}`;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const wanted = ((event.clientX - box.left) / box.width) * WIDE;
    put(places.reduce((best, value, k) => (Math.abs(x(value) - wanted) < Math.abs(x(places[best]) - wanted) ? k : best), 0));
  });
  svg.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    put(at + (event.key === "ArrowRight" ? 1 : -1));
    event.preventDefault();
    event.stopPropagation();
  });
  return told;
}

/** A function from values to places, and round values to mark. */
function scale(low, high, begin, end) {
  if (high - low < 1e-12) [low, high] = [low - 0.5, high + 0.5];
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((size) => size >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-9; tick += step) ticks.push(+tick.toPrecision(10));
  return [(value) => begin + ((value - low) / (high - low)) * (end - begin), ticks];
}

// -- keys, tabs, theme -----------------------------------------------------------------------------------

const KEYS = {
  "j ↓ / k ↑": ["the next step, the one before", { j: () => choose(state.place + 1), ArrowDown: () => choose(state.place + 1), k: () => choose(state.place - 1), ArrowUp: () => choose(state.place - 1) }],
  "Page, Home, End": ["further through the list", { PageDown: () => choose(state.place + 10), PageUp: () => choose(state.place - 10), Home: () => choose(0), End: () => choose(state.shown.length - 1) }],
  "l / h": ["the next rollout of the group, the one before", { l: () => move(1), h: () => move(-1) }],
  "Enter": ["read the chosen step", { Enter: () => { if (state.place < 0) choose(0); read(); $("detail").focus(); } }],
  "g / w": ["its group, its whole rollout", { g: () => state.step >= 0 && turnView("group"), w: () => state.step >= 0 && turnView("whole") }],
  "t": ["its tokens", { t: () => unfold(".of-tokens") }],
  "m": ["its thinking and its prompt", { m: () => unfold("details:not(.of-tokens)") }],
  "/": ["search", { "/": () => { pick("rollouts"); $("search").focus(); } }],
  "f": ["filters", { f: () => { pick("rollouts"); $("more").open = true; $("f-run").focus(); } }],
  "1 / 2": ["runs, rollouts", { 1: () => pick("runs"), 2: () => pick("rollouts") }],
  "d": ["dark or light", { d: () => turnTheme() }],
  "Esc": ["back to the list", { Escape: () => { leave(); $("list").focus(); } }],
  "?": ["these keys", { "?": () => $("keys").showModal() }],
};

const ACTIONS = Object.assign({}, ...Object.values(KEYS).map(([, actions]) => actions));
const OF_THE_LIST = new Set(["j", "k", "ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End", "l", "h", "Enter", "g", "w", "t", "m"]);

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  const typing = event.target.closest("input, select, textarea");
  if (typing) {
    if (event.key === "Escape" || (event.key === "Enter" && typing.id === "search")) { typing.blur(); $("list").focus(); event.preventDefault(); }
    return;
  }
  if (event.target.closest("button, summary, [role=tab], a") && (event.key === "Enter" || event.key === " ")) return;
  const action = ACTIONS[event.key];
  if (!action || (OF_THE_LIST.has(event.key) && $("rollouts").hidden)) return;
  const scrolls = /^(Arrow|Page|Home|End)/.test(event.key) && $("detail").contains(event.target);
  if (scrolls) return;
  event.preventDefault();
  action();
}

function unfold(selector) {
  const found = document.querySelectorAll(`#card-${state.step} > ${selector}`);
  const open = ![...found].some((box) => box.open);
  for (const box of found) box.open = open;
}

function pick(name) {
  for (const tab of ["runs", "rollouts"]) {
    $(tab).hidden = tab !== name;
    $(`tab-${tab}`).setAttribute("aria-selected", String(tab === name));
    $(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
  }
  if (name === "rollouts") drawRows();
}

function turnTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

function options(node, entries) {
  node.replaceChildren(...entries.map(([value, text]) => make("option", { value }, plain(text))));
  node.closest("label").hidden = entries.length < 3;
}

function fillForm() {
  const distinct = (column) => [...new Set(Array.from({ length: episodes.length }, (_, e) => column(e)))];
  options($("f-run"), [["", "all"], ...index.runs.map((run, i) => [i, run.name])]);
  const kinds = distinct(episodes.failure).filter(Boolean);
  options($("f-failure"), [["", "any or none"], ["none", "none"], ["any", "some failure"], ...kinds.map((kind) => ["=" + kind, kind])]);
  options($("f-part"), [["", "all"], ...distinct(episodes.part).map((part) => [part, part])]);
  let waiting = 0;
  const later = () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); };
  $("filters").addEventListener("input", later);
  $("filters").addEventListener("reset", () => setTimeout(filter));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
}

function listen() {
  for (const tab of ["runs", "rollouts"]) {
    $(`tab-${tab}`).addEventListener("click", () => pick(tab));
    $(`tab-${tab}`).addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = tab === "runs" ? "rollouts" : "runs";
      pick(other);
      $(`tab-${other}`).focus();
      event.stopPropagation();
    });
  }
  $("axis").addEventListener("change", drawCurves);
  $("theme").addEventListener("click", turnTheme);
  $("help").addEventListener("click", () => $("keys").showModal());
  $("list").addEventListener("scroll", drawRowsSoon, { passive: true });
  addEventListener("resize", drawRowsSoon);
  addEventListener("keydown", onKey);
  addEventListener("popstate", () => document.body.classList.remove("reading"));
  $("keylist").replaceChildren(...Object.entries(KEYS).flatMap(([keys, [what]]) => [make("dt", {}, keys), make("dd", {}, what)]));
}

async function begin() {
  if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old: it cannot unpack gzip (DecompressionStream)");
  index = await unpack("index");
  [episodes, steps] = [columns(index.episodes), columns(index.steps)];
  for (let e = 0; e < episodes.length; e++) {
    const group = episodes.group(e);
    if (groups.has(group)) groups.get(group).push(e);
    else groups.set(group, [e]);
  }
  const all = Array.from({ length: episodes.length }, (_, e) => e);
  $("total").textContent = `(${episodes.length.toLocaleString("en")})`;
  $("tab-rollouts").title = rolloutsOf(all);
  listen();
  fillForm();
  drawRuns();
  const wanted = /^#step-(\d+)$/.exec(location.hash);
  if (wanted && +wanted[1] < steps.length) state.step = +wanted[1];
  $("more").open = !narrow.matches;
  await filter();
  const alone = index.runs.length === 1 || !index.runs.some((run) => Object.keys(run.scores).length);
  pick(wanted || (steps.length && !index.curves.length && alone) ? "rollouts" : "runs"); // several evaluations are compared first
  layOut();
  if (state.step >= 0) { await show(state.step); read(); }
  else if (state.shown.length && !narrow.matches) choose(0);
  window.readyMs = performance.now();
}

begin().catch((error) => {
  $("trouble").hidden = false;
  $("trouble").textContent = `This page cannot be shown: ${error.message}`;
});
