import { isGuardMetadata } from './headers.js';

/** Names that describe the connection. HTTP/2 forbids these names (RFC 9113, section 8.2.2), and Node drops or refuses them. */
export const connectionNames: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'te', 'http2-settings'],
]);

/**
 * Names of which Node reads one entry only: the first one. Node refuses to send several. The list is
 * `kSingleValueFields` in Node's lib/internal/http2/util.js (`kSingleValueHeaders` before Node 24), without the names
 * that begin with a colon. It is the same in Node 20, 22, 24 and 26.
 */
export const singleValueNames: ReadonlySet<string> = new Set([
  ...['access-control-allow-credentials', 'access-control-max-age', 'access-control-request-method', 'age'],
  ...['authorization', 'content-encoding', 'content-language', 'content-length', 'content-location'],
  ...['content-md5', 'content-range', 'content-type', 'date', 'dnt', 'etag', 'expires', 'from', 'host'],
  ...['if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'last-modified'],
  ...['location', 'max-forwards', 'proxy-authorization', 'range', 'referer', 'retry-after', 'tk'],
  ...['upgrade-insecure-requests', 'user-agent', 'x-content-type-options'],
]);

/** Names whose entries Node or grpc-js joins in another way than with a comma, or removes. */
const otherwiseRead: ReadonlySet<string> = new Set(['cookie', 'set-cookie', 'accept-encoding']);

/** The legal form of a metadata name (gRPC over HTTP/2, Custom-Metadata). */
export const legalName = /^[0-9a-z_.-]+$/;

/** The legal form of a text value of metadata. */
export const legalText = /^[ -~]*$/;

/**
 * Returns why a metadata entry cannot carry an identity that a proxy has verified: a clause for an error message.
 * Returns undefined if the entry can. For such an entry grpc-js shows whether the client sent one, too: two entries
 * arrive as two values, or as one value with a comma.
 * @param name the name of the entry, in lower case
 */
export function whyNotTrusted(name: string): string | undefined {
  if (!legalName.test(name)) return 'is not the name of a metadata entry';
  if (name.startsWith('grpc-')) return 'is reserved for gRPC';
  if (isGuardMetadata(name)) return 'is reserved for the guard';
  if (singleValueNames.has(name))
    return 'can have one entry only in Node, so the entry of a client could hide the entry of the proxy';
  if (connectionNames.has(name) || otherwiseRead.has(name)) return 'has a meaning of its own in HTTP';
  return undefined;
}
