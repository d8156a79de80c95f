/**
 * Every option of every command: what --help, the parser and docs/cli.md are made from.
 *
 * @module
 */
import { ENGINE_RANGES, SAMPLING_RANGES } from '../ranges.ts';

import { RUNNER_NAMES } from '../runners/runner-choice.ts';

/** One option. */
export interface OptionRow {
  readonly name: string;
  /** `'flag'` takes no value. The others are checked before anything runs: no text may be empty. */
  readonly type: 'text' | 'number' | 'integer' | 'date' | 'flag' | 'choice';
  /** What stands for the value in the help, such as `DIR`. */
  readonly value?: string;
  readonly choices?: readonly string[];
  readonly minimum?: number;
  /** Whether `minimum` itself is refused. */
  readonly aboveMinimum?: boolean;
  readonly maximum?: number;
  readonly help: string;
  /** What happens without the option, as words for the help. */
  readonly default?: string;
  /** The environment variable that stands for the option where it is left out; a blank one is not set. */
  readonly variable?: string;
}

/** The numbers that an option takes, such as `from 0 to 100`; null where any will do. */
export function rangeOf({ minimum, aboveMinimum, maximum }: OptionRow): string | null {
  if (minimum === undefined) return null;
  const range = `${aboveMinimum === true ? 'above' : 'from'} ${minimum}`;
  return maximum === undefined ? range : `${range} to ${maximum}`;
}

/** One command. */
export interface CommandRow {
  readonly name: string;
  readonly summary: string;
  /** What words beside the options are, such as `PROMPT`. Without it there may be none. */
  readonly words?: string;
  readonly options: readonly OptionRow[];
}

const MODEL_OPTIONS: readonly OptionRow[] = [
  {
    name: 'model',
    type: 'text',
    value: 'DIR',
    help: 'Checkpoint folder in the Hugging Face layout',
    default: 'the embedded pocket-dictionary',
    variable: 'SWITCHYARD_MODEL',
  },
  {
    name: 'runner',
    type: 'choice',
    choices: ['auto', ...RUNNER_NAMES],
    help: 'What runs the model',
    default: 'auto, or what SWITCHYARD_RUNNER names',
  },
  {
    name: 'device',
    type: 'text',
    value: 'GPU',
    help: 'Which GPU, where something runs on one: a position in the list of inspect, amd:1, gfx942, or a part of a name',
    default: 'what SWITCHYARD_DEVICE names, else a discrete GPU',
  },
  {
    name: 'router',
    type: 'choice',
    choices: ['auto', 'cpu', 'hip', 'webgpu'],
    help: 'Which router stands between gate projection and expert dispatch',
    default: 'auto',
  },
  {
    name: 'expert-precision',
    type: 'choice',
    choices: ['exact', 'int4'],
    help: 'How MXFP4 experts are computed with',
    default: 'exact',
  },
  {
    name: 'threads',
    type: 'integer',
    value: 'N',
    ...ENGINE_RANGES.threads,
    help: 'Threads to compute with, no more than the process may run at once',
    default: 'one a core that it may use',
  },
  {
    name: 'memory-mib',
    type: 'number',
    value: 'MIB',
    minimum: 1,
    maximum: 2 ** 30,
    help: 'What the model may take in MiB: weights, workspace and KV memory; a model that takes more is refused before it is read',
    default: 'what this process may still use, less a sixteenth (64 to 1024)',
  },
];

const CONVERSATION_OPTIONS: readonly OptionRow[] = [
  {
    name: 'reasoning',
    type: 'choice',
    choices: ['low', 'medium', 'high'],
    help: 'Reasoning effort',
    default: 'medium',
  },
  {
    name: 'date',
    type: 'date',
    value: 'YYYY-MM-DD',
    help: 'Current date in the system message',
    default: 'today (UTC)',
  },
  {
    name: 'tools',
    type: 'text',
    value: 'FILE',
    help: 'JSON array of tools: {name, description, parameters}, or the OpenAI shape',
  },
];

const SAMPLING_OPTIONS: readonly OptionRow[] = [
  {
    name: 'max-tokens',
    type: 'integer',
    value: 'N',
    minimum: 1,
    help: 'The most tokens to generate',
    default: 'what the context leaves',
  },
  {
    name: 'temperature',
    type: 'number',
    value: 'T',
    ...SAMPLING_RANGES.temperature,
    help: '0 takes the likeliest token',
    default: '0',
  },
  {
    name: 'top-p',
    type: 'number',
    value: 'P',
    ...SAMPLING_RANGES.topP,
    help: 'Nucleus sampling',
    default: '1 (off)',
  },
  { name: 'top-k', type: 'integer', value: 'K', minimum: 0, help: 'Keep the K likeliest tokens', default: '0 (off)' },
  {
    name: 'min-p',
    type: 'number',
    value: 'P',
    ...SAMPLING_RANGES.minP,
    help: 'Drop tokens less likely than this share of the likeliest',
    default: '0 (off)',
  },
  { name: 'seed', type: 'integer', value: 'N', minimum: 0, help: 'Seed of the random numbers', default: 'random' },
  { name: 'stop', type: 'text', value: 'TEXT', help: 'End the answer before this text' },
];

const SERVER_OPTIONS: readonly OptionRow[] = [
  {
    name: 'host',
    type: 'text',
    value: 'ADDRESS',
    help: 'Address to listen on; 0.0.0.0 for every one of this machine',
    default: '127.0.0.1',
    variable: 'SWITCHYARD_HOST',
  },
  {
    name: 'port',
    type: 'integer',
    value: 'N',
    minimum: 0,
    maximum: 65_535,
    help: 'Port; 0 takes a free one',
    default: '8000',
    variable: 'SWITCHYARD_PORT',
  },
  {
    name: 'api-key',
    type: 'text',
    value: 'KEY',
    help: 'Key that clients must send',
    default: 'none',
    variable: 'SWITCHYARD_API_KEY',
  },
  {
    name: 'model-id',
    type: 'text',
    value: 'NAME',
    help: "The model's name in answers",
    default: "the checkpoint folder's name",
  },
  { name: 'cors-origin', type: 'text', value: 'ORIGIN', help: 'Origin that browsers may call from', default: 'none' },
  {
    name: 'max-sequences',
    type: 'integer',
    value: 'N',
    ...ENGINE_RANGES.maxSequences,
    help: 'The most requests computed side by side',
    default: '64',
  },
  {
    name: 'max-queue',
    type: 'integer',
    value: 'N',
    ...ENGINE_RANGES.maxQueue,
    help: 'The most requests that wait; the next ones get status 429',
    default: '256',
  },
  {
    name: 'prefill-chunk',
    type: 'integer',
    value: 'N',
    ...ENGINE_RANGES.prefillChunk,
    help: 'The most prompt tokens computed in one step',
    default: '256',
  },
  {
    name: 'kv-cache-mib',
    type: 'number',
    value: 'MIB',
    minimum: 1,
    maximum: 2 ** 30,
    help: 'KV memory in MiB',
    default: 'two thirds of what --memory-mib leaves beside weights and workspace',
  },
  {
    name: 'drain-seconds',
    type: 'number',
    value: 'S',
    minimum: 0,
    // Timers of Node cannot wait longer than 2^31 ms.
    maximum: 2_000_000,
    help: 'How long requests under way may go on after SIGTERM or SIGINT; a second signal ends them at once',
    default: '90',
  },
  {
    name: 'idle-seconds',
    type: 'number',
    value: 'S',
    minimum: 0,
    maximum: 2_000_000,
    help: 'How long a connection may stand idle between requests',
    default: '75',
  },
  {
    name: 'stored-responses',
    type: 'integer',
    value: 'N',
    minimum: 0,
    maximum: 1_000_000,
    help: 'How many responses are kept in memory for previous_response_id and /v1/responses/ID',
    default: '512',
  },
  {
    name: 'log-level',
    type: 'choice',
    choices: ['debug', 'info', 'warn', 'error', 'silent'],
    help: 'What is logged on standard error: lines to read on a terminal, else JSON',
    default: 'info',
    variable: 'SWITCHYARD_LOG_LEVEL',
  },
  {
    name: 'runner-module',
    type: 'text',
    value: 'URL',
    help: 'Module that makes the model runner',
    default: 'ONNX Runtime on the CPU',
  },
];

const JSON_OPTION: OptionRow = { name: 'json', type: 'flag', help: 'Print JSON instead of text' };
/** What every command takes. */
const PROGRAM_OPTIONS: readonly OptionRow[] = [
  { name: 'help', type: 'flag', help: 'Print this help' },
  { name: 'version', type: 'flag', help: 'Print the version' },
];

/** The commands, in the order of the help. */
export const COMMANDS: readonly CommandRow[] = [
  {
    name: 'generate',
    summary: 'Answer one prompt: the words given, or what comes through a pipe',
    words: 'PROMPT',
    options: [
      { name: 'prompt', type: 'text', value: 'TEXT', help: "A user's message, as the words are" },
      { name: 'prompt-ids', type: 'text', value: '1,2,3', help: 'Token ids to continue as they are' },
      {
        name: 'messages',
        type: 'text',
        value: 'FILE',
        help: "JSON array of messages: {role, content, …}, in harmony's or OpenAI's shape",
      },
      ...MODEL_OPTIONS,
      ...CONVERSATION_OPTIONS,
      ...SAMPLING_OPTIONS,
      {
        name: 'trace-routing',
        type: 'text',
        value: 'FILE',
        help: 'Write [{layer, experts, weights}] over the prompt and then the generated tokens',
      },
      JSON_OPTION,
      ...PROGRAM_OPTIONS,
    ],
  },
  {
    name: 'chat',
    summary:
      'Talk to the model; /help tells what else can be typed, Ctrl-C stops the answer, Ctrl-D ends the chat. Where the model calls a tool, you give the result',
    options: [
      { name: 'system', type: 'text', value: 'TEXT', help: 'Instructions to the model before the conversation' },
      ...MODEL_OPTIONS,
      ...CONVERSATION_OPTIONS,
      ...SAMPLING_OPTIONS,
      ...PROGRAM_OPTIONS,
    ],
  },
  {
    name: 'score',
    summary: 'Log-likelihoods of texts',
    options: [
      {
        name: 'file',
        type: 'text',
        value: 'FILE.jsonl',
        help: 'One JSON object a line, with text (read with its special tokens) or ids',
      },
      ...MODEL_OPTIONS,
      { ...JSON_OPTION, help: 'Print one {nll, tokens} object a line' },
      ...PROGRAM_OPTIONS,
    ],
  },
  {
    name: 'inspect',
    summary: 'Configuration, tensors and devices, and what loading would take in each precision; loads nothing',
    options: [...MODEL_OPTIONS, JSON_OPTION, ...PROGRAM_OPTIONS],
  },
  {
    name: 'serve',
    summary: 'Put the OpenAI HTTP API in front of the model',
    options: [...MODEL_OPTIONS, ...SERVER_OPTIONS, ...PROGRAM_OPTIONS],
  },
  {
    name: 'verify',
    summary: 'Check a runner on this machine with the runner suite and the embedded model, and measure how it decodes',
    options: [
      { name: 'runner', type: 'choice', choices: RUNNER_NAMES, help: 'The runner to check' },
      ...MODEL_OPTIONS.filter(({ name }) => name === 'device'),
      {
        name: 'shape',
        type: 'choice',
        choices: ['gpt-oss-20b', 'gpt-oss-120b'],
        help: 'With --runner hip: also measure this shape, with weights made on the device',
      },
      {
        name: 'context',
        type: 'integer',
        value: 'N',
        minimum: 1,
        maximum: 131_072,
        help: 'Tokens of context that decoding is measured at',
        default: '1024',
      },
      JSON_OPTION,
      ...PROGRAM_OPTIONS,
    ],
  },
];
