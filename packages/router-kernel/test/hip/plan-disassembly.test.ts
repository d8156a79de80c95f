import { skipWithoutLlvm } from '../../../gpu/test/testing/skip-without.ts';
import { PREBUILT_TARGETS, PUBLISHED_SHAPES } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { checkPlanObjects } from './plan-objects.ts';

describe('the AMD code of the dispatch plan', function () {
  this.timeout(300_000);
  before(skipWithoutLlvm);

  const shapes = PUBLISHED_SHAPES.filter(({ models }) => /^gpt-oss-120b$|^Qwen3-Next/.test(models));
  for (const target of PREBUILT_TARGETS.filter(({ architecture }) => /gfx942|gfx1100/.test(architecture))) {
    it(`spills nothing on ${target.architecture}, and takes no more shared memory than a block has`, () => {
      checkPlanObjects(target, shapes);
    });
  }
});
