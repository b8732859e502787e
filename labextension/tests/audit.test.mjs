// The audit log in words: the newest lines of a group, its entries when they are asked for, and the whole log for export.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { AuditModel } from '../src/models/audit.ts';
import { Desk } from '../src/models/desk.ts';
import { sample } from './contract.mjs';
import { firings, Jupyter, settled } from './jupyter.mjs';

const LINES = 'GET desk/audit/lines';
const ENTRIES = 'GET desk/audit/lines/{line}';
const AUDIT = 'GET desk/audit';
const CHECK = 'GET desk/audit/check';
const found = (...texts) =>
  sample('AuditLines', {
    lines: texts.map(text => sample('AuditLine', { text, entries: 1 })),
    numbers: { all: texts.length },
    size: texts.length
  });
const texts = model => model.found.lines.map(line => line.text);

function opened() {
  const jupyter = new Jupyter();
  jupyter.always('GET desk', { status: null });
  const desk = new Desk(jupyter.api);
  return { jupyter, desk, model: new AuditModel(desk) };
}

test('lines are fetched at once, of the chosen group, and again at each change of the desk', async () => {
  const { jupyter, desk, model } = opened();
  assert.equal(model.found, null);
  await settled();
  await jupyter.answer(LINES, found('a run', 'a count'));
  assert.deepEqual(texts(model), ['a run', 'a count']);
  model.choose('refused');
  await settled();
  assert.equal(jupyter.asked.at(-1).group, 'refused');
  await jupyter.answer(LINES, found('a refusal'));
  await desk.refresh();
  await settled();
  assert.equal(jupyter.asked.at(-1).group, 'refused');
  await jupyter.answer(LINES, found('another', 'a refusal'));
  assert.deepEqual(texts(model), ['another', 'a refusal']);
});

test('changes while lines are on their way are looked at once, after them', async () => {
  const { jupyter, desk, model } = opened();
  await settled();
  await desk.refresh();
  await desk.refresh();
  await settled();
  assert.equal(jupyter.times(LINES), 1);
  const told = firings(model.changed);
  await jupyter.answer(LINES, found('old'));
  assert.equal(jupyter.times(LINES), 2);
  await jupyter.answer(LINES, found('new'));
  assert.deepEqual([texts(model), told.times], [['new'], 1]);
});

test('why lines can not be fetched is told, and what was known stays', async () => {
  const { jupyter, desk, model } = opened();
  await settled();
  await jupyter.answer(LINES, found('known'));
  await desk.refresh();
  await settled();
  await jupyter.refuse(LINES, {
    reason: 'agent-away',
    message: 'The agent does not answer.',
    remedy: 'Start it.'
  });
  assert.equal(model.problem, 'The agent does not answer. Start it.');
  assert.deepEqual(texts(model), ['known']);
});

test('a line opens to its entries, as they were written', async () => {
  const { jupyter, model } = opened();
  const leaf = '{"kind":"declined","details":{"reason":"<script>"}}';
  const asked = model.entries('run-ab');
  await settled();
  assert.equal(jupyter.asked.at(-1).line, 'run-ab');
  const entries = [sample('AuditTold', { leaf })];
  await jupyter.answer(ENTRIES, { entries });
  assert.equal((await asked)[0].leaf, leaf);
});

test('the whole log is exported byte for byte, however it is paged', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'binary' }), { maxLength: 12 }),
      fc.integer({ min: 1, max: 5 }),
      async (written, most) => {
        const { jupyter, model } = opened();
        const whole = model.whole();
        await settled();
        for (;;) {
          const after = Number(jupyter.asked.at(-1).after);
          const entries = written.slice(after, after + most);
          await jupyter.answer(AUDIT, {
            entries,
            size: written.length,
            head: 'h'
          });
          if (after + entries.length >= written.length) {
            break;
          }
        }
        assert.equal(await whole, written.map(one => `${one}\n`).join(''));
        model.dispose();
      }
    ),
    { numRuns: 20 }
  );
});

test('a server that says more than it gives is not asked for ever', async () => {
  const { jupyter, model } = opened();
  const whole = model.whole();
  await settled();
  await jupyter.answer(AUDIT, { entries: [], size: 9, head: 'h' });
  assert.equal(await whole, '');
});

test('while the log is read again a screen knows, and then what was found', async () => {
  const { jupyter, model } = opened();
  jupyter.always(LINES, found());
  await settled();
  const told = firings(model.changed);
  void model.verify();
  await settled();
  assert.equal(model.verifying, true);
  assert.equal(model.check, null);
  const checked = {
    size: 3,
    checked: '2026-11-30T12:00:00Z',
    problem: 'Entry 2 was changed.'
  };
  await jupyter.answer(CHECK, checked);
  assert.equal(model.verifying, false);
  assert.deepEqual(model.check, checked);
  assert.equal(told.times, 2);
  void model.verify();
  await settled();
  await jupyter.lose(CHECK);
  assert.notEqual(model.problem, '');
  assert.deepEqual(model.check, checked);
});

test('closed, it asks no more', async () => {
  const { jupyter, desk, model } = opened();
  await settled();
  const told = firings(model.changed);
  model.dispose();
  await desk.refresh();
  await jupyter.answer(LINES, found('late'));
  assert.equal(jupyter.times(LINES), 1);
  assert.equal(told.times, 0);
});
