import { checkSoups } from './header-soup.ts';
import { TOKENIZERS } from './tokenizers.ts';

for (const [name, tokenizer] of TOKENIZERS) {
  describe(`many soups of headers before a well-formed ending, in tokens of ${name}`, () => {
    it('leave the final message alone as the content', () => checkSoups(tokenizer, 5000)).timeout(300_000);
  });
}
