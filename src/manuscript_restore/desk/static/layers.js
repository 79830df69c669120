/** The maps that can be laid over the picture: a switch, an opacity and what the colour means. */

import { t } from "./strings.js";

/** In the order of the panel. */
const SHOWN = ["change", "damage", "confidence", "ink"];
const FIRST_OPACITY = 50;

export class Layers {
  #picture; #rows = new Map();

  constructor(section, picture) {
    this.#picture = picture;
    this.#rows = new Map(SHOWN.map((name, place) => [name, this.#row(name, place + 4)]));
    section.append(...[...this.#rows.values()].map(({ row }) => row));
  }

  /** Offer the maps that a page has. */
  show(page) {
    for (const [name, { row }] of this.#rows) row.hidden = !page.layers.includes(name);
    document.getElementById("no-layers").hidden = SHOWN.some((name) => page.layers.includes(name));
  }

  /** Lay the map at this place of the panel over the picture, or take it away. */
  toggle(place) {
    const { row, shown } = this.#rows.get(SHOWN[place]);
    if (!row.hidden) shown.click();
  }

  #row(name, key) {
    const row = Object.assign(document.createElement("div"), { className: "layer" });
    row.dataset.layer = name;
    row.innerHTML = `
      <label class="check"><input type="checkbox" aria-keyshortcuts="${key}"><span data-t="layer.${name}"></span></label>
      <input type="range" min="5" max="100" step="5" value="${FIRST_OPACITY}" data-t-label="opacity.${name}" disabled>
      <p class="legend"><span data-t="legend.${name}.low"></span><span class="ramp" aria-hidden="true"></span
        ><span data-t="legend.${name}.high"></span></p>`;
    const [shown, opacity] = row.querySelectorAll("input");
    const apply = () => {
      opacity.disabled = !shown.checked;
      row.classList.toggle("on", shown.checked);
      this.#picture.setOpacity(name, shown.checked ? opacity.valueAsNumber / 100 : 0);
    };
    shown.addEventListener("change", apply);
    opacity.addEventListener("input", apply);
    return { row, shown };
  }
}
