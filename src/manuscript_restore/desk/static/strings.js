/** The words of the page in the reader's language: `strings/LANGUAGE.json`. What a file lacks is said in English. */

const words = { own: {}, english: {} };
let language = "en";
let plural = new Intl.PluralRules("en");
let numbers = new Intl.NumberFormat("en");

const read = async (code) => (await fetch(`/static/strings/${code}.json`)).json();

/** The best of `offered` for this reader: chosen before, or the browser's. */
export function choose(offered) {
  const wanted = [localStorage.getItem("language"), ...navigator.languages].filter(Boolean);
  return wanted.map((code) => code.toLowerCase().split("-")[0]).find((code) => offered.includes(code)) ?? "en";
}

export async function speak(code) {
  words.english = await read("en");
  words.own = code === "en" ? words.english : await read(code);
  language = code;
  plural = new Intl.PluralRules(code);
  numbers = new Intl.NumberFormat(code, { maximumFractionDigits: 1 });
  document.documentElement.lang = code;
}

/** The text of `key`, with {name} replaced by `values`; a count `n` chooses between `key.one`, `key.other` … */
export function t(key, values = {}) {
  const keys = "n" in values ? [`${key}.${plural.select(values.n)}`, `${key}.other`, key] : [key];
  const found = [words.own, words.english].flatMap((table) => keys.map((name) => table[name]));
  const text = found.find((entry) => entry !== undefined) ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number(values[name]) : values[name]));
}

export const number = (value) => numbers.format(value);
export const percent = (share) => `${number(Math.round(share * 100))} %`;

/** The name of a language in itself, or in the reader's. */
export const languageName = (code, of = code) => new Intl.DisplayNames([of], { type: "language" }).of(code);
export const current = () => language;

/** Put the words where the HTML asks for them: data-t (text), data-t-label (aria-label), data-t-title (title). */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) element.ariaLabel = t(element.dataset.tLabel);
  for (const element of root.querySelectorAll("[data-t-title]")) element.title = t(element.dataset.tTitle);
}
