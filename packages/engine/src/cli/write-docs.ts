/** Writes docs/cli.md; `npm run docs` calls it. */

import { writeFile } from 'node:fs/promises';
import { commandLineDocument } from './help.ts';

await writeFile(new URL('../../../../docs/cli.md', import.meta.url), commandLineDocument());
