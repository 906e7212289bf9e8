import test from 'ava';
import { readConfig } from '#src/config/config.js';
import { welcome } from '#src/ops/welcome.js';

const at = (host: string, port: number) => ({ host, port });
const shown = (env: Record<string, string>, host = '127.0.0.1') =>
  welcome(readConfig(env), at(host, 50051), at('127.0.0.1', 9464));

test('the text shows the addresses of the listeners with the bound ports', (t) => {
  const text = shown({ GRPC_ADDRESS: '127.0.0.1:0' });
  t.regex(text, /gRPC +127\.0\.0\.1:50051, services: order, inventory\n/);
  t.regex(text, /http:\/\/127\.0\.0\.1:9464\/readyz/);
});

test('the command has the options for TLS and for the identity', (t) => {
  const tls = { TLS_CERT: 'c.pem', TLS_KEY: 'k.pem' };
  t.regex(shown(tls), /--cacert c\.pem \\\n.*https:\/\/127\.0\.0\.1:50051/s);
  const mutual = shown({ ...tls, TLS_CLIENT_CA: 'ca.pem', CALLER_IDENTITY: 'mtls' });
  t.regex(mutual, /--cacert ca\.pem --cert c\.pem --key k\.pem/);
  const named = shown({ CALLER_IDENTITY: 'metadata:x-user', GRPC_ADDRESS: '[::]:0' }, '::');
  t.regex(named, /-H 'x-user: ada' \\\n.*http:\/\/localhost:50051/s);
});

test('the command sends a token if the identity is jwt', (t) => {
  const rules = { JWT_JWKS: 'jwks.json', JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'shop' };
  const text = shown({ CALLER_IDENTITY: 'jwt', ...rules });
  t.regex(text, / {2}-H "authorization: Bearer \$TOKEN" \\\n/);
});

test('the command calls a hosted service', (t) => {
  const text = shown({ SERVICES: 'order', INVENTORY_ADDRESS: 'inventory:1' });
  t.regex(text, /OrderService\/ListOrders/);
  t.notRegex(text, /PutItem/);
});
