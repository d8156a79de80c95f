/**
 * Runs passes on the device: down with the step block, through the layers and the head, up with tokens, logits and what the
 * routers chose.
 */

import type { GpuDriver, GpuStream } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import type { LogitsOutput, LogitsStep } from '../logits-runner.ts';
import type { LayerRouting } from '../runner.ts';
import { slotRuns } from '../slot-runs.ts';
import { type ChoiceNeeds, choiceNeedsOf } from './choice-pass.ts';
import { DeviceHungError } from './errors.ts';
import { ExpectedWaits } from './expected-waits.ts';
import { type PassParts, type PassSize, enqueueHead, enqueueLayers } from './forward-pass.ts';
import { PassGraphs } from './pass-graphs.ts';
import type { Pass, PassRow } from './plan-passes.ts';
import { CHOSEN_TOKEN_BYTES, HEAD_ROWS, routingStride } from './sizes.ts';
import type { PassStaging, Staging } from './staging.ts';
import { writeRuns, writeStep } from './step-block.ts';
import { rowsOfRun } from './tile-kernels.ts';
import { type TilePassSize, enqueueTileLayers } from './tile-pass.ts';

/** What passes run with, beside their parts. */
export interface PassResources {
  readonly driver: GpuDriver;
  readonly stream: GpuStream;
  readonly staging: Staging;
  /** Whether passes of decoding are captured as graphs. */
  readonly usesGraphs: boolean;
  /** A pass that takes longer, in milliseconds, does not end any more. */
  readonly longestPassMs: number;
}

/** LogitsOutput as passes fill it. */
export interface StepOutput {
  readonly logits: Float32Array;
  token?: number;
}

/** What a step's passes are made from and leave behind. */
export interface StepRun {
  readonly batch: readonly LogitsStep[];
  readonly outputs: readonly StepOutput[];
  /** Null where nobody listens. */
  readonly routings: readonly LayerRouting[] | null;
}

/** A pass whose layers were enqueued. */
export interface EnqueuedPass {
  readonly pass: Pass;
  readonly staging: PassStaging;
  readonly wanted: readonly PassRow[];
  /** The rows that the launches have room for. */
  readonly launchedRows: number;
  /** Whether the head was enqueued with the layers. */
  readonly hasHead: boolean;
  readonly needs: ChoiceNeeds;
  /** The place of its first token. */
  readonly place: number;
}

/** The passes of one runner, one after the other. */
export class PassRunner {
  readonly #config: GptOssConfig;
  readonly #resources: PassResources;
  readonly #parts: PassParts;
  /** Null where every pass is launched kernel by kernel. */
  readonly #graphs: PassGraphs | null;
  readonly #prepared = new Set<number>();
  readonly #width: number;
  readonly #expectedWaits = new ExpectedWaits();
  /** When the device was last seen to be done, and how long it worked. */
  #doneAt = 0;
  #compute = 0;
  #hung: DeviceHungError | null = null;
  /** Resolves when the passes before were taken: a thread that slept for the later of two would be late for the earlier. */
  #taken: Promise<unknown> = Promise.resolve();

  constructor(parts: PassParts, resources: PassResources) {
    this.#config = parts.context.config;
    this.#width = parts.context.config.vocabularySize;
    this.#resources = resources;
    this.#parts = parts;
    this.#graphs = resources.usesGraphs ? new PassGraphs(resources.driver, parts) : null;
  }

  /** Milliseconds that the device worked. */
  get compute(): number {
    return this.#compute;
  }

  /** Throws DeviceHungError where the device was lost. */
  assertAlive(): void {
    if (this.#hung !== null) throw this.#hung;
  }

  destroy(): void {
    this.#graphs?.destroy();
  }

  /**
   * Enqueues all of a pass, copies of its results included.
   *
   * @param pass wants tokens alone, of HEAD_ROWS rows at most.
   * @param place where its tokens go: 0 for a pass of vectors, whose graphs have no other.
   */
  async enqueueWhole(pass: Pass, run: StepRun, place: number): Promise<EnqueuedPass> {
    const enqueued = await this.#enqueuePass(pass, place);
    const { wanted, hasHead, needs, staging } = enqueued;
    if (wanted.length > 0 && !hasHead) {
      enqueueHead(this.#parts, this.#resources.stream, { first: 0, count: wanted.length, ...needs, place });
    }
    this.#bringChosen(enqueued, run);
    staging.done.record(this.#resources.stream);
    return enqueued;
  }

  /** Waits for passes that were enqueued whole, after those before them, and takes what they brought. */
  take(enqueued: readonly EnqueuedPass[], run: StepRun): Promise<readonly LogitsOutput[]> {
    const outputs = this.#taken.then(() => this.#takeNext(enqueued, run));
    this.#taken = outputs.catch(() => undefined);
    return outputs;
  }

  async #takeNext(enqueued: readonly EnqueuedPass[], run: StepRun): Promise<readonly LogitsOutput[]> {
    // The passes before may have found out.
    this.assertAlive();
    const started = performance.now();
    let since = started;
    for (const { pass, staging, wanted, launchedRows, place } of enqueued) {
      const hadPassed = await this.#inTime(staging.done.passed(this.#expectedWaits.of(pass)));
      const now = performance.now();
      this.#expectedWaits.took(pass, hadPassed, now - since);
      since = now;
      for (const [index, { entry }] of wanted.entries()) {
        const output = run.outputs[entry];
        if (output !== undefined) output.token = staging.tokens[place + index] as number;
      }
      if (run.routings !== null) this.#collectRouting(run.routings, pass.rows, staging, launchedRows);
    }
    this.#countTime(started);
    return run.outputs;
  }

  /**
   * Runs a pass to its end: one that brings logits, which there is room for once. Its tokens go where those of any step before
   * are: a pass behind it must not read them from there.
   */
  async run(pass: Pass, run: StepRun): Promise<void> {
    const started = performance.now();
    const enqueued = await this.#enqueuePass(pass, 0);
    const { wanted, hasHead, needs, staging, launchedRows } = enqueued;
    for (let first = 0; first < wanted.length; first += HEAD_ROWS) {
      const rows = wanted.slice(first, first + HEAD_ROWS);
      if (!hasHead) enqueueHead(this.#parts, this.#resources.stream, { first, count: rows.length, ...needs });
      this.#bringChosen(enqueued, run);
      this.#bringLogits(rows);
      await this.#finished();
      this.#takeResults(rows, staging, run);
    }
    if (wanted.length === 0) {
      this.#bringChosen(enqueued, run);
      await this.#finished();
    }
    if (run.routings !== null) this.#collectRouting(run.routings, pass.rows, staging, launchedRows);
    this.#countTime(started);
  }

  async #enqueuePass(pass: Pass, place: number): Promise<EnqueuedPass> {
    const { driver, stream } = this.#resources;
    const { workspace, rotary } = this.#parts;
    const longest = pass.rows.reduce((most, { position }) => Math.max(most, position + 1), 0);
    const needs = choiceNeedsOf(pass.rows);
    if (!rotary.covers(longest)) await rotary.reserve(longest, stream, () => this.#finished());
    const staging = this.#resources.staging.next();
    const bytes = writeStep(staging.stepWords, pass.rows);
    const runs = pass.kind === 'vectors' ? 0 : writeRuns(staging.stepWords, pass.rows, rowsOfRun(this.#parts.context));
    const wanted = pass.rows.filter((row) => row.wanted !== 'nothing');
    const graphs = wanted.length === pass.rows.length ? this.#graphsFor(pass) : null;
    if (!this.#isPrepared(pass, graphs, needs)) await this.#prepare(pass, graphs, needs);
    driver.copyToDevice(workspace.at.step, staging.step.pointer, bytes, stream);
    const launchedRows = this.#enqueue(pass, { runs, ...needs }, graphs);
    return { pass, staging, wanted, launchedRows, hasHead: graphs !== null, needs, place };
  }

  /** Enqueues the copy of the tokens that the head chose, and of what the routers chose where somebody listens. */
  #bringChosen({ staging, launchedRows }: EnqueuedPass, { routings }: StepRun): void {
    const { driver, stream } = this.#resources;
    const ofRouting = routings === null ? 0 : 2 * this.#config.layers * routingStride(this.#config, launchedRows);
    const from = this.#parts.workspace.at.chosen;
    driver.copyToHost(staging.chosen.pointer, from, CHOSEN_TOKEN_BYTES + ofRouting, stream);
  }

  /** Enqueues the copies of the logits that some rows want. */
  #bringLogits(rows: readonly PassRow[]): void {
    const { driver, stream } = this.#resources;
    const { logits } = this.#resources.staging;
    const rowBytes = 4 * this.#width;
    for (const [index, { wanted }] of rows.entries()) {
      if (wanted !== 'logits') continue;
      const offset = BigInt(index * rowBytes);
      driver.copyToHost(logits.pointer + offset, this.#parts.workspace.at.logits + offset, rowBytes, stream);
    }
  }

  #takeResults(rows: readonly PassRow[], staging: PassStaging, { batch, outputs }: StepRun): void {
    const { logits } = this.#resources.staging;
    const width = this.#width;
    for (const [index, { entry, offset, wanted }] of rows.entries()) {
      const output = outputs[entry];
      if (output === undefined) continue;
      if (wanted === 'token') {
        output.token = staging.tokens[index] as number;
      } else {
        const row = new Float32Array(logits.memory, 4 * index * width, width);
        output.logits.set(row, batch[entry]?.logits === 'all' ? offset * width : 0);
      }
    }
  }

  /** Counts the device's time of a step that was waited for since `started`: of two under way, each moment once. */
  #countTime(started: number): void {
    const now = performance.now();
    this.#compute += now - Math.max(started, this.#doneAt);
    this.#doneAt = now;
  }

  /** The graphs that a pass all of whose rows want something can be launched from. */
  #graphsFor(pass: Pass): PassGraphs | null {
    return pass.kind === 'vectors' && PassGraphs.takes(sizeOf(pass)) ? this.#graphs : null;
  }

  #isPrepared(pass: Pass, graphs: PassGraphs | null, needs: ChoiceNeeds): boolean {
    return graphs === null ? this.#prepared.has(pass.rows.length) : graphs.has({ ...sizeOf(pass), ...needs });
  }

  /** Makes ready what the pass's launches need: nothing is to wait between the step's copy and them. */
  async #prepare(pass: Pass, graphs: PassGraphs | null, needs: ChoiceNeeds): Promise<void> {
    if (graphs === null) await this.#prepareRouter(pass.rows.length);
    else await graphs.prepare(this.#resources.stream, { ...sizeOf(pass), ...needs });
  }

  /** Enqueues the layers, as a graph with the head or kernel by kernel. Returns the rows that the launches have room for. */
  #enqueue(
    pass: Pass,
    { runs, ...needs }: Pick<TilePassSize, 'runs'> & ChoiceNeeds,
    graphs: PassGraphs | null,
  ): number {
    const { stream } = this.#resources;
    const { tiles } = this.#parts.kernels;
    const size = sizeOf(pass);
    if (graphs !== null) return graphs.launch(stream, { ...size, ...needs });
    if (pass.kind === 'vectors' || tiles === null) enqueueLayers(this.#parts, stream, size);
    else enqueueTileLayers(this.#parts, tiles, stream, { ...size, kind: pass.kind, runs });
    return size.rows;
  }

  /** Waits for all that was enqueued. */
  #finished(): Promise<void> {
    return this.#inTime(this.#resources.stream.synchronize());
  }

  /** Waits for the device no longer than a pass may take. */
  async #inTime<Found>(done: Promise<Found>): Promise<Found> {
    const { driver, longestPassMs } = this.#resources;
    let timer: NodeJS.Timeout | undefined;
    const hung = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#hung = new DeviceHungError(driver.info.name, longestPassMs);
        reject(this.#hung);
      }, longestPassMs);
      timer.unref();
    });
    try {
      return await Promise.race([done, hung]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #prepareRouter(rows: number): Promise<void> {
    await this.#parts.router.prepare({ tokens: rows, padding: true });
    this.#prepared.add(rows);
  }

  #collectRouting(
    routings: readonly LayerRouting[],
    rows: readonly PassRow[],
    { routingIds, routingWeights }: PassStaging,
    launchedRows: number,
  ): void {
    const { expertsPerToken, layers } = this.#config;
    const stride = routingStride(this.#config, launchedRows) / 4;
    const runs = slotRuns(rows, expertsPerToken, ({ place }) => place);
    // Number by number: a step of decoding has few, and views of them would cost it more than the copies.
    for (const { layer, ids, weights } of routings) {
      for (const { from, to, count } of runs) {
        const firstId = layer * stride + from;
        const firstWeight = (layers + layer) * stride + from;
        for (let slot = 0; slot < count; slot++) {
          ids[to + slot] = routingIds[firstId + slot] as number;
          weights[to + slot] = routingWeights[firstWeight + slot] as number;
        }
      }
    }
  }
}

function sizeOf({ rows }: Pass): PassSize {
  return { rows: rows.length, mostPartials: rows.reduce((most, { partials }) => Math.max(most, partials), 1) };
}
