// Where one writes in a JSON text, and what its schema knows there.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import {
  keysOf,
  placeAt,
  schemasAt,
  valuesOf
} from '../src/models/jsonschema.ts';

const published = kind =>
  JSON.parse(
    readFileSync(
      new URL(
        `../../flipnb/workbench/published_schemas/${kind}.schema.json`,
        import.meta.url
      ),
      'utf8'
    )
  );
const at = text => placeAt(text.replace('|', ''), text.indexOf('|'));

describe('a place in a JSON text', () => {
  test('the way to it, and whether a key or a value is written', () => {
    for (const [text, path, isKey] of [
      ['{|', [], true],
      ['{"plan": {"ro|', ['plan'], true],
      ['{"plan": {"rounds": 2|', ['plan', 'rounds'], false],
      ['{"plan": {"rounds": 2, |}', ['plan'], true],
      ['{"outputs": [{"name": "a"}, {|', ['outputs', 1], true],
      ['{"a": "{[,:", "b": [1, "|"', ['b', 1], false],
      ['{"a\\"b": {"c": |', ['a"b', 'c'], false]
    ]) {
      const found = at(text);
      assert.deepEqual([found.path, found.isKey], [path, isKey], text);
    }
    assert.deepEqual(at('{"a": 1, "b": 2, "|').before, ['a', 'b']);
  });

  test('any text has a place, whatever it is', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), (text, offset) => {
        const found = placeAt(text, Math.min(offset, text.length));
        assert.ok(found.start <= Math.min(offset, text.length));
      })
    );
  });
});

describe('the schema of a plan', () => {
  const plan = published('plan');

  test('knows the keys of objects through references, lists and alternatives', () => {
    const keys = path => [...keysOf(plan, schemasAt(plan, path)).keys()];
    assert.ok(keys([]).includes('minimum_trusts'));
    assert.ok(keys(['plan', 'strategy']).includes('name'));
    assert.ok(keys(['dataset', 'variables', 3]).includes('concept_id'));
    assert.ok(keys(['plan', 'consensus']).includes('threshold'));
    assert.deepEqual(keys(['nowhere']), []);
  });

  test('knows the values of closed lists', () => {
    const path = ['dataset', 'variables', 0, 'source'];
    assert.ok(valuesOf(schemasAt(plan, path)).includes('"measurement"'));
  });
});
