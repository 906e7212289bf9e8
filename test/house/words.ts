/** Words that the vocabulary excludes, each with the word to use instead. The plural of each is excluded too. */
export const forbiddenWords: Readonly<Record<string, string>> = {
  coordinator: 'lifecycle',
  attendant: 'call',
  flight: 'in-flight call',
  arrival: 'call',
  turn: 'position',
  look: 'look-up',
  claimant: 'claimer',
  answerable: 'reply',
  settle: 'decide, commit or end',
  settled: 'decided, committed or ended',
  settler: 'the part that decides, commits or ends',
  settlement: 'decision or end',
  level: 'savepoint, or a number with its own name',
  declaration: 'definition or policy',
  lane: 'destination worker',
  courier: 'relay',
  pulse: 'heartbeat',
  bell: 'work signal',
  upkeep: 'maintenance',
  mend: 'repair',
  verdict: 'decision',
  'passed on': 'forwarded',
};

/** Phrases that contain such a word and are names of the field, of gRPC, of protobuf, of SQL or of JavaScript. */
export const allowedPhrases: readonly string[] = [
  'in flight',
  'look up',
  'log level',
  'idempotency level',
  'isolation level',
  'all settled',
];

/** The words of an identifier or of a file name, in lower case. */
export function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z\d]+/)
    .filter((word) => word !== '');
}

/** The forbidden words in a name. */
export function forbiddenIn(name: string): string[] {
  const singular = ` ${wordsOf(name)
    .map((word) => (Object.hasOwn(forbiddenWords, word.replace(/s$/, '')) ? word.replace(/s$/, '') : word))
    .join(' ')} `;
  const rest = allowedPhrases.reduce((text, phrase) => text.replaceAll(` ${phrase} `, ' - '), singular);
  return Object.keys(forbiddenWords).filter((word) => rest.includes(` ${word} `));
}
