import type {
  CompletionContext,
  CompletionResult
} from '@codemirror/autocomplete';
import { autocompletion } from '@codemirror/autocomplete';
import { lintGutter, linter } from '@codemirror/lint';
import type { Extension } from '@codemirror/state';
import { hoverTooltip } from '@codemirror/view';

import type { FlipApi } from '../api';
import type { ITextToCheck } from '../contracts';
import type { ISchema } from '../models/jsonschema';
import {
  keysOf,
  placeAt,
  schemasAt,
  summary,
  valuesOf
} from '../models/jsonschema';

const PAUSE_MILLISECONDS = 500;

/**
 * What makes an editor know a plan file or a cohort: marks where it is wrong, keys and values to complete, and what a key
 * is, under the mouse.
 */
export async function schemaEditing(
  api: FlipApi,
  kind: ITextToCheck['kind']
): Promise<Extension> {
  const schema = (await api.schema(kind)) as ISchema;
  const marks = linter(
    async view => {
      const text = view.state.doc.toString();
      const faults = await api.checkText({ kind, text }).catch(() => []);
      const most = view.state.doc.length;
      return faults.map(({ start, end, message }) => ({
        from: Math.min(start, most),
        to: Math.min(end, most),
        severity: 'error' as const,
        message
      }));
    },
    { delay: PAUSE_MILLISECONDS }
  );
  return [
    marks,
    lintGutter(),
    autocompletion({ override: [context => complete(schema, context)] }),
    hoverTooltip((view, at) => {
      const text = view.state.doc.toString();
      const told = explain(schema, text, at);
      if (told === null) {
        return null;
      }
      return {
        pos: told.start,
        end: told.end,
        above: true,
        create: () => {
          const dom = document.createElement('div');
          dom.className = 'jp-FlipHover';
          dom.textContent = told.text;
          return { dom };
        }
      };
    })
  ];
}

function complete(
  schema: ISchema,
  context: CompletionContext
): CompletionResult | null {
  const text = context.state.doc.toString();
  const place = placeAt(text, context.pos);
  const found = schemasAt(schema, place.path);
  const isWritten = place.start < context.pos;
  if (!isWritten && !context.explicit) {
    return null;
  }
  const end = /^[\w-]*"?/.exec(text.slice(context.pos))?.[0].length ?? 0;
  const to = context.pos + end;
  if (place.isKey) {
    const colon = /^\s*:/.test(text.slice(to)) ? '' : ': ';
    return {
      from: place.start,
      to,
      filter: true,
      options: [...keysOf(schema, found)]
        .filter(([name]) => !place.before.includes(name))
        .map(([name, info]) => ({
          label: `"${name}"`,
          apply: `"${name}"${colon}`,
          type: 'property',
          detail: info.length > 60 ? `${info.slice(0, 59)}…` : info
        }))
    };
  }
  const values = valuesOf(found);
  return values.length === 0
    ? null
    : {
        from: place.start,
        to,
        options: values.map(label => ({ label, type: 'enum' }))
      };
}

interface IExplained {
  start: number;
  end: number;
  text: string;
}

/**
 * What the key under a place of the text is; null where there is none that is known.
 */
function explain(schema: ISchema, text: string, at: number): IExplained | null {
  const place = placeAt(text, at);
  const token = /^"((?:[^"\\\n]|\\.)*)"/.exec(text.slice(place.start));
  if (!place.isKey || token === null) {
    return null;
  }
  const known = schemasAt(schema, place.path)
    .map(one => one.properties?.[token[1]])
    .find(one => one !== undefined);
  const told = known && summary(schema, known);
  return told
    ? { start: place.start, end: place.start + token[0].length, text: told }
    : null;
}
