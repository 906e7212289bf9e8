import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { request as plainRequest } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { text } from 'node:stream/consumers';

/** The answer to a JSON request. */
export interface JsonAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: NodeJS.Dict<string>;
  readonly body: unknown;
}

/** The headers of a request, the certificates of a client, and a signal that ends the request. */
export interface PostSettings extends Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'signal'> {
  readonly headers?: OutgoingHttpHeaders;
}

/** Sends a JSON body by POST in a connection of its own. @throws Error when no whole answer arrives */
export function postJson(
  url: string,
  body: unknown,
  { headers, ...options }: PostSettings = {},
): Promise<JsonAnswer> {
  const send = url.startsWith('https:') ? request : plainRequest;
  return new Promise((resolve, reject) => {
    const all = { ...options, agent: false, method: 'POST' };
    const sent = send(url, { ...all, headers: { 'content-type': 'application/json', ...headers } });
    sent.once('error', reject);
    sent.once('response', (response) => {
      const { statusCode: status = 0, headers, trailers } = response;
      text(response)
        .then((received) => ({ status, headers, trailers, body: JSON.parse(received) }))
        .then(resolve, reject);
    });
    sent.end(JSON.stringify(body));
  });
}
