/** The picture: deep zoom, before and after, maps laid over, the previewed part.
 *
 * One viewer holds everything of a page in layers, from below: the restored page (or the original, as long as there is
 * no other), the previewed part, the original for comparing, the maps. A second viewer shows the original beside it.
 * In both, the page is 1 unit wide. Says "zoom" while the view moves
 * and "view" when it has moved.
 */

import { Curtain } from "./curtain.js";
import { MAPS, layer, piece } from "./tiles.js";

const { Point, Rect, SUBPIXEL_ROUNDING_OCCURRENCES, Viewer } = globalThis.OpenSeadragon;

const PAN_STEP = 80;
/** Of a refreshed picture: milliseconds after which the one before is taken away even if tiles are missing. */
const PATIENCE = 4000;

const still = matchMedia("(prefers-reduced-motion: reduce)");

// OpenSeadragon adds an inline style, which the page's policy forbids, unless it finds one that is called so.
const noStyle = document.createElementNS(null, "style");
noStyle.setAttribute("data-openseadragon-mobile-css", "");
document.head.append(noStyle);

function viewer(element) {
  const made = new Viewer({
    element, showNavigationControl: false, keyboardNavEnabled: false, drawer: "canvas",
    animationTime: still.matches ? 0 : 0.4, blendTime: 0, visibilityRatio: 0.4, minZoomImageRatio: 0.6,
    maxZoomPixelRatio: 8, gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true },
    subPixelRoundingForTransparency: SUBPIXEL_ROUNDING_OCCURRENCES.ALWAYS,
  });
  made.canvas.setAttribute("role", "application");
  return made;
}

export class Picture extends EventTarget {
  #element; #main; #beside;
  #page = null; #items = {}; #leader; #pieces = []; #frame = document.createElement("div");
  #mode = "restored"; #held = false; #fitted = true; #opacities = {};

  constructor(element) {
    super();
    this.#element = element;
    this.curtain = new Curtain(element.querySelector("#curtain"));
    this.curtain.addEventListener("move", () => this.#clip());
    this.#main = viewer(element.querySelector("#main"));
    this.#beside = viewer(element.querySelector("#beside"));
    this.#frame.className = "frame";
    this.#main.addHandler("viewport-change", () => this.#moved(this.#main, this.#beside));
    this.#beside.addHandler("viewport-change", () => this.#moved(this.#beside, this.#main));
    this.#leader = this.#main;
    for (const leader of [this.#main, this.#beside]) {
      for (const name of ["canvas-press", "canvas-scroll", "canvas-pinch"]) {
        leader.addHandler(name, () => (this.#leader = leader));
      }
      for (const name of ["canvas-drag", "canvas-scroll", "canvas-pinch", "canvas-double-click"]) {
        leader.addHandler(name, () => (this.#fitted = false));
      }
      leader.addHandler("resize", () => this.#resized());
    }
    for (const name of ["open", "animation-finish", "resize"]) {
      this.#main.addHandler(name, () => this.dispatchEvent(new Event("view")));
    }
  }

  /** What a screen reader says of the picture itself. */
  set label(text) {
    this.#main.canvas.ariaLabel = this.#beside.canvas.ariaLabel = text;
  }

  get mode() {
    return this.#mode;
  }

  /** "restored", "curtain" (the original left of it) or "side" (the original beside it). */
  set mode(mode) {
    this.#mode = mode;
    this.#element.querySelector("#beside").hidden = mode !== "side";
    this.curtain.shown = mode === "curtain";
    this.#lead();
    this.#apply();
  }

  /** Whether the original is shown in place of everything. */
  set held(held) {
    this.#held = held;
    this.#apply();
  }

  get page() {
    return this.#page;
  }

  /** The screen's pixels of one page pixel. */
  get zoom() {
    const item = this.#main.world.getItemAt(0);
    return item ? item.viewportToImageZoom(this.#main.viewport.getZoom(true)) * devicePixelRatio : 1;
  }

  /** How strongly a map is laid over: 0 to 1. */
  setOpacity(map, opacity) {
    this.#opacities[map] = opacity;
    this.#apply();
  }

  /** Show a page, or (the same page again) its new pictures in the view that there is. */
  show(page, info) {
    const again = this.#page?.id === page.id && this.#page.info.width === info.width;
    const [before, beside] = [[...all(this.#main)], [...all(this.#beside)]];
    this.dropPiece();
    if (!again) this.clear();
    this.#fitted ||= !again;
    this.#page = { ...page, info };
    this.#items = {};
    const under = page.layers.includes("restored") ? "restored" : "original";
    this.#add(this.#main, "under", layer(page, under, info), () => {
      if (again) this.#replace(before, beside);
      this.dispatchEvent(new Event("view"));
    });
    this.#add(this.#main, "original", layer(page, "original", info));
    for (const map of MAPS.filter((name) => page.layers.includes(name))) {
      this.#add(this.#main, map, layer(page, map, info));
    }
    this.#add(this.#beside, "beside", layer(page, "original", info));
  }

  /** Show nothing. */
  clear() {
    this.dropPiece();
    this.#page = null;
    this.#items = {};
    this.#main.world.removeAll();
    this.#beside.world.removeAll();
  }

  #add(onto, name, source, then = () => {}) {
    const page = this.#page;
    onto.addTiledImage({
      tileSource: source, x: 0, y: 0, width: 1, opacity: 0,
      success: ({ item }) => {
        if (this.#page !== page) return onto.world.removeItem(item);
        this.#items[name] = item;
        this.#apply();
        return then();
      },
    });
  }

  /** Take old pictures away when the new one is there: nothing blinks. */
  #replace(before, beside) {
    const remove = () => {
      for (const item of before) this.#main.world.removeItem(item);
      for (const item of beside) this.#beside.world.removeItem(item);
      before.length = beside.length = 0;
    };
    setTimeout(remove, PATIENCE);
    this.#items.under.addHandler("fully-loaded-change", ({ fullyLoaded }) => fullyLoaded && remove());
  }

  /** Lay a restored part over the page; `rect` = [x, y, w, h] in page pixels. */
  showPiece(bitmap, [x, y, w]) {
    const { width } = this.#page.info;
    const place = { x: x / width, y: y / width, width: w / width };
    const box = new Rect(place.x, place.y, place.width, (place.width * bitmap.height) / bitmap.width);
    const index = this.#main.world.getIndexOfItem(this.#items.under) + 1;
    this.#main.addTiledImage({
      tileSource: piece(bitmap), ...place, index,
      success: ({ item }) => {
        const before = this.#pieces;
        this.#pieces = [...before, item];
        item.addHandler("fully-loaded-change", ({ fullyLoaded }) => fullyLoaded && this.#remove(before));
      },
    });
    this.#main.removeOverlay(this.#frame);
    this.#main.addOverlay({ element: this.#frame, location: box });
  }

  dropPiece() {
    this.#remove(this.#pieces);
    this.#main.removeOverlay(this.#frame);
  }

  /** Take pieces away, the one before when the next is there: nothing blinks. */
  #remove(pieces) {
    for (const item of pieces) this.#main.world.removeItem(item);
    this.#pieces = this.#pieces.filter((item) => !pieces.includes(item));
  }

  /** The part in view, [x, y, w, h] in page pixels; its middle, if it has more pixels than `most`. Null: none. */
  part(most) {
    if (!this.#page || !this.#main.world.getItemCount()) return null;
    const { width, height } = this.#page.info;
    const view = this.#main.viewport.getBounds(true);
    const clamp = (value, limit) => Math.min(Math.max(value * width, 0), limit);
    const [left, top] = [clamp(view.x, width), clamp(view.y, height)];
    const [w, h] = [clamp(view.x + view.width, width) - left, clamp(view.y + view.height, height) - top];
    const scale = Math.min(1, Math.sqrt(most / (w * h)));
    const size = [Math.floor(w * scale), Math.floor(h * scale)];
    if (size[0] < 16 || size[1] < 16) return null;
    return [Math.floor(left + (w - size[0]) / 2), Math.floor(top + (h - size[1]) / 2), ...size];
  }

  /** A page that filled the viewer fills it again. OpenSeadragon tells after the next frame. */
  #resized() {
    if (this.#fitted) this.#main.viewport.goHome(true);
    this.#apply();
    this.#lead();
    this.#moved(this.#main, this.#beside);
  }

  /** From now on the second viewer follows the first, and not the other way. */
  #lead(fitted = this.#fitted) {
    this.#leader = this.#main;
    this.#fitted = fitted;
    return this.#main.viewport;
  }

  zoomBy(factor) {
    this.#lead(false).zoomBy(factor).applyConstraints();
  }

  fit() {
    this.#lead(true).goHome(still.matches);
  }

  /** One page pixel on one pixel of the screen. */
  real() {
    const item = this.#main.world.getItemAt(0);
    if (item) this.#lead(false).zoomTo(item.imageToViewportZoom(1 / devicePixelRatio));
  }

  pan(dx, dy) {
    const step = this.#main.viewport.deltaPointsFromPixels(new Point(dx * PAN_STEP, dy * PAN_STEP));
    this.#lead(false).panBy(step).applyConstraints();
  }

  get #split() {
    return this.#mode === "curtain" && !this.#held;
  }

  #apply() {
    const { under, original, beside } = this.#items;
    under?.setOpacity(1);
    original?.setOpacity(this.#held || this.#split ? 1 : 0);
    beside?.setOpacity(this.#mode === "side" ? 1 : 0);
    for (const map of MAPS) this.#items[map]?.setOpacity(this.#held ? 0 : (this.#opacities[map] ?? 0));
    this.#frame.hidden = this.#held;
    this.#clip();
    this.#element.dataset.held = this.#held;
  }

  /** Left of the curtain is the original alone, right of it all the rest. */
  #clip() {
    if (!this.#page || !this.#items.original) return;
    const split = this.#split;
    const { width, height } = this.#page.info;
    const { x } = this.#main.viewport.pointFromPixel(new Point(this.curtain.share * this.#main.container.clientWidth, 0), true);
    const at = Math.min(Math.max(x * width, 0), width);
    this.#items.original.setClip(split ? new Rect(0, 0, at, height) : null);
    if (split) this.#items.original.setOpacity(at > 0 ? 1 : 0);
    for (const map of MAPS) this.#items[map]?.setClip(split ? new Rect(at, 0, width - at, height) : null);
  }

  #moved(from, to) {
    if (this.#mode === "side" && from === this.#leader && to.world.getItemCount()) {
      to.viewport.zoomTo(from.viewport.getZoom(true), null, true);
      to.viewport.panTo(from.viewport.getCenter(true), true);
    }
    if (from === this.#main && this.#split) this.#clip();
    this.dispatchEvent(new Event("zoom"));
  }
}

function* all(of) {
  for (let index = 0; index < of.world.getItemCount(); index += 1) yield of.world.getItemAt(index);
}
