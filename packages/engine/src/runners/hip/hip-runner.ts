import type { GptOssConfig } from '@switchyard/models';
import { checkCut, checkStep, emptyLogits, emptyRoutings } from '../check-step.ts';
import { kvBlockBytes, kvBytesOf, kvBytesPerToken } from '../kv-bytes.ts';
import type { KvSequences } from '../kv-sequences.ts';
import type { LogitsOutput, LogitsRunner, LogitsStep, StartedPart, StartedStep } from '../logits-runner.ts';
import { type LayerRouting, MOST_STEPS_UNDER_WAY, type MemoryPlan } from '../runner.ts';
import { StepsUnderWay } from '../steps-under-way.ts';
import { ChosenTokens } from './chosen-tokens.ts';
import type { PassParts } from './forward-pass.ts';
import { type EnqueuedPass, type PassResources, PassRunner, type StepOutput, type StepRun } from './pass-runner.ts';
import { type Pass, type PassKind, type TileRule, passKindOf, planPasses } from './plan-passes.ts';
import { HEAD_ROWS } from './sizes.ts';
import { MOST_ADJUSTED_TOKENS } from './step-adjustments.ts';
import { MOST_ROWS } from './step-block.ts';
import { MOST_PASSES_UNDER_WAY } from './staging.ts';

/**
 * Tokens of a prompt beside answers in progress, by how they are computed: they take less than twice as long as a step for 64
 * answers of gpt-oss-20b, by what pieces of other sizes took on an H200 (docs/benchmarks/h200-prefill-kernels.txt).
 */
const PART_TOKENS: Readonly<Record<PassKind, number>> = { vectors: 64, roundedTiles: 384, splitTiles: 208 };

/** What a runner works with, beside the parts of its passes. */
export interface HipResources extends PassResources {
  readonly sequences: KvSequences;
  /** Null where there are no passes by matrix tiles. */
  readonly tiles: TileRule | null;
  readonly weightBytes: number;
  /** Gives back all of this and the parts, but not a driver that is the caller's. */
  readonly release: () => Promise<void>;
}

/** GPT-OSS on an AMD or NVIDIA GPU, from token ids to logits. Made by `createHipRunner`. */
export class HipRunner implements LogitsRunner {
  readonly name: string;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly memory: MemoryPlan;
  readonly router: { readonly backend: string; readonly device: string };
  readonly choosesTokens = true;
  readonly mostAdjustedTokens = MOST_ADJUSTED_TOKENS;
  onRouting: LogitsRunner['onRouting'] = null;
  readonly #config: GptOssConfig;
  readonly #resources: HipResources;
  readonly #parts: PassParts;
  readonly #passes: PassRunner;
  readonly #steps = new StepsUnderWay(MOST_STEPS_UNDER_WAY);
  readonly #chosen = new ChosenTokens();
  /** The last step, where the tokens that it chose may lie on the device alone. */
  #unseen: { readonly batch: readonly LogitsStep[]; readonly outputs: Promise<readonly LogitsOutput[]> } | null = null;
  /** What routers chose in a step that was told. */
  #spareRoutings: readonly LayerRouting[] = [];
  /** Until the step before has been handed over: the device gets them in the order in which they came. */
  #turn: Promise<void> = Promise.resolve();

  constructor(parts: PassParts, resources: HipResources) {
    const { config, kv } = parts.context;
    this.name = resources.driver.platform === 'amd' ? 'hip' : 'hip (nvidia)';
    this.vocabularySize = config.vocabularySize;
    this.contextLength = config.contextLength;
    this.memory = {
      weightBytes: resources.weightBytes,
      kvBytesPerToken: kvBytesPerToken(config, kv),
      kvBytes: kvBytesOf(config, kv),
    };
    this.router = { backend: parts.router.backend, device: parts.router.device };
    this.#config = config;
    this.#resources = resources;
    this.#parts = parts;
    this.#passes = new PassRunner(parts, resources);
  }

  /** Passes are not told apart into kernels: experts and router count as computing. */
  get timings(): LogitsRunner['timings'] {
    return this.#steps.timings({ compute: this.#passes.compute, experts: 0, router: 0 });
  }

  piecesTogether(tokens: number): number {
    const { tiles } = this.#resources;
    // Longer pieces are rounded as well.
    const isRounded = tiles !== null && tokens > tiles.mostSplitTokens;
    return isRounded ? Math.max(1, Math.floor(MOST_ROWS / tokens)) : 1;
  }

  partOfPiece(tokens: number): number {
    return PART_TOKENS[passKindOf(tokens, this.#resources.tiles)];
  }

  createSequence(): number {
    this.#steps.assertOpen();
    return this.#resources.sequences.create();
  }

  forkSequence(sequence: number, length: number): number | null {
    this.#steps.assertIdle(sequence, 'forkSequence');
    checkCut(length, this.length(sequence));
    return this.#resources.sequences.fork(sequence, length);
  }

  truncate(sequence: number, length: number): boolean {
    this.#steps.assertIdle(sequence, 'truncate');
    checkCut(length, this.length(sequence));
    return this.#resources.sequences.truncate(sequence, length);
  }

  releaseSequence(sequence: number): void {
    this.#steps.assertIdle(sequence, 'releaseSequence');
    this.#resources.sequences.release(sequence);
  }

  length(sequence: number): number {
    return this.#resources.sequences.length(sequence);
  }

  async forward(batch: readonly LogitsStep[]): Promise<readonly LogitsOutput[]> {
    return (await this.start(batch)).outputs;
  }

  async start(parts: readonly StartedPart[]): Promise<StartedStep> {
    const step = this.#steps.begin(
      parts.map(({ sequence }) => sequence),
      'start',
    );
    const { promise: handedOver, resolve: handOver } = newTurn();
    const turn = this.#turn;
    this.#turn = handedOver;
    try {
      await turn;
      this.#passes.assertAlive();
      const batch = this.#chosen.batchOf(parts);
      checkStep(batch, this);
      const { outputs } = await this.#start(parts, batch, step.before);
      return { outputs: ended(outputs, step.end) };
    } catch (error) {
      step.end();
      throw error;
    } finally {
      handOver();
    }
  }

  async dispose(): Promise<void> {
    if (!this.#steps.close()) return;
    this.#passes.destroy();
    await this.#resources.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #start(
    parts: readonly StartedPart[],
    batch: readonly LogitsStep[],
    before: Promise<unknown>,
  ): Promise<StartedStep> {
    const { sequences } = this.#resources;
    const grown = batch.map(({ sequence, tokens }) => ({ sequence, more: tokens.length }));
    const run: StepRun = {
      batch,
      outputs: emptyLogits(batch, this.vocabularySize).map((logits): StepOutput => ({ logits })),
      routings: this.onRouting === null ? null : this.#roomForRoutings(batch),
    };
    const commit = (): void => {
      for (const { sequence, more } of grown) sequences.commit(sequence, more);
    };
    try {
      sequences.reserve(grown, (from, to) => this.#copyBlock(from, to));
      const planned = planPasses(
        batch,
        (sequence) => sequences.length(sequence),
        (sequence) => sequences.tables(sequence),
        this.#resources.tiles,
      );
      if (bringsTokensAlone(planned)) {
        const enqueued: EnqueuedPass[] = [];
        for (const pass of this.#chosen.read(planned, parts)) {
          enqueued.push(await this.#passes.enqueueWhole(pass, run, this.#chosen.placeOf(pass.kind)));
        }
        this.#chosen.tookPlaces(enqueued, batch);
        const lengths = batch.map(({ sequence }) => sequences.length(sequence));
        commit();
        const outputs = this.#takeAll(enqueued, run).catch((error: unknown) => {
          for (const [entry, length] of lengths.entries()) this.#cutBack(batch[entry]?.sequence, length);
          throw error;
        });
        this.#unseen = { batch, outputs };
        return { outputs };
      }
      await before;
      // Not from where they lie on the device: a pass of this step may write there before another has read them.
      if (this.#unseen !== null) this.#chosen.tookTokens(this.#unseen.batch, await this.#unseen.outputs);
      this.#unseen = null;
      for (const pass of this.#chosen.read(planned, parts)) await this.#passes.run(pass, run);
      this.#chosen.tookTokens(batch, run.outputs);
      commit();
      this.#tellRouting(run);
      return { outputs: Promise.resolve(run.outputs) };
    } catch (error) {
      sequences.giveBack(grown);
      throw error;
    }
  }

  async #takeAll(enqueued: readonly EnqueuedPass[], run: StepRun): Promise<readonly LogitsOutput[]> {
    const outputs = await this.#passes.take(enqueued, run);
    this.#tellRouting(run);
    return outputs;
  }

  #roomForRoutings(batch: readonly LogitsStep[]): readonly LayerRouting[] {
    const spare = this.#spareRoutings;
    this.#spareRoutings = [];
    return emptyRoutings(batch, this.#config.layers, this.#config.expertsPerToken, spare);
  }

  #tellRouting({ batch, routings }: StepRun): void {
    if (routings === null) return;
    for (const routing of routings) this.onRouting?.(routing, batch);
    this.#spareRoutings = routings;
  }

  /** What a lost device was to compute is not there. A window that has moved on meanwhile keeps its sequence as it is. */
  #cutBack(sequence: number | undefined, length: number): void {
    const { sequences } = this.#resources;
    if (sequence !== undefined) sequences.truncate(sequence, Math.min(length, sequences.length(sequence)));
  }

  #copyBlock(from: number, to: number): void {
    const { driver, stream } = this.#resources;
    const { context, cache } = this.#parts;
    const bytes = kvBlockBytes(context.config, context.kv);
    const at = (block: number): bigint => cache + BigInt(block) * BigInt(bytes);
    driver.copyOnDevice(at(to), at(from), bytes, stream);
  }
}

/** Whether passes bring tokens and routing at most, in as much memory as two steps have at once. */
function bringsTokensAlone(passes: readonly Pass[]): boolean {
  return (
    passes.length <= MOST_PASSES_UNDER_WAY &&
    new Set(passes.map(({ kind }) => kind)).size === passes.length &&
    passes.every(({ rows }) => {
      const wanted = rows.filter((row) => row.wanted !== 'nothing');
      return wanted.length <= HEAD_ROWS && wanted.every((row) => row.wanted === 'token');
    })
  );
}

async function ended<Result>(outputs: Promise<Result>, end: () => void): Promise<Result> {
  try {
    return await outputs;
  } finally {
    end();
  }
}

function newTurn(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
