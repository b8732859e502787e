import type { IShownNotebook, IShownOutput } from '../contracts';

const HEAD =
  '<!doctype html><meta charset="utf-8">' +
  '<meta http-equiv="Content-Security-Policy" ' +
  "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">";

/**
 * Some text of one colour: `style` are the classes of JupyterLab's highlighting, empty for plain text.
 */
export interface ITextRun {
  text: string;
  style: string;
}

/**
 * Runs of text, by the lines they stand in.
 */
export function byLine(runs: ReadonlyArray<ITextRun>): ITextRun[][] {
  const lines: ITextRun[][] = [[]];
  for (const { text, style } of runs) {
    text.split('\n').forEach((part, index) => {
      if (index > 0) {
        lines.push([]);
      }
      if (part !== '') {
        lines[lines.length - 1].push({ text: part, style });
      }
    });
  }
  return lines;
}

/**
 * An executed notebook as a document for a frame that may do nothing: every word is escaped, every picture is a PNG
 * that the enclave drew anew, and the policy forbids all else. `runs` are the sources of cells as runs of text with the
 * classes of their colours, where they are known.
 */
export function executedDocument(
  notebook: IShownNotebook,
  style: string,
  runs: ReadonlyMap<string, ReadonlyArray<ITextRun>> = new Map()
): string {
  const cells = notebook.cells.map(cell => {
    const outputs = cell.outputs.map(outputHtml).join('');
    const label = `${cell.number} ${cell.type}`;
    return `<section><h2>${escaped(label)}</h2><pre class="source">${sourceHtml(runs.get(cell.source) ?? [{ text: cell.source, style: '' }])}</pre>${outputs}</section>`;
  });
  return `${HEAD}<style>${style}</style>${cells.join('')}`;
}

function sourceHtml(runs: ReadonlyArray<ITextRun>): string {
  return runs
    .map(({ text, style }) =>
      style
        ? `<span class="${escaped(style)}">${escaped(text)}</span>`
        : escaped(text)
    )
    .join('');
}

function outputHtml(output: IShownOutput): string {
  if (output.text !== null) {
    return `<pre class="${output.stream}">${escaped(output.text)}</pre>`;
  }
  if (
    output.picture !== null &&
    /^[A-Za-z0-9+/]*={0,2}$/.test(output.picture)
  ) {
    return `<img alt="" src="data:image/png;base64,${output.picture}">`;
  }
  return `<p>${escaped(output.omitted ?? '')}</p>`;
}

function escaped(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}
