import { isIP } from 'node:net';

/**
 * Whether a host can be reached from this machine only.
 * @param host a name or an address; IPv6 with or without the brackets that a URL has
 */
export function isLoopback(host: string): boolean {
  return (
    host === 'localhost' ||
    host === '::1' ||
    host === '[::1]' ||
    (isIP(host) === 4 && host.startsWith('127.'))
  );
}
