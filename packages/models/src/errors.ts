/**
 * Every way in which reading a checkpoint can fail. Messages say what happened, what was found and what to do;
 * `code` is stable and meant for programs.
 */

/** The base of all errors thrown by this package. Its message is "what happened · what was found · what to do". */
export abstract class ModelsError extends Error {
  /** A stable name of the failure, such as 'INVALID_SAFETENSORS'. */
  abstract readonly code: string;

  constructor(happened: string, found: string, advice: string, cause?: unknown) {
    super(`${happened} · ${found} · ${advice}`, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
  }
}

/** A file is missing or the operating system refuses to read it. `cause` holds the system's error, if there was one. */
export class FileNotReadableError extends ModelsError {
  readonly code = 'FILE_NOT_READABLE';
  readonly path: string;

  constructor(path: string, advice: string, cause?: unknown) {
    const reason = cause instanceof Error ? cause.message : 'there is no such file';
    super(`Cannot read ${path}`, reason, advice, cause);
    this.path = path;
  }
}

/** A file that should hold JSON does not, or holds JSON that is ambiguous. */
export class InvalidJsonError extends ModelsError {
  readonly code = 'INVALID_JSON';
  readonly path: string;

  constructor(path: string, found: string, cause?: unknown) {
    super(`${path} is not valid JSON`, found, 'download the file again', cause);
    this.path = path;
  }
}

/** An object in a JSON text has the same key twice, so that readers would disagree about its meaning. */
export class DuplicateJsonKeyError extends ModelsError {
  readonly code = 'DUPLICATE_JSON_KEY';
  readonly path: string;
  readonly key: string;

  constructor(path: string, key: string) {
    super(
      `${path} is ambiguous`,
      `found the key ${JSON.stringify(key)} twice in one object`,
      'write the file again with each key once',
    );
    this.path = path;
    this.key = key;
  }
}

/** What is wrong with a safetensors file. */
export type SafetensorsFault =
  | 'file-too-small'
  | 'header-too-large'
  | 'header-past-end'
  | 'header-not-utf8'
  | 'header-not-object'
  | 'metadata'
  | 'tensor-entry'
  | 'dtype'
  | 'shape'
  | 'offsets'
  | 'size-mismatch'
  | 'hole'
  | 'overlap'
  | 'past-end'
  | 'trailing-bytes'
  | 'shard-mismatch';

/** A safetensors file breaks its format. */
export class InvalidSafetensorsError extends ModelsError {
  readonly code = 'INVALID_SAFETENSORS';
  readonly path: string;
  readonly fault: SafetensorsFault;
  /** The tensor at fault, or null where the file as a whole is. */
  readonly tensor: string | null;

  constructor(path: string, fault: SafetensorsFault, found: string, tensor: string | null = null) {
    super(
      `${path} is not a valid safetensors file (${fault})`,
      tensor === null ? found : `tensor ${JSON.stringify(tensor)}: ${found}`,
      fault === 'dtype'
        ? 'save the tensor with one of these dtypes, or take a version of Switchyard that knows it'
        : 'the file is damaged or cut short: download it again',
    );
    this.path = path;
    this.fault = fault;
    this.tensor = tensor;
  }
}

/** A file is something else than its name says: a pointer of Git LFS, an archive, a model of another format, a web page. */
export class ForeignFileError extends ModelsError {
  readonly code = 'FOREIGN_FILE';
  readonly path: string;
  /** What it is, such as 'a GGUF model'. */
  readonly found: string;

  /** @param expected what it should be, such as 'a safetensors file'. */
  constructor(path: string, expected: string, found: string, advice: string) {
    super(`${path} is not ${expected}`, `it is ${found}`, advice);
    this.path = path;
    this.found = found;
  }
}

/** model.safetensors.index.json is no list of shards, or a tensor is in two of the files. */
export class InvalidShardIndexError extends ModelsError {
  readonly code = 'INVALID_SHARD_INDEX';
  readonly path: string;

  constructor(path: string, found: string) {
    super(`${path} does not describe its shards`, found, 'download the index and the shards from the same revision');
    this.path = path;
  }
}

/** The index names a shard that is not in the folder. */
export class MissingShardError extends ModelsError {
  readonly code = 'MISSING_SHARD';
  readonly path: string;
  readonly shard: string;

  constructor(path: string, shard: string, cause?: unknown) {
    super(`${path} lacks a shard`, `its index names ${shard}`, 'download that file into the folder', cause);
    this.path = path;
    this.shard = shard;
  }
}

/** A field of a configuration file is missing or has a value that cannot be. */
export class InvalidConfigError extends ModelsError {
  readonly code = 'INVALID_CONFIG';
  readonly path: string;
  readonly field: string;
  readonly found: unknown;
  readonly expected: string;

  constructor(path: string, field: string, found: unknown, expected: string) {
    super(
      `${path} has an invalid ${field}`,
      `found ${describeValue(found)}, expected ${expected}`,
      'correct the field or download the file again',
    );
    this.path = path;
    this.field = field;
    this.found = found;
    this.expected = expected;
  }
}

/** The checkpoint is of a model that this package does not know. */
export class UnsupportedArchitectureError extends ModelsError {
  readonly code = 'UNSUPPORTED_ARCHITECTURE';
  readonly path: string;
  readonly architecture: string;

  constructor(path: string, architecture: string) {
    super(
      `${path} describes a model of another architecture`,
      `found ${architecture}, supported is GptOssForCausalLM (model_type gpt_oss) and the original/ layout of openai/gpt-oss`,
      'choose a GPT-OSS checkpoint',
    );
    this.path = path;
    this.architecture = architecture;
  }
}

/** Tensors that the configuration calls for are not in the checkpoint. */
export class MissingTensorsError extends ModelsError {
  readonly code = 'MISSING_TENSORS';
  readonly path: string;
  readonly tensors: readonly string[];

  constructor(path: string, tensors: readonly string[]) {
    super(
      `${path} lacks ${tensors.length} of the tensors that its config.json calls for`,
      `not found: ${listNames(tensors)}`,
      'download every shard of one revision, or correct config.json',
    );
    this.path = path;
    this.tensors = tensors;
  }
}

/** The checkpoint holds tensors that a GPT-OSS of this configuration does not have. */
export class UnexpectedTensorsError extends ModelsError {
  readonly code = 'UNEXPECTED_TENSORS';
  readonly path: string;
  readonly tensors: readonly string[];

  constructor(path: string, tensors: readonly string[]) {
    super(
      `${path} holds ${tensors.length} tensors that a GPT-OSS of its config.json does not have`,
      `found ${listNames(tensors)}`,
      'merge adapters and other variants into plain GPT-OSS weights first',
    );
    this.path = path;
    this.tensors = tensors;
  }
}

interface ErrorTensorForm {
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** A tensor has another dtype or shape than the configuration calls for. */
export class TensorMismatchError extends ModelsError {
  readonly code = 'TENSOR_MISMATCH';
  readonly path: string;
  readonly tensor: string;
  /** The form that the published checkpoints have. */
  readonly expected: ErrorTensorForm;
  readonly found: ErrorTensorForm;

  /** @param forms every form that is read, the published one first. */
  constructor(
    path: string,
    tensor: string,
    forms: readonly [ErrorTensorForm, ...ErrorTensorForm[]],
    found: ErrorTensorForm,
  ) {
    const [expected] = forms;
    // Of the right dtype it is the shape that is wrong.
    const isShape = forms.some(({ dtype }) => dtype === found.dtype);
    super(
      `${path} holds a tensor of another form than its config.json calls for`,
      `found ${tensor} as ${describeForm(found)}, config.json calls for ${forms.map(describeForm).join(' or ')}`,
      isShape ? 'use the config.json that belongs to these weights' : 'save the tensor with one of these dtypes',
    );
    this.path = path;
    this.tensor = tensor;
    this.expected = expected;
    this.found = found;
  }
}

/** tokenizer.json cannot be used: broken, of another kind, or at odds with its own merges. */
export class InvalidTokenizerError extends ModelsError {
  readonly code = 'INVALID_TOKENIZER';
  readonly path: string;
  /** Where in the file, such as 'model.vocab'. */
  readonly field: string;

  constructor(path: string, field: string, found: string, cause?: unknown) {
    super(
      `${path} cannot be used as a tokenizer`,
      `${field} ${found}`,
      'use the tokenizer.json of a GPT-OSS checkpoint',
      cause,
    );
    this.path = path;
    this.field = field;
  }
}

/** An id was given for which the tokenizer has no token. */
export class UnknownTokenError extends ModelsError {
  readonly code = 'UNKNOWN_TOKEN';
  readonly id: number;

  constructor(id: number, vocabularySize: number) {
    super(
      `There is no token ${id}`,
      `ids of this tokenizer are whole numbers from 0 to ${vocabularySize - 1}`,
      'pass ids that it made',
    );
    this.id = id;
  }
}

/** A text has more tokens than its reader has room for. How many more is not known: the rest was not read. */
export class TooManyTokensError extends ModelsError {
  readonly code = 'TOO_MANY_TOKENS';
  /** The most tokens there may be. */
  readonly most: number;

  constructor(most: number) {
    super('The text is too long', `found more than ${most} tokens`, 'shorten it');
    this.most = most;
  }
}

/** A decoding function was given buffers of the wrong size or kind. */
export class InvalidTensorDataError extends ModelsError {
  readonly code = 'INVALID_TENSOR_DATA';

  constructor(what: string, found: string, expected: string) {
    super(`${what} cannot be decoded`, `found ${found}, expected ${expected}`, 'pass buffers of the documented sizes');
  }
}

/** Something was used after its dispose(). */
export class DisposedError extends ModelsError {
  readonly code = 'DISPOSED';

  constructor(what: string) {
    super(`${what} was used after dispose()`, 'it holds nothing any more', 'open it again, or dispose of it later');
  }
}

function describeForm({ dtype, shape }: ErrorTensorForm): string {
  return `${dtype} [${shape.join(', ')}]`;
}

function describeValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) return typeof value;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function listNames(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}

/** A tool's name cannot stand in a harmony header. */
export class InvalidToolNameError extends ModelsError {
  readonly code = 'INVALID_TOOL_NAME';
  readonly toolName: string;

  constructor(toolName: string) {
    super(
      'A tool has a name that harmony cannot write',
      `found ${JSON.stringify(toolName)}, names are 1 to 64 characters out of A-Z, a-z, 0-9, _ and -`,
      'rename the tool',
    );
    this.toolName = toolName;
  }
}

/** Two tools of one conversation have the same name. */
export class DuplicateToolError extends ModelsError {
  readonly code = 'DUPLICATE_TOOL';
  readonly toolName: string;

  constructor(toolName: string) {
    super(
      'Two tools have the same name',
      `found ${JSON.stringify(toolName)} twice`,
      'give each tool a name of its own',
    );
    this.toolName = toolName;
  }
}

/** A tool message does not say, and nothing before it tells, which tool the result is from. */
export class UnknownToolResultError extends ModelsError {
  readonly code = 'UNKNOWN_TOOL_RESULT';
  /** The message's place in the conversation, from 0. */
  readonly messageIndex: number;
  readonly toolCallId: string | null;

  constructor(messageIndex: number, toolCallId: string | null) {
    const found =
      toolCallId === null
        ? 'it has neither a name nor a toolCallId, and no call goes before it'
        : `no call before it that waits for a result has the id ${JSON.stringify(toolCallId)}`;
    super(`Message ${messageIndex} is the result of an unknown tool`, found, "set the message's name or toolCallId");
    this.messageIndex = messageIndex;
    this.toolCallId = toolCallId;
  }
}

/** A call without a result, although the conversation goes on: what follows would be taken for written without it. */
export class MissingToolResultError extends ModelsError {
  readonly code = 'MISSING_TOOL_RESULT';
  /** The place in the conversation, from 0, of the last message of the step that made the call. */
  readonly messageIndex: number;
  readonly toolCallId: string;

  constructor(messageIndex: number, toolCallId: string) {
    super(
      `Message ${messageIndex} calls a tool whose result is missing`,
      `found none for the call ${JSON.stringify(toolCallId)}`,
      'add its result, or leave the call out',
    );
    this.messageIndex = messageIndex;
    this.toolCallId = toolCallId;
  }
}

/** A vocabulary lacks a special token that harmony is made of. */
export class MissingSpecialTokenError extends ModelsError {
  readonly code = 'MISSING_SPECIAL_TOKEN';
  readonly token: string;

  constructor(token: string) {
    super(
      'The tokenizer lacks a special token',
      `not found: ${token}`,
      'use the tokenizer.json of a GPT-OSS checkpoint',
    );
    this.token = token;
  }
}

/** What breaks harmony's grammar in a stream of tokens. */
export type HarmonyFault =
  | 'text-outside-message'
  | 'marker-out-of-place'
  | 'missing-message-token'
  | 'unknown-role'
  | 'unknown-channel'
  | 'missing-channel'
  | 'invalid-recipient'
  | 'unexpected-header-text'
  | 'call-without-recipient'
  | 'unfinished-header';

/** The model's answer breaks harmony's grammar. Thrown by the parser in strict mode only. */
export class HarmonyParseError extends ModelsError {
  readonly code = 'HARMONY_PARSE';
  readonly fault: HarmonyFault;
  /** The place in the stream of the token at which the fault was noticed, from 0. */
  readonly tokenIndex: number;
  /** What was found: a text out of the header or a marker. */
  readonly found: string;

  constructor(fault: HarmonyFault, tokenIndex: number, found: string) {
    super(
      `The answer is not harmony (${fault.replaceAll('-', ' ')})`,
      `found ${JSON.stringify(found)} at token ${tokenIndex}`,
      'parse without strict mode to get what can be read',
    );
    this.fault = fault;
    this.tokenIndex = tokenIndex;
    this.found = found;
  }
}

/** A checkpoint is not written, because the folder for it holds something already. */
export class FolderNotEmptyError extends ModelsError {
  readonly code = 'FOLDER_NOT_EMPTY';
  readonly path: string;

  constructor(path: string, found: readonly string[]) {
    super(
      `The checkpoint was not written: ${path} is not empty`,
      `found ${found.slice(0, 3).join(', ')}${found.length > 3 ? ` and ${found.length - 3} more` : ''}`,
      'name a folder that is new or empty',
    );
    this.path = path;
  }
}
