/** Which key does what. `on` holds the commands by name. */

import { digit, letter, shifted, sign } from "./keys.js";

const PANS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const MAPS = ["change", "damage", "confidence", "ink"];

const onPicture = ({ target }) => target === document.body || document.getElementById("picture").contains(target);
const onControl = ({ target }) => target.matches("button, a, input, [role=slider]");
const repeats = { repeats: true };

const inGroup = (group, ...bindings) =>
  bindings.map(([keys, name, match, run, more]) => ({ group, keys, name, match, run, ...more }));

export const bindings = (on) => [
  ...inGroup("pages",
    [["J"], "page.next", letter("j"), () => on.step(1), repeats],
    [["K"], "page.previous", letter("k"), () => on.step(-1), repeats],
    [["N"], "undecided.next", letter("n"), () => on.seek(1)],
    [["⇧ N"], "undecided.previous", shifted("n"), () => on.seek(-1)],
    [["G"], "list.go", letter("g"), () => on.focusList()],
    [["F"], "filter", letter("f"), () => on.focus("filter")],
    [["O"], "add", letter("o"), () => on.click("add")]),
  ...inGroup("review",
    [["A"], "accept", letter("a"), () => on.click("accept")],
    [["X"], "reject", letter("x"), () => on.click("reject")],
    [["M"], "note", letter("m"), () => on.focus("note")]),
  ...inGroup("looking",
    [["1"], "mode.restored", digit(1), () => on.setMode("restored")],
    [["2"], "mode.curtain", digit(2), () => on.setMode("curtain")],
    [["3"], "mode.side", digit(3), () => on.setMode("side")],
    [["B", " "], "hold", (event) => letter("b")(event) || (event.key === " " && !onControl(event)), () => on.hold(true),
      { release: () => on.hold(false) }],
    [[",", "."], "curtain", sign(",", "."), ({ key }) => on.moveCurtain(key === "," ? -1 : 1), repeats],
    [["+", "−"], "zoom", sign("+", "=", "-"), ({ key }) => on.click(key === "-" ? "zoom-out" : "zoom-in"), repeats],
    [["0"], "zoom.fit", digit(0), () => on.click("zoom-fit")],
    [["Z"], "zoom.real", letter("z"), () => on.click("zoom-real")],
    [["← ↑ → ↓"], "pan", (event) => event.key in PANS && onPicture(event), ({ key }) => on.pan(...PANS[key]), repeats]),
  ...inGroup("layers",
    ...MAPS.map((name, place) => [[`${place + 4}`], `layer.${name}`, digit(place + 4), () => on.toggleLayer(place)])),
  ...inGroup("settings",
    [["S"], "strength", letter("s"), () => on.focus("strength")],
    [["P"], "preview", letter("p"), () => on.click("preview")],
    [["L"], "like.key", letter("l"), () => on.toggleLike()],
    [["R"], "restore", letter("r"), () => on.click("restore")]),
  ...inGroup("all",
    [["E"], "export.open", letter("e"), () => on.click("export-open")],
    [["?"], "help", sign("?"), () => on.click("help-open")]),
];
