/** Where OpenSeadragon's tiles come from: layers of a page, maps made coloured, and the previewed part. */

const { TileSource } = globalThis.OpenSeadragon;

/** The colour of a map at each grey level: [red, green, blue, alpha of level 0…255].
 *
 * Change has ten levels a unit of CIEDE2000, and its full colour at 10 units, as most of it is below.
 * Orange, blue, purple-red and black (after Okabe and Ito): as people without one kind of cones see them (Machado et
 * al. 2009), orange and blue are 50 units of CIEDE2000 apart and more, all others 12 and more.
 */
const PAINTS = {
  change: [213, 94, 0, (level) => 2.55 * level],
  damage: [0, 114, 178, (level) => level],
  confidence: [0, 0, 0, (level) => 255 - level],
  ink: [190, 0, 130, (level) => 255 - level],
};

/** The maps, lowest first. */
export const MAPS = ["confidence", "damage", "change", "ink"];

function coloured(bitmap, [red, green, blue, alpha]) {
  const context = canvas(bitmap);
  const picture = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  const { data } = picture;
  const alphas = Uint8ClampedArray.from({ length: 256 }, (_, level) => alpha(level));
  for (let at = 0; at < data.length; at += 4) {
    data[at + 3] = alphas[data[at]];
    data[at] = red;
    data[at + 1] = green;
    data[at + 2] = blue;
  }
  context.putImageData(picture, 0, 0);
  return context;
}

function canvas(bitmap) {
  const element = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
  const context = element.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context;
}

async function paint(job, colours) {
  const stop = (job.userData.request = new AbortController());
  try {
    const answer = await fetch(job.src, { signal: stop.signal });
    if (!answer.ok) throw new Error(`${answer.status}`);
    job.finish(coloured(await createImageBitmap(await answer.blob()), colours), null, "context2d");
  } catch (error) {
    if (error.name !== "AbortError") job.fail(`${job.src}: ${error.message}`, null);
  }
}

/** A layer of a page; `info` = {width, height, tile, levels} is the same for all layers of a page. */
export function layer(page, name, info) {
  const colours = PAINTS[name];
  const end = colours ? "png" : "jpg";
  const options = {
    width: info.width, height: info.height, tileSize: info.tile, tileOverlap: 0, minLevel: 0, maxLevel: info.levels - 1,
    getTileUrl: (level, x, y) => `/api/pages/${page.id}/${name}/${level}/${x}_${y}.${end}?v=${page.version}`,
    hasTransparency: () => Boolean(colours),
  };
  if (colours) options.downloadTileStart = (job) => paint(job, colours);
  return new TileSource(options);
}

let pieces = 0;

/** A picture that is here already, as one tile. */
export function piece(bitmap) {
  const { width, height } = bitmap;
  const context = canvas(bitmap);
  const name = `piece-${(pieces += 1)}`;
  return new TileSource({
    width, height, tileSize: Math.max(width, height), tileOverlap: 0, minLevel: 0, maxLevel: 0,
    getTileUrl: () => name,
    hasTransparency: () => false,
    downloadTileStart: (job) => job.finish(context, null, "context2d"),
    downloadTileAbort: () => {},
  });
}
