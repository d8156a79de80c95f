// Runs the grammars' thread from its TypeScript source, for tests: Node 20's workers do not inherit the loader of their parent.
import { register } from 'tsx/esm/api';

register();
await import('./grammar-worker.ts');
