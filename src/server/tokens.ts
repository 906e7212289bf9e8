import { readFileSync } from 'node:fs';
import { type ScopeSource, ScopeUnavailableError } from 'grpc-replay-guard';
import { scopeFromJwt } from 'grpc-replay-guard/jwt';
import type { TokenIdentity } from '../config/caller-identity.js';
import { ConfigError } from '../config/config.js';
import type { FailureLog } from '../platform/failure-log.js';
import type { FollowedFiles } from '../platform/followed-files.js';

/**
 * Makes a scope source that identifies callers by their JSON Web Tokens. It logs why the issuer's keys are
 * unavailable, because callers only receive a refusal that they may retry.
 * @throws ConfigError when the keys of the issuer cannot be used
 */
export function scopeFromToken(
  identity: TokenIdentity,
  failures: FailureLog,
  followed: FollowedFiles,
): ScopeSource {
  const scope = tokenScope(identity, followed);
  return async (call) => {
    try {
      return await scope(call);
    } catch (error) {
      const text = 'callers cannot be identified';
      if (error instanceof ScopeUnavailableError)
        failures.failed({ part: 'identity', error, text, level: 'warn' });
      throw error;
    }
  };
}

function tokenScope(
  { keys, kind: _kind, ownTokenPath: _path, ...rules }: TokenIdentity,
  followed: FollowedFiles,
): ScopeSource {
  if ('url' in keys) {
    return namingSetting('JWT_JWKS', 'the URL', () => scopeFromJwt({ ...rules, jwksUri: keys.url }));
  }
  let current = followed.follow({
    files: [{ setting: 'JWT_JWKS', path: keys.path }],
    parse: (content) => scopeFromJwt({ ...rules, jwks: jsonOf(content) }),
    renew: (renewed) => {
      current = renewed;
    },
  });
  return (call) => current(call);
}

function jsonOf(content: Buffer) {
  try {
    return JSON.parse(content.toString());
  } catch {
    // The message of the parser would quote a part of the file.
    throw new Error('the file is not JSON');
  }
}

/**
 * Returns a function that reads the token of this server. It reads the file for each call, because the token is
 * replaced before it expires.
 * @throws ConfigError when the file does not contain a token at the start
 */
export function ownToken(path: string): () => string {
  const read = () => {
    const token = readFileSync(path, 'utf8').trim();
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) {
      throw new Error('the file does not contain a JSON Web Token');
    }
    return token;
  };
  namingSetting('JWT_SELF_TOKEN_FILE', path, read);
  return read;
}

/** Turns an error of `use` into a ConfigError that names the setting. */
function namingSetting<T>(setting: string, source: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw new ConfigError(setting, `${source} cannot be used: ${(error as Error).message}`);
  }
}
