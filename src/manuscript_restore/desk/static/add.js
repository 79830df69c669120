/** Pages that are dropped on the window or chosen: sent one after the other, as they are. */

import { upload } from "./api.js";
import { t } from "./strings.js";

/** The files of a drop, those in dropped folders too. */
async function filesOf(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const dropped = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile()); // all at once: they last as long
  const inside = async (entry) => {
    if (entry instanceof File) return [entry];
    if (entry.isFile) return [await new Promise((found, failed) => entry.file(found, failed))];
    const reader = entry.createReader();
    const files = [];
    for (;;) {
      const some = await new Promise((found, failed) => reader.readEntries(found, failed));
      if (!some.length) return files;
      for (const one of some) files.push(...(await inside(one)));
    }
  };
  const files = [];
  for (const entry of dropped) files.push(...(await inside(entry)));
  return files.filter((file) => !file.name.startsWith("."));
}

/** Send files to the desk. `limit` is in bytes; `say` and `complain` tell the user; `add` takes each new page. */
export async function send(files, { limit, say, complain, add }) {
  let sent = 0;
  for (const file of files) {
    say(t("adding", { at: sent + 1, of: files.length, name: file.name }));
    try {
      if (file.size > limit) throw new Error(t("error.size", { name: file.name, limit: Math.floor(limit / 2 ** 20) }));
      add(await upload(file));
      sent += 1;
    } catch (error) {
      complain(error);
    }
  }
  say(t("added", { n: sent }));
}

/** Call `take(files)` with what is dropped anywhere on the window. */
export function acceptDrops(take) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const show = (shown) => document.body.classList.toggle("dropping", shown);
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && show(false));
  addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show(false);
    take(await filesOf(event.dataTransfer));
  });
}
