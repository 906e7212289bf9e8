// A part of the contracts, for servers whose role may not change the schema. `npm run roles` runs all of them.
process.env.TEST_ROLE = 'runtime';

await import('./contracts.js');
