import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Controller, type DynamicModule, Inject, Scope } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type AsyncMicroserviceOptions, GrpcMethod } from '@nestjs/microservices';
import type { ReplayGuard } from 'grpc-replay-guard';
import type { Database } from 'grpc-replay-guard/database';
import {
  type GuardedGrpcOptions,
  guardedGrpc,
  InjectDatabase,
  REPLAY_GUARD,
  REPLAY_GUARD_STORE,
} from 'grpc-replay-guard/nestjs';
import type { OpenStore } from 'grpc-replay-guard/store';
import type { Observable } from 'rxjs';
import type { CallSettings, StreamReply } from '../helpers/calls/call.js';
import { freshFolder } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { type AppendResponse, loadLedger } from '../helpers/servers/ledger.js';
import { connectTo } from '../helpers/servers/server.js';

const protos = fileURLToPath(new URL('../../../', import.meta.url));

/** The ledger service, loaded as the client loads it. */
export const ledger = loadLedger();

/** The gRPC options of NestJS that load the ledger service. */
export const loadsLedger: Pick<GuardedGrpcOptions, 'package' | 'protoPath' | 'loader'> = {
  package: 'test.v1',
  protoPath: 'test/v1/ledger.proto',
  loader: { includeDirs: [join(protos, 'test/protos'), join(protos, 'proto')] },
};

/** What the methods of the service do after their write. */
export interface Script {
  append?(account: string, database: Database): unknown;
  settle?(account: string): Observable<object>;
}

/** The injection token of the script. */
const SCRIPT = Symbol('script');

// NestJS makes one controller for each call, as in an application with scoped providers.
@Controller({ scope: Scope.REQUEST })
class LedgerController {
  @InjectDatabase() private readonly database!: Database;
  @Inject(SCRIPT) private readonly script!: Script;

  @GrpcMethod('LedgerService', 'Append')
  async append({ account = '' }): Promise<AppendResponse> {
    await this.database.query('INSERT INTO effects VALUES ($1)', [account]);
    await this.script.append?.(account, this.database);
    return { entryId: account };
  }

  @GrpcMethod('LedgerService', 'Settle')
  settle({ account = '' }) {
    return this.script.settle?.(account);
  }
}

/** The parts of a test application. */
export interface LedgerSetup {
  /** The module of the guard. */
  readonly guard: DynamicModule;
  readonly script?: Script;
  /** Modules beside the guard. */
  readonly imports?: NonNullable<DynamicModule['imports']>;
  readonly grpc?: Partial<GuardedGrpcOptions>;
}

/** A microservice of NestJS with the ledger service, on a Unix socket. It closes after the test. */
export async function startLedgerApp(t: Cleanup, { guard, script = {}, imports = [], grpc }: LedgerSetup) {
  const url = `unix:${join(await freshFolder(t), 'grpc.sock')}`;
  const root: DynamicModule = {
    module: class App {},
    imports: [guard, ...imports],
    controllers: [LedgerController],
    providers: [{ provide: SCRIPT, useValue: script }],
  };
  const app = await NestFactory.createMicroservice<AsyncMicroserviceOptions>(root, {
    inject: [REPLAY_GUARD],
    useFactory: (replayGuard: ReplayGuard) => guardedGrpc(replayGuard, { ...loadsLedger, url, ...grpc }),
    ...{ logger: false, abortOnError: false },
  });
  t.teardown(() => app.close());
  const { database } = app.get<OpenStore>(REPLAY_GUARD_STORE);
  await database.migrate('effects', ['CREATE TABLE effects (account TEXT)']);
  await app.listen();
  const connection = connectTo(t, url);
  return {
    app,
    append: (account: string, settings?: CallSettings) =>
      connection.call(ledger.Append, { account }, settings),
    settle: (account: string, settings?: CallSettings): Promise<StreamReply> =>
      connection.stream(ledger.Settle.path, ledger.Settle.requestSerialize({ account }), settings),
    effects: async () => (await database.query('SELECT account FROM effects')).map(({ account }) => account),
  };
}
