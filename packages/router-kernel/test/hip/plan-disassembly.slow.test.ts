import { skipWithoutLlvm } from '../../../gpu/test/testing/skip-without.ts';
import { PREBUILT_TARGETS } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { checkPlanObjects } from './plan-objects.ts';

describe('the AMD code of the dispatch plan, of every published shape', function () {
  this.timeout(900_000);
  before(skipWithoutLlvm);

  for (const target of PREBUILT_TARGETS) {
    it(`spills nothing on ${target.architecture}, and takes no more shared memory than a block has`, () => {
      checkPlanObjects(target);
    });
  }
});
