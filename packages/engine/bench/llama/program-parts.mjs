// What both programs of contender-process.ts share.
import { readFileSync } from 'node:fs';

/** Token ids that are all ordinary, others for each sequence. */
export const promptOf = (sequence, tokens) => Array.from({ length: tokens }, (_, i) => (i * 37 + sequence * 11) % 4000);

/** Tokens of the prompts that decoding starts from. */
export const DECODE_PROMPT = 16;

/** Megabytes of this process. */
export function memory() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
  return { resident: field('VmRSS'), anonymous: field('RssAnon') };
}

/** Answers requests, one at a time. */
export function serve(loadMilliseconds, handlers) {
  process.on('message', async (request) => {
    process.send({ type: request.type, ...(await handlers[request.type](request)) });
  });
  process.send({ type: 'loaded', milliseconds: loadMilliseconds });
}
