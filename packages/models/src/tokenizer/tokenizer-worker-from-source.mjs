// Runs the worker from its TypeScript source, for tests: Node 20's workers do not inherit the loader of their parent.
import { register } from 'tsx/esm/api';

register();
await import('./tokenizer-worker.ts');
