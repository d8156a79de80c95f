/**
 * The rooms of the house: what stands in each package's `src`, from the ground up, and which rooms above the ground may
 * import which below them. Type imports count. Tests may import anything of their own package.
 *
 * A room is one file (`errors.ts`), the files of one folder (`driver`), or a folder with all below it (`driver/**`);
 * a file with a row of its own is no part of its folder's room. A room names the rooms above it in its list that it may
 * import, and other packages by their name; `*` is everything above.
 *
 * `npm run check` holds every import against this table (check-rooms.mjs).
 */

const GPU = '@switchyard/gpu';
const MODELS = '@switchyard/models';
const ROUTER = '@switchyard/router-kernel';

/** @typedef {readonly [room: string, imports: readonly string[]]} Row */

/** The packages in the order of their dependencies: each stands on those before it. @type {Readonly<Record<string, readonly Row[]>>} */
export const ROOMS = {
  gpu: [
    ['logger.ts', []],
    ['errors.ts', []],
    ['environment.ts', []],
    ['driver', ['errors.ts', 'environment.ts']],
    ['kernels', ['errors.ts', 'logger.ts', 'environment.ts', 'driver']],
    ['offline', ['errors.ts']],
    ['testing', ['driver', 'kernels']],
    ['benchmark', ['errors.ts']],
    ['webgpu', ['errors.ts', 'logger.ts', 'driver']],
    ['index.ts', ['*']],
  ],
  'router-kernel': [
    ['errors.ts', [GPU]],
    ['typed-arrays.ts', []],
    ['contract.ts', ['errors.ts']],
    ['resolve-config.ts', ['errors.ts', 'typed-arrays.ts', 'contract.ts']],
    ['derived-config.ts', ['contract.ts']],
    ['dispatch-plan.ts', ['errors.ts', 'typed-arrays.ts', 'contract.ts']],
    ['number-formats.ts', ['contract.ts']],
    ['reference.ts', ['contract.ts', 'resolve-config.ts', 'dispatch-plan.ts', 'number-formats.ts']],
    [
      'suite',
      ['errors.ts', 'contract.ts', 'resolve-config.ts', 'dispatch-plan.ts', 'number-formats.ts', 'reference.ts'],
    ],
    [
      'cpu',
      [
        'errors.ts',
        'typed-arrays.ts',
        'contract.ts',
        'resolve-config.ts',
        'derived-config.ts',
        'dispatch-plan.ts',
        'number-formats.ts',
      ],
    ],
    ['hip/kernel', [GPU, 'errors.ts', 'contract.ts', 'resolve-config.ts', 'derived-config.ts']],
    [
      'hip',
      [
        GPU,
        'errors.ts',
        'typed-arrays.ts',
        'contract.ts',
        'resolve-config.ts',
        'derived-config.ts',
        'number-formats.ts',
        'suite',
        'hip/kernel',
      ],
    ],
    ['webgpu/wgsl/**', []],
    ['webgpu/kernel', [GPU, 'contract.ts', 'derived-config.ts', 'webgpu/wgsl/**']],
    [
      'webgpu',
      [
        GPU,
        'errors.ts',
        'typed-arrays.ts',
        'contract.ts',
        'resolve-config.ts',
        'derived-config.ts',
        'number-formats.ts',
        'webgpu/kernel',
      ],
    ],
    ['create-router.ts', [GPU, 'errors.ts', 'contract.ts', 'resolve-config.ts', 'cpu', 'hip', 'webgpu']],
    ['probe-backends.ts', [GPU, 'errors.ts', 'contract.ts', 'create-router.ts']],
    ['benchmark', ['contract.ts', 'resolve-config.ts', 'derived-config.ts', 'number-formats.ts', 'suite']],
    ['benchmark/hip', [GPU, 'errors.ts', 'contract.ts', 'hip/kernel', 'hip', 'benchmark']],
    [
      'benchmark/webgpu',
      [GPU, 'contract.ts', 'resolve-config.ts', 'reference.ts', 'suite', 'hip', 'webgpu', 'benchmark', 'benchmark/hip'],
    ],
    ['index.ts', [GPU, '*']],
    ['cli', [GPU, '*']],
  ],
  models: [
    ['errors.ts', []],
    ['tensors', ['errors.ts']],
    ['files', ['errors.ts', 'tensors']],
    ['tokenizer', ['errors.ts', 'files']],
    ['gpt-oss/harmony', ['errors.ts', 'tokenizer']],
    ['gpt-oss', ['errors.ts', 'tensors', 'files']],
    ['generation-config.ts', ['errors.ts', 'files', 'gpt-oss']],
    ['snapshot.ts', ['errors.ts', 'tensors', 'files', 'tokenizer', 'gpt-oss', 'generation-config.ts']],
    ['testing', ['errors.ts', 'tensors', 'tokenizer', 'gpt-oss']],
    ['index.ts', ['*']],
  ],
  engine: [
    ['ranges.ts', []],
    ['describe-bytes.ts', []],
    ['contain.ts', []],
    ['errors.ts', ['contain.ts', 'describe-bytes.ts']],
    ['serialized-error.ts', ['contain.ts']],
    ['check-values.ts', ['ranges.ts', 'errors.ts']],
    ['logger.ts', [GPU, 'contain.ts']],
    ['request.ts', [MODELS]],
    ['sampling', []],
    ['reference', [MODELS]],
    ['memory/cgroup-memory.ts', []],
    ['memory/process-memory.ts', ['memory/cgroup-memory.ts']],
    [
      'runners',
      [MODELS, 'contain.ts', 'errors.ts', 'check-values.ts', 'logger.ts', 'sampling', 'memory/process-memory.ts'],
    ],
    ['runners/suite', ['contain.ts', 'sampling', 'runners']],
    ['runners/ort/**', [MODELS, ROUTER, 'contain.ts', 'errors.ts', 'logger.ts', 'runners']],
    ['runners/import-ort.ts', ['contain.ts', 'runners', 'runners/ort/**']],
    ['runners/ort/ort-entry.ts', ['memory/process-memory.ts', 'runners', 'runners/ort/**', 'runners/import-ort.ts']],
    [
      'runners/hip/**',
      [GPU, MODELS, ROUTER, 'describe-bytes.ts', 'errors.ts', 'logger.ts', 'memory/process-memory.ts', 'runners'],
    ],
    ['runners/runner-table.ts', ['runners', 'runners/ort/ort-entry.ts', 'runners/hip/**']],
    ['runners/create-runner.ts', ['runners', 'runners/runner-table.ts']],
    ['constraint/language', ['contain.ts']],
    ['constraint/schema', ['constraint/language']],
    ['constraint/least-recent-map.ts', []],
    ['constraint/matcher', ['sampling', 'constraint/language', 'constraint/schema', 'constraint/least-recent-map.ts']],
    [
      'constraint',
      [
        MODELS,
        'errors.ts',
        'serialized-error.ts',
        'sampling',
        'constraint/least-recent-map.ts',
        'constraint/schema',
        'constraint/matcher',
      ],
    ],
    ['events.ts', [MODELS, 'runners']],
    ['scheduler', ['contain.ts', 'errors.ts', 'sampling', 'runners', 'constraint']],
    ['answer', [MODELS, 'errors.ts', 'sampling', 'events.ts', 'scheduler']],
    [
      'prepare',
      [
        MODELS,
        'ranges.ts',
        'contain.ts',
        'errors.ts',
        'check-values.ts',
        'request.ts',
        'sampling',
        'constraint',
        'scheduler',
        'answer',
      ],
    ],
    ['memory', [MODELS, 'describe-bytes.ts', 'errors.ts', 'memory/process-memory.ts', 'runners', 'scheduler']],
    ['options.ts', ['ranges.ts', 'errors.ts', 'check-values.ts', 'logger.ts', 'runners', 'scheduler', 'memory']],
    [
      'worker',
      [
        MODELS,
        'contain.ts',
        'errors.ts',
        'serialized-error.ts',
        'logger.ts',
        'runners',
        'runners/create-runner.ts',
        'constraint',
        'scheduler',
      ],
    ],
    ['loading', ['errors.ts', 'logger.ts', 'runners', 'options.ts']],
    ['engine.ts', [MODELS, '*']],
    [
      'verify',
      [MODELS, 'logger.ts', 'sampling', 'runners', 'runners/suite', 'runners/hip/**', 'runners/create-runner.ts'],
    ],
    ['server/errors', [MODELS, 'contain.ts', 'errors.ts']],
    ['server/schemas', [MODELS, 'ranges.ts', 'request.ts', 'server/errors']],
    [
      'server',
      [
        'contain.ts',
        'errors.ts',
        'logger.ts',
        'request.ts',
        'runners',
        'events.ts',
        'scheduler',
        'options.ts',
        'worker',
        'engine.ts',
        'server/errors',
        'server/schemas',
      ],
    ],
    ['index.ts', ['*']],
    ['cli', [MODELS, ROUTER, '*']],
  ],
};
