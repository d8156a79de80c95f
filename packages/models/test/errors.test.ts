import assert from 'node:assert/strict';
import * as errors from '../src/errors.ts';

const BF16 = { dtype: 'BF16', shape: [64] };

/** One of each. */
const ERRORS: readonly errors.ModelsError[] = [
  new errors.FileNotReadableError('a.json', 'give an absolute path'),
  new errors.FileNotReadableError('a.json', 'give an absolute path', new Error('EACCES')),
  new errors.InvalidJsonError('a.json', 'its bytes are no UTF-8'),
  new errors.DuplicateJsonKeyError('a.json', 'hidden_size'),
  new errors.InvalidSafetensorsError('a.safetensors', 'file-too-small', 'it has 3 bytes'),
  new errors.InvalidSafetensorsError('a.safetensors', 'shape', 'its shape is no list', 'norm'),
  new errors.InvalidSafetensorsError('a.safetensors', 'dtype', 'its dtype is F3', 'norm'),
  new errors.ForeignFileError('a.safetensors', 'a safetensors file', 'a GGUF model', 'take the safetensors files'),
  new errors.InvalidShardIndexError('a.json', 'weight_map is empty'),
  new errors.MissingShardError('folder', 'b.safetensors'),
  new errors.InvalidConfigError('config.json', 'hidden_size', undefined, 'a whole number'),
  new errors.UnsupportedArchitectureError('config.json', 'model_type "llama"'),
  new errors.MissingTensorsError('folder', ['a', 'b']),
  new errors.UnexpectedTensorsError('folder', ['a', 'b', 'c', 'd', 'e', 'f']),
  new errors.TensorMismatchError('folder', 'norm', [BF16], { dtype: 'BF16', shape: [2, 32] }),
  new errors.TensorMismatchError('folder', 'norm', [BF16], { dtype: 'I32', shape: [64] }),
  new errors.InvalidTokenizerError('tokenizer.json', 'model', 'is no object'),
  new errors.UnknownTokenError(7, 7),
  new errors.TooManyTokensError(10),
  new errors.InvalidTensorDataError('bf16', '3 bytes', 'an even number of bytes'),
  new errors.DisposedError('The tokenizer'),
  new errors.InvalidToolNameError('a b'),
  new errors.DuplicateToolError('search'),
  new errors.UnknownToolResultError(2, null),
  new errors.UnknownToolResultError(2, 'call_1'),
  new errors.MissingToolResultError(2, 'call_1'),
  new errors.MissingSpecialTokenError('<|start|>'),
  new errors.HarmonyParseError('unknown-role', 4, 'robot'),
  new errors.FolderNotEmptyError('folder', ['a', 'b', 'c', 'd']),
];

describe('errors of reading checkpoints', () => {
  it('are all looked at here', () => {
    const classes = Object.entries(errors).flatMap(([name, value]) =>
      typeof value === 'function' && value !== errors.ModelsError ? [name] : [],
    );
    assert.deepEqual([...new Set(ERRORS.map(({ name }) => name))].sort(), classes.sort());
  });

  for (const error of ERRORS) {
    it(`${error.name} says what happened, what was found and what to do: ${error.message.slice(0, 40)}`, () => {
      const [happened = '', found = '', advice = '', ...more] = error.message.split(' · ');
      assert.deepEqual(more, []);
      assert.match(happened, /^[A-Za-z/].*[^.:]$/u);
      assert.match(found, /^\S.*[^.:]$/u);
      assert.match(advice, /^[a-z].*[^.:]$/u);
      assert.match(error.code, /^[A-Z][A-Z_]+$/u);
    });
  }
});
