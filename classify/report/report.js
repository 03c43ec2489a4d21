"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows, classes = data.classes, find = (id) => document.getElementById(id);
const PAGE = 24, MOST = 150;

/* Names are hostile: they come in as text alone, signs that cannot be seen as escapes. */
const visible = (text) => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (sign) => "\\u{" + sign.codePointAt(0).toString(16) + "}");
const short = (text, most) => {
  const signs = [...visible(text)];
  return signs.length <= most ? signs.join("") : signs.slice(0, most / 2).join("") + "…" + signs.slice(-most / 2 + 2).join("");
};
const className = (number, most = 40) => (number < 0 ? "no label" : short(classes[number], most));
const percent = (value) => (value === 0 || value === 1 ? 100 * value : (100 * Math.min(Math.max(value, 0.001), 0.999)).toFixed(1)) + "\u00a0%";

/* element("p", {class: "id"}, "text", child): attributes, then children; false and null are left out. */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== false && child !== null && child !== undefined));
  return made;
}
const named = (text, most, attributes) => element("bdi", { title: text.length > most ? visible(text) : null, ...attributes }, short(text, most));

/* Pictures: one image of each atlas, made when it is first shown. */
const atlases = new Map();
function atlas(number) {
  if (!atlases.has(number)) {
    const text = atob(find("atlas-" + number).textContent.trim()), bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
    atlases.set(number, URL.createObjectURL(new Blob([bytes], { type: "image/webp" })));
  }
  return atlases.get(number);
}
const loaded = [];  /* a print cannot wait for pictures: they are at hand once the page is idle */
setTimeout(() => document.querySelectorAll("[id^=atlas-]").forEach((each) => {
  const image = new Image();
  image.src = atlas(Number(each.id.slice(6)));
  loaded.push(image);
}), 300);
function described(row) {
  const said = rows.predicted[row] < 0 ? "" : ", head says " + className(rows.predicted[row]);
  return short(rows.id[row], 80) + ", labelled " + className(rows.label[row]) + said;
}
function frame(row, little) {
  const tile = little ? rows.small[row] || 0 : rows.large[row] || rows.small[row];
  const box = element("div", { class: little ? "frame little" : "frame" });
  if (!tile) {
    box.append(element("span", { role: "img", "aria-label": described(row) }, little ? "–" : "no picture"));
    return box;
  }
  const [number, x, y, width, height] = tile, image = element("img", { alt: described(row), src: atlas(number) });
  image.style.width = width + "px"; image.style.height = height + "px"; image.style.objectPosition = -x + "px " + -y + "px";
  box.append(image);
  return box;
}

/* Corrections: by digest; an empty label leaves the image out. */
const STORE = "headstart corrections " + data.key, given = new Map(data.corrected.map(([digest, id, label]) => [digest, { id, label }]));
const ticked = new Map();
try { for (const [digest, entry] of JSON.parse(localStorage.getItem(STORE) || "[]")) ticked.set(digest, entry); } catch { /* no memory here */ }
function tick(row, label) {
  const digest = rows.digest[row], now = ticked.get(digest);
  if (label === null || (now && now.label === label)) ticked.delete(digest); else ticked.set(digest, { id: rows.id[row], label });
  kept();
}
function kept() {
  try { localStorage.setItem(STORE, JSON.stringify([...ticked])); } catch { /* as above */ }
  document.querySelectorAll("[data-digest]").forEach(marked);
  const left = [...ticked.values()].filter((entry) => entry.label === "").length, changed = ticked.size - left;
  const words = [changed && changed + (changed === 1 ? " label changed" : " labels changed"), left && left + (left === 1 ? " image left out" : " images left out")];
  find("tray").hidden = !ticked.size;
  find("ticked").textContent = words.filter(Boolean).join(", ") + (given.size ? " (and " + given.size + " from before)" : "");
}
function marked(figure) {
  const entry = ticked.get(figure.dataset.digest);
  figure.classList.toggle("fixed", Boolean(entry));
  figure.querySelectorAll("button[data-label]").forEach((button) => button.setAttribute("aria-pressed", Boolean(entry) && entry.label === button.dataset.label));
  const choice = figure.querySelector("select");
  if (choice) choice.value = entry && entry.label && [...choice.options].some((one) => one.value === entry.label) ? entry.label : "";
}
const FORMULA = /^'*[=+\-@\t\r]/, NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
function cell(text) {  /* what a spreadsheet would run gets an apostrophe, as in Headstart's own CSV */
  const safe = FORMULA.test(text) && !NUMBER.test(text) ? "'" + text : text;
  return /[",\r\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
}
function corrections() {
  const all = new Map([...given, ...ticked]);
  return ["digest,id,label", ...[...all].map(([digest, { id, label }]) => [digest, id, label].map(cell).join(","))].join("\n") + "\n";
}
find("download").addEventListener("click", () => {
  const link = element("a", { href: URL.createObjectURL(new Blob([corrections()], { type: "text/csv" })), download: "corrections.csv" });
  document.body.append(link); link.click(); link.remove();
});
find("clear").addEventListener("click", () => { ticked.clear(); kept(); });

/* An image with what is known of it, and what can be done about it. */
function acts(row, suggested) {
  const whose = short(rows.id[row], 60), button = (label, text) => element("button", { type: "button", "data-label": label, "aria-pressed": "false", onclick: () => tick(row, label) }, text);
  const group = element("div", { class: "acts", role: "group", "aria-label": "Correct " + whose });
  const other = suggested || (classes.length === 2 && rows.label[row] >= 0 ? classes[1 - rows.label[row]] : "");
  const given = other && other !== classes[rows.label[row]] && button(other, ["It is ", named(other, 18)]);
  if (given && classes.length > 2) given.classList.add("given");
  const all = [given, classes.length > 2 && choice(row, whose), button("", "Leave out")].filter(Boolean);
  group.append(...(suggested ? all : all.reverse()));
  return group;
}
function choice(row, whose) {
  const select = element("select", { "aria-label": "Right label of " + whose, onchange: () => tick(row, select.value || null) }, element("option", { value: "" }, "Other…"));
  const fill = () => { if (select.options.length === 1) classes.forEach((name, number) => number !== rows.label[row] && select.append(element("option", { value: name }, short(name, 40)))); };
  select.addEventListener("focus", fill); select.addEventListener("pointerdown", fill);
  const entry = ticked.get(rows.digest[row]);
  if (entry && entry.label) fill();
  return select;
}
function saidOf(row) {
  const label = rows.label[row], predicted = rows.predicted[row], lines = [element("b", null, named(className(label, 24), 24))];
  if (predicted < 0) return element("p", { class: "said" }, label >= 0 && "labelled ", lines, element("span", { class: "interval" }, " " + rows.split[row] + " image"));
  if (predicted === label) return element("p", { class: "said" }, lines, " ✓ " + percent(rows.probability[row]));
  return element("p", { class: "said" }, "labelled ", lines, label >= 0 && " " + percent(rows.own[row]), element("br"), element("span", { class: "odd" }, "✗ head says ", element("b", null, named(className(predicted, 24), 24)), " " + percent(rows.probability[row])));
}
function figure(row, suggested, ...more) {
  const made = element("figure", { "data-digest": rows.digest[row] }, frame(row), element("figcaption", null, element("div", null, saidOf(row), element("p", { class: "id" }, named(rows.id[row], 44)), more), acts(row, suggested)));
  marked(made);
  return made;
}
function neighbours(row, beside) {
  if (!beside.length) return null;
  const list = beside.map((each) => {
    const same = rows.label[each] === rows.label[row];
    return element("li", null, frame(each, true), element("span", { class: same ? "" : "other" }, (same ? "" : "≠ ") + className(rows.label[each], 10)));
  });
  return element("ul", { class: "beside", "aria-label": "Nearest neighbours and their labels" }, list);
}
const LAYOUTS = {
  copies: ([row, suggested, reason, beside]) => element("li", { class: "card pair" }, element("p", null, visible(reason)), [row, ...beside].slice(0, 6).map((each) => figure(each, each === row ? suggested : ""))),
  suspects: ([row, suggested, reason, beside]) => element("li", { class: "card across" }, figure(row, suggested, element("p", null, visible(reason)), neighbours(row, beside))),
  plain: ([row, suggested, reason, beside]) => element("li", { class: "card" }, figure(row, suggested, reason ? element("p", null, visible(reason)) : null, neighbours(row, beside))),
};

/* Galleries: drawn when they are scrolled to, some cards at a time. */
function gallery(place, cards, layout, wide) {
  const list = element("ul", { class: wide ? "cards wide" : "cards" }), more = element("button", { type: "button" });
  let shown = 0;
  const draw = (move) => {
    const first = list.children.length;
    list.append(...cards.slice(shown, shown + PAGE).map(layout));
    shown = Math.min(shown + PAGE, cards.length);
    more.textContent = "Show " + Math.min(PAGE, cards.length - shown) + " more of " + (cards.length - shown);
    more.hidden = shown === cards.length;
    const next = move && list.children[first] && list.children[first].querySelector("button");
    if (next) next.focus();
  };
  more.addEventListener("click", () => draw(true));
  draw(false);
  place.replaceChildren(list, more);
}
const waiting = new Map();
document.querySelectorAll("[data-gallery]").forEach((place) => {
  const name = place.dataset.gallery, wide = name === "copies" || name === "suspects";
  waiting.set(place, () => gallery(place, data.galleries[name], LAYOUTS[name] || LAYOUTS.plain, wide));
});
waiting.set(find("canvas"), () => startMap());
const watch = new IntersectionObserver((entries) => entries.forEach((entry) => entry.isIntersecting && drawn(entry.target)), { rootMargin: "500px" });
function drawn(place) { const draw = waiting.get(place); waiting.delete(place); watch.unobserve(place); if (draw) draw(); }
for (const place of waiting.keys()) watch.observe(place);
addEventListener("beforeprint", () => [...waiting.keys()].forEach(drawn));

/* A cell of the confusion matrix opens its images. */
document.querySelectorAll("[data-cell]").forEach((button) => button.addEventListener("click", () => {
  const panel = find("cell"), open = button.getAttribute("aria-expanded") === "true";
  document.querySelectorAll("[data-cell][aria-expanded=true]").forEach((each) => each.setAttribute("aria-expanded", "false"));
  panel.hidden = open;
  if (open) return;
  button.setAttribute("aria-expanded", "true");
  const [label, predicted] = button.dataset.cell.split(",").map(Number), cards = (data.cells[button.dataset.cell] || []).map((row) => [row, label === predicted ? "" : classes[predicted], "", []]);
  const kind = label === predicted ? "the least sure of them first" : "the surest first";
  const title = element("h3", { tabindex: "-1" }, named(classes[label], 40), label === predicted ? " recognized" : [" taken for ", named(classes[predicted], 40)], ", " + kind), place = element("div", { class: "gallery" });
  panel.replaceChildren(title, place);
  gallery(place, cards, LAYOUTS.plain, false);
  title.focus({ preventScroll: false });
}));

/* The map: marks by class or by error, each class a colour and a shape. */
const COLOURS = { light: ["#0072b2", "#c4470c", "#00795a", "#a3378b", "#7a5c00", "#3f4bc4", "#b3123f", "#4d6372"], dark: ["#62b5f0", "#ff9863", "#3fd0a5", "#ee8fd6", "#e5c14f", "#a3acff", "#ff7f9f", "#b4c6d2"] };
const SHAPES = [
  (pen, x, y, r) => pen.arc(x, y, r, 0, 7),
  (pen, x, y, r) => pen.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8),
  (pen, x, y, r) => polygon(pen, x, y, r * 1.3, 3, -Math.PI / 2),
  (pen, x, y, r) => polygon(pen, x, y, r * 1.25, 4, 0),
  (pen, x, y, r) => polygon(pen, x, y, r * 1.3, 3, Math.PI / 2),
  (pen, x, y, r) => polygon(pen, x, y, r * 1.2, 5, -Math.PI / 2),
];
function polygon(pen, x, y, r, corners, turn) {
  for (let k = 0; k < corners; k++) pen[k ? "lineTo" : "moveTo"](x + r * Math.cos(turn + (2 * Math.PI * k) / corners), y + r * Math.sin(turn + (2 * Math.PI * k) / corners));
  pen.closePath();
}
const dark = matchMedia("(prefers-color-scheme: dark)");
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function shapeOf(number) { return number < 0 ? 0 : number % SHAPES.length; }
function colourOf(number) { return number < 0 ? variable("--soft") : COLOURS[dark.matches ? "dark" : "light"][number % 8]; }
function startMap() {
  const canvas = find("canvas"), pen = canvas.getContext("2d"), tip = find("tip"), map = data.map;
  const state = { by: "class", only: null, at: -1, keyboard: false };
  let places = [];
  const kinds = { class: [...new Set(map.row.map((row) => rows.label[row]))].sort((a, b) => a - b), error: ["wrong", "right", "not judged"] };
  const kindOf = (row) => state.by === "class" ? rows.label[row] : rows.predicted[row] < 0 ? "not judged" : rows.predicted[row] === rows.label[row] ? "right" : "wrong";
  const looks = (kind) => state.by === "class" ? [colourOf(kind), SHAPES[shapeOf(kind)]] : { wrong: [variable("--bad"), SHAPES[2]], right: [variable("--accent"), SHAPES[0]], "not judged": [variable("--soft"), SHAPES[1]] }[kind];
  const height = (kind) => ["not judged", "right", "wrong"].indexOf(kind);
  function mark(context, kind, x, y, r) { const [colour, shape] = looks(kind); context.fillStyle = colour; context.beginPath(); shape(context, x, y, r); context.fill(); }
  function draw() {
    const scale = devicePixelRatio || 1, box = canvas.getBoundingClientRect(), side = Math.min(box.width, box.height), pad = 18;
    canvas.width = box.width * scale; canvas.height = box.height * scale;
    const low = [Math.min(...map.x), Math.min(...map.y)], high = [Math.max(...map.x), Math.max(...map.y)];
    const fit = Math.min((box.width - 2 * pad) / (high[0] - low[0] || 1), (box.height - 2 * pad) / (high[1] - low[1] || 1));
    const left = (box.width - fit * (high[0] - low[0])) / 2, top = (box.height - fit * (high[1] - low[1])) / 2;
    places = map.row.map((_, k) => [left + fit * (map.x[k] - low[0]), top + fit * (map.y[k] - low[1])]);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    const order = map.row.map((row, k) => k).sort((a, b) => height(kindOf(map.row[a])) - height(kindOf(map.row[b])));
    const r = Math.max(2.4, Math.min(5, side / Math.sqrt(map.row.length) / 4));
    for (const k of order) {
      const kind = kindOf(map.row[k]), far = state.only !== null && state.only !== kind;
      pen.globalAlpha = far ? 0.12 : kind === "wrong" ? 1 : kind === "not judged" ? 0.3 : 0.8;
      mark(pen, kind, ...places[k], kind === "wrong" ? r * 1.6 : r);
    }
    pen.globalAlpha = 1;
    if (state.at >= 0) { pen.strokeStyle = variable("--ink"); pen.lineWidth = 2.5; pen.beginPath(); pen.arc(...places[state.at], r + 5, 0, 7); pen.stroke(); }
  }
  function show(k, keyboard) {
    state.at = k; draw();
    tip.hidden = k < 0;
    if (k < 0) return;
    const row = map.row[k], [x, y] = places[k], width = canvas.clientWidth;
    tip.replaceChildren(frame(row, !rows.large[row]), saidOf(row), element("p", { class: "id" }, named(rows.id[row], 44)));
    tip.style.left = Math.max(0, Math.min(width - 194, x + (x > width / 2 ? -206 : 16))) + "px";
    tip.style.top = Math.max(0, Math.min(canvas.clientHeight - tip.offsetHeight, y - 40)) + "px";
    if (keyboard) find("told").textContent = described(row);
  }
  function nearest(x, y, most) {
    let best = -1, least = most * most;
    places.forEach(([px, py], k) => { const far = (px - x) ** 2 + (py - y) ** 2; if (far < least) { least = far; best = k; } });
    return best;
  }
  function towards(dx, dy) {
    if (state.at < 0) return nearest(canvas.clientWidth / 2, canvas.clientHeight / 2, 1e4);
    const [x, y] = places[state.at]; let best = state.at, least = Infinity;
    places.forEach(([px, py], k) => {
      const along = (px - x) * dx + (py - y) * dy, across = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (along > 0.5 && across <= along * 1.5 && along + 2 * across < least) { least = along + 2 * across; best = k; }
    });
    return best;
  }
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function pin() {
    if (state.at < 0) return;
    find("pinned").replaceChildren(element("ul", { class: "cards" }, LAYOUTS.plain([map.row[state.at], "", "", []])));
  }
  canvas.addEventListener("pointermove", (event) => show(nearest(event.offsetX, event.offsetY, 14), false));
  canvas.addEventListener("pointerleave", () => document.activeElement !== canvas && show(-1, false));
  canvas.addEventListener("click", (event) => { show(nearest(event.offsetX, event.offsetY, 18), false); pin(); });
  canvas.addEventListener("blur", () => show(-1, false));
  canvas.addEventListener("keydown", (event) => {
    if (STEPS[event.key]) { event.preventDefault(); show(towards(...STEPS[event.key]), true); }
    else if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pin(); }
    else if (event.key === "Escape") show(-1, true);
  });
  function legend() {
    const present = kinds[state.by].filter((kind) => state.by === "class" || map.row.some((row) => kindOf(row) === kind)).slice(0, MOST);
    find("legend").replaceChildren(...present.map((kind) => {
      const sample = element("canvas", { width: 28, height: 28, "aria-hidden": "true" });
      mark(sample.getContext("2d"), kind, 14, 14, 9);
      return element("li", null, element("button", { type: "button", "aria-pressed": String(state.only === kind), onclick: () => { state.only = state.only === kind ? null : kind; legend(); draw(); } }, sample, typeof kind === "string" ? kind : className(kind, 18)));
    }));
  }
  document.querySelectorAll("input[name=colour]").forEach((input) => input.addEventListener("change", () => { state.by = input.value; state.only = null; legend(); draw(); }));
  const again = () => { legend(); draw(); };
  dark.addEventListener("change", again);
  new ResizeObserver(draw).observe(canvas);
  again();
}

/* The threshold. */
const slider = find("slider"), svg = find("plot-coverage"), line = svg.querySelector("polyline.line");
const points = line.getAttribute("points").trim().split(" ").map((point) => point.split(","));
const here = document.createElementNS("http://www.w3.org/2000/svg", "circle");
here.setAttribute("class", "here"); here.setAttribute("r", "6"); svg.append(here);
function threshold() {
  const [level, share, right, low, high] = data.thresholds[slider.value];
  find("level").textContent = level.toFixed(2);
  find("answer").textContent = percent(share) + " of images are answered, " + percent(right) + " of these rightly (" + percent(low) + " to " + percent(high) + "); " + (share === 1 ? "none is" : percent(1 - share) + " are") + " left to a person.";
  here.setAttribute("cx", points[slider.value][0]); here.setAttribute("cy", points[slider.value][1]);
}
slider.addEventListener("input", threshold); threshold();

/* Commands are copied; where a browser refuses, they are selected. */
document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
  const code = button.parentElement.querySelector("code");
  try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 1500); }
  catch { getSelection().selectAllChildren(code); }
}));

/* The menu says where the reader is. */
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link])), seen = new Set();
const spy = new IntersectionObserver((entries) => {
  entries.forEach((entry) => (entry.isIntersecting ? seen.add(entry.target.id) : seen.delete(entry.target.id)));
  const now = [...links.keys()].filter((id) => seen.has(id)).pop();
  if (!now) return;
  links.forEach((link, id) => (id === now ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
  const menu = document.querySelector("nav"), link = links.get(now);
  menu.scrollLeft = link.offsetLeft - (menu.clientWidth - link.offsetWidth) / 2;
}, { rootMargin: "-20% 0px -70% 0px" });
links.forEach((_, id) => find(id) && spy.observe(find(id)));
kept();
})();
