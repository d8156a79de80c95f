import { reference } from '../test/golden/reference.ts';

export type ReferencePrompt = (typeof reference)[number];

/** Which of the reference's prompts are answered otherwise than there, greedily. */
export async function wrongAnswers(answer: (prompt: ReferencePrompt) => Promise<readonly number[]>): Promise<string[]> {
  const problems: string[] = [];
  for (const prompt of reference) {
    const found = await answer(prompt);
    if (found.join() !== prompt.greedy.join()) problems.push(`the answer to '${prompt.text.slice(0, 40)}'`);
  }
  return problems;
}
