import { PREBUILT_TARGETS } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { describeRouterCode } from './router-code.ts';
import { CODE_FAMILIES } from './code-families.ts';

for (const target of PREBUILT_TARGETS) {
  if (!CODE_FAMILIES.includes(target.architecture)) describeRouterCode(target);
}
