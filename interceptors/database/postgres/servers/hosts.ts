/** The servers that a connection string names. */
export interface Hosts {
  /** The connection string of each server, in the order in which they are tried. */
  readonly urls: readonly string[];
  /** The hosts that the library may connect to: hosts that accept writes, primaries, or all hosts. */
  readonly target: 'read-write' | 'primary' | 'any';
}

const MAX_PORT = 65_535;
const targets = ['read-write', 'primary', 'any'] as const;
const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'];

/** The parts of a connection string: scheme, user and password, hosts, database, parameters. */
const form = /^(postgres(?:ql)?:\/\/)([^/?#]*@)?([^/?#@]*)([^?#]*)(?:\?([^#]*))?$/i;
/** A host and its port. The host is a name, an address, or the percent-encoded folder of a socket. */
const hostAndPort = /^(\[[\da-f:.%]+\]|[^:[\]]*)(?::(.*))?$/i;

/**
 * Reads the hosts of a connection string in the syntax of libpq: `postgres://USER@HOST:PORT,HOST:PORT/DATABASE`, or
 * `host` and `port` as parameters, and `target_session_attrs`. A string of another form has one host and is passed on
 * as it is. The errors do not contain the string, because it may contain a password.
 * @throws TypeError when the scheme, a host, a port or a parameter is wrong or not supported
 */
export function readHosts(connectionString: string): Hosts {
  if (/^(?!postgres(?:ql)?:|socket:)[a-z][a-z\d+.-]*:\/\//i.test(connectionString))
    throw wrong('it must begin with postgres://');
  if (!/^postgres(ql)?:\/\//i.test(connectionString)) return { urls: [connectionString], target: 'any' };
  const [, scheme, user = '', authority = '', path = '', query = ''] = form.exec(connectionString) ?? [];
  if (scheme === undefined) throw wrong('a # in it must be written as %23');
  const parameters = new URLSearchParams(query);
  const host = parameters.get('host');
  const hosts = host === null ? readAuthority(authority) : readParameters(host, parameters.get('port') ?? '');
  const target = readTarget(parameters, hosts.length);
  assertSupported(parameters);
  if (hosts.length === 1 && !parameters.has('target_session_attrs'))
    return { urls: [connectionString], target };
  for (const name of ['target_session_attrs', 'load_balance_hosts', 'host', 'port']) parameters.delete(name);
  const urls = hosts.map(({ name, port }) => {
    const own = new URLSearchParams(parameters);
    const isFolder = name.startsWith('/');
    if (isFolder) own.set('host', name);
    if (isFolder && port) own.set('port', port);
    const at = isFolder ? '' : `${name}${port && `:${port}`}`;
    return `${scheme}${user}${at}${path || '/'}${own.size > 0 ? `?${own}` : ''}`;
  });
  return { urls, target };
}

/** A host of the connection string. The port is empty if the string names none. */
interface Host {
  readonly name: string;
  readonly port: string;
}

function readAuthority(authority: string): Host[] {
  const parts = authority.split(',');
  return parts.map((part) => {
    const [, name = '', port] = hostAndPort.exec(part) ?? [];
    if (name === '' && parts.length > 1) throw wrong('each of several hosts needs a name');
    if (name === '' && part !== '' && port === undefined) throw wrong('a host has a wrong form');
    return { name: /^%2f/i.test(name) ? decodeURIComponent(name) : name, port: readPort(port) };
  });
}

function readParameters(host: string, port: string): Host[] {
  const [names, ports] = [host.split(','), port.split(',')];
  if (names.some((name) => name === '') && names.length > 1)
    throw wrong('each of several hosts needs a name');
  if (ports.length > 1 && ports.length !== names.length) {
    throw wrong('`port` needs one port, or one for each host');
  }
  return names.map((name, index) => ({
    name: name.includes(':') ? `[${name}]` : name,
    port: readPort(ports.length > 1 ? ports[index] : ports[0]),
  }));
}

function readPort(port: string | undefined): string {
  if (port === undefined || port === '') return '';
  if (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= MAX_PORT) return port;
  throw wrong(`a port must be a number from 1 to ${MAX_PORT}`);
}

/** Without the parameter, one of several hosts must accept writes: a standby would refuse every claim. */
function readTarget(parameters: URLSearchParams, hosts: number): Hosts['target'] {
  const given = parameters.get('target_session_attrs');
  if (given === null) return hosts > 1 ? 'read-write' : 'any';
  const target = targets.find((name) => name === given);
  if (target) return target;
  throw wrong('`target_session_attrs` must be read-write, primary or any, because the guard writes');
}

function assertSupported(parameters: URLSearchParams): void {
  if ((parameters.get('load_balance_hosts') ?? 'disable') !== 'disable') {
    throw wrong('`load_balance_hosts` must be disable: the hosts are tried in their order');
  }
  for (const name of ['hostaddr', 'service', 'servicefile']) {
    if (parameters.has(name)) throw wrong(`\`${name}\` is not supported`);
  }
  const sslMode = parameters.get('sslmode');
  if (sslMode !== null && !sslModes.includes(sslMode)) {
    throw wrong(`\`sslmode\` must be one of ${sslModes.join(', ')}`);
  }
}

function wrong(reason: string): TypeError {
  return new TypeError(`the connection string is wrong: ${reason}`);
}
