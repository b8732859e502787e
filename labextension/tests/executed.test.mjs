// An executed notebook as a document: whatever a notebook printed, it is text there.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { byLine, executedDocument } from '../src/models/executed.ts';
import { sample } from './contract.mjs';

const hostile = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '</pre>',
        '<script>',
        '"',
        "'",
        '&lt;',
        '&',
        '<!--',
        ']]>'
      )
    )
  )
  .map(parts => parts.join(''));
const shownOf = (source, outputs) => ({
  cells: [sample('ShownCell', { type: 'code', source, outputs })]
});
const unescaped = text =>
  text
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&amp;/g, '&');
const within = (document, tag) =>
  [...document.matchAll(new RegExp(`<${tag}[^>]*>([^<]*)</`, 'g'))].map(found =>
    unescaped(found[1])
  );

test('source and output stay text, to the letter', () => {
  fc.assert(
    fc.property(hostile, hostile, (source, text) => {
      const output = sample('ShownOutput', { stream: 'stdout', text });
      const document = executedDocument(shownOf(source, [output]), '');
      assert.deepEqual(within(document, 'pre'), [source, text]);
      assert.deepEqual(document.match(/<[a-z]+/g), [
        ...['<meta', '<meta', '<style'],
        ...['<section', '<h', '<pre', '<pre']
      ]);
    })
  );
});

test('a picture is a PNG in base64, or is not shown', () => {
  const picture = 'iVBORw0KGgo=';
  const pictureOf = (content, omitted = null) =>
    executedDocument(
      shownOf('', [
        sample('ShownOutput', { text: null, picture: content, omitted })
      ]),
      ''
    );
  assert.match(
    pictureOf(picture),
    /<img alt="" src="data:image\/png;base64,iVBORw0KGgo=">/
  );
  assert.match(pictureOf(null, 'a <video>'), /<p>a &lt;video&gt;<\/p>/);
  const stranger = shownOf('', [sample('ShownOutput')]);
  stranger.cells[0].outputs[0].picture = '" onerror="alert(1)';
  assert.doesNotMatch(executedDocument(stranger, ''), /onerror|<img/);
});

test('no more may be loaded than pictures that are in it', () => {
  const document = executedDocument({ cells: [] }, 'p{}');
  assert.match(document, /default-src 'none'; img-src data:;/);
  assert.doesNotMatch(document, /script-src|connect-src|https?:/);
});

test('colours are classes around the same escaped text', () => {
  const source = 'if x < 1: pass';
  const notebook = {
    cells: [{ number: 1, type: 'code', source, outputs: [] }]
  };
  const runs = [
    { text: 'if', style: 'a" onload="x' },
    { text: ' x < 1: pass', style: '' }
  ];
  const made = executedDocument(notebook, '', new Map([[source, runs]]));
  assert.match(
    made,
    /<span class="a&quot; onload=&quot;x">if<\/span> x &lt; 1: pass<\/pre>/
  );
});

test('runs of text by line keep every letter, each in its colour', () => {
  assert.deepEqual(
    byLine([
      { text: 'a = ', style: '' },
      { text: '"""b\n\nc"""', style: 'string' },
      { text: '\n', style: '' }
    ]),
    [
      [
        { text: 'a = ', style: '' },
        { text: '"""b', style: 'string' }
      ],
      [],
      [{ text: 'c"""', style: 'string' }],
      []
    ]
  );
});
