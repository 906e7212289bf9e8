import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  exportJWK,
  type GenerateKeyPairResult,
  generateKeyPair,
  type JSONWebKeySet,
  type JWK,
  type JWTPayload,
  SignJWT,
} from 'jose';
import type { Cleanup } from '../databases/postgres.js';

/** The issuer of the tokens, unless a test sets another one. */
export const ISSUER = 'https://issuer.example';
/** The audience of the tokens, unless a test sets another one. */
export const AUDIENCE = 'shop';

/** The current time in seconds since 1970, the unit of token claims. */
export const nowSeconds = () => Math.floor(Date.now() / 1000);

/** A key pair that signs tokens. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly keys: GenerateKeyPairResult;
  readonly jwk: JWK;
}

/** Creates a key pair. */
export async function newSigningKey(kid: string, alg = 'ES256'): Promise<SigningKey> {
  const keys = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, keys, jwk: { ...(await exportJWK(keys.publicKey)), kid } };
}

/** The claims of a token that is valid for one hour. */
export function goodClaims(changes: JWTPayload = {}): JWTPayload {
  return { iss: ISSUER, aud: AUDIENCE, sub: 'ada', exp: nowSeconds() + 3600, ...changes };
}

/** Signs claims. An undefined claim is omitted. */
export function sign(
  key: SigningKey,
  claims: JWTPayload,
  header: Record<string, unknown> = {},
): Promise<string> {
  const crit = Object.fromEntries([header.crit ?? []].flat().map((name) => [name, true]));
  return new SignJWT(claims)
    .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
    .sign(key.keys.privateKey, { crit });
}

/** Returns the public key set (JWKS) of the keys. */
export const keySet = (...keys: SigningKey[]): JSONWebKeySet => ({ keys: keys.map(({ jwk }) => jwk) });

/** Returns metadata with a valid token. */
export async function bearer(key: SigningKey, changes: JWTPayload = {}): Promise<{ authorization: string }> {
  return { authorization: `Bearer ${await sign(key, goodClaims(changes))}` };
}

/** An HTTP server for a key set. */
export interface KeyServer {
  readonly url: string;
  /** The number of requests so far. */
  requests: number;
  /** The response: a key set, another body or status, no response, or a closed connection. */
  answer: JSONWebKeySet | { status: number; body: string; location?: string } | 'silence' | 'down';
}

/** Starts a key server. It stops after the test. */
export async function serveKeys(t: Cleanup, answer: KeyServer['answer']): Promise<KeyServer> {
  const server = createServer((request, response) => {
    served.requests++;
    const { answer } = served;
    if (answer === 'silence') return;
    if (answer === 'down') return request.socket.destroy();
    if ('keys' in answer) return response.end(JSON.stringify(answer));
    response.writeHead(answer.status, answer.location ? { location: answer.location } : {}).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const served: KeyServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    requests: 0,
    answer,
  };
  return served;
}
