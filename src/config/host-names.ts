import { isIP } from 'node:net';
import { z } from 'zod';
import { refuse } from './settings.js';

/** A label of a name in the DNS, or of a service in a network of containers, which may have an underscore. */
const NAME = /^(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*$/;

/** Returns the form in which host names are compared: lower case, without the final dot. */
export function normalHostName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

/** A comma-separated list of host names, without ports. Addresses need no entry. */
export const hostNames = z.string().transform((text, context): readonly string[] => {
  const names = text.split(',').map((name) => normalHostName(name.trim()));
  const wrong = names.find((name) => name.length > 253 || !NAME.test(name) || isIP(name) !== 0);
  return wrong === undefined
    ? names
    : refuse(context, 'must be host names with commas between them, without ports and addresses');
});
