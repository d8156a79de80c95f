import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { SchemaRefusal } from '../../src/constraint/schema/refusal.ts';
import { SchemaProbe } from './schema-probe.ts';

/** A part of the official JSON Schema test suite, beside the checkout. */
const SUITE = new URL('../../../../../shared/json-schema-suite/', import.meta.url);

interface Group {
  readonly description: string;
  readonly schema: unknown;
  readonly tests: readonly { readonly description: string; readonly data: unknown; readonly valid: boolean }[];
}

describe('the official JSON Schema test suite', () => {
  it('has no invalid instance that is taken, and three quarters of its instances are judged right', function () {
    if (!existsSync(SUITE)) {
      console.log(`      no suite at ${SUITE.pathname}: put the files of tests/draft2020-12 there`);
      this.skip();
    }
    let right = 0;
    let all = 0;
    for (const file of readdirSync(SUITE).filter((name) => name.endsWith('.json'))) {
      for (const { description, schema, tests } of JSON.parse(readFileSync(new URL(file, SUITE), 'utf8')) as Group[]) {
        all += tests.length;
        let probe: SchemaProbe;
        try {
          probe = new SchemaProbe(schema);
        } catch (error) {
          if (error instanceof SchemaRefusal) continue;
          throw error;
        }
        for (const { description: what, data, valid } of tests) {
          const taken = [data, null].map((_, at) => probe.takes(JSON.stringify(data, null, at * 2)));
          if (!valid) assert.deepEqual(taken, [false, false], `${file}: ${description}: ${what}`);
          // Where no value fits, the schema is refused: that is no judgement of its instances.
          if (taken[0] === valid && probe.isProductive) right += 1;
        }
      }
    }
    assert.ok(right >= all * 0.75, `${right} of ${all}`);
  });
});
