import { reasonOf } from '../../contain.ts';
import type { GptOssConfig } from '@switchyard/models';
import type { GraphBuilder } from './graph.ts';
import { GraphSession, f32Output, f32Tensor } from './graph-session.ts';
import type { SessionOptions } from './graph-session.ts';
import { rangeInputs, rowExperts } from './plan-inputs.ts';
import { SessionTemplate } from './session-template.ts';

/** Bytes that weights are overwritten with: scales become 0.011, so that all results are finite, and then NaN. */
const FINITE = 0x3c;
const NOT_A_NUMBER = 0xff;
/** Rows that the second probe gives to every third expert. */
const MANY_ROWS = 19;

/** More than any template of the runner's takes. */
const MOST_TEMPLATE_MIB = 512;

/** Makes the sessions of expert group graphs from templates: one for each number of experts in a group. */
export class ExpertTemplates {
  readonly #config: GptOssConfig;
  readonly #templates = new Map<number, SessionTemplate>();
  /** Templates that sessions go on reading; null once it is known that none does. */
  #kept: SessionTemplate[] | null = [];
  #isProbed = false;
  #isUsable = true;

  constructor(config: GptOssConfig) {
    this.#config = config;
  }

  /** A session of the graph of a group of so many experts. */
  async createSession(graph: GraphBuilder, experts: number, options: SessionOptions): Promise<GraphSession> {
    let template = await this.#template(graph, experts, options);
    if (template === null) {
      return GraphSession.create(graph, options);
    }
    if (!this.#isProbed) {
      this.#isProbed = true;
      if (await this.#isForgotten(template, graph, experts, options)) this.#kept = null;
    }
    if (this.#kept !== null) {
      template = template.copy();
      this.#kept.push(template);
    }
    template.fill(graph, options.reader);
    return template.createSession(options);
  }

  /** The template for groups of so many experts; null where none can be made. */
  async #template(graph: GraphBuilder, experts: number, { logger }: SessionOptions): Promise<SessionTemplate | null> {
    const known = this.#templates.get(experts);
    if (known !== undefined || !this.#isUsable) {
      return known ?? null;
    }
    try {
      const template = await SessionTemplate.create(graph);
      this.#templates.set(experts, template);
      return template;
    } catch (error) {
      this.#isUsable = false;
      const reason = reasonOf(error);
      logger?.info?.(
        `Block scales will be held twice, a sixth more memory than planned · found ${reason} · set TMPDIR to a folder with ${MOST_TEMPLATE_MIB} MiB to spare`,
      );
      return null;
    }
  }

  /** Says that no session follows. */
  endLoading(): void {
    this.#templates.clear();
  }

  /** To be called when the sessions are released. */
  release(): void {
    this.#kept = null;
  }

  /**
   * Whether a session computes the same after its template is overwritten. Which constants a kernel reorders, and so reads
   * no more, differs between processors.
   */
  async #isForgotten(
    template: SessionTemplate,
    graph: GraphBuilder,
    experts: number,
    options: SessionOptions,
  ): Promise<boolean> {
    template.overwrite(graph, FINITE);
    const session = await template.createSession(options);
    try {
      const before = await this.#probe(session, experts);
      template.overwrite(graph, NOT_A_NUMBER);
      const after = await this.#probe(session, experts);
      return before.every((value, index) => value === after[index]);
    } finally {
      await session.release();
    }
  }

  /** The results of one row an expert, and of none, one or many rows. */
  async #probe(session: GraphSession, experts: number): Promise<number[]> {
    const { hiddenSize, intermediateSize } = this.#config;
    const input = Float32Array.from({ length: hiddenSize }, (_, index) => Math.sin(index));
    const results: number[] = [];
    for (const countOf of [(): number => 1, (expert: number): number => [MANY_ROWS, 1, 0][expert % 3] ?? 0]) {
      const expertOffsets = new Int32Array(experts + 1);
      for (let expert = 0; expert < experts; expert++) {
        expertOffsets[expert + 1] = (expertOffsets[expert] as number) + countOf(expert);
      }
      const plan = { expertOffsets };
      const ofExperts = rowExperts(plan);
      const outputs = await session.run({
        ...rangeInputs(new Int32Array(ofExperts.length), ofExperts, plan, { first: 0, end: experts }),
        gateUpBias: f32Tensor(new Float32Array(experts * 2 * intermediateSize), [experts, 2 * intermediateSize]),
        downBias: f32Tensor(new Float32Array(experts * hiddenSize), [experts, hiddenSize]),
        expertInput: f32Tensor(input, [1, hiddenSize]),
      });
      results.push(...f32Output(outputs, 'results').filter((_, index) => index % 61 === 0));
    }
    return results;
  }
}
