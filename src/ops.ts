import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { ConfigError } from './config.js';
import type { Readiness } from './readiness.js';
import type { Address } from './settings.js';

/** The HTTP listener for operators: `/metrics`, `/livez`, `/readyz`, and what is added to them. */
export interface Ops {
  readonly port: number;
  /** Adds a page of JSON, made anew at each request. */
  show(path: string, content: () => unknown): void;
  /** Closes the listener and every connection. */
  close(): Promise<void>;
}

/**
 * Starts the operators' listener.
 * @throws ConfigError the address cannot be taken
 */
export async function listenOps(address: Address, readiness: Readiness, registry: Registry): Promise<Ops> {
  const pages = createPages(readiness, registry);
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    const page = request.method === 'GET' ? pages.get((request.url ?? '').split('?', 1).join()) : undefined;
    (page ?? notFound)(response).catch(() => response.destroy());
  });
  await bind(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    show: (path, content) => void pages.set(path, async (response) => json(response, content())),
    close: () => close(server),
  };
}

type Page = (response: ServerResponse) => Promise<void>;

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

const notFound: Page = async (response) => text(response, 404, 'not found');

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
