import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import type { Address } from '../config/address.js';
import { ConfigError } from '../config/config.js';
import type { Readiness } from './readiness.js';

/** The response to a POST: a status and one line for people. */
export interface Answer {
  readonly status: number;
  readonly line: string;
}

/** Handles the POST requests to a path. It reads the body and must limit its size. */
export type PostHandler = (request: IncomingMessage) => Promise<Answer>;

/** The HTTP listener for operators: `/metrics`, `/livez`, `/readyz`, and further pages and actions. */
export interface Ops {
  /** The bound port. */
  readonly port: number;
  /** Adds a JSON page. `content` is called at each request. */
  show(path: string, content: () => unknown): void;
  /** Adds a path that accepts POST only. */
  receive(path: string, handler: PostHandler): void;
  /**
   * Adds an action for POST. The response is the result as JSON; an undefined result is a bad request. Requests with
   * an `origin` header are refused, so that web pages cannot use the action.
   * @param action receives the parameters of the query
   */
  act(path: string, action: (parameters: Readonly<Record<string, string>>) => Promise<unknown>): void;
  /** Closes the listener and every connection. */
  close(): Promise<void>;
}

/**
 * Starts the operators' listener.
 * @throws ConfigError naming OPS_ADDRESS when the address cannot be bound
 */
export async function listenOps(address: Address, readiness: Readiness, registry: Registry): Promise<Ops> {
  const pages = createPages(readiness, registry);
  const postHandlers = new Map<string, PostHandler>();
  const actions = new Map<string, Page>();
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    const handler = postHandlers.get(path);
    const page = { GET: pages, POST: actions }[request.method ?? '']?.get(path) ?? notFound;
    const isFromWebPage = request.method === 'POST' && request.headers.origin !== undefined;
    const handled = handler
      ? post(handler, request, response)
      : (isFromWebPage ? forbidden : page)(response, query);
    handled.catch(() => fail(response));
  });
  await bind(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    show: (path, content) => void pages.set(path, async (response) => json(response, await content())),
    receive: (path, handler) => void postHandlers.set(path, handler),
    act: (path, action) => void actions.set(path, actionPage(action)),
    close: () => close(server),
  };
}

type Page = (response: ServerResponse, query: string) => Promise<void>;

function createPages(readiness: Readiness, registry: Registry): Map<string, Page> {
  return new Map<string, Page>([
    ['/livez', async (response) => text(response, 200, 'alive')],
    ['/readyz', async (response) => ready(response, await readiness.obstacle())],
    ['/metrics', async (response) => send(response, 200, registry.contentType, await registry.metrics())],
  ]);
}

function ready(response: ServerResponse, obstacle: string | undefined): void {
  text(response, obstacle ? 503 : 200, obstacle ?? 'ready');
}

async function post(handler: PostHandler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'POST') {
    response.setHeader('allow', 'POST');
    return text(response, 405, 'only POST is allowed here');
  }
  const { status, line } = await handler(request);
  // Otherwise the unread part of the body would be parsed as the next request.
  if (!request.complete) response.setHeader('connection', 'close');
  text(response, status, line);
}

const notFound: Page = async (response) => text(response, 404, 'not found');
const forbidden: Page = async (response) => text(response, 403, 'not for web pages');

function actionPage(action: Parameters<Ops['act']>[1]): Page {
  return async (response, query) => {
    const done = await action(Object.fromEntries(new URLSearchParams(query)));
    if (done === undefined) text(response, 400, 'a parameter is missing');
    else json(response, done);
  };
}

/** Usually the database is down. The log and /readyz report the cause. */
function fail(response: ServerResponse): void {
  if (response.headersSent) response.destroy();
  else text(response, 503, 'cannot be answered for now');
}

function text(response: ServerResponse, status: number, line: string): void {
  send(response, status, 'text/plain; charset=utf-8', `${line}\n`);
}

function json(response: ServerResponse, content: unknown): void {
  send(response, 200, 'application/json', `${JSON.stringify(content, null, 2)}\n`);
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
}

function bind(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new ConfigError('OPS_ADDRESS', error.message)));
    server.listen(port, host, resolve);
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
