import { createCpuRouter } from '../../src/cpu/index.ts';
import { describeRouterContract } from '../contract-suite.ts';

describeRouterContract('cpu', async (config) => createCpuRouter(config), 'quick');
