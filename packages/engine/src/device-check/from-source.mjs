// Runs the check from its TypeScript source, for tests: the process does not inherit the loader of its parent.
import { register } from 'tsx/esm/api';

register();
await import('./check-process.ts');
