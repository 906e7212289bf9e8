import test from 'ava';
import { type JwtScopeOptions, scopeFromJwt } from 'grpc-replay-guard/jwt';
import { AUDIENCE, ISSUER, keySet, newSigningKey } from '../../helpers/identities/tokens.js';

const [key, other] = await Promise.all([newSigningKey('one'), newSigningKey('two')]);
const jwks = keySet(key, other);
const rules = { issuer: ISSUER, audience: AUDIENCE };

const secretKey = { kty: 'oct', k: Buffer.from('secret').toString('base64url'), kid: 'one' };
/** Invalid options, and the expected error message. */
const wrong: [object, RegExp][] = [
  [{ issuer: undefined }, /issuer must be a non-empty text/],
  [{ issuer: '' }, /issuer must be a non-empty text/],
  [{ issuer: [ISSUER, 'https://mallory.example'] }, /issuer must be a non-empty text/],
  [{ audience: undefined }, /audience must be a non-empty text/],
  [{ audience: '' }, /audience must be a non-empty text/],
  [{ claim: '' }, /claim must be a non-empty text/],
  [{ algorithms: [] }, /algorithms must be one or more of RS256/],
  [{ algorithms: ['ES256', 'HS256'] }, /algorithms must be/],
  [{ algorithms: ['none'] }, /algorithms must be/],
  [{ clockToleranceMs: -1 }, /clockToleranceMs must be from 0 to 300000/],
  [{ clockToleranceMs: Number.NaN }, /clockToleranceMs must be/],
  [{ clockToleranceMs: 300_001 }, /clockToleranceMs must be/],
  [{ jwks: undefined }, /jwks is not a JSON Web Key Set/],
  [{ jwks: {} }, /jwks is not a JSON Web Key Set/],
  [{ jwks: { keys: [] } }, /jwks holds no public key/],
  [{ jwks: { keys: [secretKey] } }, /jwks holds no public key/],
  [{ jwks: { keys: [{ kty: 'RSA', n: '!' }] } }, /key number 1 is not a public key/],
  [
    { jwks: { keys: [key.jwk, { ...other.jwk, d: 'AQAB' }] } },
    /jwks must hold public keys only: key number 2 is a private key/,
  ],
];
for (const [index, [options, message]] of wrong.entries()) {
  test(`scopeFromJwt refuses invalid options, ${index + 1}: ${message.source}`, (t) => {
    const all = { ...rules, jwks, ...options } as JwtScopeOptions;
    const error = t.throws(() => scopeFromJwt(all), { instanceOf: TypeError, message });
    t.false(error.message.includes('AQAB'));
  });
}

const misspelt: Record<string, object> = {
  clockTolerance: { jwks, clockTolerance: 5_000 },
  jwksURI: { jwks, jwksURI: 'https://issuer.example/jwks' },
  cooldown: { jwksUri: 'https://issuer.example/jwks', cooldown: 5 },
  jwksUri: { jwks, jwksUri: 'https://issuer.example/jwks' },
  timeoutMs: { jwks, timeoutMs: 1_000 },
  cacheMs: { jwks, cacheMs: 1_000 },
};
for (const [name, options] of Object.entries(misspelt)) {
  test(`scopeFromJwt refuses the unknown option ${name} by name`, (t) => {
    const message = new RegExp(
      `^scopeFromJwt: unknown option ${name}; its options are issuer, .*(?:jwks|cooldownMs)$`,
    );
    t.throws(() => scopeFromJwt({ ...rules, ...options } as JwtScopeOptions), {
      instanceOf: TypeError,
      message,
    });
  });
}

test('scopeFromJwt accepts every option, for a key set and for an address', (t) => {
  const optional = { claim: 'email', algorithms: ['ES256'], clockToleranceMs: 1 };
  const times = { timeoutMs: 1, cacheMs: 1, cooldownMs: 1 };
  t.notThrows(() => scopeFromJwt({ ...rules, ...optional, jwks }));
  t.notThrows(() =>
    scopeFromJwt({ ...rules, ...optional, jwksUri: 'https://issuer.example/jwks', ...times }),
  );
});
