import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { JSX } from 'react';
import { useEffect, useState } from 'react';

import type { ITextRun } from '../../models/executed';

let languages: Promise<IEditorLanguageRegistry> | null = null;

/**
 * Python source in the theme's colours, to be read: never run, and never read as markup. It is there as text at once;
 * the colours come when the editor's languages are loaded.
 */
export function Code(props: {
  source: string;
  label?: string;
  className?: string;
}): JSX.Element {
  const { source, label, className } = props;
  const runs = useTextRuns(source);
  return (
    <pre
      className={`jp-FlipLines ${className ?? ''}`}
      aria-label={label}
      tabIndex={0}
    >
      {runs === null ? source : <Coloured runs={runs} />}
    </pre>
  );
}

/**
 * Runs of text in their colours.
 */
export function Coloured(props: {
  runs: ReadonlyArray<ITextRun>;
}): JSX.Element {
  return (
    <>
      {props.runs.map(({ text, style }, index) =>
        style ? (
          <span key={index} className={style}>
            {text}
          </span>
        ) : (
          text
        )
      )}
    </>
  );
}

/**
 * Python source in runs of one colour each; null until the editor's languages are loaded.
 */
export function useTextRuns(source: string): ITextRun[] | null {
  const [runs, setRuns] = useState<ITextRun[] | null>(null);
  useEffect(() => {
    let shown = true;
    setRuns(null);
    void textRuns(source).then(found => {
      if (shown) {
        setRuns(found);
      }
    });
    return () => {
      shown = false;
    };
  }, [source]);
  return runs;
}

/**
 * Python source in runs of one colour each, in their order.
 */
export async function textRuns(source: string): Promise<ITextRun[]> {
  languages ??= load();
  const registry = await languages;
  const host = document.createElement('div');
  await registry.highlight(source, registry.findByName('ipython'), host);
  return [...host.childNodes].map(node => ({
    text: node.textContent ?? '',
    style: node instanceof HTMLElement ? node.className : ''
  }));
}

/**
 * The rules of the classes in `textRuns`, with the colours of the current theme in them: for a frame, which has no theme.
 */
export async function highlightRules(): Promise<string> {
  const { jupyterHighlightStyle } = await import('@jupyterlab/codemirror');
  const theme = getComputedStyle(document.body);
  return (jupyterHighlightStyle.module?.getRules() ?? '').replace(
    /var\((--[\w-]+)\)/g,
    (_, name: string) => theme.getPropertyValue(name).trim() || 'inherit'
  );
}

async function load(): Promise<IEditorLanguageRegistry> {
  const { EditorLanguageRegistry, jupyterHighlightStyle } =
    await import('@jupyterlab/codemirror');
  const registry = new EditorLanguageRegistry();
  for (const language of EditorLanguageRegistry.getDefaultLanguages()) {
    registry.addLanguage(language);
  }
  // An editor mounts them, and there may be none yet.
  const style = document.createElement('style');
  style.textContent = jupyterHighlightStyle.module?.getRules() ?? '';
  document.head.append(style);
  return registry;
}
