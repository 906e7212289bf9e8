/**
 * Returns the normal form of a certificate's subject alternative names. Two lists have the same normal form if, and
 * only if, they are the same set of names. Names are compared as their standards say. DNS names, and the domains of
 * e-mail addresses, are compared without letter case and final dot (RFC 4343). URIs are compared without the letter
 * case of scheme and host, and with normal percent-encoding (RFC 3986, section 6.2.2). Other names, and URIs with a
 * malformed percent-encoding, are compared exactly. The normal form is the sorted list in Node's notation, so a list
 * that is already in normal form does not change.
 * @param printed the names as Node prints them, such as `DNS:orders.example, URI:spiffe://example/orders`
 * @returns undefined if Node has not printed a name in full, so that different names could be equal
 */
export function normalNames(printed: string): string | undefined {
  const names = new Set<string>();
  // Node prints a comma inside a name as the escape \u002c.
  for (const text of printed.split(', ')) {
    const name = normalName(text);
    if (name === undefined) return undefined;
    names.add(name);
  }
  const normal = [...names].sort().join(', ');
  return normal === UNPRINTABLE ? undefined : normal;
}

/**
 * The text that TLS sockets of Node 22 and newer return for all names of a certificate, if they cannot print one of them. A
 * certificate whose only names are empty DNS names has the same normal form.
 */
const UNPRINTABLE = 'DNS:';

const IP_ADDRESS = /^(\d+(\.\d+){3}|[\dA-F]+(:[\dA-F]+){7})$/;
const OBJECT_ID = /^\d+(\.\d+)+$/;
/** Node 20 cuts longer object identifiers off, so that different identifiers would be equal. */
const MAX_OBJECT_ID_LENGTH = 254;

function normalName(printed: string): string | undefined {
  const colon = printed.indexOf(':');
  const [type, text] = [printed.slice(0, colon), printed.slice(colon + 1)];
  switch (type) {
    case 'DNS':
      return withValue(type, text, domain);
    case 'email':
      return withValue(type, text, emailAddress);
    case 'URI':
      return withValue(type, text, uri);
    case 'DirName':
      return printed;
    case 'IP Address':
      return IP_ADDRESS.test(text) ? printed : undefined;
    case 'Registered ID':
      return OBJECT_ID.test(text) && text.length <= MAX_OBJECT_ID_LENGTH ? printed : undefined;
    case 'othername':
      return text === '<unsupported>' ? undefined : printed;
    default:
      return undefined;
  }
}

function withValue(type: string, text: string, normal: (value: string) => string): string | undefined {
  const value = valueOfText(text);
  return value === undefined ? undefined : `${type}:${textOfValue(normal(value))}`;
}

/** Reads a value in Node's notation: plain, or as a JSON string if it has special characters. */
function valueOfText(text: string): string | undefined {
  if (!text.startsWith('"')) return text;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Writes a value in Node's notation. Characters outside of printable ASCII, and commas, become escapes. */
function textOfValue(value: string): string {
  if (/^[ !#-&(-+\-./0-[\]-~]*$/.test(value)) return value;
  const escaped = value
    .replace(/["\\]/g, '\\$&')
    .replace(/[^ -+\--~]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `"${escaped}"`;
}

/** Names of certificates have case in ASCII letters only. */
function lowerCase(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** A name with an empty last label is not a domain, so its dots are kept. */
function domain(name: string): string {
  return lowerCase(/[^.]\.$/.test(name) ? name.slice(0, -1) : name);
}

function emailAddress(address: string): string {
  const at = address.lastIndexOf('@') + 1;
  return at === 0 ? address : address.slice(0, at) + domain(address.slice(at));
}

function uri(text: string): string {
  // Decoding around a stray percent sign could make a new encoding, and the name would equal another one.
  if (/%(?![\dA-F]{2})/i.test(text)) return text;
  const parts = /^([a-z][a-z\d+.-]*:)(\/\/(?:[^/?#]*@)?)?([^/?#]*)(.*)$/is.exec(percentEncoded(text));
  if (!parts) return text;
  const [, scheme = '', authority, host = '', rest = ''] = parts;
  // Without an authority, the part after the scheme is a path.
  if (authority === undefined) return lowerCase(scheme) + host + rest;
  return lowerCase(scheme) + authority + percentEncoded(lowerCase(host)) + rest;
}

/** Decodes the percent-encodings of unreserved characters, and writes the others with capital digits. */
function percentEncoded(text: string): string {
  return text.replace(/%[\dA-F]{2}/gi, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return /[\w.~-]/.test(character) ? character : encoded.toUpperCase();
  });
}
