import { describeKernelObjects } from './kernel-objects.ts';

describeKernelObjects(['gfx942', 'gfx1100']);
