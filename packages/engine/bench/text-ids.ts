import { openSnapshot } from '@switchyard/models';

/** What a decoder makes of bytes that are no character yet. */
const UNFINISHED = '\ufffd';

/** How many of the embedded model's ids from 0 up are text by themselves: what is chosen among them arrives token by token. */
export async function embeddedTextIds(): Promise<number> {
  using snapshot = await openSnapshot();
  const { tokenizer } = snapshot;
  let id = 0;
  while (id < tokenizer.vocabularySize && !tokenizer.decode([id]).includes(UNFINISHED)) id++;
  return id;
}
