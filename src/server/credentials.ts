import { X509Certificate } from 'node:crypto';
import type { SecureServerOptions } from 'node:http2';
import { isIP } from 'node:net';
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type PeerCertificate,
  rootCertificates,
  type SecureContextOptions,
} from 'node:tls';
import { ChannelCredentials, experimental, ServerCredentials } from '@grpc/grpc-js';
import type { TlsContents, TlsFiles } from './tls-files.js';

const HANDSHAKE_TIMEOUT_MS = 20_000;

/**
 * Makes the credentials of the public listener. New connections follow renewals of the files.
 * @param handshakeTimeout how long a TLS handshake may take, in milliseconds. Default: 20,000
 */
export function serverCredentials(
  tls: TlsFiles | undefined,
  handshakeTimeout = HANDSHAKE_TIMEOUT_MS,
): ServerCredentials {
  return tls ? new RenewedServerCredentials(tls, { handshakeTimeout }) : ServerCredentials.createInsecure();
}

/**
 * Makes the credentials of the internal listener. Its clients authenticate by the secret of this process. Their
 * certificate, which is this server's own, need not be valid for clients or come from TLS_CLIENT_CA.
 */
export function internalServerCredentials(tls: TlsFiles | undefined): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure();
  return new RenewedServerCredentials(tls, {
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    rejectUnauthorized: false,
  });
}

/** Makes the credentials for calls to a remote inventory. New connections follow renewals of the files. */
export function clientCredentials(tls: TlsFiles | undefined): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure();
  return new RenewedChannelCredentials(tls, ({ ca, clientCa, cert, key }) => {
    const roots = ca ?? clientCa ?? Buffer.from([...rootCertificates, cert].join('\n'));
    return { secureContext: createSecureContext({ ca: roots, cert, key, ...chosenCiphers() }) };
  });
}

/**
 * Makes the credentials for calls to the internal listener. They accept this server's own certificate only, for any
 * host name and from any authority.
 */
export function internalCredentials(tls: TlsFiles | undefined): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure();
  return new RenewedChannelCredentials(tls, ({ cert, key }) => {
    const own = new X509Certificate(cert).fingerprint256;
    return {
      secureContext: createSecureContext({ ca: cert, cert, key, allowPartialTrustChain: true }),
      checkServerIdentity: (_host: string, peer: PeerCertificate) =>
        peer.fingerprint256 === own
          ? undefined
          : new Error('the certificate is not the certificate of this server'),
    };
  });
}

/** Credentials of a listener. New connections use the current files. Established connections are not affected. */
class RenewedServerCredentials extends ServerCredentials {
  constructor(tls: TlsFiles, options: Pick<SecureServerOptions, 'handshakeTimeout' | 'rejectUnauthorized'>) {
    super({ ...options, requestCert: tls.contents.clientCa !== undefined }, contextOf(tls.contents));
    tls.onRenewal(() => this.updateSecureContextOptions(contextOf(tls.contents)));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function contextOf({ cert, key, clientCa }: TlsContents): SecureContextOptions {
  return { cert, key, ...(clientCa && { ca: clientCa }), ...chosenCiphers() };
}

/** grpc-js reads the same variable in `createSsl`. */
function chosenCiphers(): Pick<SecureContextOptions, 'ciphers'> {
  const ciphers = process.env.GRPC_SSL_CIPHER_SUITES;
  return ciphers === undefined ? {} : { ciphers };
}

type SecureConnectorArguments = Parameters<ChannelCredentials['_createSecureConnector']>;

/** Credentials of a client. New connections use the current files. Established connections are not affected. */
class RenewedChannelCredentials extends ChannelCredentials {
  #current: ConnectionOptions;

  constructor(tls: TlsFiles, make: (contents: TlsContents) => ConnectionOptions) {
    super();
    this.#current = make(tls.contents);
    tls.onRenewal(() => {
      this.#current = make(tls.contents);
    });
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  // grpc-js keeps a connector for the lifetime of a subchannel, and connects with it many times.
  override _createSecureConnector(...given: SecureConnectorArguments): experimental.SecureConnector {
    const connector = ChannelCredentials.createInsecure()._createSecureConnector(...given);
    const [{ path }] = given;
    const host = experimental.splitHostPort(path)?.host ?? path;
    return {
      ...{
        waitForReady: () => connector.waitForReady(),
        getCallCredentials: () => connector.getCallCredentials(),
      },
      connect: (socket) => connectSecurely({ ...this.#current, socket, host }),
      destroy: () => connector.destroy(),
    };
  }
}

/**
 * Connects as the connectors of grpc-js do. But grpc-js sends the host as the server name even if the host is an IP address.
 * RFC 6066 forbids that, and Node 26 throws.
 */
function connectSecurely(
  options: ConnectionOptions & { readonly host: string },
): Promise<experimental.SecureConnectResult> {
  const servername = isIP(options.host) ? '' : options.host;
  return new Promise((resolve, reject) => {
    const socket = connect({ ...options, servername, ALPNProtocols: ['h2'] }, () =>
      resolve({ socket, secure: true }),
    );
    socket.on('error', reject);
  });
}
