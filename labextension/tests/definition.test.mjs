// What the builder makes of a cohort definition: nothing that it does not edit may be lost.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import {
  domainOf,
  DOMAINS,
  fieldsOf,
  hasConcepts,
  hasFirst,
  hasNumber,
  otherFields,
  withDomain,
  withFields
} from '../src/models/criterion.ts';
import {
  beyondAtlas,
  emptyCounted,
  emptyDefinition,
  emptyRule,
  moved,
  replaced
} from '../src/models/definition.ts';

const domains = fc.constantFrom(...DOMAINS);
const range = fc.integer().map(Value => ({ Value, Op: 'gte' }));
const fields = fc.record(
  {
    CodesetId: fc.option(fc.nat()),
    First: fc.option(fc.boolean()),
    ValueAsNumber: fc.option(range),
    UnitCS: fc.option(fc.nat().map(CodesetId => ({ CodesetId }))),
    OccurrenceStartDate: fc.option(range),
    VisitType: fc.array(fc.nat().map(CONCEPT_ID => ({ CONCEPT_ID })))
  },
  { requiredKeys: [], noNullPrototype: true }
);
const criteria = fc
  .tuple(domains, fields)
  .map(([domain, held]) => ({ [domain]: held }));
const lists = fc
  .array(fc.integer(), { minLength: 1, maxLength: 9 })
  .chain(items =>
    fc.tuple(fc.constant(items), fc.nat({ max: items.length - 1 }))
  );

test('a changed field changes no other, nor the criterion that was', () => {
  fc.assert(
    fc.property(criteria, fc.option(range), (criterion, ValueAsNumber) => {
      const before = structuredClone(criterion);
      const after = withFields(criterion, { ValueAsNumber });
      assert.deepEqual(criterion, before);
      assert.equal(domainOf(after), domainOf(before));
      assert.deepEqual(fieldsOf(after), { ...fieldsOf(before), ValueAsNumber });
    })
  );
});

test('in another domain a criterion has what that domain has, and nothing else', () => {
  fc.assert(
    fc.property(criteria, domains, (criterion, domain) => {
      const before = fieldsOf(criterion);
      const after = withDomain(criterion, domain);
      assert.deepEqual(Object.keys(after), [domain]);
      const kept = fieldsOf(after);
      assert.equal(
        kept.CodesetId,
        hasConcepts(domain) ? before.CodesetId : undefined
      );
      assert.equal(
        kept.First ?? false,
        hasFirst(domain) && (before.First ?? false)
      );
      for (const name of ['ValueAsNumber', 'UnitCS']) {
        const asked = hasNumber(domain) && before[name];
        assert.deepEqual(kept[name], asked || undefined);
      }
      assert.deepEqual(otherFields(after), []);
    })
  );
});

test('a concept set with the number 0 goes along', () => {
  const criterion = { ConditionOccurrence: { CodesetId: 0 } };
  assert.deepEqual(withDomain(criterion, 'DrugExposure'), {
    DrugExposure: { CodesetId: 0 }
  });
});

test('fields that are not edited are named, if they say anything', () => {
  const criterion = {
    Measurement: {
      CodesetId: 1,
      First: true,
      OccurrenceStartDate: null,
      Abnormal: undefined,
      RangeHigh: { Value: 1, Op: 'gt' },
      MeasurementTypeExclude: false,
      Unit: [],
      '<b>x</b>': 3
    }
  };
  assert.deepEqual(otherFields(criterion), ['RangeHigh', '<b>x</b>']);
});

test('a criterion without a domain has no fields', () => {
  assert.equal(domainOf({}), '');
  assert.deepEqual(fieldsOf({}), {});
  assert.deepEqual(otherFields({}), []);
});

test('what ATLAS has not is found at any depth, each once, in order', () => {
  const counted = domain => emptyCounted({ [domain]: {} });
  const definition = emptyDefinition();
  assert.deepEqual(beyondAtlas(definition), []);
  definition.PrimaryCriteria.CriteriaList.push({ FlipText: {} });
  const deep = {
    Type: 'ANY',
    Groups: [{ Type: 'ALL', CriteriaList: [counted('FlipImage')] }],
    CriteriaList: [counted('FlipText')]
  };
  definition.InclusionRules = [{ ...emptyRule(), expression: deep }];
  assert.deepEqual(beyondAtlas(definition), ['FlipImage', 'FlipText']);
});

test('a name that sounds like a criterion is none', () => {
  const definition = { ...emptyDefinition(), Title: 'FlipText' };
  definition.InclusionRules = [{ ...emptyRule(), name: 'FlipImage' }];
  assert.deepEqual(beyondAtlas(definition), []);
});

test('an item moves one place and back, at the ends it stays', () => {
  fc.assert(
    fc.property(lists, fc.constantFrom(-1, 1), ([items, index], by) => {
      const before = [...items];
      const after = moved(items, index, by);
      assert.deepEqual(items, before);
      const to = index + by;
      if (to < 0 || to >= items.length) {
        assert.deepEqual(after, items);
      } else {
        assert.equal(after[to], items[index]);
        assert.equal(after[index], items[to]);
        assert.deepEqual(moved(after, to, -by), items);
      }
    })
  );
});

test('one item is replaced or left out, the others stay in their order', () => {
  fc.assert(
    fc.property(lists, ([items, index]) => {
      const before = [...items];
      const instead = replaced(items, index, 0.5);
      assert.equal(instead.length, items.length);
      assert.equal(instead[index], 0.5);
      const without = replaced(items, index, null);
      assert.deepEqual(
        without,
        instead.filter(item => item !== 0.5)
      );
      assert.deepEqual(items, before);
    })
  );
});

test('every new definition is one of its own', () => {
  const [one, other] = [emptyDefinition(), emptyDefinition()];
  one.InclusionRules.push(emptyRule());
  one.PrimaryCriteria.CriteriaList.pop();
  assert.deepEqual(other, emptyDefinition());
});
