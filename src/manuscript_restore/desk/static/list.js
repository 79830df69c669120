/** The list of pages: one row each, with thumbnail, state and decision. Says "open" and "like" (detail: a page's id).
 *
 * One row takes the tab; arrow keys, Home and End move within. Rows are kept and changed in place, so that focus stays.
 */

import { thumbnail } from "./api.js";
import { isBusy, matches } from "./pages.js";
import { percent, t } from "./strings.js";

const PAGE_OF_ROWS = 8;

const symbol = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS(svg.namespaceURI, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
};

export class List extends EventTarget {
  #element; #pages; #rows = new Map(); #filter = "all"; #current = null; #likes = new Set();

  constructor(element, pages) {
    super();
    this.#element = element;
    this.#pages = pages;
    pages.addEventListener("reset", () => this.#build());
    pages.addEventListener("page", ({ detail }) => this.#update(detail));
    element.addEventListener("click", (event) => this.#click(event));
    element.addEventListener("keydown", (event) => this.#key(event));
    element.addEventListener("focusin", (event) => this.#takeTab(event.target.closest("li")));
  }

  set filter(filter) {
    this.#filter = filter;
    this.#show();
  }

  set likes(ids) {
    this.#likes = new Set(ids);
    this.refresh();
  }

  /** Mark a page as the one that is looked at. */
  set current(id) {
    this.#current = id;
    for (const [other, row] of this.#rows) row.querySelector(".page").ariaCurrent = other === id ? "page" : null;
    this.#show();
    const row = this.#rows.get(id);
    if (!row) return;
    this.#takeTab(row);
    const { offsetTop: top, offsetHeight: height } = row; // not scrollIntoView, which would move the window, too
    const { scrollTop, clientHeight } = this.#element;
    this.#element.scrollTop = Math.max(Math.min(scrollTop, top), top + height - clientHeight);
  }

  /** The ids that are shown, in order. */
  get visible() {
    return [...this.#rows].filter(([, row]) => !row.hidden).map(([id]) => id);
  }

  /** The page whose row has the focus, or null. */
  get focused() {
    return document.activeElement?.closest("#list li")?.dataset.id ?? null;
  }

  /** Put the focus on the row that takes the tab. */
  focus() {
    this.#element.querySelector('.page[tabindex="0"]')?.focus();
  }

  refresh() {
    for (const page of this.#pages.all) this.#fill(this.#rows.get(page.id), page);
  }

  #build() {
    const focused = this.focused;
    this.#rows = new Map(this.#pages.all.map((page) => [page.id, this.#row(page)]));
    this.#element.replaceChildren(...this.#rows.values());
    this.current = this.#current;
    if (focused) this.#rows.get(focused)?.querySelector(".page").focus();
  }

  #row(page) {
    const row = document.createElement("li");
    row.dataset.id = page.id;
    const open = Object.assign(document.createElement("button"), { className: "page", tabIndex: -1 });
    const picture = Object.assign(document.createElement("img"), { loading: "lazy", alt: "", fetchPriority: "low" });
    const text = Object.assign(document.createElement("span"), { className: "text" });
    for (const part of ["name", "state"]) {
      text.append(Object.assign(document.createElement("span"), { className: part }));
    }
    const share = Object.assign(document.createElement("span"), { className: "share" });
    open.append(picture, text, share);
    const like = Object.assign(document.createElement("button"), { className: "like", tabIndex: -1 });
    like.append(symbol("like"));
    row.append(open, like);
    this.#fill(row, page);
    return row;
  }

  /** Write what is known of a page into its row. */
  #fill(row, page) {
    const source = thumbnail(page);
    const [open, like] = row.children;
    const [picture, text, share] = open.children;
    const [name, state] = text.children;
    if (picture.getAttribute("src") !== source) picture.src = source;
    if (name.textContent !== page.name) {
      name.textContent = page.name;
      open.title = page.name;
    }
    const parts = [t(`state.${page.state}`) + (page.state === "working" ? ` ${percent(page.share ?? 0)}` : "")];
    const signs = [symbol(page.state)];
    if (page.decision) {
      parts.push(t(`decision.${page.decision}`));
      signs.push(symbol(page.decision));
    }
    const said = parts.join(", ");
    if (state.dataset.said !== said) {
      state.replaceChildren(...signs, said);
      state.dataset.said = said;
    }
    row.dataset.state = page.state;
    row.dataset.decision = page.decision ?? "";
    share.hidden = !isBusy(page);
    share.style.setProperty("--share", page.share ?? 0);
    like.ariaPressed = this.#likes.has(page.id);
    like.ariaLabel = like.title = t("like.toggle", { name: page.name });
  }

  #update(page) {
    let row = this.#rows.get(page.id);
    if (row) {
      this.#fill(row, page);
    } else {
      const order = this.#pages.all.map(({ id }) => id);
      row = this.#row(page);
      const next = order.slice(order.indexOf(page.id) + 1).find((id) => this.#rows.has(id));
      this.#element.insertBefore(row, this.#rows.get(next) ?? null);
      this.#rows.set(page.id, row);
      this.#rows = new Map(order.filter((id) => this.#rows.has(id)).map((id) => [id, this.#rows.get(id)]));
    }
    this.#hide(row, page);
  }

  /** The page that is looked at stays in the list, also when it was just decided. */
  #hide(row, page) {
    row.hidden = page.id !== this.#current && !matches(page, this.#filter);
  }

  #show() {
    for (const page of this.#pages.all) this.#hide(this.#rows.get(page.id), page);
    const tab = this.#element.querySelector('.page[tabindex="0"]');
    if (!tab || tab.closest("li").hidden) this.#takeTab(this.#rows.get(this.visible[0]));
    this.dispatchEvent(new Event("shown"));
  }

  #takeTab(row) {
    if (!row) return;
    for (const button of this.#element.querySelectorAll('[tabindex="0"]')) button.tabIndex = -1;
    for (const button of row.children) button.tabIndex = 0;
  }

  #click(event) {
    const row = event.target.closest("li");
    if (!row) return;
    const type = event.target.closest(".like") ? "like" : "open";
    this.dispatchEvent(new CustomEvent(type, { detail: row.dataset.id }));
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const ids = this.visible;
    const here = ids.indexOf(this.focused);
    const steps = {
      ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: ids.length - 1,
      PageDown: here + PAGE_OF_ROWS, PageUp: here - PAGE_OF_ROWS,
    };
    if (here < 0 || !(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    const id = ids[Math.min(Math.max(steps[event.key], 0), ids.length - 1)];
    this.#rows.get(id).querySelector(".page").focus();
  }
}
