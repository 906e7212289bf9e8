import { scopeFromMetadata } from 'grpc-replay-guard';
import { z } from 'zod';
import { refuse } from './settings.js';

/**
 * The source of a caller's identity: one shared identity, a metadata entry, a TLS certificate, or a JSON Web
 * Token.
 */
export type CallerIdentity =
  | { readonly kind: 'single' }
  | { readonly kind: 'metadata'; readonly name: string }
  | { readonly kind: 'mtls' }
  | TokenIdentity;

/** The rules for JSON Web Tokens that identify callers. */
export interface TokenIdentity {
  readonly kind: 'jwt';
  readonly keys: KeyLocation;
  readonly issuer: string;
  readonly audience: string;
  /** The claim that names the caller. Default: `sub`. */
  readonly claim?: string;
  /** The accepted signature algorithms. Default: RS256, ES256 and EdDSA. */
  readonly algorithms?: readonly string[];
  /** The path of the file with the token that this server sends to a remote inventory. */
  readonly ownTokenPath?: string;
}

/** The location of the public keys of a token issuer: a file or a URL. */
export type KeyLocation = { readonly path: string } | { readonly url: string };

type IdentityChoice = Exclude<CallerIdentity, TokenIdentity> | Pick<TokenIdentity, 'kind'>;

/** `single`, `metadata:NAME`, `mtls` or `jwt`. The details of `jwt` are separate settings. */
export const callerIdentity = z.string().transform((text, context): IdentityChoice => {
  if (text === 'single' || text === 'mtls' || text === 'jwt') return { kind: text };
  const name = /^metadata:([a-z0-9_.-]+)$/i.exec(text)?.[1]?.toLowerCase();
  if (!name) return refuse(context, 'must be single, metadata:NAME, mtls or jwt');
  const reason = whyUnusable(name);
  if (reason) return refuse(context, `${reason}; use the name of a text entry that your proxy sets`);
  return { kind: 'metadata', name };
});

function whyUnusable(name: string): string | undefined {
  if (name.endsWith('-bin')) return `metadata ${name} is reserved for binary values`;
  try {
    scopeFromMetadata(name);
  } catch (error) {
    return (error as Error).message;
  }
  return undefined;
}
