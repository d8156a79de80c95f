export * from './errors.ts';
export type { Logger } from './logger.ts';
