import type { ScopeSource } from 'grpc-replay-guard';
import { type JwtScopeOptions, jwtAlgorithms, scopeFromJwt } from 'grpc-replay-guard/jwt';
import { expectType } from './expect-type.js';

const rules = { issuer: 'https://issuer.example', audience: 'shop' };

// Keys are given, or fetched from an address.
expectType<ScopeSource>()(scopeFromJwt({ ...rules, jwks: { keys: [] } }));
expectType<ScopeSource>()(
  scopeFromJwt({ ...rules, jwksUri: 'https://issuer.example/keys', timeoutMs: 1_000 }),
);
scopeFromJwt({ ...rules, jwksUri: new URL('https://issuer.example/keys') });
// @ts-expect-error the keys are missing
scopeFromJwt(rules);
// @ts-expect-error the audience is missing
scopeFromJwt({ issuer: 'https://issuer.example', jwks: { keys: [] } });
// @ts-expect-error an unknown option
scopeFromJwt({ ...rules, jwks: { keys: [] }, claims: 'sub' });
// @ts-expect-error a secret is not a set of public keys
scopeFromJwt({ ...rules, jwks: 'secret' });

expectType<readonly string[]>()(jwtAlgorithms);
// @ts-expect-error the list is readonly
jwtAlgorithms.push('HS256');
const options: JwtScopeOptions = { ...rules, jwks: { keys: [] } };
// @ts-expect-error options are readonly
options.issuer = 'other';
