// The audit log, page by page: every entry once, in its order, as it was written.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { AuditModel } from '../src/models/audit.ts';
import { Desk } from '../src/models/desk.ts';
import { Jupyter, settled, firings } from './jupyter.mjs';

const AUDIT = 'GET desk/audit';
const CHECK = 'GET desk/audit/check';
const line = (index, kind = 'update-released', details = {}) =>
  JSON.stringify({ index, at: '2026-11-30T12:00:00Z', details, kind });
const log = length => Array.from({ length }, (_, index) => line(index));
const page = (lines, from, to) => ({
  entries: lines.slice(from, to),
  size: lines.length,
  head: `head of ${lines.length}`
});

function opened() {
  const jupyter = new Jupyter();
  jupyter.always('GET desk', { status: null });
  const desk = new Desk(jupyter.api);
  return { jupyter, desk, model: new AuditModel(desk) };
}

test('however it is paged, and whenever it grows, no entry is lost or twice there', async () => {
  const growths = fc.array(fc.integer({ min: 1, max: 6 }), {
    minLength: 1,
    maxLength: 4
  });
  await fc.assert(
    fc.asyncProperty(
      growths,
      fc.integer({ min: 1, max: 5 }),
      async (growth, most) => {
        const { jupyter, desk, model } = opened();
        await settled();
        let lines = [];
        for (const more of growth) {
          lines = log(lines.length + more);
          do {
            const after = Number(jupyter.asked.at(-1).after);
            await jupyter.answer(AUDIT, page(lines, after, after + most));
          } while (model.items.length < lines.length);
          await desk.refresh();
          await settled();
        }
        assert.equal(model.text, lines.map(each => `${each}\n`).join(''));
        assert.deepEqual(
          model.items.map(item => item.index),
          lines.map((_, index) => index).reverse()
        );
        assert.equal(model.size, lines.length);
        assert.equal(model.head, `head of ${lines.length}`);
        model.dispose();
      }
    ),
    { numRuns: 20 }
  );
});

test('entries that came while a page was on its way are fetched after it', async () => {
  const { jupyter, desk, model } = opened();
  await settled();
  await desk.refresh();
  await settled();
  assert.equal(jupyter.times(AUDIT), 1);
  await jupyter.answer(AUDIT, page(log(2), 0, 2));
  assert.equal(jupyter.times(AUDIT), 2);
  await jupyter.answer(AUDIT, page(log(3), 2, 3));
  assert.equal(model.items.length, 3);
  assert.equal(jupyter.times(AUDIT), 2);
});

test('a server that says more than it gives is not asked for ever', async () => {
  const { jupyter, model } = opened();
  await settled();
  await jupyter.answer(AUDIT, { entries: [], size: 9, head: 'h' });
  assert.equal(jupyter.times(AUDIT), 1);
  assert.equal(model.size, 9);
  assert.deepEqual(model.items, []);
});

test('what left, what was refused and what was decided are told apart', async () => {
  const { jupyter, model } = opened();
  const kinds = [
    'update-released',
    'update-refused',
    'approved',
    'declined',
    'joined',
    'stopped',
    'left',
    'count-released',
    'count-refused',
    'run-started'
  ];
  await settled();
  const lines = kinds.map((kind, index) => line(index, kind));
  await jupyter.answer(AUDIT, page(lines, 0, lines.length));
  const of = group => model.of(group).map(item => item.kind);
  assert.deepEqual(of('left'), ['count-released', 'update-released']);
  assert.deepEqual(of('refused'), ['count-refused', 'update-refused']);
  assert.deepEqual(of('decided'), [
    'left',
    'stopped',
    'joined',
    'declined',
    'approved'
  ]);
  assert.equal(of('all').length, kinds.length);
});

test('what strangers wrote is shown as it is, as text, and exported byte for byte', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary' }), async text => {
      const { jupyter, model } = opened();
      await settled();
      const hostile = `<script>${text}</script>\n%1`;
      const written = line(0, 'declined', { reason: hostile });
      await jupyter.answer(AUDIT, page([written], 0, 1));
      assert.equal(model.items[0].details, `reason: ${hostile}`);
      assert.equal(model.text, `${written}\n`);
      model.dispose();
    }),
    { numRuns: 25 }
  );
});

test('details are names with values; what is empty is left out, what is nested is JSON', async () => {
  const { jupyter, model } = opened();
  await settled();
  const details = '{"__proto__":{"a":1},"bytes":12,"run":null,"to":["x"]}';
  const written = `{"index":0,"at":"2026-11-30T12:00:00Z","kind":"k","details":${details}}`;
  await jupyter.answer(AUDIT, page([written], 0, 1));
  assert.equal(
    model.items[0].details,
    '__proto__: {"a":1}  bytes: 12  to: ["x"]'
  );
});

test('after a failure it goes on where it was', async () => {
  const { jupyter, desk, model } = opened();
  await settled();
  await jupyter.answer(AUDIT, page(log(4), 0, 2));
  await jupyter.refuse(AUDIT, {
    reason: 'agent-away',
    message: 'The agent does not answer.',
    remedy: 'Start it.'
  });
  assert.equal(model.problem, 'The agent does not answer. Start it.');
  assert.equal(model.items.length, 2);
  const told = firings(model.changed);
  await desk.refresh();
  await settled();
  assert.equal(jupyter.asked.at(-1).after, '2');
  await jupyter.answer(AUDIT, page(log(4), 2, 4));
  assert.equal(model.problem, '');
  assert.equal(model.items.length, 4);
  assert.equal(told.times, 1);
});

test('while the log is read again a screen knows, and then what was found', async () => {
  const { jupyter, model } = opened();
  jupyter.always(AUDIT, page([], 0, 0));
  await settled();
  const told = firings(model.changed);
  void model.verify();
  await settled();
  assert.equal(model.verifying, true);
  assert.equal(model.check, null);
  const found = {
    size: 3,
    checked: '2026-11-30T12:00:00Z',
    problem: 'Entry 2 was changed.'
  };
  await jupyter.answer(CHECK, found);
  assert.equal(model.verifying, false);
  assert.deepEqual(model.check, found);
  assert.equal(told.times, 2);
  void model.verify();
  await settled();
  await jupyter.lose(CHECK);
  assert.equal(model.verifying, false);
  assert.notEqual(model.problem, '');
  assert.deepEqual(model.check, found);
  void model.verify();
  await settled();
  await jupyter.answer(CHECK, { ...found, size: 4 });
  assert.equal(model.problem, '');
  assert.equal(model.check.size, 4);
});

test('closed, it asks for no further page', async () => {
  const { jupyter, desk, model } = opened();
  await settled();
  const told = firings(model.changed);
  model.dispose();
  await jupyter.answer(AUDIT, page(log(9), 0, 2));
  await desk.refresh();
  await settled();
  assert.equal(jupyter.times(AUDIT), 1);
  assert.equal(told.times, 0);
});

test('a run’s reports of progress are one line, the last, and the log keeps all', async () => {
  const { jupyter, model } = opened();
  await settled();
  const lines = [
    line(0, 'progress-told', { run: 'a', content: { cell: 1 } }),
    line(1, 'progress-told', { run: 'b', content: { cell: 1 } }),
    line(2, 'told', { run: 'a', content: { state: 'running' } }),
    line(3, 'progress-told', { run: 'a', content: { cell: 2 } }),
    line(4, 'progress-told', { run: 'a', content: { cell: 3 } }),
    line(5, 'round-released', { run: 'a' })
  ];
  await jupyter.answer(AUDIT, page(lines, 0, 6));
  for (const group of ['all', 'left']) {
    const shown = model.of(group).map(item => [item.index, item.earlier]);
    assert.deepEqual(shown, [
      [5, 0],
      [4, 2],
      [2, 0],
      [1, 0]
    ]);
  }
  assert.equal(model.text, lines.map(one => `${one}\n`).join(''));
});
