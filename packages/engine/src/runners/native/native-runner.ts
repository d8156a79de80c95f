// The global of this name is looked up by a function each time, and a router of one row takes few times as long.
import { performance } from 'node:perf_hooks';
import type { GptOssConfig } from '@switchyard/models';
import { CpuRouter } from '@switchyard/router-kernel';
import type { Router } from '@switchyard/router-kernel';
import { checkCut, checkStep, emptyLogits, emptyRoutings } from '../check-step.ts';
import { kvBytesOf, kvBytesPerToken } from '../kv-bytes.ts';
import type { KvSequences } from '../kv-sequences.ts';
import type { LogitsOutput, LogitsRunner, LogitsStep } from '../logits-runner.ts';
import { RotaryTables } from '../rotary-tables.ts';
import type { LayerRouting, MemoryPlan } from '../runner.ts';
import { slotRuns } from '../slot-runs.ts';
import { StepGate } from '../step-gate.ts';
import { NativeMemoryError } from './errors.ts';
import type { NativeLibrary, NativeModel } from './library.ts';
import { PassMemory } from './pass-memory.ts';
import { type PlannedPass, planPasses } from './plan-passes.ts';
import type { WeightAddresses } from './weight-addresses.ts';

/** What a runner works with. */
export interface NativeResources {
  readonly config: GptOssConfig;
  readonly library: NativeLibrary;
  readonly model: NativeModel;
  /** That the library computes with. */
  readonly threads: number;
  /** Held as long as the model. */
  readonly weights: WeightAddresses;
  readonly weightBytes: number;
  readonly router: Router;
  readonly sequences: KvSequences;
}

/**
 * Multiplications that take one thread of the library about a millisecond. Calls that take less are made on the thread of the
 * runner, whose events wait for them, since another thread would begin with them, and tell of their end, some tens of
 * microseconds late each.
 */
const FEWEST_APART = 2 ** 25;

/** LogitsOutput as passes fill it. */
interface StepOutput {
  readonly logits: Float32Array;
  token?: number;
}

/** GPT-OSS on the CPU, by a library of this package. Made by `createNativeRunner`. */
export class NativeRunner implements LogitsRunner {
  readonly name: string;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly memory: MemoryPlan;
  readonly router: { readonly backend: string; readonly device: string };
  readonly choosesTokens = 'largest';
  onRouting: LogitsRunner['onRouting'] = null;
  readonly #resources: NativeResources;
  readonly #pass: PassMemory;
  readonly #rotary: RotaryTables;
  readonly #gate = new StepGate();
  readonly #layerWork: number;
  readonly #headWork: number;
  readonly #fewestApart: number;
  #routings: readonly LayerRouting[] = [];
  #computeMs = 0;
  #routerMs = 0;

  constructor(resources: NativeResources) {
    const { config, library, router, weightBytes } = resources;
    const { hiddenSize, intermediateSize, attentionHeads, keyValueHeads, headDim, expertsPerToken } = config;
    this.name = `native (${library.entry.file.replace('.so', '')})`;
    this.vocabularySize = config.vocabularySize;
    this.contextLength = config.contextLength;
    this.memory = {
      weightBytes,
      kvBytesPerToken: kvBytesPerToken(config, 'f32'),
      kvBytes: kvBytesOf(config, 'f32'),
    };
    this.router = { backend: router.backend, device: router.device };
    this.#resources = resources;
    this.#pass = new PassMemory(config);
    this.#rotary = new RotaryTables(config);
    this.#layerWork =
      hiddenSize * (2 * (attentionHeads + keyValueHeads) * headDim + 3 * expertsPerToken * intermediateSize);
    this.#headWork = hiddenSize * config.vocabularySize;
    this.#fewestApart = resources.threads * FEWEST_APART;
  }

  /** The library's calls are not told apart: experts count as computing. */
  get timings(): LogitsRunner['timings'] {
    return this.#gate.timings({ compute: this.#computeMs, experts: 0, router: this.#routerMs });
  }

  createSequence(): number {
    this.#gate.assertIdle('createSequence');
    return this.#resources.sequences.create();
  }

  forkSequence(sequence: number, length: number): number | null {
    this.#gate.assertIdle('forkSequence');
    checkCut(length, this.length(sequence));
    return this.#resources.sequences.fork(sequence, length);
  }

  truncate(sequence: number, length: number): boolean {
    this.#gate.assertIdle('truncate');
    checkCut(length, this.length(sequence));
    return this.#resources.sequences.truncate(sequence, length);
  }

  releaseSequence(sequence: number): void {
    this.#gate.assertIdle('releaseSequence');
    this.#resources.sequences.release(sequence);
  }

  length(sequence: number): number {
    return this.#resources.sequences.length(sequence);
  }

  async forward(batch: readonly LogitsStep[]): Promise<readonly LogitsOutput[]> {
    this.#gate.assertIdle('forward');
    checkStep(batch, this);
    return this.#gate.run(async () => {
      const { sequences, library, model } = this.#resources;
      const wanted = batch.map(({ sequence, tokens }) => ({ sequence, more: tokens.length }));
      try {
        sequences.reserve(wanted, (from, to) => library.copyBlock(model, from, to));
        const outputs = await this.#run(batch);
        for (const { sequence, more } of wanted) sequences.commit(sequence, more);
        return outputs;
      } catch (error) {
        sequences.giveBack(wanted);
        throw error;
      }
    });
  }

  async dispose(): Promise<void> {
    if (!this.#gate.close()) return;
    this.#resources.library.close(this.#resources.model);
    await this.#resources.router.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #run(batch: readonly LogitsStep[]): Promise<readonly LogitsOutput[]> {
    const { sequences, config } = this.#resources;
    const outputs = emptyLogits(batch, this.vocabularySize).map((logits): StepOutput => ({ logits }));
    const routings =
      this.onRouting === null ? null : emptyRoutings(batch, config.layers, config.expertsPerToken, this.#routings);
    // They are this runner's, and nobody reads them any more when the next step begins.
    this.#routings = routings ?? [];
    const passes = planPasses(
      batch,
      (sequence) => sequences.length(sequence),
      (sequence) => sequences.tables(sequence),
    );
    for (const pass of passes) {
      await this.#runPass(pass, routings);
      this.#takeResults(pass, batch, outputs);
    }
    routings?.forEach((routing) => this.onRouting?.(routing, batch));
    return outputs;
  }

  async #runPass(pass: PlannedPass, routings: readonly LayerRouting[] | null): Promise<void> {
    const { config, library, model } = this.#resources;
    const { rows } = pass;
    let [positions, wanted] = [0, 0];
    for (const row of rows) {
      if (row.position >= positions) positions = row.position + 1;
      if (row.wanted !== 'nothing') wanted++;
    }
    this.#rotary.reserve(positions);
    if (!library.makeRoom(model, rows.length, positions)) throw new NativeMemoryError(`a pass of ${rows.length} rows`);
    this.#pass.write(pass, this.#rotary);
    const started = performance.now();
    let routerMs = 0;
    for (let layer = 0; layer < config.layers; layer++) {
      const computing = this.#step(layer, rows.length * this.#layerWork);
      if (computing !== null) await computing;
      const computed = performance.now();
      const routing = this.#route();
      if (routing !== null) await routing;
      routerMs += performance.now() - computed;
      if (routings !== null) this.#collectRouting(routings[layer], pass);
    }
    const computing = this.#step(config.layers, rows.length * this.#layerWork + wanted * this.#headWork);
    if (computing !== null) await computing;
    this.#routerMs += routerMs;
    this.#computeMs += performance.now() - started - routerMs;
  }

  /** Calls the library for a layer (see native_step); gives a promise only where the call is made on another thread. */
  #step(layer: number, work: number): Promise<void> | null {
    const { library, model } = this.#resources;
    if (work >= this.#fewestApart) return library.stepApart(model, this.#pass.address, layer);
    library.step(model, this.#pass.address, layer);
    return null;
  }

  /** Routes a layer's rows; gives a promise only where the router is not the CPU's. */
  #route(): Promise<void> | null {
    const { router } = this.#resources;
    if (!(router instanceof CpuRouter)) return this.#routeApart(router);
    router.routeInto(this.#pass.routerLogits, this.#pass.routing);
    return null;
  }

  async #routeApart(router: Router): Promise<void> {
    this.#pass.setRouting(await router.route(this.#pass.routerLogits));
  }

  #takeResults({ rows }: PlannedPass, batch: readonly LogitsStep[], outputs: readonly StepOutput[]): void {
    let index = 0;
    for (const { entry, offset, wanted } of rows) {
      if (wanted === 'nothing') continue;
      const output = outputs[entry];
      if (output !== undefined && wanted === 'token') output.token = this.#pass.largest(index);
      if (output !== undefined && wanted === 'logits') {
        output.logits.set(this.#pass.logits(index), batch[entry]?.logits === 'all' ? offset * this.vocabularySize : 0);
      }
      index++;
    }
  }

  /** Puts a pass's routing where the batch's order wants it. */
  #collectRouting(target: LayerRouting | undefined, { rows }: PlannedPass): void {
    const { expertsPerToken } = this.#resources.config;
    const { ids, weights } = this.#pass.routing;
    for (const { from, to, count } of slotRuns(rows, expertsPerToken, ({ batchRow }) => batchRow)) {
      target?.ids.set(ids.subarray(from, from + count), to);
      target?.weights.set(weights.subarray(from, from + count), to);
    }
  }
}
