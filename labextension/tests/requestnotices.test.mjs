// What is announced: each request once, several by their number, nothing that nobody waits for.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Notices } from '../src/models/requestnotices.ts';
import { sample } from './contract.mjs';

const request = (bundle, state = 'waiting') =>
  sample('RequestSummary', { bundle: bundle.repeat(64), state });

function told(...lists) {
  const desk = { requests: [] };
  let now = 0;
  const notices = new Notices(desk, () => now);
  return lists.map(([minutes, requests]) => {
    now = minutes * 60_000;
    desk.requests = requests;
    const notice = notices.next();
    return notice && [notice.request?.bundle[0] ?? null, notice.waiting];
  });
}

test('a request is announced once, and again only if it waits again', () => {
  const a = request('a');
  assert.deepEqual(
    told(
      [0, []],
      [1, [a]],
      [2, [a]],
      [3, [request('a', 'approved')]],
      [4, [a]]
    ),
    [null, ['a', 1], null, null, ['a', 1]]
  );
});

test('of a request whose runs have ended nothing waits until the next run comes', () => {
  const [a, b] = ['a', 'b'].map(name => request(name));
  const over = request('a', 'over');
  assert.deepEqual(told([0, [a]], [1, [over]], [2, [b, over]], [5, [b, a]]), [
    ['a', 1],
    null,
    ['b', 1],
    ['a', 2]
  ]);
});

test('of several, at once or within a minute, the number is told', () => {
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(name => request(name));
  const lists = [[], [b, a], [c, b, a], [d, c, b, a]];
  assert.deepEqual(
    told(...[0, 0, 0.5, 5].map((minutes, at) => [minutes, lists[at]])),
    [null, [null, 2], [null, 3], ['d', 4]]
  );
});

test('what waits when Lab is opened is announced, and the next request by its name', () => {
  const [a, b, c] = ['a', 'b', 'c'].map(name => request(name));
  const found = told([0, [b, a]], [0.5, [c, b, a]]);
  assert.deepEqual(found, [
    [null, 2],
    ['c', 3]
  ]);
});

test('what is decided, refused or over is no news', () => {
  const states = ['approved', 'declined', 'refused', 'expired', 'over'];
  assert.deepEqual(
    told([0, states.map((state, at) => request('abcde'[at], state))]),
    [null]
  );
});
