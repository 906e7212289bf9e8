// A server that opens the database and migrates a component. It waits for the end of its input, so that several
// servers start at the same moment. Arguments: DATABASE_URL, component, steps as JSON.
import { text } from 'node:stream/consumers';
import { openUrl } from './open-url.js';

const [url = '', component = '', steps = '[]'] = process.argv.slice(2);
process.stdout.write('ready\n');
await text(process.stdin);
const opened = await openUrl(url, { lockTimeoutMs: 20_000 });
await opened.database.migrate(component, JSON.parse(steps));
await opened.close();
process.stdout.write('migrated\n');
