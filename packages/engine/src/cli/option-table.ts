/**
 * Every option of every command: what --help, the parser and docs/cli.md are made from.
 */

import { REASONING_EFFORTS } from '@switchyard/models';
import { ENGINE_RANGES, SAMPLING_RANGES } from '../ranges.ts';
import { RUNNER_NAMES } from '../runners/runner-choice.ts';
import type { OptionRow } from './option-row.ts';
import { SERVER_OPTIONS } from './server-option-table.ts';

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
    value: 'MODEL',
    help: 'Checkpoint folder, or the name of a model that was downloaded: OWNER/MODEL or OWNER/MODEL@REVISION (see pull)',
    default: 'the embedded pocket-dictionary',
    variable: 'SWITCHYARD_MODEL',
  },
  {
    name: 'runner',
    type: 'choice',
    choices: ['auto', ...RUNNER_NAMES],
    help: 'What runs the model; auto: a GPU whose answers were checked on this machine, else the CPU',
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
    name: 'activations',
    type: 'choice',
    choices: ['bf16', 'exact'],
    help: 'What --runner hip rounds activations to in steps of more than 512 tokens of a prompt, keys and values kept in 16 bits; exact: to no less than elsewhere, and f32',
    default: 'bf16',
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
    choices: REASONING_EFFORTS,
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
    name: 'pull',
    summary:
      "Download a model into the cache that Hugging Face's tools share, or go on with a download; every file is checked. HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE and HTTPS_PROXY mean what they mean there",
    words: 'OWNER/MODEL[@REVISION]',
    options: [
      {
        name: 'connections',
        type: 'integer',
        value: 'N',
        minimum: 1,
        maximum: 64,
        help: 'The most requests at a time',
        default: '8',
      },
      { ...JSON_OPTION, help: 'Print the folder, the commit and the bytes as JSON' },
      ...PROGRAM_OPTIONS,
    ],
  },
  {
    name: 'inspect',
    summary:
      'Configuration, tensors and devices, and what loading would take in each precision and on each device; loads nothing, and of a model that is not downloaded reads the headers alone',
    words: 'MODEL',
    options: [...MODEL_OPTIONS, JSON_OPTION, ...PROGRAM_OPTIONS],
  },
  {
    name: 'serve',
    summary: 'Put the OpenAI HTTP API in front of the model',
    options: [...MODEL_OPTIONS, ...SERVER_OPTIONS, ...PROGRAM_OPTIONS],
  },
  {
    name: 'verify',
    summary:
      'Check a runner on this machine with the runner suite and the embedded model, and measure how it decodes; of a GPU, auto remembers what is found',
    options: [
      { name: 'runner', type: 'choice', choices: RUNNER_NAMES, help: 'The runner to check' },
      ...MODEL_OPTIONS.filter(({ name }) => name === 'device'),
      {
        name: 'shape',
        type: 'choice',
        choices: ['gpt-oss-20b', 'gpt-oss-120b'],
        help: 'With --runner hip: also compare rows alone and in company at this shape, with weights made on the device, and measure it',
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
      {
        name: 'soak',
        type: 'integer',
        value: 'N',
        minimum: 1,
        maximum: 10_000_000,
        help: 'Also run this many steps of decoding on end: answers must stay, and memory must not grow',
      },
      JSON_OPTION,
      ...PROGRAM_OPTIONS,
    ],
  },
  {
    name: 'bench',
    summary:
      'Measure how a runner decodes and prefills a checkpoint, or a published shape with weights made on the GPU',
    options: [
      { name: 'runner', type: 'choice', choices: RUNNER_NAMES, help: 'The runner to measure' },
      ...MODEL_OPTIONS.filter(({ name }) => name === 'model' || name === 'device'),
      {
        name: 'shape',
        type: 'choice',
        choices: ['gpt-oss-20b', 'gpt-oss-120b'],
        help: 'With --runner hip: this shape, with weights made on the device, instead of a checkpoint',
      },
      {
        name: 'batch',
        type: 'text',
        value: 'N,N,…',
        help: 'Sequences side by side that decoding is measured with',
        default: '1,4,16',
      },
      {
        name: 'context',
        type: 'integer',
        value: 'N',
        minimum: 1,
        maximum: 131_072,
        help: 'Tokens of each sequence before the first measured step',
        default: '1024',
      },
      {
        name: 'depth',
        type: 'text',
        value: 'N,N,…',
        help: 'Tokens of context at which decoding of one sequence is measured besides, such as 8192,131072',
      },
      {
        name: 'steps',
        type: 'integer',
        value: 'N',
        minimum: 1,
        maximum: 100_000,
        help: 'Steps of decoding that are measured',
        default: '128',
      },
      {
        name: 'prompt',
        type: 'text',
        value: 'N,N,…',
        help: 'Tokens of the prompts that prefill is measured with',
        default: '1024',
      },
      ...SAMPLING_OPTIONS.filter(({ name }) => name === 'temperature'),
      { name: 'out', type: 'text', value: 'FILE', help: 'Also write the JSON here' },
      {
        name: 'plot',
        type: 'text',
        value: 'FILE',
        help: 'Also draw tokens/s over --batch here, beside what the bandwidth allows, as SVG',
      },
      JSON_OPTION,
      ...PROGRAM_OPTIONS,
    ],
  },
];
