/** The desk: a list of pages, the picture of one of them, and what is to become of it. */

import { acceptDrops, send } from "./add.js";
import { get, post } from "./api.js";
import { bindings } from "./bindings.js";
import { Keys } from "./keys.js";
import { Layers } from "./layers.js";
import { List } from "./list.js";
import { Pages, isBusy, isMade, isUndecided } from "./pages.js";
import { Review } from "./review.js";
import { Settings } from "./settings.js";
import { choose, languageName, percent, speak, t, translate } from "./strings.js";
import { Picture } from "./viewer.js";

const at = (id) => document.getElementById(id);
/** Buttons that can do nothing now keep the focus: they are not `disabled`. */
const isOff = (id) => at(id).ariaDisabled === "true";
const say = (text) => (at("status").textContent = text);

/** Show a fault until the user has read it. */
function complain(error) {
  const shown = [...at("alerts").children].some((alert) => alert.firstChild.textContent === error.message);
  if (shown) return;
  const alert = document.createElement("p");
  const close = Object.assign(document.createElement("button"), { textContent: "×", ariaLabel: t("close") });
  close.addEventListener("click", () => alert.remove());
  alert.append(Object.assign(document.createElement("span"), { textContent: error.message }), close);
  at("alerts").append(alert);
}

const desk = await get("/api/desk");
await speak(choose(desk.languages));

const pages = new Pages();
const list = new List(at("list"), pages);
const picture = new Picture(at("picture"));
const settings = new Settings(pages, picture, complain);
const review = new Review(pages, complain);
const layers = new Layers(at("layers"), picture);
settings.most = desk.limits.preview_pixels;

let current = null;

/* One page */

function open(id) {
  const page = pages.get(id);
  if (!page || id === current) return;
  current = id;
  history.replaceState(null, "", `#${id}`);
  list.current = id;
  review.show(page);
  settings.show(page);
  layers.show(page);
  describe(page);
  look(page);
}

/** Show the page's picture; a page that cannot be shown says why. */
async function look(page) {
  let reason = page.state === "failed" ? page.reason : "";
  try {
    const layer = page.layers.includes("restored") ? "restored" : "original";
    const info = await get(`/api/pages/${page.id}/${layer}/info.json`);
    if (current !== page.id) return;
    picture.show(page, info);
    reason = "";
  } catch (error) {
    if (current !== page.id) return;
    picture.clear();
    reason ||= error.message;
  }
  at("no-picture").textContent = reason;
}

/** The words about the current page. */
function describe(page) {
  at("name").textContent = at("name").title = page.name;
  document.title = `${page.name} – ${desk.name}`;
  picture.label = t("picture", { name: page.name });
  caption(page);
}

function caption(page) {
  const made = page.layers.includes("restored") ? "restored" : "original";
  const held = at("picture").dataset.held === "true";
  at("caption").textContent = t(held ? "original" : at("preview").checked ? `previewed.${made}` : made);
  at("caption-left").hidden = picture.mode !== "curtain" || held;
}

function changed(page) {
  if (page.id !== current) return;
  review.update(page);
  settings.update(page);
  layers.show(page);
  caption(page);
  const shown = picture.page;
  if (!shown || shown.version !== page.version || shown.layers.join() !== page.layers.join()) look(page);
}

/** Open the page that is so many steps further in the list as it is filtered. */
function step(steps) {
  const ids = list.visible;
  const next = ids[ids.indexOf(current) + steps];
  if (next) open(next);
}

/** Open the next page (or the one before) that is undecided, from here around to the other end. */
function seek(steps) {
  const all = steps > 0 ? pages.all : pages.all.reverse();
  const here = all.findIndex(({ id }) => id === current);
  const found = [...all.slice(here + 1), ...all.slice(0, here)].find(isUndecided);
  if (found) open(found.id);
  else say(t("undecided.none"));
  return found;
}

/* All pages */

function count() {
  const all = pages.all;
  const [made, busy] = [all.filter(isMade), all.filter(isBusy)];
  const decided = made.filter(({ decision }) => decision).length;
  at("progress").textContent = t("progress", { n: all.length, made: made.length, decided });
  at("making").hidden = !busy.length;
  at("making").max = made.length + busy.length;
  at("making").value = made.length + busy.reduce((sum, { share }) => sum + (share ?? 0), 0);
  at("restore-new").ariaDisabled = !all.some(({ state }) => state === "new");
  at("export-open").ariaDisabled = !all.some(({ decision }) => decision === "accepted");
  empty();
}

let counting = 0;

/** Count once for all that comes until the next frame. */
function countSoon() {
  counting ||= requestAnimationFrame(() => {
    counting = 0;
    count();
  });
}

function empty() {
  const shown = list.visible.length;
  at("none").hidden = shown > 0 || !pages.all.length;
  if (!current) at("no-picture").textContent = pages.all.length ? "" : t("none");
}

async function addFiles(files) {
  if (!files.length) return;
  const add = (page) => {
    pages.put(page);
    if (!current) open(page.id);
  };
  await send(files, { limit: desk.limits.upload_bytes, say, complain, add });
}

async function restoreNew() {
  if (isOff("restore-new")) return;
  try {
    const { waiting } = await post("/api/restore", { pages: "new", ...settings.wish });
    say(t("restore.waiting", { n: waiting }));
  } catch (error) {
    complain(error);
  }
}

function askExport() {
  if (isOff("export-open")) return;
  const accepted = pages.all.filter(({ decision }) => decision === "accepted").length;
  at("export-what").textContent = t("export.what", { n: accepted });
  at("exported").textContent = "";
  at("export").showModal();
}

async function doExport() {
  if (isOff("export-go")) return;
  at("export-go").ariaDisabled = true;
  at("exported").textContent = t("export.busy");
  try {
    const { folder, pages: n } = await post("/api/export", { format: at("format").value || null });
    at("exported").textContent = t("exported", { n, folder });
  } catch (error) {
    at("exported").textContent = error.message;
  }
  at("export-go").ariaDisabled = false;
}

/* Looking */

function setMode(mode) {
  picture.mode = mode;
  for (const button of document.querySelectorAll("[data-mode]")) button.ariaPressed = button.dataset.mode === mode;
  if (current) caption(pages.get(current));
}

function hold(held) {
  picture.held = held;
  at("hold").ariaPressed = held;
  if (current) caption(pages.get(current));
}

function toggleLike(id) {
  if (!id) return;
  const { name } = pages.get(id);
  say(t(settings.toggleLike(id) ? "like.added" : "like.removed", { name }));
}

/* Words */

async function setLanguage(code) {
  await speak(code);
  words();
}

function words() {
  translate();
  at("folder").textContent = desk.name;
  at("folder").title = desk.out;
  list.refresh();
  at("keys").replaceChildren(...keys.table());
  count();
  const page = pages.get(current);
  if (!page) return;
  review.update(page);
  settings.update(page);
  describe(page);
}

const keys = new Keys(bindings({
  step, seek, setMode, hold, toggleLike: () => toggleLike(list.focused ?? current),
  click: (id) => at(id).click(), focus: (id) => at(id).focus(), focusList: () => list.focus(),
  moveCurtain: (steps) => picture.curtain.move(steps), pan: (dx, dy) => picture.pan(dx, dy),
  toggleLayer: (place) => layers.toggle(place),
}), at("single-keys"));

/* What happens */

const clicks = {
  add: () => at("files").click(), "restore-new": restoreNew, "export-open": askExport, "export-go": doExport,
  "help-open": () => at("help").showModal(), "next-undecided": () => seek(1), "previous-undecided": () => seek(-1),
  "zoom-in": () => picture.zoomBy(1.4), "zoom-out": () => picture.zoomBy(1 / 1.4), "zoom-fit": () => picture.fit(),
  "zoom-real": () => picture.real(),
};
for (const [id, run] of Object.entries(clicks)) at(id).addEventListener("click", run);
for (const button of document.querySelectorAll("[data-mode]")) {
  button.addEventListener("click", () => setMode(button.dataset.mode));
}
at("hold").addEventListener("pointerdown", () => hold(true));
for (const name of ["pointerup", "pointerleave", "blur", "keyup"]) at("hold").addEventListener(name, () => hold(false));
at("hold").addEventListener("keydown", ({ key }) => (key === " " || key === "Enter") && hold(true));
at("note").addEventListener("keydown", (event) => {
  if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) at("picture").focus();
});
at("files").addEventListener("change", async ({ target }) => {
  const files = [...target.files];
  target.value = "";
  await addFiles(files);
});
at("filter").addEventListener("change", ({ target }) => (list.filter = target.value));
at("language").addEventListener("change", ({ target }) => {
  localStorage.setItem("language", target.value);
  setLanguage(target.value);
});
at("go-on").checked = localStorage.getItem("go-on") !== "off";
at("go-on").addEventListener("change", ({ target }) => localStorage.setItem("go-on", target.checked ? "on" : "off"));
acceptDrops(addFiles);
addEventListener("hashchange", () => open(location.hash.slice(1)));

list.addEventListener("open", ({ detail }) => {
  open(detail);
  at("picture").scrollIntoView({ block: "nearest" }); // on a small screen it is elsewhere
});
list.addEventListener("like", ({ detail }) => toggleLike(detail));
list.addEventListener("shown", empty);
settings.addEventListener("change", () => (list.likes = settings.likes));
settings.addEventListener("seen", () => current && caption(pages.get(current)));
picture.addEventListener("zoom", () => (at("zoom").value = percent(picture.zoom)));
review.addEventListener("decided", ({ detail: page }) => {
  say(`${page.name}: ${t(page.decision ? `decision.${page.decision}` : "decision.none")}`);
  if (page.decision && at("go-on").checked && page.id === current) seek(1);
});

const states = new Map();
pages.addEventListener("page", ({ detail: page }) => {
  changed(page);
  countSoon();
  const before = states.get(page.id);
  states.set(page.id, page.state);
  if (before && before !== page.state && !isBusy(page)) say(`${page.name}: ${t(`state.${page.state}`)}`);
});
pages.addEventListener("reset", () => {
  for (const page of pages.all) states.set(page.id, page.state);
  count();
  const page = pages.get(current);
  if (page) changed(page);
});
pages.addEventListener("log", ({ detail }) => say(detail));

at("language").replaceChildren(...desk.languages.map((code) => new Option(languageName(code), code)));
at("language").value = choose(desk.languages);
setMode("restored");
await pages.load();
pages.listen();
words();
open(pages.get(location.hash.slice(1))?.id ?? pages.all.find(isUndecided)?.id ?? pages.all[0]?.id);
document.documentElement.dataset.ready = "";
