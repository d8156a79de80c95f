import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCheckpointTensors } from './files/checkpoint-tensors.ts';
import { describeCheckpoint } from './checkpoint-description.ts';
import { FileNotReadableError, InvalidTokenizerError } from './errors.ts';
import {
  defaultGenerationConfig,
  type GenerationConfig,
  parseGenerationConfig,
  withEndTokens,
} from './generation-config.ts';
import { type GptOssConfig, type GptOssLayout, parseGptOssConfig } from './gpt-oss/config.ts';
import type { GptOssWeights } from './gpt-oss/weights.ts';
import { readFileBytes, readJsonFile } from './files/json-file.ts';
import { readTokenizer, readTokenizerInThread, type TokenizerData } from './tokenizer/read-tokenizer.ts';
import type { SafetensorsOptions } from './files/safetensors.ts';
import { type Tokenizer, type TokenizerOptions, tokenizerOf } from './tokenizer/tokenizer.ts';

/** A checkpoint folder, opened: configuration, tokenizer and mapped tensors. Nothing is decoded or copied. */
export interface Snapshot extends Disposable {
  /** The folder, absolute. */
  readonly path: string;
  readonly layout: GptOssLayout;
  readonly config: GptOssConfig;
  readonly generation: GenerationConfig;
  readonly tokenizer: Tokenizer;
  /** What the tokenizer was made from, for another thread that opens the same folder. */
  readonly tokenizerData: TokenizerData;
  readonly weights: GptOssWeights;
  /** Bytes of all tensors. */
  readonly tensorBytes: number;
  /** The text of chat_template.jinja (or of tokenizer_config.json's chat_template), or null. */
  readonly chatTemplate: string | null;
  /**
   * Closes the files and frees the tokenizer. `bytes` of a tensor throws DisposedError afterwards; views taken before
   * stay readable, and their memory is unmapped once they are garbage collected.
   */
  dispose(): void;
}

/** How to open a checkpoint folder: how tensors are mapped, and how the tokenizer is made. */
export interface SnapshotOptions extends SafetensorsOptions, TokenizerOptions {
  /**
   * `'here'` reads tokenizer.json in this thread, which holds it up for a second or two where there are 200,000 tokens;
   * `'thread'` reads a large one in a thread of its own; data that another snapshot of the folder has read spare it
   * all. Default `'here'`.
   */
  readonly tokenizer?: 'here' | 'thread' | TokenizerData;
  /** Ends the reading of a tokenizer in its thread; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** The folder of the checkpoint that comes with this package: pocket-dictionary, a GPT-OSS of 18 MB. */
export function embeddedCheckpointPath(): string {
  return fileURLToPath(new URL('../checkpoints/pocket-dictionary', import.meta.url));
}

/**
 * What transformers computed in f32 for some prompts on the embedded checkpoint, a JSON array: ids, the greedy answer, the
 * best logits, the likelihood, and what every router chose.
 */
export function embeddedReferencePath(): string {
  return fileURLToPath(new URL('../reference/pocket-dictionary.json', import.meta.url));
}

/**
 * Opens a GPT-OSS checkpoint in the Hugging Face layout or in the `original/` one. An `original/` folder has no
 * tokenizer of its own: the files beside the weights are looked for in the folder above as well.
 *
 * Reads the JSON files and the safetensors headers; the weights are mapped as they are asked for.
 *
 * @param path the folder; default the embedded checkpoint.
 * @throws ModelsError of one kind or another: see errors.ts.
 */
export async function openSnapshot(
  path: string = embeddedCheckpointPath(),
  options: SnapshotOptions = {},
): Promise<Snapshot> {
  const folder = absolute(path);
  const configPath = join(folder, 'config.json');
  const parsed = parseGptOssConfig(readJsonFile(configPath), configPath);
  const { layout } = parsed;
  const beside = (name: string): string => findBeside(folder, name, layout);

  const checkpoint = openCheckpointTensors(folder, options);
  let tokenizer: Tokenizer | null = null;
  try {
    const { config, weights } = describeCheckpoint({ parsed, configPath, tensors: checkpoint.tensors, folder });
    const tokenizerPath = beside('tokenizer.json');
    const tokenizerData = await tokenizerDataFor(tokenizerPath, options);
    tokenizer = openTokenizer(tokenizerData, tokenizerPath, config, options);
    const generation = readGeneration(beside('generation_config.json'), tokenizer, parsed.eosTokenIds);
    const chatTemplate = readChatTemplate(beside('chat_template.jinja'), beside('tokenizer_config.json'));
    const opened = tokenizer;
    const dispose = (): void => {
      checkpoint.dispose();
      opened.dispose();
    };
    return {
      path: folder,
      layout,
      config,
      generation,
      tokenizer,
      tokenizerData,
      weights,
      tensorBytes: checkpoint.tensorBytes,
      chatTemplate,
      dispose,
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    tokenizer?.dispose();
    checkpoint.dispose();
    throw error;
  }
}

/** The working folder of a process may be gone: then only absolute paths lead anywhere. */
function absolute(path: string): string {
  try {
    return resolve(path);
  } catch (cause) {
    throw new FileNotReadableError(path, 'give an absolute path', cause);
  }
}

function findBeside(folder: string, name: string, layout: GptOssLayout): string {
  const own = join(folder, name);
  const above = join(dirname(folder), name);
  return layout === 'original' && !existsSync(own) && existsSync(above) ? above : own;
}

async function tokenizerDataFor(path: string, { tokenizer = 'here', signal }: SnapshotOptions): Promise<TokenizerData> {
  if (tokenizer === 'here') return readTokenizer(path);
  return tokenizer === 'thread' ? readTokenizerInThread(path, signal) : tokenizer;
}

function openTokenizer(data: TokenizerData, path: string, config: GptOssConfig, options: TokenizerOptions): Tokenizer {
  const tokenizer = tokenizerOf(data, path, options);
  if (tokenizer.vocabularySize <= config.vocabularySize) return tokenizer;
  tokenizer.dispose();
  throw new InvalidTokenizerError(
    path,
    'model.vocab',
    `with added_tokens makes ${tokenizer.vocabularySize} tokens, the model has ${config.vocabularySize}`,
  );
}

function readGeneration(path: string, tokenizer: Tokenizer, configEosTokenIds: readonly number[]): GenerationConfig {
  const { specialTokens, vocabularySize } = tokenizer;
  const generation = existsSync(path)
    ? parseGenerationConfig(readJsonFile(path), path, vocabularySize)
    : defaultGenerationConfig(specialTokens);
  return withEndTokens(generation, specialTokens, configEosTokenIds);
}

function readChatTemplate(templatePath: string, tokenizerConfigPath: string): string | null {
  if (existsSync(templatePath)) return Buffer.from(readFileBytes(templatePath)).toString('utf8');
  if (!existsSync(tokenizerConfigPath)) return null;
  const json = readJsonFile(tokenizerConfigPath);
  const template = typeof json === 'object' && json !== null && 'chat_template' in json ? json.chat_template : null;
  return typeof template === 'string' ? template : null;
}
