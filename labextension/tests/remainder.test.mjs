// What a file holds and the builder can't edit is named with its place; opened and saved unedited, a file is the same.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import { nullTranslator } from '@jupyterlab/translation/lib/base.js';

import { stateOf } from '../src/models/cohortstate.ts';
import { datesText, entryText, leaveText } from '../src/models/cohortwords.ts';
import { says } from '../src/models/criterion.ts';
import { emptyDefinition, isEmpty } from '../src/models/definition.ts';
import { remainderOf } from '../src/models/remainder.ts';

const trans = nullTranslator.load('flipnb');
const folder = `${process.env.FLIP_TEST_DATA ?? ''}/phenotypes`;
const of = definition =>
  remainderOf(trans, { ...emptyDefinition(), ...definition });

/** Every leaf of a definition that says something: its path and value. */
function leaves(value, path = '') {
  return typeof value !== 'object' || value === null
    ? says(value)
      ? [path]
      : []
    : Object.entries(value).flatMap(([name, item]) =>
        leaves(item, `${path}.${name}`)
      );
}

describe('what the builder has no control for', () => {
  test('an edited definition leaves nothing', () => {
    assert.deepEqual(of({}), []);
    assert.deepEqual(
      of({
        EndStrategy: { DateOffset: { DateField: 'EndDate', Offset: 730 } },
        CensoringCriteria: [{ Death: {} }],
        CensorWindow: { StartDate: '2015-01-01' },
        CollapseSettings: { CollapseType: 'ERA', EraPad: 30 }
      }),
      []
    );
  });

  test('each part names its place and says in words what it is', () => {
    const visit = {
      VisitDetail: { VisitDetailLength: { Op: 'gt', Value: 2 } }
    };
    const measured = {
      Measurement: {
        CodesetId: 0,
        MeasurementTypeExclude: false,
        ValueAsConcept: [{ CONCEPT_ID: 9191, CONCEPT_NAME: 'Positive <b>' }]
      }
    };
    const found = of({
      Wizardry: 'deep',
      InclusionRules: [
        { name: '', expression: { Type: 'ALL' } },
        {
          name: 'odd',
          expression: {
            Type: 'ANY',
            DemographicCriteriaList: [{ Race: [{ CONCEPT_ID: 8527 }] }],
            CriteriaList: [
              {
                Criteria: measured,
                Occurrence: { Type: 2, Count: 2, IsDistinct: true }
              }
            ],
            Groups: [
              { Type: 'ALL' },
              { Type: 'ALL', CriteriaList: [{ Criteria: visit }] }
            ]
          }
        }
      ],
      CensoringCriteria: [{ Death: { DeathSourceConcept: 3 } }],
      CollapseSettings: { CollapseType: 'ERA', EraPadUnit: 'hour' }
    });
    assert.deepEqual(found, [
      { place: 'Keep, rule 2, person 1', text: 'race: concept 8527' },
      {
        place: 'Keep, rule 2, line 1',
        text: 'value as concept: Positive <b>'
      },
      { place: 'Keep, rule 2, line 1', text: 'is distinct' },
      {
        place: 'Keep, rule 2, group 2, line 1',
        text: 'visit detail: visit detail length: > 2'
      },
      {
        place: 'Leave, at once, line 1',
        text: 'death source concept: Concept set 3'
      },
      { place: 'Dates and eras', text: 'era pad unit: hour' },
      { place: 'Elsewhere in the file', text: 'wizardry: deep' }
    ]);
  });

  test('defaults have words, too', () => {
    const empty = emptyDefinition();
    assert.equal(isEmpty(empty), true);
    assert.equal(
      entryText(trans, empty),
      'on the first-ever observation period'
    );
    assert.equal(leaveText(trans, empty), 'when observation ends');
    assert.equal(
      datesText(trans, empty),
      'at any date; periods that touch are joined'
    );
  });

  test(
    'each OHDSI definition opens, and saved unedited it is what it was',
    { skip: !existsSync(folder) },
    () => {
      const files = readdirSync(folder).filter(name => name.endsWith('.json'));
      assert.equal(files.length, 59);
      let parts = 0;
      for (const name of files) {
        const read = JSON.parse(readFileSync(`${folder}/${name}`, 'utf8'));
        const expression = read.expression?.PrimaryCriteria
          ? read.expression
          : read;
        const { definition, rules } = stateOf(expression);
        const saved = {
          ...definition,
          InclusionRules: rules.map(({ rule }) => rule)
        };
        assert.deepEqual(JSON.parse(JSON.stringify(saved)), expression, name);
        const found = remainderOf(trans, expression);
        parts += found.length;
        for (const { place, text } of found) {
          assert.doesNotMatch(
            `${place} ${text}`,
            /[{}_]|undefined|object/,
            name
          );
        }
        const line = `${entryText(trans, expression)} ${leaveText(trans, expression)}`;
        assert.doesNotMatch(line, /undefined|object/, name);
        assert.ok(leaves(expression).length > found.length);
      }
      assert.ok(parts > 0);
    }
  );
});
