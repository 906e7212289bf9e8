import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { normalHostName } from '../config/host-names.js';

/** An answer that refuses a request: a status and one line for people. */
export interface Rejection {
  readonly status: number;
  readonly line: string;
}

/**
 * Headers of every response. A browser must not guess another type, show the response in a frame, or give it to a page
 * of another origin.
 */
export const PAGE_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

const MALFORMED: Rejection = { status: 400, line: 'the request must have one Host' };
const UNKNOWN_NAME: Rejection = {
  status: 421,
  line: 'not a name of this server: use its address or localhost, or add the name to OPS_HOSTS',
};
const WEB_PAGE: Rejection = { status: 403, line: 'not for web pages' };

/**
 * Keeps web pages away from the operators' listener. The browser of an operator reaches the listener, also on a loopback
 * address, and a page in this browser may send requests there.
 *
 * The owner of a page can point the name of the page at the address of the listener (DNS rebinding). The browser then
 * takes the listener for the page's own server. The request still has the name of the page in `host`. A browser that
 * was given an address looks up no name, so an address in `host` is accepted.
 */
export class WebPages {
  readonly #names: ReadonlySet<string>;

  /** @param names the host names of the listener besides `localhost` */
  constructor(names: readonly string[]) {
    this.#names = new Set(['localhost', ...names.map(normalHostName)]);
  }

  /**
   * Returns why a request is refused, or undefined.
   * - 400: the request has several `host` headers.
   * - 421: the request is for a name that is not a name of the listener, in `host` or in an absolute target.
   * - 403: the request was made by a page of another origin. A POST is refused from every page. A link to a page of the
   *   listener works: the browser shows the page, and the linking page cannot read it.
   */
  rejection(request: IncomingMessage): Rejection | undefined {
    const { host = [] } = request.headersDistinct;
    if (host.length > 1) return MALFORMED;
    // A request of HTTP/1.0 has no host. Browsers send later versions only.
    const named = [...host, ...targetOf(request).authority];
    if (!named.every((authority) => this.#isOwn(authority))) return UNKNOWN_NAME;
    return isFromPage(request) ? WEB_PAGE : undefined;
  }

  #isOwn(authority: string): boolean {
    const { address, name } = AUTHORITY.exec(authority)?.groups ?? {};
    if (address !== undefined) return isIP(address) === 6;
    if (name === undefined) return false;
    const host = normalHostName(name);
    return isIP(host) === 4 || this.#names.has(host);
  }
}

/** `HOST` or `HOST:PORT`. The port is not compared: a container or a tunnel may publish the listener under another one. */
const AUTHORITY = /^(?:\[(?<address>[^[\]]+)\]|(?<name>[^:/?#@[\]\s]+))(?::\d{0,5})?$/;

/** The two forms of a request target: a path, or a whole URL as sent to a proxy. */
const ABSOLUTE = /^[a-z][a-z0-9+.-]*:\/\/(?<authority>[^/?#]*)(?<rest>.*)$/is;

/** The target of a request. */
export interface Target {
  readonly path: string;
  readonly query: string;
  /** The host and port of an absolute target. Empty for a path. */
  readonly authority: readonly string[];
}

/** Reads the target of a request. */
export function targetOf({ url = '' }: IncomingMessage): Target {
  const { authority, rest = url } = ABSOLUTE.exec(url)?.groups ?? {};
  const [path = '', query = ''] = rest.split('?', 2);
  return { path, query, authority: authority === undefined ? [] : [authority] };
}

/**
 * Whether a page of another origin made the request, or any page made a POST. Browsers say so in `origin`, and in
 * `sec-fetch-site` to addresses that they trust. Other clients send neither.
 */
function isFromPage({ method, headers }: IncomingMessage): boolean {
  if (headers.origin !== undefined) return true;
  const site = headers['sec-fetch-site'];
  if (site === undefined) return false;
  if (method !== 'GET' && method !== 'HEAD') return true;
  const isShown = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
  return site !== 'none' && site !== 'same-origin' && !isShown;
}
