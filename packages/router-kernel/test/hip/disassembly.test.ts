import { PREBUILT_TARGETS } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { describeRouterCode } from './router-code.ts';
import { CODE_FAMILIES } from './code-families.ts';

/** The quick level looks at one object, the full one at a processor of each family. */
const architectures = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? CODE_FAMILIES : ['gfx942'];

for (const target of PREBUILT_TARGETS) {
  if (architectures.includes(target.architecture)) describeRouterCode(target);
}
