import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { JSX } from 'react';
import { useEffect, useRef } from 'react';

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
  const host = useRef<HTMLPreElement>(null);

  useEffect(() => {
    let shown = true;
    void highlighted(source).then(coloured => {
      if (shown) {
        host.current?.replaceChildren(coloured);
      }
    });
    return () => {
      shown = false;
    };
  }, [source]);

  return (
    <pre
      key={source}
      ref={host}
      className={`jp-FlipLines ${className ?? ''}`}
      aria-label={label}
      tabIndex={0}
    >
      {source}
    </pre>
  );
}

/**
 * Source as spans with the classes of JupyterLab's editor theme; only text is put in.
 */
export async function highlighted(source: string): Promise<DocumentFragment> {
  languages ??= load();
  const registry = await languages;
  const host = document.createElement('div');
  await registry.highlight(source, registry.findByName('ipython'), host);
  const made = document.createDocumentFragment();
  made.append(...host.childNodes);
  return made;
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
