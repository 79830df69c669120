/** How a page is restored, and the part in view restored so at once.
 *
 * What is asked for and no longer wanted is cancelled. Says "change" when the pages to be like were changed.
 */

import { post, preview, thumbnail } from "./api.js";
import { isBusy } from "./pages.js";
import { percent, t } from "./strings.js";

const DEFAULTS = { strength: 1, keep_colour: false, damaged: false, like: [] };
const SETTLE_MS = 250;
/** Of the first answer, which comes quickly; a second one follows for the rest of the part in view. */
const FIRST_PIXELS = 512 * 512;

const same = (one, other) =>
  one.strength === other.strength && one.keep_colour === other.keep_colour &&
  one.damaged === other.damaged &&
  one.like.length === other.like.length && one.like.every((id) => other.like.includes(id));

export class Settings extends EventTarget {
  #pages; #picture; #most; #complain;
  #values = { ...DEFAULTS }; #page = null; #timer = 0; #asked = null; #wanted = "";
  #at = (id) => document.getElementById(id);

  constructor(pages, picture, complain) {
    super();
    [this.#pages, this.#picture, this.#complain] = [pages, picture, complain];
    this.#at("strength").addEventListener("input", ({ target }) => this.#set({ strength: target.valueAsNumber / 100 }));
    this.#at("keep-colour").addEventListener("change", ({ target }) => this.#set({ keep_colour: target.checked }));
    this.#at("damaged").addEventListener("change", ({ target }) => this.#set({ damaged: target.checked }));
    this.#at("preview").addEventListener("change", () => this.#try(0));
    this.#at("restore").addEventListener("click", () => this.restore());
    this.#at("reset").addEventListener("click", () => this.#reset());
    this.#at("cancel").addEventListener("click", () => this.#tell(post(`/api/pages/${this.#page.id}/cancel`)));
    picture.addEventListener("view", () => this.#want() !== this.#wanted && this.#try());
  }

  /** The most pixels that the server restores for a preview. */
  set most(pixels) {
    this.#most = pixels;
  }

  /** How pages are to be restored. */
  get wish() {
    return { ...this.#values, confidence: this.#at("with-confidence").checked };
  }

  get likes() {
    return this.#values.like;
  }

  /** Begin with the settings that a page was restored with, or go on with those of the page before. */
  show(page) {
    if (page.settings) this.#values = { ...DEFAULTS, ...page.settings };
    this.#at("preview").checked = false;
    this.#stop();
    this.#page = page;
    this.update(page);
    this.dispatchEvent(new Event("change"));
  }

  /** The same page, with what became of it. */
  update(page) {
    const renewed = page.version !== this.#page.version;
    this.#page = page;
    const { strength, keep_colour: keepColour, damaged, like } = this.#values;
    this.#at("strength").value = Math.round(strength * 100);
    this.#at("strength-now").value = percent(strength);
    this.#at("keep-colour").checked = keepColour;
    this.#at("damaged").checked = damaged;
    if (!isBusy(page) && document.activeElement === this.#at("cancel")) this.#at("restore").focus(); // the button goes
    this.#at("cancel").hidden = !isBusy(page);
    this.#at("restore").ariaDisabled = isBusy(page);
    this.#at("reset").hidden = same(this.#values, page.settings ?? DEFAULTS);
    this.#at("like-hint").hidden = like.length > 0;
    this.#at("likes").replaceChildren(...like.map((id) => this.#chip(id)));
    if (!renewed) return;
    if (page.settings && same(this.#values, page.settings)) this.#at("preview").checked = false;
    this.#try();
  }

  /** Whether restored pages become like this one in tone. */
  toggleLike(id) {
    const { like } = this.#values;
    this.#set({ like: like.includes(id) ? like.filter((other) => other !== id) : [...like, id] });
    this.dispatchEvent(new Event("change"));
    return this.#values.like.includes(id);
  }

  async restore() {
    if (!this.#page || isBusy(this.#page)) return;
    await this.#tell(post(`/api/pages/${this.#page.id}/restore`, this.wish));
  }

  async #tell(answer) {
    try {
      const page = await answer;
      if (page.id) this.#pages.put(page);
    } catch (error) {
      this.#complain(error);
    }
  }

  #set(values) {
    Object.assign(this.#values, values);
    if (!this.#page) return;
    this.update(this.#page);
    this.#at("preview").checked = true;
    this.#try();
  }

  #reset() {
    this.#values = { ...DEFAULTS, ...this.#page.settings };
    this.#at("preview").checked = false;
    this.#try(0);
    this.update(this.#page);
    this.#at("strength").focus(); // the button is gone
    this.dispatchEvent(new Event("change"));
  }

  #chip(id) {
    const page = this.#pages.get(id);
    const chip = document.createElement("li");
    const name = page?.name ?? id;
    const label = t("like.remove", { name });
    const remove = Object.assign(document.createElement("button"), { textContent: "×", ariaLabel: label, title: label });
    remove.addEventListener("click", () => {
      this.toggleLike(id);
      (this.#at("likes").querySelector("button") ?? this.#at("strength")).focus();
    });
    if (page) chip.append(Object.assign(document.createElement("img"), { src: thumbnail(page), alt: "" }));
    chip.append(Object.assign(document.createElement("span"), { textContent: name }), remove);
    return chip;
  }

  /** What a preview depends on. */
  #want() {
    return JSON.stringify([this.#page?.id, this.#page?.version, this.#values, this.#picture.part(this.#most)]);
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    this.#asked = null;
    this.#wanted = "";
    this.#at("busy").hidden = true;
  }

  /** Ask for the part in view in a moment, unless something else is wanted until then. */
  #try(wait = SETTLE_MS) {
    this.#stop();
    if (!this.#at("preview").checked) {
      this.#picture.dropPiece();
      this.dispatchEvent(new Event("seen"));
      return;
    }
    this.#timer = setTimeout(() => this.#ask(), wait);
  }

  async #ask() {
    const asked = (this.#asked = new AbortController());
    const values = { ...this.#values };
    const page = this.#page;
    this.#wanted = this.#want();
    this.#at("busy").hidden = false;
    try {
      for (const most of [Math.min(FIRST_PIXELS, this.#most), this.#most]) {
        const rect = this.#picture.part(most);
        if (!rect || (most > FIRST_PIXELS && rect[2] * rect[3] <= FIRST_PIXELS)) break;
        const bitmap = await preview(page, rect, values, asked.signal);
        if (asked !== this.#asked) return;
        this.#picture.showPiece(bitmap, rect);
        this.dispatchEvent(new Event("seen"));
      }
    } catch (error) {
      if (error.name !== "AbortError") this.#complain(error);
    }
    if (asked === this.#asked) this.#at("busy").hidden = true;
  }
}
