import assert from 'node:assert/strict';
import addFormats from 'ajv-formats';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { FUZZ_SEED } from '../fixtures/fuzz-seed.ts';
import { SchemaRefusal } from '../../src/constraint/schema/refusal.ts';
import { rootSchemas, values } from './schema-cases.ts';
import { allowedTokens, SchemaProbe, tokenBytes, tokenIds } from './schema-probe.ts';

/** Null for what the validator refuses, such as a reference in a circle. */
function validatorOf(schema: object): ValidateFunction | null {
  const ajv = new Ajv2020({ strict: false, multipleOfPrecision: 9 });
  addFormats.default(ajv);
  try {
    return ajv.compile(schema);
  } catch {
    return null;
  }
}

/**
 * Two faults of ajv 8.20: an empty array passes `contains` beside `prefixItems`, and what `contains` has matched is not
 * evaluated for `unevaluatedItems`.
 */
function isMisjudged(schema: unknown): boolean {
  const text = JSON.stringify(schema);
  return text.includes('"contains"') && (text.includes('"prefixItems"') || text.includes('"unevaluatedItems"'));
}

/** Null where nothing is known: a third fault, code that under some keywords reads what it never set. */
function isValid(validator: ValidateFunction, value: unknown): boolean | null {
  try {
    return validator(value);
  } catch (error) {
    // A schema that refers to itself without end: no value is known to be valid.
    if (error instanceof RangeError) return false;
    if (error instanceof ReferenceError || error instanceof TypeError) return null;
    throw error;
  }
}

const cases = rootSchemas
  .map((schema) => JSON.parse(JSON.stringify(schema)) as object)
  .filter((schema) => !isMisjudged(schema));

describe('a grammar of any schema', function () {
  // A minute or two at level full.
  this.timeout(600_000);
  const runs = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? 500 : 100;
  let compiled = 0;
  /** Null where the schema is refused. */
  const probeOf = (schema: object): SchemaProbe | null => {
    try {
      const probe = new SchemaProbe(schema);
      if (!probe.isProductive) return null;
      compiled += 1;
      return probe;
    } catch (error) {
      if (error instanceof SchemaRefusal) return null;
      throw error;
    }
  };

  it('takes no text of a value that the schema forbids, however it is written', () => {
    compiled = 0;
    const written = fc.array(
      values.map((value) => JSON.parse(JSON.stringify(value)) as unknown),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(cases, written, (schema, instances) => {
        const validator = validatorOf(schema);
        const probe = validator === null ? null : probeOf(schema);
        if (validator === null || probe === null) return;
        for (const instance of instances) {
          if (isValid(validator, instance) !== false) continue;
          for (const text of [JSON.stringify(instance), JSON.stringify(instance, null, 2), escaped(instance)]) {
            assert.equal(probe.takes(text), false, text);
          }
        }
      }),
      { numRuns: runs, ...FUZZ_SEED },
    );
    assert.ok(compiled > runs / 3, `${compiled} schemas of ${runs} were compiled`);
  });

  it('lets every walk inside its masks go on to JSON that the schema allows, and its masks are what it takes', () => {
    compiled = 0;
    const choices = fc.array(fc.nat(), { minLength: 100, maxLength: 100 });
    let finished = 0;
    fc.assert(
      fc.property(cases, choices, (schema, walk) => {
        const validator = validatorOf(schema);
        const probe = validator === null ? null : probeOf(schema);
        if (validator === null || probe === null) return;
        const body = probe.start();
        const picked: Uint8Array[] = [];
        for (const [step, choice] of walk.entries()) {
          const allowed = allowedTokens(body);
          if (step < 6) assertMask(probe, Buffer.concat(picked), allowed);
          if (body.mayEnd && (allowed.length === 0 || choice % 3 === 0)) break;
          assert.ok(allowed.length > 0, `nothing may follow ${Buffer.concat(picked).toString()}`);
          // Ends are preferred later on, or most walks would be too long.
          const ends = allowed.filter((id) => '"]},:0'.includes(String.fromCharCode(tokenBytes(id)[0] ?? 0)));
          const pool = step > 25 && ends.length > 0 && choice % 4 > 0 ? ends : allowed;
          const id = pool[choice % pool.length] ?? 0;
          assert.equal(body.accept(tokenBytes(id)), true);
          picked.push(tokenBytes(id));
        }
        if (!body.mayEnd) return;
        finished += 1;
        const text = Buffer.concat(picked).toString();
        assert.notEqual(isValid(validator, JSON.parse(text)), false, `${text} ${JSON.stringify(validator.errors)}`);
      }),
      { numRuns: runs, ...FUZZ_SEED },
    );
    assert.ok(finished > compiled / 2, `${finished} walks of ${compiled} came to an end`);
  });
});

/** The value with every character of its strings escaped. */
function escaped(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[^\u0020-\u007e]/g, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function assertMask(probe: SchemaProbe, prefix: Uint8Array, allowed: readonly number[]): void {
  const taken = tokenIds.filter((id) => {
    const body = probe.start();
    return (prefix.length === 0 || body.accept(prefix)) && body.accept(tokenBytes(id));
  });
  assert.deepEqual(allowed, taken, `after ${Buffer.from(prefix).toString()}`);
}
