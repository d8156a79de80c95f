/** Loads the embedded model and ends the process, with code 5, in the middle of what its argument says. */

import { Engine } from '../../src/engine.ts';

const [, , when, steps] = process.argv;
const end = (): never => process.exit(5);

if (when === 'load') {
  let told = 0;
  await Engine.load(undefined, {
    router: 'cpu',
    onProgress: () => {
      told += 1;
      if (told > Number(steps)) end();
    },
  });
}
const engine = await Engine.load(undefined, { router: 'cpu' });
if (when === 'score') {
  void engine.score([{ text: 'word '.repeat(2000) }]);
  setTimeout(end, 10 * Number(steps));
} else {
  let events = 0;
  for await (const _ of engine.generate({ prompt: 'The noun', ignoreEndTokens: true })) {
    events += 1;
    if (events > Number(steps)) end();
  }
}
