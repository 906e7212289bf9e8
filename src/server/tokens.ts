import { readFileSync } from 'node:fs';
import { type ScopeSource, ScopeUnavailableError } from 'grpc-replay-guard';
import { scopeFromJwt } from 'grpc-replay-guard/jwt';
import { ConfigError } from '../config/config.js';
import type { TokenIdentity } from '../config/settings.js';
import type { Log } from '../platform/log.js';

/**
 * Names callers by their tokens, and logs why where it cannot: callers learn only that they may come again.
 * @throws ConfigError the keys of the issuer cannot be used
 */
export function scopeByToken(identity: TokenIdentity, log: Log): ScopeSource {
  const scope = tokenScope(identity);
  return async (call) => {
    try {
      return await scope(call);
    } catch (error) {
      if (error instanceof ScopeUnavailableError) log.warn({ err: error }, 'callers cannot be identified');
      throw error;
    }
  };
}

function tokenScope({ keys, kind: _kind, ownTokenPath: _path, ...rules }: TokenIdentity): ScopeSource {
  const named = 'url' in keys ? 'the URL' : keys.path;
  return usable('JWT_JWKS', named, () =>
    scopeFromJwt({ ...rules, ...('url' in keys ? { jwksUri: keys.url } : { jwks: readJson(keys.path) }) }),
  );
}

function readJson(path: string) {
  const text = readFileSync(path, 'utf8');
  try {
    return JSON.parse(text);
  } catch {
    // What the parser says would repeat a part of the file.
    throw new Error('it is not JSON');
  }
}

/**
 * The token that this server shows where it calls for itself, read anew for every call: whoever writes the
 * file replaces it before it expires.
 * @throws ConfigError there is no token in the file at the start
 */
export function ownToken(path: string): () => string {
  const read = () => {
    const token = readFileSync(path, 'utf8').trim();
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) throw new Error('it holds no JSON Web Token');
    return token;
  };
  usable('JWT_SELF_TOKEN_FILE', path, read);
  return read;
}

function usable<T>(name: string, what: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw new ConfigError(name, `${what} cannot be used: ${(error as Error).message}`);
  }
}
