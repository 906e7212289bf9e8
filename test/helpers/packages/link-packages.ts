import { readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const own = fileURLToPath(new URL('../../../../node_modules', import.meta.url));

/**
 * Links the packages of this repository, and their programs in `.bin`, that a project lacks.
 * @param target the `node_modules` of the project; it exists
 */
export async function linkPackages(target: string): Promise<void> {
  await linkMissing(own, target);
  // npm has made the folder of programs if it has installed a package with a program.
  await linkMissing(join(own, '.bin'), join(target, '.bin'));
}

async function linkMissing(source: string, target: string): Promise<void> {
  const present = new Set(await readdir(target));
  for (const name of await readdir(source))
    if (!present.has(name)) await symlink(join(source, name), join(target, name));
}
