import { randomBytes, randomInt } from 'node:crypto';
import { SecretFinder } from './secret-finder.js';

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
/** Letters that HTTP, JSON and percent encoding escape. */
const FOREIGN_LETTERS = 'абвгдежзийклмнопрстуфхцчшщыэюя';
const DIGITS = '123456789';

/** Returns a random text that no other test has. */
export function marker(letters = LETTERS, length = 24): string {
  return Array.from({ length }, () => letters[randomInt(letters.length)]).join('');
}

/** The secrets that operators give the shop in its settings. */
export const operatorSecrets = () => ({
  // These characters are escaped in a URL.
  databasePassword: `${marker()}/@:${marker()}`,
  pepper: marker(),
  previousPepper: marker(),
  nextPepper: marker(),
  cipherKey: randomBytes(32),
  webhookSecret: randomBytes(32),
  warehouseSecret: randomBytes(32),
  webhookPath: marker(),
  jwksQuery: marker(),
});

/** The values that callers send. None of them leaves the product, except to its own caller and to its own columns. */
export const callerValues = () => ({
  key: marker(),
  malformedKey: marker(),
  producer: marker(),
  malformedSequence: marker(),
  malformedFirstSent: marker(),
  identity: marker(),
  commonName: marker(),
  claim: marker(),
  badToken: marker(),
  entry: marker(),
  userAgent: marker(),
  path: marker(),
  authority: marker(),
  healthService: marker(),
  customerId: marker(),
  label: marker(FOREIGN_LETTERS),
  sku: marker(),
  itemName: marker(FOREIGN_LETTERS),
  price: marker(DIGITS, 12),
  reason: marker(),
  invalidField: marker(),
  malformedRequest: marker(),
  messageId: marker(),
  webhookBody: marker(),
  webhookHeader: marker(),
  receiverAnswer: marker(),
  page: marker(),
  pageHeader: marker(),
});

/** The secrets of one run, and the finder that knows them all. */
export interface GuardedValues {
  readonly operator: ReturnType<typeof operatorSecrets>;
  readonly caller: ReturnType<typeof callerValues>;
  readonly finder: SecretFinder;
}

/** The names of the values. */
export type ValueName = keyof GuardedValues['operator'] | keyof GuardedValues['caller'];

/** Makes new random values. */
export function guardedValues(): GuardedValues {
  const [operator, caller, finder] = [operatorSecrets(), callerValues(), new SecretFinder()];
  for (const [name, value] of Object.entries({ ...operator, ...caller })) finder.add(name, value);
  return { operator, caller, finder };
}

/** The values that the tables of the shop hold: they are its business. */
export const BUSINESS: ReadonlySet<string> = new Set([
  'customerId',
  'label',
  'sku',
  'itemName',
  'price',
  'reason',
]);
