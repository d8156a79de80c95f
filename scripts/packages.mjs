import { ROOMS } from './rooms.mjs';

/** The packages in the order of their dependencies: each stands on those before it. */
export const PACKAGES = Object.keys(ROOMS);
