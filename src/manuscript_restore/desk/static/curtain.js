/** The curtain between original and restored: a slider that is dragged or moved by keys. Says "move". */

const STEP = 0.02;
const LEAP = 0.1;

export class Curtain extends EventTarget {
  #element; #share = 0.5;

  constructor(element) {
    super();
    this.#element = element;
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.#drag(event);
    });
    element.addEventListener("pointermove", (event) => element.hasPointerCapture(event.pointerId) && this.#drag(event));
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Where it hangs: 0 at the left edge of the viewer, 1 at the right. */
  get share() {
    return this.#share;
  }

  set shown(shown) {
    this.#element.hidden = !shown;
  }

  /** Move it by so many steps. */
  move(steps) {
    this.#hang(this.#share + steps * STEP);
  }

  #hang(share) {
    this.#share = Math.min(Math.max(share, 0), 1);
    this.#element.style.setProperty("--at", this.#share);
    this.#element.ariaValueNow = Math.round(this.#share * 100);
    this.dispatchEvent(new Event("move"));
  }

  #drag({ clientX }) {
    const { left, width } = this.#element.parentElement.getBoundingClientRect();
    this.#hang((clientX - left) / width);
  }

  #key(event) {
    const steps = {
      ArrowLeft: -STEP, ArrowDown: -STEP, PageDown: -LEAP, ArrowRight: STEP, ArrowUp: STEP, PageUp: LEAP, Home: -1, End: 1,
    };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.#hang(this.#share + steps[event.key]);
  }
}
