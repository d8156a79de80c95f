import { skipWithoutLlvm } from '../../../gpu/test/testing/skip-without.ts';
import { PREBUILT_TARGETS, PUBLISHED_SHAPES } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { checkPlanObjects } from './plan-objects.ts';

/** The quick level looks at waves of 64, gated-objects.test.ts at waves of 32. */
const ARCHITECTURES = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? ['gfx942', 'gfx1100'] : ['gfx942'];

describe('the AMD code of the dispatch plan', function () {
  this.timeout(300_000);
  before(skipWithoutLlvm);

  const shapes = PUBLISHED_SHAPES.filter(({ models }) => /^gpt-oss-120b$|^Qwen3-Next/.test(models));
  for (const target of PREBUILT_TARGETS.filter(({ architecture }) => ARCHITECTURES.includes(architecture))) {
    it(`spills nothing on ${target.architecture}, and takes no more shared memory than a block has`, () => {
      checkPlanObjects(target, shapes);
    });
  }
});
