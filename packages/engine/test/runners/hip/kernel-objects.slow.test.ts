import { describeKernelObjects } from './kernel-objects.ts';

describeKernelObjects(['gfx90a', 'gfx950', 'gfx1030', 'gfx1151', 'gfx1201']);
