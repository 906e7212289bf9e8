import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { ConfigError } from '../config/config.js';
import type { Address } from '../config/settings.js';
import type { Readiness } from './readiness.js';

/** What a request that was posted is answered: a status, and one line for people. */
export interface Answer {
  readonly status: number;
  readonly line: string;
}

/** Answers what is posted to a path. It reads the body itself, and bounds what it reads. */
export type Inbox = (request: IncomingMessage) => Promise<Answer>;

/** The HTTP listener for operators: `/metrics`, `/livez`, `/readyz`, and what is added to them. */
export interface Ops {
  readonly port: number;
  /** Adds a page of JSON, made anew at each request. */
  show(path: string, content: () => unknown): void;
  /** Adds a path that takes POST, and nothing else. */
  receive(path: string, inbox: Inbox): void;
  /**
   * Adds something that a POST does. What it resolves to is answered as JSON; undefined is a bad request. Who can
   * reach this listener may do it, except by a web page: browsers say where a POST comes from.
   * @param action given the parameters of the query
   */
  act(path: string, action: (given: Readonly<Record<string, string>>) => Promise<unknown>): void;
  /** Closes the listener and every connection. */
  close(): Promise<void>;
}

/**
 * Starts the operators' listener.
 * @throws ConfigError the address cannot be taken
 */
export async function listenOps(address: Address, readiness: Readiness, registry: Registry): Promise<Ops> {
  const pages = createPages(readiness, registry);
  const inboxes = new Map<string, Inbox>();
  const actions = new Map<string, Page>();
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    const inbox = inboxes.get(path);
    const page = { GET: pages, POST: actions }[request.method ?? '']?.get(path) ?? notFound;
    const foreign = request.method === 'POST' && request.headers.origin !== undefined;
    const answered = inbox ? post(inbox, request, response) : (foreign ? forbidden : page)(response, query);
    answered.catch(() => fail(response));
  });
  await bind(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    show: (path, content) => void pages.set(path, async (response) => json(response, await content())),
    receive: (path, inbox) => void inboxes.set(path, inbox),
    act: (path, action) => void actions.set(path, acting(action)),
    close: () => close(server),
  };
}

type Page = (response: ServerResponse, query: string) => Promise<void>;

function createPages(readiness: Readiness, registry: Registry): Map<string, Page> {
  return new Map<string, Page>([
    ['/livez', async (response) => text(response, 200, 'alive')],
    ['/readyz', async (response) => reply(response, await readiness.obstacle())],
    ['/metrics', async (response) => send(response, 200, registry.contentType, await registry.metrics())],
  ]);
}

function reply(response: ServerResponse, obstacle: string | undefined): void {
  text(response, obstacle ? 503 : 200, obstacle ?? 'ready');
}

async function post(inbox: Inbox, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'POST') {
    response.setHeader('allow', 'POST');
    return text(response, 405, 'only POST is allowed here');
  }
  const { status, line } = await inbox(request);
  // What was not read would be taken for the next request.
  if (!request.complete) response.setHeader('connection', 'close');
  text(response, status, line);
}

const notFound: Page = async (response) => text(response, 404, 'not found');
const forbidden: Page = async (response) => text(response, 403, 'not for web pages');

function acting(action: Parameters<Ops['act']>[1]): Page {
  return async (response, query) => {
    const done = await action(Object.fromEntries(new URLSearchParams(query)));
    if (done === undefined) text(response, 400, 'a parameter is missing');
    else json(response, done);
  };
}

/** As a rule the database is down, which is logged and told by /readyz. */
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
