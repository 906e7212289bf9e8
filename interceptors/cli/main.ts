#!/usr/bin/env node
import { readApplied } from '../database/migrate.js';
import { type Asked, readArguments, UsageError } from './arguments.js';
import { componentsOf } from './components.js';
import { describe, diagnose } from './doctor.js';
import { describeMigrated, migrateAll } from './migrate.js';
import { openDatabase } from './opened.js';
import { grantsOf, plansOf, scriptOf } from './plans.js';

/** The output of a command, and whether the command has found no problem. */
interface Answer {
  readonly text: string;
  readonly json: unknown;
  readonly isOk: boolean;
}

async function run(asked: Asked): Promise<Answer> {
  const components = await componentsOf(asked.engine, asked.parts);
  const { Tables } = await import('../database/postgres/tables.js');
  const tables = new Tables(asked.schema);
  const options = { ...asked, qualify: (text: string) => tables.qualify(text) };
  const opened = asked.url === undefined ? undefined : await openDatabase(asked);
  try {
    if (opened && asked.command === 'migrate') {
      const done = await migrateAll(opened, components);
      return { text: describeMigrated(done), json: { components: done }, isOk: true };
    }
    if (opened && asked.command === 'doctor') {
      const diagnosis = await diagnose(opened, components, asked);
      const isOk = diagnosis.problems.length === 0;
      return { text: describe(diagnosis), json: { ok: isOk, ...diagnosis }, isOk };
    }
    const planned = [];
    for (const component of components) {
      const applied = opened ? await readApplied(opened.engine, component.name) : undefined;
      planned.push({ ...component, applied });
    }
    const plans = plansOf(planned, options);
    const grants = grantsOf(components, options);
    return { text: scriptOf(plans, grants, options), json: { plans, grants }, isOk: true };
  } finally {
    await opened?.close();
  }
}

/** Runs the program. Sets the exit code: 0 for a success, 1 for a problem or a failure, 2 for wrong arguments. */
async function main(): Promise<void> {
  try {
    const asked = readArguments(process.argv.slice(2), process.env);
    const { text, json, isOk } = await run(asked);
    process.stdout.write(`${asked.asJson ? JSON.stringify(json, undefined, 2) : text}\n`);
    process.exitCode = isOk ? 0 : 1;
  } catch (error) {
    process.stderr.write(`${withoutPasswords(error instanceof Error ? error.message : String(error))}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

/** Removes user and password from each address in a message. */
function withoutPasswords(text: string): string {
  return text.replace(/\b(\w+:\/\/)[^\s@/]*@/g, '$1').replace(/\bpassword=\S+/gi, 'password=...');
}

void main();
