import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { Gauge, type Registry } from 'prom-client';
import type { Address } from '../config/address.js';
import { ConfigError } from '../config/config.js';
import type { Readiness } from './readiness.js';
import { PAGE_HEADERS, targetOf, WebPages } from './web-pages.js';

/** The response to a POST: a status and one line for people. */
export interface Answer {
  readonly status: number;
  readonly line: string;
}

/** Handles the POST requests to a path. It reads the body and must limit its size. */
export type PostHandler = (request: IncomingMessage) => Promise<Answer>;

/** The address of the operators' listener, and further host names under which it answers. */
export interface OpsAddress extends Address {
  /** Names besides `localhost` and the host of the address. Default: none. */
  readonly names?: readonly string[];
}

/**
 * The HTTP listener for operators: `/metrics`, `/livez`, `/readyz`, further pages and actions, and at `/` their list. Requests of web pages
 * are refused, and requests for a host name that is not a name of the listener.
 */
export interface Ops {
  /** The bound port. */
  readonly port: number;
  /** Adds a JSON page for GET and HEAD. `content` is called at each request. */
  show(path: string, content: () => unknown): void;
  /**
   * Adds a path that accepts POST only. The handler must verify its sender: the checks against web pages do not apply,
   * because a proxy may pass the request on under any name.
   */
  receive(path: string, handler: PostHandler): void;
  /**
   * Adds an action for POST. The response is the result as JSON; an undefined result is a bad request.
   * @param action receives the parameters of the query
   */
  act(path: string, action: (parameters: Readonly<Record<string, string>>) => Promise<unknown>): void;
  /** Closes the listener and every connection. */
  close(): Promise<void>;
}

/** The limits of the operators' listener. */
export interface OpsLimits {
  /** How long a request may take to arrive, from the connection or the previous response, in milliseconds. */
  readonly requestMs: number;
  /** How long a connection may be idle after a response, in milliseconds. */
  readonly idleMs: number;
  /** How long a response may make no progress before its connection is closed, in milliseconds. */
  readonly stalledMs: number;
  /** The interval between two searches for late requests, in milliseconds. A request may take this much longer. */
  readonly checkMs: number;
  /** The maximum number of connections. Further connections are closed at once. */
  readonly maxConnections: number;
}

const LIMITS: OpsLimits = {
  requestMs: 10_000,
  idleMs: 5_000,
  stalledMs: 60_000,
  checkMs: 1_000,
  maxConnections: 2_000,
};

/**
 * Starts the operators' listener.
 * @throws ConfigError naming OPS_ADDRESS when the address cannot be bound
 */
export async function listenOps(
  address: OpsAddress,
  readiness: Readiness,
  registry: Registry,
  limits = LIMITS,
): Promise<Ops> {
  new Gauge({
    ...{ name: 'shop_ready', help: '1 while the server is ready, otherwise 0', registers: [registry] },
    collect() {
      this.set(readiness.isReady ? 1 : 0);
    },
  });
  const routes = new Map<string, Route>(pages(readiness, registry));
  routes.set(
    '/',
    page(async (response) => text(response, 200, contents(routes))),
  );
  const webPages = new WebPages([address.host, ...(address.names ?? [])]);
  const server = createServer(timeoutsOf(limits), (request, response) => {
    const { path, query } = targetOf(request);
    const route = routes.get(path);
    const rejection = route?.verifiesSender ? undefined : webPages.rejection(request);
    if (rejection) return text(response, rejection.status, rejection.line);
    if (!route) return text(response, 404, 'not found');
    answer(route, request, response, query).catch(() => fail(response));
  });
  server.timeout = limits.stalledMs;
  server.maxConnections = limits.maxConnections;
  // By default Node hides each header after the first thousand, such as a second `host`. The size of all is limited.
  server.maxHeadersCount = 0;
  await bind(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    show: (path, content) =>
      void routes.set(
        path,
        page(async (response) => json(response, await content())),
      ),
    receive: (path, handler) => void routes.set(path, receiver(handler)),
    act: (path, action) => void routes.set(path, actionPage(action)),
    close: () => close(server),
  };
}

function timeoutsOf({ requestMs, idleMs, checkMs }: OpsLimits): ServerOptions {
  return {
    headersTimeout: requestMs,
    requestTimeout: requestMs,
    keepAliveTimeout: idleMs,
    connectionsCheckingInterval: checkMs,
  };
}

/** A path of the listener: the methods that it allows, and its response to them. */
interface Route {
  readonly methods: readonly string[];
  /** Whether the path verifies the sender of a request itself. */
  readonly verifiesSender?: true;
  respond(request: IncomingMessage, response: ServerResponse, query: string): Promise<void>;
}

async function answer(
  { methods, respond }: Route,
  request: IncomingMessage,
  response: ServerResponse,
  query: string,
): Promise<void> {
  if (methods.includes(request.method ?? '')) return respond(request, response, query);
  response.setHeader('allow', methods.join(', '));
  text(response, 405, `allowed here: ${methods.join(', ')}`);
}

/** A path that accepts GET. The response to HEAD has the same status and headers. Node omits its body. */
function page(content: (response: ServerResponse) => Promise<void>): Route {
  return { methods: ['GET', 'HEAD'], respond: (_request, response) => content(response) };
}

function pages(readiness: Readiness, registry: Registry): [string, Route][] {
  // A connection can send a thousand requests at once, and one rendering takes about a millisecond.
  let rendering: Promise<string> | undefined;
  const metrics = () => {
    rendering ??= registry.metrics().finally(() => {
      rendering = undefined;
    });
    return rendering;
  };
  return [
    ['/livez', page(async (response) => text(response, 200, 'alive'))],
    ['/readyz', page(async (response) => ready(response, await readiness.obstacle()))],
    ['/metrics', page(async (response) => send(response, 200, registry.contentType, await metrics()))],
  ];
}

/** Returns the paths of the listener, with the methods that each allows. */
function contents(routes: ReadonlyMap<string, Route>): string {
  const lines = [...routes].map(([path, { methods }]) => `${path}  ${methods.join(', ')}`);
  return lines.sort().join('\n');
}

function ready(response: ServerResponse, obstacle: string | undefined): void {
  text(response, obstacle ? 503 : 200, obstacle ?? 'ready');
}

function receiver(handler: PostHandler): Route {
  return {
    methods: ['POST'],
    verifiesSender: true,
    async respond(request, response) {
      const { status, line } = await handler(request);
      // Otherwise the unread part of the body would be parsed as the next request.
      if (!request.complete) response.setHeader('connection', 'close');
      text(response, status, line);
    },
  };
}

function actionPage(action: Parameters<Ops['act']>[1]): Route {
  return {
    methods: ['POST'],
    async respond(_request, response, query) {
      const done = await action(Object.fromEntries(new URLSearchParams(query)));
      if (done === undefined) text(response, 400, 'a parameter is missing');
      else json(response, done);
    },
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
  const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body) };
  response.writeHead(status, { ...headers, ...PAGE_HEADERS }).end(body);
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
