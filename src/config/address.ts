import { isIP } from 'node:net';
import { z } from 'zod';
import { refuse } from './settings.js';

/** The address of a listener or of a remote server. For a listener, port 0 means any free port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Returns whether only this machine can connect to the address. */
export function isLoopback({ host }: Address): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Formats an address as `host:port`. An IPv6 host gets brackets. */
export function formatAddress({ host, port }: Address): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

const HOST_PORT = /^(?:\[(?<ipv6>[0-9a-fA-F:.]+)\]|(?<name>[^\s:/[\]]+)):(?<port>\d{1,5})$/;

function parseAddress(text: string): Address | undefined {
  const { ipv6, name, port } = HOST_PORT.exec(text)?.groups ?? {};
  if (port === undefined || Number(port) > 65_535 || (ipv6 && isIP(ipv6) !== 6)) return undefined;
  return { host: (ipv6 ?? name) as string, port: Number(port) };
}

/** `HOST:PORT`. An IPv6 host must have brackets. */
export const address = z.string().transform((text, context): Address => {
  const parsed = parseAddress(text);
  return parsed ?? refuse(context, 'must be HOST:PORT, for example 127.0.0.1:50051 or [::1]:0');
});

/** The `HOST:PORT` of another server. */
export const remoteAddress = address.refine(({ port }) => port > 0, {
  error: 'must have a port from 1 to 65535',
});
