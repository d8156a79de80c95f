import type { GpuDriver, GpuStream } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import { checkCut, checkStep, emptyLogits, emptyRoutings } from '../check-step.ts';
import { kvBlockBytes, kvBytesOf, kvBytesPerToken } from '../kv-bytes.ts';
import type { KvSequences } from '../kv-sequences.ts';
import type { LogitsOutput, LogitsRunner, LogitsStep } from '../logits-runner.ts';
import type { LayerRouting, MemoryPlan } from '../runner.ts';
import { StepGate } from '../step-gate.ts';
import { DeviceHungError } from './errors.ts';
import { type HeadRows, type PassParts, type PassSize, enqueueHead, enqueueLayers } from './forward-pass.ts';
import { PassGraphs } from './pass-graphs.ts';
import { type Pass, type PassRow, planPasses } from './plan-passes.ts';
import { HEAD_ROWS, routingStride } from './sizes.ts';
import type { Staging } from './staging.ts';
import { writeRuns, writeStep } from './step-block.ts';
import { rowsOfRun } from './tile-kernels.ts';
import { type TilePassSize, enqueueTileLayers } from './tile-pass.ts';

/** What a runner works with, beside the parts of its passes. */
export interface HipResources {
  readonly driver: GpuDriver;
  readonly stream: GpuStream;
  readonly sequences: KvSequences;
  readonly staging: Staging;
  readonly weightBytes: number;
  /** Whether passes of decoding are captured as graphs. */
  readonly usesGraphs: boolean;
  /** A pass that takes longer, in milliseconds, does not end any more. */
  readonly longestPassMs: number;
  /** Gives back all of this and the parts, but not a driver that is the caller's. */
  readonly release: () => Promise<void>;
}

/** LogitsOutput as passes fill it. */
interface StepOutput {
  readonly logits: Float32Array;
  token?: number;
}

/** GPT-OSS on an AMD or NVIDIA GPU, from token ids to logits. Made by `createHipRunner`. */
export class HipRunner implements LogitsRunner {
  readonly name: string;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly memory: MemoryPlan;
  readonly router: { readonly backend: string; readonly device: string };
  readonly choosesTokens = true;
  onRouting: LogitsRunner['onRouting'] = null;
  readonly #config: GptOssConfig;
  readonly #resources: HipResources;
  readonly #parts: PassParts;
  /** Null where every pass is launched kernel by kernel. */
  readonly #graphs: PassGraphs | null;
  readonly #prepared = new Set<number>();
  readonly #gate = new StepGate();
  #compute = 0;
  #hung: DeviceHungError | null = null;

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
    this.#graphs = resources.usesGraphs ? new PassGraphs(resources.driver, parts) : null;
  }

  /** Passes are not told apart into kernels: experts and router count as computing. */
  get timings(): LogitsRunner['timings'] {
    return this.#gate.timings({ compute: this.#compute, experts: 0, router: 0 });
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
    if (this.#hung !== null) throw this.#hung;
    checkStep(batch, this);
    return this.#gate.run(async () => {
      const { sequences } = this.#resources;
      const wanted = batch.map(({ sequence, tokens }) => ({ sequence, more: tokens.length }));
      try {
        sequences.reserve(wanted, (from, to) => this.#copyBlock(from, to));
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
    this.#graphs?.destroy();
    await this.#resources.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #run(batch: readonly LogitsStep[]): Promise<readonly LogitsOutput[]> {
    const { sequences } = this.#resources;
    const outputs = emptyLogits(batch, this.vocabularySize).map((logits): StepOutput => ({ logits }));
    const routings =
      this.onRouting === null ? null : emptyRoutings(batch, this.#config.layers, this.#config.expertsPerToken);
    const passes = planPasses(
      batch,
      (sequence) => sequences.length(sequence),
      (sequence) => sequences.tables(sequence),
      this.#parts.kernels.tiles !== null,
    );
    for (const pass of passes) await this.#runPass(pass, batch, outputs, routings);
    routings?.forEach((routing) => this.onRouting?.(routing, batch));
    return outputs;
  }

  async #runPass(
    pass: Pass,
    batch: readonly LogitsStep[],
    outputs: readonly StepOutput[],
    routings: readonly LayerRouting[] | null,
  ): Promise<void> {
    const { driver, stream, staging } = this.#resources;
    const { workspace, rotary } = this.#parts;
    const longest = pass.rows.reduce((most, { position }) => Math.max(most, position + 1), 0);
    const draws = pass.rows.some(({ draw }) => draw !== undefined);
    await rotary.reserve(longest, stream, () => this.#finished());
    const started = performance.now();
    const bytes = writeStep(staging.stepWords, pass.rows);
    const runs = pass.kind === 'tiles' ? writeRuns(staging.stepWords, pass.rows, rowsOfRun(this.#parts.context)) : 0;
    driver.copyToDevice(workspace.at.step, staging.step.pointer, bytes, stream);
    const wanted = pass.rows.filter((row) => row.wanted !== 'nothing');
    const graphs = wanted.length === pass.rows.length ? this.#graphsFor(pass) : null;
    const launchedRows = await this.#enqueue(pass, { runs, draws }, graphs);
    if (routings !== null) this.#bringRouting(launchedRows);
    for (let first = 0; first < wanted.length; first += HEAD_ROWS) {
      const rows = wanted.slice(first, first + HEAD_ROWS);
      if (graphs === null) enqueueHead(this.#parts, stream, { first, count: rows.length, draws });
      this.#bringResults(rows);
      await this.#finished();
      this.#takeResults(rows, batch, outputs);
    }
    if (wanted.length === 0) await this.#finished();
    if (routings !== null) this.#collectRouting(routings, pass.rows, launchedRows);
    this.#compute += performance.now() - started;
  }

  /** Enqueues the copies of what the head gave for some rows. */
  #bringResults(rows: readonly PassRow[]): void {
    const { driver, stream } = this.#resources;
    const { at } = this.#parts.workspace;
    const { logits, tokens } = this.#resources.staging;
    driver.copyToHost(tokens.pointer, at.tokens, 4 * rows.length, stream);
    const rowBytes = 4 * this.vocabularySize;
    for (const [index, { wanted }] of rows.entries()) {
      if (wanted !== 'logits') continue;
      const offset = BigInt(index * rowBytes);
      driver.copyToHost(logits.pointer + offset, at.logits + offset, rowBytes, stream);
    }
  }

  #takeResults(rows: readonly PassRow[], batch: readonly LogitsStep[], outputs: readonly StepOutput[]): void {
    const { logits, tokens } = this.#resources.staging;
    const width = this.vocabularySize;
    const chosen = new Int32Array(tokens.memory, 0, rows.length);
    for (const [index, { entry, offset, wanted }] of rows.entries()) {
      const output = outputs[entry];
      if (output === undefined) continue;
      if (wanted === 'token') {
        output.token = chosen[index] as number;
      } else {
        const row = new Float32Array(logits.memory, 4 * index * width, width);
        output.logits.set(row, batch[entry]?.logits === 'all' ? offset * width : 0);
      }
    }
  }

  /** The graphs that a pass all of whose rows want something can be launched from. */
  #graphsFor(pass: Pass): PassGraphs | null {
    return pass.kind === 'vectors' && PassGraphs.takes(sizeOf(pass)) ? this.#graphs : null;
  }

  /** Enqueues the layers, as a graph with the head or kernel by kernel. Returns the rows that the launches have room for. */
  async #enqueue(
    pass: Pass,
    { runs, draws }: Pick<TilePassSize, 'runs'> & Pick<HeadRows, 'draws'>,
    graphs: PassGraphs | null,
  ): Promise<number> {
    const { stream } = this.#resources;
    const { tiles } = this.#parts.kernels;
    const size = sizeOf(pass);
    if (graphs !== null) return graphs.launch(stream, { ...size, draws });
    await this.#prepareRouter(size.rows);
    if (pass.kind === 'tiles' && tiles !== null) {
      enqueueTileLayers(this.#parts, tiles, stream, { rows: size.rows, runs });
    } else {
      enqueueLayers(this.#parts, stream, size);
    }
    return size.rows;
  }

  /** Enqueues the copy of what the routers chose in a launch for `rows` rows. */
  #bringRouting(rows: number): void {
    const { driver, stream } = this.#resources;
    const bytes = 2 * this.#config.layers * routingStride(this.#config, rows);
    driver.copyToHost(this.#resources.staging.routing.pointer, this.#parts.workspace.at.routing, bytes, stream);
  }

  /** Waits for the device. */
  async #finished(): Promise<void> {
    const { driver, stream, longestPassMs } = this.#resources;
    let timer: NodeJS.Timeout | undefined;
    const hung = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#hung = new DeviceHungError(driver.info.name, longestPassMs);
        reject(this.#hung);
      }, longestPassMs);
      timer.unref();
    });
    try {
      await Promise.race([stream.synchronize(), hung]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #prepareRouter(rows: number): Promise<void> {
    if (this.#prepared.has(rows)) return;
    await this.#parts.router.prepare({ tokens: rows, padding: true });
    this.#prepared.add(rows);
  }

  #copyBlock(from: number, to: number): void {
    const { driver, stream } = this.#resources;
    const { context, cache } = this.#parts;
    const bytes = kvBlockBytes(context.config, context.kv);
    const at = (block: number): bigint => cache + BigInt(block) * BigInt(bytes);
    driver.copyOnDevice(at(to), at(from), bytes, stream);
  }

  #collectRouting(routings: readonly LayerRouting[], rows: readonly PassRow[], launchedRows: number): void {
    const { memory } = this.#resources.staging.routing;
    const { expertsPerToken, layers } = this.#config;
    const stride = routingStride(this.#config, launchedRows);
    const runs = runsOf(rows, expertsPerToken);
    for (const { layer, ids, weights } of routings) {
      const ofPass = {
        ids: new Int32Array(memory, layer * stride, rows.length * expertsPerToken),
        weights: new Float32Array(memory, (layers + layer) * stride, rows.length * expertsPerToken),
      };
      for (const { from, to, count } of runs) {
        ids.set(ofPass.ids.subarray(from, from + count), to);
        weights.set(ofPass.weights.subarray(from, from + count), to);
      }
    }
  }
}

/** Rows of a pass that are neighbours in the batch too, as slots: where they begin in both, and how many they are. */
function runsOf(rows: readonly PassRow[], slotsEach: number) {
  const runs: { from: number; to: number; count: number }[] = [];
  for (const [row, { place }] of rows.entries()) {
    const last = runs.at(-1);
    if (last !== undefined && last.to + last.count === place * slotsEach) last.count += slotsEach;
    else runs.push({ from: row * slotsEach, to: place * slotsEach, count: slotsEach });
  }
  return runs;
}

function sizeOf({ rows }: Pass): PassSize {
  return { rows: rows.length, mostChunks: rows.reduce((most, { chunks }) => Math.max(most, chunks), 1) };
}
