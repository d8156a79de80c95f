/** Server-sent events of a response's body. */

/**
 * The data of every event.
 *
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @param {() => void} alive called whenever something comes, comments included
 * @returns {AsyncGenerator<string, void, undefined>}
 */
export async function* eventData(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const parts = (rest + value).split(/\r?\n\r?\n/);
      rest = parts.pop() ?? '';
      for (const part of parts) {
        const lines = part.split(/\r?\n/).filter((line) => line.startsWith('data:'));
        const data = lines.map((line) => line.slice(5).trimStart()).join('\n');
        if (data !== '') yield data;
      }
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}
