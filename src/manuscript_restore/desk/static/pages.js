/** The pages as the server tells of them. Says "page" (detail: the page), "reset" and "log" (detail: a line). */

import { get } from "./api.js";

const MADE = ["restored", "sound", "flagged"];
const natural = new Intl.Collator(undefined, { numeric: true });

export const isMade = (page) => MADE.includes(page.state);
export const isBusy = (page) => page.state === "waiting" || page.state === "working";
export const isUndecided = (page) => isMade(page) && !page.decision;

/** Whether a page is shown under a filter of the list. */
export function matches(page, filter) {
  if (filter === "undecided") return isUndecided(page);
  if (filter === "flagged") return page.state === "flagged" || page.state === "failed";
  return filter === "all" || page.decision === filter;
}

export class Pages extends EventTarget {
  #pages = new Map();

  get all() {
    return [...this.#pages.values()];
  }

  get(id) {
    return this.#pages.get(id);
  }

  async load() {
    const pages = await get("/api/pages");
    this.#pages = new Map(pages.map((page) => [page.id, page]));
    this.dispatchEvent(new Event("reset"));
  }

  /** Keep a page that the server sent, new or changed. A new one takes its place by name. */
  put(page) {
    if (!this.#pages.has(page.id)) {
      const others = this.all;
      const place = others.findIndex((other) => natural.compare(other.name, page.name) > 0);
      others.splice(place < 0 ? others.length : place, 0, page);
      this.#pages = new Map(others.map((other) => [other.id, other]));
    }
    this.#pages.set(page.id, page);
    this.dispatchEvent(new CustomEvent("page", { detail: page }));
  }

  /** Hear of changes until the window is closed. After a lost connection everything is asked for again. */
  listen() {
    const events = new EventSource("/api/events");
    let lost = false;
    events.addEventListener("page", (event) => this.put(JSON.parse(event.data)));
    events.addEventListener("log", (event) =>
      this.dispatchEvent(new CustomEvent("log", { detail: JSON.parse(event.data).text })));
    events.addEventListener("error", () => (lost = true));
    events.addEventListener("open", () => {
      if (lost) this.load().catch(() => {});
      lost = false;
    });
  }
}
