/** What the desk asks of its server, always on this page's own address. */

import { t } from "./strings.js";

/** A sentence for the user: why something was refused or did not come. */
export class DeskError extends Error {}

async function ask(method, path, body, options = {}) {
  const headers = method === "GET" ? {} : { "X-Desk": "1" };
  if (body !== undefined && !(body instanceof Blob)) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new DeskError(t("error.gone"));
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new DeskError(said.error ?? t("error.status", { status: answer.status }));
  }
  return answer;
}

export const get = async (path) => (await ask("GET", path)).json();
export const post = async (path, body = {}, options) => (await ask("POST", path, body, options)).json();
export const upload = async (file) => (await ask("PUT", `/api/upload/${encodeURIComponent(file.name)}`, file)).json();

/** The restored part of a page: an ImageBitmap of `rect` = [x, y, w, h] page pixels. */
export async function preview(page, rect, settings, signal) {
  const answer = await ask("POST", `/api/pages/${page.id}/preview`, { rect, ...settings }, { signal });
  return createImageBitmap(await answer.blob());
}

export const thumbnail = (page) => {
  const layer = page.layers.includes("restored") ? "restored" : "original";
  return `/api/pages/${page.id}/thumb.jpg?layer=${layer}&v=${page.version}`;
};
