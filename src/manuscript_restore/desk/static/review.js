/** What the scholar says of a page: accepted, rejected, a note. Says "decided" (detail: the page). */

import { post } from "./api.js";
import { isMade } from "./pages.js";
import { number, percent, t } from "./strings.js";

const TYPING_MS = 1200;
/** How the scores are written; others are left out. */
const SCORES = {
  change_mean: (value) => `${value > 0 && value < 0.05 ? `< ${number(0.1)}` : number(value)} ΔE₀₀`, changed_share: percent, damage_mean: percent, confidence_mean: percent,
};

export class Review extends EventTarget {
  #pages; #complain; #page = null; #timer = 0; #saved = ""; #sent = Promise.resolve();
  #at = (id) => document.getElementById(id);

  constructor(pages, complain) {
    super();
    [this.#pages, this.#complain] = [pages, complain];
    const note = this.#at("note");
    this.#at("accept").addEventListener("click", () => this.decide("accepted"));
    this.#at("reject").addEventListener("click", () => this.decide("rejected"));
    note.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.save(), TYPING_MS);
    });
    note.addEventListener("blur", () => this.save());
    addEventListener("pagehide", () => this.save());
  }

  show(page) {
    this.save();
    this.#at("note").value = this.#saved = page.note;
    this.update(page);
  }

  /** The same page, with what became of it. A note that is being written is not touched. */
  update(page) {
    this.#page = page;
    const note = this.#at("note");
    if (note.value === this.#saved && document.activeElement !== note) note.value = page.note;
    if (note.value === page.note) this.#saved = page.note;
    const parts = [t(`state.${page.state}`), page.decision && t(`decision.${page.decision}`)];
    if (page.state === "working") parts[0] += ` ${percent(page.share ?? 0)}`;
    this.#at("state").textContent = parts.filter(Boolean).join(", ");
    this.#at("reason").textContent = page.reason;
    this.#at("reason").hidden = !page.reason;
    this.#at("several").textContent = page.pages > 1 ? t("several", { n: page.pages }) : "";
    this.#at("several").hidden = !(page.pages > 1);
    for (const [id, decision] of [["accept", "accepted"], ["reject", "rejected"]]) {
      this.#at(id).ariaPressed = page.decision === decision;
      this.#at(id).ariaDisabled = !isMade(page); // it keeps the focus
    }
    this.#at("scores").replaceChildren(...Object.entries(SCORES).flatMap(([name, write]) => {
      const value = page.scores?.[name];
      if (typeof value !== "number") return [];
      return [["dt", t(`score.${name}`)], ["dd", write(value)]].map(([tag, textContent]) =>
        Object.assign(document.createElement(tag), { textContent }));
    }));
  }

  /** Decide, or take the same decision back. */
  async decide(decision) {
    const page = this.#page;
    if (!page || !isMade(page)) return;
    const answer = await this.#send(page, page.decision === decision ? null : decision);
    if (answer) this.dispatchEvent(new CustomEvent("decided", { detail: answer }));
  }

  /** Keep the note, if it was changed. */
  async save() {
    clearTimeout(this.#timer);
    if (this.#page && this.#at("note").value !== this.#saved) await this.#send(this.#page);
  }

  /** One after the other, so that a note does not overtake a decision. Without `decision` it stays as it is then. */
  #send(page, decision) {
    clearTimeout(this.#timer);
    const note = this.#at("note").value;
    const before = this.#saved;
    this.#saved = note;
    this.#sent = this.#sent.then(() => this.#post(page, decision, note, before));
    return this.#sent;
  }

  async #post(page, wanted, note, before) {
    const decision = wanted === undefined ? this.#pages.get(page.id).decision : wanted;
    try {
      const answer = await post(`/api/pages/${page.id}/decision`, { decision, note }, { keepalive: true });
      this.#pages.put(answer);
      return answer;
    } catch (error) {
      if (this.#page?.id === page.id) this.#saved = before;
      this.#complain(error);
      return null;
    }
  }
}
