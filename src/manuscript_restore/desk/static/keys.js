/** The keyboard: one table for what keys do and for the help that lists them.
 *
 * A binding is {keys: shown in the help, match: event → bool, run: event → void, name: key of the text, group}; one
 * with `release` is in force as long as the key is held, one that `repeats` is run again and again.
 * Keys do nothing while a text is typed, in a dialog, or with Ctrl, Alt and the like; single ones can be switched off.
 */

import { t } from "./strings.js";

const TYPING = "textarea, select, input:not([type=range]):not([type=checkbox])";

/** By character, in either case: `letter("a")`. */
export const letter = (...characters) => (event) => !event.shiftKey && characters.includes(event.key.toLowerCase());
export const shifted = (character) => (event) => event.shiftKey && event.key.toLowerCase() === character;
/** By the character alone, with Shift or not, as layouts have it. */
export const sign = (...characters) => (event) => characters.includes(event.key);
/** By the place on the keyboard, since French layouts have digits with Shift only. */
export const digit = (number) => (event) => event.code === `Digit${number}` || event.code === `Numpad${number}`;

export class Keys {
  #bindings; #switch; #held = null;

  constructor(bindings, offSwitch) {
    this.#bindings = bindings;
    this.#switch = offSwitch;
    offSwitch.checked = localStorage.getItem("keys") !== "off";
    offSwitch.addEventListener("change", () => localStorage.setItem("keys", offSwitch.checked ? "on" : "off"));
    addEventListener("keydown", (event) => this.#down(event));
    addEventListener("keyup", (event) => event.code === this.#held?.code && this.#release());
    addEventListener("blur", () => this.#release());
  }

  #down(event) {
    const plain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.isComposing;
    if (!plain || event.target.matches(TYPING) || document.querySelector("dialog[open]")) return;
    if (!this.#switch.checked && event.key.length === 1 && event.key !== "?") return;
    const found = this.#bindings.find((binding) => binding.match(event));
    if (!found) return;
    event.preventDefault();
    if (event.repeat && !found.repeats) return;
    if (found.release) this.#held = { code: event.code, release: found.release };
    found.run(event);
  }

  #release() {
    this.#held?.release();
    this.#held = null;
  }

  /** The table of keys, for the help. */
  table() {
    const groups = Map.groupBy(this.#bindings, ({ group }) => group);
    return [...groups].map(([group, bindings]) => {
      const section = document.createElement("section");
      const list = document.createElement("dl");
      for (const { keys, name } of bindings) {
        const dt = document.createElement("dt");
        for (const key of keys) {
          dt.append(Object.assign(document.createElement("kbd"), { textContent: key === " " ? t("key.space") : key }));
        }
        list.append(dt, Object.assign(document.createElement("dd"), { textContent: t(name) }));
      }
      section.append(Object.assign(document.createElement("h3"), { textContent: t(group) }), list);
      return section;
    });
  }
}
