/** A name that is probably a misspelt name of a setting. */
export interface Misspelt {
  readonly name: string;
  /** The setting with the most similar name. */
  readonly nearest: string;
}

/** The length up to which two names with two different characters are often unrelated. */
const SHORT_NAME = 9;

/**
 * Returns the setting that a name resembles: at most two characters are missing, added, replaced or swapped, or one
 * in a short name. Upper and lower case are equal. Returns undefined if no setting is that similar.
 * @param settings the names of the settings, in upper case
 */
export function nearestSetting(name: string, settings: readonly string[]): string | undefined {
  const upper = name.toUpperCase();
  const distances = settings.map((setting) => ({ setting, distance: distance(upper, setting) }));
  const [nearest] = distances.sort((a, b) => a.distance - b.distance);
  if (!nearest || nearest.distance > (nearest.setting.length > SHORT_NAME ? 2 : 1)) return undefined;
  return nearest.setting;
}

/** The number of insertions, deletions, replacements and swaps of neighbours that make `b` from `a`. */
function distance(a: string, b: string): number {
  let [beforeLast, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(
        at(last, j) + 1,
        at(row, j - 1) + 1,
        at(last, j - 1) + (isSame ? 0 : 1),
        isSwapped ? at(beforeLast, j - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [beforeLast, last] = [last, row];
  }
  return at(last, b.length);
}

const at = (row: readonly number[], index: number) => row[index] as number;
